//! A proxy in front of a real registry that meddles on demand: refuses, drops, cuts, lies. Left alone, it passes on.
//!
//! One connection is one request. Everything that was asked is on record, so that a test can say what was not.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request, as far as a rule looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The length of its body.
    pub length: usize,
    /// What it asks to go on from, of an upload: `Content-Range`.
    pub range: Option<String>,
    /// How many requests of this method and path came before.
    pub before: usize,
}

/// What becomes of a request.
pub enum Fate {
    /// It is passed on, and so is the answer.
    Pass,
    /// It is not passed on; this is the status, and these are the headers of the answer.
    Answer(u16, &'static str),
    /// The connection ends, and nobody hears of it.
    Drop,
    /// It is not passed on, and nothing is answered until who asked has given up.
    Silence,
    /// So many bytes of the body are passed on; then both connections end.
    CutBody(usize),
    /// It is passed on, and the answer is lost.
    LoseAnswer,
    /// It is passed on, and the body of the answer is changed.
    Change(fn(Vec<u8>) -> Vec<u8>),
}

type Rule = Box<dyn Fn(&Asked) -> Fate + Send + Sync>;

struct Shared {
    to: SocketAddr,
    rule: Rule,
    asked: Mutex<Vec<Asked>>,
}

/// The proxy. It lives as long as the test's process.
pub struct Meddler {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Meddler {
    /// Stands in front of `to`, which is `127.0.0.1:PORT`.
    pub fn before(to: &str, rule: impl Fn(&Asked) -> Fate + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the address just bound");
        let to = to.parse().expect("an address");
        let shared = Arc::new(Shared { to, rule: Box::new(rule), asked: Mutex::default() });
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&ours);
                std::thread::spawn(move || {
                    // A connection that breaks is what this is for.
                    let _ = meddle(client, &shared);
                });
            }
        });
        Self { address, shared }
    }

    /// One that changes nothing.
    pub fn idle(to: &str) -> Self {
        Self::before(to, |_| Fate::Pass)
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Everything that was asked so far, the question for the version apart.
    pub fn asked(&self) -> Vec<Asked> {
        let all = self.shared.asked.lock().expect("no rule panicked");
        all.iter().filter(|asked| asked.target != "/v2/").cloned().collect()
    }
}

fn meddle(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let head = read_head(&mut client)?;
    let asked = record(&head, shared);
    match (shared.rule)(&asked) {
        Fate::Answer(status, headers) => {
            // All of it is read first: an answer to somebody who still writes is lost with the connection.
            std::io::copy(&mut (&client).take(asked.length as u64), &mut std::io::sink())?;
            write!(client, "HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Fate::Drop => client.shutdown(Shutdown::Both),
        Fate::Silence => std::io::copy(&mut client, &mut std::io::sink()).map(drop),
        Fate::CutBody(bytes) => {
            let mut upstream = forward(&head, shared)?;
            std::io::copy(&mut (&client).take(bytes as u64), &mut upstream)?;
            upstream.shutdown(Shutdown::Write)?;
            // The registry has put away what it got before anybody can ask for it.
            std::io::copy(&mut upstream, &mut std::io::sink())?;
            client.shutdown(Shutdown::Both)
        }
        fate => {
            let mut upstream = forward(&head, shared)?;
            std::io::copy(&mut (&client).take(asked.length as u64), &mut upstream)?;
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer)?;
            match fate {
                Fate::LoseAnswer => return client.shutdown(Shutdown::Both),
                Fate::Change(change) => answer = changed(&answer, change),
                _ => {}
            }
            client.write_all(&answer)
        }
    }
}

fn read_head(client: &mut TcpStream) -> std::io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn record(head: &str, shared: &Shared) -> Asked {
    let mut first = head.split(' ');
    let (method, target) = (first.next().unwrap_or("").to_owned(), first.next().unwrap_or("").to_owned());
    let header = |name: &str| {
        let found =
            head.split("\r\n").filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut all = shared.asked.lock().expect("no rule panicked");
    let path = |target: &str| target.split('?').next().unwrap_or("").to_owned();
    let before = all.iter().filter(|a| a.method == method && path(&a.target) == path(&target)).count();
    let asked = Asked { method, target, length, range: header("content-range"), before };
    all.push(asked.clone());
    asked
}

/// Hands the head to the registry, and asks it for no second request on the same connection.
fn forward(head: &str, shared: &Shared) -> std::io::Result<TcpStream> {
    let mut upstream = TcpStream::connect(shared.to)?;
    upstream.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
    Ok(upstream)
}

/// The answer with another body, and a length that fits it.
fn changed(answer: &[u8], change: fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let body = change(answer[end..].to_vec());
    let head = String::from_utf8_lossy(&answer[..end]);
    let kept = head.split("\r\n").filter(|line| !line.is_empty() && !line.to_lowercase().starts_with("content-length"));
    let head = kept.fold(String::new(), |head, line| head + line + "\r\n");
    [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()
}
