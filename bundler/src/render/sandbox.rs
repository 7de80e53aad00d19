//! Where renderers run: no network, no home, no plugins, no clock of this place.
//!
//! Where the kernel lets us, they get a network namespace of their own, in which there is nothing at all.
//! Elsewhere every proxy variable points at a port that nobody listens on; what ignores those is caught by
//! the checks before rendering and by rendering twice. Which of the two it was is told to the caller.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::tool::{self, Bounds, Environment, Output, ToolError};

/// How far renderers are kept from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// In a network namespace with nothing in it.
    Namespace,
    /// Only by proxy variables that lead nowhere.
    Proxies,
}

/// What a renderer may use up. The largest known chart writes 20 MB.
const RENDER: Bounds = Bounds { output: 64 << 20, time: Duration::from_secs(300) };
const QUICK: Bounds = Bounds { output: 1 << 20, time: Duration::from_secs(60) };

/// Nobody listens on the discard port of this machine, and nobody may (it is below 1024).
const NOWHERE: &str = "http://127.0.0.1:9";

/// Runs renderers, and knows which of them were used.
#[derive(Debug)]
pub(super) struct Sandbox<'a> {
    environment: &'a Environment,
    /// The words in front of a command that give it an empty network; decided at first use.
    prefix: Option<(Isolation, Vec<PathBuf>)>,
    versions: BTreeMap<String, String>,
}

/// An empty home for one run of a renderer.
#[derive(Debug)]
pub(super) struct Home {
    folder: TempDir,
    zone: &'static str,
}

impl Home {
    /// Makes an empty home in which the local time is `zone`.
    pub(super) fn new(zone: &'static str) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("consign-render-").tempdir()?;
        for name in ["home", "tmp", "bin"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        Ok(Home { folder, zone })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl<'a> Sandbox<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Sandbox { environment, prefix: None, versions: BTreeMap::new() }
    }

    /// Returns how renderers were isolated, if any ran.
    pub(super) fn isolation(&self) -> Option<Isolation> {
        self.prefix.as_ref().map(|(isolation, _)| *isolation)
    }

    /// Returns the tools that were used and their versions.
    pub(super) fn into_versions(self) -> BTreeMap<String, String> {
        self.versions
    }

    /// Looks up a tool.
    pub(super) fn find(&self, program: &str) -> Option<PathBuf> {
        self.environment.find(program)
    }

    pub(super) fn record(&mut self, tool: &str, version: String) {
        self.versions.insert(tool.to_owned(), version);
    }

    pub(super) fn is_recorded(&self, tool: &str) -> bool {
        self.versions.contains_key(tool)
    }

    /// Runs a renderer.
    pub(super) fn run(
        &mut self,
        program: &Path,
        arguments: &[std::ffi::OsString],
        home: &Home,
    ) -> Result<Output, ToolError> {
        let mut command = self.command(program, home);
        command.args(arguments);
        tool::run(&mut command, RENDER)
    }

    fn command(&mut self, program: &Path, home: &Home) -> Command {
        let environment = self.environment;
        let (_, prefix) = self.prefix.get_or_insert_with(|| isolation(environment));
        let mut command = match prefix.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.env_clear().current_dir(home.path()).envs(surroundings(home));
        command
    }
}

/// All that a renderer sees of the world.
fn surroundings(home: &Home) -> Vec<(&'static str, PathBuf)> {
    let root = home.path();
    let mut variables: Vec<(&'static str, PathBuf)> = vec![
        // Empty: neither `git` nor a plugin can be called.
        ("PATH", root.join("bin")),
        ("HOME", root.join("home")),
        ("TMPDIR", root.join("tmp")),
        ("XDG_CACHE_HOME", root.join("home/cache")),
        ("XDG_CONFIG_HOME", root.join("home/config")),
        ("XDG_DATA_HOME", root.join("home/data")),
        ("HELM_CACHE_HOME", root.join("home/helm/cache")),
        ("HELM_CONFIG_HOME", root.join("home/helm/config")),
        ("HELM_DATA_HOME", root.join("home/helm/data")),
        ("HELM_PLUGINS", root.join("home/helm/plugins")),
        ("HELM_REPOSITORY_CONFIG", root.join("home/helm/repositories.yaml")),
        ("HELM_REPOSITORY_CACHE", root.join("home/helm/repository")),
        ("HELM_REGISTRY_CONFIG", root.join("home/helm/registry.json")),
        ("KUBECONFIG", root.join("home/kubeconfig")),
        ("KUSTOMIZE_PLUGIN_HOME", root.join("home/kustomize")),
        ("GOMAXPROCS", "2".into()),
        ("LC_ALL", "C".into()),
        ("TZ", home.zone.into()),
    ];
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        variables.push((name, NOWHERE.into()));
    }
    variables
}

/// Finds out once how this machine can take the network away.
fn isolation(environment: &Environment) -> (Isolation, Vec<PathBuf>) {
    if let Some(unshare) = environment.find("unshare") {
        // As root a namespace is made directly, else in a user namespace of one's own, where that is allowed.
        for options in [&["--net"][..], &["--user", "--map-root-user", "--net"]] {
            let mut probe = Command::new(&unshare);
            probe.env_clear().args(options).arg("--").arg(&unshare).arg("--version");
            if tool::run(&mut probe, QUICK).is_ok() {
                let words = options.iter().copied().chain(["--"]).map(PathBuf::from);
                return (Isolation::Namespace, std::iter::once(unshare).chain(words).collect());
            }
        }
    }
    (Isolation::Proxies, Vec::new())
}
