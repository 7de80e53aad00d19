//! A world of its own: a network namespace with loopback and no route, in which every upstream name leads to an address
//! where nobody listens, and every other name to a name server that is not there.
//!
//! The kernel keeps the log: a connection that was refused counts as `AttemptFails`, a name that was asked for as a
//! datagram sent (`OutDatagrams`), both per namespace and whoever it was.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use consign_tests::images::run;
use consign_tests::site::{Served, Site};
use consign_tests::skip;

use crate::release::HOSTS;

/// Where upstream names lead.
const NOBODY: &str = "127.9.9.9";

/// The namespace, kept by a process that sleeps in it.
pub(crate) struct World {
    keeper: Child,
    _files: tempfile::TempDir,
}

impl World {
    /// `None`, after saying so, where namespaces cannot be made. `containers` takes the place of `/etc/containers`.
    pub(crate) fn new(containers: Option<&Path>) -> Option<Self> {
        let mut possible = Command::new("unshare");
        possible.args(["--net", "--mount", "ip", "link", "set", "lo", "up"]);
        let possible = possible.status().is_ok_and(|status| status.success());
        if !skip::unless(possible, "no network namespace can be made", "run as root, with iproute2 installed") {
            return None;
        }
        let files = tempfile::tempdir().unwrap();
        let mut hosts = "127.0.0.1 localhost\n".to_owned();
        for host in HOSTS.iter().copied().chain(["registry-1.docker.io", "index.docker.io", "auth.docker.io"]) {
            hosts += &format!("{NOBODY} {}\n", host.split(':').next().unwrap());
        }
        std::fs::write(files.path().join("hosts"), hosts).unwrap();
        std::fs::write(files.path().join("resolv.conf"), format!("nameserver {NOBODY}\n")).unwrap();
        let mut script = "ip link set lo up && mount --bind \"$0/hosts\" /etc/hosts && \
                          mount --bind \"$0/resolv.conf\" /etc/resolv.conf"
            .to_owned();
        if containers.is_some() {
            script += " && mount --bind \"$1\" /etc/containers";
        }
        script += " && echo ready && exec sleep 3600";
        let mut keeper = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "sh", "-c", &script])
            .arg(files.path())
            .args(containers)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "the namespace was not made");
        Some(World { keeper, _files: files })
    }

    /// What stands before a command so that it runs inside.
    pub(crate) fn entry(&self) -> [OsString; 3] {
        let at = |name: &str| format!("/proc/{}/ns/{name}", self.keeper.id());
        ["nsenter".into(), format!("--net={}", at("net")).into(), format!("--mount={}", at("mnt")).into()]
    }

    /// A command that runs inside.
    pub(crate) fn command(&self, program: impl Into<OsString>) -> Command {
        let [enter, net, mount] = self.entry();
        let mut command = Command::new(enter);
        command.arg(net).arg(mount).arg(program.into());
        command
    }

    /// Whether there is a way out: not even the default route.
    pub(crate) fn has_no_route(&self) -> bool {
        run(self.command("ip").args(["route", "show", "table", "main"])).trim().is_empty()
    }

    /// How often somebody tried upstream: connections refused, and datagrams to name servers.
    pub(crate) fn attempts(&self) -> u64 {
        let counters = run(self.command("cat").arg("/proc/net/snmp"));
        counter(&counters, "Tcp:", "AttemptFails") + counter(&counters, "Udp:", "OutDatagrams")
    }

    /// The registry of a site, inside, with its access log.
    pub(crate) fn serve(&self, site: &Site) -> Served {
        let serve = ["serve", "--json", "--plain-http", "--access-log", "--listen", "127.0.0.1:0"];
        Served::start(&site.invoke(serve).under(self.entry()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn counter(table: &str, protocol: &str, name: &str) -> u64 {
    let mut lines = table.lines().filter(|line| line.starts_with(protocol));
    let names: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let values: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let at = names.iter().position(|found| *found == name).unwrap();
    values[at].parse().unwrap()
}

/// What a command printed and said, for a message.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
