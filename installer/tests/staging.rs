//! Staging and activating apart from each other: what is decided anew, what the gates keep waiting, and going back by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod fake_cluster;
mod kit;
mod site_kit;

use std::sync::Arc;

use consign_format::error::{Failure, codes};
use consign_format::receipt::{Action, Outcome};
use consign_format::trust::keys::{SecretKey, Signer, sign};
use consign_format::trust::statement::DowngradeGrant;
use consign_installer::admit::Ask;
use consign_installer::apply::Lookup;
use consign_installer::config::{PrePull, SiteConfig};
use consign_installer::gates::Gates;
use consign_installer::install_bundle::{Finished, Means, Order, Unsettled, Until, activate_staged, roll_back};
use consign_installer::site::Site;
use consign_installer::store::holds::{Hold, Holds};
use consign_terminal::Silent;
use fake_cluster::{Fake, running, shows};
use kit::{Draft, NOW};
use site_kit::{TestSite, clocks, root_after};

/// A site with what its site.toml says of gates.
struct Ward {
    site: TestSite,
    toml: String,
    now: u64,
    overridden: Option<String>,
}

impl Ward {
    /// It runs 1.0.
    fn new(toml: &str) -> Self {
        Ward { site: running(), toml: toml.to_owned(), now: NOW, overridden: None }
    }

    fn gates(&self) -> Gates {
        let config: SiteConfig = toml::from_str(&self.toml).unwrap();
        let settings = (config.windows, config.interlock);
        Gates::new(self.site.store(), settings, Lookup::default(), self.overridden.clone())
    }

    fn stage(&self, fake: &Fake, draft: &Draft) -> Result<Finished, Failure> {
        fake.asked.lock().unwrap().clear();
        let order = Order { until: Until::Staged, ..Order::default() };
        self.site.install_with(&draft.bundle(), order, fake.clone())
    }

    fn work<T>(&self, work: impl AsyncFnOnce(&mut Site, Means<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut site = Site::open_exclusive(self.site.store())?;
        site.apply = self.site.apply.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (clocks, gates) = (clocks(self.now), self.gates());
        let means = Means { clocks: &clocks, progress: &Silent, registry: None, gates: &gates };
        runtime.block_on(work(&mut site, means))
    }

    fn activate(&self, fake: &Fake) -> Result<Finished, Failure> {
        fake.asked.lock().unwrap().clear();
        let product = self.site.product();
        self.work(async |site, means| {
            activate_staged(site, product, Ask::default(), means, async || Ok(fake.clone())).await
        })
    }

    fn roll_back(&self, fake: &Fake) -> Result<Unsettled, Failure> {
        let product = self.site.product();
        self.work(async |site, means| roll_back(site, product, "it smokes", means, async || Ok(fake.clone())).await)
    }

    fn hold(&self, until: Option<u64>) {
        let mut holds = Holds::default();
        holds.set(Some(kit::name("demo")), Hold { reason: "audit".into(), since: NOW, until });
        holds.write(&self.site.store()).unwrap();
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Failure>) -> &'static str {
    result.unwrap_err().code().name
}

#[test]
fn what_is_staged_touches_nothing_that_runs_and_is_activated_without_the_medium() {
    let ward = Ward::new("");
    let fake = Fake::default();
    let staged = ward.stage(&fake, &Draft::new("2.0", 20)).unwrap();
    assert!(matches!(&staged, Finished::Staged(one) if one.version == "2.0" && !one.is_current), "{staged:?}");
    assert_eq!(fake.asked(), ["plan 2.0 (2)"], "asked about, and nothing else");
    assert_eq!(shows(&ward.site), "1.0 - -");
    assert_eq!(ward.site.receipts().len(), 1);
    let finished = ward.activate(&fake).unwrap();
    assert!(matches!(finished, Finished::Installed(_)));
    assert_eq!(fake.asked(), ["plan 2.0 (2)", "apply 2.0 (2)", "health 2.0 (2)"]);
    assert_eq!(shows(&ward.site), "2.0 1.0 -");
    let receipt = &ward.site.receipts()[1].receipt;
    let phases: Vec<&str> = receipt.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(phases, ["verify", "load", "apply", "health"], "the way here is on record");
    assert!(receipt.bytes.written > 0);
    assert_eq!(code(ward.activate(&fake)), "nothing-staged");
}

#[test]
fn nodes_pull_while_a_release_is_staged_and_once_more_before_it_is_activated_later() {
    let mut ward = Ward::new("");
    ward.site.apply.pre_pull = PrePull::On;
    let fake = Fake::default();
    ward.stage(&fake, &Draft::new("2.0", 20)).unwrap();
    assert_eq!(fake.asked(), ["plan 2.0 (2)", "pull 2.0 (2)"]);
    ward.hold(Some(NOW + 60));
    assert_eq!(code(ward.activate(&fake)), "held");
    assert_eq!(fake.asked(), ["plan 2.0 (2)"], "what waits for its gate asks no node again and again");
    ward.now = NOW + 60;
    ward.activate(&fake).unwrap();
    assert_eq!(fake.asked(), ["plan 2.0 (2)", "pull 2.0 (2)", "apply 2.0 (2)", "health 2.0 (2)"]);
    let receipt = &ward.site.receipts()[1].receipt;
    assert!(receipt.phases.iter().any(|phase| phase.name == "pull"), "{:?}", receipt.phases);

    // What a bundle has just brought is pulled whatever the gates say, and once.
    ward.site.now = NOW + 60;
    fake.install(&ward.site, &Draft::new("3.0", 30)).unwrap();
    assert_eq!(fake.asked(), ["plan 3.0 (2)", "pull 3.0 (2)", "apply 3.0 (2)", "health 3.0 (2)"]);
    ward.site.apply.pre_pull = PrePull::Off;
    ward.site.apply.require_zero_downtime = true;
    ward.hold(None);
    assert_eq!(code(fake.install(&ward.site, &Draft::new("4.0", 40))), "held");
    assert_eq!(fake.asked(), ["plan 4.0 (2)", "pull 4.0 (2)"], "an update without an interruption demands it");
}

#[test]
fn a_node_that_cannot_pull_is_found_before_anything_changes() {
    let mut ward = Ward::new("");
    ward.site.apply.pre_pull = PrePull::On;
    let fake = Fake { pull_fails: Some(codes::NODE_CANNOT_PULL), ..Fake::default() };
    let receipts = ward.site.receipts().len();
    assert_eq!(code(fake.install(&ward.site, &Draft::new("2.0", 20))), "node-cannot-pull");
    assert_eq!(fake.asked(), ["plan 2.0 (2)", "pull 2.0 (2)"]);
    assert_eq!(shows(&ward.site), "1.0 - -");
    assert_eq!(ward.site.product().staged.unwrap().release.version, "2.0", "it stays staged");
    assert_eq!(code(ward.activate(&fake)), "node-cannot-pull");
    assert_eq!((shows(&ward.site), ward.site.receipts().len()), ("1.0 - -".to_owned(), receipts));
    // The node is mended.
    ward.activate(&Fake::default()).unwrap();
    assert_eq!(shows(&ward.site), "2.0 1.0 -");
}

#[test]
fn what_is_staged_can_be_required_by_what_is_staged() {
    let ward = Ward::new("");
    let fake = Fake::default();
    let needs = Draft::new("1.0", 1).product("viewer").requires("demo", ">=2");
    assert_eq!(code(ward.stage(&fake, &needs)), "requirement-missing");
    ward.stage(&fake, &Draft::new("2.0", 20)).unwrap();
    ward.stage(&fake, &needs).unwrap();
    let install = ward.site.install_with(&needs.bundle(), Order::default(), fake);
    assert_eq!(code(install), "requirement-missing", "staged is not installed");
}

#[test]
fn a_hold_keeps_everything_waiting_until_it_ends() {
    let mut ward = Ward::new("");
    ward.hold(Some(NOW + 60));
    let fake = Fake::default();
    ward.stage(&fake, &Draft::new("2.0", 20)).unwrap();
    let failure = ward.activate(&fake).unwrap_err();
    assert_eq!(failure.code(), codes::HELD);
    assert_eq!(failure.to_string(), "demo is held until 2026-11-22T12:01:00Z: audit");
    assert_eq!(fake.asked(), ["plan 2.0 (2)"]);
    assert_eq!(shows(&ward.site), "1.0 - -");
    assert!(ward.site.product().staged.is_some());
    ward.now = NOW + 60;
    ward.activate(&fake).unwrap();
    assert_eq!(shows(&ward.site), "2.0 1.0 -");
}

#[test]
fn a_window_that_is_closed_keeps_an_install_waiting() {
    // NOW is noon.
    let mut ward = Ward::new("[[windows]]\nkind = 'allow'\nschedule = '0 13 * * *'\nduration = '1h'\n");
    let fake = Fake::default();
    ward.stage(&fake, &Draft::new("2.0", 20)).unwrap();
    let failure = ward.activate(&fake).unwrap_err();
    assert_eq!(failure.to_string(), "demo is outside its windows, the next one opens 2026-11-22T13:00:00Z");
    assert_eq!(failure.code().exit as u8, 24);
    ward.overridden = Some("the old one is on fire".into());
    ward.activate(&fake).unwrap();
    let receipt = &ward.site.receipts()[1].receipt;
    assert_eq!(receipt.warnings, ["activated without regard to its windows: the old one is on fire"]);
    ward.overridden = None;
    ward.now = NOW + 3600;
    ward.stage(&fake, &Draft::new("3.0", 30)).unwrap();
    ward.activate(&fake).unwrap();
    assert_eq!(shows(&ward.site), "3.0 2.0 -");
}

#[test]
fn a_clock_behind_what_was_signed_opens_no_window() {
    let mut ward = Ward::new("[[windows]]\nkind = 'allow'\nschedule = '* * * * *'\nduration = '1h'\n");
    let fake = Fake::default();
    ward.stage(&fake, &Draft::new("2.0", 20)).unwrap();
    for now in [0, NOW - 7200, u64::MAX, 300_000_000_000] {
        ward.now = now;
        assert_eq!(code(ward.activate(&fake)), "outside-window", "{now}");
    }
    ward.now = NOW;
    ward.activate(&fake).unwrap();
}

#[test]
fn an_interlock_taken_midway_stops_between_stages_and_running_again_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("in-use");
    let ward = Ward::new(&format!("[interlock]\nfile = '{}'\n", file.display()));
    let taken = file.clone();
    let between: Arc<dyn Fn() + Send + Sync> = Arc::new(move || std::fs::write(&taken, "patient\n").unwrap());
    let fake = Fake { between: Some(between), ..Fake::default() };
    ward.stage(&fake, &Draft::new("2.0", 20)).unwrap();
    let failure = ward.activate(&fake).unwrap_err();
    assert_eq!((failure.code(), failure.code().exit as u8), (codes::INTERLOCKED, 24));
    assert_eq!(fake.asked(), ["plan 2.0 (2)", "apply 2.0 (2)"], "no rollback: nothing has failed");
    assert_eq!(shows(&ward.site), "2.0! 1.0 -", "half applied, and it says so");
    assert_eq!(ward.site.receipts().len(), 1);
    let fake = Fake::default();
    assert_eq!(code(ward.activate(&fake)), "interlocked");
    assert_eq!(code(ward.roll_back(&fake)), "interlocked");
    std::fs::remove_file(&file).unwrap();
    ward.activate(&fake).unwrap();
    assert_eq!(shows(&ward.site), "2.0 1.0 -");
}

#[test]
fn what_failed_is_not_activated_again_and_a_new_root_may_end_what_is_staged() {
    let ward = Ward::new("");
    let sick = Fake { sick: Some("2.0"), ..Fake::default() };
    ward.stage(&sick, &Draft::new("2.0", 20)).unwrap();
    assert_eq!(code(ward.activate(&sick)), "unhealthy");
    assert_eq!(shows(&ward.site), "1.0 - 2.0");
    let fake = Fake::default();
    assert_eq!(code(ward.stage(&fake, &Draft::new("2.0", 20))), "failed-before");

    ward.stage(&fake, &Draft::new("3.0", 30)).unwrap();
    let other = SecretKey::from_seed(&[8; 32]);
    let first = kit::root("dev");
    let roots = vec![first.clone(), root_after(&first, &other)];
    let metadata = consign_format::archive::plan::metadata_bundle(&roots, &[]).unwrap();
    ward.site.install_bytes(&metadata, Order::default()).unwrap();
    let failure = ward.activate(&fake).unwrap_err();
    assert_eq!(failure.code(), codes::STAGED_UNDER_OLD_ROOT);
    assert_eq!(failure.to_string(), "demo 3.0 was staged under root 1, and root 2 names other approvers");
    assert!(fake.asked().is_empty(), "not even planned");
    assert_eq!(shows(&ward.site), "1.0 - 2.0");
}

#[test]
fn going_back_by_hand_says_so_in_the_receipt_and_is_remembered() {
    let ward = Ward::new("");
    let fake = Fake::default();
    assert_eq!(code(ward.roll_back(&fake)), "no-way-back");
    fake.install(&ward.site, &Draft::new("2.0", 20)).unwrap();
    ward.roll_back(&fake).unwrap();
    assert_eq!(fake.asked().last().unwrap(), "rollback 1.0 (2)");
    assert_eq!(shows(&ward.site), "1.0 - 2.0");
    let receipt = &ward.site.receipts()[2].receipt;
    assert_eq!((receipt.action, receipt.outcome), (Action::Rollback, Outcome::Applied));
    assert_eq!(receipt.reasons, ["by hand: it smokes"]);
    assert_eq!(receipt.now_current.as_ref().unwrap().version, "1.0");
    assert_eq!(code(ward.stage(&fake, &Draft::new("2.0", 20))), "failed-before");
}

#[test]
fn an_irreversible_release_is_not_taken_back_by_hand_either() {
    let ward = Ward::new("");
    let fake = Fake::default();
    let mut draft = Draft::new("2.0", 20);
    draft.release.rollout.irreversible = true;
    fake.install(&ward.site, &draft).unwrap();
    let failure = ward.roll_back(&fake).unwrap_err();
    assert_eq!(failure.code(), codes::IRREVERSIBLE);
    assert_eq!(shows(&ward.site), "2.0 1.0 -");

    // Leave to go elsewhere is none; the one that its approvers have signed for this way back is.
    let grant = |to: &Draft| DowngradeGrant {
        kind: "downgrade-grant".into(),
        domain: kit::name("dev"),
        site: kit::name("hospital-7"),
        product: kit::name("demo"),
        from: 20,
        to: to.release.sequence,
        release: to.release_digest(),
        expires: "2030-01-01T00:00:00Z".into(),
    };
    let roots = [kit::root("dev")];
    for (to, back) in [(Draft::new("0.9", 9), false), (Draft::new("1.0", 10), true)] {
        let signed = sign(&grant(&to), &[&kit::key() as &dyn Signer]).unwrap();
        let metadata = consign_format::archive::plan::metadata_bundle(&roots, &[signed]).unwrap();
        ward.site.install_bytes(&metadata, Order::default()).unwrap();
        assert_eq!(ward.roll_back(&fake).is_ok(), back);
    }
    assert_eq!(shows(&ward.site), "1.0 - 2.0");
}

#[test]
fn a_way_back_that_was_cut_off_is_gone_on_with_and_not_tried_forward_again() {
    let ward = Ward::new("");
    let cut = Fake { sick: Some("2.0"), rollback_stops: Some(codes::CLUSTER_UNREACHABLE), ..Fake::default() };
    assert_eq!(code(cut.install(&ward.site, &Draft::new("2.0", 20))), "cluster-unreachable");
    assert_eq!(shows(&ward.site), "2.0! 1.0 -");
    assert!(ward.site.product().returning.is_some());
    let well = Fake::default();
    assert_eq!(code(ward.activate(&well)), "unhealthy", "it is healthy by now, and it is taken back all the same");
    assert_eq!(well.asked(), ["rollback 1.0 (2)"]);
    assert_eq!(shows(&ward.site), "1.0 - 2.0");
    assert_eq!(ward.site.product().returning, None);

    // The same, by the medium that is still in the drive.
    let cut = Fake { sick: Some("3.0"), ..cut };
    assert_eq!(code(cut.install(&ward.site, &Draft::new("3.0", 30))), "cluster-unreachable");
    assert_eq!(code(well.install(&ward.site, &Draft::new("3.0", 30))), "unhealthy");
    assert_eq!(well.asked(), ["rollback 1.0 (2)"]);
    assert_eq!(shows(&ward.site), "1.0 - 3.0");
}
