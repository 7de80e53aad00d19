use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

fn site() -> (tempfile::TempDir, Store) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    (root, store)
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn served(store: &Store) -> ServerCertificate {
    state_file::read(&server_file(store)).unwrap().unwrap()
}

/// What a node that trusts these certificates says of the registry, on a day.
fn trusts(bundle: &str, store: &Store, name: &str, day: u64) -> bool {
    let der = |pem: &str| CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    for root in der(bundle) {
        roots.add(root).unwrap();
    }
    let verifier = WebPkiServerVerifier::builder(std::sync::Arc::new(roots)).build().unwrap();
    let chain = der(&served(store).chain);
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(day * 86_400));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).is_ok()
}

#[test]
fn nodes_trust_the_registry_by_its_names_on_every_day() {
    let (_root, store) = site();
    let authority = Authority::read_or_make(&store, "hospital-a").unwrap();
    assert!(authority.certify(&store, &names(&["registry.site", "10.0.0.3", "localhost"])).unwrap());
    let bundle = std::fs::read_to_string(store.authority_bundle_file()).unwrap();
    for day in [0, 1, 20_000, 2_000_000] {
        for (name, expected) in
            [("registry.site", true), ("10.0.0.3", true), ("other.site", false), ("10.0.0.4", false)]
        {
            assert_eq!(trusts(&bundle, &store, name, day), expected, "{name} on day {day}");
        }
    }
    let (_other, stranger) = site();
    let stranger = Authority::read_or_make(&stranger, "hospital-a").unwrap();
    assert!(!trusts(&stranger.bundle(), &store, "registry.site", 1), "an authority of the same name");
}

#[test]
fn a_certificate_is_made_anew_only_for_other_names_or_another_authority() {
    let (_root, store) = site();
    let authority = Authority::read_or_make(&store, "a").unwrap();
    assert_eq!(Authority::read_or_make(&store, "a").unwrap(), authority);
    let one = names(&["one"]);
    assert!(authority.certify(&store, &one).unwrap());
    let first = served(&store);
    assert!(!authority.certify(&store, &one).unwrap());
    assert_eq!(served(&store), first);
    assert!(authority.certify(&store, &names(&["one", "two"])).unwrap());
    assert!(authority.rotate(&store).unwrap().certify(&store, &one).unwrap());
}

#[test]
fn a_rotation_leaves_no_node_out() {
    let (_root, store) = site();
    let old = Authority::read_or_make(&store, "a").unwrap();
    let name = names(&["registry.site"]);
    old.certify(&store, &name).unwrap();
    let new = old.rotate(&store).unwrap();
    // The registry still shows what the old one signed: nodes that know both take it, and those that know one.
    let published = std::fs::read_to_string(store.authority_bundle_file()).unwrap();
    assert_eq!(published, new.bundle());
    assert!(trusts(&old.bundle(), &store, "registry.site", 1) && trusts(&published, &store, "registry.site", 1));
    new.certify(&store, &name).unwrap();
    assert!(trusts(&old.bundle(), &store, "registry.site", 1), "a node that was not told");
    assert!(trusts(&published, &store, "registry.site", 1) && trusts(&new.certificate, &store, "registry.site", 1));
    // One more, and the first is forgotten.
    let newest = new.rotate(&store).unwrap();
    newest.certify(&store, &name).unwrap();
    assert!(trusts(&new.certificate, &store, "registry.site", 1));
    assert!(!trusts(&old.certificate, &store, "registry.site", 1));
}

#[test]
fn a_damaged_authority_is_said_and_not_replaced() {
    let (_root, store) = site();
    Authority::read_or_make(&store, "a").unwrap();
    let path = authority_file(&store);
    std::fs::write(&path, b"sha256:0").unwrap();
    let error = Authority::read_or_make(&store, "a").unwrap_err();
    assert_eq!(error.code(), codes::STATE_DAMAGED);
    assert!(error.hint().unwrap().contains(path.to_str().unwrap()));
}

#[test]
fn names_that_are_none_are_refused() {
    let (_root, store) = site();
    let authority = Authority::read_or_make(&store, "a").unwrap();
    let error = authority.certify(&store, &names(&["räntgen"])).unwrap_err();
    assert_eq!(error.code(), codes::TLS_CERTIFICATE);
}
