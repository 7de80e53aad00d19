//! One row of the table, tried: lies are told to a site, and what it says and does is held against the row.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use consign_tests::command::{Invocation, Outcome, search_path};
use consign_tests::forge::Forge;
use consign_tests::skip;

use super::ground::{Ground, Medium};

/// A row of the table.
pub(crate) struct Row {
    /// As in the table of the trust document.
    pub(crate) number: u8,
    /// The lie, in words.
    pub(crate) lie: &'static str,
    /// The exit codes that the table allows; 0 where what is shown must change nothing that is decided.
    pub(crate) exits: &'static [i32],
    /// Tries its cases.
    pub(crate) show: fn(&mut Trial),
}

/// What a case must end with.
#[derive(Clone, Copy)]
pub(crate) struct Refusal<'a> {
    pub(crate) exit: i32,
    /// The error's name.
    pub(crate) name: &'a str,
    /// What the message speaks of.
    pub(crate) subject: &'a str,
}

/// A refusal by exit code, the error's name and what the message speaks of.
pub(crate) const fn refusal<'a>(exit: i32, name: &'a str, subject: &'a str) -> Refusal<'a> {
    Refusal { exit, name, subject }
}

/// What a site that refuses leaves alone.
const ALL: &str = "registry, state, cluster, medium";

/// A row being tried.
pub(crate) struct Trial {
    exits: &'static [i32],
    pub(crate) ground: Option<Ground>,
    observed: BTreeSet<i32>,
    untouched: BTreeSet<&'static str>,
    missing: Option<String>,
}

impl Trial {
    fn of(row: &Row) -> Self {
        Trial { exits: row.exits, ground: None, observed: BTreeSet::new(), untouched: BTreeSet::new(), missing: None }
    }

    /// The site; one that trusts the forge's root and has its release, unless another was set.
    pub(crate) fn ground(&mut self) -> &Ground {
        self.ground.get_or_insert_with(Ground::new)
    }

    /// Goes on at another site.
    pub(crate) fn at(&mut self, ground: Ground) -> &Ground {
        self.ground.insert(ground)
    }

    /// Whether this machine has what the row needs; without it the row is not shown.
    pub(crate) fn needs(&mut self, condition: bool, what: &str) -> bool {
        if skip::unless(condition, what, "cargo xtask hostile installs what it can") {
            return true;
        }
        self.missing = Some(what.to_owned());
        false
    }

    /// Whether a program of this name is here, which is also its Debian package's.
    pub(crate) fn needs_program(&mut self, program: &str) -> bool {
        let folders = search_path();
        let found = std::env::split_paths(&folders).any(|folder| folder.join(program).is_file());
        self.needs(found, &format!("{program} is not installed (apt-get install {program})"))
    }

    /// Says what else was held to.
    pub(crate) fn notes(&mut self, what: &'static str) {
        self.untouched.insert(what);
    }

    /// A bundle that both `verify` and `install` must refuse.
    pub(crate) fn refuses(&mut self, what: &str, bundle: &[u8], expected: Refusal<'_>) {
        let medium = Medium::of(bundle);
        let verify = self.ground().site.invoke(["verify"]).arg(medium.path());
        self.refused(&format!("verify: {what}"), &verify.run(), expected);
        self.refuses_to_install(what, &medium, expected);
    }

    /// A bundle that `install` must refuse.
    pub(crate) fn refuses_to_install(&mut self, what: &str, medium: &Medium, expected: Refusal<'_>) {
        let install = self.ground().site.export(medium.path());
        self.refused(&format!("install: {what}"), &install.run(), expected);
        assert!(medium.is_as_it_was(), "{what}: the medium has changed");
        self.untouched.insert(ALL);
    }

    /// A run that must end with a refusal and leave the site as it was.
    pub(crate) fn refused(&mut self, what: &str, outcome: &Outcome, expected: Refusal<'_>) {
        self.ends(what, outcome, expected);
        let differences = self.ground().differences();
        assert!(differences.is_empty(), "{what}: {}\n{outcome}", differences.join("; "));
    }

    /// A run that must end with a refusal.
    pub(crate) fn ends(&mut self, what: &str, outcome: &Outcome, expected: Refusal<'_>) {
        assert!(self.exits.contains(&expected.exit), "{what}: the table knows no {} here", expected.exit);
        let exit = outcome.exit.unwrap_or_else(|| panic!("{what}: ended by a signal\n{outcome}"));
        self.observed.insert(exit);
        let said = outcome.stderr.contains(&format!("error[{}]", expected.name));
        assert!(said && exit == expected.exit, "{what}: expected {} {}\n{outcome}", expected.exit, expected.name);
        assert!(outcome.stderr.contains(expected.subject), "{what}: not a word of `{}`\n{outcome}", expected.subject);
    }

    /// A run that must end with this code, which is no refusal.
    pub(crate) fn held(&mut self, what: &str, outcome: &Outcome, exit: i32) {
        assert!(self.exits.contains(&exit), "{what}: the table knows no {exit} here");
        assert_eq!(outcome.exit, Some(exit), "{what}\n{outcome}");
        self.observed.insert(exit);
    }

    /// A bundle that `install` must take, whatever is odd about it; the site goes on from there.
    pub(crate) fn takes(&mut self, what: &str, bundle: &[u8]) -> Outcome {
        let medium = Medium::of(bundle);
        let install = self.ground().site.export(medium.path());
        let outcome = self.succeeds(what, &install);
        assert!(medium.is_as_it_was(), "{what}: the medium has changed");
        let ground = self.ground.take().map(Ground::again);
        self.ground = ground;
        outcome
    }

    /// Lets the site rightly take a bundle; the site goes on from there.
    pub(crate) fn prepares(&mut self, bundle: &[u8]) {
        self.ground().site.export(Medium::of(bundle).path()).succeeds();
        let ground = self.ground.take().map(Ground::again);
        self.ground = ground;
    }

    /// A run that must succeed.
    pub(crate) fn succeeds(&mut self, what: &str, run: &Invocation) -> Outcome {
        let outcome = run.run();
        self.held(what, &outcome, 0);
        outcome
    }

    /// The site still takes the release that comes next: it was the lie that was refused.
    pub(crate) fn still_takes(&self, forge: &Forge) {
        let medium = Medium::of(&forge.bundle());
        let ground = self.ground.as_ref().expect("a site");
        ground.site.export(medium.path()).succeeds();
    }
}

/// Tries the rows of a room, each on its own, and fails at the end if one differs.
pub(crate) fn run(rows: &'static [Row]) {
    let mut differing = Vec::new();
    for row in rows {
        let mut trial = Trial::of(row);
        let tried = catch_unwind(AssertUnwindSafe(|| (row.show)(&mut trial)));
        let difference = tried.err().map(|panic| words(panic.as_ref()));
        let expected = codes(row.exits.iter());
        let (observed, beside) = match (&difference, &trial.missing) {
            (Some(_), _) => ("DIFFERS".to_owned(), "see above".to_owned()),
            (None, Some(missing)) => ("NOT SHOWN".to_owned(), missing.clone()),
            (None, None) => {
                let untouched: Vec<&str> = trial.untouched.iter().copied().collect();
                (codes(trial.observed.iter()), untouched.join("; "))
            }
        };
        note(row.number, row.lie, &expected, &observed, &beside);
        let all = row.exits.iter().copied().collect::<BTreeSet<_>>() == trial.observed;
        match difference {
            Some(difference) => differing.push(format!("row {}, {}: {difference}", row.number, row.lie)),
            None if !all && trial.missing.is_none() => {
                differing.push(format!("row {}: expected {expected}, observed only {observed}", row.number));
            }
            None => {}
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
}

fn codes<'a>(codes: impl Iterator<Item = &'a i32>) -> String {
    codes.map(i32::to_string).collect::<Vec<_>>().join(", ")
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Names the file that every row leaves its line in: number, lie, expected, observed, untouched, separated by tabs.
pub(crate) const TABLE_VARIABLE: &str = "CONSIGN_HOSTILE_TABLE";

/// Leaves a row's line.
pub(crate) fn note(number: u8, lie: &str, expected: &str, observed: &str, untouched: &str) {
    let line = format!("{number}\t{lie}\t{expected}\t{observed}\t{untouched}\n");
    if let Some(path) = std::env::var_os(TABLE_VARIABLE) {
        append(Path::new(&path), &line);
    }
}

fn append(path: &Path, line: &str) {
    // One write per line: rooms are tried side by side.
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("the table");
    file.write_all(line.as_bytes()).expect("the table");
}
