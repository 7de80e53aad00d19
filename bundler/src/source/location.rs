//! The places a repository can be named by, and which of them are refused.

use std::path::{Path, PathBuf};

use super::SourceError;
use super::git::Git;

/// A repository on this machine or elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// A folder, read in place.
    Local {
        /// The folder.
        folder: PathBuf,
        /// As written.
        text: String,
    },
    /// A URL, handed to `git fetch`.
    Remote {
        /// As written, credentials included.
        url: String,
    },
}

/// Transports taken. `ext::` and its like run commands that a URL names.
const SCHEMES: &[&str] = &["https://", "http://", "ssh://", "git://", "file://"];

impl Location {
    /// Parses a URL or a path relative to `base`.
    pub(super) fn parse(text: &str, base: &Path) -> Result<Self, SourceError> {
        let refuse = |reason| Err(SourceError::Refused { text: without_credentials(text), what: "repository", reason });
        if text.is_empty() || text.starts_with('-') || text.contains(|c: char| c.is_control()) {
            return refuse("it is empty, begins with `-` or holds control characters");
        }
        let remote = Ok(Location::Remote { url: text.to_owned() });
        if let Some(scheme) = SCHEMES.iter().find(|scheme| text.starts_with(**scheme)) {
            let host = &text[scheme.len()..];
            // `ssh://-oProxyCommand=…` was CVE-2017-1000117; git refuses it too, the reader need not trust that.
            return if host.starts_with('-') || host.is_empty() { refuse("its host begins with `-`") } else { remote };
        }
        if text.contains("://") || text.contains("::") {
            return refuse("only https, http, ssh, git and file URLs are");
        }
        let folder = base.join(text);
        if folder.exists() {
            return Ok(Location::Local { folder, text: text.to_owned() });
        }
        // `user@host:path`, as scp writes it: a colon before the first slash.
        match text.split_once(':') {
            Some((host, path)) if !host.contains('/') && !host.is_empty() && !path.is_empty() => remote,
            _ => refuse("there is no such folder"),
        }
    }

    /// Returns the location for messages, without credentials.
    pub(super) fn shown(&self) -> String {
        match self {
            Location::Local { text, .. } => text.clone(),
            Location::Remote { url } => without_credentials(url),
        }
    }

    /// Returns the URL for the provenance, if there is one that means the same elsewhere: a path names only
    /// this machine, so for a local repository it is its `origin`, if that is on the network.
    pub(super) fn public_url(&self, git: &Git) -> Result<Option<String>, SourceError> {
        let url = match self {
            Location::Remote { url } => Some(url.clone()),
            Location::Local { .. } => git.configured("remote.origin.url")?,
        };
        let network = |url: &String| match url.split_once("://") {
            Some((scheme, _)) => scheme != "file",
            None => {
                !url.starts_with(['/', '.', '~']) && url.split_once(':').is_some_and(|(host, _)| !host.contains('/'))
            }
        };
        Ok(url.filter(network).map(|url| without_credentials(&url)))
    }
}

/// Removes user, password and query of a URL. The user of `ssh` is no secret and part of the address.
pub(super) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let user = user.filter(|_| scheme == "ssh").map(|user| user.split(':').next().unwrap_or_default());
    match user {
        Some(user) if !user.is_empty() => format!("{scheme}://{user}@{host}{path}"),
        _ => format!("{scheme}://{host}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_are_told_apart() {
        let base = Path::new("/");
        let local = |text: &str| matches!(Location::parse(text, base), Ok(Location::Local { .. }));
        let remote = |text: &str| matches!(Location::parse(text, base), Ok(Location::Remote { .. }));
        for text in [".", "/tmp", "tmp", "tmp/.."] {
            assert!(local(text), "{text}");
        }
        for text in ["https://example.com/a.git", "git@example.com:a/b.git", "ssh://git@h:22/a", "file:///tmp/a"] {
            assert!(remote(text), "{text}");
        }
        for text in ["", "-x", "ext::sh -c id", "ssh://-oProxyCommand=id/x", "ftp://x/y", "no/such/folder", "a\nb"] {
            assert!(Location::parse(text, base).is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        for (url, shown) in [
            ("https://user:token@example.com/a.git", "https://example.com/a.git"),
            ("https://token@example.com/a?access_token=x#y", "https://example.com/a"),
            ("https://a@b@example.com/p@q", "https://example.com/p@q"),
            ("ssh://git@example.com:2222/a", "ssh://git@example.com:2222/a"),
            ("ssh://git:pw@example.com/a", "ssh://git@example.com/a"),
            ("git@example.com:a/b.git", "git@example.com:a/b.git"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
