//! Clients that mean harm or have gone mad: what they may take, and that the others are served meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and writes what may be lost"
)]

mod kit;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use consign_format::{Digest, media_type};
use consign_registry::serve::ServeOptions;
use kit::{Known, Served, image, noise, put, put_json};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

/// Larger than all buffers between a server and a client that reads nothing.
const LARGE: usize = 48 * 1024 * 1024;
const SLOW: usize = 1000;
/// Bounds a hang, measures nothing.
const LONG: Duration = Duration::from_secs(120);

/// A registry with one image whose layer is [`LARGE`]; the layer's path and digest.
fn served(options: ServeOptions) -> (Known, Served, String, Digest) {
    let (known, mut shelf) = Known::new();
    let layer = put(&known.blobs, media_type::OCI_LAYER_TAR, &noise(7, LARGE));
    let config = image(&known.blobs, 900, &"linux/amd64".parse().unwrap()).config;
    let manifest = put_json(
        &known.blobs,
        media_type::OCI_MANIFEST,
        &json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [layer]}),
    );
    shelf.put("docker.io", "library/large", Some("1"), &manifest).unwrap();
    (known, Served::new(shelf, options), format!("/v2/large/blobs/{}", layer.digest), layer.digest)
}

fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_that_read_a_byte_a_second_are_cut_and_cost_no_memory() {
    let limits = getrlimit(Resource::Nofile);
    let files = Rlimit { current: limits.maximum, ..limits };
    setrlimit(Resource::Nofile, files).unwrap();
    let options = ServeOptions {
        connections: SLOW + 64,
        connections_per_address: SLOW + 64,
        pace_window: Duration::from_secs(3),
        ..ServeOptions::default()
    };
    let (_known, mut served, path, digest) = served(options);
    // Bring the threads and buffers of an ordinary answer into being first.
    assert_eq!(Digest::of(&served.get(&path).body), digest);
    let before = resident_kib();
    let mut slow: Vec<TcpStream> = (0..SLOW).map(|_| ask(served.address, &path)).collect();
    let since = Instant::now();
    let mut left = slow.len();
    while left > 0 && since.elapsed() < LONG {
        // One byte each, as slowly as a second lets; what is cut says so once its buffer is read to the end.
        slow.retain_mut(|stream| {
            stream.set_nonblocking(true).unwrap();
            let mut byte = [0];
            !matches!(stream.read(&mut byte), Ok(0) | Err(_))
                || stream.read(&mut byte).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        });
        if slow.len() == left {
            let metrics = String::from_utf8(served.get("/metrics").body).unwrap();
            let open = metrics.lines().find_map(|line| line.strip_prefix("consign_registry_connections ")).unwrap();
            left = open.parse::<usize>().unwrap() - 1;
        } else {
            left = slow.len();
        }
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(served.get("/v2/app/manifests/1").status, 200, "the others are served");
    }
    assert_eq!(left, 0, "some hold their places still");
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 96 * 1024, "{grown} KiB for {SLOW} connections");
    drop(slow);
    served.stop();
}

#[test]
fn one_address_leaves_places_for_the_others() {
    let (_known, served, path, _) = served(ServeOptions { connections_per_address: 3, ..ServeOptions::default() });
    let held: Vec<TcpStream> = (0..3).map(|_| ask(served.address, &path)).collect();
    let mut first = [0; 12];
    for mut stream in &held {
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    let mut answer = String::new();
    TcpStream::connect(served.address).unwrap().read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"), "{answer}");
    // Another address of this machine.
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &"127.0.0.2:0".parse::<SocketAddr>().unwrap()).unwrap();
    rustix::net::connect(&socket, &served.address).unwrap();
    let mut other = TcpStream::from(socket);
    other.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    answer.clear();
    other.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(held);
}

/// Sends bytes and reads until the server ends; the status lines.
fn statuses(served: &Served, bytes: &[u8]) -> Vec<String> {
    let mut stream = TcpStream::connect(served.address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // The server may end while this is still writing: that is the point.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].to_owned()).collect()
}

#[test]
fn heads_that_are_bombs_are_refused() {
    let (_known, served, _, _) =
        served(ServeOptions { head_timeout: Duration::from_secs(2), ..ServeOptions::default() });
    let get = "GET /v2/ HTTP/1.1\r\nHost: x\r\n";
    for (bytes, status) in [
        (format!("{get}{}\r\n", "a: b\r\n".repeat(1000)), vec!["431"]),
        (format!("{get}a: {}", "b".repeat(1 << 20)), vec!["431"]),
        (format!("GET /{} HTTP/1.1\r\n", "a/".repeat(1 << 19)), vec!["431"]),
        ("\r\n".repeat(1 << 19), vec!["431"]),
        (format!("{get}a\0b: c\r\n\r\n"), vec!["400"]),
        (format!("{get} folded\r\n\r\n"), vec!["400"]),
        ("GET /v2/ HTTP/1.1\r\n\r\n".to_owned(), vec!["400"]),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), vec!["505"]),
        ("\u{16}\u{3}\u{1}".to_owned(), vec!["400"]),
        (get.to_owned(), vec![]),
    ] {
        assert_eq!(statuses(&served, bytes.as_bytes()), status, "{:?}", &bytes[..bytes.len().min(60)]);
        assert_eq!(served.get("/v2/").status, 200);
    }
}

#[test]
fn what_follows_a_request_is_never_taken_for_another() {
    let (_known, served, _, _) = served(ServeOptions::default());
    let get = "GET /v2/ HTTP/1.1\r\nHost: x\r\n";
    let inner = "GET /v2/app/manifests/1 HTTP/1.1\r\nHost: x\r\n\r\n";
    for (bytes, expected) in [
        (format!("{get}\r\n{get}\r\n{get}Connection: close\r\n\r\n"), vec!["200", "200", "200"]),
        (format!("{get}Content-Length: {}\r\n\r\n{inner}", inner.len()), vec!["200"]),
        (format!("{get}Content-Length: 0\r\nContent-Length: {}\r\n\r\n{inner}", inner.len()), vec!["200"]),
        (format!("{get}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"), vec!["200"]),
        (
            format!(
                "POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{inner}",
                inner.len()
            ),
            vec!["405"],
        ),
        (
            format!(
                "PUT /v2/app/manifests/2 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n{inner}"
            ),
            vec!["405"],
        ),
        (format!("GET /v2/ HTTP/1.0\r\n\r\n{inner}"), vec!["200"]),
    ] {
        assert_eq!(statuses(&served, bytes.as_bytes()), expected, "{bytes}");
    }
}

#[test]
fn an_upload_of_any_length_gets_to_read_its_refusal() {
    let (_known, served, _, _) = served(ServeOptions::default());
    let mut bytes = b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n".to_vec();
    bytes.extend(noise(3, 200_000));
    assert_eq!(statuses(&served, &bytes), ["405"]);
}
