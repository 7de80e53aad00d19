//! Every way in which a bundle is refused for its form, its hashes or its signatures: code, exit code, message,
//! causes, hint, as people at a site see them.

use std::fmt::Write as _;
use std::io;

use consign_format::archive::head::ArchiveError;
use consign_format::canonical::CanonicalError;
use consign_format::error::Failure;
use consign_format::release::ReleaseError;
use consign_format::trust::TrustError;
use consign_format::verify::Mismatch;
use consign_format::{Digest, Name};

const MEMBER: &str = "blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn archive() -> Vec<ArchiveError> {
    let member = || MEMBER.to_owned();
    let mismatch = Mismatch { expected: Digest::of(b""), found: Digest::of(b"other") };
    vec![
        ArchiveError::Unreadable {
            offset: 4096,
            member: member(),
            source: io::Error::other("Input/output error (os error 5)"),
        },
        ArchiveError::Truncated { offset: 4096, member: member() },
        ArchiveError::Missing { offset: 131_072, member: member() },
        ArchiveError::NotABundle,
        ArchiveError::Malformed { offset: 4096, reason: "the padding of index.json is not zero".to_owned() },
        ArchiveError::OverLimit { what: "metadata/targets.json".to_owned(), limit: 1 << 20 },
        ArchiveError::Digest { member: member(), source: mismatch },
        ArchiveError::Frame { member: member(), reason: "it is not exactly one zstd frame" },
    ]
}

fn trust() -> Vec<TrustError> {
    let document = || "targets.json".to_owned();
    let key = || "7a31".to_owned();
    let name = |text: &str| text.parse::<Name>().unwrap();
    let (given, found) = (Digest::of(b"paper").into(), Digest::of(b"file"));
    vec![
        TrustError::Canonical {
            document: document(),
            source: CanonicalError::Form { offset: 17, reason: "expected a value and no white space" },
        },
        TrustError::Form { document: document(), reason: "its `_type` is another".to_owned() },
        TrustError::SignatureTwice { document: document(), key: key() },
        TrustError::IdleSignature { document: document(), key: key(), reason: "it does not hold" },
        TrustError::BelowThreshold { document: document(), role: "targets".to_owned(), need: 2, have: 1 },
        TrustError::WeakKey { document: "2.root.json".to_owned(), key: key(), reason: "a point of small order" },
        TrustError::RootForeign { version: 1 },
        TrustError::RootGap { from: 1, to: 3 },
        TrustError::Fingerprint { given, found },
        TrustError::NotVouched { document: "carriage.json".to_owned(), vouching: "snapshot.json" },
        TrustError::Contradiction { what: "the sequence" },
        TrustError::NotInRelease { member: MEMBER.to_owned() },
        TrustError::AudienceWidened { who: "site clinic-7".to_owned() },
        TrustError::OtherDomain { expected: name("clinic"), found: name("lab") },
        TrustError::Release(ReleaseError::Schema("consign.dev/release/v9".to_owned())),
    ]
}

#[test]
fn every_refusal_of_a_bundle_says_what_why_and_what_next() {
    let mut page = String::new();
    let failures = archive().into_iter().map(Failure::from).chain(trust().into_iter().map(Failure::from));
    for failure in failures {
        writeln!(page, "{}\nexit {}\n", consign_terminal::report(&failure), failure.code().exit.code()).unwrap();
    }
    insta::assert_snapshot!(page);
}
