//! From a request to the key of the store: (upstream host, repository). DESIGN §5.
//!
//! containerd says the upstream host in `?ns=`; podman, CRI-O and skopeo know no such thing and put it in front of the
//! path. Only the host tells `ghcr.io/x` from `docker.io/x`; a registry that ignores it mixes them up.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use consign_format::reference::{DOCKER_HUB, is_host, is_host_and_port, is_repository};

/// What the segment of an IPv6 address begins with.
const IPV6: &str = "ipv6_";

/// Where something is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The upstream host, with its port where one was written.
    pub host: String,
    /// The repository under that host.
    pub repository: String,
}

/// Finds the key of a request, or `None` if the name or the host does not hold against the grammar.
///
/// 1. `?ns=` names the host, unless it names this very registry (`own`, the `Host` header): then it says nothing.
///    If the path repeats it in front (containerd's `override_path`, k3s's `rewrite`), that part is taken away.
/// 2. Else the first segment is the host if it has a `.` or a `:` or is `localhost`; `_PORT` behind it is its port.
/// 3. Else the host is docker.io. There, a single name is under `library/`.
pub fn key(name: &str, ns: Option<&str>, own: Option<&str>) -> Option<Key> {
    let prefix = name.split_once('/').and_then(|(first, rest)| Some((host_of(first)?, rest)));
    let (host, path) = match (ns.filter(|ns| Some(*ns) != own), &prefix) {
        (Some(ns), Some((first, rest))) if first == ns => (ns, *rest),
        (Some(ns), _) => (ns, name),
        (None, Some((first, rest))) => (first.as_ref(), *rest),
        (None, None) => (DOCKER_HUB, name),
    };
    let host = if host == "index.docker.io" { DOCKER_HUB } else { host };
    if name.len() > 511 || !is_host_and_port(host) || !is_repository(path) {
        return None;
    }
    let single_on_hub = host == DOCKER_HUB && !path.contains('/');
    let repository = if single_on_hub { format!("library/{path}") } else { path.to_owned() };
    Some(Key { host: host.to_owned(), repository })
}

/// A host as the first segment of a path. No path has a colon, and no host a `_`, which therefore stands for it; an IPv6
/// address is written without brackets, its eight groups with `-` between them. Host names are the same in upper and
/// lower case, paths have lower case only.
pub fn host_in_path(host: &str) -> String {
    if let Some((address, rest)) = host.strip_prefix('[').and_then(|host| host.split_once(']'))
        && let Ok(address) = address.parse::<Ipv6Addr>()
    {
        let groups: Vec<String> = address.segments().iter().map(|group| format!("{group:x}")).collect();
        return format!("{IPV6}{}{}", groups.join("-"), rest.replace(':', "_"));
    }
    host.to_ascii_lowercase().replace(':', "_")
}

/// The host that a first segment stands for; `None`: it is the beginning of a repository.
fn host_of(segment: &str) -> Option<Cow<'_, str>> {
    let (host, port) = match segment.strip_prefix(IPV6) {
        Some(rest) => {
            let (groups, port) = rest.split_once('_').map_or((rest, None), |(groups, port)| (groups, Some(port)));
            let address: Ipv6Addr = groups.replace('-', ":").parse().ok()?;
            (Cow::Owned(format!("[{address}]")), port)
        }
        None => match segment.rsplit_once('_') {
            Some((host, port)) if is_host(host) => (Cow::Borrowed(host), Some(port)),
            _ if is_host(segment) => (Cow::Borrowed(segment), None),
            _ => return None,
        },
    };
    Some(port.map_or(host.clone(), |port| Cow::Owned(format!("{host}:{port}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_stands_in_a_path_and_is_found_there() {
        for (host, segment) in [
            ("quay.io", "quay.io"),
            ("quay.io:443", "quay.io_443"),
            ("localhost:5000", "localhost_5000"),
            ("10.0.0.1:5000", "10.0.0.1_5000"),
            ("[fd00::1]:5000", "ipv6_fd00-0-0-0-0-0-0-1_5000"),
            ("[fd00::1]", "ipv6_fd00-0-0-0-0-0-0-1"),
        ] {
            assert_eq!(host_in_path(host), segment);
            let found = key(&format!("{segment}/org/app"), None, None).unwrap_or_else(|| panic!("{segment}"));
            assert_eq!((found.host.as_str(), found.repository.as_str()), (host, "org/app"));
        }
        let found = key("my_org/app", None, None).unwrap();
        assert_eq!((found.host.as_str(), found.repository.as_str()), ("docker.io", "my_org/app"));
        for segment in ["quay.io_", "quay.io_x", "quay.io_99999999", "ipv6_", "ipv6_1-2", "ipv6_fd00-0-0-0-0-0-0-1_x"] {
            let found = key(&format!("{segment}/app"), None, None);
            assert!(found.is_none_or(|found| found.host == "docker.io"), "{segment}");
        }
    }

    #[test]
    fn the_host_is_found() {
        for (name, ns, host, repository) in [
            ("library/nginx", Some("docker.io"), "docker.io", "library/nginx"),
            ("nginx", Some("docker.io"), "docker.io", "library/nginx"),
            ("org/app", Some("ghcr.io"), "ghcr.io", "org/app"),
            ("app", Some("quay.io:443"), "quay.io:443", "app"),
            ("docker.io/library/nginx", Some("docker.io"), "docker.io", "library/nginx"),
            ("docker.io/library/nginx", Some("site:5000"), "docker.io", "library/nginx"),
            ("docker.io/library/nginx", None, "docker.io", "library/nginx"),
            ("docker.io/nginx", None, "docker.io", "library/nginx"),
            ("index.docker.io/nginx", None, "docker.io", "library/nginx"),
            ("nginx", None, "docker.io", "library/nginx"),
            ("org/app", None, "docker.io", "org/app"),
            ("localhost/app", None, "localhost", "app"),
            ("quay.io:443/org/app", None, "quay.io:443", "org/app"),
            ("consign.internal/state/radiology", None, "consign.internal", "state/radiology"),
            ("registry.k8s.io/pause", None, "registry.k8s.io", "pause"),
        ] {
            let found = key(name, ns, Some("site:5000")).unwrap_or_else(|| panic!("{name} {ns:?}"));
            assert_eq!((found.host.as_str(), found.repository.as_str()), (host, repository), "{name} {ns:?}");
        }
    }

    #[test]
    fn tricks_have_no_key() {
        let long = "a/".repeat(200) + "a";
        for (name, ns) in [
            ("", None),
            ("..", None),
            ("a/../b", None),
            ("a//b", None),
            ("/a", None),
            ("a/", None),
            ("A/b", None),
            ("a%2fb", None),
            ("a\0b", None),
            ("a/b:1", None),
            ("docker.io/../x", None),
            ("../docker.io/x", None),
            ("app", Some("")),
            ("app", Some("../etc")),
            ("app", Some("a/b")),
            ("app", Some("a b")),
            ("app", Some("ghcr.io/org")),
            (long.as_str(), None),
        ] {
            assert_eq!(key(name, ns, None), None, "{name} {ns:?}");
        }
    }
}
