//! Where pushes go: a registry, and a path in it that everything lies under (a project of Harbor, a namespace of Quay).

use std::fmt;

use consign_format::error::{Code, Coded, codes};
use consign_format::reference::{is_host_and_port, is_repository};
use url::Url;

/// A registry, and the path in it that everything lies under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    tls: bool,
    host: String,
    prefix: String,
}

/// What was written is no address of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be pushed to: {reason}")]
pub struct AddressError {
    /// What was written, without a password.
    text: String,
    /// What is wrong with it.
    reason: &'static str,
}

impl Coded for AddressError {
    fn code(&self) -> Code {
        codes::REGISTRY_OPTIONS
    }

    fn hint(&self) -> Option<String> {
        Some("write https://HOST, https://HOST:PORT or https://HOST/PATH".to_owned())
    }
}

impl Address {
    /// Reads `https://HOST[:PORT][/PATH]`. Plain HTTP is taken on this machine, and elsewhere where it is allowed.
    pub fn parse(text: &str, plain_http: bool) -> Result<Self, AddressError> {
        // A URL with a password in it is refused, and must not stand in a log because of that.
        let shown = if text.contains('@') { "the URL of the registry" } else { text };
        let refuse = |reason| AddressError { text: shown.to_owned(), reason };
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(refuse("it begins with neither https:// nor http://")),
        };
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if host.contains('@') {
            return Err(refuse("it holds a user, who belongs into the file of credentials"));
        }
        if !is_host_and_port(host) {
            return Err(refuse("its host is not a host name"));
        }
        if !prefix.is_empty() && !is_repository(prefix) {
            return Err(refuse("its path has characters a repository must not have (lower case only)"));
        }
        let address = Address { tls, host: host.to_owned(), prefix: prefix.to_owned() };
        if !tls && !plain_http && !address.is_here() {
            return Err(refuse("it is not encrypted, and nobody said that the network is trusted"));
        }
        if tls && plain_http {
            return Err(refuse("it says https:// and plain HTTP at once"));
        }
        Ok(address)
    }

    fn is_here(&self) -> bool {
        let host = Url::parse(&self.to_string()).ok().and_then(|url| match url.host()? {
            url::Host::Domain(name) => Some(name == "localhost"),
            url::Host::Ipv4(address) => Some(address.is_loopback()),
            url::Host::Ipv6(address) => Some(address.is_loopback()),
        });
        host.unwrap_or(false)
    }

    /// The host, with its port where one was written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is spoken to with TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host and port that a connection goes to.
    pub fn socket(&self) -> Option<(String, u16)> {
        let url = Url::parse(&self.to_string()).ok()?;
        // The brackets of an IPv6 address are the URL's, not the machine's.
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some((host, url.port_or_known_default()?))
    }

    /// The repository in the registry, for one under the path.
    pub fn repository(&self, below: &str) -> String {
        if self.prefix.is_empty() { below.to_owned() } else { format!("{}/{below}", self.prefix) }
    }

    /// The URL of something below `/v2/`.
    pub(super) fn url(&self, below: &str) -> Result<Url, url::ParseError> {
        let scheme = if self.tls { "https" } else { "http" };
        Url::parse(&format!("{scheme}://{}/v2/{below}", self.host))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.host)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for (text, plain, repository) in [
            ("https://harbor.site/consign/", false, "consign/quay.io/a/b"),
            ("https://harbor.site:8443", false, "quay.io/a/b"),
            ("http://127.0.0.1:5000", false, "quay.io/a/b"),
            ("http://localhost:5000/x/y", false, "x/y/quay.io/a/b"),
            ("http://[::1]:5000", false, "quay.io/a/b"),
            ("http://harbor.site", true, "quay.io/a/b"),
        ] {
            let address = Address::parse(text, plain).unwrap();
            assert_eq!(address.repository("quay.io/a/b"), repository, "{text}");
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_its_password() {
        for (text, plain) in [
            ("harbor.site/consign", false),
            ("ftp://harbor.site", false),
            ("https://", false),
            ("https://harbor.site/Consign", false),
            ("https://harbor.site//x", false),
            ("https://harbor.site/x?y", false),
            ("https://harbor.site/../x", false),
            ("http://harbor.site", false),
            ("https://harbor.site", true),
            ("https://ada:secret@harbor.site", false),
        ] {
            let error = Address::parse(text, plain).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
