//! The fuzz targets over every seed and every crash they once found, on a machine without a fuzzer; and where the seeds
//! come from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod kit;
#[path = "../fuzz/src/targets.rs"]
#[allow(unreachable_pub, reason = "the fuzz crate's module as it is")]
mod targets;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use consign_format::archive::header;
use consign_format::archive::plan::metadata_bundle;
use consign_format::archive::volumes::{Hint, Shape, check_volume, cut};
use consign_format::digest::Digest;
use consign_format::receipt::base32;
use consign_format::receipt::code::{Draft, Heard};
use consign_format::receipt::slip::{PREFIX, Slip};
use consign_format::release::{Restart, Service};
use consign_format::trust::author::{self, Signers};
use consign_format::trust::envelope::Envelope;
use consign_format::trust::keys::PublicKey;
use consign_format::trust::statement::{DowngradeGrant, SiteRecord};
use consign_format::{canonical, frames, receipt};
use kit::{EXPIRES, Parts, parts, read, trust};
use serde_json::json;
use targets::{TARGETS, enrolled, sealed};

/// Set, the seeds are written instead of compared.
const WRITE: &str = "CONSIGN_WRITE_SEEDS";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

/// Every file below a folder's folders, by `TARGET/NAME`.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let targets = entries(folder).filter(|path| path.is_dir());
    let files = targets.flat_map(|target| entries(&target).collect::<Vec<_>>());
    files.map(|path| (path.strip_prefix(folder).unwrap().display().to_string(), fs::read(&path).unwrap())).collect()
}

fn body(document: &[u8]) -> String {
    String::from_utf8(Envelope::parse("a document", document).unwrap().signed().to_vec()).unwrap()
}

/// The lines of `targets::metadata`, every digest and length that follows from another line left to it.
fn lines(parts: &Parts) -> Vec<String> {
    let release = parts.release.to_bytes().unwrap();
    let domain = "dev".parse().unwrap();
    let signers = Signers { domain: &domain, approvers: vec![&parts.key], publisher: &parts.key };
    let carriage = parts.carriage(&release, 64 * 1024);
    let documents = author::documents(&release, &parts.approval(), &carriage, EXPIRES, &signers).unwrap();
    let signed = |document: &[u8]| Envelope::parse("a document", document).unwrap().signed_digest().hex();
    let length = |bytes: &[u8]| format!("\"length\":{}", bytes.len());
    let release_digest = Digest::of(&release).hex();
    vec![
        body(&documents.timestamp).replace(&signed(&documents.snapshot), "#S"),
        body(&documents.snapshot)
            .replace(&signed(&documents.targets), "#T")
            .replace(&Digest::of(&documents.carriage).hex(), "#C")
            .replace(&length(&documents.carriage), "\"length\":#c"),
        body(&documents.targets).replace(&release_digest, "#R").replace(&length(&release), "\"length\":#r"),
        body(&documents.carriage).replace(&release_digest, "#R"),
        String::from_utf8(release).unwrap(),
    ]
}

/// A root that follows the enrolled one, with nothing changed.
fn second_root(parts: &Parts) -> String {
    body(&parts.roots[0]).replace("\"version\":1,", "\"version\":2,")
}

fn site_record() -> Vec<u8> {
    let record = SiteRecord {
        kind: "site-record".into(),
        domain: "dev".parse().unwrap(),
        site: "ward-7".parse().unwrap(),
        serial: 1,
        issued: 1_795_000_000,
        environments: vec!["hospital".parse().unwrap()],
        labels: vec!["region=north".into()],
        variants: BTreeMap::new(),
        receipt_key: PublicKey::of(targets::key()),
        recipient: None,
    };
    canonical::to_vec(&record).unwrap()
}

fn downgrade_grant() -> Vec<u8> {
    let grant = json!({
        "_type": "downgrade-grant", "domain": "dev", "site": "ward-7", "product": "radiology", "from": 7, "to": 6,
        "release": Digest::of(b"older"), "expires": EXPIRES,
    });
    canonical::to_vec(&grant).unwrap()
}

fn a_receipt() -> Vec<u8> {
    let receipt = json!({
        "_type": "receipt", "domain": "dev", "site": "ward-7", "enrolment": "e1", "n": 2,
        "previous": Digest::of(b"the one before"), "action": "activate", "outcome": "applied",
        "release": {"product": "radiology", "version": "1", "sequence": 7, "digest": Digest::of(b"r"),
            "bundle": Digest::of(b"b")},
        "handoff": "direct", "phases": [{"name": "verify", "started": 1_795_000_000, "milliseconds": 12}],
        "clock": {"now": 1_795_000_000, "quality": "plausible"}, "warnings": ["\"late\""], "installer": "0.1.0",
    });
    canonical::to_vec(&receipt).unwrap()
}

/// What headquarters gets of a receipt by phone and by telephone, each behind the byte that tells [`targets::slip`].
fn slips() -> [Vec<u8>; 4] {
    let file = sealed(&a_receipt());
    let receipt = receipt::verify(&file, &PublicKey::of(targets::key())).unwrap();
    let text = |slip: &Slip| slip.to_text(targets::key()).unwrap();
    let cbor = |slip: &Slip| {
        let mut bytes = base32::decode(text(slip).strip_prefix(PREFIX).unwrap()).unwrap();
        bytes.truncate(bytes.len() - 64);
        bytes
    };
    let slip = Slip::of(&receipt, &file);
    let bare = Slip { release: None, root: Some(300), action: receipt::Action::RootChange, ..slip.clone() };
    // The target has no key for the MAC, and the form asks for none.
    let code = Draft::of(&receipt).unwrap().text(Digest::of(b"a MAC").as_bytes());
    let behind = |first: u8, bytes: &[u8]| [&[first], bytes].concat();
    [behind(0, code.as_bytes()), behind(1, text(&slip).as_bytes()), behind(2, &cbor(&slip)), behind(2, &cbor(&bare))]
}

/// A release whose file belongs to somebody, and has a service that depends on it.
fn with_services(parts: &Parts) -> Vec<u8> {
    let mut release = parts.release.clone();
    release.files[0].owner = Some("etcd:etcd".into());
    let to = release.files[0].to.clone();
    let service = |unit: &str, restart| Service { unit: unit.into(), enable: true, restart, files: vec![to.clone()] };
    release.services = vec![service("k3s.service", Restart::OnChange), service("k3s.timer", Restart::Never)];
    release.to_bytes().unwrap()
}

/// The hints of a bundle that is cut, one a line; what follows from the head is left to the target.
fn hints(shape: Shape<'_>, size: u64) -> Vec<u8> {
    let head = Digest::of(b"the head");
    let line = |hint: &Hint| {
        let json = String::from_utf8(canonical::to_vec(hint).unwrap()).unwrap();
        json.replace(&head.to_string(), "#H")
    };
    let lines: Vec<String> = cut(shape, head, size).unwrap().iter().map(line).collect();
    [b"\x01", lines.join("\n").as_bytes()].concat()
}

fn seeds() -> BTreeMap<String, Vec<u8>> {
    let parts = parts();
    let lines = lines(&parts);
    let root = body(&parts.roots[0]);
    let head = |roots: &[&str]| [roots, &lines.iter().map(String::as_str).collect::<Vec<_>>()].concat().join("\n");
    let layer = &parts.contents[4].1;
    let mut tar = vec![0];
    flate2::read::GzDecoder::new(layer.as_slice()).read_to_end(&mut tar).unwrap();
    let plain = b"what a file of the release holds, again and again ".repeat(20);
    let mut frame = (plain.len() as u32).to_le_bytes().to_vec();
    frames::pack(plain.as_slice(), &mut frame).unwrap();
    let statement = sealed(&site_record());
    let [code, text, signed, root_change] = slips();
    let seeds = [
        ("carriage/members", lines[3].clone().into_bytes()),
        ("envelope/root", parts.roots[0].clone()),
        ("envelope/value", "{\"a\":[1,-2,null,true,\"say \\\"hi\\\" \\\\ ä\"],\"b\":{}}".as_bytes().to_vec()),
        ("envelope/statement", statement.clone()),
        ("frames/text", frame),
        ("head/release", parts.pack_small()),
        ("head/metadata", metadata_bundle(&parts.roots, &[statement]).unwrap()),
        ("header/small", header::canonical("index.json", 1234).unwrap().to_vec()),
        ("header/base-256", header::canonical("blobs/sha256/ab", 1 << 40).unwrap().to_vec()),
        ("metadata/release", head(&[&root]).into_bytes()),
        ("metadata/rotation", head(&[&root, &second_root(&parts)]).into_bytes()),
        ("receipt/body", a_receipt()),
        ("receipt/signed", sealed(&a_receipt())),
        ("reference/short", b"nginx:1.25".to_vec()),
        ("reference/full", format!("registry.example:5000/a/b_c@{}", Digest::of(b"")).into_bytes()),
        ("release/services", with_services(&parts)),
        ("release/small", parts.release.to_bytes().unwrap()),
        ("slip/code", code),
        ("slip/text", text),
        ("slip/signed", signed),
        ("slip/root-change", root_change),
        ("state/tar", tar),
        ("state/layer", [&[1], layer.as_slice()].concat()),
        ("statement/record", site_record()),
        ("statement/grant", downgrade_grant()),
        ("volume/raw", [&[0], kit::volumes::split(&parts.pack_small(), 71_680)[1].as_slice()].concat()),
        ("volume/plain", hints(Shape::Plain { boundary: 65536, ends: &[66_560, 70_144, 76_800, 77_824] }, 71_680)),
        ("volume/sealed", hints(Shape::Sealed { length: 150 * 512 + 65_536 }, 70_144)),
    ];
    seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

#[test]
fn the_seeds_are_what_the_kit_makes() {
    let seeds = seeds();
    if std::env::var_os(WRITE).is_some() {
        for (name, bytes) in &seeds {
            let path = folder("corpus").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    let found = files(&folder("corpus"));
    assert_eq!(found.keys().collect::<Vec<_>>(), seeds.keys().collect::<Vec<_>>());
    for (name, bytes) in &seeds {
        assert!(found[name] == *bytes, "{name} is out of date; {WRITE}=1 cargo test -p consign-format --test fuzz");
    }
}

/// A seed that is refused at the door opens no door.
#[test]
fn the_seeds_are_accepted() {
    let seeds = seeds();
    let parts = parts();
    read(&seeds["head/release"], &trust(&parts)).unwrap();
    let lines: Vec<&[u8]> = seeds["metadata/release"].split(|byte| *byte == b'\n').collect();
    targets::vouch(enrolled(), *lines.last_chunk::<5>().unwrap()).unwrap();
    receipt::verify(&seeds["receipt/signed"], &PublicKey::of(targets::key())).unwrap();
    let text = |seed: &str| String::from_utf8(seeds[seed][1..].to_vec()).unwrap();
    Heard::read(&text("slip/code")).unwrap();
    Slip::verify(&text("slip/text"), &PublicKey::of(targets::key())).unwrap();
    for seed in ["slip/signed", "slip/root-change"] {
        Slip::verify(&targets::signed(&seeds[seed][1..]), &PublicKey::of(targets::key())).unwrap();
    }
    enrolled().statement::<SiteRecord>("a record", &sealed(&seeds["statement/record"])).unwrap();
    enrolled().statement::<DowngradeGrant>("a grant", &sealed(&seeds["statement/grant"])).unwrap();
    check_volume(&mut std::io::Cursor::new(&seeds["volume/raw"][1..])).unwrap();
}

#[test]
fn every_seed_and_every_crash_of_old_passes() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    for (file, bytes) in files(&folder("corpus")).into_iter().chain(files(&folder("regressions"))) {
        let (target, _) = file.split_once('/').unwrap();
        let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).unwrap_or_else(|| panic!("{file}: {names:?}"));
        run(&bytes);
    }
    for target in names {
        assert!(folder("fuzz_targets").join(format!("{target}.rs")).is_file(), "{target} is not fuzzed");
        assert!(folder("corpus").join(target).is_dir(), "{target} has no seeds");
    }
}
