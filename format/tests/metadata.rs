//! Bundles of metadata alone, and statements beside a release.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod kit;

use std::collections::BTreeMap;
use std::io::Cursor;

use consign_format::archive::head::{ArchiveError, OpenedBundle};
use consign_format::archive::plan::metadata_bundle;
use consign_format::error::{Coded, Exit, codes};
use consign_format::trust::keys::{PublicKey, SecretKey, Signer, sign};
use consign_format::trust::statement::{Approved, DowngradeGrant, SiteRecord};
use consign_format::{Digest, Limits};
use kit::{key, parts, trust};

fn record(site: &str, domain: &str, by: &SecretKey) -> Vec<u8> {
    let record = SiteRecord {
        kind: "site-record".into(),
        domain: domain.parse().unwrap(),
        site: site.parse().unwrap(),
        serial: 1,
        issued: 1_795_000_000,
        environments: vec!["hospital".parse().unwrap()],
        labels: vec!["region=north".into()],
        variants: BTreeMap::new(),
        receipt_key: PublicKey::of(&key(9)),
        recipient: None,
    };
    sign(&record, &[by as &dyn Signer]).unwrap()
}

/// Roots, statements, and whether a release follows.
type Read = (usize, Vec<Vec<u8>>, bool);

fn read(bundle: &[u8]) -> Result<Read, ArchiveError> {
    let opened = OpenedBundle::open(Cursor::new(bundle), Limits::DEFAULT)?;
    let roots = opened.roots().len();
    let announced = opened.read_statements()?;
    let statements = announced.statements().to_vec();
    let end = announced.end();
    let head = announced.read_head()?;
    assert_eq!(end, head.is_none().then_some(bundle.len() as u64));
    Ok((roots, statements, head.is_some()))
}

#[test]
fn metadata_alone_is_a_bundle() {
    let parts = parts();
    let statements: Vec<Vec<u8>> = ["ward-7", "ward-8", "ward-9"].map(|site| record(site, "dev", &parts.key)).into();
    let bundle = metadata_bundle(&parts.roots, &statements).unwrap();
    let (roots, found, has_release) = read(&bundle).unwrap();
    assert_eq!((roots, has_release), (1, false));
    let mut expected = statements.clone();
    expected.sort_by_key(|bytes| Digest::of(bytes));
    assert_eq!(found, expected);
    let chain = trust(&parts);
    for bytes in &found {
        assert!(matches!(chain.approved_statement(bytes), Ok(Approved::SiteRecord(_))));
    }
    assert_eq!(read(&metadata_bundle(&parts.roots, &[]).unwrap()).unwrap(), (1, vec![], false));
    let refused = OpenedBundle::open(Cursor::new(&bundle), Limits::DEFAULT).unwrap().read_head();
    assert_eq!(refused.err().unwrap().code(), codes::NO_RELEASE);
    // A release that carries no statement is read past them all the same.
    assert!(read(&parts.pack()).unwrap().2);
}

/// Roots lie open to a flip that leaves their form whole: that is the chain's to refuse, not the archive's.
#[test]
fn every_flip_and_every_cut_is_refused() {
    let parts = parts();
    let bundle = metadata_bundle(&parts.roots, &[record("ward-7", "dev", &parts.key)]).unwrap();
    let chain = trust(&parts);
    let accept = |bytes: &[u8]| -> Result<(), Exit> {
        let opened = OpenedBundle::open(Cursor::new(bytes), Limits::DEFAULT).map_err(|e| e.code().exit)?;
        let roots = chain.follow(opened.roots()).map_err(|e| e.code().exit)?;
        let announced = opened.read_statements().map_err(|e| e.code().exit)?;
        for statement in announced.statements() {
            roots.approved_statement(statement).map_err(|e| e.code().exit)?;
        }
        announced.read_head().map_err(|e| e.code().exit).map(|_| ())
    };
    assert_eq!(accept(&bundle), Ok(()));
    for at in 0..bundle.len() {
        for bit in 0..8 {
            let mut flipped = bundle.clone();
            flipped[at] ^= 1 << bit;
            let exit = accept(&flipped).expect_err(&format!("bit {bit} of byte {at} passed"));
            assert!(matches!(exit, Exit::Damaged | Exit::Malformed | Exit::Untrusted | Exit::Limits | Exit::Older));
        }
        let exit = accept(&bundle[..at]).unwrap_err();
        assert_eq!(exit, Exit::Damaged, "cut at {at}");
    }
    assert_eq!(accept(&[&bundle[..], b"\0"].concat()), Err(Exit::Malformed));
}

#[test]
fn statements_out_of_order_or_twice_are_refused() {
    let parts = parts();
    let mut statements: Vec<Vec<u8>> = ["a", "b"].map(|site| record(site, "dev", &parts.key)).into();
    statements.sort_by_key(|bytes| Digest::of(bytes));
    let whole = metadata_bundle(&parts.roots, &statements).unwrap();
    let front = metadata_bundle(&parts.roots, &[]).unwrap().len() - 1024;
    let second = metadata_bundle(&parts.roots, &statements[..1]).unwrap().len() - 1024;
    let (one, two) = (&whole[front..second], &whole[second..whole.len() - 1024]);
    let with = |middle: &[&[u8]]| [&whole[..front], &middle.concat(), &[0; 1024]].concat();
    assert!(read(&with(&[one, two])).is_ok());
    for wrong in [with(&[two, one]), with(&[one, one])] {
        assert_eq!(read(&wrong).unwrap_err().code(), codes::ARCHIVE_MALFORMED);
    }
}

#[test]
fn a_statement_counts_only_by_its_role_type_and_domain() {
    let parts = parts();
    let chain = trust(&parts);
    let code = |bytes: &[u8]| chain.approved_statement(bytes).unwrap_err().code();
    assert_eq!(code(&record("a", "dev", &key(2))), codes::SIGNATURE_INVALID);
    assert_eq!(code(&record("a", "other", &parts.key)), codes::OTHER_DOMAIN);
    let grant = DowngradeGrant {
        kind: "site-record".into(),
        domain: "dev".parse().unwrap(),
        site: "a".parse().unwrap(),
        product: "p".parse().unwrap(),
        from: 2,
        to: 1,
        release: Digest::of(b""),
        expires: kit::EXPIRES.into(),
    };
    let signed = |grant: &DowngradeGrant| sign(grant, &[&parts.key as &dyn Signer]).unwrap();
    assert_eq!(code(&signed(&grant)), codes::DOCUMENT_MALFORMED, "a grant that says it is a record");
    let grant = DowngradeGrant { kind: "downgrade-grant".into(), ..grant };
    assert_eq!(chain.approved_statement(&signed(&grant)), Ok(Approved::DowngradeGrant(grant.clone())));
    let newer = DowngradeGrant { kind: "of-tomorrow".into(), ..grant };
    assert_eq!(chain.approved_statement(&signed(&newer)), Ok(Approved::Unknown("of-tomorrow".into())));
}
