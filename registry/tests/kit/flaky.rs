//! A proxy in front of a registry that fails on demand: statuses, bodies that are cut, ranges passed over.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Plan {
    asked: Vec<String>,
    fail: (u32, u16),
    cut_after: Option<usize>,
    ranges: bool,
    /// Whose manifest has its first byte changed on the way.
    changed: Option<String>,
}

pub struct Flaky {
    pub address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
}

impl Flaky {
    pub fn new(to: SocketAddr, ranges: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Mutex::new(Plan { ranges, ..Plan::default() }));
        let shared = Arc::clone(&plan);
        // Lives as long as the test's process; a connection is one request.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || pass(stream, to, &shared));
            }
        });
        Flaky { address, plan }
    }

    /// The heads of the requests for manifests and blobs so far.
    pub fn asked(&self) -> Vec<String> {
        self.plan.lock().unwrap().asked.clone()
    }

    pub fn fail_next(&self, times: u32, status: u16) {
        self.plan.lock().unwrap().fail = (times, status);
    }

    /// The manifest of this digest comes with another first byte.
    pub fn change_manifest(&self, digest: &str) {
        self.plan.lock().unwrap().changed = Some(digest.to_owned());
    }

    /// The first body is cut after so many bytes, and each one after it; without ranges, each comes a bit further.
    pub fn cut_bodies_after(&self, bytes: usize) {
        self.plan.lock().unwrap().cut_after = Some(bytes);
    }
}

fn pass(mut client: TcpStream, to: SocketAddr, plan: &Mutex<Plan>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let mut head = String::from_utf8(head).unwrap();
    let is_probe = head.starts_with("GET /v2/ ");
    let (fails, status, cut, changes) = {
        let mut plan = plan.lock().unwrap();
        let fails = plan.fail.0 > 0 && !is_probe;
        if !is_probe {
            plan.asked.push(head.clone());
        }
        if fails {
            plan.fail.0 -= 1;
        }
        if !plan.ranges {
            let kept: Vec<_> = head.split("\r\n").filter(|line| !line.to_lowercase().starts_with("range:")).collect();
            head = kept.join("\r\n");
        }
        let tries = plan.asked.len().max(1);
        let cut = plan.cut_after.map(|after| if plan.ranges { after } else { after * tries });
        let manifest = plan.changed.as_ref().map(|digest| format!("/manifests/{digest}"));
        (fails, plan.fail.1, cut, manifest.is_some_and(|manifest| head.contains(&manifest)))
    };
    if fails {
        let _ = write!(client, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    let mut upstream = TcpStream::connect(to).unwrap();
    let closing = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    upstream.write_all(closing.as_bytes()).unwrap();
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    if let Some(cut) = cut.filter(|_| head.contains("/blobs/")) {
        answer.truncate(body + cut);
    }
    if let Some(first) = answer.get_mut(body).filter(|_| changes) {
        *first ^= 1;
    }
    let _ = client.write_all(&answer);
}
