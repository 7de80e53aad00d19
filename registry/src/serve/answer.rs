//! From a request's head to its answer. Blocking, and the only place that asks the store.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consign_format::{Descriptor, Digest, Limits, media_type, state};
use http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST, IF_RANGE, LINK, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;

use super::body::{AnswerBody, FilePart};
use super::lookup::{Key, key};
use super::metrics::{self, Metrics};
use super::range;
use super::refusal::{BLOB_UNKNOWN, ErrorCode, MANIFEST_UNKNOWN, NAME_UNKNOWN, Refusal, refuse};
use super::route::{Endpoint, Route, Wanted, route};
use super::{Content, ContentError, Users};

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

type Answered = Result<http::Response<AnswerBody>, Refusal>;

/// What answers are made from.
pub(super) struct Answers<'a> {
    pub(super) content: &'a dyn Content,
    pub(super) users: Option<&'a Users>,
    pub(super) metrics: &'a Metrics,
}

impl Answers<'_> {
    /// Answers one request. Never fails: what goes wrong is an answer too.
    pub(super) fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Answer {
        let mut error = None;
        let mut response = self.try_answer(method, uri, headers).unwrap_or_else(|refusal| match refusal {
            Refusal::Http(status, code, message) => refuse(status, code, message),
            Refusal::Store(reason) => {
                error = Some(reason.to_string());
                let message = "the store could not answer; see its log";
                refuse(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, message)
            }
        });
        let length = response.body().length();
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        response.headers_mut().insert(DOCKER_API_VERSION, HeaderValue::from_static("registry/2.0"));
        if method == Method::HEAD {
            *response.body_mut() = AnswerBody::Empty;
        }
        Answer { response, length, error }
    }

    fn try_answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Answered {
        let route = route(method, uri.path(), uri.query());
        // Whoever watches over a machine has no password of the registry, and learns nothing but whether it answers.
        if let Ok(Route { endpoint: Endpoint::Health, .. }) = route {
            self.content.tags(state::HOST, "health")?;
            return Ok(document(b"ok\n".to_vec(), "text/plain; charset=utf-8"));
        }
        if !self.let_in(headers) {
            let (status, code) = (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized);
            return Err(Refusal::Http(status, code, "credentials are needed"));
        }
        self.ask(&route?, headers)
    }

    fn let_in(&self, headers: &HeaderMap) -> bool {
        let Some(users) = self.users else { return true };
        let given = text(headers, &AUTHORIZATION).and_then(|value| value.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        let decoded = given.and_then(|(_, coded)| String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok());
        let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
        pair.is_some_and(|(user, password)| users.lets_in(user, password))
    }

    fn ask(&self, route: &Route, headers: &HeaderMap) -> Answered {
        let content = self.content;
        let key = || {
            let found = key(&route.name, route.ns.as_deref(), text(headers, &HOST));
            let (status, code) = (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid);
            found.ok_or(Refusal::Http(status, code, "not a repository name"))
        };
        match &route.endpoint {
            Endpoint::Base | Endpoint::Health => Ok(document(b"{}".to_vec(), "application/json")),
            Endpoint::Metrics => Ok(document(self.metrics.text().into_bytes(), metrics::MEDIA_TYPE)),
            Endpoint::Manifest(wanted) => manifest(content, &key()?, wanted),
            Endpoint::Blob(digest) => blob(content, &key()?, digest, headers),
            Endpoint::Tags { n, last } => tags(content, &key()?, route, *n, last.as_deref()),
            Endpoint::Referrers { digest, artifact_type } => {
                referrers(content, &key()?, digest, artifact_type.as_deref())
            }
        }
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
    let bytes = read(&path, &descriptor.digest, size)?;
    let mut response = http::Response::new(AnswerBody::Bytes(bytes));
    let media_type = HeaderValue::from_str(&descriptor.media_type).map_err(|e| Refusal::Store(ContentError::new(e)))?;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    name_digest(response.headers_mut(), &descriptor.digest)?;
    Ok(response)
}

fn blob(content: &dyn Content, Key { host, repository }: &Key, digest: &Digest, headers: &HeaderMap) -> Answered {
    let Some((path, size)) = content.blob(host, repository, digest)? else { return Err(BLOB_UNKNOWN) };
    let file = Arc::new(open(&path, size)?);
    let wanted = if same_version(headers, digest) { text(headers, &RANGE) } else { None };
    let (status, start, end) = match range::wanted(wanted, size) {
        range::Wanted::Whole => (StatusCode::OK, 0, size),
        range::Wanted::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        range::Wanted::Nothing => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let mut response = http::Response::new(AnswerBody::File(FilePart { file, at: start, end }));
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

/// Reads a manifest, and hashes it again: what nodes run is decided by these bytes.
fn read(path: &Path, digest: &Digest, size: u64) -> Result<Vec<u8>, Refusal> {
    let rotten = |what: &str| Refusal::Store(ContentError::new(format!("{} {what}", path.display())));
    if size > Limits::DEFAULT.manifest {
        return Err(rotten("is too large for a manifest"));
    }
    let mut bytes = Vec::new();
    let read = open(path, size)?.take(size).read_to_end(&mut bytes);
    read.map_err(|error| rotten(&format!("cannot be read: {error}")))?;
    if Digest::of(&bytes) != *digest {
        return Err(rotten("is not the manifest that its name says"));
    }
    Ok(bytes)
}

/// Opens a file of the store, which must be a regular file of the size that is promised.
fn open(path: &Path, size: u64) -> Result<File, Refusal> {
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
    let mut response = http::Response::new(AnswerBody::Bytes(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
