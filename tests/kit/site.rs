//! The far side of a test: a folder in which `consign-site` keeps everything, enrolled, and its registry served.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use consign_format::Digest;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{self, Invocation};
use crate::images::run;

/// A site in a folder of its own.
#[derive(Debug)]
pub struct Site {
    root: PathBuf,
    /// Goes when the site goes; a site that lies elsewhere has none.
    _folder: Option<TempDir>,
}

impl Site {
    /// A folder and nothing in it.
    pub fn bare() -> Self {
        let folder = tempfile::Builder::new().prefix("consign-site-").tempdir().expect("a temporary folder");
        Self { root: folder.path().to_owned(), _folder: Some(folder) }
    }

    /// What lies in this folder, on a disk of the test's choice.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), _folder: None }
    }

    /// A site that trusts the root in `trust`, by its fingerprint.
    pub fn enrolled(trust: &Path) -> Self {
        let site = Self::bare();
        site.enrol(&trust.join("1.root.json")).succeeds();
        site
    }

    /// Another site, the same to the byte.
    pub fn copy(&self) -> Self {
        self.copied(Self::bare())
    }

    /// The same on another file system: below a folder that is there.
    pub fn copy_into(&self, folder: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("site-").tempdir_in(folder).expect("a folder to make one in");
        self.copied(Self { root: folder.path().to_owned(), _folder: Some(folder) })
    }

    fn copied(&self, copy: Self) -> Self {
        run(std::process::Command::new("cp").arg("-a").arg(self.root.join(".")).arg(&copy.root));
        copy
    }

    /// `enrol` with a root and its fingerprint, not run yet.
    pub fn enrol(&self, root: &Path) -> Invocation {
        let bytes = std::fs::read(root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        let fingerprint = Digest::of(&bytes).hex();
        self.invoke(["enrol", "--site", "ward-7", "--root-sha256", &fingerprint]).option("--root", root)
    }

    /// `consign-site` with this site's folder.
    pub fn invoke<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        command::consign_site(["--root-dir"]).arg(&self.root).args(arguments)
    }

    /// `install` of a bundle, not run yet.
    pub fn install(&self, bundle: &Path) -> Invocation {
        self.invoke(["install"]).arg(bundle)
    }

    /// `install --handoff export`, not run yet.
    pub fn export(&self, bundle: &Path) -> Invocation {
        self.install(bundle).option("--handoff", "export")
    }

    /// Where the handoff `export` leaves the objects of a product.
    pub fn exported(&self, product: &str) -> PathBuf {
        self.kept().join("export").join(product)
    }

    /// The folder given to `--root-dir`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `var/lib/consign` in it.
    pub fn kept(&self) -> PathBuf {
        self.root.join("var/lib/consign")
    }

    /// What `status --json` says.
    pub fn status(&self) -> Value {
        self.invoke(["status", "--json"]).succeeds().json()
    }

    /// Its registry without TLS, on a free port, until dropped.
    pub fn serve(&self) -> Served {
        self.serve_with(&["--plain-http"])
    }

    /// Its registry on a free port, until dropped.
    pub fn serve_with(&self, arguments: &[&str]) -> Served {
        Served::start(&self.invoke(["serve", "--json", "--listen", "127.0.0.1:0"]).args(arguments))
    }

    /// Everything it keeps: path, mode, and the digest of each file.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        walk(&self.root, &self.root, &mut found);
        found
    }
}

fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the site") {
        let path = entry.expect("an entry").path();
        let metadata = path.symlink_metadata().expect("an entry just listed");
        let mode = metadata.permissions().mode();
        let what = if metadata.is_dir() {
            walk(root, &path, found);
            "folder".to_owned()
        } else if metadata.is_file() {
            Digest::of(&std::fs::read(&path).expect("a file of the site")).to_string()
        } else {
            format!("{:?}", metadata.file_type())
        };
        found.insert(path.strip_prefix(root).expect("below").to_owned(), format!("{mode:o} {what}"));
    }
}

/// A site's registry. Dropping it ends the process.
#[derive(Debug)]
pub struct Served {
    child: Child,
    address: String,
    log: tempfile::NamedTempFile,
}

impl Served {
    /// Starts what serves (`serve --json …`), and waits until it says where. What it says on standard error is kept.
    pub fn start(invocation: &Invocation) -> Self {
        let log = tempfile::NamedTempFile::new().expect("a file for the log");
        let mut command = invocation.command();
        command.stdout(Stdio::piped()).stderr(log.reopen().expect("the log once more"));
        let mut child = command.spawn().expect("consign-site serves");
        let mut line = String::new();
        // One JSON document; pretty or not, the address is in it once it ends.
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut said = String::new();
        while out.read_line(&mut line).is_ok_and(|length| length > 0) {
            said += &line;
            line.clear();
            if let Ok(document) = serde_json::from_str::<Value>(&said)
                && let Some(address) = document["listen"].as_str()
            {
                return Self { child, address: address.to_owned(), log };
            }
        }
        let errors = std::fs::read_to_string(log.path()).unwrap_or_default();
        panic!("consign-site serve ended: {:?}; it said: {said}{errors}", child.wait());
    }

    /// What it was asked so far, as its access log (`--access-log`) has it: path and query, and the answer's status.
    pub fn asked(&self) -> Vec<(String, u16)> {
        let asked = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some((line["target"].as_str()?.to_owned(), u16::try_from(line["status"].as_u64()?).ok()?))
        };
        self.said().lines().filter_map(asked).collect()
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its port.
    pub fn port(&self) -> &str {
        self.address.rsplit_once(':').expect("a port").1
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard error so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("the log")
    }

    /// Asks it to end, waits until it has, and tells whether it ended well.
    pub fn stop(&mut self) -> bool {
        run(std::process::Command::new("kill").arg(self.child.id().to_string()));
        self.child.wait().expect("our own child").success()
    }

    /// `docker://ADDRESS/NAME`, for skopeo.
    pub fn docker(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.address)
    }

    /// What is answered to a plain GET: the status and the body.
    pub fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.ask("GET", path)
    }

    /// What is answered to a request without a body: the status and the body.
    pub fn ask(&self, method: &str, path: &str) -> (u16, Vec<u8>) {
        let mut connection = std::net::TcpStream::connect(&self.address).expect("the site's registry listens");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        connection.write_all(request.as_bytes()).expect("the registry reads");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("the registry answers");
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("the end of the headers");
        let status = std::str::from_utf8(&answer[9..12]).ok().and_then(|text| text.parse().ok());
        (status.expect("a status line"), answer.split_off(end + 4))
    }

    /// What skopeo gets as the manifest of `name` (`host/repository:tag` or `@digest`).
    pub fn manifest(&self, name: &str) -> String {
        run(std::process::Command::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &self.docker(name)]))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
