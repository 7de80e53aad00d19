//! `consign-site upgrade`

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use consign_format::error::Failure;
use consign_terminal::Usage;

use super::Context;
use crate::admit::Ask;
use crate::install_bundle::count_refusal;
use crate::site::Site;
use crate::upgrade::{Program, roll_back, upgrade};

/// How long a new program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(20);

/// Upgrades consign-site itself, out of a bundle that this site verifies first.
///
/// A program that lies loose on a stick is never run. The new one is taken out of the bundle, asked for its version,
/// and put into the place of this one in a single step; this one stays beside it, and --rollback brings it back.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The bundle, or a folder that holds exactly one.
    #[arg(required_unless_present = "rollback", conflicts_with = "rollback")]
    path: Option<PathBuf>,
    /// Go back to the program that the last upgrade replaced.
    #[arg(long)]
    rollback: bool,
    /// Refuse what has expired instead of warning; for sites with a clock they trust.
    #[arg(long)]
    enforce_expiry: bool,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let Some(path) = context.machine.program.as_deref() else {
        let hint = Some("start consign-site by its full path".to_owned());
        return Err(Usage { message: "this program does not know where its own file lies".to_owned(), hint }.into());
    };
    let mut site = Site::open_exclusive(context.store.clone())?;
    let Some(bundle) = &arguments.path else {
        let program = roll_back(path)?;
        let human = format!("{} is the one from before the last upgrade again", program.display());
        context.terminal.result(&serde_json::json!({ "program": program }), human);
        return Ok(());
    };
    let program = Program { path, version: env!("CARGO_PKG_VERSION"), platform: platform(), ask_version: &ask_version };
    let require_scan = context.config()?.require_scan;
    let ask = Ask { enforce_expiry: arguments.enforce_expiry, require_scan, ..Ask::default() };
    let (clocks, progress) = (&context.machine.clocks, context.terminal.progress());
    let upgraded = upgrade(&mut site, bundle, ask, &program, clocks, progress)
        .inspect_err(|failure| count_refusal(&site, failure))?;
    upgraded.warnings.iter().for_each(|warning| context.terminal.warn(warning));
    let human = format!(
        "{} is consign-site {} now; {} is kept as {}",
        upgraded.program.display(),
        upgraded.version,
        upgraded.from,
        upgraded.previous.display()
    );
    context.terminal.result(&upgraded, human);
    Ok(())
}

/// This machine, as images name it.
fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}

/// Runs a program with `--version`, with nothing around it, and not for long.
fn ask_version(program: &Path) -> std::io::Result<String> {
    let mut command = Command::new(program);
    command.arg("--version").env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Err(std::io::Error::other("it does not say its version"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
