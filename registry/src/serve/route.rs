//! From method, path and query to what is wanted. Pure; knows the grammar, not the store.
//!
//! Names contain slashes, so a path is read from its end (distribution-spec v1.1, §endpoints).

use std::str::FromStr;

use consign_format::Digest;
use consign_format::reference::is_tag;
use http::Method;

/// Longest path and query taken. Host, repository, tag and digest at their longest stay below.
const LONGEST: usize = 2048;

/// A tag or a digest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Tag(String),
    Digest(Digest),
}

/// What one request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `end-1`: is this a registry.
    Base,
    /// `/healthz`: does it answer. Not of the specification, and outside of its paths.
    Health,
    /// `/metrics`, likewise.
    Metrics,
    /// `end-3`.
    Manifest(Wanted),
    /// `end-2`.
    Blob(Digest),
    /// `end-8a`, `end-8b`.
    Tags { n: Option<usize>, last: Option<String> },
    /// `end-12a`, `end-12b`.
    Referrers { digest: Digest, artifact_type: Option<String> },
}

/// A request that has a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The name as it stands in the path; empty where there is none.
    pub(super) name: String,
    /// `?ns=`.
    pub(super) ns: Option<String>,
    pub(super) endpoint: Endpoint,
}

/// A request that has none. Each has its status and code in `answer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misrouted {
    NotFound,
    Method,
    TooLong,
    Digest,
    Tag,
    Number,
}

#[derive(Default)]
struct Query {
    ns: Option<String>,
    n: Option<String>,
    last: Option<String>,
    artifact_type: Option<String>,
}

pub(super) fn route(method: &Method, path: &str, query: Option<&str>) -> Result<Route, Misrouted> {
    if path.len() > LONGEST || query.is_some_and(|query| query.len() > LONGEST) {
        return Err(Misrouted::TooLong);
    }
    let nameless = match path {
        "/v2" | "/v2/" => Some(Endpoint::Base),
        "/healthz" => Some(Endpoint::Health),
        "/metrics" => Some(Endpoint::Metrics),
        _ => None,
    };
    let rest = path.strip_prefix("/v2/");
    if nameless.is_none() && rest.is_none() {
        return Err(Misrouted::NotFound);
    }
    if method != Method::GET && method != Method::HEAD {
        return Err(Misrouted::Method);
    }
    if let Some(endpoint) = nameless {
        return Ok(Route { name: String::new(), ns: None, endpoint });
    }
    let (rest, query) = (rest.unwrap_or_default(), read_query(query));
    let (before, last) = rest.rsplit_once('/').ok_or(Misrouted::NotFound)?;
    let (name, kind) = before.rsplit_once('/').ok_or(Misrouted::NotFound)?;
    let endpoint = match kind {
        "manifests" => Endpoint::Manifest(wanted(last)?),
        "blobs" => Endpoint::Blob(digest(last)?),
        "referrers" => Endpoint::Referrers { digest: digest(last)?, artifact_type: query.artifact_type },
        "tags" if last == "list" => Endpoint::Tags { n: number(query.n.as_deref())?, last: query.last },
        // An upload session is asked for its state by GET; there are none.
        "uploads" if name.ends_with("/blobs") => return Err(Misrouted::Method),
        _ => return Err(Misrouted::NotFound),
    };
    Ok(Route { name: name.to_owned(), ns: query.ns, endpoint })
}

/// The first of each name counts; unknown names are passed over, as every registry does.
fn read_query(query: Option<&str>) -> Query {
    let mut found = Query::default();
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let place = match name.as_ref() {
            "ns" => &mut found.ns,
            "n" => &mut found.n,
            "last" => &mut found.last,
            "artifactType" => &mut found.artifact_type,
            _ => continue,
        };
        place.get_or_insert_with(|| value.into_owned());
    }
    found
}

fn wanted(text: &str) -> Result<Wanted, Misrouted> {
    match digest(text) {
        Ok(digest) => Ok(Wanted::Digest(digest)),
        Err(error) if text.contains([':', '%']) => Err(error),
        Err(_) if is_tag(text) => Ok(Wanted::Tag(text.to_owned())),
        Err(_) => Err(Misrouted::Tag),
    }
}

/// Some clients escape the colon, the only character of a digest that anybody would escape.
fn digest(text: &str) -> Result<Digest, Misrouted> {
    let unescaped = text.replacen("%3A", ":", 1).replacen("%3a", ":", 1);
    Digest::from_str(&unescaped).map_err(|_| Misrouted::Digest)
}

fn number(text: Option<&str>) -> Result<Option<usize>, Misrouted> {
    text.map(|text| text.parse().map_err(|_| Misrouted::Number)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> Result<Route, Misrouted> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        route(&Method::GET, path, query)
    }

    #[test]
    fn requests_are_read_from_the_end() {
        let digest = Digest::of(b"x");
        let manifest = |wanted| Endpoint::Manifest(wanted);
        for (target, name, endpoint) in [
            ("/v2".to_owned(), "", Endpoint::Base),
            ("/v2/".to_owned(), "", Endpoint::Base),
            ("/v2/a/manifests/1.0".to_owned(), "a", manifest(Wanted::Tag("1.0".to_owned()))),
            ("/v2/a/b/c/manifests/latest".to_owned(), "a/b/c", manifest(Wanted::Tag("latest".to_owned()))),
            ("/v2/a/manifests/manifests/x".to_owned(), "a/manifests", manifest(Wanted::Tag("x".to_owned()))),
            (format!("/v2/a/manifests/{digest}"), "a", manifest(Wanted::Digest(digest))),
            (format!("/v2/a/manifests/sha256%3A{}", digest.hex()), "a", manifest(Wanted::Digest(digest))),
            (format!("/v2/a/blobs/{digest}"), "a", Endpoint::Blob(digest)),
            (format!("/v2/quay.io:443/a/blobs/{digest}"), "quay.io:443/a", Endpoint::Blob(digest)),
            ("/v2/a/tags/list".to_owned(), "a", Endpoint::Tags { n: None, last: None }),
            ("/v2/a/tags/list?n=2&last=x".to_owned(), "a", Endpoint::Tags { n: Some(2), last: Some("x".to_owned()) }),
            (
                format!("/v2/a/referrers/{digest}?artifactType=application%2Fx"),
                "a",
                Endpoint::Referrers { digest, artifact_type: Some("application/x".to_owned()) },
            ),
        ] {
            let found = get(&target).unwrap_or_else(|error| panic!("{target}: {error:?}"));
            assert_eq!((found.name.as_str(), found.endpoint), (name, endpoint), "{target}");
        }
        assert_eq!(get("/v2/a/manifests/1?ns=ghcr.io&ns=quay.io").unwrap().ns.as_deref(), Some("ghcr.io"));
    }

    #[test]
    fn everything_else_is_refused() {
        let hex = Digest::of(b"x").hex();
        for (target, error) in [
            ("/", Misrouted::NotFound),
            ("/v1/", Misrouted::NotFound),
            ("/v2x", Misrouted::NotFound),
            ("/v2/_catalog", Misrouted::NotFound),
            ("/v2/a/b", Misrouted::NotFound),
            ("/v2/a/tags/lists", Misrouted::NotFound),
            ("/v2/a/blobs/uploads/1", Misrouted::Method),
            ("/v2/a/tags/list?n=-1", Misrouted::Number),
            ("/v2/a/tags/list?n=x", Misrouted::Number),
            ("/v2/a/manifests/-x", Misrouted::Tag),
            ("/v2/a/manifests/", Misrouted::Tag),
            ("/v2/a/manifests/..", Misrouted::Tag),
            ("/v2/a/manifests/%2e%2e", Misrouted::Digest),
            ("/v2/a/manifests/sha256:12", Misrouted::Digest),
            ("/v2/a/blobs/latest", Misrouted::Digest),
            (&format!("/v2/a/blobs/sha512:{hex}"), Misrouted::Digest),
            (&format!("/v2/a/blobs/sha256:{}", hex.to_uppercase()), Misrouted::Digest),
            (&format!("/v2/{}", "a/".repeat(2000)), Misrouted::TooLong),
        ] {
            assert_eq!(get(target).unwrap_err(), error, "{target}");
        }
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert_eq!(route(&method, "/v2/a/blobs/uploads/", None).unwrap_err(), Misrouted::Method, "{method}");
        }
    }
}
