//! `consign-site setup`: everything that stands before the first install, in one go.

use std::path::PathBuf;

use consign_format::Name;
use consign_format::error::Failure;
use consign_terminal::Usage;

use super::Context;
use super::enrol::said::FingerprintArguments;
use crate::config::{HandoffKind, Namespace, SiteConfig};
use crate::doctor::Level;
use crate::site::{Site, SiteError};
use answers::Missing;
use steps::{State, Steps};

mod answers;
mod find;
mod join;
mod machine;
mod steps;
mod written;

/// Sets this machine up: enrols it, writes site.toml, makes the registry's authority, its units, and lets this node's
/// container runtime pull from it.
///
/// What is there is found: a root of trust or a kit on a medium, the kubeconfig, the runtime, a name for the site. A
/// person at a terminal is asked for the rest; without one, a single error says all that is missing. The root's
/// fingerprint comes from a person or an option, always: there is no trust on first use. Run again, it does what is left;
/// nothing that others wrote or changed is touched.
///
/// On further nodes: consign-site setup --join https://REGISTRY:PORT --ca ca.crt. Then nothing is enrolled.
///
/// In a cluster of somebody else: consign-site setup --tenant --namespace NAME, as any user, with --root-dir; see
/// consign-site rbac for the rights that this takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where to look for the root of trust or the kit; without it, on everything that is mounted where media are.
    #[arg(value_name = "MEDIUM")]
    medium: Option<PathBuf>,
    /// The root of trust, such as `1.root.json`.
    #[arg(long, value_name = "FILE", conflicts_with = "kit")]
    root: Option<PathBuf>,
    #[command(flatten)]
    fingerprint: FingerprintArguments,
    /// The name of this site, as bundles address it.
    #[arg(long, value_name = "NAME", conflicts_with = "kit")]
    site: Option<Name>,
    /// A folder that headquarters has prepared for this site: consign site kit.
    #[arg(long, value_name = "DIR")]
    kit: Option<PathBuf>,
    /// Refuse development roots, now and later.
    #[arg(long)]
    production: bool,
    /// Who brings the desired state into the cluster; written to site.toml.
    #[arg(long, value_enum, default_value_t = HandoffKind::Direct)]
    handoff: HandoffKind,
    /// The kubeconfig for the handoff `direct`; written to site.toml.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The registry as nodes reach it, https://HOST:PORT. Then it listens on every address of this machine, at that
    /// port; without it, on this machine alone.
    #[arg(long, value_name = "URL", conflicts_with = "registry")]
    server: Option<String>,
    /// A registry that is there already, https://HOST/PATH; then this machine serves none.
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Take this machine's name as the site's without asking. The fingerprint is asked for all the same.
    #[arg(long, short)]
    yes: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// One namespace in a cluster of somebody else: no units, no node, nothing outside the namespace.
    #[arg(long, requires = "namespace")]
    tenant: bool,
    /// The tenant's namespace.
    #[arg(long, value_name = "NAME", requires = "tenant")]
    namespace: Option<Namespace>,
    /// Let only this node pull from a registry that another machine of the site serves: https://HOST:PORT.
    #[arg(long, value_name = "URL", requires = "ca", conflicts_with_all = ["medium", "root", "site", "kit", "tenant",
        "production", "kubeconfig", "server", "registry"])]
    join: Option<String>,
    /// The certificate of that registry's authority: /etc/consign/ca.crt of the machine that serves.
    #[arg(long, value_name = "FILE", requires = "join")]
    ca: Option<PathBuf>,
    /// Its fingerprint, as `consign-site registry ca show` prints it there: 64 hexadecimal digits, or 12 words.
    #[arg(long, value_name = "FINGERPRINT", requires = "join")]
    ca_sha256: Option<String>,
    /// A file of one line, USER:PASSWORD, if that registry wants a password.
    #[arg(long, value_name = "FILE", requires = "join")]
    credentials_file: Option<PathBuf>,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let mut steps = Steps::new(context.terminal, arguments.dry_run);
    match &arguments.join {
        Some(server) => join::run(context, arguments, server, &mut steps)?,
        None => set_up(context, arguments, &mut steps)?,
    }
    let next = if arguments.join.is_some() { "consign-site nodes check" } else { "consign-site install MEDIUM" };
    steps.finish(next);
    Ok(())
}

/// The order of a set-up. What is missing is known before the first step changes anything.
fn set_up(context: &Context<'_>, arguments: &Arguments, steps: &mut Steps<'_>) -> Result<(), Failure> {
    let before = enrolled(context, arguments)?;
    let mut missing = Missing::default();
    let wanted = if before.is_none() { answers::enrolment(context, arguments, &mut missing)? } else { None };
    let existing = context.store.config_file().exists().then(|| context.config()).transpose()?;
    let config = match existing.clone() {
        Some(config) => config,
        None => written::config(arguments, answers::kubeconfig(context, arguments, &mut missing)?)?,
    };
    missing.check()?;

    match (before, wanted) {
        (Some(site), _) => steps.tell("enrol", State::Found, format!("site {site}")),
        (None, Some((wanted, fingerprint))) => written::enrol(context, arguments, wanted, fingerprint, steps)?,
        (None, None) => {}
    }
    written::site_toml(context, &config, existing.is_some(), steps)?;
    written::authority(context, &config, steps)?;
    machine::units(context, &config, steps)?;
    machine::node(context, &config, steps)?;
    examined(context, arguments, steps)
}

/// The doctor looks at all of it. What it finds is told, and keeps nobody from having set up.
fn examined(context: &Context<'_>, arguments: &Arguments, steps: &mut Steps<'_>) -> Result<(), Failure> {
    if steps.dry_run {
        return Ok(());
    }
    let report = super::doctor::report(context, arguments.kubeconfig.as_deref())?;
    let ill = report.findings.iter().filter(|one| matches!(one.level, Level::Warn | Level::Fail));
    let lines: Vec<String> = ill
        .map(|one| {
            format!("{}: {}{}", one.id, one.what, one.fix.iter().map(|fix| format!("; {fix}")).collect::<String>())
        })
        .collect();
    match lines.is_empty() {
        true => steps.tell("doctor", State::Done, format!("{} checks are well", report.ok)),
        false => steps.tell("doctor", State::ToDo, lines.join("\n")),
    }
    Ok(())
}

/// The name of the site that is enrolled here already, if one is.
fn enrolled(context: &Context<'_>, arguments: &Arguments) -> Result<Option<Name>, Failure> {
    let here = match Site::open(context.store.clone()) {
        Ok(site) => site.identity.site,
        Err(SiteError::NotEnrolled { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if let Some(other) = arguments.site.as_ref().filter(|name| **name != here) {
        let hint = Some("another machine in the place of this one: consign-site enrol --replace".to_owned());
        return Err(Usage { message: format!("this is site {here} already, and not {other}"), hint }.into());
    }
    Ok(Some(here))
}

/// Whether this machine serves the registry of its site.
fn serves(config: &SiteConfig) -> bool {
    config.registry.existing.is_none()
}
