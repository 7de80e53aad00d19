//! containerd, through the hosts.toml that `nodes write` gave it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use consign_tests::images::run;
use consign_tests::skip;
use consign_tests::tools::Tool;

use crate::release::Ward;
use crate::world::{World, said};

/// Bounds a hang; measures nothing.
const STARTUP: Duration = Duration::from_secs(60);

/// The configuration of a daemon below `root`, from which the plugin of Kubernetes knows its registries.
pub(crate) fn config(root: &Path) -> String {
    let at = root.display();
    format!(
        "version = 2\nroot = \"{at}/containerd/root\"\nstate = \"{at}/containerd/state\"\n\
         disabled_plugins = [\"io.containerd.internal.v1.opt\", \"io.containerd.snapshotter.v1.aufs\", \
         \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.devmapper\", \
         \"io.containerd.snapshotter.v1.zfs\"]\n[grpc]\naddress = \"{at}/run/containerd/containerd.sock\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"{at}/etc/containerd/certs.d\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n"
    )
}

/// containerd, with all it has below a site's root folder.
pub(crate) struct Containerd<'a> {
    child: Child,
    root: &'a Path,
    entry: Vec<std::ffi::OsString>,
}

impl<'a> Containerd<'a> {
    /// Starts it, in a world or outside; `None`, after saying so, where it cannot run.
    pub(crate) fn start(root: &'a Path, world: Option<&World>) -> Option<Self> {
        let installed = ["containerd", "ctr"].iter().all(|name| Command::new(name).arg("--version").output().is_ok());
        if !skip::unless(installed, "containerd is not installed", "apt-get install containerd") {
            return None;
        }
        let entry: Vec<_> = world.map(|world| world.entry().to_vec()).unwrap_or_default();
        std::fs::create_dir_all(root.join("etc/containerd")).unwrap();
        std::fs::create_dir_all(root.join("run/containerd")).unwrap();
        std::fs::write(root.join("etc/containerd/config.toml"), config(root)).unwrap();
        let log = std::fs::File::create(root.join("containerd.log")).unwrap();
        let mut command = command(&entry, "containerd");
        command.arg("--config").arg(root.join("etc/containerd/config.toml")).stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut started = Containerd { child, root, entry };
        let answers = started.wait();
        skip::unless(answers, "containerd cannot run here", "run the suite as root").then_some(started)
    }

    fn wait(&mut self) -> bool {
        let deadline = Instant::now() + STARTUP;
        while !self.ctr().arg("version").output().is_ok_and(|output| output.status.success()) {
            let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    pub(crate) fn ctr(&self) -> Command {
        let mut command = command(&self.entry, "ctr");
        command.arg("--address").arg(self.root.join("run/containerd/containerd.sock"));
        command.args(["--namespace", "k8s.io"]);
        command
    }

    /// A pull as the site's settings want it.
    pub(crate) fn pull(&self, name: &str) -> Command {
        let mut command = self.ctr();
        command.args(["images", "pull", "--snapshotter", "native"]);
        // Since 1.7 the daemon may pull, by another way to unpack; since 2.0 platforms that no node needs are asked for.
        let help = run(Command::new("ctr").args(["images", "pull", "--help"]));
        command.args(["--local", "--skip-metadata"].into_iter().filter(|flag| help.contains(flag))).arg("--hosts-dir");
        command.arg(self.root.join("etc/containerd/certs.d")).arg(name);
        command
    }

    /// A pull as the kubelet makes it: through the plugin of Kubernetes.
    pub(crate) fn kubernetes_pull(&self, name: &str) -> Command {
        let socket = format!("unix://{}", self.root.join("run/containerd/containerd.sock").display());
        let program = Tool::Crictl.path().unwrap();
        let mut command = command(&self.entry, program);
        command.args(["--runtime-endpoint", &socket, "--image-endpoint", &socket, "pull", name]);
        command
    }

    /// The digest that an image has there.
    pub(crate) fn digest(&self, name: &str) -> String {
        let listed = run(self.ctr().args(["images", "ls", &format!("name=={name}")]));
        let words = listed.split_whitespace().find(|word| word.starts_with("sha256:"));
        words.unwrap_or_else(|| panic!("{name} is not there: {listed}")).to_owned()
    }
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(entry: &[std::ffi::OsString], program: impl AsRef<std::ffi::OsStr>) -> Command {
    match entry.split_first() {
        None => Command::new(program),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program.as_ref());
            command
        }
    }
}

/// Every image of the release, by tag and by digest, with nothing but the site's registry in the world; the same path
/// under two hosts is two things.
#[test]
fn every_image_of_a_release_comes_from_the_site_and_nothing_asks_upstream() {
    let ward = Ward::new();
    let Some(world) = World::new(None) else { return };
    assert!(world.has_no_route());
    let registry = world.serve(&ward.site);
    let Some(daemon) = Containerd::start(ward.site.root(), Some(&world)) else { return };
    let server = format!("http://{}", registry.address());
    ward.site.invoke(["nodes", "write", "--runtime", "containerd", "--server", &server]).succeeds();
    let references = ward.references();
    for name in &references {
        run(&mut daemon.pull(name));
    }
    let digests: Vec<String> = ward.digests.iter().map(ToString::to_string).collect();
    let found: Vec<String> = references.iter().map(|name| daemon.digest(name)).collect();
    assert_eq!(found, [digests.clone(), digests.clone()].concat());
    assert_ne!(digests[1], digests[2], "one path under two hosts");
    let asked = registry.asked();
    assert!(asked.iter().all(|(target, status)| *status == 200 && target.contains("?ns=")), "{asked:?}");
    for host in crate::release::HOSTS {
        let by_host = format!("?ns={}", host.replace(':', "%3A"));
        assert!(asked.iter().any(|(target, _)| target.contains(&by_host)), "{by_host}: {asked:?}");
    }
    assert_eq!(world.attempts(), 0, "somebody asked upstream");
    // The log can see: without the files the same pull goes upstream.
    ward.site.invoke(["nodes", "remove"]).succeeds();
    let lost = daemon.pull("docker.io/library/other:1").output().unwrap();
    assert!(!lost.status.success() && world.attempts() > 0, "{}", said(&lost));
}

/// What the site has not is "not found", at once and by the site; nobody is asked after it.
#[test]
fn what_the_site_has_not_is_not_looked_for_upstream() {
    let ward = Ward::new();
    let Some(world) = World::new(None) else { return };
    let registry = world.serve(&ward.site);
    let Some(daemon) = Containerd::start(ward.site.root(), Some(&world)) else { return };
    let server = format!("http://{}", registry.address());
    ward.site.invoke(["nodes", "write", "--runtime", "containerd", "--server", &server]).succeeds();
    for name in ["docker.io/library/absent:1", "never.example/of:it"] {
        let lost = daemon.pull(name).output().unwrap();
        assert!(!lost.status.success() && said(&lost).contains("not found"), "{}", said(&lost));
    }
    assert_eq!(world.attempts(), 0, "somebody asked upstream");
    assert!(registry.asked().iter().any(|(target, status)| target.contains("ns=never.example") && *status == 404));
}

/// The same by the plugin of Kubernetes, which is told of hosts.toml by `config_path` alone.
#[test]
fn kubernetes_own_way_in_comes_from_the_site_and_nothing_asks_upstream() {
    let crictl = Tool::Crictl.get();
    let why = crictl.as_ref().err().map(ToString::to_string).unwrap_or_default();
    if !skip::unless(crictl.is_ok(), &why, "install Go, which builds it once") {
        return;
    }
    let ward = Ward::new();
    let Some(world) = World::new(None) else { return };
    let registry = world.serve(&ward.site);
    let Some(daemon) = Containerd::start(ward.site.root(), Some(&world)) else { return };
    let server = format!("http://{}", registry.address());
    ward.site.invoke(["nodes", "write", "--runtime", "containerd", "--server", &server]).succeeds();
    for name in ward.references() {
        run(&mut daemon.kubernetes_pull(&name));
    }
    let lost = daemon.kubernetes_pull("docker.io/library/absent:1").output().unwrap();
    assert!(!lost.status.success() && said(&lost).contains("not found"), "{}", said(&lost));
    assert_eq!(world.attempts(), 0, "somebody asked upstream");
    ward.site.invoke(["nodes", "remove"]).succeeds();
    let lost = daemon.kubernetes_pull("docker.io/library/other:1").output().unwrap();
    assert!(!lost.status.success() && world.attempts() > 0, "{}", said(&lost));
}

/// `nodes check` by ctr: proven while the registry is there, failed when the runtime would go elsewhere.
#[test]
fn the_check_proves_a_pull_and_that_nothing_asks_upstream() {
    let ward = Ward::new();
    let Some(world) = World::new(None) else { return };
    let registry = world.serve(&ward.site);
    let Some(_daemon) = Containerd::start(ward.site.root(), Some(&world)) else { return };
    let server = format!("http://{}", registry.address());
    ward.site.invoke(["nodes", "write", "--runtime", "containerd", "--server", &server]).succeeds();
    let check = || {
        let check = ward.site.invoke(["nodes", "check", "--runtime", "containerd", "--json"]);
        check.under(world.entry()).env("CONTAINERD_SNAPSHOTTER", "native")
    };
    let said = check().succeeds().json();
    let verdicts: Vec<(&str, &str)> = said["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|proof| (proof["what"].as_str().unwrap(), proof["verdict"].as_str().unwrap()))
        .collect();
    let pulled = verdicts.iter().filter(|(what, verdict)| what.starts_with("ctr pulls") && *verdict == "proven");
    assert_eq!(pulled.count(), 2, "{said:#}");
    assert!(verdicts.contains(&("nothing asks upstream", "proven")), "{said:#}");
    assert_eq!(said["failed"], 0, "{said:#}");
    let kubernetes = verdicts.iter().any(|(what, _)| what.starts_with("crictl pulls"));
    assert!(kubernetes || verdicts.contains(&("a pull as Kubernetes makes it", "not-proven")), "{said:#}");
    // Somebody takes the upstream's file for his own: the pull is led into the trap.
    let hosts = ward.site.root().join("etc/containerd/certs.d");
    let canary = said["canary"].as_str().unwrap();
    let host = canary.split('/').next().unwrap();
    let folder = hosts.join(host.rsplit_once(':').map_or(host.to_owned(), |(name, port)| format!("{name}_{port}_")));
    std::fs::write(folder.join("hosts.toml"), format!("server = \"https://{host}\"\n")).unwrap();
    let led = check().exits(20).json();
    let upstream = led["checks"].as_array().unwrap().iter().find(|proof| proof["what"] == "nothing asks upstream");
    assert_eq!(upstream.unwrap()["verdict"], "failed", "{led:#}");
    drop(registry);
    let gone = check().exits(20);
    gone.says("answers and is trusted");
}

/// containerd itself reads the file that points it at its hosts, where such a file is written; and it shows why none is
/// written elsewhere: in 1.x it would take the place of all that is said of the plugin.
#[test]
fn containerd_takes_the_file_that_points_it_there() {
    let installed = Command::new("containerd").arg("--version").output().is_ok();
    if !skip::unless(installed, "containerd is not installed", "apt-get install containerd") {
        return;
    }
    let site = consign_tests::site::Site::bare();
    let root = site.root();
    let config = root.join("etc/containerd/config.toml");
    std::fs::create_dir_all(root.join("etc/containerd/conf.d")).unwrap();
    let imports = format!("version = 2\nimports = [\"{}/etc/containerd/conf.d/*.toml\"]\n", root.display());
    std::fs::write(&config, &imports).unwrap();
    let write = ["nodes", "write", "--runtime", "containerd", "--server", "https://registry.site:5000"];
    site.invoke(write).succeeds().says("systemctl restart containerd");
    let dumped = || run(Command::new("containerd").arg("--config").arg(&config).args(["config", "dump"]));
    let folder = root.join("etc/containerd/certs.d").display().to_string();
    assert!(dumped().contains(&folder), "containerd does not look into {folder}");
    // Somebody says more of the plugin: now the file is in the way, and goes.
    let pause = "[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"site/pause:9\"\n";
    std::fs::write(&config, imports + pause).unwrap();
    let said = site.invoke(write).succeeds();
    said.says("removed").says("put these lines into");
    assert!(dumped().contains("site/pause:9"), "what is said of the plugin is lost");
}
