//! A site whose own files are looked at, and a cluster that looks at them when it is applied to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use consign_format::error::{Code, Coded, Failure, codes};
use consign_installer::files::{Is, status};
use consign_installer::gates::Gates;
use consign_installer::handoff::{
    ChangeSet, Desired, GoAhead, Handoff, HealthReport, ObjectKey, OnEvent, Plan, Policy, RolledBack, Stopped,
    Unhealthy,
};
use consign_installer::install_bundle::{Finished, Means, Order, Until, install_bundle};
use consign_installer::services::{ServiceManager, Systemctl};
use consign_installer::site::Site;
use consign_terminal::Silent;

use crate::kit::{self, Draft};
use crate::site_kit::{TestSite, clocks};

pub const TOOL: &str = "/usr/local/bin/tool";
pub const CONF: &str = "/etc/tool/tool.conf";

/// A site with the folders of a machine.
pub struct Machine {
    pub site: TestSite,
    pub adopt: bool,
    pub cluster: Watching,
    /// Units that the administrator allows.
    pub units: Vec<String>,
    /// Where its `systemctl` lies.
    pub programs: Option<PathBuf>,
}

/// A cluster that notes what lies at [`TOOL`] whenever it is asked for something.
#[derive(Clone)]
pub struct Watching {
    root: PathBuf,
    pub seen: Arc<Mutex<Vec<String>>>,
    pub sick: Option<&'static str>,
    /// Apply refuses, before it has written anything.
    pub refuses: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the cluster says no")]
struct No;

impl Coded for No {
    fn code(&self) -> Code {
        codes::APPLY_REFUSED
    }
}

impl Watching {
    fn note(&self, what: &str) {
        let tool = fs::read_to_string(self.root.join(&TOOL[1..])).unwrap_or_else(|_| "-".into());
        self.seen.lock().unwrap().push(format!("{what} {tool}"));
    }
}

impl Handoff for Watching {
    fn name(&self) -> &'static str {
        "direct"
    }

    async fn plan(&self, _: &Desired, _: &Policy, _: &mut OnEvent<'_>) -> Result<Plan, Failure> {
        self.note("plan");
        Ok(Plan::default())
    }

    async fn apply(&self, _: &Desired, _: &Policy, _: &dyn GoAhead, _: &mut OnEvent<'_>) -> Result<ChangeSet, Stopped> {
        self.note("apply");
        let changes = ChangeSet::default();
        if self.refuses { Err(Stopped { failure: No.into(), changes }) } else { Ok(changes) }
    }

    async fn await_healthy(&self, d: &Desired, _: Duration, _: &mut OnEvent<'_>) -> Result<HealthReport, Failure> {
        let key = ObjectKey::of(&kit::config_map("a", "")).unwrap();
        let bad = Unhealthy { key, reason: "it does not start".into(), failed: true };
        let sick = self.sick == Some(d.version.as_str());
        Ok(HealthReport { objects: 2, unhealthy: if sick { vec![bad] } else { vec![] } })
    }

    async fn rollback(&self, _: &Desired, _: &Policy, _: Duration, _: &mut OnEvent<'_>) -> Result<RolledBack, Stopped> {
        self.note("rollback");
        Ok(RolledBack { changes: ChangeSet::default(), health: HealthReport::default() })
    }
}

impl Machine {
    pub fn new() -> Self {
        let site = TestSite::enrolled();
        fs::create_dir_all(site.root.path().join("usr/local/bin")).unwrap();
        let cluster = Watching { root: site.root.path().to_owned(), seen: Arc::default(), sick: None, refuses: false };
        Machine { site, adopt: false, cluster, units: vec![], programs: None }
    }

    /// A machine that runs 1.0 with a tool and its configuration.
    pub fn running() -> Self {
        let machine = Machine::new();
        machine.install(&first()).unwrap();
        machine
    }

    pub fn install(&self, draft: &Draft) -> Result<Finished, Failure> {
        self.order(draft, Order::default())
    }

    pub fn rehearse(&self, draft: &Draft) -> Result<Finished, Failure> {
        self.order(draft, Order { until: Until::Planned, ..Order::default() })
    }

    fn order(&self, draft: &Draft, order: Order) -> Result<Finished, Failure> {
        self.cluster.seen.lock().unwrap().clear();
        let mut site = self.open();
        let (_medium, path) = self.site.medium(&draft.bundle());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let clocks = clocks(self.site.now);
        let connect = async || Ok(self.cluster.clone());
        let gates = Gates::open(self.site.store());
        let means = Means { clocks: &clocks, progress: &Silent, registry: None, gates: &gates };
        runtime.block_on(install_bundle(&mut site, &path, order, means, connect))
    }

    pub fn open(&self) -> Site {
        let mut site = Site::open_exclusive(self.site.store()).unwrap();
        site.adopt_files = self.adopt;
        site.allow.units = self.units.clone();
        let systemctl = self.programs.as_ref().and_then(|folder| Systemctl::in_folders(std::slice::from_ref(folder)));
        site.services = systemctl.map(|found| Box::new(found) as Box<dyn ServiceManager>);
        site
    }

    pub fn path(&self, to: &str) -> PathBuf {
        self.site.root.path().join(&to[1..])
    }

    pub fn write(&self, to: &str, content: &str) {
        fs::create_dir_all(self.path(to).parent().unwrap()).unwrap();
        fs::write(self.path(to), content).unwrap();
    }

    /// Mode and content of a place; `-` where nothing is.
    pub fn at(&self, to: &str) -> String {
        let path = self.path(to);
        let Ok(metadata) = fs::symlink_metadata(&path) else { return "-".into() };
        let content = fs::read_to_string(&path).unwrap_or_else(|_| "no file".into());
        format!("{:04o} {content}", metadata.permissions().mode() & 0o7777)
    }

    /// What `status` says of the files.
    pub fn status(&self) -> Vec<(String, Is)> {
        let found = status(&Site::open(self.site.store()).unwrap()).unwrap();
        found.into_iter().map(|file| (file.to, file.is)).collect()
    }

    /// Everything below the root but what the site keeps for itself.
    pub fn others(&self) -> Vec<String> {
        let root = self.site.root.path();
        let found = kit::fingerprint(root);
        let found = found
            .into_iter()
            .map(|(path, (mode, digest))| format!("{} {mode:o} {digest}", path.strip_prefix(root).unwrap().display()));
        found.filter(|line| !line.starts_with("var/lib/consign/")).collect()
    }

    pub fn seen(&self) -> Vec<String> {
        self.cluster.seen.lock().unwrap().clone()
    }
}

pub fn first() -> Draft {
    Draft::new("1.0", 10).with_file(TOOL, "0755", "tool 1").with_file(CONF, "0640", "conf 1")
}

pub fn second() -> Draft {
    Draft::new("2.0", 20).with_file(TOOL, "0700", "tool 2").with_file("/opt/new/deep/file", "0644", "new")
}
