//! What a person asks for on a disk that is full already: staging, activating, going back by hand, and what is carried
//! away. Each is refused before anything is touched, and does its work once there is room. Against a real API server.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_tests::command::{Invocation, Outcome};
use consign_tests::images::run;
use consign_tests::site::Site;
use serde_json::Value;

use super::{Short, Ward, is_possible};

/// Of age, and nobody has its key.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// What must not change: what the site keeps, what it says, and what the cluster holds.
struct Before {
    kept: BTreeMap<PathBuf, String>,
    status: Value,
    cluster: Vec<String>,
}

impl Ward {
    fn before(&self, site: &Site) -> Before {
        let kinds = "deployments,daemonsets,statefulsets,services,configmaps,secrets,networkpolicies,namespaces";
        let mut list = self.cluster.kubectl();
        let list = run(list.args(["get", kinds, "--all-namespaces", "--output", "json"]));
        let list: Value = serde_json::from_str(&list).unwrap();
        let object = |object: &Value| {
            let of = &object["metadata"];
            // What a controller says of an object raises the one, and not the other where there is one.
            let version = of.get("generation").unwrap_or(&of["resourceVersion"]);
            format!("{} {} {} {} {version}", object["kind"], of["namespace"], of["name"], of["uid"])
        };
        let cluster: Vec<String> = list["items"].as_array().unwrap().iter().map(object).collect();
        assert!(cluster.iter().any(|object| object.contains("router")), "{cluster:#?}: this shows nothing");
        Before { kept: site.snapshot(), status: site.status(), cluster }
    }

    /// Runs something on the full disk; it must say so, and nothing may have become of it.
    fn is_refused(&self, site: &Site, invocation: &Invocation, (what, but): (Short, u64)) -> Outcome {
        let before = self.before(site);
        self.disk.fill(what, but);
        let outcome = invocation.fails("no-room", 16);
        let how = format!("{what:?} {outcome}");
        let place = self.disk.place().to_str().unwrap();
        assert!(outcome.stderr.contains("hint: ") && outcome.stderr.contains(place), "{how}");
        assert!(!outcome.stderr.contains("panicked"), "{how}");
        let after = self.before(site);
        for path in before.kept.keys().chain(after.kept.keys()) {
            assert_eq!(before.kept.get(path), after.kept.get(path), "{}: {how}", path.display());
        }
        assert_eq!(before.status, after.status, "{how}");
        assert_eq!(before.cluster, after.cluster, "{how}");
        self.is_truthful(site, &outcome, &how);
        outcome
    }

    /// Gives room back, and does it.
    fn is_done_with_room(&self, invocation: &Invocation) -> Outcome {
        self.disk.make_room();
        invocation.succeeds()
    }
}

fn runs(site: &Site, version: &str) {
    let status = site.status();
    let current = &status["products"][0]["current"];
    assert_eq!((&current["release"]["version"], &current["confirmed"]), (&version.into(), &true.into()), "{status:#}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().path()));
    let mut files: Vec<PathBuf> = entries.into_iter().flatten().collect();
    files.sort();
    files
}

/// From a bundle to a release that runs, and back again.
fn staged_activated_and_taken_back(what: Short) {
    let ward = Ward::new();
    let site = ward.site();
    let stage = ward.with_cluster(site.invoke(["stage"]).arg(&ward.second));
    ward.is_refused(&site, &stage, (what, 0));
    ward.is_done_with_room(&stage);
    runs(&site, "2026.11.0");
    assert_eq!(site.status()["products"][0].pointer(super::STAGED), Some(&"2026.11.1".into()));

    let activate = ward.with_cluster(site.invoke(["activate"]));
    ward.is_refused(&site, &activate, (what, 0));
    ward.is_done_with_room(&activate);
    runs(&site, "2026.11.1");

    let back = ward.with_cluster(site.invoke(["rollback", "lumen", "--reason", "it is full"]));
    ward.is_refused(&site, &back, (what, 0));
    ward.is_done_with_room(&back);
    runs(&site, "2026.11.0");
    site.invoke(["store", "check"]).succeeds();
}

/// What is written for somebody to carry away, onto the full disk and from it.
fn carried_away(what: Short) {
    let ward = Ward::new();
    let site = ward.site();
    ward.install(&site, &ward.second).succeeds();
    ward.go_back(&site);
    let kept = files(&site.kept().join("receipts")).len();
    assert!(kept >= 3, "{kept} receipts");
    let elsewhere = tempfile::tempdir().unwrap();
    let export = |to: &Path| site.invoke(["receipts", "export"]).arg(to);
    let diagnose = |to: &Path| ward.with_cluster(site.invoke(["diagnose"]).option("-o", to));

    let there = ward.disk.place().join("carried");
    ward.is_refused(&site, &export(&there), (what, 0));
    assert_eq!(files(&there), Vec::<PathBuf>::new());
    let picture = ward.disk.place().join("slip.png");
    site.invoke(["receipts", "show"]).option("--png", &picture).fails("no-room", 16).says("hint: ");
    assert!(!picture.exists());
    // The disk is full, the stick is not.
    export(&elsewhere.path().join("receipts")).succeeds().says("could not be noted");
    diagnose(&elsewhere.path().join("diagnosis.tar.gz")).succeeds();
    ward.is_done_with_room(&export(&there));
    let whole = files(&there);
    assert_eq!(whole.len(), files(&elsewhere.path().join("receipts")).len());

    for (name, to) in [("plain.tar.gz", None), ("closed.age", Some(RECIPIENT))] {
        let file = ward.disk.place().join(name);
        let asked = diagnose(&file);
        let asked = if let Some(to) = to { asked.option("--encrypt-to", to) } else { asked };
        is_no_half_file(&ward, &site, &asked, what);
        asked.succeeds();
        if to.is_none() {
            run(Command::new("tar").arg("-tzf").arg(&file));
        }
    }
}

/// Refused without room, and with room for a part of the file, it leaves nothing on the disk.
fn is_no_half_file(ward: &Ward, site: &Site, asked: &Invocation, what: Short) {
    let there = || files(ward.disk.place()).into_iter().filter(|path| !path.ends_with("filler")).collect::<Vec<_>>();
    let before = there();
    let rooms: &[u64] = if what == Short::Files { &[0] } else { &[0, 8192] };
    for but in rooms {
        let outcome = ward.is_refused(site, asked, (what, *but));
        assert_eq!(there(), before, "{outcome}");
        ward.disk.make_room();
    }
}

/// Room for some of the receipts: those that are there are whole, and the next time brings the others.
#[test]
fn receipts_are_whole_or_absent_where_the_room_ends_among_them() {
    if !is_possible() {
        return;
    }
    let ward = Ward::new();
    let site = ward.site();
    ward.install(&site, &ward.second).succeeds();
    ward.go_back(&site);
    let elsewhere = tempfile::tempdir().unwrap();
    site.invoke(["receipts", "export"]).arg(elsewhere.path()).succeeds();
    let there = ward.disk.place().join("carried");
    fs::create_dir(&there).unwrap();
    let export = site.invoke(["receipts", "export"]).arg(&there);
    let same = |path: &PathBuf| {
        let name = path.file_name().unwrap();
        assert_eq!(fs::read(path).unwrap(), fs::read(elsewhere.path().join(name)).unwrap(), "{}", path.display());
    };
    let outcome = ward.is_refused(&site, &export, (Short::Bytes, 8192));
    let some = files(&there);
    let all = files(elsewhere.path()).len();
    assert!(!some.is_empty() && some.len() < all, "{some:?} of {all}: this shows nothing\n{outcome}");
    some.iter().for_each(same);
    ward.is_done_with_room(&export);
    assert_eq!(files(&there).len(), all);
    files(&there).iter().for_each(same);
}

#[test]
fn without_a_block_nothing_is_staged_activated_or_taken_back() {
    if is_possible() {
        staged_activated_and_taken_back(Short::Bytes);
    }
}

#[test]
fn without_an_inode_nothing_is_staged_activated_or_taken_back() {
    if is_possible() {
        staged_activated_and_taken_back(Short::Files);
    }
}

#[test]
fn without_a_block_nothing_is_carried_away_and_elsewhere_it_is() {
    if is_possible() {
        carried_away(Short::Bytes);
    }
}

#[test]
fn without_an_inode_nothing_is_carried_away_and_elsewhere_it_is() {
    if is_possible() {
        carried_away(Short::Files);
    }
}
