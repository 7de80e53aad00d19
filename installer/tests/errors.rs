//! Every error of the site as it is shown: code, exit code, message, cause, hint. One snapshot, so that a change of
//! words is seen by whoever reviews it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

use std::io;
use std::path::PathBuf;

use consign_format::archive::head::ArchiveError;
use consign_format::archive::volumes::{MissingVolumes, VolumeError, VolumePlace};
use consign_format::error::Failure;
use consign_format::trust::keys::PublicKey;
use consign_format::verify::Undecryptable;
use consign_format::{Digest, Name};
use consign_installer::admit::Refusal;
use consign_installer::allow::NotAllowed;
use consign_installer::config::ConfigError;
use consign_installer::desired::DesiredError;
use consign_installer::files::FilesError;
use consign_installer::gc::GcError;
use consign_installer::handoff::export::ExportError;
use consign_installer::images::ImageError;
use consign_installer::install_bundle::Unsettled;
use consign_installer::load::LoadError;
use consign_installer::open::OpenError;
use consign_installer::reach::ToBring;
use consign_installer::scan::ScanError;
use consign_installer::scrub::Rotten;
use consign_installer::serve::ServeError;
use consign_installer::services::ServicesError;
use consign_installer::site::SiteError;
use consign_installer::site::enrol::EnrolError;
use consign_installer::site::record::RecordError;
use consign_installer::site::recover::RecoverError;
use consign_installer::site_secrets::SiteSecretMissing;
use consign_installer::store::StoreError;
use consign_installer::supply::SupplyError;
use consign_installer::tls::TlsError;
use consign_installer::upgrade::UpgradeError;
use consign_registry::manifest::ManifestError;
use consign_registry::serve::UsersError;
use consign_registry::volumes::VolumesError;
use consign_sealed::SealedError;

fn path(text: &str) -> PathBuf {
    PathBuf::from(text)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn digest() -> Digest {
    Digest::of(b"a")
}

fn opening() -> Vec<Failure> {
    let folder = || path("/media/usb");
    vec![
        OpenError::Io { path: path("/media/usb/a.consign"), source: io::ErrorKind::NotFound.into() }.into(),
        OpenError::Unsafe { path: path("/media/usb/a.consign"), what: "a symbolic link" }.into(),
        OpenError::None { path: folder() }.into(),
        OpenError::Several { path: folder(), names: vec!["a.consign".into(), "b.consign".into()] }.into(),
        volume(VolumeError::Truncated(VolumePlace { number: 2, of: 3, from: 70_000, to: 4_000_000 })),
        volume(VolumeError::Head(VolumePlace { number: 2, of: 3, from: 1024, to: 132_096 })),
        volume(VolumeError::Contradictory("volume 2 of 3 was cut another way".into())),
        volume(VolumeError::Foreign {
            wanted: "volume 2 of 3 of radiology 2026.11.0 (head 1a2b3c4d5e6f)".into(),
            found: "volume 2 of 4 of radiology 2026.10.0 (head 6f5e4d3c2b1a)".into(),
        }),
        OpenError::Volumes(VolumesError::Missing { path: path("/media/usb/a.consign"), source: missing() }).into(),
        sealed(SealedError::NotForUs { recipients: 12, recipient: "age1ours".into() }),
        sealed(SealedError::NoKey { recipients: 12 }),
        sealed(SealedError::Damaged(Undecryptable("it ends early"))),
    ]
}

fn volume(source: VolumeError) -> Failure {
    OpenError::Volumes(VolumesError::Volume { path: path("/media/usb/a.consign.2-of-3"), source }).into()
}

fn missing() -> MissingVolumes {
    MissingVolumes { first: 2, last: 3, of: 3, from: 4_000_000, to: 9_000_000 }
}

fn sealed(source: SealedError) -> Failure {
    OpenError::Sealed { path: path("/media/usb/a.consign"), source }.into()
}

fn scanning() -> Vec<Failure> {
    let path = || path("/media/usb/a.consign.scan.json");
    vec![
        ScanError::Missing { path: path() }.into(),
        ScanError::OtherBundle { path: path(), expected: digest(), found: Digest::of(b"b") }.into(),
        ScanError::NoScanner { domain: name("dev"), version: 3 }.into(),
        ScanError::OverLimit { path: path(), limit: 1 << 20 }.into(),
        ScanError::Unreadable { path: path(), source: io::Error::other("Input/output error (os error 5)") }.into(),
    ]
}

fn public(digits: &str) -> PublicKey {
    PublicKey(digits.repeat(32))
}

fn secret_missing(absent: Option<String>) -> Failure {
    let missing = vec!["Secret radiology/db key password".into()];
    SiteSecretMissing { site: name("hospital-7"), absent, missing }.into()
}

fn site() -> Vec<Failure> {
    let dir = || path("/var/lib/consign");
    vec![
        secret_missing(None),
        secret_missing(Some("number 3 was taken, and /var/lib/consign/trust/secrets/dev is gone".into())),
        SiteError::NotEnrolled { dir: dir() }.into(),
        SiteError::DevelopmentRoot { domain: name("dev"), version: 1 }.into(),
        EnrolError::Domain { domain: name("dev"), fingerprint: digest() }.into(),
        EnrolError::OtherName { found: name("hospital-7"), given: name("hospital-8") }.into(),
        EnrolError::InPlace { site: name("hospital-7") }.into(),
        EnrolError::Forgotten { domain: name("dev") }.into(),
        EnrolError::KitKey.into(),
        EnrolError::Key { source: io::Error::other("no randomness") }.into(),
        RecordError::OtherSite { site: name("hospital-7"), found: name("hospital-8") }.into(),
        RecordError::OtherKey { serial: 3, own: public("11"), found: public("22") }.into(),
        RecordError::Reused { serial: 3 }.into(),
        RecoverError::Sound { site: name("hospital-7") }.into(),
        RecoverError::Secrets {
            site: name("hospital-7"),
            reasons: vec!["domain dev: number 3 was taken, and /var/lib/consign/trust/secrets/dev is gone".into()],
        }
        .into(),
        RecoverError::Lost { reasons: vec!["domain dev: there is no copy in the cluster".into()] }.into(),
        RecoverError::OlderRoot { domain: name("dev"), known: 3, offered: 1 }.into(),
        StoreError::Damaged { path: dir().join("trust/site"), reason: "its checksum does not hold".into() }.into(),
        StoreError::Missing { path: dir().join("products/dev/demo") }.into(),
        StoreError::Busy { dir: dir() }.into(),
        StoreError::NoReserve {
            what: "256 KiB in 8 files under /var/lib/consign, and 4 KiB in 900 files are free".into(),
            source: std::io::Error::from_raw_os_error(28),
        }
        .into(),
        ConfigError::Text { path: path("/etc/consign/site.toml") }.into(),
        ServeError::HalfCertificate.into(),
        ServeError::NoFile { path: path("/etc/consign/registry-users") }.into(),
        ServeError::Users { path: path("/etc/consign/registry-users"), source: UsersError::Line { line: 3 } }.into(),
        ServeError::Elsewhere { url: "https://harbor.site/consign".into() }.into(),
        TlsError::Unusable {
            certificate: path("/etc/pki/registry.crt"),
            key: path("/etc/pki/registry.key"),
            reason: "no certificate is in it".into(),
        }
        .into(),
        GcError::Unconfirmed { product: name("radiology"), version: "2.0".into() }.into(),
        Rotten { rotten: 1, missing: 0, products: vec!["radiology 2.0".into()] }.into(),
        ServeError::Listen { listen: "127.0.0.1:80".parse().unwrap(), source: io::ErrorKind::AddrInUse.into() }.into(),
    ]
}

fn admission() -> Vec<Failure> {
    let (product, version) = (|| name("demo"), || "2.0".to_owned());
    vec![
        Refusal::Older { product: product(), version: version(), offered: 9, accepted: 10 }.into(),
        Refusal::BelowFloor { product: product(), version: version(), offered: 9, floor: 10 }.into(),
        Refusal::Reused { product: product(), sequence: 10, known: digest(), offered: Digest::of(b"b") }.into(),
        Refusal::OtherSite { site: name("hospital-7"), audience: "site hospital-8".into() }.into(),
        Refusal::InstallerTooOld {
            product: product(),
            version: version(),
            needed: "0.2.0".into(),
            found: "0.1.0".into(),
        }
        .into(),
        Refusal::NotFrom { product: product(), offered: version(), range: ">=1.5".into(), installed: "1.0".into() }
            .into(),
        Refusal::LowerOfOtherLine {
            product: product(),
            offered: version(),
            line: name("2"),
            installed: "3.0".into(),
            installed_line: name("3"),
        }
        .into(),
        Refusal::Requirement {
            product: product(),
            version: version(),
            required: name("platform"),
            range: ">=2026.9".into(),
            found: "it is not installed here".into(),
        }
        .into(),
        Refusal::FailedBefore { product: product(), version: version() }.into(),
        Refusal::Range("^1".parse::<consign_format::version::VersionRange>().unwrap_err()).into(),
        Refusal::Expired {
            document: "timestamp.json",
            expired: "2026-01-01T00:00:00Z".into(),
            now: "2026-11-22T12:00:00Z".into(),
        }
        .into(),
    ]
}

fn loading() -> Vec<Failure> {
    let image = || "docker.io/library/nginx:1".to_owned();
    vec![
        SupplyError::BaseMissing { count: 3, first: digest() }.into(),
        SupplyError::NoRoom { need: 2_000, free: 1_000, path: path("/var/lib/consign") }.into(),
        SupplyError::NoFiles { need: 40, free: 12, path: path("/var/lib/consign") }.into(),
        LoadError::Archive(ArchiveError::Truncated { offset: 512, member: "index.json".into() }).into(),
        LoadError::Archive(ArchiveError::VolumeMissing { member: "index.json".into(), missing: missing() }).into(),
        LoadError::Archive(ArchiveError::InVolume {
            places: vec![VolumePlace { number: 2, of: 3, from: 70_000, to: 74_000 }],
            source: Box::new(ArchiveError::Truncated { offset: 4_070_000, member: "index.json".into() }),
        })
        .into(),
        LoadError::ToBring(ToBring { missing: vec![missing()], of: 3, blobs: 5, is_cut: false }).into(),
        LoadError::ToBring(ToBring { missing: vec![missing()], of: 3, blobs: 1, is_cut: true }).into(),
        LoadError::Archive(ArchiveError::Encrypted).into(),
        LoadError::Archive(ArchiveError::Undecryptable {
            offset: 512,
            member: "index.json".into(),
            source: Undecryptable("a part of it does not hold"),
        })
        .into(),
        ImageError::Manifest { image: image(), digest: digest(), source: ManifestError::Form }.into(),
        ImageError::Manifest { image: image(), digest: digest(), source: ManifestError::Schema1 }.into(),
        ImageError::Unlisted { image: image(), digest: digest(), size: 5 }.into(),
        ImageError::Hollow { image: image(), digest: digest() }.into(),
        DesiredError::Layers { digest: digest() }.into(),
        ExportError::Foreign { path: path("/srv/export/demo") }.into(),
    ]
}

fn upgrading() -> Vec<Failure> {
    let platform = "linux/amd64".to_owned();
    vec![
        UpgradeError::None { product: "demo".into(), version: "2.0".into(), platform }.into(),
        UpgradeError::NotCarried { digest: digest() }.into(),
        UpgradeError::Older { offered: "0.1.0".into(), running: "0.2.0".into() }.into(),
        UpgradeError::Unusable { reason: "No such file or directory (os error 2)".into() }.into(),
        UpgradeError::NoPrevious { path: path("/usr/local/bin/consign-site.previous") }.into(),
    ]
}

fn settling() -> Vec<Failure> {
    let (product, version) = (|| name("demo"), || "2.0".to_owned());
    let reasons = || vec!["Deployment demo/web: image cannot be pulled".to_owned()];
    let back = |to| Unsettled::RolledBack { product: product(), version: version(), to, reasons: reasons() };
    vec![
        back(Some("1.0".to_owned())).into(),
        back(None).into(),
        Unsettled::Halted { product: product(), version: version(), reasons: reasons() }.into(),
        Unsettled::Stuck { product: product(), version: version(), reasons: reasons() }.into(),
    ]
}

fn placing() -> Vec<Failure> {
    let to = || "/usr/local/bin/k3s".to_owned();
    let unit = || "k3s.service".to_owned();
    vec![
        FilesError::Malformed { to: to(), reason: "two files go there".into() }.into(),
        FilesError::NotAllowed(NotAllowed { what: vec![format!("file {}", to()), format!("unit {}", unit())] }).into(),
        FilesError::Owner { to: to(), owner: "etcd".into(), reason: "only root gives files away" }.into(),
        FilesError::Foreign { to: vec![to(), "/etc/k3s.yaml".into()] }.into(),
        FilesError::Changed { to: vec![to()] }.into(),
        FilesError::Claimed { to: to(), domain: "dev".into(), product: "platform".into() }.into(),
        FilesError::NoRoom { need: "70 MB".into(), free: "1 MB".into(), at: "/usr/local/bin".into() }.into(),
        ServicesError::Malformed { unit: unit(), reason: "it is there twice".into() }.into(),
        ServicesError::Unavailable { reason: "there is no systemctl" }.into(),
        ServicesError::Refused { what: format!("restart -- {}", unit()), reason: "exit status: 1".into() }.into(),
    ]
}

fn shown(all: &[Failure]) -> String {
    let one = |failure: &Failure| format!("{}\nexit {}", consign_terminal::report(failure), failure.code().exit.code());
    all.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn errors_of_files_and_services_read_as_they_should() {
    insta::assert_snapshot!(shown(&placing()));
}

#[test]
fn errors_read_as_they_should() {
    let all: Vec<Failure> = [opening(), scanning(), site(), admission(), loading(), settling(), upgrading()]
        .into_iter()
        .flatten()
        .collect();
    insta::assert_snapshot!(shown(&all));
}
