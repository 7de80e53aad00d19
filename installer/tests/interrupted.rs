//! Power can go at any instant: a run that is killed leaves the old state or the new one, never a mixed one, and running
//! again ends where the first run would have ended.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use consign_format::Digest;
use consign_installer::site::Site;
use consign_registry::serve::Content;
use kit::Draft;
use site_kit::TestSite;

fn install(root: &Path, bundle: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consign-site"));
    command.env_clear().arg("--root-dir").arg(root).args(["install", "--handoff", "export"]).arg(bundle);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A release of many small and some larger layers.
fn large(version: &str, sequence: u64) -> Draft {
    let mut draft = Draft::new(version, sequence);
    for n in 0..60 {
        let layer = format!("{version} {n} ").repeat(if n % 10 == 0 { 200_000 } else { 50 });
        draft = draft.with_image(&format!("registry.example/app{n}:1"), &layer);
    }
    draft
}

#[test]
fn a_killed_run_is_resumed_by_running_again() {
    let site = TestSite::enrolled();
    site.install(&Draft::new("1.0", 10)).unwrap();
    let mut killed = 0;
    for (n, wait) in [0u64, 3, 8, 15, 25, 40, 60, 90, 130, 180, 240, 320].into_iter().enumerate() {
        let version = format!("2.{n}");
        let draft = large(&version, 20 + n as u64);
        let (_medium, path) = site.medium(&draft.bundle());
        let mut run = install(site.root.path(), &path).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        let _ = run.kill();
        killed += usize::from(run.wait().unwrap().signal().is_some());

        // Whatever is there can be read, belongs together, and is served.
        Site::open(site.store()).unwrap();
        let current = site.product().current.unwrap();
        let before = if n == 0 { "1.0".to_owned() } else { format!("2.{}", n - 1) };
        assert!(current.release.version == version || (current.release.version == before && current.confirmed));
        assert_served(&site, current.release.digest);
        site.receipts();

        let status = install(site.root.path(), &path).status().unwrap();
        assert!(status.success(), "{version}: {status}");
        let product = site.product();
        assert_eq!(product.current.unwrap().release.version, version);
        assert_eq!(product.previous.unwrap().version, before);
        assert_served(&site, draft.release_digest());
        let listing = site.store().blobs().unwrap().list().unwrap();
        assert!(listing.strangers.is_empty(), "half-written files were left: {:?}", listing.strangers);
    }
    assert!(killed > 3, "only {killed} runs were killed: this shows nothing");
}

/// Everything that a release names is visible, and every blob is the one its name says.
fn assert_served(site: &TestSite, release: Digest) {
    let content = consign_installer::serve::SiteContent::new(site.store(), Box::new(|problem| panic!("{problem}")));
    let blobs = site.store().blobs().unwrap();
    for named in site.store().read_names(&release).unwrap() {
        let found = content.manifest(&named.host, &named.repository, &named.digest).unwrap();
        assert!(found.is_some(), "{}", named.repository);
    }
    for blob in &site.store().read_release(&release).unwrap().blobs {
        assert_eq!(blobs.rehash(&blob.digest).unwrap(), blob.size);
    }
}
