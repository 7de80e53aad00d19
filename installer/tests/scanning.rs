//! A site that takes only what was scanned: what counts as an attestation, and what does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::path::{Path, PathBuf};

use consign_format::archive::head::OpenedBundle;
use consign_format::error::{Code, Failure, codes};
use consign_format::trust::chain::Vouched;
use consign_format::trust::document::{Key, Role, Root};
use consign_format::trust::envelope::Envelope;
use consign_format::trust::keys::{SecretKey, Signer, key_id, sign};
use consign_format::trust::roots::RootChain;
use consign_format::trust::scan::{ScanAttestation, Verdict};
use consign_format::{Digest, Limits};
use consign_installer::admit::Ask;
use consign_installer::install_bundle::{Order, Until};
use consign_installer::verify_bundle::verify_bundle;
use consign_terminal::Silent;
use kit::{Draft, NOW, fingerprint, key, name, root};
use site_kit::{TestSite, clocks};

fn scanner() -> SecretKey {
    SecretKey::from_seed(&[8; 32])
}

/// The root of the kit, and a scanner in it.
fn root_with_scanner() -> Vec<u8> {
    let file = root("dev");
    let mut root: Root = serde_json::from_slice(Envelope::parse("root", &file).unwrap().signed()).unwrap();
    let (public, id) = (scanner().public(), key_id(&scanner().public()).unwrap());
    root.keys.insert(id.clone(), Key::ed25519(&public));
    root.scan = Some(Role { keyids: vec![id], threshold: 1 });
    sign(&root, &[&key() as &dyn Signer]).unwrap()
}

fn draft(version: &str) -> Draft {
    Draft { roots: vec![root_with_scanner()], ..Draft::new(version, 10) }
}

fn vouched(bundle: &[u8], root: &[u8]) -> Vouched {
    let roots = RootChain::enrol(root, None).unwrap();
    OpenedBundle::open(bundle, Limits::DEFAULT).unwrap().read_head().unwrap().verify(&roots).unwrap().vouched
}

fn attestation(bundle: &[u8]) -> ScanAttestation {
    let vouched = vouched(bundle, &root_with_scanner());
    ScanAttestation {
        kind: "scan-attestation".into(),
        domain: name("dev"),
        bundle: vouched.bundle_id,
        release: vouched.release_digest,
        scanner: "clamav".into(),
        verdict: Verdict::Clean,
        report: Digest::of(b"report"),
        attested: NOW,
    }
}

struct Stick {
    _dir: tempfile::TempDir,
    bundle: PathBuf,
}

impl Stick {
    fn of(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("demo.consign");
        std::fs::write(&bundle, bytes).unwrap();
        Stick { _dir: dir, bundle }
    }

    fn beside(&self) -> PathBuf {
        self.bundle.with_file_name("demo.consign.scan.json")
    }
}

/// Both commands must say the same; neither may change anything when it refuses.
fn offered(site: &TestSite, path: &Path) -> Result<(), Failure> {
    let before = fingerprint(site.root.path());
    let ask = Ask { require_scan: true, ..Ask::default() };
    let verified = verify_bundle(&site.site(), path, ask, &clocks(NOW), &Silent).map(|_| ());
    let order = Order { ask, until: Until::Planned };
    let installed = site.install_path_with(path, order).map(|_| ());
    let code = |result: &Result<(), Failure>| result.as_ref().err().map(Failure::code);
    assert_eq!(code(&verified), code(&installed));
    assert_eq!(fingerprint(site.root.path()), before, "{verified:?}");
    verified
}

fn refused(site: &TestSite, path: &Path, code: Code, what: &str) {
    let failure = offered(site, path).expect_err(what);
    assert_eq!(failure.code(), code, "{what}: {failure}");
}

#[test]
fn only_a_valid_scan_of_this_very_bundle_counts() {
    let site = TestSite::bare();
    site.enrol_root(&root_with_scanner(), "hospital-7").unwrap();
    // The lock's file is there from the first run on.
    let _ = site.install_path(Path::new("/nowhere"));
    let bytes = draft("1.0").bundle();
    let stick = Stick::of(&bytes);
    let path = stick.bundle.as_path();
    let put = |attestation: &[u8]| std::fs::write(stick.beside(), attestation).unwrap();
    let whole = attestation(&bytes).sign(&[], &scanner()).unwrap();

    refused(&site, path, codes::SCAN_MISSING, "there is none");
    put(&attestation(&draft("2.0").bundle()).sign(&[], &scanner()).unwrap());
    refused(&site, path, codes::SCAN_MISSING, "of another bundle");
    let other_release = ScanAttestation { release: Digest::of(b"other"), ..attestation(&bytes) };
    put(&other_release.sign(&[], &scanner()).unwrap());
    refused(&site, path, codes::SCAN_MISSING, "of another release");
    put(&attestation(&bytes).sign(&[], &key()).unwrap());
    refused(&site, path, codes::SIGNATURE_INVALID, "by an approver");
    put(&ScanAttestation { domain: name("lab"), ..attestation(&bytes) }.sign(&[], &scanner()).unwrap());
    refused(&site, path, codes::OTHER_DOMAIN, "of another domain");
    let mut flipped = whole.clone();
    *flipped.iter_mut().rev().nth(40).unwrap() ^= 1;
    put(&flipped);
    assert!(offered(&site, path).is_err(), "a flipped bit");
    put(&whole[..whole.len() - 1]);
    refused(&site, path, codes::DOCUMENT_MALFORMED, "cut");
    put(&vec![b' '; (1 << 20) + 1]);
    refused(&site, path, codes::OVER_LIMIT, "too long");

    std::fs::remove_file(stick.beside()).unwrap();
    std::os::unix::fs::symlink("/dev/zero", stick.beside()).unwrap();
    refused(&site, path, codes::UNSAFE_MEDIUM, "a link");
    std::fs::remove_file(stick.beside()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        stick.beside(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    refused(&site, path, codes::UNSAFE_MEDIUM, "a pipe");
    std::fs::remove_file(stick.beside()).unwrap();

    put(&whole);
    offered(&site, path).unwrap();
    // The folder stands for the bundle, and for what lies beside it.
    offered(&site, path.parent().unwrap()).unwrap();
}

#[test]
fn a_root_without_a_scanner_lets_nothing_in() {
    let site = TestSite::enrolled();
    let _ = site.install_path(Path::new("/nowhere"));
    let bytes = Draft::new("1.0", 10).bundle();
    let stick = Stick::of(&bytes);
    let vouched = vouched(&bytes, &root("dev"));
    let said = ScanAttestation {
        bundle: vouched.bundle_id,
        release: vouched.release_digest,
        ..attestation(&draft("1.0").bundle())
    };
    std::fs::write(stick.beside(), said.sign(&[], &key()).unwrap()).unwrap();
    refused(&site, &stick.bundle, codes::SCAN_MISSING, "no role");
    // Without the demand it is an ordinary bundle.
    site.install_path(&stick.bundle).unwrap();
}
