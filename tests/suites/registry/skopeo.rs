//! skopeo: raw manifests, copies by tag and by digest, sparse indexes, a password, TLS under the site's authority.

use std::process::Command;
use std::sync::Arc;

use consign_format::Digest;
use consign_registry::serve::{ServeOptions, Users};
use consign_tests::skip;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::site::{Site, architecture, is_installed, run};

fn can_run() -> bool {
    skip::unless(is_installed("skopeo"), "skopeo is not installed", "apt-get install skopeo")
}

fn inspect(target: &str, flags: &[&str]) -> Vec<u8> {
    run(Command::new("skopeo").args(["inspect", "--raw"]).args(flags).arg(target))
}

#[test]
fn reads_manifests_as_they_are() {
    if !can_run() {
        return;
    }
    let site = Site::start();
    let at = &site.address;
    for (name, digest) in [
        ("docker.io/library/x:1".to_owned(), site.image.digest),
        ("library/x:1".to_owned(), site.image.digest),
        (format!("docker.io/library/x@{}", site.image.digest), site.image.digest),
        ("quay.io/team/multi:1".to_owned(), site.index.digest),
        (format!("quay.io/team/multi@{}", site.index.digest), site.index.digest),
    ] {
        let raw = inspect(&format!("docker://{at}/{name}"), &["--tls-verify=false"]);
        assert_eq!(Digest::of(&raw), digest, "{name}");
    }
}

#[test]
fn copies_an_image_and_keeps_its_digest() {
    if !can_run() {
        return;
    }
    let site = Site::start();
    let to = tempfile::tempdir().unwrap();
    let from = format!("docker://{}/docker.io/library/x:1", site.address);
    let into = format!("dir:{}", to.path().display());
    run(Command::new("skopeo").args(["copy", "--preserve-digests", "--src-tls-verify=false", &from, &into]));
    let manifest = std::fs::read(to.path().join("manifest.json")).unwrap();
    assert_eq!(Digest::of(&manifest), site.image.digest);
}

#[test]
fn copies_this_machines_image_out_of_a_sparse_index() {
    if !can_run() {
        return;
    }
    let site = Site::start();
    let to = tempfile::tempdir().unwrap();
    let from = format!("docker://{}/quay.io/team/multi@{}", site.address, site.index.digest);
    let into = format!("oci:{}:multi", to.path().display());
    let arch = format!("--override-arch={}", architecture());
    run(Command::new("skopeo").args([&arch, "copy", "--src-tls-verify=false", &from, &into]));
    let asked = site.asked();
    assert!(asked.iter().all(|(_, target, status)| target == "/v2/" || *status == 200), "{asked:?}");
}

#[test]
fn gives_a_password_where_one_is_wanted() {
    if !can_run() {
        return;
    }
    let users = Users::parse(&Users::line("node", "secret").unwrap()).unwrap();
    let site = Site::with(ServeOptions { users: Some(std::sync::Arc::new(users)), ..ServeOptions::default() });
    let target = format!("docker://{}/docker.io/library/x:1", site.address);
    let raw = inspect(&target, &["--tls-verify=false", "--creds=node:secret"]);
    assert_eq!(Digest::of(&raw), site.image.digest);
    let wrong = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false", "--creds=node:wrong", &target])
        .output()
        .unwrap();
    assert!(!wrong.status.success());
}

#[test]
fn trusts_the_sites_authority_and_no_other() {
    let openssl = skip::unless(
        Command::new("openssl").arg("version").output().is_ok(),
        "openssl is not installed",
        "apt-get install openssl",
    );
    if !can_run() || !openssl {
        return;
    }
    let keys = tempfile::tempdir().unwrap();
    run(Command::new("openssl").current_dir(keys.path()).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=site",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "key.pem",
        "-out",
        "ca.crt",
    ]));
    let chain = CertificateDer::pem_file_iter(keys.path().join("ca.crt")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(keys.path().join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let site = Site::with(ServeOptions { tls: Some(Arc::new(tls)), ..ServeOptions::default() });
    let target = format!("docker://{}/docker.io/library/x:1", site.address);
    std::fs::remove_file(keys.path().join("key.pem")).unwrap();
    let authority = format!("--cert-dir={}", keys.path().display());
    assert_eq!(Digest::of(&inspect(&target, &[&authority])), site.image.digest);
    let stranger = Command::new("skopeo").args(["inspect", "--raw", &target]).output().unwrap();
    assert!(!stranger.status.success(), "an authority that nobody named was trusted");
}
