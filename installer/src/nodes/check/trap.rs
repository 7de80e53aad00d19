//! A place where every upstream host seems to be, for one pull: whoever asks upstream is heard, and gets nothing.
//!
//! The pull runs in a mount namespace with an `/etc/hosts` and an `/etc/resolv.conf` of ours. Upstream names lead to an
//! address of this machine on which we listen; every other name is asked of a name server that is ours as well. So a
//! pull that succeeds cannot have had anything from elsewhere by name, and one that tried is noticed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use consign_format::reference::DOCKER_HUB;
use consign_registry::durable::write_file;

use super::run::{Call, said};
use crate::nodes::Server;

/// Nobody else's: 127.0.0.0/8 is this machine, and services take 127.0.0.1.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 67, 83, 1);
const PAUSE: Duration = Duration::from_millis(20);

/// Binds the two files over those of the machine, in a namespace that ends with the program.
const SCRIPT: &str = "mount --bind \"$1\" /etc/hosts && { [ ! -e /etc/resolv.conf ] || mount --bind \"$2\" /etc/resolv.conf; } \
                      && shift 2 && exec \"$@\"";

/// The trap, until it is dropped.
pub(super) struct Trap {
    files: tempfile::TempDir,
    asked: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Trap {
    /// Sets it for an upstream host. An error says what is missing.
    pub(super) fn set(host: &str, servers: &[Server]) -> Result<Self, String> {
        said("unshare", &["--mount", "--propagation", "private", "true"])
            .ok_or("a mount namespace cannot be had here (it takes root, and unshare of util-linux)")?;
        let files = tempfile::tempdir().map_err(|error| error.to_string())?;
        let put = |name: &str, text: &str| {
            write_file(&files.path().join(name), text.as_bytes(), 0o644).map_err(|error| error.to_string())
        };
        put("hosts", &hosts_file(host, servers))?;
        put("resolv.conf", &format!("nameserver {ADDRESS}\noptions timeout:1 attempts:1\n"))?;
        let mut trap =
            Trap { files, asked: Arc::default(), stop: Arc::new(AtomicBool::new(false)), threads: Vec::new() };
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        for port in [443, 80].into_iter().chain(port) {
            trap.listen(port)?;
        }
        trap.answer_names()?;
        Ok(trap)
    }

    /// The call, inside.
    pub(super) fn around(&self, call: &Call) -> Call {
        let start = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "consign-site"];
        let files = ["hosts", "resolv.conf"].map(|name| self.files.path().join(name).into_os_string());
        let words = start.iter().map(Into::into).chain(files).chain(call.words.iter().cloned());
        Call { words: words.collect(), environment: call.environment.clone() }
    }

    /// What was asked of it so far.
    pub(super) fn asked(&self) -> Vec<String> {
        // A connection is heard by the listener before the one who made it goes on, if not by our thread yet.
        std::thread::sleep(PAUSE * 5);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn listen(&mut self, port: u16) -> Result<(), String> {
        let unusable = |error| format!("cannot listen on {ADDRESS}:{port}: {error}");
        let listener = TcpListener::bind((ADDRESS, port)).map_err(unusable)?;
        listener.set_nonblocking(true).map_err(unusable)?;
        self.watch(move || match listener.accept() {
            Ok(_) => Some(format!("port {port} of an upstream host")),
            Err(_) => None,
        });
        Ok(())
    }

    fn answer_names(&mut self) -> Result<(), String> {
        let unusable = |error| format!("cannot listen on {ADDRESS}:53: {error}");
        let socket = UdpSocket::bind((ADDRESS, 53)).map_err(unusable)?;
        socket.set_nonblocking(true).map_err(unusable)?;
        self.watch(move || {
            let mut packet = [0_u8; 512];
            let (length, from) = socket.recv_from(&mut packet).ok()?;
            let name = name_in(packet.get(12..length)?);
            if let Some(flags) = packet.get_mut(2..4) {
                // An answer, and the answer is that there is no such name (RFC 1035, 4.1.1).
                flags.copy_from_slice(&[0x81, 0x83]);
            }
            let _ = socket.send_to(&packet[..length], from);
            Some(format!("the name {name}"))
        });
        Ok(())
    }

    fn watch(&mut self, hear: impl Fn() -> Option<String> + Send + 'static) {
        let (asked, stop) = (Arc::clone(&self.asked), Arc::clone(&self.stop));
        self.threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match hear() {
                    Some(what) => drop(asked.lock().unwrap_or_else(PoisonError::into_inner).insert(what)),
                    None => std::thread::sleep(PAUSE),
                }
            }
        }));
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The names of servers as they are now; the upstream's names in the trap.
fn hosts_file(host: &str, servers: &[Server]) -> String {
    let mut out = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for server in servers {
        let name = server.host();
        for address in (name, 0).to_socket_addrs().into_iter().flatten() {
            let _ = writeln!(out, "{} {name}", address.ip());
        }
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let hub: &[&str] =
        if name == DOCKER_HUB { &["registry-1.docker.io", "index.docker.io", "auth.docker.io"] } else { &[] };
    for upstream in std::iter::once(&name).chain(hub) {
        let _ = writeln!(out, "{ADDRESS} {upstream}");
    }
    out
}

/// The name in a question: labels, each behind its length.
fn name_in(question: &[u8]) -> String {
    let (mut name, mut rest) = (String::new(), question);
    while let Some((length, more)) = rest.split_first().filter(|(length, _)| **length != 0) {
        let length = usize::from(*length).min(more.len());
        let dot = if name.is_empty() { "" } else { "." };
        name += &format!("{dot}{}", more[..length].escape_ascii());
        rest = &more[length..];
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_names_lead_into_the_trap_and_servers_stay_where_they_are() {
        let servers = ["https://localhost:5000".parse().unwrap(), "https://127.0.0.1:5000".parse().unwrap()];
        let file = hosts_file("docker.io", &servers);
        for line in ["127.0.0.1 localhost", "127.67.83.1 docker.io", "127.67.83.1 registry-1.docker.io"] {
            assert!(file.lines().any(|found| found == line), "{line} in\n{file}");
        }
        assert!(hosts_file("corp.example:5000", &servers).ends_with("127.67.83.1 corp.example\n"));
    }

    #[test]
    fn names_are_read_out_of_questions() {
        assert_eq!(name_in(b"\x04quay\x02io\0\0\x01\0\x01"), "quay.io");
        assert_eq!(name_in(b"\x09quay"), "quay");
        assert_eq!(name_in(b""), "");
    }
}
