//! `consign verify` as a gate: every check that can be made of a bundle is made, and every finding is told.
//!
//! A check ends in one of three ways, kept apart all the way to the report: it passed; it was refused; it could not be
//! made, because something on this machine failed or because a check before it left nothing to look at.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use consign_format::Limits;
use consign_format::archive::volumes::Map;
use consign_format::error::{Exit, Failure};
use consign_registry::manifest::{Manifest, Pointers};
use consign_terminal::{Amount, Progress, report_json};

use crate::bundle::kept::Kept;
use crate::bundle::{self, Announced, BundleError, Open, Trust};
use crate::medium::Medium;
use crate::policy;

pub mod asked;
pub mod junit;
mod metadata;
pub mod report;
pub mod sarif;
mod text;

pub use asked::{Asked, GateError};
pub use report::{Check, Head, Kind, Outcome, Report, RootCarried, RootShown, StatementShown, Verdict};

/// Why a fingerprint alone is not the whole of what is known.
const LATER_UNSEEN: &str = "the fingerprint alone knows no root later than those in the bundle, so a key that was revoked \
                            since still counts; give all roots with it: --root trust (a folder of N.root.json)";

/// The report, and the first thing that was found, as the error that ends the run.
pub struct Examined {
    /// Everything.
    pub report: Report,
    /// What ends the run; nothing if the bundle is accepted.
    pub failure: Option<Failure>,
}

/// Makes every check. The bundle is read once from end to end; a second time, in parts, only where a signature lies
/// before the manifest that names it.
pub fn examine(path: &Path, trust: &Trust, asked: &Asked<'_>, progress: &dyn Progress) -> Examined {
    let tally = Tally { progress, read: AtomicU64::new(0) };
    let mut notes = Notes::new(path);
    match start(path, trust, asked, &tally) {
        Ok(Started { announced, open, volumes }) => {
            notes.passed(Kind::Trust, None, RootShown::of_chain(&announced.roots).text());
            if matches!(trust, Trust::Fingerprint(_)) {
                notes.warning(LATER_UNSEEN);
            }
            notes.report.bytes = bundle::length(path).ok();
            let statements = metadata::examine(&announced, &mut notes);
            match open {
                Some(open) => examine_open(path, trust, (open, volumes), asked, &tally, &mut notes),
                None => metadata::conclude(&announced.roots, &statements, asked, &mut notes),
            }
        }
        Err(failure) => {
            notes.failed(Kind::Trust, None, failure);
            let why = "nothing vouches for the bundle";
            let kinds = [Kind::Content, Kind::State].into_iter().chain(asked.kinds());
            kinds.for_each(|kind| notes.skipped(kind, why));
        }
    }
    progress.done();
    notes.report.bytes_read = tally.read.load(Ordering::Relaxed);
    notes.finish()
}

/// What came before the release, and the release, if there is one: its head is vouched for.
struct Started<'a> {
    announced: Announced<Medium<'a>>,
    open: Option<Open<Medium<'a>>>,
    /// What lies in which volume, if it is in volumes.
    volumes: Option<Map>,
}

fn start<'a>(path: &Path, trust: &Trust, asked: &Asked<'_>, tally: &'a Tally<'_>) -> Result<Started<'a>, Failure> {
    tally.phase("verifying", Amount::Bytes(bundle::length(path)?));
    let medium = Medium::open(path, asked.key, tally)?;
    let volumes = medium.map();
    let mut announced = bundle::announce(medium, trust)?;
    let roots = announced.roots.clone();
    let verified = announced.release.take().map(|release| release.verify(&roots)).transpose()?;
    Ok(Started { announced, open: verified.map(|verified| Open { verified, roots }), volumes })
}

fn examine_open(
    path: &Path,
    trust: &Trust,
    (open, volumes): (Open<Medium<'_>>, Option<Map>),
    asked: &Asked<'_>,
    tally: &Tally<'_>,
    notes: &mut Notes,
) {
    let (vouched, roots) = (&open.verified.vouched, open.roots.clone());
    notes.report.head = Some(Head::of(vouched));
    notes.answered(asked.judge(vouched, &roots));
    let (release, carriage) = (vouched.release.clone(), vouched.carriage.clone());
    let explain = |error| match (volumes, error) {
        (Some(map), BundleError::Archive(error)) => map.explain(error, &carriage).into(),
        (_, error) => Failure::from(error),
    };
    let mut kept = Kept::default();
    kept.want_manifest(release.state, Limits::DEFAULT.state);
    if let Some(policy) = asked.policy {
        policy::judge::want(policy, &release.images, &mut kept);
    }
    let read = open.read_all_keeping(&mut kept).map_err(explain).and_then(|members| {
        if kept.is_incomplete() {
            bundle::open_as(path, trust, asked.key, tally)?.read_only(&mut kept)?;
        }
        Ok(members)
    });
    let members = match read {
        Ok(members) => members,
        Err(failure) => {
            notes.failed(Kind::Content, None, failure);
            let why = "the content is not whole";
            notes.skipped(Kind::State, why);
            asked.policy.into_iter().for_each(|_| notes.skipped(Kind::ImageSignature, why));
            return;
        }
    };
    notes.report.members = Some(members);
    notes.passed(Kind::Content, None, format!("{members} members are what was signed"));
    match objects(&release.state, &kept) {
        Ok(objects) => {
            notes.report.objects = Some(objects);
            notes.passed(Kind::State, None, format!("{objects} objects"));
        }
        Err(failure) => notes.failed(Kind::State, None, failure),
    }
    for judged in asked.policy.map(|policy| policy::judge(policy, &release.images, &kept)).unwrap_or_default() {
        notes.judged(judged);
    }
}

fn objects(state: &consign_format::Digest, kept: &Kept) -> Result<usize, Failure> {
    use consign_format::state::StateError;
    let malformed = |reason| BundleError::State(StateError::Malformed(reason));
    let manifest = kept.read(state).map_err(|_| malformed("its manifest is too large"))?;
    let manifest = Manifest::parse(manifest, None).map_err(|_| malformed("its manifest is none"))?;
    let layer = match &manifest.content {
        Pointers::Image { layers, .. } if layers.len() == 1 => layers[0].digest,
        _ => return Err(malformed("it must have one layer").into()),
    };
    let layer = kept.read(&layer).map_err(|_| malformed("its layer is too large, or missing"))?;
    Ok(consign_format::state::read_layer(layer, &Limits::DEFAULT).map_err(BundleError::State)?.len())
}

/// The checks as they are made.
struct Notes {
    report: Report,
    first: [Option<Failure>; 2],
}

impl Notes {
    fn new(path: &Path) -> Self {
        Notes { report: Report::of(path), first: [None, None] }
    }

    fn passed(&mut self, check: Kind, subject: Option<String>, note: String) {
        self.note(Check {
            check,
            subject,
            outcome: Outcome::Passed,
            note: Some(note),
            findings: Vec::new(),
            warnings: Vec::new(),
        });
    }

    /// Adds to the check before what it cannot see.
    fn warning(&mut self, text: &str) {
        if let Some(check) = self.report.checks.last_mut() {
            check.warnings.push(text.to_owned());
        }
    }

    /// What was asked for, and what was found of it.
    fn answered(&mut self, answers: Vec<(Kind, Result<String, GateError>)>) {
        for (kind, answer) in answers {
            match answer {
                Ok(note) => self.passed(kind, None, note),
                Err(error) => self.failed(kind, None, error.into()),
            }
        }
    }

    fn skipped(&mut self, check: Kind, why: &str) {
        let note = Some(why.to_owned());
        self.note(Check {
            check,
            subject: None,
            outcome: Outcome::Unchecked,
            note,
            findings: Vec::new(),
            warnings: Vec::new(),
        });
    }

    fn failed(&mut self, check: Kind, subject: Option<String>, failure: Failure) {
        // Exit code 1 speaks of this machine: a file that cannot be read says nothing about the bundle.
        let unchecked = matches!(failure.code().exit, Exit::Failed | Exit::Usage);
        let outcome = if unchecked { Outcome::Unchecked } else { Outcome::Refused };
        let findings = vec![report_json(&failure).error];
        self.first[usize::from(unchecked)].get_or_insert(failure);
        self.note(Check { check, subject, outcome, note: None, findings, warnings: Vec::new() });
    }

    fn judged(&mut self, judged: policy::Judged) {
        if judged.wrong.is_empty() {
            return self.passed(Kind::ImageSignature, Some(judged.image), judged.why);
        }
        let failures: Vec<Failure> = judged.wrong.into_iter().map(Failure::from).collect();
        let findings = failures.iter().map(|failure| report_json(failure).error).collect();
        let (check, subject, outcome) = (Kind::ImageSignature, Some(judged.image), Outcome::Refused);
        self.note(Check { check, subject, outcome, note: None, findings, warnings: Vec::new() });
        failures.into_iter().for_each(|failure| {
            self.first[0].get_or_insert(failure);
        });
    }

    fn note(&mut self, check: Check) {
        self.report.checks.push(check);
    }

    /// What was refused ends the run before what could not be looked at.
    fn finish(self) -> Examined {
        let Notes { mut report, first: [refused, unchecked] } = self;
        report.verdict = match (&refused, &unchecked) {
            (Some(_), _) => Verdict::Refused,
            (None, Some(_)) => Verdict::Unchecked,
            (None, None) => Verdict::Accepted,
        };
        let failure = refused.or(unchecked);
        report.error = failure.as_ref().map(|failure| report_json(failure).error);
        Examined { report, failure }
    }
}

/// Counts what is read, for whoever wants to know what a check costs.
struct Tally<'a> {
    progress: &'a dyn Progress,
    read: AtomicU64,
}

impl Progress for Tally<'_> {
    fn phase(&self, name: &str, amount: Amount) {
        self.progress.phase(name, amount);
    }

    fn advance(&self, count: u64) {
        self.read.fetch_add(count, Ordering::Relaxed);
        self.progress.advance(count);
    }

    fn done(&self) {
        self.progress.done();
    }

    fn note(&self, line: &str) {
        self.progress.note(line);
    }
}
