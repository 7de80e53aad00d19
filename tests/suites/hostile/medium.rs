//! The medium itself: what is no file, what cannot be read, what changes while it is read, what does not fit.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use consign_tests::forge::Forge;
use consign_tests::images::run;
use serde_json::json;

use super::ground::{Ground, INSTALLED, Medium, NEXT};
use super::trial::{Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[
    Row { number: 23, lie: "more than there is room for", exits: &[16], show: no_room },
    Row { number: 59, lie: "an unreadable sector", exits: &[10], show: unreadable },
    Row { number: 60, lie: "swapped after verify, changed while it is read", exits: &[10], show: swapped },
    Row { number: 61, lie: "a FIFO, a link to /dev/zero, a folder as bundle", exits: &[11], show: no_file },
    Row { number: 62, lie: "files or links where blobs will go", exits: &[11], show: seeded },
    Row { number: 63, lie: "two installers at once", exits: &[24], show: two_at_once },
    Row { number: 79, lie: "power cut while a head is rewritten", exits: &[0, 11, 12], show: rewritten },
];

fn next() -> Forge {
    Forge::new(NEXT)
}

/// The head lacked the approvers' signature and was being replaced. What a kill leaves of it is in the suite `crash`.
fn rewritten(trial: &mut Trial) {
    let old = next().with(|forge| forge.approvers.clear()).bundle();
    let new = next().bundle();
    let boundary = (0..new.len()).step_by(65536).find(|&at| new[at..].starts_with(b"oci-layout\0")).unwrap();
    assert!(old[boundary..] == new[boundary..], "one payload behind both heads");
    let cut = 64 + (0..boundary).rfind(|&at| old[at] != new[at]).unwrap() / 512 * 512;
    let torn = [&new[..cut], &old[cut..]].concat();
    trial.refuses("the old head", &old, refusal(12, "below-threshold", "targets.json"));
    trial.refuses("half of each head", &torn, refusal(11, "archive-malformed", ""));
    let waiting = |bundle: &[u8], head: &[u8]| {
        let medium = Medium::of(bundle);
        fs::write(medium.path().with_extension("consign.head"), head).unwrap();
        medium
    };
    // A waiting head that is torn itself, or another bundle's, is no way in.
    let stranger = Forge::new(NEXT + 1).bundle();
    for (what, bundle, head, name) in [
        ("a torn head waits", &old, &new[..cut], "below-threshold"),
        ("another bundle's head waits", &torn, &stranger[..boundary], ""),
    ] {
        let medium = waiting(bundle, head);
        let outcome = trial.ground().site.export(medium.path()).run();
        assert!(outcome.exit.is_some_and(|exit| (10..=12).contains(&exit)), "{what}\n{outcome}");
        assert!(outcome.stderr.contains(name), "{what}\n{outcome}");
        assert_eq!(trial.ground().differences(), Vec::<String>::new(), "{what}");
    }
    let medium = waiting(&torn, &new[..boundary]);
    let (verify, install) = (trial.ground().site.invoke(["verify"]), trial.ground().site.export(medium.path()));
    trial.succeeds("verify: the new head waits", &verify.arg(medium.path()));
    trial.succeeds("install: the new head waits", &install);
    assert_eq!(trial.ground().site.status()["products"][0]["current"]["release"]["version"], "1.8");
    assert!(fs::read(medium.path()).unwrap() == torn, "the medium is not the site's to mend");
    trial.notes("the waiting head is read, the medium left as it is");
}

fn no_room(trial: &mut Trial) {
    // A pebibyte, approved and listed: no disk has that, and the site must find out before it copies anything.
    let size = 1_u64 << 50;
    let digest = "sha256:".to_owned() + &"1".repeat(64);
    let listed = digest.clone();
    let forge = next()
        .lie("release.json", move |release| {
            let blobs = release["blobs"].as_array_mut().unwrap();
            let media_type = "application/octet-stream";
            blobs.push(json!({"digest": listed, "size": size, "mediaType": media_type, "role": "layer"}));
            blobs.sort_by_key(|blob| blob["digest"].as_str().unwrap().to_owned());
        })
        .lie("carriage.json", move |carriage| {
            let name = digest.replace("sha256:", "blobs/sha256/");
            let member = json!({"name": name, "length": size, "sha256": digest, "carried": "full"});
            carriage["members"].as_array_mut().unwrap().push(member);
            let payload = carriage["payload"].as_u64().unwrap() + 512 + size;
            carriage["payload"] = payload.into();
        });
    let blobs = trial.ground().site.kept().join("blobs/sha256");
    let before = fs::read_dir(&blobs).unwrap().count();
    let medium = Medium::of(&forge.bundle());
    trial.refuses_to_install("a pebibyte", &medium, refusal(16, "no-room", "loading needs"));
    assert_eq!(fs::read_dir(&blobs).unwrap().count(), before, "something was copied before the refusal");
    trial.still_takes(&next());
    trial.notes("nothing copied");
}

/// Lets reads of a file fail with EIO from the `nth` on: what a bad sector does, without one.
fn failing_reads(medium: &Path, nth: usize) -> Vec<String> {
    let calls = "read,pread64,copy_file_range,sendfile";
    ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-P"]
        .into_iter()
        .map(str::to_owned)
        .chain([medium.display().to_string(), "-e".to_owned(), format!("inject={calls}:error=EIO:when={nth}+")])
        .collect()
}

fn unreadable(trial: &mut Trial) {
    let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !trial.needs(traced.is_ok_and(|status| status.success()), "strace cannot trace here (apt-get install strace)") {
        return;
    }
    let expected = refusal(10, "medium-unreadable", "the medium cannot be read at byte");
    let medium = Medium::of(&next().bundle());
    let (mut in_head, mut in_payload) = (false, false);
    for nth in [1, 4, 9, 15, 30, 48, 54, 58, 62, 66, 70, 75, 80, 90, 100] {
        for command in ["verify", "install"] {
            let site = &trial.ground().site;
            let invocation = if command == "verify" {
                site.invoke(["verify"]).arg(medium.path())
            } else {
                site.export(medium.path())
            };
            let outcome = invocation.under(failing_reads(medium.path(), nth)).run();
            if outcome.exit == Some(0) {
                // So many reads it does not take; the site is at the next release now, as it should be.
                trial.at(Ground::new());
                continue;
            }
            in_head |= outcome.stderr.contains("metadata/") || outcome.stderr.contains("consign-format");
            in_payload |= outcome.stderr.contains("in blobs/") || outcome.stderr.contains("in packed/");
            trial.refused(&format!("{command}: read {nth} fails"), &outcome, expected);
            assert!(medium.is_as_it_was());
        }
    }
    assert!(in_head && in_payload, "the failing reads lay in the head: {in_head}, in the payload: {in_payload}");
    // Nothing is burnt: the older stick is still good, and so is a copy of the newer one.
    trial.at(Ground::new());
    trial.ground().site.export(medium.path()).under(failing_reads(medium.path(), 9)).fails("medium-unreadable", 10);
    trial.ground().site.export(Medium::of(&Forge::new(INSTALLED).bundle()).path()).succeeds();
    trial.still_takes(&next());
    trial.notes("registry, state, cluster, medium; the older stick still works");
}

fn swapped(trial: &mut Trial) {
    let mut bytes = next().bundle();
    let medium = Medium::of(&bytes);
    trial.ground().site.invoke(["verify"]).arg(medium.path()).succeeds();
    let layer = bytes.windows(12).position(|window| window == b"layer of 1.8").unwrap();
    bytes[layer] ^= 1;
    let changed = Medium::of(&bytes);
    fs::rename(changed.path(), medium.path()).unwrap();
    let outcome = trial.ground().site.export(medium.path()).run();
    trial.refused("swapped after verify", &outcome, refusal(10, "digest-mismatch", "blobs/"));
    changes_while_it_is_read(trial, layer);
    // After the release is in the store, the medium may say what it likes.
    let medium = Medium::of(&next().bundle());
    let site = &trial.at(Ground::new()).site;
    site.export(medium.path()).succeeds();
    fs::write(medium.path(), b"something else").unwrap();
    let served = site.serve();
    for (digest, blob) in &next().content.blobs {
        let (status, body) = served.get(&format!("/v2/registry.example/app/blobs/{digest}"));
        let same = consign_format::Digest::of(&body) == *digest;
        assert!(status == 404 || same, "{digest} is served as other bytes: {blob}");
    }
    trial.notes("only what was hashed in the store is used");
}

/// Somebody writes to the medium all the while. Whatever the site says, it says of bytes whose digest held.
fn changes_while_it_is_read(trial: &mut Trial, layer: usize) {
    use std::os::unix::fs::FileExt as _;
    for _ in 0..10 {
        let medium = Medium::of(&next().bundle());
        let ground = trial.at(Ground::new());
        let stop = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| {
                let file = fs::OpenOptions::new().write(true).open(medium.path()).unwrap();
                for byte in (0..=u8::MAX).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    file.write_at(&[byte], layer as u64).unwrap();
                    file.write_at(b"l", layer as u64).unwrap();
                }
            });
            let outcome = ground.site.export(medium.path()).run();
            stop.store(true, Ordering::Relaxed);
            outcome
        });
        match outcome.exit {
            Some(0) => {}
            _ => trial.refused("changed while it is read", &outcome, refusal(10, "digest-mismatch", "blobs/")),
        }
        for entry in fs::read_dir(trial.ground().site.kept().join("blobs/sha256")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let digest = consign_format::Digest::of(&fs::read(&path).unwrap()).hex();
            assert_eq!(name, digest, "a blob whose digest does not hold");
        }
    }
}

fn no_file(trial: &mut Trial) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    run(Command::new("mkfifo").arg(at("fifo.consign")));
    symlink("/dev/zero", at("zero.consign")).unwrap();
    let good = Medium::of(&next().bundle());
    symlink(good.path(), at("good.consign")).unwrap();
    fs::create_dir(at("folder.consign")).unwrap();
    for (name, what) in [
        ("fifo.consign", "a pipe"),
        ("zero.consign", "a symbolic link"),
        ("good.consign", "a symbolic link"),
        ("folder.consign", "a folder"),
    ] {
        let expected = refusal(11, "unsafe-medium", what);
        for outcome in
            [trial.ground().site.invoke(["verify"]).arg(at(name)).run(), trial.ground().site.export(&at(name)).run()]
        {
            trial.refused(name, &outcome, expected);
        }
        // The same on a stick of which only the folder is named.
        if name != "folder.consign" {
            let stick = tempfile::tempdir().unwrap();
            fs::rename(at(name), stick.path().join(name)).unwrap();
            let outcome = trial.ground().site.export(stick.path()).run();
            trial.refused(&format!("{name} on a stick"), &outcome, expected);
        }
    }
    let outcome = trial.ground().site.export(Path::new("/dev/zero")).run();
    trial.refused("/dev/zero", &outcome, refusal(11, "unsafe-medium", "a character device"));
    trial.still_takes(&next());
    trial.notes("registry, state, cluster; nothing is read");
}

fn seeded(trial: &mut Trial) {
    let blobs: Vec<(String, usize)> = next()
        .content
        .members
        .iter()
        .filter_map(|(member, _)| member["name"].as_str().unwrap().strip_prefix("blobs/sha256/").map(str::to_owned))
        .map(|hex| {
            (
                hex.clone(),
                next().content.blobs[&consign_format::Digest::from_hex(&hex).unwrap()]["size"].as_u64().unwrap()
                    as usize,
            )
        })
        .collect();
    let medium = Medium::of(&next().bundle());
    for (hex, size) in blobs {
        for what in ["the same size", "another size", "a link", "a FIFO", "a folder"] {
            let site = trial.at(Ground::new()).site.kept().join("blobs/sha256").join(&hex);
            if site.exists() {
                continue; // a blob that both releases have
            }
            match what {
                "the same size" => fs::write(&site, vec![b'x'; size]).unwrap(),
                "another size" => fs::write(&site, b"short").unwrap(),
                "a link" => symlink("/dev/zero", &site).unwrap(),
                "a FIFO" => drop(run(Command::new("mkfifo").arg(&site))),
                _ => fs::create_dir(&site).unwrap(),
            }
            let ground = trial.ground.take().unwrap().again();
            trial.at(ground);
            let expected = refusal(11, "unsafe-file", "");
            trial.refuses_to_install(&format!("{what} in the place of {hex}"), &medium, expected);
        }
    }
    // The folders of what is trusted are nobody else's.
    use std::os::unix::fs::PermissionsExt as _;
    let trust = trial.ground().site.kept().join("trust");
    assert_eq!(fs::metadata(trust).unwrap().permissions().mode() & 0o777, 0o700);
}

fn two_at_once(trial: &mut Trial) {
    // An API server that takes a connection and says nothing: the first installer waits for it, with the lock.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", listener.local_addr().unwrap())}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {}}],
    });
    fs::write(kubeconfig.path(), config.to_string()).unwrap();
    let medium = Medium::of(&next().bundle());
    let ground = trial.ground();
    let mut first =
        ground.site.install(medium.path()).option("--handoff", "direct").option("--kubeconfig", kubeconfig.path());
    first = first.arg("--quiet");
    let mut running = first.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _held = listener.accept().unwrap();
    trial.refuses_to_install("the second", &medium, refusal(24, "busy", "another run"));
    running.kill().unwrap();
    running.wait().unwrap();
    // No stale lock: the kernel let go of it.
    trial.still_takes(&next());
}
