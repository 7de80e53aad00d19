//! containerd: a daemon of the test's own, pulling by the names a release has, through hosts.toml.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use consign_tests::skip;

use crate::site::{Site, is_installed, run, write};

/// Bounds a hang; measures nothing.
const STARTUP: Duration = Duration::from_secs(60);

/// A daemon, and the client that speaks to it.
pub(crate) struct Containerd {
    child: Child,
    ctr: PathBuf,
    folder: PathBuf,
}

impl Containerd {
    /// Starts a daemon whose every path lies in a folder; `None`, with what it said, if it can't run here.
    pub(crate) fn start(folder: &Path, containerd: &Path, ctr: &Path) -> Result<Self, String> {
        let at = folder.display();
        let config = format!(
            "version = 2\nroot = \"{at}/root\"\nstate = \"{at}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \
             \"io.containerd.cri.v1.runtime\", \"io.containerd.internal.v1.opt\", \"io.containerd.nri.v1.nri\", \
             \"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.btrfs\", \
             \"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.zfs\"]\n\
             [grpc]\naddress = \"{at}/sock\"\n"
        );
        write(&folder.join("config.toml"), &config);
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(containerd)
            .arg("--config")
            .arg(folder.join("config.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut started = Containerd { child, ctr: ctr.to_owned(), folder: folder.to_owned() };
        let deadline = Instant::now() + STARTUP;
        while !started.ctr().arg("version").output().is_ok_and(|output| output.status.success()) {
            let ended = started.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > deadline {
                let said = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(said.lines().last().unwrap_or("it said nothing").to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(started)
    }

    pub(crate) fn ctr(&self) -> Command {
        let mut command = Command::new(&self.ctr);
        command.arg("--address").arg(self.folder.join("sock")).args(["--namespace", "k8s.io"]);
        command
    }

    /// A pull as the hosts in a folder want it.
    pub(crate) fn pull(&self, hosts: &Path, name: &str) -> Command {
        let mut command = self.ctr();
        command.args(["images", "pull", "--snapshotter", "native"]);
        // Since 1.7 the daemon may pull, by another way to unpack; since 2.0 platforms that no node needs are asked for.
        let help = run(Command::new(&self.ctr).args(["images", "pull", "--help"]));
        let known = |flag: &&str| String::from_utf8_lossy(&help).contains(flag);
        command.args(["--local", "--skip-metadata"].into_iter().filter(known)).arg("--hosts-dir").arg(hosts).arg(name);
        command
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `consign-site nodes write` gives to containerd (field notes §3.1).
pub(crate) fn hosts(folder: &Path, site: &Site) -> PathBuf {
    let at = &site.address;
    let text = format!("server = \"http://{at}\"\n[host.\"http://{at}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
    let hosts = folder.join("certs.d");
    for upstream in ["docker.io", "quay.io"] {
        write(&hosts.join(upstream).join("hosts.toml"), &text);
    }
    hosts
}

#[test]
fn pulls_what_a_release_names_by_tag_and_by_digest() {
    let installed = is_installed("containerd") && is_installed("ctr");
    if !skip::unless(installed, "containerd is not installed", "apt-get install containerd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start();
    let daemon = match Containerd::start(folder.path(), "containerd".as_ref(), "ctr".as_ref()) {
        Ok(daemon) => daemon,
        Err(said) => {
            let _ = skip::unless(false, &format!("containerd cannot run here: {said}"), "run the suite as root");
            return;
        }
    };
    let hosts = hosts(folder.path(), &site);
    let pinned = format!("docker.io/library/x@{}", site.image.digest);
    let sparse = format!("quay.io/team/multi:1@{}", site.index.digest);
    for name in ["docker.io/library/x:1", &pinned, &sparse] {
        run(&mut daemon.pull(&hosts, name));
    }
    let listed = String::from_utf8(run(daemon.ctr().args(["images", "ls"]))).unwrap();
    for (name, digest) in [(&pinned, site.image.digest), (&sparse, site.index.digest)] {
        let line = listed.lines().find(|line| line.starts_with(name.as_str())).unwrap_or_else(|| panic!("{listed}"));
        assert!(line.contains(&digest.to_string()), "{line}");
    }
    let asked = site.asked();
    assert!(asked.iter().all(|(_, _, status)| *status == 200), "{asked:?}");
    let first = ("HEAD".to_owned(), "/v2/library/x/manifests/1?ns=docker.io".to_owned(), 200);
    assert!(asked.contains(&first), "{asked:?}");
    assert!(asked.iter().all(|(_, target, _)| target.contains("?ns=")), "{asked:?}");
}
