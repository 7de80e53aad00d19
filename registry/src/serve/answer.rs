//! From a request's head to its answer. Blocking, and the only place that asks the store.

use std::fs::File;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consign_format::{Descriptor, Digest, media_type};
use http::header::{
    ACCEPT_RANGES, ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST, IF_RANGE, LINK,
    RANGE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use hyper::body::{Body, Bytes};
use serde::Serialize;

use super::body::{AnswerBody, FilePart};
use super::lookup::{Key, key};
use super::range;
use super::route::{Endpoint, Misrouted, Route, Wanted, route};
use super::{BasicAuth, Content, ContentError};

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const DOCKER_API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// An answer, and why the store could not give a better one.
pub(super) struct Answer {
    pub(super) response: http::Response<AnswerBody>,
    pub(super) length: u64,
    pub(super) error: Option<String>,
}

impl Answer {
    /// The answer when answering itself broke down.
    pub(super) fn broken(reason: &dyn std::fmt::Display) -> Self {
        let response =
            refuse(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, "the registry failed; see its log");
        Answer { response, length: 0, error: Some(reason.to_string()) }
    }
}

/// The error codes of the distribution specification (v1.1, §error codes) that a pull can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ErrorCode {
    BlobUnknown,
    DigestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    Unauthorized,
    Unsupported,
    /// Not in the specification, which has none for this; `distribution` answers the same.
    PaginationNumberInvalid,
    /// As above.
    Unknown,
}

#[derive(Serialize)]
struct Errors {
    errors: [ErrorEntry; 1],
}

#[derive(Serialize)]
struct ErrorEntry {
    code: ErrorCode,
    message: &'static str,
}

/// Why there is no answer of the wanted kind.
enum Refusal {
    Http(StatusCode, ErrorCode, &'static str),
    Store(ContentError),
}

impl From<ContentError> for Refusal {
    fn from(error: ContentError) -> Self {
        Refusal::Store(error)
    }
}

type Answered = Result<http::Response<AnswerBody>, Refusal>;

const BLOB_UNKNOWN: Refusal = Refusal::Http(StatusCode::NOT_FOUND, ErrorCode::BlobUnknown, "no such blob here");
const NAME_UNKNOWN: Refusal = Refusal::Http(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, "no such repository here");
const MANIFEST_UNKNOWN: Refusal =
    Refusal::Http(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, "no such manifest here");

/// Answers one request. Never fails: what goes wrong is an answer too.
pub(super) fn answer(
    content: &dyn Content,
    auth: Option<BasicAuth>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Answer {
    let mut error = None;
    let answered = if let_in(auth, headers) {
        route(method, uri.path(), uri.query()).map_err(misrouted).and_then(|route| ask(content, &route, headers))
    } else {
        Err(Refusal::Http(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, "credentials are needed"))
    };
    let mut response = answered.unwrap_or_else(|refusal| match refusal {
        Refusal::Http(status, code, message) => refuse(status, code, message),
        Refusal::Store(reason) => {
            error = Some(reason.to_string());
            refuse(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, "the store could not answer; see its log")
        }
    });
    let length = response.body().size_hint().exact().unwrap_or(0);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response.headers_mut().insert(DOCKER_API_VERSION, HeaderValue::from_static("registry/2.0"));
    if method == Method::HEAD {
        *response.body_mut() = AnswerBody::Empty;
    }
    Answer { response, length, error }
}

fn let_in(auth: Option<BasicAuth>, headers: &HeaderMap) -> bool {
    let Some(expected) = auth else { return true };
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given =
        given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let decoded = given.and_then(|(_, coded)| STANDARD.decode(coded.trim()).ok());
    // Digests are compared, so the time it takes tells nothing about the password.
    decoded.is_some_and(|pair| BasicAuth(Digest::of(&pair)) == expected)
}

fn misrouted(misrouted: Misrouted) -> Refusal {
    let (status, code, message) = match misrouted {
        Misrouted::NotFound => (StatusCode::NOT_FOUND, ErrorCode::Unsupported, "no such endpoint"),
        Misrouted::Method => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, "this registry is read-only"),
        Misrouted::TooLong => (StatusCode::URI_TOO_LONG, ErrorCode::NameInvalid, "the address is too long"),
        Misrouted::Digest => (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid, "not a sha256 digest"),
        Misrouted::Tag => (StatusCode::BAD_REQUEST, ErrorCode::ManifestUnknown, "not a tag"),
        Misrouted::Number => (StatusCode::BAD_REQUEST, ErrorCode::PaginationNumberInvalid, "n is not a number"),
    };
    Refusal::Http(status, code, message)
}

fn ask(content: &dyn Content, route: &Route, headers: &HeaderMap) -> Answered {
    if route.endpoint == Endpoint::Base {
        return Ok(document(b"{}".to_vec(), "application/json"));
    }
    let own = headers.get(HOST).and_then(|host| host.to_str().ok());
    let key = key(&route.name, route.ns.as_deref(), own).ok_or(Refusal::Http(
        StatusCode::BAD_REQUEST,
        ErrorCode::NameInvalid,
        "not a repository name",
    ))?;
    match &route.endpoint {
        Endpoint::Base => Ok(document(b"{}".to_vec(), "application/json")),
        Endpoint::Manifest(wanted) => manifest(content, &key, wanted),
        Endpoint::Blob(digest) => blob(content, &key, digest, headers),
        Endpoint::Tags { n, last } => tags(content, &key, route, *n, last.as_deref()),
        Endpoint::Referrers { digest, artifact_type } => referrers(content, &key, digest, artifact_type.as_deref()),
    }
}

fn manifest(content: &dyn Content, Key { host, repository }: &Key, wanted: &Wanted) -> Answered {
    let found = match wanted {
        Wanted::Tag(tag) => content.resolve_tag(host, repository, tag)?,
        Wanted::Digest(digest) => content.manifest(host, repository, digest)?,
    };
    let Some(descriptor) = found else {
        // The two are told apart for people who read the message; clients treat them alike.
        return Err(if content.tags(host, repository)?.is_some() { MANIFEST_UNKNOWN } else { NAME_UNKNOWN });
    };
    let Some((path, size)) = content.blob(host, repository, &descriptor.digest)? else {
        return Err(Refusal::Store(ContentError::new(format!(
            "{} is listed and its bytes are not there",
            descriptor.digest
        ))));
    };
    let file = open(&path, size)?;
    let mut response = http::Response::new(AnswerBody::File(FilePart::new(file, 0, size)));
    let media_type = HeaderValue::from_str(&descriptor.media_type).map_err(|e| Refusal::Store(ContentError::new(e)))?;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    name_digest(response.headers_mut(), &descriptor.digest)?;
    Ok(response)
}

fn blob(content: &dyn Content, Key { host, repository }: &Key, digest: &Digest, headers: &HeaderMap) -> Answered {
    let Some((path, size)) = content.blob(host, repository, digest)? else { return Err(BLOB_UNKNOWN) };
    let file = open(&path, size)?;
    let wanted = if same_version(headers, digest) { text(headers, &RANGE) } else { None };
    let (status, start, end) = match range::wanted(wanted, size) {
        range::Wanted::Whole => (StatusCode::OK, 0, size),
        range::Wanted::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        range::Wanted::Nothing => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let mut response = http::Response::new(AnswerBody::File(FilePart::new(file, start, end)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let content_range = match status {
        StatusCode::PARTIAL_CONTENT => Some(format!("bytes {start}-{}/{size}", end - 1)),
        StatusCode::RANGE_NOT_SATISFIABLE => Some(format!("bytes */{size}")),
        _ => None,
    };
    if let Some(content_range) = content_range {
        headers.insert(CONTENT_RANGE, header(&content_range)?);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    name_digest(headers, digest)?;
    Ok(response)
}

/// RFC 9110 §13.1.5: a range is of the version the client has begun with, or it is the whole.
fn same_version(headers: &HeaderMap, digest: &Digest) -> bool {
    text(headers, &IF_RANGE).is_none_or(|version| version == format!("\"{digest}\""))
}

/// Lexical order means "case-insensitive alphanumeric" (distribution-spec v1.1, §listing tags).
fn tag_order(tag: &str) -> (String, &str) {
    (tag.to_lowercase(), tag)
}

fn tags(
    content: &dyn Content,
    Key { host, repository }: &Key,
    route: &Route,
    n: Option<usize>,
    last: Option<&str>,
) -> Answered {
    let mut tags = content.tags(host, repository)?.ok_or(NAME_UNKNOWN)?;
    tags.sort_by(|a, b| tag_order(a).cmp(&tag_order(b)));
    tags.dedup();
    if let Some(last) = last {
        tags.retain(|tag| tag_order(tag) > tag_order(last));
    }
    let more = n.is_some_and(|n| n > 0 && n < tags.len());
    tags.truncate(n.unwrap_or(usize::MAX));
    #[derive(Serialize)]
    struct TagList<'a> {
        name: &'a str,
        tags: &'a [String],
    }
    let list = TagList { name: &route.name, tags: &tags };
    let mut response = document(to_json(&list)?, "application/json");
    if let (true, Some(n), Some(last)) = (more, n, tags.last()) {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("n", &n.to_string()).append_pair("last", last);
        if let Some(ns) = &route.ns {
            query.append_pair("ns", ns);
        }
        let link = format!("</v2/{}/tags/list?{}>; rel=\"next\"", route.name, query.finish());
        response.headers_mut().insert(LINK, header(&link)?);
    }
    Ok(response)
}

/// A digest nobody refers to has no referrers: an empty index, never 404 (distribution-spec v1.1, §listing referrers).
fn referrers(
    content: &dyn Content,
    Key { host, repository }: &Key,
    digest: &Digest,
    artifact_type: Option<&str>,
) -> Answered {
    let mut manifests = content.referrers(host, repository, digest)?;
    if let Some(wanted) = artifact_type {
        manifests.retain(|descriptor| descriptor.artifact_type.as_deref() == Some(wanted));
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Index {
        schema_version: u32,
        media_type: &'static str,
        manifests: Vec<Descriptor>,
    }
    let index = Index { schema_version: 2, media_type: media_type::OCI_INDEX, manifests };
    let mut response = document(to_json(&index)?, media_type::OCI_INDEX);
    if artifact_type.is_some() {
        response.headers_mut().insert(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    Ok(response)
}

/// Opens a file of the store, which must be a regular file of the size that is promised.
fn open(path: &std::path::Path, size: u64) -> Result<File, Refusal> {
    let damaged = |what: &str| Refusal::Store(ContentError::new(format!("{} {what}", path.display())));
    let flags = rustix::fs::OFlags::RDONLY
        | rustix::fs::OFlags::NOFOLLOW
        | rustix::fs::OFlags::NONBLOCK
        | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        .map(File::from)
        .map_err(|errno| damaged(&format!("cannot be opened: {errno}")))?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() && metadata.len() == size => Ok(file),
        Ok(_) => Err(damaged("is not the file that the store promises")),
        Err(error) => Err(damaged(&format!("cannot be read: {error}"))),
    }
}

fn name_digest(headers: &mut HeaderMap, digest: &Digest) -> Result<(), Refusal> {
    headers.insert(DOCKER_CONTENT_DIGEST, header(&digest.to_string())?);
    headers.insert(ETAG, header(&format!("\"{digest}\""))?);
    Ok(())
}

fn header(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|error| Refusal::Store(ContentError::new(error)))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(value).map_err(|error| Refusal::Store(ContentError::new(error)))
}

fn document(bytes: Vec<u8>, media_type: &'static str) -> http::Response<AnswerBody> {
    let mut response = http::Response::new(AnswerBody::Bytes(Bytes::from(bytes)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn refuse(status: StatusCode, code: ErrorCode, message: &'static str) -> http::Response<AnswerBody> {
    // Strings and an enum: this cannot fail, and an empty body is still an answer.
    let bytes = serde_json::to_vec(&Errors { errors: [ErrorEntry { code, message }] }).unwrap_or_default();
    let mut response = document(bytes, "application/json");
    *response.status_mut() = status;
    match status {
        StatusCode::UNAUTHORIZED => {
            let challenge = HeaderValue::from_static("Basic realm=\"consign\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        _ => {}
    }
    response
}
