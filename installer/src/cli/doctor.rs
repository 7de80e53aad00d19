//! `consign-site doctor`

use std::fmt::Write as _;
use std::path::PathBuf;

use consign_format::error::Failure;

use super::{Context, lookup, runtime};
use crate::config::SiteConfig;
use crate::doctor::{Examined, Finding, Level, Report, examine};

/// Looks at everything this site needs, and says what is wrong, why it matters, and what to do.
///
/// Disks, clock, names, ports, certificates, the registry, the cluster and its nodes, permissions, the site's own state.
/// It changes nothing and takes no lock, so it may run while an install does. What could not be looked at is said as
/// `skipped`, with the reason. Ends with 1 if anything does not work; warnings are no error.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The kubeconfig of the cluster; without it, as `install` finds it.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Show the checks that found nothing too.
    #[arg(long, short)]
    verbose: bool,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let report = report(context, arguments.kubeconfig.as_deref())?;
    let ended = report.verdict();
    context.terminal.verdict(&report, human(&report, arguments.verbose));
    ended
}

/// What the doctor finds here.
pub(super) fn report(context: &Context<'_>, kubeconfig: Option<&std::path::Path>) -> Result<Report, Failure> {
    // A configuration that cannot be read is a finding, and no reason to find nothing else.
    let config = context.config().unwrap_or_else(|_| SiteConfig::default());
    let lookup = lookup(context, kubeconfig, &config);
    let machine = context.machine;
    let examined = Examined { store: &context.store, lookup, clocks: &machine.clocks, random: machine.random };
    runtime::block_on(async { Ok(examine(&examined).await) })
}

/// The worst first.
fn human(report: &Report, verbose: bool) -> String {
    let mut shown: Vec<&Finding> = report.findings.iter().filter(|one| verbose || one.level != Level::Ok).collect();
    shown.sort_by_key(|finding| match finding.level {
        Level::Fail => 0,
        Level::Warn => 1,
        Level::Skipped => 2,
        Level::Ok => 3,
    });
    let mut text = String::new();
    for finding in shown {
        let word = match finding.level {
            Level::Ok => "ok",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
            Level::Skipped => "skipped",
        };
        let _ = writeln!(text, "{word:<8} {}: {}", finding.id, finding.what);
        if matches!(finding.level, Level::Warn | Level::Fail) {
            let _ = writeln!(text, "         why:   {}", finding.why);
        }
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "         to do: {fix}");
        }
    }
    let Report { ok, warn, fail, skipped, .. } = report;
    let _ = write!(text, "{ok} checks are well, {warn} warn, {fail} fail, {skipped} could not be made");
    text
}
