//! What a set-up has to be told: options first, then what is found, then the person at the terminal. Without one, a single
//! error says everything that is missing.

use std::path::PathBuf;

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::Fingerprint;
use consign_format::{Digest, Name};
use consign_terminal::Usage;

use super::{Arguments, Context, find};
use crate::cli::enrol::{Wanted, kit, read, said};
use crate::cli::lookup;
use crate::config::{HandoffKind, SiteConfig};

/// What is missing, one line each, with the option that says it.
#[derive(Debug, Default)]
pub(super) struct Missing(Vec<String>);

impl Missing {
    pub(super) fn add(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    /// # Errors
    /// A usage error with all of it.
    pub(super) fn check(self) -> Result<(), Usage> {
        if self.0.is_empty() {
            return Ok(());
        }
        let message = format!("nothing was found here, and nobody was there to be asked, for {}", self.0.join("; "));
        Err(Usage { message, hint: Some("give these options, or run it at a terminal".to_owned()) })
    }
}

/// What is enrolled, and by which fingerprint. `None` while something is missing.
pub(super) fn enrolment(
    context: &Context<'_>,
    arguments: &Arguments,
    missing: &mut Missing,
) -> Result<Option<(Wanted, Fingerprint)>, Failure> {
    let media = find::media(arguments.medium.as_deref(), context.store.root());
    if media.kits.len() > 1 && arguments.kit.is_none() && arguments.root.is_none() {
        let kits: Vec<String> = media.kits.iter().map(|kit| kit.display().to_string()).collect();
        missing.add(format!("which kit is this site's (--kit DIR): {}", kits.join(", ")));
    }
    let kit = arguments.kit.clone().or_else(|| only(&media.kits).filter(|_| arguments.root.is_none()));
    if let Some(folder) = &kit {
        context.terminal.say(format!("kit            {}", folder.display()));
        let wanted = kit::read_folder(folder)?;
        return Ok(fingerprint(context, arguments, missing)?.map(|fingerprint| (wanted, fingerprint)));
    }
    let roots = arguments.root.iter().cloned().chain(if arguments.root.is_none() { media.roots } else { Vec::new() });
    let roots = asked_for(context, roots.collect(), missing)?;
    let fingerprint = fingerprint(context, arguments, missing)?;
    let site = site(context, arguments, missing)?;
    let (Some(fingerprint), Some(site)) = (fingerprint, site) else { return Ok(None) };
    let Some(root) = find::root_of(&roots, &fingerprint)? else { return Ok(None) };
    Ok(Some((Wanted { root, site, production: arguments.production, kit: None }, fingerprint)))
}

fn only(found: &[PathBuf]) -> Option<PathBuf> {
    found.first().filter(|_| found.len() == 1).cloned()
}

fn asked_for(context: &Context<'_>, roots: Vec<PathBuf>, missing: &mut Missing) -> Result<Vec<PathBuf>, Failure> {
    if !roots.is_empty() {
        return Ok(roots);
    }
    match said::ask(context, "Where is the root of trust, such as /media/usb/trust/1.root.json?")? {
        Some(answer) => {
            let path = PathBuf::from(answer);
            read(&path)?;
            Ok(vec![path])
        }
        None => {
            missing.add("the root of trust (--root FILE, or a kit: --kit DIR)");
            Ok(Vec::new())
        }
    }
}

fn fingerprint(
    context: &Context<'_>,
    arguments: &Arguments,
    missing: &mut Missing,
) -> Result<Option<Fingerprint>, Failure> {
    let fingerprint = arguments.fingerprint.find(context)?;
    if fingerprint.is_none() {
        missing.add("the root's fingerprint, from paper (--root-sha256 or --root-words)");
    }
    Ok(fingerprint)
}

fn site(context: &Context<'_>, arguments: &Arguments, missing: &mut Missing) -> Result<Option<Name>, Failure> {
    if arguments.site.is_some() {
        return Ok(arguments.site.clone());
    }
    let proposed = find::machine_name();
    if let (true, Some(name)) = (arguments.yes, &proposed) {
        return Ok(Some(name.clone()));
    }
    let enter = proposed.as_ref().map(|name| format!(" (Enter takes `{name}`)")).unwrap_or_default();
    match said::ask(context, &format!("What is this site called, as bundles address it?{enter}"))? {
        Some(answer) if answer.is_empty() && proposed.is_some() => Ok(proposed),
        Some(answer) => {
            let wrong = |error| Usage { message: format!("`{answer}` is no name of a site: {error}"), hint: None };
            Ok(Some(answer.parse::<Name>().map_err(wrong)?))
        }
        None => {
            let yes = proposed.map(|name| format!(", or --yes for `{name}`")).unwrap_or_default();
            missing.add(format!("the name of this site (--site NAME{yes})"));
            Ok(None)
        }
    }
}

/// The kubeconfig that is written down: the one that was named, or that somebody types because none is found.
pub(super) fn kubeconfig(
    context: &Context<'_>,
    arguments: &Arguments,
    missing: &mut Missing,
) -> Result<Option<PathBuf>, Failure> {
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let named = arguments.kubeconfig.clone().map(absolute);
    let found = lookup(context, named.as_deref(), &SiteConfig::default()).find().is_ok();
    if named.is_some() || found || arguments.handoff != HandoffKind::Direct {
        return Ok(named);
    }
    match said::ask(context, "No kubeconfig was found. Which file is it?")? {
        Some(answer) => Ok(Some(absolute(PathBuf::from(answer)))),
        None => {
            missing.add("a kubeconfig (--kubeconfig FILE, or --handoff export)");
            Ok(None)
        }
    }
}

/// Demands that a certificate is the one that a person, or an option, vouches for.
pub(super) fn authority(context: &Context<'_>, arguments: &Arguments, found: &Digest) -> Result<(), Failure> {
    let said = match &arguments.ca_sha256 {
        Some(said) => Some(said.clone()),
        None => {
            let question = "Type the authority's fingerprint, as `consign-site registry ca show` prints it there:";
            said::ask(context, question)?
        }
    };
    let said: Fingerprint = match said {
        Some(said) => said.parse()?,
        None => {
            let hint = Some("add --ca-sha256, from `consign-site registry ca show` on the first machine".to_owned());
            return Err(Usage { message: "the authority's fingerprint was not given".to_owned(), hint }.into());
        }
    };
    if said.is_of(found) { Ok(()) } else { Err(OtherAuthority.into()) }
}

/// The certificate is not the one that somebody vouches for.
#[derive(Debug, thiserror::Error)]
#[error("the certificate of the registry's authority has another fingerprint")]
struct OtherAuthority;

impl Coded for OtherAuthority {
    fn code(&self) -> Code {
        codes::AUTHORITY_UNKNOWN
    }

    fn hint(&self) -> Option<String> {
        Some("take ca.crt from the first machine again, and read its fingerprint there: registry ca show".to_owned())
    }
}
