//! A registry by others: Debian's `docker-registry`, or a newer one of the same family, on a free port of loopback.
//!
//! It is what a company's registry is to Consign: something that answers by the specification and owes us nothing.
//! Nothing of it is left when its owner ends, whatever way: a shell holds the other end of a pipe.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// The user that [`Options::password`] lets in.
pub const USER: &str = "carrier";
/// The user's password.
pub const PASSWORD: &str = "over the gap";
/// `USER:bcrypt(PASSWORD)`, the one form that the registry reads.
const HTPASSWD: &str = "carrier:$2y$05$abcdefghijklmnopqrstuu8KWGhZdw9vEj2lYqznd1q83atGGy48a\n";

/// Generous: it bounds a hang, it measures nothing.
const STARTUP: Duration = Duration::from_secs(60);

/// How a registry is set up.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Serve TLS with a certificate of an authority of its own ([`DockerRegistry::authority`]).
    pub tls: bool,
    /// Let in only [`USER`] with [`PASSWORD`] (basic authentication).
    pub password: bool,
    /// Serve this folder, and refuse pushes; without it the registry starts empty in a folder of its own.
    pub read_only: Option<PathBuf>,
    /// Keep what is pushed in this folder, which outlives the registry.
    pub storage: Option<PathBuf>,
    /// Another program than Debian's that reads the same configuration (`Tool::Distribution`).
    pub program: Option<PathBuf>,
    /// Take indexes of which not every manifest is there; Debian's knows no such setting.
    pub takes_sparse: bool,
    /// Further lines of its configuration.
    pub further: String,
    /// Refuse to remove anything.
    pub keeps_everything: bool,
}

/// A running registry. Dropping it ends its process and removes its folder.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    address: SocketAddr,
    options: Options,
    folder: TempDir,
}

impl DockerRegistry {
    /// Whether this machine has what a registry needs; for `skip::unless`.
    pub fn is_installed() -> bool {
        Command::new("docker-registry").arg("--version").output().is_ok_and(|said| said.status.success())
    }

    /// An empty one over plain HTTP, open to all.
    ///
    /// # Panics
    /// If it is not installed or does not start (the message has what it logged).
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// One set up as said.
    ///
    /// # Panics
    /// As [`Self::start`]; and if `openssl` is needed and fails.
    pub fn with(options: Options) -> Self {
        let folder = tempfile::Builder::new().prefix("consign-registry-").tempdir().expect("a temporary folder");
        let config = configure(folder.path(), &options);
        let log = File::create(folder.path().join("log")).expect("a log in our own folder");
        // Not `setpriv --pdeathsig`: that signal follows the thread that spawns, and tests are threads.
        let mut child = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(&config)
            .arg(folder.path())
            .arg(options.program.as_deref().unwrap_or(Path::new("docker-registry")))
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run docker-registry: {error}"));
        let stderr = child.stderr.take().expect("piped above");
        let Some(address) = listen(stderr, log) else {
            let _ = child.kill();
            let _ = child.wait();
            let said = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            panic!("docker-registry did not start; it said:\n{said}");
        };
        Self { child, address, options, folder }
    }

    /// Where it listens, as people write it: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The certificate of the authority that signed its own, if it speaks TLS.
    pub fn authority(&self) -> Option<PathBuf> {
        self.options.tls.then(|| self.folder.path().join("ca.crt"))
    }

    /// A folder that is removed with the registry, even if its owner is killed.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The same as a URL, with the scheme it speaks.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.options.tls { "https" } else { "http" }, self.address)
    }

    /// What curl needs to speak to it.
    pub fn curl_flags(&self) -> Vec<String> {
        let mut flags = vec!["--insecure".to_owned()];
        if self.options.password {
            flags.push(format!("-u{USER}:{PASSWORD}"));
        }
        flags
    }

    /// What skopeo needs to push to it (`--dest-…`) or to read from it (`--src-…`): `side` is `dest` or `src`.
    pub fn skopeo_flags(&self, side: &str) -> Vec<String> {
        let mut flags = vec![format!("--{side}-tls-verify=false")];
        if self.options.password {
            flags.push(format!("--{side}-creds={USER}:{PASSWORD}"));
        }
        flags
    }

    /// Writes a Docker `config.json` with the credentials into `folder`, and returns its path.
    pub fn docker_config(&self, folder: &Path) -> PathBuf {
        use base64::Engine as _;
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let auths = serde_json::json!({ "auths": { self.address(): { "auth": login } } });
        let path = folder.join("config.json");
        fs::write(&path, auths.to_string()).expect("a file in the test's own folder");
        path
    }

    /// All it logged so far: one line per request, with method, path and status.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Runs the registry until standard input ends; then removes the folder.
const WATCH: &str = r#""$3" serve "$1" </dev/null & pid=$!
( while kill -0 "$pid" 2>/dev/null; do sleep 1; done; kill "$$" 2>/dev/null ) >/dev/null 2>&1 </dev/null & watch=$!
read -r _; kill "$pid" "$watch"; wait "$pid" 2>/dev/null
chmod -R u+rwX "$2"; rm -rf "$2""#;

/// Copies what the registry says into the log, and returns the address as soon as it says it.
fn listen(stderr: impl std::io::Read + Send + 'static, mut log: File) -> Option<SocketAddr> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = writeln!(log, "{line}");
            if let Some((_, rest)) = line.split_once("listening on ") {
                let end = rest.find([',', '"']).unwrap_or(rest.len());
                if let Ok(address) = rest[..end].trim().parse() {
                    let _ = send.send(address);
                }
            }
        }
    });
    // An error here is either the deadline or the end of the process: the sender is gone with the pipe.
    receive.recv_timeout(STARTUP).ok()
}

fn configure(folder: &Path, options: &Options) -> PathBuf {
    let storage = options.read_only.clone().or_else(|| options.storage.clone());
    let storage = storage.unwrap_or_else(|| folder.join("storage"));
    let mut config = format!(
        "version: 0.1\nlog: {{level: info, accesslog: {{disabled: false}}}}\nstorage:\n  filesystem: {{rootdirectory: \
         '{}'}}\n  delete: {{enabled: {}}}\n  maintenance: {{readonly: {{enabled: {}}}}}\nhttp:\n  addr: 127.0.0.1:0\n",
        storage.display(),
        !options.keeps_everything,
        options.read_only.is_some(),
    );
    if options.tls {
        certify(folder);
        let at = folder.display();
        config += &format!("  tls: {{certificate: '{at}/server.crt', key: '{at}/server.key'}}\n");
    }
    if options.password {
        let path = folder.join("htpasswd");
        fs::write(&path, HTPASSWD).expect("a file in our own folder");
        config += &format!("auth: {{htpasswd: {{realm: consign, path: '{}'}}}}\n", path.display());
    }
    if options.takes_sparse {
        config += "validation: {manifests: {indexes: {platforms: none}}}\n";
    }
    config += &options.further;
    let path = folder.join("config.yml");
    fs::write(&path, config).expect("a file in our own folder");
    path
}

/// An authority, and a certificate of it for 127.0.0.1 and localhost.
fn certify(folder: &Path) {
    fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
        .expect("a file in our own folder");
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl(
        folder,
        &[
            &["req", "-x509", "-days", "2", "-subj", "/CN=Consign test authority"],
            &new_key[..],
            &["-addext", "basicConstraints=critical,CA:TRUE", "-keyout", "ca.key", "-out", "ca.crt"],
        ]
        .concat(),
    );
    openssl(
        folder,
        &[&["req", "-subj", "/CN=127.0.0.1"], &new_key[..], &["-keyout", "server.key", "-out", "server.csr"]].concat(),
    );
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "san",
            "-out",
            "server.crt",
        ],
    );
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let said = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl runs");
    assert!(said.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
}
