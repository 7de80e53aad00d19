//! Headquarters of a test: a root, and releases of a small web server with all that ordinary ones have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, Invocation};
use crate::images::{self, Images, run};
use crate::registry::DockerRegistry;
use consign_format::Digest;
use consign_format::trust::fingerprint;

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: 'nginx:1.22', envFrom: [{configMapRef: {name: settings}}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
";

/// A place where releases of one small product are made.
#[derive(Debug)]
pub struct Workshop {
    registry: DockerRegistry,
    product: &'static str,
    /// How long a release may take to become healthy.
    pub health_timeout: &'static str,
}

impl Workshop {
    /// Product `lamp`, and a development root of domain `lumen`.
    pub fn lamp() -> Self {
        let workshop = Self::without_root("lamp");
        workshop.consign(["keys", "new", "--domain", "lumen"]).succeeds();
        workshop
    }

    /// The same product of somebody else: another domain, another root.
    pub fn stranger() -> Self {
        let workshop = Self::without_root("lamp");
        workshop.consign(["keys", "new", "--domain", "stranger"]).succeeds();
        workshop
    }

    /// Another product of the same domain, by the same keys.
    pub fn beside(&self, product: &'static str) -> Self {
        let workshop = Self::without_root(product);
        run(Command::new("cp").arg("-a").arg(self.at("trust")).arg(workshop.at("trust")));
        workshop
    }

    fn without_root(product: &'static str) -> Self {
        let workshop = Self { registry: Images::get().registry(), product, health_timeout: "2m" };
        fs::create_dir_all(workshop.at("repository/deploy")).unwrap();
        workshop.commit("0", "");
        workshop
    }

    /// Where something lies in its folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.registry.folder().join(name)
    }

    /// The root of trust.
    pub fn root(&self) -> PathBuf {
        self.at("trust/1.root.json")
    }

    /// The fingerprint of the root: in hex, and in words.
    pub fn fingerprint(&self) -> (String, String) {
        let digest = Digest::of(&fs::read(self.root()).unwrap());
        (digest.hex(), fingerprint::words(&digest))
    }

    fn consign<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        command::consign(arguments).in_folder(self.registry.folder()).env("HOME", self.registry.folder())
    }

    fn commit(&self, value: &str, more: &str) {
        let repository = self.at("repository");
        let settings =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{value: \"{value}\"}}\n");
        fs::write(repository.join("deploy/web.yaml"), format!("{WEB}---\n{settings}{more}")).unwrap();
        for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", value]] {
            let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
            run(Command::new("git").args(who).args(arguments).current_dir(&repository));
        }
    }

    /// Builds a release into a folder; `more` are further manifests.
    pub fn build(&self, version: &str, more: &str) -> PathBuf {
        let mut release = format!(
            "apiVersion: consign.dev/v1\nproduct: {product}\nversion: {version}\nsource: {{git: repository}}\n\
             kubernetes: {{version: \"1.33\"}}\nnamespace: {product}\nrender: [{{path: deploy}}]\n\
             rollout: {{onFailure: rollback, healthTimeout: {timeout}}}\nsecrets: [{{name: db, mode: generate, keys: [password]}}]\n\
             images:\n  plainHttp: ['{}']\n  mirrors:\n",
            self.registry.address(),
            product = self.product,
            timeout = self.health_timeout,
        );
        for (host, place) in images::mirrors(&self.registry) {
            release += &format!("    '{host}': '{place}'\n");
        }
        fs::write(self.at("release.yaml"), release).unwrap();
        self.commit(version, more);
        let before = self.sequence();
        loop {
            // Sequences are seconds.
            self.consign(["lock", "--update"]).succeeds();
            if self.sequence() > before {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        self.consign(["build"]).succeeds();
        self.at(&format!("{}-{version}.consign", self.product))
    }

    fn sequence(&self) -> u64 {
        let lock = fs::read_to_string(self.at("release.lock")).unwrap_or_default();
        let line = lock.lines().find_map(|line| line.trim_start_matches(['{', ' ', '"']).strip_prefix("sequence"));
        let digits: String = line.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    }
}

/// A copy that everybody may read, below a folder that everybody may enter.
pub fn lay_out(file: &Path, folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let copy = folder.join(file.file_name().unwrap());
    fs::copy(file, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    copy
}
