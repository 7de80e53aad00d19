//! Where content lies in a registry that the site already has, and the tags that keep it there. Pure functions.
//!
//! - An image keeps its name below the path: `quay.io/argoproj/argocd` is `PATH/quay.io/argoproj/argocd`. The colon of
//!   a port is written `_`, which no host name has, so that no two upstreams ever meet.
//! - A manifest is kept by a tag `consign-PRODUCT-SEQUENCE-KEY`. Product and sequence are for people who look at the
//!   registry; the key, from site, release and manifest, tells two manifests of one repository, two releases and two
//!   sites apart, so that whoever removes a tag removes his own.

use consign_format::reference::is_repository;
use consign_format::{Digest, Name};
use consign_registry::push::{Address, Top};
use consign_registry::serve::lookup::host_in_path;

use super::SiteRegistryError;
use crate::store::repositories::Named;

/// How much of the key's digest a tag has. A tag has at most 128 bytes: 8 + 63 + 1 + 20 + 1 + 16.
const KEY: usize = 16;

/// The repository below `consign.internal/` in which it is tried what the registry takes.
pub(super) const SCRATCH: (&str, &str) = (consign_format::state::HOST, "probe");

/// The repository of something that is called `HOST/REPOSITORY`.
pub fn place(address: &Address, host: &str, repository: &str) -> Result<String, SiteRegistryError> {
    let placed = address.repository(&format!("{}/{repository}", host_in_path(host)));
    if is_repository(&placed) {
        return Ok(placed);
    }
    Err(SiteRegistryError::Unplaceable { name: format!("{host}/{repository}"), place: placed })
}

/// The tag by which a site keeps a manifest of a release.
pub fn retention_tag(site: &Name, product: &Name, sequence: u64, release: &Digest, manifest: &Digest) -> String {
    let key = Digest::of(format!("{site} {release} {manifest}").as_bytes()).hex();
    format!("consign-{product}-{sequence}-{}", &key[..KEY])
}

/// A release, as far as its tags need it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held<'a> {
    /// The site that holds it.
    pub(super) site: &'a Name,
    /// The product.
    pub(super) product: &'a Name,
    /// Its sequence.
    pub(super) sequence: u64,
    /// Its digest.
    pub(super) release: &'a Digest,
}

/// What has to be in the registry for the names of a release. Its own tags are moved at activate, and not here.
pub(super) fn tops(address: &Address, held: &Held<'_>, names: &[Named]) -> Result<Vec<Top>, SiteRegistryError> {
    let mut tops: Vec<Top> = Vec::new();
    for named in names {
        let repository = place(address, &named.host, &named.repository)?;
        if tops.iter().any(|top| top.repository == repository && top.descriptor.digest == named.digest) {
            continue;
        }
        let tag = retention_tag(held.site, held.product, held.sequence, held.release, &named.digest);
        tops.push(Top { repository, descriptor: named.descriptor(), tags: vec![tag] });
    }
    Ok(tops)
}

#[cfg(test)]
mod tests {
    use consign_format::media_type;
    use consign_format::reference::is_tag;

    use super::*;

    #[test]
    fn no_two_upstreams_meet() {
        let address = Address::parse("https://harbor.site/consign", false).unwrap();
        let hosts = ["quay.io", "quay.io:443", "quay.io-443", "quay.io:4433", "[::1]:5000", "[::1]", "localhost:5000"];
        let mut placed: Vec<String> = hosts.iter().map(|host| place(&address, host, "a/b").unwrap()).collect();
        assert_eq!(placed[..2], ["consign/quay.io/a/b", "consign/quay.io_443/a/b"]);
        assert_eq!(placed[4], "consign/ipv6_0-0-0-0-0-0-0-1_5000/a/b");
        assert_eq!(place(&address, "Quay.io", "a/b").unwrap(), placed[0]);
        placed.sort();
        placed.dedup();
        assert_eq!(placed.len(), hosts.len());
        assert!(place(&address, "quay.io", &"a/".repeat(130)).is_err(), "longer than a repository may be");
    }

    #[test]
    fn tags_keep_releases_sites_and_manifests_apart() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
        let long = name(&"p".repeat(63));
        let tags = [
            retention_tag(&name("a"), &name("lumen"), 7, &one, &one),
            retention_tag(&name("b"), &name("lumen"), 7, &one, &one),
            retention_tag(&name("a"), &name("lumen"), 7, &other, &one),
            retention_tag(&name("a"), &name("lumen"), 7, &one, &other),
            retention_tag(&name("a"), &name("lumen-7"), 7, &one, &one),
            retention_tag(&long, &long, u64::MAX, &one, &one),
        ];
        assert!(tags[0].starts_with("consign-lumen-7-"), "{}", tags[0]);
        assert!(tags.iter().all(|tag| is_tag(tag)), "{tags:?}");
        assert_eq!(tags.iter().collect::<std::collections::BTreeSet<_>>().len(), tags.len());
    }

    #[test]
    fn one_manifest_under_two_tags_is_kept_once() {
        let address = Address::parse("https://harbor.site", false).unwrap();
        let named = |tag: &str, content: &[u8]| Named {
            host: "quay.io".to_owned(),
            repository: "a/b".to_owned(),
            tag: Some(tag.to_owned()),
            media_type: media_type::OCI_MANIFEST.to_owned(),
            digest: Digest::of(content),
            size: 1,
        };
        let (site, product) = ("s".parse().unwrap(), "p".parse().unwrap());
        let held = Held { site: &site, product: &product, sequence: 1, release: &Digest::of(b"r") };
        let tops = tops(&address, &held, &[named("1", b"x"), named("latest", b"x"), named("2", b"y")]).unwrap();
        assert_eq!(tops.len(), 2);
        assert_ne!(tops[0].tags, tops[1].tags, "two manifests of one repository need two tags");
    }
}
