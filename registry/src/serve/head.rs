//! The heads of HTTP/1.1: what a client sent, read with bounds; what goes back, written out.
//!
//! Reading is httparse's; here is what RFC 9112 asks for beyond the grammar: one `Host` (§3.2), bodies that are never
//! mistaken for the next request (§6.3), connections that end when somebody says so (§9.3).

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

/// The longest head of a request. A digest, a repository and a bearer token fit many times.
pub(super) const HEAD_BYTES: usize = 16 * 1024;
/// The most headers of a request.
const HEADERS: usize = 64;

/// The head of a request.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// No request can follow on this connection: the client says so, or a body follows, which nobody here reads.
    pub(super) last: bool,
    /// A body may be on its way.
    pub(super) body: bool,
}

/// A head that is none, and the status it is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) StatusCode);

const BAD: Malformed = Malformed(StatusCode::BAD_REQUEST);
const TOO_LARGE: Malformed = Malformed(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);

impl Head {
    /// Reads a head from the front of what has come, and tells how many bytes it took; `None`: more must come.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut fields);
        let taken = match request.parse(bytes) {
            Ok(httparse::Status::Complete(taken)) if taken <= HEAD_BYTES => taken,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
            Err(httparse::Error::Version) => return Err(Malformed(StatusCode::HTTP_VERSION_NOT_SUPPORTED)),
            Err(_) => return Err(BAD),
        };
        let method = Method::from_bytes(request.method.unwrap_or_default().as_bytes()).map_err(|_| BAD)?;
        let uri = request.path.unwrap_or_default().parse::<Uri>().map_err(|_| BAD)?;
        if !uri.path().starts_with('/') {
            return Err(BAD);
        }
        let headers = headers(request.headers)?;
        let old = request.version != Some(1);
        if headers.get_all(HOST).iter().count() != 1 && !old {
            return Err(BAD);
        }
        let body = headers.contains_key(TRANSFER_ENCODING)
            || headers.contains_key(EXPECT)
            || headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
        let last = old || body || says_close(&headers);
        Ok(Some((Head { method, uri, headers, last, body }, taken)))
    }
}

fn headers(fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BAD)?;
        headers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| BAD)?);
    }
    Ok(headers)
}

fn says_close(headers: &HeaderMap) -> bool {
    let said = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// The head of an answer as it goes over the wire. Without `Date`: a site's clock may be years off, and a server without
/// a clock sends none (RFC 9110 §6.6.1).
pub(super) fn write(status: StatusCode, headers: &HeaderMap, last: bool) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default()).into_bytes();
    let mut field = |name: &HeaderName, value: &[u8]| {
        for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    };
    for (name, value) in headers {
        field(name, value.as_bytes());
    }
    if last {
        field(&CONNECTION, b"close");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<(Head, usize)>, Malformed> {
        Head::parse(text.as_bytes())
    }

    #[test]
    fn a_head_is_read_and_what_follows_is_left() {
        let text = "GET /v2/?ns=a HTTP/1.1\r\nHost: x\r\nrange: bytes=0-\r\n\r\nGET /";
        let (head, taken) = parse(text).unwrap().unwrap();
        assert_eq!((head.method, head.uri.path(), head.uri.query()), (Method::GET, "/v2/", Some("ns=a")));
        assert_eq!((head.headers["range"].as_bytes(), &text[taken..]), (&b"bytes=0-"[..], "GET /"));
        assert!(!head.last && !head.body);
        assert!(parse("GET /v2/ HTTP/1.1\r\nHost: x\r\n").unwrap().is_none());
    }

    #[test]
    fn a_connection_ends_where_the_next_request_could_be_mistaken() {
        for (more, last, body) in [
            ("", false, false),
            ("Connection: keep-alive\r\n", false, false),
            ("Connection: Keep-Alive, Close\r\n", true, false),
            ("Content-Length: 0\r\n", false, false),
            ("Content-Length: 5\r\n", true, true),
            ("Content-Length: 0\r\nContent-Length: 5\r\n", true, true),
            ("Content-Length: x\r\n", true, true),
            ("Transfer-Encoding: chunked\r\n", true, true),
            ("Expect: 100-continue\r\n", true, true),
        ] {
            let (head, _) = parse(&format!("GET / HTTP/1.1\r\nHost: x\r\n{more}\r\n")).unwrap().unwrap();
            assert_eq!((head.last, head.body), (last, body), "{more}");
        }
        assert!(parse("GET / HTTP/1.0\r\n\r\n").unwrap().unwrap().0.last);
    }

    #[test]
    fn what_is_no_head_is_refused_and_bounded() {
        let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(HEADERS));
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\na: {}", "b".repeat(HEAD_BYTES));
        let whole = format!("{long}\r\n\r\n");
        for (text, status) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: x\r\na b: c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("GET noslash HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("\u{16}\u{3}\u{1}", 400),
            ("PRI * HTTP/2.0\r\n\r\n", 505),
            (&many, 431),
            (&long, 431),
            (&whole, 431),
        ] {
            let refused = parse(text).map(|head| head.map(|(head, _)| head.uri)).unwrap_err();
            assert_eq!(refused.0.as_u16(), status, "{:?}", &text[..text.len().min(60)]);
        }
    }

    #[test]
    fn an_answer_is_written_out() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(3));
        let text = String::from_utf8(write(StatusCode::NOT_FOUND, &headers, true)).unwrap();
        assert_eq!(text, "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\nconnection: close\r\n\r\n");
    }
}
