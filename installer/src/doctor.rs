//! The doctor: looks at everything a site needs and says in plain words what is wrong, why it matters, what to do.
//!
//! It changes nothing, takes no lock, and waits for nothing longer than [`PATIENCE`]. Each check is one small file: what
//! is observed, and a pure judgement of it. What could not be looked at is said as `skipped`, with the reason, and is
//! never taken for good.

use std::time::Duration;

use consign_format::error::{Code, Coded, Failure, codes};
use serde::Serialize;

use crate::apply::Lookup;
use crate::clock::Clocks;
use crate::config::SiteConfig;
use crate::nodes::Place;
use crate::site::Site;
use crate::site_registry::Waiting;
use crate::store::Store;

mod certificates;
mod clock;
pub(crate) mod cluster;
mod contents;
mod disk;
mod names;
mod nodes;
mod permissions;
mod products;
mod receipts;
mod registry;
mod route;
mod runs;
mod versions;

/// No single check waits longer for a program, a name, a registry or the cluster.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work, or soon will not.
    Fail,
    /// Nobody could look.
    Skipped,
}

/// What one check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which check; stable.
    pub id: &'static str,
    /// How it came out.
    pub level: Level,
    /// What was seen.
    pub what: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do: a command, or a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// One check: its name, and why anybody should care.
struct Check {
    id: &'static str,
    why: &'static str,
}

impl Check {
    fn finding(&self, level: Level, what: impl Into<String>, fix: Option<String>) -> Finding {
        Finding { id: self.id, level, what: what.into(), why: self.why, fix }
    }

    fn ok(&self, what: impl Into<String>) -> Finding {
        self.finding(Level::Ok, what, None)
    }

    fn warn(&self, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Level::Warn, what, Some(fix.into()))
    }

    fn fail(&self, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Level::Fail, what, Some(fix.into()))
    }

    fn skipped(&self, why_not: impl Into<String>) -> Finding {
        self.finding(Level::Skipped, why_not, None)
    }

    /// What an error of ours comes to: its own words, and its own hint.
    fn failed<E: Coded>(&self, error: &E) -> Finding {
        let mut what = format!("{error} (error {})", error.code());
        let mut cause = error.source();
        while let Some(next) = cause {
            what += &format!(": {next}");
            cause = next.source();
        }
        let fix = error.hint().unwrap_or_else(|| format!("run consign-site explain {}", error.code()));
        self.fail(what, fix)
    }
}

/// Everything that is looked at.
pub struct Examined<'a> {
    /// The store, enrolled or not.
    pub store: &'a Store,
    /// Where to look for the cluster.
    pub lookup: Lookup,
    /// The clocks.
    pub clocks: &'a Clocks,
    /// Chance, for the pauses of a registry's client.
    pub random: fn(&mut [u8]) -> std::io::Result<()>,
}

/// What is known once site and configuration are open; a check that needs what is not there says so.
struct Patient<'a> {
    store: &'a Store,
    site: Option<&'a Site>,
    config: Option<&'a SiteConfig>,
    place: Option<&'a Place>,
    now: u64,
    waiting: Waiting<'a>,
}

/// What a check without a site, or without a configuration, says.
const NO_SITE: &str = "the site's own files cannot be used; see site-state";
const NO_CONFIG: &str = "site.toml cannot be used; see site-config";

const SITE: Check =
    Check { id: "site-state", why: "without its identity, its roots of trust and its counters a site takes no bundle" };
const CONFIG: Check = Check { id: "site-config", why: "a mistake in site.toml stops every command that reads it" };

/// Looks at everything. The order is that of a person who finds a machine: itself, its state, its registry, its cluster.
pub async fn examine(examined: &Examined<'_>) -> Report {
    let (opened, read) = (Site::open(examined.store.clone()), SiteConfig::read(&examined.store.config_file()));
    let place = Place::at(examined.store.root()).ok();
    let waiting = Waiting { clocks: examined.clocks, random: examined.random };
    let (store, now) = (examined.store, examined.clocks.now());
    let (site, config) = (opened.as_ref().ok(), read.as_ref().ok());
    let patient = Patient { store, site, config, place: place.as_ref(), now, waiting };
    let mut findings = vec![match &opened {
        Ok(site) => SITE.ok(format!("site {} is enrolled, its files are whole", site.identity.site)),
        Err(error) => SITE.failed(error),
    }];
    findings.push(read.as_ref().map_or_else(|error| CONFIG.failed(error), |_| CONFIG.ok("site.toml can be read")));
    findings.extend(disk::look(&patient));
    findings.extend(clock::look(&patient));
    findings.extend(names::look(&patient));
    findings.extend(route::look(&patient));
    findings.extend(runs::look(&patient));
    findings.extend(products::look(&patient));
    findings.extend(contents::look(&patient));
    findings.extend(receipts::look(&patient));
    findings.extend(registry::look(&patient).await);
    findings.extend(certificates::look(&patient, &examined.lookup));
    findings.extend(cluster::look(&patient, &examined.lookup).await);
    Report::of(findings)
}

/// The document of `doctor --json`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many are as they should be.
    pub ok: usize,
    /// How many somebody should look at.
    pub warn: usize,
    /// How many do not work.
    pub fail: usize,
    /// How many could not be looked at.
    pub skipped: usize,
    /// All of them.
    pub findings: Vec<Finding>,
}

/// Something does not work.
#[derive(Debug, thiserror::Error)]
#[error("{fail} of {of} checks found something that does not work, first {first}")]
pub struct Unwell {
    fail: usize,
    of: usize,
    first: &'static str,
}

impl Coded for Unwell {
    fn code(&self) -> Code {
        codes::DOCTOR_FINDINGS
    }

    fn hint(&self) -> Option<String> {
        Some("do what stands below each FAIL, then run consign-site doctor again".to_owned())
    }
}

impl Report {
    fn of(findings: Vec<Finding>) -> Self {
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        let (ok, warn, fail) = (count(Level::Ok), count(Level::Warn), count(Level::Fail));
        Report { ok, warn, fail, skipped: count(Level::Skipped), findings }
    }

    /// Says so if anything does not work. Warnings are no error.
    ///
    /// # Errors
    /// [`Unwell`].
    pub fn verdict(&self) -> Result<(), Failure> {
        let first = self.findings.iter().find(|finding| finding.level == Level::Fail);
        let of = self.findings.len();
        first.map_or(Ok(()), |first| Err(Unwell { fail: self.fail, of, first: first.id }.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fails_is_an_error() {
        let check = Check { id: "a", why: "b" };
        let report = Report::of(vec![check.ok("x"), check.warn("y", "z"), check.skipped("w")]);
        assert!(report.verdict().is_ok());
        let report = Report::of(vec![check.ok("x"), check.fail("y", "z"), check.fail("y", "z")]);
        let error = report.verdict().unwrap_err();
        assert_eq!((error.code().exit.code(), error.to_string().contains("2 of 3")), (1, true));
    }

    #[test]
    fn an_error_brings_its_own_words_and_hint() {
        let check = Check { id: "a", why: "b" };
        let error = crate::site::SiteError::NotEnrolled { dir: "/x".into() };
        let finding = check.failed(&error);
        assert_eq!(finding.level, Level::Fail);
        assert!(finding.what.contains("not-enrolled") && finding.fix.unwrap().contains("enrol"), "{}", finding.what);
    }
}
