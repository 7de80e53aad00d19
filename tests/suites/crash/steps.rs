//! The power goes at every step that is on the journal, one after the other: while a release is brought in, and while one
//! that never becomes healthy is taken back. Running again ends where it would have ended. Against a real API server.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use consign_tests::cluster::Cluster;
use consign_tests::command::Invocation;
use consign_tests::desk::Desk;
use consign_tests::power::{self, Cut, Disk, When};
use consign_tests::sample::{self, replace};
use consign_tests::site::Site;
use serde_json::Value;

use crate::instants::Draw;
use crate::power::{Rest, power_on};

/// In the folder of what the site keeps.
const JOURNAL: &str = "journal/journal";
/// Of a product in `status`.
const PREVIOUS: &str = "/previous/version";
/// Steps are milliseconds apart at least; this is how often the journal is looked at.
const LOOK: Duration = Duration::from_micros(200);
/// More steps than any run has.
const MANY: usize = 40;

/// How a run is ended.
#[derive(Clone, Copy)]
enum Blow {
    /// `kill -9`, as soon as the line is seen.
    Kill,
    /// The power goes on this side of the sync of the line, with this of what was not synced.
    Power(When, Rest),
}

struct Ward {
    site: Site,
    cluster: Cluster,
    /// What the site is on, if its power can be cut.
    disk: Option<Disk>,
    draw: Draw,
}

/// The steps in the text of a journal.
fn steps(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let entry: Value = serde_json::from_str(line).ok()?;
        Some(format!("{} {}", entry["step"].as_str()?, entry["mark"].as_str()?))
    };
    text.lines().filter_map(line).collect()
}

/// What a person is told: the current version (`!` not confirmed, `<` being taken back), and another at a place of the
/// product in `status`.
pub(crate) fn stands(site: &Site, beside: &str) -> String {
    let product = &site.status()["products"][0];
    let version = |at: &str| product.pointer(at).and_then(Value::as_str).unwrap_or("-").to_owned();
    let mark = match (&product["returning"], &product["current"]["confirmed"]) {
        (Value::Null, Value::Bool(true)) => "",
        (Value::Null, _) => "!",
        _ => "<",
    };
    format!("{}{mark} {}", version("/current/release/version"), version(beside))
}

impl Ward {
    fn journal(&self) -> Vec<String> {
        steps(&fs::read_to_string(self.site.kept().join(JOURNAL)).unwrap_or_default())
    }

    fn install(&self, bundle: &Path) -> Invocation {
        self.site.install(bundle).option("--kubeconfig", self.cluster.kubeconfig()).arg("--retry")
    }

    /// Installs and strikes when the journal has so many lines more. Returns the line, or `None` if it ended before.
    fn struck_at(&mut self, bundle: &Path, line: usize, blow: Blow) -> Option<String> {
        let journal = format!("var/lib/consign/{JOURNAL}");
        match (blow, &mut self.disk) {
            (Blow::Power(when, rest), Some(disk)) => {
                let install = self.site.install(bundle).option("--kubeconfig", self.cluster.kubeconfig());
                let cut = Cut { of: Some("journal"), n: line, when };
                let before = disk.seen(journal.as_ref()).map_or(0, |bytes| bytes.len());
                if disk.cut(&install.arg("--retry"), cut).is_some() {
                    return None;
                }
                let seen = disk.seen(journal.as_ref()).unwrap_or_default();
                power_on(disk, rest, &mut self.draw);
                let last = if seen.len() > before { steps(&String::from_utf8_lossy(&seen)).pop() } else { None };
                Some(last.unwrap_or_else(|| "opened".to_owned()))
            }
            _ => self.killed_at(bundle, line),
        }
    }

    fn killed_at(&self, bundle: &Path, line: usize) -> Option<String> {
        let before = self.journal().len();
        let mut child = self.install(bundle).command().spawn().expect("consign-site installs");
        loop {
            let lines = self.journal();
            if lines.len() >= before + line {
                let _ = child.kill();
                child.wait().expect("our own child");
                return lines.get(before + line - 1).cloned();
            }
            if child.try_wait().expect("our own child").is_some() {
                return None;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Runs again to the end, and demands this exit code.
    fn again(&self, bundle: &Path, exit: i32) {
        let outcome = self.install(bundle).run();
        assert_eq!(outcome.exit, Some(exit), "{outcome}");
    }

    /// All that must hold after every run, whatever happened before.
    fn is_sound(&self, version: &str) {
        let status = self.site.status();
        let product = &status["products"][0];
        assert_eq!(product["current"]["release"]["version"], version, "{status:#}");
        assert_eq!(product["current"]["confirmed"], true, "{status:#}");
        assert!(product["returning"].is_null() && status["cutOff"].is_null(), "{status:#}");
        self.site.invoke(["store", "check"]).succeeds();
        self.site.invoke(["receipts", "list"]).succeeds();
        let said = self.site.invoke(["run", "--once", "--mode", "report"]);
        said.option("--kubeconfig", self.cluster.kubeconfig()).succeeds();
    }
}

/// Strikes at every line of the journal: of a release that goes well, and of one that is taken back.
fn at_every_step(disk: Option<Disk>, well: &[Blow], sick: &[Blow]) {
    let mut desk = Desk::sample();
    let first = desk.build();
    let second = desk.build_next("2026.11.1", sample::drop_network_policy);
    let third = desk.build_next("2026.11.2", |tree| {
        sample::break_router(tree);
        replace(&tree.join("release.yaml"), "healthTimeout: 2m", "healthTimeout: 8s");
    });
    let site = Site::enrolled(&desk.trust());
    if let Some(disk) = &disk {
        disk.fill(site.root());
    }
    let site = disk.as_ref().map_or(site, |disk| Site::at(disk.path()));
    let mut ward = Ward { site, cluster: Cluster::start(), disk, draw: Draw::seeded() };
    ward.again(&first, 0);
    let mut table = vec![format!("{:<28} {:<10} {:<26} {}", "ended at", "release", "after it", "after running again")];

    for (line, blow) in (1..MANY).flat_map(|line| well.iter().map(move |blow| (line, *blow))) {
        let Some(step) = ward.struck_at(&second, line, blow) else { break };
        let after = stands(&ward.site, PREVIOUS);
        ward.again(&second, 0);
        ward.is_sound("2026.11.1");
        table.push(format!(
            "{:<28} {:<10} {after:<26} {}",
            format!("{blow} {step}"),
            "well",
            stands(&ward.site, PREVIOUS)
        ));
        let back = ward.site.invoke(["rollback", "lumen", "--reason", "once more"]);
        back.option("--kubeconfig", ward.cluster.kubeconfig()).succeeds();
        ward.is_sound("2026.11.0");
    }
    ward.again(&second, 0);
    for (line, blow) in (1..MANY).flat_map(|line| sick.iter().map(move |blow| (line, *blow))) {
        let Some(step) = ward.struck_at(&third, line, blow) else { break };
        let after = stands(&ward.site, PREVIOUS);
        ward.again(&third, 22);
        ward.is_sound("2026.11.1");
        table.push(format!(
            "{:<28} {:<10} {after:<26} {}",
            format!("{blow} {step}"),
            "sick",
            stands(&ward.site, PREVIOUS)
        ));
    }
    // Not `println!`: the harness shows that only for tests that fail.
    let _ = writeln!(std::io::stderr().lock(), "{}", table.join("\n"));
    for step in ["load begin", "apply begin", "health begin", "health end", "health failed", "rollback begin"] {
        assert!(table.iter().any(|line| line.contains(step)), "never ended at `{step}`:\n{}", table.join("\n"));
    }
}

impl std::fmt::Display for Blow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Blow::Kill => "kill",
            Blow::Power(When::Before, _) => "power, before",
            Blow::Power(When::After, _) => "power, after",
        })
    }
}

#[test]
fn killed_at_every_step_of_the_journal() {
    if Desk::is_possible() {
        at_every_step(None, &[Blow::Kill], &[Blow::Kill]);
    }
}

#[test]
fn without_power_at_every_step_of_the_journal() {
    if power::is_possible() && Desk::is_possible() {
        let (before, after) = (Blow::Power(When::Before, Rest::Lost), Blow::Power(When::After, Rest::Mixed));
        at_every_step(Some(Disk::empty()), &[before, after], &[Blow::Power(When::After, Rest::Lost)]);
    }
}
