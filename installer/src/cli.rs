//! The command line of `consign-site`. One file per command; each says what it will do before it asks for anything.
//!
//! This is an edge: it may print (through the terminal), start a runtime, and read what `main` hands it. It decides
//! nothing that the library could decide.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use consign_format::error::Failure;
use consign_terminal::Terminal;

use crate::apply::Lookup;
use crate::clock::Clocks;
use crate::config::{ConfigError, SiteConfig};
use crate::gates::Gates;
use crate::store::Store;

mod activate;
mod bench;
mod completions;
mod config;
mod diagnose;
mod doctor;
mod enrol;
mod explain;
mod gc;
mod guided;
mod headquarters;
mod hold;
mod install;
mod nodes;
mod rbac;
mod receipts;
mod registry;
mod rollback;
mod run;
mod runtime;
mod serve;
mod setup;
mod state_copy;
mod status;
mod store;
mod told;
mod upgrade;
mod verify;
mod watch;

const LONG_ABOUT: &str = "\
The site's side of Consign: takes a bundle that somebody carried in, checks who signed it and that every byte is \
the signed one, loads the site's registry, applies the desired state, and hands back a signed receipt.

  consign-site                                                    alone on a terminal: guides through all of this
  consign-site setup                                              once: whom it trusts, registry, units, this node
  consign-site install /media/usb                                 verify, load, apply, wait, receipt
  consign-site stage /media/usb; consign-site activate            the same in two steps
  consign-site serve                                              the registry that nodes pull from
  consign-site nodes write --server https://REGISTRY:PORT         lets this node pull from it
  consign-site status                                             what runs, how the last run went
  consign-site run --once                                         what somebody changed since
  consign-site receipts export DIR                                what to carry back
  consign-site doctor                                             what is wrong here, and what to do
  consign-site diagnose -o FILE                                   one file for headquarters

Everything the site keeps lies under /var/lib/consign; a run that was cut off is resumed by running it again.";

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed, nothing changed; 2 usage; 3 stopped midway, run again; 10 medium damaged; \
11 malformed or unsafe; 12 not trusted; 13 older than allowed; 14 not for this site; 15 expired; 16 over limits or \
no room; 17 not enrolled or state damaged; 18 cannot decrypt; 19 not upgradable; 20 registry; 21 cluster; 22 not healthy in time, \
rolled back or halted; 23 base or required product missing; 24 busy or held; 25 refused by policy; 130 interrupted. \
`consign-site explain CODE` explains an error.";

/// Verifies, loads and applies what was carried in; hands back a receipt.
#[derive(Debug, Parser)]
#[command(name = "consign-site", version, long_about = LONG_ABOUT, after_help = EXIT_CODES)]
pub struct Cli {
    /// Keep everything under this folder instead of `/`: DIR/var/lib/consign and DIR/etc/consign. Then only a cluster
    /// that was named is used, never one found on this machine.
    #[arg(long, global = true, value_name = "DIR", default_value = "/", env = "CONSIGN_ROOT_DIR")]
    root_dir: PathBuf,
    /// Print one JSON document instead of text, the error included.
    #[arg(long, global = true)]
    json: bool,
    /// Show no progress.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(setup::Arguments),
    Enrol(enrol::Arguments),
    Verify(verify::Arguments),
    Stage(install::StageArguments),
    Activate(activate::Arguments),
    Install(install::InstallArguments),
    Rollback(rollback::Arguments),
    Hold(hold::Arguments),
    Watch(watch::Arguments),
    Status(status::Arguments),
    Run(run::Arguments),
    Serve(serve::Arguments),
    Registry(registry::Arguments),
    Gc(gc::Arguments),
    Store(store::Arguments),
    Nodes(nodes::Arguments),
    Rbac(rbac::Arguments),
    Receipts(receipts::Arguments),
    Doctor(doctor::Arguments),
    Diagnose(diagnose::Arguments),
    Upgrade(upgrade::Arguments),
    Config(config::Arguments),
    Explain(explain::Arguments),
    Completions(completions::Arguments),
}

/// What `main` hands in: the machine as far as this program looks at it.
pub struct Machine {
    /// The clocks.
    pub clocks: Clocks,
    /// Fills a buffer with random bytes.
    pub random: fn(&mut [u8]) -> std::io::Result<()>,
    /// The file of the running program.
    pub program: Option<PathBuf>,
    /// `$KUBECONFIG`
    pub kubeconfig: Option<OsString>,
    /// `$KUBERNETES_SERVICE_HOST` and `$KUBERNETES_SERVICE_PORT`
    pub service: Option<(String, String)>,
}

/// What every command gets.
struct Context<'a> {
    store: Store,
    machine: &'a Machine,
    terminal: &'a Terminal,
}

impl Context<'_> {
    fn config(&self) -> Result<SiteConfig, ConfigError> {
        SiteConfig::read(&self.store.config_file())
    }
}

/// What stands between a staged release and its activation here. `overridden`: why the windows do not count this time.
fn gates(context: &Context<'_>, kubeconfig: Option<&Path>, config: &SiteConfig, overridden: Option<String>) -> Gates {
    let settings = (config.windows.clone(), config.interlock.clone());
    Gates::new(context.store.clone(), settings, lookup(context, kubeconfig, config), overridden)
}

/// Where to look for the cluster: flag, then environment, then file; the file counts only where $KUBECONFIG says nothing.
fn lookup(context: &Context<'_>, flag: Option<&Path>, config: &SiteConfig) -> Lookup {
    let environment = context.machine.kubeconfig.clone().filter(|list| !list.is_empty());
    let from_file = config.kubeconfig.clone().filter(|_| environment.is_none());
    Lookup {
        flag: flag.map(Path::to_owned).or(from_file),
        kubeconfig_env: environment,
        service: context.machine.service.clone(),
        root: context.store.root().to_owned(),
        tenant: config.tenant.as_ref().map(|tenant| tenant.namespace.to_string()),
    }
}

/// Runs a command and says how it ended.
pub fn run(cli: Cli, machine: &Machine) -> ExitCode {
    let terminal = Terminal::detect(cli.json, cli.quiet);
    run_on(cli, machine, &terminal)
}

/// Like [`run`], on a terminal of the caller's; for tests.
pub fn run_on(cli: Cli, machine: &Machine, terminal: &Terminal) -> ExitCode {
    let result = absolute(cli.root_dir).and_then(|root| {
        let context = Context { store: Store::at(&root), machine, terminal };
        match cli.command {
            Some(command) => dispatch(&context, command),
            None => guided::run(&context),
        }
    });
    terminal.finish(result)
}

fn dispatch(context: &Context<'_>, command: Command) -> Result<(), Failure> {
    match command {
        Command::Setup(arguments) => setup::run(context, &arguments),
        Command::Enrol(arguments) => enrol::run(context, arguments),
        Command::Verify(arguments) => verify::run(context, &arguments),
        Command::Stage(arguments) => install::stage(context, &arguments),
        Command::Activate(arguments) => activate::run(context, &arguments),
        Command::Install(arguments) => install::install(context, &arguments),
        Command::Rollback(arguments) => rollback::run(context, &arguments),
        Command::Hold(arguments) => hold::run(context, &arguments),
        Command::Watch(arguments) => watch::run(context, &arguments),
        Command::Status(arguments) => status::run(context, &arguments),
        Command::Run(arguments) => run::run(context, &arguments),
        Command::Serve(arguments) => serve::run(context, &arguments),
        Command::Registry(arguments) => registry::run(context, &arguments),
        Command::Gc(arguments) => gc::run(context, &arguments),
        Command::Store(arguments) => store::run(context, &arguments),
        Command::Nodes(arguments) => nodes::run(context, &arguments),
        Command::Rbac(arguments) => rbac::run(context, &arguments),
        Command::Receipts(arguments) => receipts::run(context, &arguments),
        Command::Doctor(arguments) => doctor::run(context, &arguments),
        Command::Diagnose(arguments) => diagnose::run(context, &arguments),
        Command::Upgrade(arguments) => upgrade::run(context, &arguments),
        Command::Config(arguments) => config::run(context, &arguments),
        Command::Explain(arguments) => explain::run(context, &arguments),
        Command::Completions(arguments) => completions::run(context, &arguments),
    }
}

/// Paths of the store stand in messages and must mean the same wherever they are read.
fn absolute(root: PathBuf) -> Result<PathBuf, Failure> {
    let unusable =
        |source| consign_registry::durable::DurableError::io(consign_registry::durable::Step::Read, &root, source);
    std::path::absolute(&root).map_err(|source: std::io::Error| unusable(source).into())
}
