//! What the machine needs for the suites and the demo: looked for first, installed only where it is missing.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::step::{Failed, Step};

/// Programs that the suites run, and the Debian package that brings each.
const FOR_SUITES: &[(&str, &str)] = &[
    ("git", "git"),
    ("ssh-keygen", "openssh-client"),
    ("ssh-agent", "openssh-client"),
    ("softhsm2-util", "softhsm2"),
    ("pkcs11-tool", "opensc"),
    ("gpg", "gnupg"),
    ("openssl", "openssl"),
    ("jq", "jq"),
    ("zstd", "zstd"),
    ("pip3", "python3-pip"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("curl", "curl"),
    ("kubectl", "kubernetes-client"),
    ("time", "time"),
    ("strace", "strace"),
    ("ip", "iproute2"),
    // libFuzzer is C++.
    ("c++", "g++"),
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
    ("buildah", "buildah"),
    ("podman", "podman"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("clamscan", "clamav"),
    ("faketime", "faketime"),
    ("mkfs.vfat", "dosfstools"),
    ("mkfs.ext4", "e2fsprogs"),
    // For kernels that cannot mount FAT themselves.
    ("fusefat", "fusefat"),
    ("fuser", "psmisc"),
];

/// Installs what the suites need and this machine lacks.
///
/// Without root or apt nothing is installed: what is missing is said, and the suites say which tests they leave out.
pub(crate) fn packages() -> Result<(), Failed> {
    let missing: Vec<&str> =
        FOR_SUITES.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        println!("xtask: all programs that the suites need are here");
        return Ok(());
    }
    let list = missing.join(" ");
    let root = Step::new("id", ["-u"]).output().is_some_and(|id| id == "0");
    if find("apt-get").is_none() || !root {
        eprintln!(
            "xtask: MISSING: {list}\nxtask: installing needs apt and root; tests that need these will be SKIPPED"
        );
        return Ok(());
    }
    println!("xtask: installing with apt: {list}");
    let install = ["install", "-y", "-q", "--no-install-recommends"].into_iter().chain(missing);
    let apt = |arguments: Vec<&str>| Step::new("apt-get", arguments).env("DEBIAN_FRONTEND", "noninteractive").run();
    apt(vec!["update", "-q"])?;
    apt(install.collect())
}

/// The tools that are built with Go, by name.
pub(crate) struct Tools(Vec<(String, PathBuf)>);

/// Builds the test cluster, helm and kustomize where they are missing (minutes, once per machine).
pub(crate) fn tools() -> Result<Tools, Failed> {
    let mut tools = Vec::new();
    let built = Step::cargo(["run", "--quiet", "--bin", "cluster-build"]).lines(|line| {
        if let Some((name, path)) = line.split_once('\t') {
            tools.push((name.to_owned(), PathBuf::from(path)));
        }
    })?;
    if built { Ok(Tools(tools)) } else { Err(Failed::new("the tools could not be built")) }
}

impl Tools {
    /// One line per tool.
    pub(crate) fn print(&self) {
        for (name, path) in &self.0 {
            println!("{name}\t{}", path.display());
        }
    }

    /// A value for `PATH` that finds these first.
    pub(crate) fn search_path(&self) -> Result<OsString, Failed> {
        let inherited = env::var_os("PATH").unwrap_or_default();
        let folders = self.0.iter().filter_map(|(_, path)| path.parent().map(Path::to_owned));
        env::join_paths(folders.chain(env::split_paths(&inherited)))
            .map_err(|error| Failed::new(format!("cannot extend PATH: {error}")))
    }
}

/// Finds a program on `PATH` or where system programs lie.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&inherited).chain(system).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The folder for slow things, outside the tree; the same that the test kit uses.
pub(crate) fn cache() -> Result<PathBuf, Failed> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CONSIGN_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("consign")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/consign")))
        .ok_or_else(|| Failed::new("none of CONSIGN_CACHE, XDG_CACHE_HOME and HOME is set"))
}
