//! `consign-site serve` as nodes and administrators meet it: TLS with the site's own authority, users, logs, bounds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and writes what may be lost"
)]

use consign_tests::desk::Desk;
use consign_tests::site::Site;

#[path = "serving/curl.rs"]
mod curl;
#[path = "serving/program.rs"]
mod program;
#[path = "serving/tls.rs"]
mod tls;

/// A site that trusts whoever builds the sample.
fn enrolled() -> Site {
    Site::enrolled(&Desk::shared().0.trust())
}

/// Writes what its administrator decides.
fn configure(site: &Site, text: &str) {
    let file = site.root().join("etc/consign/site.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}
