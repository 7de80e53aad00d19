//! Two servers, of which one goes away in the middle of a blob.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use consign_tests::images::run;

use crate::containerd::Containerd;
use crate::release::{IMAGES, Ward};

/// The layer that is cut, and how much of it gets through.
const LAYER: usize = 32 << 20;
const CUT: u64 = 4 << 20;

/// Stands before a server and dies, with every connection and its listener, once so many bytes came from it.
struct Dying {
    address: String,
    passed: Arc<AtomicU64>,
    dead: Arc<AtomicBool>,
}

impl Dying {
    fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (passed, dead) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let dying = Dying { address, passed: Arc::clone(&passed), dead: Arc::clone(&dead) };
        let server = server.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if dead.load(Ordering::SeqCst) {
                    // The listener is dropped with this thread: further connections are refused.
                    return;
                }
                let upstream = TcpStream::connect(&server).unwrap();
                let (passed, dead) = (Arc::clone(&passed), Arc::clone(&dead));
                forward(client.try_clone().unwrap(), upstream.try_clone().unwrap(), |_| true);
                forward(upstream, client, move |bytes| {
                    let alive = passed.fetch_add(bytes, Ordering::SeqCst) + bytes <= CUT;
                    dead.fetch_or(!alive, Ordering::SeqCst);
                    alive
                });
            }
        });
        dying
    }
}

/// Copies one way until an end, or until `go_on` says no; then both ends are shut.
fn forward(mut from: TcpStream, mut to: TcpStream, go_on: impl Fn(u64) -> bool + Send + 'static) {
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if !go_on(length as u64) || to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}

/// The pull ends well: what was cut goes on at the other server.
#[test]
fn a_server_that_dies_in_the_middle_of_a_pull_is_replaced_by_the_other() {
    let ward = Ward::with_layer("no two of these are far apart; ", LAYER);
    let other = ward.site.copy();
    let Some(daemon) = Containerd::start(ward.site.root(), None) else { return };
    let (first, second) = (ward.site.serve(), other.serve());
    let dying = Dying::before(first.address());
    let servers = [&dying.address, second.address()].map(|address| format!("http://{address}"));
    let write = ward.site.invoke(["nodes", "write", "--runtime", "containerd"]);
    write.option("--server", &servers[0]).option("--server", &servers[1]).succeeds();
    run(&mut daemon.pull(IMAGES[0]));
    assert!(dying.dead.load(Ordering::SeqCst), "the first server was not cut: the test shows nothing");
    assert!(dying.passed.load(Ordering::SeqCst) > CUT, "nothing came of the first server");
    assert_eq!(daemon.digest(IMAGES[0]), ward.digests[0].to_string());
    // And with the first one gone for good.
    drop(first);
    run(&mut daemon.pull(IMAGES[1]));
    assert_eq!(daemon.digest(IMAGES[1]), ward.digests[1].to_string());
}
