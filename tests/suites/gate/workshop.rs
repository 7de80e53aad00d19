//! Somebody's release of two small images, in a registry that takes signatures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::Digest;
use consign_format::trust::document::{Key, Role, Root};
use consign_format::trust::envelope::Envelope;
use consign_format::trust::keys::{SecretKey, Signer as _, key_id, sign};
use consign_tests::command::{self, Invocation};
use consign_tests::images::{self, Images, run};
use consign_tests::registry::DockerRegistry;
use consign_tests::skip;
use serde_json::{Value, json};

/// The one image, of one platform.
pub(crate) const AGENT: &str = "registry.example/lumen/agent:1";
/// The other, an index.
pub(crate) const TOOL: &str = "registry.example/lumen/tool:2";

const MANIFESTS: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers:
        - {name: agent, image: 'registry.example/lumen/agent:1'}
        - {name: tool, image: 'registry.example/lumen/tool:2'}
";

/// A repository, its registry, and whatever a test makes beside them.
pub(crate) struct Workshop {
    registry: DockerRegistry,
    pub(crate) folder: PathBuf,
}

/// A key pair as people make them, by openssl.
pub(crate) struct Signer {
    private: PathBuf,
    /// The public key's file.
    pub(crate) public: PathBuf,
}

impl Signer {
    /// `kind`: a curve's name, or `ed25519`.
    pub(crate) fn new(folder: &Path, name: &str, kind: &str) -> Self {
        let (private, public) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.pub")));
        let mut make = Command::new("openssl");
        match kind {
            "ed25519" => make.args(["genpkey", "-algorithm", "ed25519"]),
            curve => make.args(["genpkey", "-algorithm", "EC", "-pkeyopt", &format!("ec_paramgen_curve:{curve}")]),
        };
        run(make.arg("-out").arg(&private));
        run(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&private).arg("-out").arg(&public));
        Signer { private, public }
    }

    /// A signature over a file: ASN.1 over SHA-256 for ECDSA, 64 bytes for Ed25519.
    pub(crate) fn sign(&self, file: &Path) -> Vec<u8> {
        let out = file.with_extension("signature");
        let is_ed25519 = fs::read(&self.private).unwrap().len() < 150;
        let mut sign = Command::new("openssl");
        match is_ed25519 {
            true => sign.args(["pkeyutl", "-sign", "-rawin", "-inkey"]).arg(&self.private).arg("-in").arg(file),
            false => sign.args(["dgst", "-sha256", "-sign"]).arg(&self.private),
        };
        sign.arg("-out").arg(&out);
        run(if is_ed25519 { &mut sign } else { sign.arg(file) });
        fs::read(out).unwrap()
    }
}

impl Workshop {
    /// Whether this machine has what a workshop needs; says so where it has not.
    #[must_use]
    pub(crate) fn is_possible() -> bool {
        skip::unless(images::missing().is_none(), &images::missing().unwrap_or_default(), images::HOW)
    }

    pub(crate) fn new() -> Self {
        let registry = DockerRegistry::start();
        let folder = registry.folder().join("workshop");
        fs::create_dir_all(folder.join("deploy")).unwrap();
        let pushed = Images::get();
        pushed.push_as("ghcr.io/lumen/node-agent:0.4", &registry, "lumen/agent:1");
        pushed.push_as("docker.io/library/busybox:1.38.0", &registry, "lumen/tool:2");
        fs::write(folder.join("deploy/agent.yaml"), MANIFESTS).unwrap();
        let address = registry.address();
        let release = format!(
            "apiVersion: consign.dev/v1\nproduct: agent\nversion: 1.0.0\nsource: {{git: \".\", ref: main}}\n\
             kubernetes: {{version: \"1.36\"}}\nnamespace: agent\nrender:\n  - path: deploy\nimages:\n  platforms: \
             [linux/amd64]\n  plainHttp: ['{address}']\n  mirrors: {{registry.example: '{address}'}}\n"
        );
        fs::write(folder.join("release.yaml"), release).unwrap();
        run(Command::new("git").args(["init", "-q", "-b", "main"]).current_dir(&folder));
        let workshop = Self { registry, folder };
        workshop.commit();
        workshop.consign(["keys", "new", "--domain", "lumen"]).succeeds();
        workshop
    }

    pub(crate) fn consign<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        command::consign(arguments).in_folder(&self.folder).env("HOME", self.registry.folder())
    }

    /// Adds an image of one layer, a tar in whatever compression, and a manifest of the release that names it.
    pub(crate) fn add_image(&self, name: &str, layer_type: &str, layer: &[u8]) {
        let repository = format!("lumen/{name}");
        let layer = self.push_blob(&repository, layer_type, layer);
        let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
        let config = self.push_blob(&repository, "application/vnd.oci.image.config.v1+json", config.to_string());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        self.push_manifest(&repository, "1", MANIFEST, &manifest);
        let pod = MANIFESTS
            .replace("agent", name)
            .replace("        - {name: tool, image: 'registry.example/lumen/tool:2'}\n", "");
        fs::write(self.folder.join(format!("deploy/{name}.yaml")), pod).unwrap();
        self.commit();
    }

    /// Gives the role `scan` to keys, so many of whom must sign, and the first root once more.
    pub(crate) fn give_scan_role(&self, keys: &[&SecretKey], threshold: u64) {
        let (file, key) = (self.folder.join("trust/1.root.json"), self.folder.join("trust/dev.key"));
        let key = SecretKey::from_pem(&fs::read_to_string(key).unwrap()).unwrap();
        let bytes = fs::read(&file).unwrap();
        let mut root: Root = serde_json::from_slice(Envelope::parse("root", &bytes).unwrap().signed()).unwrap();
        let id = |key: &SecretKey| key_id(&key.public()).unwrap();
        for scanner in keys {
            root.keys.insert(id(scanner), Key::ed25519(&scanner.public()));
        }
        root.scan = Some(Role { keyids: keys.iter().map(|key| id(key)).collect(), threshold });
        fs::write(file, sign(&root, &[&key as &dyn consign_format::trust::keys::Signer]).unwrap()).unwrap();
    }

    fn commit(&self) {
        for arguments in [&["add", "deploy"][..], &["commit", "-q", "-m", "agent"]] {
            let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@lumen.example", "-c", "commit.gpgsign=false"];
            run(Command::new("git").args(identity).args(arguments).current_dir(&self.folder));
        }
    }

    /// Locks anew, so that what was pushed since is found, and builds.
    pub(crate) fn build(&self) -> PathBuf {
        self.consign(["lock", "--update"]).succeeds();
        self.consign(["build"]).succeeds();
        self.folder.join("agent-1.0.0.consign")
    }

    /// The digest that the registry has for `lumen/NAME:TAG`.
    pub(crate) fn digest(&self, image: &str) -> String {
        let name = image.strip_prefix("registry.example/").unwrap();
        let at = format!("docker://{}/{name}", self.registry.address());
        let raw = run(Command::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &at]));
        Digest::of(raw.as_bytes()).to_string()
    }

    /// The bytes of what the registry has for an image.
    pub(crate) fn manifest(&self, image: &str) -> Vec<u8> {
        let name = image.strip_prefix("registry.example/").unwrap();
        let at = format!("docker://{}/{name}", self.registry.address());
        run(Command::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &at])).into_bytes()
    }

    /// Signs an image as `cosign sign --key` does: a payload of the simple-signing form behind the tag `sha256-….sig`.
    pub(crate) fn sign(&self, image: &str, signer: &Signer) {
        self.sign_as(image, &self.digest(image), signer);
    }

    /// As [`Self::sign`], with a payload that speaks of `digest`.
    pub(crate) fn sign_as(&self, image: &str, digest: &str, signer: &Signer) {
        let payload = payload(digest);
        let file = self.folder.join("payload.json");
        fs::write(&file, &payload).unwrap();
        self.attach(image, &payload, &[("dev.cosignproject.cosign/signature", &base64(&signer.sign(&file)))]);
    }

    /// Attaches a payload with annotations under the tag of signatures.
    pub(crate) fn attach(&self, image: &str, payload: &str, annotations: &[(&str, &str)]) {
        let repository = repository(image);
        let annotations: serde_json::Map<String, Value> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let mut layer = self.push_blob(repository, "application/vnd.dev.cosign.simplesigning.v1+json", payload);
        layer["annotations"] = Value::Object(annotations);
        let config = json!({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers",
            "diff_ids": [layer["digest"]]}});
        let config = self.push_blob(repository, "application/vnd.oci.image.config.v1+json", config.to_string());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let tag = format!("{}.sig", self.digest(image).replace(':', "-"));
        self.push_manifest(repository, &tag, MANIFEST, &manifest);
    }

    /// Attaches a layer as a referrer (OCI 1.1), found by the fallback tag, for this registry has no referrers API.
    pub(crate) fn refer(&self, image: &str, kind: &str, layer_type: &str, layer: &str, annotations: Value) {
        let repository = repository(image);
        let subject = self.manifest(image);
        let media_type = serde_json::from_slice::<Value>(&subject).unwrap()["mediaType"].clone();
        let media_type = if media_type.is_null() { json!(MANIFEST) } else { media_type };
        let mut layer = self.push_blob(repository, layer_type, layer);
        layer["annotations"] = annotations;
        let empty = self.push_blob(repository, "application/vnd.oci.empty.v1+json", "{}");
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": empty,
            "layers": [layer], "subject": {"mediaType": media_type, "digest": Digest::of(&subject).to_string(),
            "size": subject.len()}})
        .to_string();
        let digest = Digest::of(manifest.as_bytes()).to_string();
        self.put_manifest(repository, &digest, MANIFEST, &manifest);
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": MANIFEST,
            "digest": digest, "size": manifest.len(), "artifactType": kind}]});
        let fallback = Digest::of(&subject).to_string().replace(':', "-");
        self.push_manifest(repository, &fallback, INDEX, &index);
    }

    fn push_blob(&self, repository: &str, media_type: &str, content: impl AsRef<[u8]>) -> Value {
        let content = content.as_ref();
        let digest = Digest::of(content).to_string();
        let file = self.folder.join("blob");
        fs::write(&file, content).unwrap();
        let start = format!("{}/v2/{repository}/blobs/uploads/", self.registry.url());
        let headers = run(Command::new("curl").args(["-sS", "-f", "-X", "POST", "-D", "-", "-o", "/dev/null", &start]));
        let location = headers.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a place to upload to");
        let to = format!("{}&digest={digest}", location.trim());
        let mut put = Command::new("curl");
        put.args(["-sS", "-f", "-X", "PUT", "-H", "Content-Type: application/octet-stream", "--data-binary"]);
        run(put.arg(format!("@{}", file.display())).arg(to));
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    fn push_manifest(&self, repository: &str, tag: &str, media_type: &str, manifest: &Value) {
        self.put_manifest(repository, tag, media_type, &manifest.to_string());
    }

    fn put_manifest(&self, repository: &str, reference: &str, media_type: &str, manifest: &str) {
        let to = format!("{}/v2/{repository}/manifests/{reference}", self.registry.url());
        let kind = format!("Content-Type: {media_type}");
        run(Command::new("curl").args(["-sS", "-f", "-X", "PUT", "-H", &kind, "--data-binary", manifest, &to]));
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn repository(image: &str) -> &str {
    image.strip_prefix("registry.example/").unwrap().split(':').next().unwrap()
}

/// Writes root 2 into `trust/` of a folder: it takes the development key's say as an approver and gives it to another.
pub(crate) fn revoke_approver(folder: &Path) {
    let consign = |arguments: &[&str]| command::consign(arguments).in_folder(folder).env("HOME", folder);
    consign(&["keys", "new", "--key-only", "next"]).succeeds();
    let shown = consign(&["keys", "show", "--json"]).succeeds().json();
    let id = shown["roles"][0]["keys"][0]["id"].as_str().unwrap();
    let remove = format!("approver={id}");
    let change = ["--add", "approver=next.pub", "--remove", &remove, "--key", "trust/dev.key"];
    consign(&["keys", "rotate"]).args(change).succeeds();
}

/// The fingerprint of root 1 in `trust/` of a folder.
pub(crate) fn fingerprint(folder: &Path) -> String {
    Digest::of(&fs::read(folder.join("trust/1.root.json")).unwrap()).hex()
}

/// The payload of simple signing (cosign, `specs/SIGNATURE_SPEC.md`).
pub(crate) fn payload(digest: &str) -> String {
    json!({"critical": {"identity": {"docker-reference": "registry.example/lumen"},
        "image": {"docker-manifest-digest": digest}, "type": "cosign container image signature"}, "optional": null})
    .to_string()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
