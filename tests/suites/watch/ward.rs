//! A ward: a site with a cluster, a place for sticks, and a watch that runs and says what it does.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use consign_tests::cluster::Cluster;
use consign_tests::command::Invocation;
use consign_tests::desk::Desk;
use consign_tests::site::Site;
use serde_json::Value;

/// Nothing takes longer; it decides no more than that a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) struct Ward {
    pub(crate) site: Site,
    pub(crate) cluster: Cluster,
    config: String,
}

impl Ward {
    /// An enrolled site; `watch` stands in its site.toml.
    pub(crate) fn new(desk: &Desk, watch: &str) -> Self {
        let site = Site::enrolled(&desk.trust());
        let file = site.root().join("etc/consign/site.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let sticks = site.root().join("sticks");
        let config = format!("{text}\n[watch]\nfolders = ['{}']\n{watch}\n", sticks.display());
        let ward = Self { site, cluster: Cluster::start(), config };
        std::fs::create_dir_all(ward.slot()).unwrap();
        ward.configure("");
        ward
    }

    /// More for its site.toml, after the table `watch`, instead of what was said so before.
    pub(crate) fn configure(&self, more: &str) {
        std::fs::write(self.site.root().join("etc/consign/site.toml"), format!("{}{more}\n", self.config)).unwrap();
    }

    /// Where a stick is mounted.
    pub(crate) fn slot(&self) -> PathBuf {
        self.site.root().join("sticks/one")
    }

    /// Copies a bundle into a folder that is watched: no stick, but a medium as well. Returns where it lies.
    pub(crate) fn put(&self, bundle: &Path) -> PathBuf {
        let folder = self.site.root().join("sticks");
        let draft = folder.join("draft");
        std::fs::copy(bundle, &draft).unwrap();
        let place = folder.join(bundle.file_name().unwrap());
        std::fs::rename(draft, &place).unwrap();
        place
    }

    /// A command of the site that needs the cluster.
    pub(crate) fn command<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        self.site.invoke(arguments).option("--kubeconfig", self.cluster.kubeconfig())
    }

    /// Starts the watch.
    pub(crate) fn watch(&self) -> Watching {
        Watching::start(&self.command(["watch", "--json", "--interval", "1"]))
    }

    /// Its receipts, by number: action, outcome, version.
    pub(crate) fn receipts(&self) -> Vec<String> {
        let list = self.site.invoke(["receipts", "list", "--json"]).succeeds().json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let line = |one: &Value| format!("{} {}", text(&one["outcome"]), text(&one["release"]["version"]));
        list.as_array().unwrap().iter().map(line).collect()
    }
}

/// A watch under way. Dropping it kills it, as a power cut would.
pub(crate) struct Watching {
    child: Child,
    events: Receiver<Value>,
}

impl Watching {
    fn start(invocation: &Invocation) -> Self {
        let mut command = invocation.command();
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("consign-site watches");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (say, events) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if say.send(event).is_err() {
                    return;
                }
            }
        });
        Self { child, events }
    }

    /// The next event; it must be this one.
    pub(crate) fn says(&self, what: &str, version: &str) -> Value {
        let event = self.events.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("waiting for {what}: {error}"));
        let said = (event["event"].as_str(), event["version"].as_str().unwrap_or_default());
        assert_eq!(said, (Some(what), version), "{event}");
        event
    }

    /// Nothing is said for a while: at least so many looks.
    pub(crate) fn is_silent(&self, seconds: u64) {
        if let Ok(event) = self.events.recv_timeout(Duration::from_secs(seconds)) {
            panic!("not expected: {event}");
        }
    }

    /// Ends it well.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        consign_tests::images::run(std::process::Command::new("kill").arg(pid));
        assert!(self.child.wait().expect("our own child").success());
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The names of the receipts in a folder.
pub(crate) fn receipts_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, |entries| entries.count())
}
