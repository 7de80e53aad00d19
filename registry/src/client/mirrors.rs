//! Which host is asked for a reference.

use std::collections::BTreeMap;

use consign_format::Reference;
use consign_format::reference::{is_host_and_port, is_repository};

use super::OptionsError;

#[derive(Debug)]
struct Mirror {
    host: String,
    prefix: Option<String>,
}

/// The mirrors, checked.
#[derive(Debug)]
pub(super) struct Mirrors(BTreeMap<String, Mirror>);

/// Where a repository is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) repository: String,
    /// The mirror, where the request goes to it and names `host` in `?ns=`: a mirror without a prefix of its own
    /// could not tell upstreams apart otherwise.
    pub(super) says_ns: Option<String>,
}

impl Place {
    /// The host that gets the request.
    pub(super) fn asked(self) -> String {
        self.says_ns.unwrap_or(self.host)
    }
}

impl Mirrors {
    /// Checks the form `host` or `host/prefix` of each.
    pub(super) fn parse(mirrors: &BTreeMap<String, String>) -> Result<Self, OptionsError> {
        let mut parsed = BTreeMap::new();
        for (upstream, mirror) in mirrors {
            let (host, prefix) = match mirror.split_once('/') {
                Some((host, prefix)) => (host, Some(prefix.trim_end_matches('/'))),
                None => (mirror.as_str(), None),
            };
            let prefix = prefix.filter(|prefix| !prefix.is_empty());
            if !is_host_and_port(upstream) || !is_host_and_port(host) || !prefix.is_none_or(is_repository) {
                return Err(OptionsError::Mirror { upstream: upstream.clone(), mirror: mirror.clone() });
            }
            let mirror = Mirror { host: host.to_owned(), prefix: prefix.map(str::to_owned) };
            parsed.insert(upstream.clone(), mirror);
        }
        Ok(Mirrors(parsed))
    }

    pub(super) fn place(&self, reference: &Reference) -> Place {
        let (host, repository) = (reference.host.clone(), reference.repository.clone());
        match self.0.get(&host) {
            None => Place { host, repository, says_ns: None },
            Some(Mirror { host: mirror, prefix: None }) => Place { host, repository, says_ns: Some(mirror.clone()) },
            Some(Mirror { host: mirror, prefix: Some(prefix) }) => {
                Place { host: mirror.clone(), repository: format!("{prefix}/{repository}"), says_ns: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(pairs: &[(&str, &str)]) -> Result<Mirrors, OptionsError> {
        Mirrors::parse(&pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
    }

    #[test]
    fn references_are_led_to_their_mirror() {
        let mirrors = mirrors(&[("docker.io", "registry.corp/docker/"), ("quay.io", "cache:5000")]).unwrap();
        for (reference, asked, repository) in [
            ("nginx:1", "registry.corp", "docker/library/nginx"),
            ("quay.io/a/b", "cache:5000", "a/b"),
            ("ghcr.io/a/b", "ghcr.io", "a/b"),
        ] {
            let place = mirrors.place(&reference.parse().unwrap());
            assert_eq!(place.repository, repository);
            assert_eq!(place.asked(), asked);
        }
    }

    #[test]
    fn mirrors_that_are_none_are_refused() {
        for (upstream, mirror) in
            [("docker.io", "https://registry.corp"), ("docker.io/library", "x.y"), ("docker.io", "x.y/A"), ("a.b", "")]
        {
            assert!(matches!(mirrors(&[(upstream, mirror)]), Err(OptionsError::Mirror { .. })), "{upstream} {mirror}");
        }
    }
}
