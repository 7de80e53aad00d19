//! Image references, as people write them and as registries look them up.
//!
//! The short forms are Docker's: no host means `docker.io`, a single path component there means
//! `library/`, neither tag nor digest means `latest`. The first component is a host if it has a `.`
//! or a `:`, or is `localhost` (distribution/reference, `normalize.go`).

use std::fmt;
use std::str::FromStr;

use crate::Digest;

/// The host that short names belong to.
pub const DOCKER_HUB: &str = "docker.io";

/// A reference, in full: host, repository, and a tag or a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The registry's host, with its port where one was written.
    pub host: String,
    /// The repository under that host.
    pub repository: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest.
    pub digest: Option<Digest>,
}

/// A text that is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ReferenceError {
    /// What was written.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Reference {
    /// Returns the host and repository, without tag and digest: `docker.io/library/nginx`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// Returns this reference with a digest, its tag kept.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Reference { digest: Some(digest), ..self.clone() }
    }

    /// Splits a text as written into everything before the digest and the digest, without normalising.
    /// Pinning appends to what stands there, so that host and repository stay as the author wrote them.
    pub fn split_digest(text: &str) -> (&str, Option<&str>) {
        match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        }
    }
}

/// Tells whether the first component of a reference is a host.
pub fn is_host(component: &str) -> bool {
    component.contains(['.', ':']) || component == "localhost"
}

/// Tells whether a text is a repository path (distribution-spec v1.1, `<name>`).
pub fn is_repository(text: &str) -> bool {
    text.len() <= 255 && text.split('/').all(is_path_component)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    if bytes.is_empty() || !plain(bytes[0]) || !plain(bytes[bytes.len() - 1]) {
        return false;
    }
    let mut rest = text;
    while let Some(start) = rest.bytes().position(|b| !plain(b)) {
        let end = rest[start..].bytes().position(plain).map_or(rest.len(), |n| start + n);
        let separator = &rest[start..end];
        let known = matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-');
        if !known {
            return false;
        }
        rest = &rest[end..];
    }
    true
}

/// Tells whether a text is a tag (distribution-spec v1.1, `<reference>` as a tag).
pub fn is_tag(text: &str) -> bool {
    let bytes = text.as_bytes();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&bytes.len()) && word(bytes[0]) && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
}

/// Tells whether a text is a host with an optional port.
pub fn is_host_and_port(text: &str) -> bool {
    // The last colon parts host and port, unless it stands inside the brackets of an IPv6 address.
    let port_at = match text.rfind(']') {
        Some(bracket) => text[bracket..].rfind(':').map(|colon| bracket + colon),
        None => text.rfind(':'),
    };
    let (host, port) = match port_at {
        Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
        None => (text, None),
    };
    let port_fits = port.is_none_or(|p| (1..=5).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()));
    let host_fits = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => {
            host.len() <= 253
                && host.split('.').all(|label| {
                    !label.is_empty()
                        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                })
        }
    };
    port_fits && host_fits
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| ReferenceError { text: text.to_owned(), reason };
        let (named, digest) = Reference::split_digest(text);
        let digest = match digest {
            Some(digest) => Some(digest.parse::<Digest>().map_err(|_| refuse("its digest is not a sha256 digest"))?),
            None => None,
        };
        let last = named.rfind('/').map_or(0, |slash| slash + 1);
        let (path, tag) = match named[last..].find(':') {
            Some(colon) => (&named[..last + colon], Some(&named[last + colon + 1..])),
            None => (named, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse("its tag has characters a tag must not have"));
        }
        let (host, repository) = match path.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest.to_owned()),
            Some(_) => (DOCKER_HUB, path.to_owned()),
            None => (DOCKER_HUB, path.to_owned()),
        };
        let host = if host == "index.docker.io" { DOCKER_HUB } else { host };
        // `docker.io/nginx` is as short as `nginx`.
        let is_single = host == DOCKER_HUB && !repository.contains('/');
        let repository = if is_single { format!("library/{repository}") } else { repository };
        if !is_host_and_port(host) {
            return Err(refuse("its registry is not a host name"));
        }
        if !is_repository(&repository) {
            return Err(refuse("its repository has characters a repository must not have (lower case only)"));
        }
        let tag = match (tag, digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Reference { host: host.to_owned(), repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_dockers() {
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("bitnami/redis:7", "docker.io/bitnami/redis:7"),
            ("docker.io/nginx:1", "docker.io/library/nginx:1"),
            ("index.docker.io/library/nginx:1", "docker.io/library/nginx:1"),
            ("quay.io/argoproj/argocd:v3", "quay.io/argoproj/argocd:v3"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/a/b-c__d:1", "localhost:5000/a/b-c__d:1"),
            ("[::1]:5000/a:1", "[::1]:5000/a:1"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), full);
        }
        let digest = Digest::of(b"x");
        let pinned: Reference = format!("nginx@{digest}").parse().unwrap();
        assert_eq!((pinned.tag, pinned.digest), (None, Some(digest)));
    }

    #[test]
    fn tricks_are_refused() {
        for text in [
            "",
            "Nginx",
            "a/../b",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:b:c",
            "a@sha256:12",
            "x.y/",
            "a b",
            "quay.io/a___b",
            "-a.io/x",
            "a.io:port/x",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
