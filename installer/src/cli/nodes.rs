//! `consign-site nodes`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_format::reference::is_host_and_port;
use consign_terminal::Usage;

use super::Context;
use crate::config::NodesConfig;
use crate::nodes::written::{Told, Written};
use crate::nodes::{Credentials, NodesError, Place, Runtime, Setup, authority, detect, servers, store_images};

mod check;
mod remove;
mod shown;
mod write;

/// Lets this node's container runtime find the site's registry; image references stay as they are.
///
/// Run it on every node, as root. What is there is found: containerd, k3s, RKE2, CRI-O, podman, MicroK8s, OpenShift.
/// Files of others are never touched, and `remove` leaves a node as it was.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Write(write::Arguments),
    Check(check::Arguments),
    Remove(remove::Arguments),
}

/// What `write` and `check` are told of the registry.
#[derive(Debug, clap::Args)]
struct Registry {
    /// The registry as this node reaches it, https://HOST:PORT. Several are tried in this order. Without it: `servers`
    /// under [nodes] of site.toml, else what was said the last time.
    #[arg(long = "server", value_name = "URL")]
    servers: Vec<String>,
    /// A host whose images come from here too, beside docker.io and those that the installed releases name. Nodes with
    /// CRI-O or podman and no store of their own need one for each.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// A file of one line, USER:PASSWORD, if the registry wants a password.
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
    /// Take http:// servers on other machines too: the network is trusted.
    #[arg(long)]
    plain_http: bool,
}

/// Which runtimes a command is about.
#[derive(Debug, clap::Args)]
struct Which {
    /// The container runtime; several may be named. Without it, all that are found here.
    #[arg(long = "runtime", value_name = "RUNTIME", value_enum)]
    runtimes: Vec<Runtime>,
}

/// What `nodes write` does with these servers, or says it would do; `None` where no runtime is here.
pub(super) fn set_up(
    context: &Context<'_>,
    servers: Vec<String>,
    credentials_file: Option<PathBuf>,
    dry_run: bool,
) -> Result<Option<String>, Failure> {
    let place = Place::at(context.store.root())?;
    if detect::runtimes(&place).is_empty() {
        return Ok(None);
    }
    let registry = Registry { servers, hosts: Vec::new(), credentials_file, plain_http: false };
    Ok(Some(write::written(context, &write::Arguments::of(registry, dry_run))?.to_string()))
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Write(arguments) => write::run(context, arguments),
        Command::Check(arguments) => check::run(context, arguments),
        Command::Remove(arguments) => remove::run(context, arguments),
    }
}

impl Which {
    /// The runtimes that were named, or those that are here.
    fn find(&self, place: &Place) -> Result<BTreeSet<Runtime>, NodesError> {
        let named: BTreeSet<Runtime> = self.runtimes.iter().copied().collect();
        let found = if named.is_empty() { detect::runtimes(place) } else { named };
        if found.is_empty() { Err(NodesError::NoRuntime { root: place.root().to_owned() }) } else { Ok(found) }
    }
}

impl Registry {
    /// The setup, and what of it a person said: a flag beats the configuration, and that beats what was said before.
    fn setup(&self, context: &Context<'_>, place: &Place) -> Result<(Setup, Told), Failure> {
        let told = self.told(context.config()?.nodes, Written::read(place)?.told)?;
        let mut hosts = store_images::hosts(&context.store)?;
        hosts.extend(told.hosts.iter().cloned());
        let setup = Setup {
            servers: servers::parse(&told.servers, told.plain_http)?,
            authority: authority::read(place)?,
            credentials: told.credentials.as_deref().map(Credentials::read).transpose()?,
            hosts,
        };
        Ok((setup, told))
    }

    fn told(&self, config: NodesConfig, before: Told) -> Result<Told, Usage> {
        let one = |flag: &[String], config: Vec<String>, before: Vec<String>| {
            [flag.to_vec(), config, before].into_iter().find(|list| !list.is_empty()).unwrap_or_default()
        };
        let hosts = one(&self.hosts, config.hosts, before.hosts.into_iter().collect());
        if let Some(host) = hosts.iter().find(|host| !is_host_and_port(host)) {
            let hint = Some("a host is what stands before the first slash of an image, such as quay.io".to_owned());
            return Err(Usage { message: format!("`{host}` is no host"), hint });
        }
        let credentials = self.credentials_file.as_deref().map(absolute);
        Ok(Told {
            servers: one(&self.servers, config.servers, before.servers),
            hosts: hosts.into_iter().collect(),
            credentials: credentials.or(config.credentials).or(before.credentials),
            plain_http: self.plain_http || config.plain_http || before.plain_http,
        })
    }
}

/// A path that is written down must mean the same the next time.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
