//! Why a request is refused, and how that is said: the specification's JSON, with no word about this machine.

use http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::ContentError;
use super::body::AnswerBody;
use super::route::Misrouted;

/// The error codes of the distribution specification (v1.1, §error codes) that a pull can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ErrorCode {
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
pub(super) enum Refusal {
    Http(StatusCode, ErrorCode, &'static str),
    Store(ContentError),
}

impl From<ContentError> for Refusal {
    fn from(error: ContentError) -> Self {
        Refusal::Store(error)
    }
}

pub(super) const BLOB_UNKNOWN: Refusal =
    Refusal::Http(StatusCode::NOT_FOUND, ErrorCode::BlobUnknown, "no such blob here");
pub(super) const NAME_UNKNOWN: Refusal =
    Refusal::Http(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, "no such repository here");
pub(super) const MANIFEST_UNKNOWN: Refusal =
    Refusal::Http(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, "no such manifest here");

impl From<Misrouted> for Refusal {
    fn from(misrouted: Misrouted) -> Self {
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
}

/// A refusal as an answer.
pub(super) fn refuse(status: StatusCode, code: ErrorCode, message: &'static str) -> http::Response<AnswerBody> {
    // Strings and an enum: this cannot fail, and an empty body is still an answer.
    let bytes = serde_json::to_vec(&Errors { errors: [ErrorEntry { code, message }] }).unwrap_or_default();
    let mut response = http::Response::new(AnswerBody::Bytes(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
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
