//! The program replaces itself out of a verified bundle, and only so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;

use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::Digest;
use kit::{Draft, fingerprint};
use serde_json::Value;

/// A program in a folder of its own, an enrolled site, and a stick.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Bench { dir: tempfile::tempdir().unwrap() };
        for folder in ["bin", "stick", "site"] {
            std::fs::create_dir(bench.at(folder)).unwrap();
        }
        // By a process of its own: a file that this one has open for writing, another test's child may not run.
        let mut copy = Command::new("cp");
        copy.arg(env!("CARGO_BIN_EXE_consign-site")).arg(bench.program());
        assert!(copy.status().unwrap().success());
        let root = bench.at("1.root.json");
        std::fs::write(&root, kit::root("dev")).unwrap();
        let fingerprint = Digest::of(&kit::root("dev")).hex();
        let root = root.to_str().unwrap();
        bench.run(&["enrol", "--site", "hospital-7", "--root", root, "--root-sha256", &fingerprint]).unwrap();
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self) -> PathBuf {
        self.at("bin/consign-site")
    }

    /// What it answers, or the name of its error.
    fn run(&self, arguments: &[&str]) -> Result<Value, String> {
        let mut command = Command::new(self.program());
        command.env_clear().arg("--root-dir").arg(self.at("site")).args(arguments).arg("--json");
        let output = command.output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        match said["error"]["code"].as_str() {
            Some(code) => Err(code.to_owned()),
            None if output.status.success() => Ok(said),
            None => panic!("{output:?}"),
        }
    }

    fn upgrade(&self, draft: &Draft) -> Result<Value, String> {
        let stick = self.at("stick/demo.consign");
        std::fs::write(&stick, draft.bundle()).unwrap();
        self.run(&["upgrade", stick.to_str().unwrap()])
    }

    fn says(&self) -> String {
        says(&self.program())
    }
}

fn says(program: &Path) -> String {
    String::from_utf8(Command::new(program).arg("--version").output().unwrap().stdout).unwrap()
}

fn script(says: &str) -> Vec<u8> {
    format!("#!/bin/sh\necho '{says}'\n").into_bytes()
}

#[test]
fn an_old_program_upgrades_itself_out_of_a_bundle_that_it_is_too_old_for() {
    let bench = Bench::new();
    let mut draft = Draft::new("2.0", 20).with_program("9.9.9", &script("consign-site 9.9.9"));
    draft.minimum_installer = "9.0.0".into();
    let stick = bench.at("stick/demo.consign");
    std::fs::write(&stick, draft.bundle()).unwrap();
    let install = ["install", "--handoff", "export", stick.to_str().unwrap()];
    assert_eq!(bench.run(&install).unwrap_err(), "installer-too-old");

    let upgraded = bench.upgrade(&draft).unwrap();
    assert_eq!((&upgraded["version"], &upgraded["from"]), (&"9.9.9".into(), &env!("CARGO_PKG_VERSION").into()));
    assert_eq!(bench.says(), "consign-site 9.9.9\n");
    let previous = bench.at("bin/consign-site.previous");
    assert_eq!(says(&previous), format!("consign-site {}\n", env!("CARGO_PKG_VERSION")));
    let left: Vec<_> = fingerprint(&bench.at("bin")).into_keys().collect();
    assert_eq!(left, [bench.program(), previous], "no draft is left behind");
}

#[test]
fn a_program_goes_back_to_the_one_before_and_forth_again() {
    let bench = Bench::new();
    assert_eq!(bench.run(&["upgrade", "--rollback"]).unwrap_err(), "installer-missing");
    let own = std::fs::read(bench.program()).unwrap();
    let same = Draft::new("1.0", 10).with_program(env!("CARGO_PKG_VERSION"), &[&own[..], b"\0"].concat());
    bench.upgrade(&same).unwrap();
    let lengths = || ["", ".previous"].map(|end| bench.at(&format!("bin/consign-site{end}")).metadata().unwrap().len());
    let (old, new) = (own.len() as u64, own.len() as u64 + 1);
    assert_eq!(lengths(), [new, old]);
    bench.run(&["upgrade", "--rollback"]).unwrap();
    assert_eq!(lengths(), [old, new]);
}

#[test]
fn what_must_not_replace_the_program_does_not() {
    let bench = Bench::new();
    let good = || Draft::new("2.0", 20).with_program("9.9.9", &script("consign-site 9.9.9"));
    let before = fingerprint(&bench.at("bin"));
    let mut flipped = good().bundle();
    let member = flipped.windows(14).rposition(|window| window == b"packed/sha256/").unwrap();
    flipped[member + 512 + 20] ^= 1;
    let stick = bench.at("stick/flipped.consign");
    std::fs::write(&stick, flipped).unwrap();
    assert_eq!(bench.run(&["upgrade", stick.to_str().unwrap()]).unwrap_err(), "digest-mismatch");

    let mut stranger = good();
    stranger.publisher = [8; 32];
    let mut elsewhere = good();
    elsewhere.audience.sites = vec![kit::name("tower-1")];
    let mut left_out = good();
    left_out.left_out = vec![left_out.release.files[0].digest];
    for (draft, code) in [
        (stranger, "signature-invalid"),
        (elsewhere, "other-site"),
        (left_out, "installer-missing"),
        (Draft::new("2.0", 20), "installer-missing"),
        (Draft::new("2.0", 20).with_program("0.0.9", &script("consign-site 0.0.9")), "older-release"),
        (Draft::new("2.0", 20).with_program("9.9.9", &script("consign-site 9.9.8")), "installer-unusable"),
        (Draft::new("2.0", 20).with_program("9.9.9", b"no program"), "installer-unusable"),
    ] {
        assert_eq!(bench.upgrade(&draft).unwrap_err(), code);
        assert_eq!(fingerprint(&bench.at("bin")), before, "{code}");
    }
}

#[test]
fn an_older_release_brings_no_program() {
    let bench = Bench::new();
    let stick = bench.at("stick/demo.consign");
    std::fs::write(&stick, Draft::new("2.0", 20).bundle()).unwrap();
    bench.run(&["install", "--handoff", "export", stick.to_str().unwrap()]).unwrap();
    let older = Draft::new("1.0", 10).with_program("9.9.9", &script("consign-site 9.9.9"));
    assert_eq!(bench.upgrade(&older).unwrap_err(), "older-release");
}
