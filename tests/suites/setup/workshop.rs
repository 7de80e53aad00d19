//! Headquarters of a test: a root, and releases of a small web server with all that ordinary ones have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::Digest;
use consign_format::trust::fingerprint;
use consign_tests::command::{self, Invocation};
use consign_tests::images::{self, Images, run};
use consign_tests::registry::DockerRegistry;

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

pub(super) struct Workshop {
    registry: DockerRegistry,
}

impl Workshop {
    /// A folder with a development root of domain `lumen`.
    pub(super) fn new() -> Self {
        let workshop = Self { registry: Images::get().registry() };
        fs::create_dir_all(workshop.at("repository/deploy")).unwrap();
        workshop.commit("0", "");
        workshop.consign(["keys", "new", "--domain", "lumen"]).succeeds();
        workshop
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.registry.folder().join(name)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.at("trust/1.root.json")
    }

    /// The fingerprint of the root: in hex, and in words.
    pub(super) fn fingerprint(&self) -> (String, String) {
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
    pub(super) fn build(&self, version: &str, more: &str) -> PathBuf {
        let mut release = format!(
            "apiVersion: consign.dev/v1\nproduct: lamp\nversion: {version}\nsource: {{git: repository}}\n\
             kubernetes: {{version: \"1.33\"}}\nnamespace: lamp\nrender: [{{path: deploy}}]\n\
             rollout: {{onFailure: rollback, healthTimeout: 2m}}\nsecrets: [{{name: db, mode: generate, keys: [password]}}]\n\
             images:\n  plainHttp: ['{}']\n  mirrors:\n",
            self.registry.address()
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
        self.at(&format!("lamp-{version}.consign"))
    }

    fn sequence(&self) -> u64 {
        let lock = fs::read_to_string(self.at("release.lock")).unwrap_or_default();
        let line = lock.lines().find_map(|line| line.trim_start_matches(['{', ' ', '"']).strip_prefix("sequence"));
        let digits: String = line.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    }
}

/// A copy that everybody may read, below a folder that everybody may enter.
pub(super) fn lay_out(file: &Path, folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let copy = folder.join(file.file_name().unwrap());
    fs::copy(file, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    copy
}
