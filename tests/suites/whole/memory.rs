//! Two gigabytes through `consign-site install`: memory does not grow with the payload, and no byte is written twice.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use consign_format::Digest;
use consign_tests::command;
use consign_tests::desk::Desk;
use consign_tests::images::run;
use consign_tests::site::Site;
use consign_tests::skip;
use serde_json::json;
use tempfile::TempDir;

const LAYERS: u64 = 8;
const LAYER: u64 = 256 << 20;
/// DESIGN §9.
const CEILING_KIB: u64 = 64 << 10;

#[test]
fn two_gigabytes_fit_through_64_mebibytes() {
    let has_time = Path::new("/usr/bin/time").exists();
    if !skip::unless(has_time, "/usr/bin/time is not installed", "apt-get install time") || !Desk::is_possible() {
        return;
    }
    let folder = tempfile::Builder::new().prefix("consign-big-").tempdir().unwrap();
    let bundle = build(&folder);
    let length = fs::metadata(&bundle).unwrap().len();
    assert!(length > LAYERS * LAYER, "{length}");

    let site = Site::enrolled(&folder.path().join("trust"));
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let measured = folder.path().join("measured");
    let watch = Watch::start(vec![temporary.clone(), site.root().to_owned()]);
    let install =
        site.export(&bundle).env("TMPDIR", &temporary).under(["/usr/bin/time", "-v", "-o"]).under([&measured]);
    install.succeeds();
    let most = watch.stop();
    let text = fs::read_to_string(&measured).unwrap();
    let peak = text.lines().find_map(|line| line.trim().strip_prefix("Maximum resident set size (kbytes): "));
    let peak: u64 = peak.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
    // Past the harness's capture: the number is worth reading when all is well.
    let _ = writeln!(
        std::io::stderr().lock(),
        "install of {length} bytes: peak memory {peak} KiB, most on disk {most} bytes"
    );
    assert!(peak <= CEILING_KIB, "peak memory is {peak} KiB");
    assert!(most <= length + (1 << 20), "{most} bytes were on disk at once, for a bundle of {length}");
    let now = size(site.root());
    assert!(now <= length + (1 << 20), "the site keeps {now} bytes of a bundle of {length}");
}

/// A release of one image with incompressible layers, its sources removed again.
fn build(folder: &TempDir) -> PathBuf {
    let at = folder.path();
    layout(&at.join("layout"));
    fs::create_dir(at.join("deploy")).unwrap();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: big}\nspec: {containers: [{name: big, image: 'big.example/big:1'}]}\n";
    fs::write(at.join("deploy/pod.yaml"), pod).unwrap();
    let release = "apiVersion: consign.dev/v1\nproduct: big\nversion: 1.0.0\nsource: {git: repository}\n\
                   kubernetes: {version: \"1.36\"}\nnamespace: big\nrender: [{path: deploy}]\n\
                   images: {from: [{path: layout, references: {'big.example/big:1': big}}]}\n\
                   rollout: {onFailure: rollback}\n";
    fs::write(at.join("release.yaml"), release).unwrap();
    let repository = at.join("repository");
    fs::create_dir(&repository).unwrap();
    fs::rename(at.join("deploy"), repository.join("deploy")).unwrap();
    for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "Big"]] {
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
        run(Command::new("git").args(who).args(arguments).current_dir(&repository));
    }
    let consign = |arguments: &[&str]| command::consign(arguments).in_folder(at).env("HOME", at).succeeds();
    consign(&["keys", "new", "--domain", "big"]);
    consign(&["build"]);
    fs::remove_dir_all(at.join("layout")).unwrap();
    at.join("big-1.0.0.consign")
}

/// An OCI layout, its layers made of a key stream: no encoder makes them smaller, no processor is kept busy.
fn layout(folder: &Path) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({ "digest": digest.to_string(), "size": bytes.len() })
    };
    let with = |mut descriptor: serde_json::Value, media_type: &str| {
        descriptor["mediaType"] = json!(media_type);
        descriptor
    };
    let layers: Vec<_> = (1..=LAYERS).map(|n| layer(&blobs, n)).collect();
    let digests: Vec<_> = layers.iter().map(|layer| &layer["digest"]).collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": digests } });
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let image = json!({
        "schemaVersion": 2, "mediaType": manifest, "layers": layers,
        "config": with(put(config.to_string().as_bytes()), "application/vnd.oci.image.config.v1+json"),
    });
    let mut descriptor = with(put(image.to_string().as_bytes()), manifest);
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "big" });
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn layer(blobs: &Path, n: u64) -> serde_json::Value {
    let draft = blobs.join("draft");
    let mut zeros =
        Command::new("head").args(["-c", &LAYER.to_string(), "/dev/zero"]).stdout(Stdio::piped()).spawn().unwrap();
    let status = Command::new("openssl")
        .args(["enc", "-aes-128-ctr", "-nosalt", "-iv", "0", "-K", &format!("{n:032x}")])
        .stdin(zeros.stdout.take().unwrap())
        .stdout(File::create(&draft).unwrap())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success() && zeros.wait().unwrap().success());
    let said = run(Command::new("openssl").args(["dgst", "-sha256", "-r"]).arg(&draft));
    let hex = said.split(' ').next().unwrap();
    fs::rename(&draft, blobs.join(hex)).unwrap();
    json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": format!("sha256:{hex}"), "size": LAYER })
}

/// Looks, over and over, how much lies in some folders, and keeps the most.
struct Watch {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    fn start(folders: Vec<PathBuf>) -> Self {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&most));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                seen.fetch_max(folders.iter().map(|folder| size(folder)).sum(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { stop, most, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.most.load(Ordering::Relaxed)
    }
}

/// The bytes in all files below a folder; what vanishes meanwhile counts as nothing.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let entries = entries.flatten().filter_map(|entry| Some((entry.path(), entry.path().symlink_metadata().ok()?)));
    entries.map(|(path, metadata)| if metadata.is_dir() { size(&path) } else { metadata.len() }).sum()
}
