//! The head of a finished bundle is rewritten in place: cut off anywhere, it is the old head or the new one, and never a
//! ruined payload.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use consign_tests::command::{self, Invocation};
use consign_tests::desk::Desk;
use tempfile::TempDir;

use crate::calls::{Blow, LASTING, WRITING, is_possible};
use crate::ground;
use crate::instants::{Draw, kill_after};

/// How many rewrites are killed at instants that nobody chose.
const KILLS: usize = 50;

/// What another run may be writing on the same stick.
const FOREIGN: &str = ".draft-1-0";

/// A bundle that two of two approvers have signed a request for, and the same with their signatures merged.
struct Approved {
    folder: TempDir,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Approved {
    fn prepare() -> Self {
        let folder = tempfile::Builder::new().prefix("consign-heads-").tempdir().unwrap();
        let at = folder.path();
        for key in ["root", "ci", "alice", "dave"] {
            ground::consign(at, &["keys", "new", "--key-only", key]);
        }
        let approvers = ["--approver", "alice.pub", "--approver", "dave.pub", "--approvers-threshold", "2"];
        let new = ["keys", "new", "--domain", "crash", "--root", "root.pub", "--publisher", "ci.pub", "--key", "root"];
        ground::consign(at, &[&new[..], &approvers].concat());
        ground::lock(at, "1.0.0");
        ground::consign(at, &["build", "--key", "ci"]);
        let bundle = at.join("crash-1.0.0.consign");
        let old = fs::read(&bundle).unwrap();
        ground::consign(at, &["approve", "--request", "crash-1.0.0.consign", "--output", "request.json"]);
        for key in ["alice", "dave"] {
            ground::consign(at, &["approve", "request.json", "--key", key]);
        }
        let approved = Approved { folder, old, new: Vec::new() };
        approved.merge(&bundle).succeeds();
        let new = fs::read(&bundle).unwrap();
        assert_ne!(new, approved.old);
        Approved { new, ..approved }
    }

    fn consign<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        command::consign(arguments).in_folder(self.folder.path()).env("HOME", self.folder.path())
    }

    /// The rewriting of a bundle's head, not run yet.
    fn merge(&self, bundle: &Path) -> Invocation {
        self.consign(["approve", "--merge"]).arg(bundle).arg("request.json")
    }

    /// The bundle as it was built, in a folder of its own.
    fn fresh(&self) -> PathBuf {
        let folder = self.folder.path().join("stick");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let bundle = folder.join("crash.consign");
        fs::write(&bundle, &self.old).unwrap();
        fs::write(folder.join(FOREIGN), "somebody else's").unwrap();
        bundle
    }

    /// Where the payload begins.
    fn boundary(&self) -> usize {
        (0..self.old.len()).step_by(65536).find(|&at| self.old[at..].starts_with(b"oci-layout\0")).unwrap()
    }

    /// What must hold of a bundle whose rewriting was cut off; whether it reads as the new one already.
    fn check_cut_off(&self, bundle: &Path, how: &str) -> bool {
        let found = fs::read(bundle).unwrap();
        let payload = self.boundary();
        assert_eq!(found.len(), self.old.len(), "{how}");
        assert!(found[payload..] == self.old[payload..], "{how}: the payload was changed");
        let waits = bundle.with_extension("consign.head").exists();
        assert!(waits || found == self.old || found == self.new, "{how}: neither head, and none waits");
        // Whoever reads it now reads one of the two: the old one lacks signatures, the new one is well.
        let verified = self.consign(["verify"]).arg(bundle).run();
        let old = verified.exit == Some(12) && verified.stderr.contains("error[below-threshold]");
        assert!(old || verified.exit == Some(0), "{how}\n{verified}");
        !old
    }

    /// Running again ends with the new head: none waits, no draft of one is left, and what is others' is as it was.
    fn check_resumed(&self, bundle: &Path, how: &str) {
        let again = self.merge(bundle).run();
        assert_eq!(again.exit, Some(0), "{how}: running again\n{again}");
        assert!(fs::read(bundle).unwrap() == self.new, "{how}: not the bundle that nothing came between");
        let beside = fs::read_dir(bundle.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut beside: Vec<_> = beside.map(|name| name.into_string().unwrap()).collect();
        beside.sort_unstable();
        assert_eq!(beside, [FOREIGN, "crash.consign"], "{how}");
        assert_eq!(fs::read(bundle.with_file_name(FOREIGN)).unwrap(), b"somebody else's", "{how}");
        self.consign(["verify"]).arg(bundle).succeeds();
    }
}

#[test]
fn a_rewrite_killed_at_any_instant_leaves_one_of_two_heads() {
    if !Desk::is_possible() {
        return;
    }
    let approved = Approved::prepare();
    let mut draw = Draw::seeded();
    let longest = (0..3).map(|_| approved.duration()).max().unwrap();
    let (mut killed, mut runs) = (0, 0);
    while killed < KILLS {
        runs += 1;
        assert!(runs < 20 * KILLS, "only {killed} of {runs} runs were still running when they were to be killed");
        let (bundle, delay) = (approved.fresh(), draw.below(longest));
        if kill_after(&approved.merge(&bundle), delay) {
            killed += 1;
            let how = format!("killed after {delay:?}");
            approved.check_cut_off(&bundle, &how);
            approved.check_resumed(&bundle, &how);
        }
    }
}

impl Approved {
    fn duration(&self) -> Duration {
        let bundle = self.fresh();
        let begun = Instant::now();
        self.merge(&bundle).succeeds();
        begun.elapsed()
    }
}

/// Instants fall where the time is spent, and that is before anything is written; so each call is gone through as well.
#[test]
fn a_rewrite_killed_at_each_call_leaves_one_of_two_heads() {
    if !is_possible() {
        return;
    }
    let approved = Approved::prepare();
    let (mut old, mut new, mut drafts) = (0, 0, 0);
    for call in LASTING.iter().chain(&WRITING) {
        for n in 1.. {
            let bundle = approved.fresh();
            let blow = Blow { call, what: "signal=SIGKILL", n, all_threads: false };
            if blow.strike(approved.merge(&bundle)).is_none() {
                break;
            }
            let how = blow.to_string();
            *(if approved.check_cut_off(&bundle, &how) { &mut new } else { &mut old }) += 1;
            let beside = fs::read_dir(bundle.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
            drafts += beside.filter(|name| name.to_string_lossy().starts_with(".draft-head-")).count();
            approved.check_resumed(&bundle, &how);
        }
    }
    assert!(drafts > 0, "no run left a draft, so nothing showed that the next one removes it");
    assert!(old > 0 && new > 0, "{old} runs left the old head and {new} the new one");
}
