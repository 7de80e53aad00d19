//! The site's own authority: made at the first start, rotated under load, replaced by the administrator's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use consign_tests::desk::Desk;
use consign_tests::site::Site;

use crate::curl::Curl;
use crate::{configure, enrolled};

const NAMES: &str = "[registry]\nnames = [\"registry.site\"]\n";

fn authority(site: &Site) -> PathBuf {
    site.root().join("etc/consign/ca.crt")
}

fn copy(from: &Path, folder: &Path, name: &str) -> PathBuf {
    let to = folder.join(name);
    std::fs::copy(from, &to).unwrap();
    to
}

#[test]
fn nodes_that_trust_the_authority_are_served_and_others_go_away() {
    if !Desk::is_possible() {
        return;
    }
    let (site, stranger) = (enrolled(), enrolled());
    for site in [&site, &stranger] {
        configure(site, NAMES);
    }
    let served = site.serve_with(&[]);
    stranger.invoke(["registry", "ca", "show"]).succeeds().says("BEGIN CERTIFICATE");
    assert_eq!(Curl::trusting(&authority(&site)).status(&served, "/v2/"), Ok(200));
    let refused = Curl::trusting(&authority(&stranger)).status(&served, "/v2/").unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    assert_eq!(Curl::trusting(&authority(&site)).status(&served, "/healthz"), Ok(200));
    // Plain HTTP is no answer on this port, and does no harm.
    assert!(std::panic::catch_unwind(|| served.get("/v2/")).is_err());
    assert_eq!(Curl::trusting(&authority(&site)).status(&served, "/v2/"), Ok(200));
}

#[test]
fn a_rotation_interrupts_nobody() {
    if !Desk::is_possible() {
        return;
    }
    let site = enrolled();
    // What nodes are told is a name of the registry, without saying so twice.
    configure(&site, "[nodes]\nservers = [\"https://registry.site:5000\"]\n");
    let served = site.serve_with(&[]);
    let folder = tempfile::tempdir().unwrap();
    let first = copy(&authority(&site), folder.path(), "first.crt");
    let ended = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let node = scope.spawn(|| {
            let mut asked = 0;
            while !ended.load(Ordering::Relaxed) {
                assert_eq!(Curl::trusting(&first).status(&served, "/v2/"), Ok(200), "after {asked}");
                asked += 1;
            }
            asked
        });
        site.invoke(["registry", "ca", "rotate"]).succeeds().says("generation 2");
        let second = copy(&authority(&site), folder.path(), "second.crt");
        for _ in 0..5 {
            assert_eq!(Curl::trusting(&second).status(&served, "/v2/"), Ok(200));
        }
        ended.store(true, Ordering::Relaxed);
        node.join().unwrap()
    });
    assert!(asked > 0);
    // Twice over, a node that was never told is out, and one that was told once is not.
    let second = copy(&authority(&site), folder.path(), "second.crt");
    site.invoke(["registry", "ca", "rotate"]).succeeds().says("generation 3");
    assert!(Curl::trusting(&first).status(&served, "/v2/").is_err());
    assert_eq!(Curl::trusting(&second).status(&served, "/v2/"), Ok(200));
    drop(served);
    let again = site.serve_with(&[]);
    assert_eq!(Curl::trusting(&authority(&site)).status(&again, "/v2/"), Ok(200), "after a restart");
}

/// A certificate of an authority of its own for registry.site, by openssl.
fn by_openssl(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=site", "-addext", "subjectAltName=DNS:registry.site"]);
    let output = openssl.arg("-out").arg(&certificate).arg("-keyout").arg(&key).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (certificate, key)
}

#[test]
fn the_administrators_certificate_is_taken_and_followed() {
    if !Desk::is_possible() {
        return;
    }
    let site = enrolled();
    let folder = tempfile::tempdir().unwrap();
    let [(one, one_key), (two, two_key)] = ["one", "two"].map(|name| by_openssl(folder.path(), name));
    let (certificate, key) = (copy(&one, folder.path(), "in-use.crt"), copy(&one_key, folder.path(), "in-use.key"));
    configure(&site, &format!("[registry]\ncertificate = {certificate:?}\nkey = {key:?}\n"));
    let served = site.serve_with(&[]);
    assert_eq!(Curl::trusting(&one).status(&served, "/v2/"), Ok(200));
    // Half a replacement: the certificate before goes on, and that is said.
    copy(&two, folder.path(), "in-use.crt");
    assert_eq!(Curl::trusting(&one).status(&served, "/v2/"), Ok(200));
    assert!(served.said().contains("the certificate before goes on"), "{}", served.said());
    copy(&two_key, folder.path(), "in-use.key");
    assert_eq!(Curl::trusting(&two).status(&served, "/v2/"), Ok(200));
    assert!(!authority(&site).exists(), "the site's own authority is of no use here");
    drop(served);
    configure(&site, &format!("[registry]\ncertificate = {certificate:?}\nkey = {one_key:?}\n"));
    site.invoke(["serve", "--listen", "127.0.0.1:0"]).fails("tls-certificate", 20);
    configure(&site, &format!("[registry]\ncertificate = {certificate:?}\n"));
    site.invoke(["serve", "--listen", "127.0.0.1:0"]).fails("site-config", 2);
}
