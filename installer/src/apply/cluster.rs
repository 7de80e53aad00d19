//! The one connection to the cluster: finds a kubeconfig, connects within bounds, and turns every way in which a
//! request can fail into one of two things: the server said no, or the server was not reached.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::Status;
use kube::{Client, Config};
use serde::de::DeserializeOwned;

use super::ApplyError;
use super::applyset::PARENT_NAMESPACE;

/// The oldest Kubernetes that is accepted: server-side apply and aggregated discovery are both there and on.
pub const MINIMUM: (u32, u32, &str) = (1, 27, "1.27");

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one request may take; a webhook may use 30 s of it.
const REQUEST: Duration = Duration::from_secs(60);

/// Where a service account of a pod lies.
const SERVICE_ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount/token";
/// Files that distributions write for their administrator, in the order in which they are tried.
const KNOWN_FILES: [&str; 4] = [
    "etc/rancher/k3s/k3s.yaml",
    "etc/rancher/rke2/rke2.yaml",
    "etc/kubernetes/admin.conf",
    "var/snap/microk8s/current/credentials/client.config",
];

/// Where to look for a kubeconfig. The environment is read by `main` and handed in.
#[derive(Debug, Clone, Default)]
pub struct Lookup {
    /// What `--kubeconfig` or the site's configuration names; then nothing else is tried.
    pub flag: Option<PathBuf>,
    /// The content of `$KUBECONFIG`: one path, or several as the shell separates them.
    pub kubeconfig_env: Option<OsString>,
    /// `$KUBERNETES_SERVICE_HOST` and `$KUBERNETES_SERVICE_PORT`, set inside a pod.
    pub service: Option<(String, String)>,
    /// The root of the file system, `/` but in tests.
    pub root: PathBuf,
    /// The one namespace of a tenant; then nothing outside it is read or written.
    pub tenant: Option<String>,
}

/// What the lookup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// These files, merged as kubectl merges them.
    Files(Vec<PathBuf>),
    /// The service account of the pod that this program runs in.
    InCluster,
}

impl Lookup {
    /// Finds where to connect, by looking only: flag, `$KUBECONFIG`, the pod's service account, k3s, RKE2, kubeadm, MicroK8s.
    ///
    /// # Errors
    /// [`ApplyError::NoCluster`] with every place looked at; a file that exists and cannot be read is named as that.
    pub fn find(&self) -> Result<Found, ApplyError> {
        if let Some(path) = &self.flag {
            return Ok(Found::Files(vec![path.clone()]));
        }
        if let Some(list) = &self.kubeconfig_env {
            let paths: Vec<_> = std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect();
            if !paths.is_empty() {
                return Ok(Found::Files(paths));
            }
        }
        let mut looked = vec!["--kubeconfig".to_owned(), "$KUBECONFIG".to_owned()];
        if self.service.is_some() && self.root.join(SERVICE_ACCOUNT).is_file() {
            return Ok(Found::InCluster);
        }
        looked.push("the service account of a pod".to_owned());
        for known in KNOWN_FILES {
            let path = self.root.join(known);
            match std::fs::File::open(&path) {
                Ok(_) => return Ok(Found::Files(vec![path])),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => looked.push(path.display().to_string()),
                Err(error) => looked.push(format!("{} ({error})", path.display())),
            }
        }
        Err(ApplyError::NoCluster { looked })
    }

    async fn config(&self) -> Result<Config, ApplyError> {
        match self.find()? {
            Found::Files(paths) => read_files(&paths).await,
            Found::InCluster => self.in_cluster(),
        }
    }

    /// Off-kube: its own in-cluster constructor reads the environment, ours is told.
    fn in_cluster(&self) -> Result<Config, ApplyError> {
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| ApplyError::Kubeconfig {
            path: self.root.join(SERVICE_ACCOUNT),
            source,
        };
        let mut config = Config::incluster_dns().map_err(|error| wrong(Box::new(error)))?;
        if let Some((host, port)) = &self.service {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let url = format!("https://{host}:{port}");
            config.cluster_url = url.parse().map_err(|error: http::uri::InvalidUri| wrong(Box::new(error)))?;
        }
        Ok(config)
    }
}

async fn read_files(paths: &[PathBuf]) -> Result<Config, ApplyError> {
    let mut merged = Kubeconfig::default();
    for path in paths {
        let next = Kubeconfig::read_from(path).map_err(|error| unusable(path, error))?;
        merged = merged.merge(next).map_err(|error| unusable(path, error))?;
    }
    let first = paths.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    Config::from_custom_kubeconfig(merged, &KubeConfigOptions::default()).await.map_err(|error| unusable(first, error))
}

fn unusable(path: &Path, error: KubeconfigError) -> ApplyError {
    ApplyError::Kubeconfig { path: path.to_owned(), source: Box::new(error) }
}

/// Why a request brought no answer that could be used.
#[derive(Debug)]
pub enum CallError {
    /// The server answered no.
    Said(Box<Status>),
    /// The server was not reached, or its answer could not be understood.
    Unreachable(String),
}

impl CallError {
    /// Tells whether the server said that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, CallError::Said(status) if status.code == 404)
    }
}

/// A cluster that has answered once.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    server: String,
    version: String,
    tenant: Option<String>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("server", &self.server).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Finds, connects, and asks for the version. Takes at most a minute and a half.
    ///
    /// The process must have a rustls crypto provider installed; that is `main`'s job.
    ///
    /// # Errors
    /// No kubeconfig, an unusable one, an API server that does not answer, does not let us in, or is too old.
    pub async fn connect(lookup: &Lookup) -> Result<Self, ApplyError> {
        let mut config = lookup.config().await?;
        config.connect_timeout = Some(CONNECT);
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config)
            .map_err(|error| ApplyError::Unreachable { server: server.clone(), cause: in_words(&error) })?;
        let mut cluster = Cluster { client, server, version: String::new(), tenant: lookup.tenant.clone() };
        let request = http::Request::get("/version").body(Vec::new());
        let request = request.map_err(|error| cluster.failed(CallError::Unreachable(error.to_string())))?;
        let answer: serde_json::Value = cluster.call(request).await.map_err(|error| cluster.failed(error))?;
        let version = answer.get("gitVersion").and_then(serde_json::Value::as_str).unwrap_or_default();
        check_version(version)?;
        cluster.version = version.to_owned();
        Ok(cluster)
    }

    /// The server's address, as the kubeconfig has it.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The server's version, such as `v1.33.2+k3s1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The namespace of what this program keeps in the cluster for itself.
    pub fn home(&self) -> &str {
        self.tenant.as_deref().unwrap_or(PARENT_NAMESPACE)
    }

    /// Whether nothing outside [`Cluster::home`] may be read or written.
    pub fn is_tenant(&self) -> bool {
        self.tenant.is_some()
    }

    /// Gives the client to who needs more than [`Cluster::call`].
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends one request and reads one JSON answer, within the time that one request may take.
    pub(crate) async fn call<T: DeserializeOwned>(&self, request: http::Request<Vec<u8>>) -> Result<T, CallError> {
        self.within(self.client.request(request)).await
    }

    /// Gives any conversation with the server the time that one request may take.
    pub(crate) async fn within<T>(&self, conversation: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        match tokio::time::timeout(REQUEST, conversation).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) => Err(CallError::Said(status)),
            Ok(Err(error)) => Err(CallError::Unreachable(in_words(&error))),
            Err(_) => Err(CallError::Unreachable(format!("no answer within {} s", REQUEST.as_secs()))),
        }
    }

    /// The error of a request that belongs to no object.
    pub(crate) fn failed(&self, error: CallError) -> ApplyError {
        let server = self.server.clone();
        match error {
            CallError::Said(status) if matches!(status.code, 401 | 403) => {
                ApplyError::NotAdmitted { server, cause: status.message.clone() }
            }
            CallError::Said(status) => ApplyError::Unreachable { server, cause: status.message.clone() },
            CallError::Unreachable(cause) => ApplyError::Unreachable { server, cause },
        }
    }
}

/// Says the innermost causes of a client's error; its own display names layers of libraries first.
fn in_words(error: &kube::Error) -> String {
    let mut chain = Vec::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = next {
        chain.push(one.to_string());
        next = one.source();
    }
    let innermost = chain.len().saturating_sub(2);
    let mut words = chain.split_off(innermost);
    words.dedup_by(|later, earlier| earlier.contains(later.as_str()));
    words.join(": ")
}

/// Refuses what is older than [`MINIMUM`]; a version that cannot be read passes, since the server answers for itself.
fn check_version(version: &str) -> Result<(), ApplyError> {
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else { return Ok(()) };
    if (major, minor) < (MINIMUM.0, MINIMUM.1) {
        return Err(ApplyError::TooOld { version: version.to_owned(), minimum: MINIMUM.2.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_format::error::{Coded, codes};

    fn empty_machine() -> (tempfile::TempDir, Lookup) {
        let root = tempfile::tempdir().unwrap();
        let lookup = Lookup { root: root.path().to_owned(), ..Lookup::default() };
        (root, lookup)
    }

    #[expect(clippy::disallowed_methods, reason = "a file that lives as long as the test")]
    fn put(root: &Path, file: &str) {
        std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        std::fs::write(root.join(file), "apiVersion: v1\nkind: Config\n").unwrap();
    }

    #[test]
    fn an_empty_machine_has_no_cluster() {
        let (_root, lookup) = empty_machine();
        let error = lookup.find().unwrap_err();
        assert_eq!(error.code(), codes::NO_CLUSTER);
        assert_eq!(error.code().exit.code(), 21);
        for place in ["--kubeconfig", "$KUBECONFIG", "k3s.yaml", "rke2.yaml", "admin.conf", "microk8s"] {
            assert!(error.to_string().contains(place), "{place} in {error}");
        }
        assert!(error.hint().unwrap().contains("export"));
    }

    #[test]
    fn places_are_tried_in_order() {
        let (root, mut lookup) = empty_machine();
        for known in KNOWN_FILES.iter().rev() {
            put(root.path(), known);
            assert_eq!(lookup.find().unwrap(), Found::Files(vec![root.path().join(known)]));
        }
        put(root.path(), SERVICE_ACCOUNT);
        assert_ne!(lookup.find().unwrap(), Found::InCluster, "a token without the pod's environment is no pod");
        lookup.service = Some(("10.0.0.1".into(), "443".into()));
        assert_eq!(lookup.find().unwrap(), Found::InCluster);
        lookup.kubeconfig_env = Some("/a:/b".into());
        assert_eq!(lookup.find().unwrap(), Found::Files(vec!["/a".into(), "/b".into()]));
        lookup.flag = Some("/c".into());
        assert_eq!(lookup.find().unwrap(), Found::Files(vec!["/c".into()]));
    }

    #[test]
    fn an_empty_variable_is_none() {
        let (_root, mut lookup) = empty_machine();
        lookup.kubeconfig_env = Some("".into());
        assert!(lookup.find().is_err());
    }

    #[tokio::test]
    async fn a_flag_that_names_nothing_is_an_error_of_its_own() {
        let (root, mut lookup) = empty_machine();
        lookup.flag = Some(root.path().join("missing"));
        let error = Cluster::connect(&lookup).await.unwrap_err();
        assert_eq!(error.code(), codes::KUBECONFIG_INVALID);
    }

    #[test]
    fn old_clusters_are_refused() {
        for (version, good) in [
            ("v1.27.0", true),
            ("v1.36.2", true),
            ("v1.33.1+k3s1", true),
            ("v2.0.0", true),
            ("", true),
            ("v1.26.9", false),
        ] {
            assert_eq!(check_version(version).is_ok(), good, "{version}");
        }
    }
}
