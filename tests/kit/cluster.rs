//! A Kubernetes API for a test: real etcd, kube-apiserver and kube-controller-manager, on loopback, without root.
//!
//! Scheduler, kubelet and storage are missing; [`pods`] and [`volumes`] stand in for them by a few writes, so that
//! everything above (Deployments, StatefulSets, DaemonSets, Jobs, Services, claims) behaves as upstream wrote it.
//! Nothing is left behind: see `component.rs` for how processes end, whatever way the test ends.

mod component;
mod credentials;
pub mod pods;
pub mod volumes;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use component::Component;
use credentials::Credentials;
use kube::config::{KubeConfigOptions, Kubeconfig};
use pods::Pods;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

use crate::tools::Tool;

/// Set to anything, it keeps the folders of clusters, with their logs, and says where they are.
pub const KEEP_VARIABLE: &str = "CONSIGN_KEEP";

/// Generous: it bounds a hang, it measures nothing. An idle machine needs about five seconds.
const STARTUP: Duration = Duration::from_secs(180);

/// A running control plane. Dropping it ends its processes and removes its folder.
pub struct Cluster {
    // In the order of starting; they are killed in the reverse order.
    components: Vec<Component>,
    runtime: Option<Runtime>,
    pods: Pods,
    kubeconfig: PathBuf,
    binary: PathBuf,
    /// Bound, never listening, with `SO_REUSEPORT` as the API server's own socket: as long as it lives the kernel gives
    /// this port to nobody who asks for a free one, so clusters that start at once cannot collide.
    _port: TcpSocket,
    // Last: everything above uses it.
    folder: Option<TempDir>,
}

impl Cluster {
    /// Starts one and waits until its API is ready and the simulated node is there.
    ///
    /// It blocks, and may be called from sync and async code alike.
    ///
    /// # Panics
    /// If the binary can't be had (the message says how to get it) or a component does not start (the message ends
    /// with what the components logged last).
    pub fn start() -> Self {
        let binary = Tool::Cluster.get().unwrap_or_else(|error| panic!("no cluster for this test: {error}"));
        // Blocking on a runtime is refused inside another one; a plain thread is inside none.
        std::thread::spawn(move || Self::start_with(binary))
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The cluster that tests of one process share: started by the first that asks, ended by the end of the process.
    ///
    /// Tests that use it keep to namespaces of their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The kubeconfig of an administrator (group `system:masters`). It holds absolute paths only.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What stands in for the scheduler and the kubelet.
    pub fn pods(&self) -> &Pods {
        &self.pods
    }

    /// A client that acts as the administrator, on the runtime of the caller.
    pub async fn client(&self) -> kube::Client {
        client(&self.kubeconfig).await
    }

    /// `kubectl`, of the cluster's own version, acting as the administrator.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("kubectl").env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Kills the API server, as a crash would. What it stored stays.
    pub fn kill_api_server(&mut self) {
        let server = self.components.iter_mut().find(|one| one.name() == API_SERVER);
        server.expect("it was started with the cluster").kill();
    }

    /// Starts the API server anew at its address, and waits until it is ready.
    pub fn restart_api_server(&mut self) {
        let place = self.components.iter().position(|one| one.name() == API_SERVER).expect("it was started");
        let address = self._port.local_addr().expect("the address bound at the start");
        let folder = self.folder().to_owned();
        let keep = std::env::var_os(KEEP_VARIABLE).is_some();
        let arguments = apiserver_arguments(address);
        self.components[place] = Component::start(&self.binary, API_SERVER, &arguments, &folder, keep);
        let (kubeconfig, deadline) = (self.kubeconfig.clone(), Instant::now() + STARTUP);
        // Blocking on a runtime is refused inside another one; a plain thread is inside none.
        let waiting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            while !runtime.block_on(is_ready(&kubeconfig)) {
                assert!(Instant::now() < deadline, "the API server does not come back");
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    /// The folder with the data and the logs (`etcd.log`, `kube-apiserver.log`, `kube-controller-manager.log`).
    pub fn folder(&self) -> &Path {
        self.kubeconfig.parent().expect("the kubeconfig lies in the folder")
    }

    fn start_with(binary: PathBuf) -> Self {
        let keep = std::env::var_os(KEEP_VARIABLE).is_some();
        let folder = tempfile::Builder::new().prefix("consign-cluster-").tempdir().expect("a temporary folder");
        let port = TcpSocket::new_v4().expect("a socket");
        port.set_reuseport(true).expect("SO_REUSEPORT");
        port.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port on loopback");
        let address = port.local_addr().expect("the address just bound");
        let credentials = Credentials::write(folder.path(), address);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("consign-cluster")
            .enable_all()
            .build()
            .expect("a runtime");

        let mut start = Start { binary: &binary, folder: folder.path(), keep, components: Vec::new() };
        start.run("etcd", &etcd_arguments());
        start.run(API_SERVER, &apiserver_arguments(address));
        start.wait("the API server is ready", || runtime.block_on(is_ready(&credentials.kubeconfig)));
        start.run("kube-controller-manager", &controller_manager_arguments());
        start.wait("the default service account exists", || runtime.block_on(has_account(&credentials.kubeconfig)));
        let pods = runtime.block_on(async {
            let client = client(&credentials.kubeconfig).await;
            volumes::start(client.clone()).await;
            Pods::start(client).await
        });

        let components = std::mem::take(&mut start.components);
        let (kubeconfig, folder) = (credentials.kubeconfig, Some(folder));
        Self { components, runtime: Some(runtime), pods, kubeconfig, binary, _port: port, folder }
    }
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "shown with the test that failed")]
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for it is refused where this drop runs inside another runtime.
            runtime.shutdown_background();
        }
        while let Some(mut component) = self.components.pop() {
            component.kill();
            if std::thread::panicking() {
                eprintln!("{}", component.tail(15));
            }
        }
        if std::env::var_os(KEEP_VARIABLE).is_some()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("kept {}", folder.keep().display());
        }
    }
}

/// A cluster half started: whatever stops it here shows what the components said.
struct Start<'a> {
    binary: &'a Path,
    folder: &'a Path,
    keep: bool,
    components: Vec<Component>,
}

impl Start<'_> {
    fn run(&mut self, name: &'static str, arguments: &[String]) {
        self.components.push(Component::start(self.binary, name, arguments, self.folder, self.keep));
    }

    fn wait(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + STARTUP;
        while !holds() {
            let ended = self.components.iter_mut().find_map(Component::ended);
            let late = (Instant::now() > deadline).then(|| format!("not within {} s", STARTUP.as_secs()));
            if let Some(why) = ended.or(late) {
                let tails: String = self.components.iter().map(|component| component.tail(30)).collect();
                self.components.iter_mut().for_each(Component::kill);
                panic!("waiting until {what}: {why}\n{tails}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The name of the API server among the components.
const API_SERVER: &str = "kube-apiserver";

/// Etcd and the API server meet at a socket in the folder that both run in: one port less to find, and a relative
/// name is never too long for a socket.
const ETCD: &str = "unix://etcd.sock";

fn etcd_arguments() -> Vec<String> {
    vec!["--data-dir=etcd".into(), format!("--listen-client-urls={ETCD}")]
}

fn apiserver_arguments(address: SocketAddr) -> Vec<String> {
    [
        &format!("--etcd-servers={ETCD}"),
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        &format!("--secure-port={}", address.port()),
        "--permit-port-sharing=true",
        // It refuses loopback as an endpoint of the service `kubernetes`; nobody here uses that service.
        "--endpoint-reconciler-type=none",
        // Self-signed on first start; the kubeconfig names what it writes here as its authority.
        &format!("--cert-dir={}", credentials::CERTIFICATES),
        &format!("--token-auth-file={}", credentials::TOKENS),
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        &format!("--service-account-key-file={}", credentials::ACCOUNT_PUBLIC_KEY),
        &format!("--service-account-signing-key-file={}", credentials::ACCOUNT_KEY),
        "--service-cluster-ip-range=10.0.0.0/16",
        "--allow-privileged=true",
        "--profiling=false",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn controller_manager_arguments() -> Vec<String> {
    [
        &format!("--kubeconfig={}", credentials::KUBECONFIG),
        // The node lifecycle controller would declare the simulated node dead for want of a heartbeat.
        "--controllers=*,-node-lifecycle-controller",
        "--leader-elect=false",
        "--secure-port=0",
        &format!("--root-ca-file={}/apiserver.crt", credentials::CERTIFICATES),
        &format!("--service-account-private-key-file={}", credentials::ACCOUNT_KEY),
        // The defaults protect an API server that serves others too.
        "--kube-api-qps=300",
        "--kube-api-burst=600",
        "--profiling=false",
    ]
    .map(str::to_owned)
    .to_vec()
}

async fn client(kubeconfig: &Path) -> kube::Client {
    try_client(kubeconfig).await.expect("a client from our own kubeconfig")
}

async fn try_client(kubeconfig: &Path) -> Result<kube::Client, Box<dyn std::error::Error>> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

async fn is_ready(kubeconfig: &Path) -> bool {
    // Until the API server has written its certificate there is not even a client.
    let Ok(client) = try_client(kubeconfig).await else { return false };
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else { return false };
    client.request_text(request).await.is_ok_and(|said| said == "ok")
}

async fn has_account(kubeconfig: &Path) -> bool {
    use k8s_openapi::api::core::v1::ServiceAccount;
    let accounts: kube::Api<ServiceAccount> = kube::Api::namespaced(client(kubeconfig).await, "default");
    accounts.get_opt("default").await.is_ok_and(|found| found.is_some())
}
