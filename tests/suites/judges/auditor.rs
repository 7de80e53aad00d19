//! `docs/verify.sh` alone: what it needs, what it says, and that no byte that means anything escapes it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use consign_format::archive::plan::metadata_bundle;
use consign_format::trust::document::Key;
use consign_format::trust::keys::{SecretKey, Signer, key_id, sign};
use consign_tests::desk::Desk;
use consign_tests::images::run;
use consign_tests::judges::{Judge, Verdict, verify_sh};
use consign_tests::skip;
use curve25519_dalek::constants::EIGHT_TORSION;
use serde_json::json;

use crate::bundle::{Keys, members, pair};

/// What its first lines ask for: coreutils and diffutils, and these.
const PROGRAMS: &[&str] = &[
    "sh",
    "tar",
    "sed",
    "grep",
    "jq",
    "openssl",
    "basenc",
    "cat",
    "cmp",
    "cut",
    "dd",
    "diff",
    "head",
    "mktemp",
    "realpath",
    "rm",
    "seq",
    "sha256sum",
    "sort",
    "tail",
    "tr",
    "uniq",
    "wc",
];

fn is_possible() -> bool {
    let missing = Judge::VerifySh.seat().err().unwrap_or_default();
    Desk::is_possible() && skip::unless(missing.is_empty(), &missing, Judge::HOW)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn asked(bundle: &[u8], fingerprint: &str) -> Verdict {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bundle).unwrap();
    Judge::VerifySh.seat().unwrap().ask(file.path(), fingerprint, Path::new("unused"))
}

#[test]
fn it_says_a_line_per_check() {
    if !is_possible() {
        return;
    }
    let pair = pair();
    let rotated = Keys::of(pair).rotated(&pair.newer).pack();
    let folder = tempfile::tempdir().unwrap();
    // A name that tar would take for a host, and a fingerprint as it is printed for people.
    let bundle = folder.path().join("a disk:lumen.consign");
    fs::write(&bundle, rotated).unwrap();
    let grouped: Vec<String> =
        pair.fingerprint.as_bytes().chunks(8).map(|part| String::from_utf8_lossy(part).to_uppercase()).collect();
    let said = verify_sh().arg(&bundle).arg(grouped.join(" ")).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("sequence [0-9]+", "sequence N");
    settings.add_filter("20[0-9-]+T[0-9:]+Z", "TIME");
    settings.bind(|| insta::assert_snapshot!(text(&said)));
}

#[test]
fn it_needs_nothing_but_what_it_names() {
    if !is_possible() {
        return;
    }
    let pair = pair();
    let folder = tempfile::tempdir().unwrap();
    for program in PROGRAMS {
        let path = run(std::process::Command::new("sh").args(["-c", "command -v \"$0\"", program]));
        symlink(path.trim(), folder.path().join(program)).unwrap();
    }
    let ask = |path: &Path| {
        let said = verify_sh().arg(&pair.newer).arg(&pair.fingerprint).env_clear().env("PATH", path).output();
        said.unwrap()
    };
    let said = ask(folder.path());
    assert!(said.status.success(), "{said:?}");
    assert!(text(&said).contains("skipped  content of packed members: zstd is not installed"), "{said:?}");
    fs::remove_file(folder.path().join("jq")).unwrap();
    let said = ask(folder.path());
    assert_eq!(said.status.code(), Some(2), "no jq, no verdict: {said:?}");
}

#[test]
fn it_judges_nothing_that_it_was_not_asked_for() {
    if !is_possible() {
        return;
    }
    let pair = pair();
    let ask = |arguments: &[&str]| verify_sh().args(arguments).output().unwrap().status.code();
    let bundle = pair.newer.to_str().unwrap();
    assert_eq!(ask(&[]), Some(2));
    assert_eq!(ask(&[bundle]), Some(2));
    assert_eq!(ask(&[bundle, ""]), Some(2), "an empty fingerprint is none");
    assert_eq!(ask(&[bundle, &pair.fingerprint[1..]]), Some(2));
    assert_eq!(ask(&["/no/such/file", &pair.fingerprint]), Some(2));
    assert_eq!(ask(&[bundle, &"0".repeat(64)]), Some(1));
    assert_eq!(ask(&[bundle, &pair.fingerprint]), Some(0));
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_means_something() {
    if !is_possible() {
        return;
    }
    let pair = pair();
    let good = Keys::of(pair).rotated(&pair.newer).pack();
    let mut spoiled = good.clone();
    // Name, mode, owner, size, time, kind, group's name: another one in each header.
    let fields = [0, 103, 112, 131, 142, 156, 300].into_iter().cycle();
    for ((name, header, size), field) in members(&good).into_iter().zip(fields) {
        let content = header + 512;
        // Blobs are hashed as a whole: one byte of each is as good as three.
        let edges = [content, content + size - 1].into_iter().filter(|_| !name.starts_with("blobs/"));
        for at in [header + field, content + size / 2].into_iter().chain(edges) {
            spoiled[at] ^= 1 << (at % 7);
            let verdict = asked(&spoiled, &pair.fingerprint);
            assert!(!verdict.is_good(), "byte {} of {name} is another", at - header);
            spoiled[at] = good[at];
        }
    }
    assert_eq!(asked(&spoiled, &pair.fingerprint), Verdict::Accepts);
}

#[test]
fn a_missing_member_is_named() {
    if !is_possible() {
        return;
    }
    let pair = pair();
    let good = fs::read(&pair.newer).unwrap();
    let (name, last, _) = members(&good).pop().unwrap();
    let Verdict::Refuses(why) = asked(&[&good[..last], &[0; 1024]].concat(), &pair.fingerprint) else {
        panic!("{name} is missing, and nobody noticed");
    };
    assert!(why.ends_with(&name), "{why}");
}

#[test]
fn statements_are_held_against_the_approvers() {
    if !is_possible() {
        return;
    }
    let pair = pair();
    let keys = Keys::of(pair);
    let parts = keys.rotated(&pair.newer);
    let [ada, ben, _] = &keys.approvers;
    let statement = |domain: &str, by: &[&SecretKey]| {
        let signers: Vec<&dyn Signer> = by.iter().map(|key| *key as &dyn Signer).collect();
        sign(&json!({"_type": "site-record", "domain": domain, "serial": 1, "site": "ward-7"}), &signers).unwrap()
    };
    let good = vec![statement("lumen", &[ada, ben]), statement("lumen", &[ben, &keys.approvers[2]])];
    let metadata_alone = |statements: &[Vec<u8>]| metadata_bundle(&parts.roots, statements).unwrap();
    for statements in [&[][..], &good[..1], &good] {
        assert_eq!(asked(&metadata_alone(statements), &pair.fingerprint), Verdict::Accepts);
        let mut beside = parts.clone();
        beside.statements = statements.to_vec();
        assert_eq!(asked(&beside.pack(), &pair.fingerprint), Verdict::Accepts);
    }
    for bad in
        [statement("lumen", &[ada]), statement("lumen", &[&keys.publisher, ada]), statement("clinic", &[ada, ben])]
    {
        assert!(!asked(&metadata_alone(&[bad]), &pair.fingerprint).is_good());
    }
}

#[test]
fn zeros_are_demanded_behind_every_member() {
    if !is_possible() {
        return;
    }
    let pair = pair();
    let mut spoiled = Keys::of(pair).rotated(&pair.newer).pack();
    let members = members(&spoiled);
    // So that there is one: a filler of whole blocks has no padding, the last byte of its content stands for it.
    assert!(members.iter().any(|(name, ..)| name == "filler"));
    for (name, header, size) in members.into_iter().filter(|(.., size)| size % 512 != 0) {
        let content = header + 512 + size;
        for at in [content, header + 512 + size.next_multiple_of(512) - 1] {
            spoiled[at] = 1;
            let verdict = asked(&spoiled, &pair.fingerprint);
            let Verdict::Refuses(why) = verdict else { panic!("{name}: byte {at} is no zero, {verdict:?}") };
            assert!(why.contains("padding"), "{name}: {why}");
            spoiled[at] = 0;
        }
    }
    assert_eq!(asked(&spoiled, &pair.fingerprint), Verdict::Accepts);
}

/// Points of small order, with either sign, and some that are written with a y that is too large.
fn weak_keys() -> BTreeSet<[u8; 32]> {
    let torsion = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes());
    let large = [0xed, 0xef, 0xf0, 0xff].map(|low| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, 0x7f);
        bytes
    });
    let plain: Vec<[u8; 32]> = torsion.chain(large).collect();
    let other_sign = plain.iter().map(|bytes| {
        let mut bytes = *bytes;
        bytes[31] ^= 0x80;
        bytes
    });
    plain.iter().copied().chain(other_sign).collect()
}

#[test]
fn keys_that_are_none_are_refused() {
    if !is_possible() {
        return;
    }
    let pair = pair();
    let keys = Keys::of(pair);
    let weak = weak_keys();
    assert_eq!(weak.len(), 10 + 2 * 4, "the points, two of them with a sign that says nothing, and the large ones");
    let with_approver = |key: &[u8; 32]| {
        let parts = keys.rotated_to(&pair.newer, |root| {
            let id = key_id(key).unwrap();
            root.keys.insert(id.clone(), Key::ed25519(key));
            root.roles.get_mut("targets").unwrap().keyids.push(id);
        });
        metadata_bundle(&parts.roots, &[]).unwrap()
    };
    for key in &weak {
        let Verdict::Refuses(why) = asked(&with_approver(key), &pair.fingerprint) else { panic!("took {key:x?}") };
        assert!(why.contains("small order"), "{key:x?}: {why}");
    }
    assert_eq!(asked(&with_approver(&SecretKey::from_seed(&[9; 32]).public()), &pair.fingerprint), Verdict::Accepts);
}
