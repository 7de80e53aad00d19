//! HTTP as far as a repository on this machine needs it: one GET, one answer, one connection.

use std::io::{Read, Write};
use std::net::TcpStream;

/// The most that is read of any answer.
const LIMIT: u64 = 64 << 20;

/// Fetches a file; nothing if the repository has none of this name.
///
/// # Errors
/// In words, where there is no answer, or one that says neither.
pub(super) fn get(base: &str, name: &str) -> Result<Option<Vec<u8>>, String> {
    let url = format!("{}/{}", base.trim_end_matches('/'), escaped(name));
    let rest = url.strip_prefix("http://").ok_or("only http:// is spoken here")?;
    let (host, path) = rest.split_once('/').ok_or("no path in the address")?;
    let io = |error: std::io::Error| format!("{url}: {error}");
    let mut stream = TcpStream::connect(host).map_err(io)?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").map_err(io)?;
    let mut answer = Vec::new();
    stream.take(LIMIT).read_to_end(&mut answer).map_err(io)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or("no end of the answer's head")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    match head.split(' ').nth(1) {
        Some("200") => Ok(Some(answer.split_off(end + 4))),
        Some("403" | "404") => Ok(None),
        other => Err(format!("{url}: status {other:?}")),
    }
}

/// Percent-encoding (RFC 3986 §2.1) of all but unreserved characters and slashes.
pub(super) fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
