//! The site's registry as nodes reach it: one server, or several that are tried in order.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use consign_format::reference::is_host_and_port;

use super::NodesError;

/// One server: scheme, host and port, and nothing else, because every runtime writes the path itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    tls: bool,
    address: String,
}

impl Server {
    /// Whether it is asked over TLS.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// `HOST:PORT`, or the host alone where the scheme's own port is meant.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        match self.address.rfind(']') {
            Some(bracket) => &self.address[..=bracket],
            None => self.address.split(':').next().unwrap_or(&self.address),
        }
    }

    /// Whether only this machine is asked.
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Server {
    type Err = NodesError;

    fn from_str(text: &str) -> Result<Self, NodesError> {
        let refuse = |reason| NodesError::Server { text: text.to_owned(), reason };
        let (tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(refuse("it has to begin with https:// or http://")),
        };
        let address = rest.strip_suffix('/').unwrap_or(rest);
        if address.contains('/') {
            return Err(refuse("it has a path"));
        }
        if address.contains('@') {
            return Err(refuse("credentials go into a file"));
        }
        if !is_host_and_port(address) {
            return Err(refuse("its host cannot be one"));
        }
        Ok(Server { tls, address: address.to_ascii_lowercase() })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }
}

/// Reads a list of servers: at least one, none twice, and no other machine without TLS unless that was said.
pub fn parse(texts: &[String], plain_http: bool) -> Result<Vec<Server>, NodesError> {
    let mut servers: Vec<Server> = Vec::new();
    for text in texts {
        let server: Server = text.parse()?;
        if !server.tls && !server.is_loopback() && !plain_http {
            return Err(NodesError::PlainHttp { server: server.to_string() });
        }
        if servers.iter().any(|known| known.address == server.address) {
            return Err(NodesError::Server { text: text.clone(), reason: "it is there twice" });
        }
        servers.push(server);
    }
    if servers.is_empty() { Err(NodesError::NoServer) } else { Ok(servers) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[&str], plain_http: bool) -> Result<Vec<Server>, NodesError> {
        parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), plain_http)
    }

    #[test]
    fn servers_are_scheme_host_and_port() {
        let servers = all(&["https://registry.site:5000/", "https://[fd00::1]:443", "http://127.0.0.1:5000"], false);
        let servers = servers.unwrap();
        let said: Vec<String> = servers.iter().map(Server::to_string).collect();
        assert_eq!(said, ["https://registry.site:5000", "https://[fd00::1]:443", "http://127.0.0.1:5000"]);
        assert_eq!(servers.iter().map(Server::host).collect::<Vec<_>>(), ["registry.site", "[fd00::1]", "127.0.0.1"]);
        assert_eq!(servers.iter().map(Server::is_loopback).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "registry.site:5000",
            "ftp://registry.site",
            "https://",
            "https://a/b",
            "https://u:p@a",
            "https://a b",
            "https://a\n",
            "https://a?x",
            "https://a\"",
        ] {
            assert!(matches!(all(&[text], true), Err(NodesError::Server { .. })), "{text}");
        }
        assert!(matches!(all(&[], true), Err(NodesError::NoServer)));
        assert!(matches!(all(&["https://a:1", "http://a:1"], true), Err(NodesError::Server { .. })));
    }

    #[test]
    fn another_machine_without_tls_has_to_be_said() {
        assert!(matches!(all(&["http://10.0.0.3:5000"], false), Err(NodesError::PlainHttp { .. })));
        assert!(all(&["http://10.0.0.3:5000"], true).is_ok());
        assert!(all(&["http://[::1]:5000"], false).is_ok());
    }
}
