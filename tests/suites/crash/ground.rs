//! Two releases, sites before an install and what they keep after it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use consign_format::Digest;
use consign_tests::command::{self, Invocation};
use consign_tests::images::run;
use consign_tests::site::Site;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a site keeps: path, then mode and digest.
pub(crate) type Kept = BTreeMap<PathBuf, String>;

/// How many layers an image has that changed.
const FEW: usize = 4;
/// So many that they are flushed together, and not each by itself.
const MANY: usize = 20;

/// Made once for all tests.
pub(crate) struct Ground {
    folder: TempDir,
    /// A site that has nothing yet, about to take the second release.
    pub(crate) fresh: Scenario,
    /// A site that has the first release, about to take the second.
    pub(crate) upgrade: Scenario,
}

/// An install, and how it ends when nothing comes between.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    before: Site,
    after: Site,
    bundle: PathBuf,
    digest: Digest,
}

/// The ground, made by whoever asks first.
pub(crate) fn ground() -> &'static Ground {
    static GROUND: OnceLock<Ground> = OnceLock::new();
    GROUND.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("consign-crash-").tempdir().unwrap();
        let at = folder.path();
        let [first, second] = two_releases(at, FEW);
        let new = Site::enrolled(&at.join("trust"));
        let old = new.copy();
        old.export(&first).succeeds();
        let [fresh, upgrade] =
            [("a fresh install", new), ("an upgrade", old)].map(|(name, before)| Scenario::of(name, before, &second));
        Ground { folder, fresh, upgrade }
    })
}

/// An upgrade that brings many blobs, for a test of its own.
pub(crate) fn upgrade_of_many(at: &Path) -> Scenario {
    let [first, second] = two_releases(at, MANY);
    let site = Site::enrolled(&at.join("trust"));
    site.export(&first).succeeds();
    Scenario::of("an upgrade with many blobs", site, &second)
}

fn two_releases(at: &Path, layers: usize) -> [PathBuf; 2] {
    consign(at, &["keys", "new", "--domain", "crash"]);
    ["1.0.0", "2.0.0"].map(|version| {
        // A release's sequence is the second in which it was locked.
        std::thread::sleep(Duration::from_millis(1100));
        lock_with(at, version, layers);
        consign(at, &["build"]);
        at.join(format!("crash-{version}.consign"))
    })
}

impl Ground {
    /// The folder with the root.
    pub(crate) fn trust(&self) -> PathBuf {
        self.folder.path().join("trust")
    }
}

impl Scenario {
    fn of(name: &'static str, before: Site, bundle: &Path) -> Self {
        let after = before.copy();
        after.export(bundle).succeeds();
        let digest = Digest::of(&fs::read(bundle).unwrap());
        Scenario { name, before, after, bundle: bundle.to_owned(), digest }
    }

    /// A site of its own in the state before.
    pub(crate) fn site(&self) -> Site {
        self.before.copy()
    }

    /// The site that nothing came between.
    pub(crate) fn after(&self) -> &Site {
        &self.after
    }

    /// The install, not run yet.
    pub(crate) fn install(&self, site: &Site) -> Invocation {
        site.export(&self.bundle)
    }

    /// Whether a site keeps what it must keep in the end.
    pub(crate) fn is_done(&self, site: &Site) -> bool {
        kept(site) == kept(&self.after)
    }

    /// What must hold after a run that was cut off, however: every blob is what its name says, the medium is untouched.
    pub(crate) fn check_cut_off(&self, site: &Site, how: &str) {
        for (path, what) in site.snapshot() {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if path.parent().is_some_and(|folder| folder.ends_with("blobs/sha256")) && name.len() == 64 {
                assert!(what.ends_with(&format!(" sha256:{name}")), "{how}: {} holds {what}", path.display());
            }
        }
        assert_eq!(Digest::of(&fs::read(&self.bundle).unwrap()), self.digest, "{how}: the medium was changed");
    }

    /// Runs again, to the end, which must be the same.
    pub(crate) fn check_resumed(&self, site: &Site, how: &str) {
        let outcome = self.install(site).run();
        assert_eq!(outcome.exit, Some(0), "{how}: running again\n{outcome}");
        self.check_done(site, how);
    }

    /// Compares with the run that nothing came between.
    pub(crate) fn check_done(&self, site: &Site, how: &str) {
        let (expected, found) = (kept(&self.after), kept(site));
        for path in expected.keys().chain(found.keys()) {
            assert_eq!(found.get(path), expected.get(path), "{how}: {}", path.display());
        }
        let listed = site.invoke(["receipts", "list", "--json"]).run();
        assert_eq!(listed.exit, Some(0), "{how}: the receipts\n{listed}");
    }
}

/// All but what tells when something was done: journal and receipts.
pub(crate) fn kept(site: &Site) -> Kept {
    let told =
        |path: &Path| ["var/lib/consign/journal", "var/lib/consign/receipts"].iter().any(|f| path.starts_with(f));
    site.snapshot().into_iter().filter(|(path, _)| !told(path)).collect()
}

/// Runs `consign` in a folder that is its home as well.
pub(crate) fn consign(at: &Path, arguments: &[&str]) {
    command::consign(arguments).in_folder(at).env("HOME", at).succeeds();
}

/// Locks a release of one Pod and one image of a few layers, one of them in every version.
pub(crate) fn lock(at: &Path, version: &str) {
    lock_with(at, version, FEW);
}

fn lock_with(at: &Path, version: &str, layers: usize) {
    let layout = at.join("layout");
    let _ = fs::remove_dir_all(&layout);
    image(&layout, version, layers);
    let repository = at.join("repository");
    if !repository.exists() {
        fs::create_dir_all(repository.join("deploy")).unwrap();
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: crash}\nspec: {containers: [{name: crash, image: \
                   'crash.example/crash:1'}]}\n";
        fs::write(repository.join("deploy/pod.yaml"), pod).unwrap();
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
        for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "Crash"]] {
            run(Command::new("git").args(who).args(arguments).current_dir(&repository));
        }
    }
    fs::write(at.join("tool"), format!("the tool of {version} ").repeat(20_000)).unwrap();
    let tool = Digest::of(&fs::read(at.join("tool")).unwrap());
    // One file that changes, one that stays, and one that leaves with its folders while another comes.
    let files = format!(
        "[{{local: tool, sha256: '{tool}', to: /usr/local/bin/tool, mode: '0755'}}, {{path: deploy/pod.yaml, to: \
         /opt/crash/same}}, {{path: deploy/pod.yaml, to: /opt/crash/of/{version}/file}}]"
    );
    let release = format!(
        "apiVersion: consign.dev/v1\nproduct: crash\nversion: {version}\nsource: {{git: repository}}\n\
         kubernetes: {{version: \"1.36\"}}\nnamespace: crash\nrender: [{{path: deploy}}]\n\
         images: {{from: [{{path: layout, references: {{'crash.example/crash:1': crash}}}}]}}\n\
         rollout: {{onFailure: rollback}}\nfiles: {files}\n"
    );
    fs::write(at.join("release.yaml"), release).unwrap();
    consign(at, &["lock", "--update"]);
}

fn image(layout: &Path, version: &str, changed: usize) {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |media_type: &str, bytes: &[u8]| -> Value {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let layer = |text: String| put("application/vnd.oci.image.layer.v1.tar", text.as_bytes());
    let mut layers = vec![layer("the same in both ".repeat(9000))];
    layers.extend((1..=changed).map(|n| layer(format!("{version} {n} ").repeat(n.min(5) * 10_000))));
    let digests: Vec<_> = layers.iter().map(|layer| &layer["digest"]).collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": digests } });
    let config = put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "layers": layers, "config": config });
    let mut descriptor = put(media_type, manifest.to_string().as_bytes());
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "crash" });
    fs::write(layout.join("index.json"), json!({ "schemaVersion": 2, "manifests": [descriptor] }).to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}
