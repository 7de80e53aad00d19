//! From a request to the key of the store: (upstream host, repository). DESIGN §5.
//!
//! containerd says the upstream host in `?ns=`; podman, CRI-O and skopeo know no such thing and put it in front of the
//! path. Only the host tells `ghcr.io/x` from `docker.io/x`; a registry that ignores it mixes them up.

use consign_format::reference::{DOCKER_HUB, is_host, is_host_and_port, is_repository};

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
/// 2. Else the first segment is the host if it has a `.` or a `:` or is `localhost`.
/// 3. Else the host is docker.io. There, a single name is under `library/`.
pub fn key(name: &str, ns: Option<&str>, own: Option<&str>) -> Option<Key> {
    let prefix = name.split_once('/').filter(|(first, _)| is_host(first));
    let (host, path) = match (ns.filter(|ns| Some(*ns) != own), prefix) {
        (Some(ns), Some((first, rest))) if first == ns => (ns, rest),
        (Some(ns), _) => (ns, name),
        (None, Some((first, rest))) => (first, rest),
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

#[cfg(test)]
mod tests {
    use super::*;

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
