//! The bundle that is measured: one image of random layers, so that nothing can be compressed or deduplicated away.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::step::{Failed, Step};

/// Layer sizes of real images lie around this.
const LAYER_MIB: u64 = 64;

/// A bundle, and what a site needs to trust it.
pub(super) struct Payload {
    pub(super) bundle: PathBuf,
    pub(super) bytes: u64,
    root: PathBuf,
}

impl Payload {
    /// Makes the bundle in `folder`, unless it is there from an earlier run of the same size.
    pub(super) fn make(folder: &Path, mib: u64, programs: &Path) -> Result<Payload, Failed> {
        let work = folder.join(format!("payload-{mib}"));
        let bundle = work.join("bench-1.0.0.consign");
        let root = work.join("repository/trust/1.root.json");
        if !bundle.is_file() {
            if work.exists() {
                fs::remove_dir_all(&work).map_err(|error| failed("remove", &work, &error))?;
            }
            let repository = work.join("repository");
            fs::create_dir_all(&repository).map_err(|error| failed("create", &repository, &error))?;
            layout(&work.join("layout"), mib)?;
            write(&repository.join("deployment.yaml"), DEPLOYMENT.as_bytes())?;
            write(&repository.join("release.yaml"), RELEASE.as_bytes())?;
            for arguments in [
                &["init", "-q", "-b", "main"][..],
                &["add", "."],
                &["-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-q", "-m", "bench"],
            ] {
                Step::new("git", arguments).within(&repository).run()?;
            }
            let consign = programs.join("consign");
            Step::new(&consign, ["keys", "new", "--domain", "bench"]).within(&repository).run()?;
            Step::new(&consign, ["build", "--output", ".."]).within(&repository).run()?;
        }
        let bytes = fs::metadata(&bundle).map_err(|error| failed("read", &bundle, &error))?.len();
        Ok(Payload { bundle, bytes, root })
    }

    /// The OCI image layout that the bundle was made from.
    pub(super) fn layout(&self) -> PathBuf {
        self.bundle.with_file_name("layout")
    }

    /// Enrols a new site that trusts this bundle.
    pub(super) fn enrol(&self, programs: &Path, site: &Path) -> Result<(), Failed> {
        let sha256 = sha256(&self.root)?;
        let site = site.to_string_lossy();
        let root = self.root.to_string_lossy();
        let arguments = ["--root-dir", &site, "enrol", "--site", "bench", "--root", &root, "--root-sha256", &sha256];
        Step::new(programs.join("consign-site"), arguments).run()
    }

    pub(super) fn install_arguments(&self, site: &Path) -> Vec<PathBuf> {
        let words = ["--root-dir".into(), site.to_owned(), "install".into(), "--handoff".into(), "export".into()];
        words.into_iter().chain([self.bundle.clone()]).collect()
    }

    pub(super) fn verify_arguments(&self) -> Vec<PathBuf> {
        vec!["verify".into(), "--root".into(), self.root.clone(), self.bundle.clone()]
    }
}

const RELEASE: &str = "\
apiVersion: consign.dev/v1
product: bench
version: 1.0.0
kubernetes: {version: '1.33'}
namespace: bench
render: [{path: deployment.yaml}]
images:
  from: [{path: ../layout, references: {'bench.example/payload:1': '1'}}]
rollout: {onFailure: halt}
";

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: bench}
spec:
  selector: {matchLabels: {app: bench}}
  template:
    metadata: {labels: {app: bench}}
    spec: {containers: [{name: bench, image: 'bench.example/payload:1'}]}
";

/// Writes an OCI image layout with one image of about `mib` MiB of random layers, tagged `1`.
fn layout(folder: &Path, mib: u64) -> Result<(), Failed> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(|error| failed("create", &blobs, &error))?;
    let mut layers = Vec::new();
    let mut left = mib.max(1);
    while left > 0 {
        let size = left.min(LAYER_MIB);
        layers.push(random_layer(&blobs, size << 20)?);
        left -= size;
    }
    let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    let rootfs = json!({"type": "layers", "diff_ids": diff_ids});
    let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs});
    let config = document(&blobs, "application/vnd.oci.image.config.v1+json", &config)?;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
    let mut manifest = document(&blobs, media_type, &manifest)?;
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "1"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    write(&folder.join("index.json"), index.to_string().as_bytes())?;
    write(&folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
}

/// A layer need not be a tar for what is measured here: nothing unpacks it.
fn random_layer(blobs: &Path, size: u64) -> Result<Value, Failed> {
    let path = blobs.join("new");
    let copy =
        || -> io::Result<u64> { io::copy(&mut File::open("/dev/urandom")?.take(size), &mut File::create(&path)?) };
    copy().map_err(|error| failed("write", &path, &error))?;
    place(blobs, "application/vnd.oci.image.layer.v1.tar", &path)
}

fn document(blobs: &Path, media_type: &str, document: &Value) -> Result<Value, Failed> {
    let path = blobs.join("new");
    write(&path, document.to_string().as_bytes())?;
    place(blobs, media_type, &path)
}

/// Renames a finished blob to its digest; its descriptor.
fn place(blobs: &Path, media_type: &str, path: &Path) -> Result<Value, Failed> {
    let size = fs::metadata(path).map_err(|error| failed("read", path, &error))?.len();
    let hex = sha256(path)?;
    fs::rename(path, blobs.join(&hex)).map_err(|error| failed("rename", path, &error))?;
    Ok(json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": size}))
}

fn sha256(path: &Path) -> Result<String, Failed> {
    let output = Step::new("openssl", ["dgst", "-sha256", "-r"]).and_args([path]).output();
    let hex = output.as_deref().and_then(|line| line.split_whitespace().next()).map(str::to_owned);
    hex.ok_or_else(|| Failed::new(format!("openssl cannot hash {}", path.display())))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    fs::write(path, bytes).map_err(|error| failed("write", path, &error))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failed {
    Failed::new(format!("cannot {what} {}: {error}", path.display()))
}
