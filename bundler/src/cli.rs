//! The command line of `consign`: one file per command, each with its arguments and what it says.
//!
//! Commands read the world through [`World`] only; the stages they call know nothing of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Parser, Subcommand};
use consign_format::error::{Code, Coded, Failure, codes};
use consign_registry::ImageSource;
use consign_terminal::Terminal;

use crate::config::{self, Config};
use crate::image_sources::ImageSources;
use crate::lock::{self, Lock};
use crate::tool::Environment;

mod approve;
mod attest_scan;
mod build;
mod carry;
mod completions;
mod demo;
mod diff;
mod encrypt;
mod explain;
mod export;
mod grant;
mod identity;
mod init;
mod inspect;
mod join;
mod keys;
mod lock_command;
mod one_line;
mod secret;
mod signing;
mod site;
mod split;
mod statement;
mod trust;
mod unpack;
mod verify;

/// Packs a release - Git state, rendered manifests, container images, files - into one signed bundle that a person
/// carries across an air gap.
///
/// From your own repository to a bundle in two commands:
///
///   consign init     finds charts, kustomizations and manifests, writes release.yaml, makes a development key
///   consign build    renders, pins every image, packs and signs PRODUCT-VERSION.consign
///
/// At the site, `consign-site install FILE` takes it from there.
#[derive(Debug, Parser)]
#[command(name = "consign", version, verbatim_doc_comment, max_term_width = 100)]
pub struct Cli {
    /// Answer with one JSON document on standard output, errors included
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a release.yaml for this repository, and make a development root and key
    Init(init::Args),
    /// Resolve every floating name, and write release.lock
    Lock(lock_command::Args),
    /// Build the bundle
    Build(build::Args),
    /// Approve a release by a small request, and put the approvals into its bundle
    Approve(Box<approve::Args>),
    /// Check a bundle completely, as a site would
    Verify(verify::Args),
    /// Show what is in a bundle
    Inspect(inspect::Args),
    /// Show what differs between two bundles
    Diff(diff::Args),
    /// Write the content of a bundle into folders that other tools read
    Export(export::Args),
    /// Lay a bundle out as plain files for a malware scanner
    Unpack(unpack::Args),
    /// Say of a bundle that it was scanned and found clean, in a file beside it
    AttestScan(attest_scan::Args),
    /// Make and show keys and roots, and change who has a say
    Keys(keys::Args),
    /// Encrypt a finished bundle to sites
    Encrypt(encrypt::Args),
    /// Cut a finished bundle into volumes that fit a medium
    Split(split::Args),
    /// Put a bundle together from its volumes
    Join(join::Args),
    /// Encrypt Secrets to one site, as a statement that `consign carry` takes there
    Secret(secret::Args),
    /// Write a bundle of metadata alone: roots, site records, grants
    Carry(carry::Args),
    /// Give one site leave to go back to an older release
    Grant(grant::Args),
    /// Keep the books of sites: records, kits, receipts
    Site(site::Args),
    /// Play the whole journey on this machine, in a temporary folder
    Demo(demo::Args),
    /// Explain an error code, or list them all
    Explain(explain::Args),
    /// Print the completion script of a shell
    Completions(completions::Args),
}

/// What a command may know of the world.
pub struct World<'a> {
    /// The environment's variables.
    pub environment: Environment,
    /// Now, in seconds since 1970.
    pub now: u64,
    /// Where it speaks to.
    pub terminal: &'a Terminal,
}

/// Runs one command; Ctrl-C ends it with what it was writing taken away.
///
/// # Errors
/// The command's, or `interrupted`.
pub async fn run(cli: Cli, world: &World<'_>) -> Result<(), Failure> {
    tokio::select! {
        done = dispatch(cli.command, world) => done,
        Ok(()) = tokio::signal::ctrl_c() => Err(Interrupted.into()),
    }
}

async fn dispatch(command: Command, world: &World<'_>) -> Result<(), Failure> {
    match command {
        Command::Init(args) => init::run(&args, world),
        Command::Lock(args) => lock_command::run(&args, world).await,
        Command::Build(args) => build::run(&args, world).await,
        Command::Approve(args) => approve::run(&args, world),
        Command::Verify(args) => verify::run(&args, world),
        Command::Inspect(args) => inspect::run(&args, world),
        Command::Diff(args) => diff::run(&args, world),
        Command::Demo(args) => demo::run(&args, world).await,
        Command::Export(args) => export::run(&args, world),
        Command::Encrypt(args) => encrypt::run(&args, world),
        Command::Split(args) => split::run(&args, world),
        Command::Join(args) => join::run(&args, world),
        Command::Secret(args) => secret::run(&args, world),
        Command::Carry(args) => carry::run(&args, world),
        Command::Grant(args) => grant::run(&args, world),
        Command::Unpack(args) => unpack::run(&args, world),
        Command::AttestScan(args) => attest_scan::run(&args, world),
        Command::Keys(args) => keys::run(&args, world),
        Command::Site(args) => site::run(&args, world),
        Command::Explain(args) => explain::run(&args, world),
        Command::Completions(args) => completions::run(&args, world),
    }
}

/// The person at the keyboard pressed Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

impl Coded for Interrupted {
    fn code(&self) -> Code {
        codes::INTERRUPTED
    }
}

/// Something the operating system refused to a command itself.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct IoError {
    code: Code,
    what: String,
    source: std::io::Error,
}

impl IoError {
    /// Says what was being done.
    pub fn new(code: Code, what: impl Into<String>, source: std::io::Error) -> Self {
        IoError { code, what: what.into(), source }
    }
}

impl Coded for IoError {
    fn code(&self) -> Code {
        self.code
    }
}

/// A `release.yaml` and what lies beside it.
struct Project {
    config: Config,
    base: PathBuf,
}

impl Project {
    fn open(file: &Path) -> Result<Self, Failure> {
        let base = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Project { config: config::load(file)?, base })
    }

    fn lock_path(&self) -> PathBuf {
        plain(&self.base.join(lock::FILE))
    }

    fn lock(&self) -> Result<Option<Lock>, Failure> {
        Ok(Lock::read(&self.lock_path())?)
    }

    fn images(&self, world: &World<'_>) -> Result<Arc<dyn ImageSource>, Failure> {
        Ok(Arc::new(ImageSources::open(&self.config.file.images, &self.base, docker_config(&world.environment))?))
    }
}

/// A path as people write it: `release.yaml`, not `./release.yaml`.
fn plain(path: &Path) -> PathBuf {
    let plain: PathBuf = path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    if plain.as_os_str().is_empty() { path.to_owned() } else { plain }
}

/// The login file, where Docker and podman look for it.
fn docker_config(environment: &Environment) -> Option<PathBuf> {
    let docker = environment.get("DOCKER_CONFIG").map(|folder| Path::new(folder).join("config.json"));
    let home = || environment.get("HOME").map(|home| Path::new(home).join(".docker/config.json"));
    let explicit = environment.get("REGISTRY_AUTH_FILE").map(PathBuf::from);
    let podman = || environment.get("XDG_RUNTIME_DIR").map(|dir| Path::new(dir).join("containers/auth.json"));
    explicit.or(docker).or_else(|| [home(), podman()].into_iter().flatten().find(|path| path.is_file()))
}
