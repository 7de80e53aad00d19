//! The distribution specification's own suite, set to read-only: the judge that other registries are judged by.

use std::process::Command;

use consign_tests::skip;
use consign_tests::tools::{Tool, go_is_installed};

use crate::site::Site;

#[test]
fn the_specifications_own_suite_passes() {
    let is_there = Tool::Conformance.path().is_ok_and(|path| path.exists()) || go_is_installed();
    if !skip::unless(is_there, "Go is not installed", "https://go.dev/dl, 1.26 or newer") {
        return;
    }
    let judge = Tool::Conformance.get().unwrap_or_else(|error| panic!("{error}"));
    let site = Site::start();
    let results = tempfile::tempdir().unwrap();
    let blobs: Vec<String> = site.blobs_of_image().iter().map(ToString::to_string).collect();
    let output = Command::new(judge)
        .current_dir(results.path())
        .env("OCI_RESULTS_DIR", results.path())
        .env("OCI_VERSION", "1.1")
        .env("OCI_REGISTRY", &site.address)
        .env("OCI_TLS", "disabled")
        .env("OCI_REPO1", "docker.io/library/x")
        .env("OCI_API_PUSH", "false")
        .env("OCI_API_BLOBS_DELETE", "false")
        .env("OCI_API_MANIFESTS_DELETE", "false")
        .env("OCI_API_TAGS_DELETE", "false")
        .env("OCI_RO_DATA_TAGS", "1")
        .env("OCI_RO_DATA_MANIFESTS", format!("{} {}", site.image.digest, site.referrer.digest))
        .env("OCI_RO_DATA_BLOBS", blobs.join(" "))
        .env("OCI_RO_DATA_REFERRERS", site.image.digest.to_string())
        .output()
        .unwrap();
    // Its exit status says nothing in this mode: it stumbles over its own YAML report after the verdict is printed.
    let said = String::from_utf8_lossy(&output.stdout);
    let verdict: Vec<&str> = said.lines().take_while(|line| !line.starts_with("Configuration:")).collect();
    assert!(verdict.contains(&"OCI Conformance Test: Pass"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let judged = |line: &&&str| !line.ends_with(": Disabled") && line.contains(": ");
    assert!(verdict.iter().filter(judged).all(|line| line.ends_with(": Pass")), "{said}");
    // A judge that asked nothing would pass too.
    let asked = site.asked();
    for part in ["/manifests/1", "/manifests/sha256:", "/blobs/sha256:", "/tags/list", "/referrers/sha256:"] {
        assert!(asked.iter().any(|(_, target, status)| target.contains(part) && *status == 200), "{part}: {said}");
    }
}
