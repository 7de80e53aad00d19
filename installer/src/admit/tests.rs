//! Every decision as a row: what the bundle says, what the site remembers, what comes of it.

use consign_format::carriage::{Carriage, TYPE};
use consign_format::release::{
    KubernetesTarget, OnFailure, Provenance, ReleaseManifest, Requirement, Rollout, SCHEMA, SourceSignature,
};
use consign_format::trust::Audience;
use consign_format::trust::document::Approval;

use super::*;
use crate::site::Counter;
use crate::store::products::Current;

const NOW: &str = "2026-11-22T12:00:00Z";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn vouched(version: &str, sequence: u64) -> Vouched {
    let digest = Digest::of(version.as_bytes());
    let approval = Approval {
        product: name("demo"),
        version: version.into(),
        line: None,
        sequence,
        issued: 1,
        audience: Audience::any(),
        minimum_installer: "0.1.0".into(),
    };
    let source = Provenance {
        url: None,
        reference: "main".into(),
        commit: String::new(),
        tree: String::new(),
        commit_time: 0,
        signature: SourceSignature::Absent,
    };
    let rollout = Rollout { on_failure: OnFailure::Halt, health_timeout: 1, allow_prune: vec![], irreversible: false };
    let release = ReleaseManifest {
        schema: SCHEMA.into(),
        product: name("demo"),
        version: version.into(),
        line: None,
        sequence,
        issued: 1,
        source,
        kubernetes: KubernetesTarget { version: "1.33".into(), apis: vec![] },
        namespace: None,
        state: digest,
        images: vec![],
        files: vec![],
        services: vec![],
        secrets: vec![],
        requires: vec![],
        upgrade_from: None,
        rollout,
        tools: BTreeMap::new(),
        blobs: vec![],
    };
    let carriage =
        Carriage { kind: TYPE.into(), release: digest, boundary: 0, payload: 0, audience: None, members: vec![] };
    Vouched {
        bundle_id: digest,
        release_digest: digest,
        approval,
        carriage,
        release,
        versions: [sequence; 3],
        expires: ("2030-01-01T00:00:00Z".into(), "timestamp.json"),
    }
}

fn installed(version: &str, sequence: u64) -> ReleaseRef {
    let digest = Digest::of(version.as_bytes());
    ReleaseRef { digest, version: version.into(), sequence, line: None, bundle: digest }
}

fn product(version: &str, sequence: u64) -> ProductState {
    let mut product = ProductState::new(name("dev"), name("demo"));
    product.current = Some(Current { release: installed(version, sequence), confirmed: true });
    product
}

struct World {
    site: Name,
    trust: ProductTrust,
    record: Option<SiteRecord>,
    floor: Option<Floor>,
    grants: Vec<DowngradeGrant>,
    product: Option<ProductState>,
    confirmed: BTreeMap<Name, ReleaseRef>,
}

impl World {
    fn empty() -> Self {
        let (trust, confirmed) = (ProductTrust::default(), BTreeMap::new());
        World { site: name("s1"), trust, record: None, floor: None, grants: vec![], product: None, confirmed }
    }

    fn with(version: &str, sequence: u64) -> Self {
        let release = Digest::of(version.as_bytes());
        let trust = ProductTrust { verified: Some(Counter { sequence, release }), ..ProductTrust::default() };
        World { trust, product: Some(product(version, sequence)), ..World::empty() }
    }

    fn ask(&self, vouched: &Vouched, ask: Ask) -> Result<Admission, Refusal> {
        let memory = Memory {
            site: &self.site,
            trust: self.trust.clone(),
            record: self.record.as_ref(),
            floor: self.floor.as_ref(),
            grants: self.grants.clone(),
            product: self.product.as_ref(),
            confirmed: self.confirmed.clone(),
            installer: "0.1.0",
        };
        admit(vouched, &memory, ask, NOW)
    }

    fn refuses(&self, vouched: &Vouched, code: Code, says: &str) {
        let refusal = self.ask(vouched, Ask::default()).unwrap_err();
        assert_eq!((refusal.code(), refusal.to_string().as_str()), (code, says));
        assert!(refusal.hint().is_some());
    }
}

#[test]
fn sequences_decide_what_is_newer() {
    let empty = World::empty();
    assert_eq!(empty.ask(&vouched("1", 1), Ask::default()), Ok(Admission::default()));
    let site = World::with("2", 20);
    assert!(!site.ask(&vouched("3", 21), Ask::default()).unwrap().again);
    assert!(site.ask(&vouched("2", 20), Ask::default()).unwrap().again);
    site.refuses(&vouched("1", 19), codes::OLDER_RELEASE, "demo 1 has sequence 19, and this site has accepted 20");
    let (known, offered) = (Digest::of(b"2"), Digest::of(b"2b"));
    site.refuses(
        &vouched("2b", 20),
        codes::SEQUENCE_REUSED,
        &format!("sequence 20 of demo is known here as release {known}, and this is release {offered}"),
    );
}

#[test]
fn the_floor_of_the_root_holds_for_a_fresh_site_too() {
    let mut site = World::empty();
    site.floor = Some(Floor { sequence: 5, reset: false });
    assert!(site.ask(&vouched("1", 5), Ask::default()).is_ok());
    site.refuses(&vouched("1", 4), codes::OLDER_RELEASE, "demo 1 has sequence 4, and the root accepts nothing below 5");
}

fn grant(from: u64, to: u64, version: &str) -> DowngradeGrant {
    DowngradeGrant {
        kind: "downgrade-grant".into(),
        domain: name("dev"),
        site: name("s1"),
        product: name("demo"),
        from,
        to,
        release: Digest::of(version.as_bytes()),
        expires: NOW.into(),
    }
}

#[test]
fn a_grant_leads_back_to_one_release_from_one_sequence_until_it_runs_out() {
    let offered = || {
        let mut offered = vouched("1", 10);
        offered.release.upgrade_from = Some(">=3".into());
        offered
    };
    let with = |grant: DowngradeGrant| World { grants: vec![grant], ..World::with("2", 20) };
    let taken = with(grant(20, 10, "1")).ask(&offered(), Ask::default()).unwrap();
    assert_eq!(taken.warnings, ["going back from sequence 20 by a signed grant"]);
    let early = DowngradeGrant { expires: "2026-11-22T11:59:59Z".into(), ..grant(20, 10, "1") };
    for wrong in [grant(19, 10, "1"), grant(20, 9, "1"), grant(20, 10, "1b"), early] {
        let refusal = with(wrong.clone()).ask(&offered(), Ask::default()).unwrap_err();
        assert_eq!(refusal.code(), codes::OLDER_RELEASE, "{wrong:?}");
    }
    let mut floored = with(grant(20, 10, "1"));
    floored.floor = Some(Floor { sequence: 11, reset: false });
    assert_eq!(floored.ask(&offered(), Ask::default()).unwrap_err().code(), codes::OLDER_RELEASE, "the floor stays");
}

#[test]
fn environments_and_labels_count_from_a_signed_record_alone() {
    let record = SiteRecord {
        kind: "site-record".into(),
        domain: name("dev"),
        site: name("s1"),
        serial: 1,
        issued: 1,
        environments: vec![name("hospital")],
        labels: vec!["region=north".into()],
        variants: BTreeMap::new(),
        receipt_key: consign_format::trust::keys::PublicKey(String::new()),
        recipient: None,
    };
    let (without, with) = (World::empty(), World { record: Some(record), ..World::empty() });
    for audience in [
        Audience { environments: vec![name("hospital")], ..Audience::default() },
        Audience { labels: vec!["region=north".into()], ..Audience::default() },
    ] {
        let mut bundle = vouched("1", 1);
        bundle.approval.audience = audience;
        assert_eq!(without.ask(&bundle, Ask::default()).unwrap_err().code(), codes::OTHER_SITE);
        assert!(with.ask(&bundle, Ask::default()).is_ok());
    }
    let mut elsewhere = vouched("1", 1);
    elsewhere.approval.audience = Audience { environments: vec![name("tower")], ..Audience::default() };
    assert_eq!(with.ask(&elsewhere, Ask::default()).unwrap_err().code(), codes::OTHER_SITE);
}

#[test]
fn only_what_is_addressed_here_is_taken() {
    let site = World::empty();
    let mut bundle = vouched("1", 1);
    bundle.approval.audience = Audience { sites: vec![name("s1"), name("s2")], ..Audience::default() };
    assert!(site.ask(&bundle, Ask::default()).is_ok());
    // The publisher has narrowed it.
    bundle.carriage.audience = Some(Audience { sites: vec![name("s2")], ..Audience::default() });
    site.refuses(&bundle, codes::OTHER_SITE, "the bundle is addressed to site s2, and this is site `s1`");
    let by_environment =
        Audience { environments: vec![name("prod")], labels: vec!["a=b".into()], ..Audience::default() };
    bundle.carriage.audience = Some(by_environment);
    site.refuses(
        &bundle,
        codes::OTHER_SITE,
        "the bundle is addressed to environment prod, label a=b, and this is site `s1`",
    );
    bundle.carriage.audience = Some(Audience::default());
    site.refuses(&bundle, codes::OTHER_SITE, "the bundle is addressed to nobody, and this is site `s1`");
}

#[test]
fn a_newer_installer_may_be_needed() {
    let mut bundle = vouched("1", 1);
    bundle.approval.minimum_installer = "0.2.0".into();
    World::empty().refuses(
        &bundle,
        codes::INSTALLER_TOO_OLD,
        "demo 1 needs consign-site 0.2.0 or newer, and this is 0.1.0",
    );
}

#[test]
fn a_release_says_what_it_may_follow() {
    let site = World::with("2026.5", 20);
    let mut next = vouched("2026.11", 21);
    next.release.upgrade_from = Some(">=2026.6".into());
    site.refuses(&next, codes::NOT_UPGRADABLE, "demo 2026.11 must follow a version >=2026.6, and 2026.5 is installed");
    assert!(World::with("2026.6", 20).ask(&next, Ask::default()).is_ok());
    assert!(World::empty().ask(&next, Ask::default()).is_ok(), "a first install follows nothing");
    // What is not confirmed is not installed.
    let mut unconfirmed = World::with("2026.5", 20);
    unconfirmed.product.as_mut().unwrap().current.as_mut().unwrap().confirmed = false;
    assert!(unconfirmed.ask(&next, Ask::default()).is_ok());
    next.release.upgrade_from = Some("^1".into());
    site.refuses(&next, codes::RELEASE_MALFORMED, "the release names versions in a form nobody understands");
}

#[test]
fn another_line_must_not_go_back() {
    let mut site = World::with("2.0", 20);
    site.product.as_mut().unwrap().current.as_mut().unwrap().release.line = Some(name("2"));
    let mut older = vouched("1.9", 21);
    older.release.line = Some(name("1-lts"));
    site.refuses(&older, codes::NOT_UPGRADABLE, "demo 1.9 of line 1-lts is lower than 2.0 of line 2");
    let mut newer = vouched("3.0", 21);
    newer.release.line = Some(name("3"));
    assert!(site.ask(&newer, Ask::default()).is_ok());
    let mut same_line = vouched("1.9", 21);
    same_line.release.line = Some(name("2"));
    assert!(site.ask(&same_line, Ask::default()).is_ok(), "within a line the sequence decides");
}

#[test]
fn requirements_are_confirmed_products() {
    let mut bundle = vouched("1", 1);
    bundle.release.requires = vec![Requirement { product: name("platform"), versions: ">=2026.9".into() }];
    let mut site = World::empty();
    site.refuses(
        &bundle,
        codes::REQUIREMENT_MISSING,
        "demo 1 requires platform >=2026.9, and it is not installed here",
    );
    site.confirmed.insert(name("platform"), installed("2026.8", 1));
    site.refuses(&bundle, codes::REQUIREMENT_MISSING, "demo 1 requires platform >=2026.9, and 2026.8 is installed");
    site.confirmed.insert(name("platform"), installed("2026.9", 2));
    assert!(site.ask(&bundle, Ask::default()).is_ok());
}

#[test]
fn what_failed_here_is_not_tried_again_unasked() {
    let mut site = World::with("1", 10);
    site.trust.verified = Some(Counter { sequence: 11, release: Digest::of(b"2") });
    site.product.as_mut().unwrap().failed = Some(installed("2", 11));
    let bad = vouched("2", 11);
    site.refuses(&bad, codes::FAILED_BEFORE, "demo 2 failed here before and is not tried again unasked");
    assert!(site.ask(&bad, Ask { retry: true, ..Ask::default() }).is_ok());
    assert!(site.ask(&vouched("3", 12), Ask::default()).is_ok());
}

#[test]
fn expiry_warns_and_refuses_only_where_it_is_enforced() {
    let site = World::empty();
    let mut bundle = vouched("1", 1);
    bundle.expires = (NOW.into(), "targets.json");
    let warning = "targets.json expired on 2026-11-22T12:00:00Z; no newer one has come";
    assert_eq!(site.ask(&bundle, Ask::default()).unwrap().warnings, [warning]);
    let refusal = site.ask(&bundle, Ask { enforce_expiry: true, ..Ask::default() }).unwrap_err();
    assert_eq!(refusal.code(), codes::EXPIRED);
    bundle.expires = ("2026-11-22T12:00:01Z".into(), "targets.json");
    assert!(site.ask(&bundle, Ask { enforce_expiry: true, ..Ask::default() }).unwrap().warnings.is_empty());
}
