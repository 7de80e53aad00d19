//! Tools that no distribution packages recent enough: built with Go once, kept outside the tree, found by pin.
//!
//! Nothing here is downloaded as a binary: the Go toolchain checks every source against its checksum database (and,
//! for the cluster, against our `go.sum`). A tool is complete or absent: it appears by one rename.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::Digest;

/// Overrides the folder that [`cache`] names.
pub const CACHE_VARIABLE: &str = "CONSIGN_CACHE";

const HELM: (&str, &str) = ("helm.sh/helm/v4/cmd/helm", "v4.3.1");
// The newest that Go 1.26 builds: 5.8.3 asks for 1.27.
const KUSTOMIZE: (&str, &str) = ("sigs.k8s.io/kustomize/kustomize/v5", "v5.8.2");

/// Pulls as the kubelet does; no distribution has it.
const CRICTL: (&str, &str) = ("sigs.k8s.io/cri-tools/cmd/crictl", "v1.37.0");

/// The distribution specification's own judge of registries; it has no releases.
const CONFORMANCE: (&str, &str) =
    ("github.com/opencontainers/distribution-spec/conformance", "v0.0.0-20260831232431-97274622c111");

/// The registry that most others are built on, one major version after Debian's.
const DISTRIBUTION: (&str, &str) = ("github.com/distribution/distribution/v3/cmd/registry", "v3.1.2");
/// A second pair of eyes for digests.
const CRANE: (&str, &str) = ("github.com/google/go-containerregistry/cmd/crane", "v0.22.1");

/// What asks for artifacts and what refers to them.
const ORAS: (&str, &str) = ("oras.land/oras/cmd/oras", "v1.3.6");
/// The newest containerd beside Debian's; its client next to it.
const CONTAINERD: (&str, &str) = ("github.com/containerd/containerd/v2/cmd/containerd", "v2.4.2");
const CTR: (&str, &str) = ("github.com/containerd/containerd/v2/cmd/ctr", "v2.4.2");

/// One of the tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// etcd, kube-apiserver, kube-controller-manager and kubectl in one file (`tests/cluster/`).
    Cluster,
    /// Renders charts.
    Helm,
    /// Renders kustomizations.
    Kustomize,
    /// Asks a registry all that the OCI distribution specification demands.
    Conformance,
    /// A registry, distribution 3.
    Distribution,
    /// Looks into registries.
    Crane,
    /// Asks registries for artifacts.
    Oras,
    /// A daemon that pulls, of the second major version.
    Containerd,
    /// Its client.
    Ctr,
    /// Asks a container runtime what Kubernetes would ask of it.
    Crictl,
}

impl Tool {
    /// All of them, the one that is waited for most first.
    pub const ALL: [Self; 10] = [
        Self::Cluster,
        Self::Helm,
        Self::Kustomize,
        Self::Distribution,
        Self::Crane,
        Self::Oras,
        Self::Containerd,
        Self::Ctr,
        Self::Crictl,
        Self::Conformance,
    ];

    /// The name of its file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "consign-cluster",
            Self::Helm => "helm",
            Self::Kustomize => "kustomize",
            Self::Conformance => "conformance",
            Self::Distribution => "registry",
            Self::Crane => "crane",
            Self::Oras => "oras",
            Self::Containerd => "containerd",
            Self::Ctr => "ctr",
            Self::Crictl => "crictl",
        }
    }

    /// Where it is once built: the folder names its pin, so another pin never meets this file.
    ///
    /// # Errors
    /// If there is no place for a cache, or `tests/cluster/` can't be read.
    pub fn path(self) -> Result<PathBuf, ToolError> {
        let folder = match self {
            Self::Cluster => format!("cluster-{}", &cluster_pin()?.hex()[..16]),
            Self::Helm => format!("helm-{}", HELM.1),
            Self::Kustomize => format!("kustomize-{}", KUSTOMIZE.1),
            Self::Conformance => format!("conformance-{}", CONFORMANCE.1),
            Self::Distribution => format!("distribution-{}", DISTRIBUTION.1),
            Self::Crane => format!("crane-{}", CRANE.1),
            Self::Oras => format!("oras-{}", ORAS.1),
            // A folder each: only these are run, never found on a path.
            Self::Containerd => format!("containerd-{}", CONTAINERD.1),
            Self::Ctr => format!("ctr-{}", CTR.1),
            Self::Crictl => format!("crictl-{}", CRICTL.1),
        };
        Ok(cache()?.join(folder).join(self.name()))
    }

    /// Its path, after building it if it is absent: minutes, once per pin and machine. Whoever else wants it meanwhile,
    /// in this process or another, waits.
    ///
    /// # Errors
    /// If it is absent and Go is too, or the build fails.
    pub fn get(self) -> Result<PathBuf, ToolError> {
        let path = self.path()?;
        if path.exists() {
            return Ok(path);
        }
        let folder = path.parent().expect("joined from a folder");
        fs::create_dir_all(folder).map_err(|source| ToolError::io("create", folder, source))?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(|source| ToolError::io("create", &lock_path, source))?;
        lock.lock().map_err(|source| ToolError::io("lock", &lock_path, source))?;
        if !path.exists() {
            self.build(folder)?;
        }
        Ok(path)
    }

    fn build(self, folder: &Path) -> Result<(), ToolError> {
        if !go_is_installed() {
            return Err(ToolError::NoGo { tool: self.name(), path: folder.join(self.name()) });
        }
        let scratch = tempfile::tempdir_in(folder).map_err(|source| ToolError::io("create in", folder, source))?;
        let built = scratch.path().join(self.name());
        let mut command = self.build_command(scratch.path(), &built)?;
        // Past the test harness's capture: silence for ten minutes looks like a hang.
        let _ = writeln!(io::stderr().lock(), "building {} (once; {})", self.name(), self.effort());
        let output = command.output().map_err(|source| ToolError::io("run", Path::new("go"), source))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(ToolError::Failed { tool: self.name(), said });
        }
        let path = folder.join(self.name());
        fs::rename(&built, &path).map_err(|source| ToolError::io("move into place", &path, source))
    }

    fn build_command(self, scratch: &Path, built: &Path) -> Result<Command, ToolError> {
        // The tests of the same run need the processor too.
        let mut command = Command::new("nice");
        command.args(["-n", "10", "go"]).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly -buildvcs=false");
        let stamp = match self {
            Self::Cluster => {
                let version = kubernetes_version()?;
                let (major, minor) = major_minor(&version)?;
                let base = "k8s.io/component-base/version";
                format!(
                    "-s -w -X {base}.gitVersion={version} -X {base}.gitMajor={major} -X {base}.gitMinor={minor} \
                     -X k8s.io/client-go/pkg/version.gitVersion={version}"
                )
            }
            Self::Helm => format!("-s -w -X helm.sh/helm/v4/internal/version.version={}", HELM.1),
            Self::Kustomize => {
                format!("-s -w -X sigs.k8s.io/kustomize/api/provenance.version=kustomize/{}", KUSTOMIZE.1)
            }
            Self::Crictl => format!("-s -w -X sigs.k8s.io/cri-tools/pkg/version.Version={}", CRICTL.1),
            _ => "-s -w".to_owned(),
        };
        match self {
            Self::Cluster => {
                command
                    .current_dir(module())
                    .args(["build", "-trimpath", "-ldflags", &stamp, "-o"])
                    .arg(built)
                    .arg(".");
            }
            Self::Helm => install(&mut command, scratch, &stamp, HELM),
            Self::Kustomize => install(&mut command, scratch, &stamp, KUSTOMIZE),
            Self::Conformance => install(&mut command, scratch, &stamp, CONFORMANCE),
            Self::Distribution => install(&mut command, scratch, &stamp, DISTRIBUTION),
            Self::Crane => install(&mut command, scratch, &stamp, CRANE),
            Self::Oras => install(&mut command, scratch, &stamp, ORAS),
            Self::Containerd => install(&mut command, scratch, &stamp, CONTAINERD),
            Self::Ctr => install(&mut command, scratch, &stamp, CTR),
            Self::Crictl => install(&mut command, scratch, &stamp, CRICTL),
        }
        Ok(command)
    }

    const fn effort(self) -> &'static str {
        match self {
            Self::Cluster => "about 11 minutes of processor time, 3 GB of memory and of Go's own cache",
            Self::Helm => "about 7 minutes of processor time",
            Self::Kustomize => "about a minute of processor time",
            Self::Crictl => "about two minutes of processor time",
            Self::Conformance => "seconds",
            Self::Distribution | Self::Crane | Self::Oras | Self::Containerd | Self::Ctr => {
                "about a minute of processor time"
            }
        }
    }
}

/// The folder that everything built is kept in: `$CONSIGN_CACHE`, or `consign` in the user's cache folder.
///
/// # Errors
/// If none of `CONSIGN_CACHE`, `XDG_CACHE_HOME` and `HOME` is set.
pub fn cache() -> Result<PathBuf, ToolError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(CACHE_VARIABLE)
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("consign")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/consign")))
        .ok_or(ToolError::NoCache)
}

/// A value for `PATH` under which `helm` and `kustomize` are ours and everything else stays what it is.
///
/// # Errors
/// As [`Tool::get`].
pub fn search_path() -> Result<OsString, ToolError> {
    let mut folders = Vec::new();
    for tool in [Tool::Helm, Tool::Kustomize] {
        folders.push(tool.get()?.parent().expect("joined from a folder").to_owned());
    }
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&inherited));
    std::env::join_paths(folders).map_err(|error| ToolError::io("join", Path::new("PATH"), io::Error::other(error)))
}

/// Whether `go` answers.
pub fn go_is_installed() -> bool {
    Command::new("go").arg("version").output().is_ok_and(|output| output.status.success())
}

fn install(command: &mut Command, scratch: &Path, stamp: &str, (package, version): (&str, &str)) {
    // Outside any module, so that what `go install` sees is the tool's own go.mod and nothing of ours.
    command.current_dir(scratch).env("GOBIN", scratch);
    command.args(["install", "-trimpath", "-ldflags", stamp]).arg(format!("{package}@{version}"));
}

fn module() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cluster"))
}

/// The digest of all that the binary is made from: go.mod, go.sum, then the sources in the order of their names.
fn cluster_pin() -> Result<Digest, ToolError> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(module()).map_err(|source| ToolError::io("read", module(), source))? {
        let path = entry.map_err(|source| ToolError::io("read", module(), source))?.path();
        if path.extension().is_some_and(|extension| extension == "go") {
            sources.push(path);
        }
    }
    sources.sort();
    let mut bytes = Vec::new();
    for path in [module().join("go.mod"), module().join("go.sum")].into_iter().chain(sources) {
        bytes.extend(fs::read(&path).map_err(|source| ToolError::io("read", &path, source))?);
    }
    Ok(Digest::of(&bytes))
}

/// The version of Kubernetes that go.mod requires, such as `v1.36.3`.
///
/// # Errors
/// If go.mod can't be read or requires none.
pub fn kubernetes_version() -> Result<String, ToolError> {
    let path = module().join("go.mod");
    let text = fs::read_to_string(&path).map_err(|source| ToolError::io("read", &path, source))?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .map(str::to_owned)
        .ok_or_else(|| ToolError::io("find k8s.io/kubernetes in", &path, io::ErrorKind::NotFound.into()))
}

fn major_minor(version: &str) -> Result<(&str, &str), ToolError> {
    let mut parts = version.trim_start_matches('v').split('.');
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => Ok((major, minor)),
        _ => Err(ToolError::io("read the version of", &module().join("go.mod"), io::ErrorKind::InvalidData.into())),
    }
}

/// Why a tool can't be had.
#[derive(Debug)]
pub enum ToolError {
    /// It is not there, and nothing to build it with either.
    NoGo {
        /// The name of its file.
        tool: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Go refused to build it.
    Failed {
        /// The name of its file.
        tool: &'static str,
        /// All that Go said.
        said: String,
    },
    /// No variable says where a cache could be.
    NoCache,
    /// The file system refused.
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl ToolError {
    fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }
}

impl std::fmt::Display for ToolError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoGo { tool, path } => write!(
                out,
                "{tool} is not built yet and `go` is not there to build it: install Go 1.26 or newer \
                 (https://go.dev/dl), or bring the file to {} (or set {CACHE_VARIABLE} to a cache that has it)",
                path.display()
            ),
            Self::Failed { tool, said } => write!(out, "building {tool} failed; go said:\n{said}"),
            Self::NoCache => {
                write!(out, "none of {CACHE_VARIABLE}, XDG_CACHE_HOME and HOME is set, so there is no cache folder")
            }
            Self::Io { what, path, source } => write!(out, "cannot {what} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for ToolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_pin() {
        let path = Tool::Cluster.path().unwrap();
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert_eq!(folder, format!("cluster-{}", &cluster_pin().unwrap().hex()[..16]));
        assert_eq!(path.file_name().unwrap(), "consign-cluster");
    }

    #[test]
    fn the_version_is_what_the_module_requires() {
        let version = kubernetes_version().unwrap();
        let (major, minor) = major_minor(&version).unwrap();
        assert!(version.starts_with(&format!("v{major}.{minor}.")), "{version}");
        let staging = format!("k8s.io/api => k8s.io/api v0.{}", version.trim_start_matches("v1."));
        let module = fs::read_to_string(module().join("go.mod")).unwrap();
        assert!(module.contains(&staging), "the staging modules are not those of {version}");
    }

    #[test]
    fn a_missing_go_says_where_to_get_it_and_what_else_helps() {
        let error = ToolError::NoGo { tool: "helm", path: "/cache/helm".into() }.to_string();
        for part in ["go.dev/dl", "/cache/helm", CACHE_VARIABLE] {
            assert!(error.contains(part), "{error}");
        }
    }
}
