//! A disk that is really full: no block is left, or no inode, from some step of a run on. What was not begun is refused and
//! nothing is touched; what was begun is brought to its end with the room that the run had set aside, and where even that is
//! gone, running again finishes. `status` can be asked on the full disk all the while. Against a real API server.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use consign_tests::cluster::Cluster;
use consign_tests::command::{Invocation, Outcome};
use consign_tests::desk::Desk;
use consign_tests::sample::{self, replace};
use consign_tests::site::Site;
use serde_json::Value;

use super::calls;
use super::steps::stands;

#[path = "full/asked.rs"]
mod asked;
#[path = "full/disk.rs"]
mod disk;
#[path = "full/standing.rs"]
mod standing;

use disk::{Disk, Short};
use standing::Standing;

/// More steps than any run has.
const MANY: usize = 40;
/// Of a product in `status`.
const STAGED: &str = "/staged/release/version";

/// Three releases, a site that runs the first, and a small disk to put it on.
struct Ward {
    /// Holds the bundles.
    _desk: Desk,
    /// Runs the first release, and lies elsewhere.
    base: Site,
    cluster: Cluster,
    disk: Disk,
    /// Well.
    second: PathBuf,
    /// Never becomes healthy.
    third: PathBuf,
}

fn is_possible() -> bool {
    calls::is_possible() && disk::is_possible()
}

impl Ward {
    fn new() -> Self {
        let mut desk = Desk::sample();
        let first = desk.build();
        let change = |tree: &Path, text: &str| fs::write(tree.join("tools/lumenctl"), text.repeat(100_000)).unwrap();
        let second = desk.build_next("2026.11.1", |tree| {
            sample::drop_network_policy(tree);
            change(tree, "second lumenctl\n");
        });
        let third = desk.build_next("2026.11.2", |tree| {
            sample::break_router(tree);
            change(tree, "third lumenctl\n");
            replace(&tree.join("release.yaml"), "healthTimeout: 2m", "healthTimeout: 8s");
        });
        let (base, cluster) = (Site::enrolled(&desk.trust()), Cluster::start());
        base.install(&first).option("--kubeconfig", cluster.kubeconfig()).succeeds();
        Self { _desk: desk, base, cluster, disk: Disk::new(512, 8192), second, third }
    }

    /// The site on the disk, which has room.
    fn site(&self) -> Site {
        self.base.copy_into(self.disk.place())
    }

    fn with_cluster(&self, run: Invocation) -> Invocation {
        run.option("--kubeconfig", self.cluster.kubeconfig())
    }

    fn install(&self, site: &Site, bundle: &Path) -> Invocation {
        self.with_cluster(site.install(bundle))
    }

    /// Fills the disk under a run that stands still.
    fn fill(&self, site: &Site, what: Short) {
        let store = site.kept();
        if what != Short::Files {
            stuff(&store.join("journal/journal"));
        }
        if what == Short::Robbed {
            let drafts = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path());
            let is_draft = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(".draft-");
            drafts
                .filter(is_draft)
                .for_each(|path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap());
        }
        self.disk.fill(what, 0);
    }

    /// All that must hold on a full disk, whatever came before: it can be asked, and what it says is so.
    fn is_truthful(&self, site: &Site, outcome: &Outcome, how: &str) {
        let status = site.status();
        let product = &status["products"][0];
        site.invoke(["store", "check"]).succeeds();
        site.invoke(["receipts", "list"]).succeeds();
        assert!(status["running"].is_null(), "{how} {status:#}");
        if product["current"]["confirmed"] == true {
            // Then the cluster holds that release, and nothing of another.
            self.with_cluster(site.invoke(["run", "--once", "--mode", "report"])).succeeds();
        }
        let runs = product["current"]["release"]["version"].as_str().unwrap_or_default();
        match outcome.exit {
            Some(0) => assert_eq!(product["current"]["confirmed"], true, "{how} {status:#}"),
            Some(22) => {
                assert_eq!((runs, &product["current"]["confirmed"]), ("2026.11.0", &Value::Bool(true)), "{how}")
            }
            Some(16) => {
                assert!(
                    outcome.stderr.contains("error[no-room]") && outcome.stderr.contains("hint: "),
                    "{how} {outcome}"
                );
                let place = self.disk.place().to_str().unwrap();
                assert!(outcome.stderr.contains(place), "{how}: it does not say where {outcome}");
            }
            _ => panic!("{how} {outcome}"),
        }
    }

    /// Runs again on a disk with room, to the end that it must come to.
    fn ends(&self, site: &Site, bundle: &Path, (exit, version): (i32, &str), how: &str) {
        let outcome = self.install(site, bundle).run();
        // Brought to its end on the full disk already, what failed is not tried again.
        let remembered = exit == 22 && outcome.stderr.contains("error[failed-before]");
        assert!(outcome.exit == Some(exit) || remembered, "{how} {outcome}");
        let status = site.status();
        let product = &status["products"][0];
        assert_eq!(product["current"]["release"]["version"], version, "{how} {status:#}");
        assert_eq!(product["current"]["confirmed"], true, "{how} {status:#}");
        assert!(product["returning"].is_null() && status["cutOff"].is_null(), "{how} {status:#}");
        site.invoke(["store", "check"]).succeeds();
        site.invoke(["receipts", "list"]).succeeds();
        self.with_cluster(site.invoke(["run", "--once", "--mode", "report"])).succeeds();
        let drafts = site.snapshot().into_keys().filter(|path| path.to_string_lossy().contains(".draft-"));
        assert_eq!(drafts.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "{how}");
    }

    /// The cluster holds the first release again, as the next site believes it does.
    fn go_back(&self, site: &Site) {
        let back = site.invoke(["rollback", "lumen", "--reason", "once more"]);
        self.with_cluster(back).succeeds();
    }
}

/// The last steps on the journal: step and mark.
fn last_step(site: &Site) -> String {
    let text = fs::read_to_string(site.kept().join("journal/journal")).unwrap_or_default();
    let entry: Value = text.lines().next_back().map_or(Value::Null, |line| serde_json::from_str(line).unwrap());
    format!("{} {}", entry["step"].as_str().unwrap_or("-"), entry["mark"].as_str().unwrap_or("-"))
}

/// Repeats the journal's last line until no other fits into its last block: the next one must find room of its own.
fn stuff(journal: &Path) {
    const BLOCK: usize = 4096;
    let Ok(text) = fs::read_to_string(journal) else { return };
    let Some(line) = text.lines().next_back().map(|line| format!("{line}\n")) else { return };
    let left = BLOCK - text.len() % BLOCK;
    let lines = line.repeat(left / line.len());
    fs::OpenOptions::new().append(true).open(journal).unwrap().write_all(lines.as_bytes()).unwrap();
}

fn show(table: &[String]) {
    // Not `println!`: the harness shows that only for tests that fail.
    let _ = writeln!(std::io::stderr().lock(), "{}", table.join("\n"));
}

/// Lets the disk run full right after every line of the journal.
fn at_every_step(what: Short) {
    let ward = Ward::new();
    let mut table = vec![format!(
        "{:<7} {:<6} {:>4} {:<16} {:>14} {:<8} {:<20} {}",
        "no", "release", "line", "after", "free", "ended", "then", "after running again"
    )];
    for (name, bundle, end) in [("well", &ward.second, (0, "2026.11.1")), ("sick", &ward.third, (22, "2026.11.0"))] {
        let mut lines = 0;
        for n in 1..MANY {
            let site = ward.site();
            let journal = site.kept().join("journal/journal");
            let standing = match Standing::start(ward.install(&site, bundle), &journal, n) {
                Ok(standing) => standing,
                Err(outcome) => {
                    assert_eq!(outcome.exit, Some(end.0), "{name}, not stopped\n{outcome}");
                    if name == "well" {
                        ward.go_back(&site);
                    }
                    break;
                }
            };
            lines += 1;
            let step = last_step(&site);
            ward.fill(&site, what);
            let (free, how) = (ward.disk.free(), format!("{what:?} {name}, full after line {n}, `{step}`"));
            let outcome = standing.go_on();
            ward.is_truthful(&site, &outcome, &how);
            check_end(what, &step, &outcome, end.0, &how);
            let then = stands(&site, STAGED);
            ward.disk.make_room();
            ward.ends(&site, bundle, end, &how);
            let (free, exit) = (format!("{} B {} i", free.0, free.1), outcome.exit.unwrap_or(-1));
            table.push(format!(
                "{:<7} {name:<6} {n:>4} {step:<16} {free:>14} {exit:<8} {then:<20} {}",
                format!("{what:?}").to_lowercase(),
                stands(&site, STAGED)
            ));
            if name == "well" {
                ward.go_back(&site);
            }
        }
        assert!(lines > 8, "{lines} lines: this shows nothing");
    }
    show(&table);
    for step in
        ["load begin", "load end", "files begin", "apply begin", "health begin", "confirm begin", "rollback begin"]
    {
        assert!(table.iter().any(|line| line.contains(step)), "never full after `{step}`:\n{}", table.join("\n"));
    }
}

/// What was not begun is not begun; what was begun ends as on a disk with room.
fn check_end(what: Short, step: &str, outcome: &Outcome, end: i32, how: &str) {
    let begun = !["load begin", "load end", "files begin", "files end"].contains(&step);
    if what != Short::Robbed && begun {
        assert_eq!(outcome.exit, Some(end), "{how} {outcome}");
    }
    if step == "load begin" {
        assert_eq!(outcome.exit, Some(16), "{how} {outcome}");
    }
}

#[test]
fn no_block_is_left_from_any_step_of_an_install_on() {
    if is_possible() {
        at_every_step(Short::Bytes);
    }
}

#[test]
fn no_inode_is_left_from_any_step_of_an_install_on() {
    if is_possible() {
        at_every_step(Short::Files);
    }
}

#[test]
fn not_even_what_was_set_aside_is_left_from_any_step_of_an_install_on() {
    if is_possible() {
        at_every_step(Short::Robbed);
    }
}
