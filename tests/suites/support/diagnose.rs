//! `consign-site diagnose`: everything is in it that headquarters needs, and nothing that is secret.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consign_sealed::{SiteKey, message};
use consign_tests::images::run;
use consign_tests::site::Site;
use serde_json::Value;

use crate::kubelet::answer_logs;
use crate::ward::{Ward, configure};

/// What nobody outside may read: of a Secret, of an environment, of a log under another name, of a ConfigMap.
const IN_SECRET: &str = "correct-horse-battery";
const IN_ENVIRONMENT: &str = "env-staple-9";
const IN_LOG: &str = "log-spoken-7";
const IN_CONFIGMAP: &str = "configmap-told-3";

const OBJECTS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: viewer}
stringData: {password: correct-horse-battery}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: told, namespace: viewer}
data: {file: configmap-told-3}
---
apiVersion: v1
kind: Pod
metadata: {name: crash, namespace: viewer, annotations: {sim.consign.dev/waiting: CrashLoopBackOff}}
spec:
  containers:
    - name: app
      image: quay.io/crash:1
      args: [--db-password, env-staple-9, --port=5]
      env:
        - {name: DB_PASSWORD, value: env-staple-9}
        - {name: DB_HOST, value: db.viewer}
        - {name: PEER, valueFrom: {secretKeyRef: {name: db, key: password}}}
";

/// The files of an archive, unpacked by the machine's own tar.
fn unpack(archive: &Path, folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::create_dir(folder).unwrap();
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder));
    let found = run(Command::new("find").args([".", "-type", "f", "-printf", "%P\n"]).current_dir(folder));
    found
        .lines()
        .map(|name| (name.trim_start_matches("diagnosis/").to_owned(), fs::read(folder.join(name)).unwrap()))
        .collect()
}

fn json(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Value {
    serde_json::from_slice(files.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", files.keys()))).unwrap()
}

/// Fails if any of these stands anywhere, as it is or in base64 at any of the three offsets.
fn assert_absent(files: &BTreeMap<String, Vec<u8>>, secrets: &[&str]) {
    for secret in secrets {
        let shifted = (0..3).map(|shift| {
            let encoded = STANDARD.encode([&b"abc"[..shift], secret.as_bytes()].concat());
            let encoded = encoded.trim_end_matches('=').as_bytes();
            encoded[4.min(shift * 4)..encoded.len() - 2].to_vec()
        });
        for needle in shifted.chain([secret.as_bytes().to_vec()]) {
            for (name, bytes) in files {
                let found = bytes.windows(needle.len()).any(|window| window == needle);
                assert!(!found, "{secret} stands in {name} as {}", String::from_utf8_lossy(&needle));
            }
        }
    }
}

fn said_by_containers(request: &str) -> Vec<u8> {
    let which = if request.contains("previous=true") { "the one before" } else { "this one" };
    let mut log = format!("2026-11-25T00:00:00Z {which}: connecting, token={IN_LOG}\n").into_bytes();
    log.extend(format!("peer says {IN_SECRET} and {}\n", STANDARD.encode(IN_SECRET)).into_bytes());
    log.extend(b"panic: no such host \xff\n");
    log
}

#[test]
fn everything_but_the_secrets_is_in_it() {
    if !Ward::is_possible() {
        return;
    }
    let ward = Ward::new();
    answer_logs(&ward.cluster, said_by_containers);
    ward.create(OBJECTS);
    let waits = "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff";
    run(ward.cluster.kubectl().args(["wait", "-n", "viewer", "pod/crash", "--timeout=120s", waits]));
    let before = ward.site.snapshot();
    let archive = ward.workshop.at("diagnosis.tar.gz");
    ward.invoke(["diagnose"]).option("-o", &archive).succeeds().says("NOT encrypted");
    assert_eq!(ward.site.snapshot(), before);
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    ward.invoke(["diagnose"]).option("-o", &archive).fails("already-exists", 1);

    let files = unpack(&archive, &ward.workshop.at("unpacked"));
    let site_key = fs::read_to_string(ward.site.kept().join("trust/site.key")).unwrap();
    let age_key = fs::read_to_string(ward.site.kept().join("trust/site.age")).unwrap();
    let own = [site_key.lines().nth(1).unwrap(), age_key.lines().nth(1).unwrap()];
    assert_absent(&files, &[IN_SECRET, IN_ENVIRONMENT, IN_LOG, IN_CONFIGMAP, own[0], own[1]]);

    assert_eq!(json(&files, "status.json")["site"], "ward-7");
    assert_eq!(json(&files, "doctor.json")["findings"][0]["id"], "site-state");
    assert_eq!(files["receipts/000001.json"], fs::read(ward.site.kept().join("receipts/000001.json")).unwrap());
    assert_eq!(files["journal.jsonl"], fs::read(ward.site.kept().join("journal/journal")).unwrap());
    assert_eq!(json(&files, "cluster/nodes.json")[0]["metadata"]["name"], "sim");
    let secrets = json(&files, "cluster/viewer/secrets.json");
    assert!(
        secrets.as_array().unwrap().iter().any(|one| one["name"] == "db" && one["keys"][0] == "password"),
        "{secrets}"
    );
    let pods = json(&files, "cluster/viewer/pods.json");
    assert_eq!(pods[0]["spec"]["containers"][0]["env"][1]["value"], "db.viewer", "what is no secret stays");
    let logs: Vec<&String> = files.keys().filter(|name| name.starts_with("logs/viewer/")).collect();
    assert_eq!(
        logs,
        ["logs/viewer/001-crash.app.log", "logs/viewer/002-crash.app.previous.log"],
        "{:#}",
        json(&files, "manifest.json")["missing"]
    );
    assert!(String::from_utf8_lossy(&files[logs[0]]).contains("panic: no such host"));
    assert!(String::from_utf8_lossy(&files[logs[1]]).contains("the one before"));
    let manifest = json(&files, "manifest.json");
    let listed: Vec<&str> =
        manifest["files"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(listed.len() + 1, files.len(), "the manifest names all but itself");
    assert!(listed.iter().all(|name| files.contains_key(*name)));
    encrypted(&ward);
}

fn encrypted(ward: &Ward) {
    let (key, other) = (SiteKey::generate(), SiteKey::generate());
    let recipient = key.recipient().to_string();
    let closed = ward.workshop.at("closed.age");
    ward.invoke(["diagnose"]).option("-o", &closed).option("--encrypt-to", &recipient).succeeds().says(&recipient);
    let file = ward.workshop.at("recipient");
    fs::write(&file, format!("# headquarters\n{recipient}\n")).unwrap();
    ward.invoke(["diagnose"]).option("-o", ward.workshop.at("by-file.age")).option("--encrypt-to", &file).succeeds();
    configure(&ward.site, &format!("[diagnose]\nrecipient = \"{recipient}\"\n"));
    ward.invoke(["diagnose"]).option("-o", ward.workshop.at("by-config.age")).succeeds();
    for name in ["closed.age", "by-file.age", "by-config.age"] {
        let bytes = fs::read(ward.workshop.at(name)).unwrap();
        assert!(message::decrypt(&other, &bytes, 64 << 20).is_err(), "{name}");
        let plain = message::decrypt(&key, &bytes, 64 << 20).unwrap();
        assert!(plain.starts_with(&[0x1f, 0x8b]), "{name} holds no gzip");
        let cut = bytes.len() - 1;
        assert!(message::decrypt(&key, &bytes[..cut], 64 << 20).is_err(), "{name}");
    }
    for wrong in ["age1xyz", "/no/such/file"] {
        let refused = ward.workshop.at("refused.age");
        ward.invoke(["diagnose"]).option("-o", &refused).option("--encrypt-to", wrong).exits(2);
        assert!(!refused.exists());
    }
    configure(&ward.site, "handof = 1\n");
    ward.invoke(["diagnose"]).option("-o", ward.workshop.at("unknown.tar.gz")).fails("usage", 2).says("age1");
}

#[test]
fn a_site_that_is_in_ruins_can_still_be_diagnosed() {
    let site = Site::bare();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("d.tar.gz");
    let said = site.invoke(["diagnose", "--json", "-o"]).arg(&archive).succeeds().json();
    assert!(said["missing"].to_string().contains("no root of trust is enrolled"), "{said}");
    let files = unpack(&archive, &folder.path().join("unpacked"));
    assert!(files["readme.txt"].starts_with(b"A diagnosis of one Consign site"));
    let missing = json(&files, "manifest.json")["missing"].to_string();
    for what in ["status.json", "cluster/", "receipts/", "journal.jsonl"] {
        assert!(missing.contains(&format!("\"{what}\"")), "{what} in {missing}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "no draft is left: {left:?}");
}

#[test]
fn a_run_under_way_does_not_stop_it() {
    let workshop = crate::workshop::Workshop::new();
    let site = Site::enrolled(&workshop.at("trust"));
    let held = consign_installer::Site::open_exclusive(consign_installer::Store::at(site.root())).unwrap();
    site.invoke(["diagnose", "-o"]).arg(workshop.at("d.tar.gz")).succeeds();
    let files = unpack(&workshop.at("d.tar.gz"), &workshop.at("unpacked"));
    let doctor = json(&files, "doctor.json").to_string();
    assert!(doctor.contains("a run is under way"), "{doctor}");
    drop(held);
}
