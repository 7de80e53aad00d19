//! The power goes at every step that is on the journal, one after the other: while a release is brought in, and while one
//! that never becomes healthy is taken back. Running again ends where it would have ended. Against a real API server.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use consign_tests::cluster::Cluster;
use consign_tests::desk::Desk;
use consign_tests::sample::{self, replace};
use consign_tests::site::Site;
use serde_json::Value;

/// Steps are milliseconds apart at least; this is how often the journal is looked at.
const LOOK: Duration = Duration::from_micros(200);
/// More steps than any run has.
const MANY: usize = 40;

struct Ward {
    site: Site,
    cluster: Cluster,
}

impl Ward {
    fn journal(&self) -> Vec<String> {
        let text = fs::read_to_string(self.site.kept().join("journal/journal")).unwrap_or_default();
        let line = |line: &str| {
            let entry: Value = serde_json::from_str(line).ok()?;
            Some(format!("{} {}", entry["step"].as_str()?, entry["mark"].as_str()?))
        };
        text.lines().filter_map(line).collect()
    }

    /// Installs and kills it when the journal has so many lines more. Returns the line, or `None` if it ended before.
    fn killed_at(&self, bundle: &Path, line: usize) -> Option<String> {
        let before = self.journal().len();
        let install = self.site.install(bundle).option("--kubeconfig", self.cluster.kubeconfig()).arg("--retry");
        let mut child = install.command().spawn().expect("consign-site installs");
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

    /// What a person is told: current, previous, staged, failed, by version; whether it is being taken back.
    fn stands(&self) -> String {
        let product = &self.site.status()["products"][0];
        let version = |at: &str| product.pointer(at).and_then(Value::as_str).unwrap_or("-").to_owned();
        let mark = match (&product["returning"], &product["current"]["confirmed"]) {
            (Value::Null, Value::Bool(true)) => "",
            (Value::Null, _) => "!",
            _ => "<",
        };
        format!("{}{mark} {}", version("/current/release/version"), version("/previous/version"))
    }

    /// Runs again to the end, and demands this exit code.
    fn again(&self, bundle: &Path, exit: i32) {
        let install = self.site.install(bundle).option("--kubeconfig", self.cluster.kubeconfig());
        let outcome = install.arg("--retry").run();
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

#[test]
fn at_every_step_of_the_journal() {
    if !Desk::is_possible() {
        return;
    }
    let mut desk = Desk::sample();
    let first = desk.build();
    let second = desk.build_next("2026.11.1", sample::drop_network_policy);
    let third = desk.build_next("2026.11.2", |tree| {
        sample::break_router(tree);
        replace(&tree.join("release.yaml"), "healthTimeout: 2m", "healthTimeout: 8s");
    });
    let ward = Ward { site: Site::enrolled(&desk.trust()), cluster: Cluster::start() };
    ward.again(&first, 0);
    let mut table =
        vec![format!("{:<18} {:<10} {:<26} {}", "killed at", "release", "after the kill", "after running again")];

    for line in 1..MANY {
        let Some(step) = ward.killed_at(&second, line) else { break };
        let after = ward.stands();
        ward.again(&second, 0);
        ward.is_sound("2026.11.1");
        table.push(format!("{step:<18} {:<10} {after:<26} {}", "well", ward.stands()));
        let back = ward.site.invoke(["rollback", "lumen", "--reason", "once more"]);
        back.option("--kubeconfig", ward.cluster.kubeconfig()).succeeds();
        ward.is_sound("2026.11.0");
    }
    ward.again(&second, 0);
    for line in 1..MANY {
        let Some(step) = ward.killed_at(&third, line) else { break };
        let after = ward.stands();
        ward.again(&third, 22);
        ward.is_sound("2026.11.1");
        table.push(format!("{step:<18} {:<10} {after:<26} {}", "sick", ward.stands()));
    }
    // Not `println!`: the harness shows that only for tests that fail.
    let _ = writeln!(std::io::stderr().lock(), "{}", table.join("\n"));
    for step in ["load begin", "apply begin", "health begin", "health end", "health failed", "rollback begin"] {
        assert!(table.iter().any(|line| line.starts_with(step)), "never killed at `{step}`:\n{}", table.join("\n"));
    }
}
