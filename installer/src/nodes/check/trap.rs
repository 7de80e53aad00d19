//! A place where no name is known but those of the site's servers, for one pull: whoever asks for another is heard.
//!
//! The pull runs in a mount namespace with an `/etc/hosts`, an `/etc/resolv.conf` and an `/etc/nsswitch.conf` of ours.
//! The servers' names are in the first, all others are asked of a name server that is ours as well: it notes them and
//! says that they do not exist. So a pull that succeeds cannot have had anything from elsewhere by name, and one that
//! tried is noticed. No port but that of names is needed, for a node's others may be taken.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use consign_registry::durable::write_file;

use super::run::{Call, said};
use crate::nodes::Server;

/// Nobody else's: 127.0.0.0/8 is this machine, and services take 127.0.0.1.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 67, 83, 1);
const PAUSE: Duration = Duration::from_millis(20);

/// The files, each with what is in it but for names.
const FILES: [(&str, &str); 3] = [
    ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("resolv.conf", "nameserver 127.67.83.1\noptions timeout:1 attempts:1\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];

/// Binds the files over those of the machine, in a namespace that ends with the program. One that the machine has not
/// needs no hiding.
const SCRIPT: &str = "for name in hosts resolv.conf nsswitch.conf; do \
                      [ ! -e /etc/$name ] || mount --bind \"$1/$name\" /etc/$name || exit 1; done; \
                      shift && exec \"$@\"";

/// The trap, until it is dropped.
pub(super) struct Trap {
    files: tempfile::TempDir,
    asked: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Trap {
    /// Sets it. An error says what is missing.
    pub(super) fn set(servers: &[Server]) -> Result<Self, String> {
        said("unshare", &["--mount", "--propagation", "private", "true"])
            .ok_or("a mount namespace cannot be had here (it takes root, and unshare of util-linux)")?;
        let files = tempfile::tempdir().map_err(|error| error.to_string())?;
        for (name, text) in FILES {
            let text = if name == "hosts" { format!("{text}{}", names(servers)) } else { text.to_owned() };
            write_file(&files.path().join(name), text.as_bytes(), 0o644).map_err(|error| error.to_string())?;
        }
        let mut trap = Trap { files, asked: Arc::default(), stop: Arc::new(AtomicBool::new(false)), thread: None };
        trap.answer_names()?;
        Ok(trap)
    }

    /// The call, inside.
    pub(super) fn around(&self, call: &Call) -> Call {
        let start = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "consign-site"];
        let files = self.files.path().as_os_str().to_owned();
        let words = start.iter().map(Into::into).chain([files]).chain(call.words.iter().cloned());
        Call { words: words.collect(), environment: call.environment.clone() }
    }

    /// The names that were asked for so far. Each is noted before it is answered, so none of a pull that has ended is
    /// missing, if the one who asked waited for the answer.
    pub(super) fn asked(&self) -> Vec<String> {
        std::thread::sleep(PAUSE * 5);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn answer_names(&mut self) -> Result<(), String> {
        let unusable = |error| format!("cannot listen on {ADDRESS}:53: {error}");
        let socket = UdpSocket::bind((ADDRESS, 53)).map_err(unusable)?;
        socket.set_read_timeout(Some(PAUSE)).map_err(unusable)?;
        let (asked, stop) = (Arc::clone(&self.asked), Arc::clone(&self.stop));
        self.thread = Some(std::thread::spawn(move || {
            let mut packet = [0_u8; 512];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length @ 12.., from)) = socket.recv_from(&mut packet) else { continue };
                asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name_in(&packet[12..length]));
                // An answer, and the answer is that there is no such name (RFC 1035, 4.1.1).
                packet[2..4].copy_from_slice(&[0x81, 0x83]);
                let _ = socket.send_to(&packet[..length], from);
            }
        }));
        Ok(())
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The names of servers, as they are now.
fn names(servers: &[Server]) -> String {
    let mut out = String::new();
    for server in servers {
        let name = server.host();
        for address in (name, 0).to_socket_addrs().into_iter().flatten() {
            let _ = writeln!(out, "{} {name}", address.ip());
        }
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
    fn servers_stay_where_they_are_and_the_name_server_is_ours() {
        let servers = ["https://localhost:5000".parse().unwrap(), "https://absent.invalid:5000".parse().unwrap()];
        assert!(names(&servers).lines().any(|line| line == "127.0.0.1 localhost"), "{}", names(&servers));
        assert!(!names(&servers).contains("absent"));
        assert!(FILES[1].1.contains(&format!("nameserver {ADDRESS}\n")));
    }

    #[test]
    fn names_are_read_out_of_questions() {
        assert_eq!(name_in(b"\x04quay\x02io\0\0\x01\0\x01"), "quay.io");
        assert_eq!(name_in(b"\x09quay"), "quay");
        assert_eq!(name_in(b""), "");
    }
}
