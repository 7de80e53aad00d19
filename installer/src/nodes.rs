//! The nodes of a site: told once, in their runtime's own files, where images are; references stay as they are.
//!
//! [`plan`] says what a node should have, [`change`] brings it there or takes it away, [`check`] proves it by a pull.
//! Every format has a file of its own; which of them apply, [`detect`] finds out.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub mod authority;
pub mod change;
pub mod check;
pub mod containerd;
pub mod containerd_config;
pub mod containers;
pub mod credentials;
pub mod detect;
pub mod error;
pub mod openshift;
mod own;
pub mod place;
pub mod plan;
pub mod rancher;
pub mod restart;
pub mod servers;
pub mod store_images;
pub mod written;

pub use credentials::Credentials;
pub use error::NodesError;
pub use place::Place;
pub use servers::Server;

/// A container runtime, or the distribution that brings one and owns its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// containerd, 1.6 or newer, as kubeadm and others use it: hosts.toml.
    Containerd,
    /// k3s: registries.yaml.
    K3s,
    /// RKE2: registries.yaml.
    Rke2,
    /// CRI-O: registries.conf.d.
    Crio,
    /// podman, skopeo, buildah: registries.conf.d.
    Podman,
    /// MicroK8s: hosts.toml in its own folder.
    Microk8s,
    /// OpenShift: manifests that its administrator applies.
    Openshift,
}

impl std::fmt::Display for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Runtime::Containerd => "containerd",
            Runtime::K3s => "k3s",
            Runtime::Rke2 => "rke2",
            Runtime::Crio => "crio",
            Runtime::Podman => "podman",
            Runtime::Microk8s => "microk8s",
            Runtime::Openshift => "openshift",
        })
    }
}

/// Where the nodes of this site find their images.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The servers, in the order in which they are tried.
    pub servers: Vec<Server>,
    /// The certificates of the site's own authority, as PEM; without it the machine's own authorities must do.
    pub authority: Option<String>,
    /// What the registry wants to be told.
    pub credentials: Option<Credentials>,
    /// The hosts that images name, `docker.io` always among them.
    pub hosts: BTreeSet<String>,
}

/// A file that a node should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFile {
    /// The path on the node, from `/`.
    pub path: String,
    /// What is in it.
    pub content: String,
    /// Its permission bits.
    pub mode: u32,
    /// Whether the runtime reads it only when it starts, or is told to.
    pub restart: bool,
    /// The runtimes that read it.
    pub runtimes: BTreeSet<Runtime>,
}

/// Something a person has to know or to do; nothing that this program does by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// The runtime it is about.
    pub runtime: Runtime,
    /// What was found.
    pub message: String,
    /// What to do.
    pub fix: String,
    /// Whether nodes do not find the registry before it is done.
    pub needed: bool,
}

/// What one runtime should have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The files.
    pub files: Vec<WantedFile>,
    /// What a person has to know or to do.
    pub advice: Vec<Advice>,
}

/// What our files begin with, where their format has comments.
pub(crate) const HEADER: &str = "\
# Written by `consign-site nodes write`; `consign-site nodes remove` takes it away again.
# This site's images come from its own registry; docs/nodes.md of Consign explains.
";

impl Wanted {
    /// Adds a file of one runtime.
    fn file(&mut self, runtime: Runtime, path: impl Into<String>, content: String, secret: bool, restart: bool) {
        let mode = if secret { 0o600 } else { 0o644 };
        self.files.push(WantedFile { path: path.into(), content, mode, restart, runtimes: BTreeSet::from([runtime]) });
    }
}

impl Setup {
    /// The authority, if it is needed: without a TLS server it is not.
    pub(crate) fn needed_authority(&self) -> Option<&str> {
        self.authority.as_deref().filter(|_| self.servers.iter().any(Server::tls))
    }
}

/// Where the manifest of what was written lies, and all that belongs to it.
pub(crate) const OWN_FOLDER: &str = "/var/lib/consign/nodes";

/// A path of the node as text; what is no UTF-8 cannot stand in a configuration.
pub(crate) fn text(path: PathBuf) -> Result<String, NodesError> {
    let input = |path: PathBuf| NodesError::Input { path, reason: "its path is not UTF-8".to_owned() };
    path.into_os_string().into_string().map_err(|path| input(path.into()))
}
