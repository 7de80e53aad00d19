//! Secrets that are encrypted to one site: they come as a statement, wait encrypted, and reach the cluster alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use consign_format::error::{Failure, codes};
use consign_format::release::{SecretMode, SecretRule};
use consign_installer::handoff::export::Export;
use consign_installer::handoff::{
    ChangeSet, Desired, GoAhead, Handoff, HealthReport, OnEvent, Plan, Policy, RolledBack, Stopped,
};
use consign_installer::install_bundle::{Finished, Order};
use consign_installer::site::secrets::Held;
use consign_sealed::SiteKey;
use kit::{Draft, fingerprint, name};
use serde_json::Value;
use site_kit::{TestSite, secrets_for};

const VALUE: &str = "hunter2-of-hospital-7";
/// [`VALUE`] in base64.
const ENCODED: &str = "aHVudGVyMi1vZi1ob3NwaXRhbC03";

fn recipient(site: &TestSite) -> String {
    site.site().identity.recipient.unwrap()
}

fn bringing(statement: Vec<u8>, version: &str, sequence: u64) -> Draft {
    let mut draft = wanting(version, sequence, &["password"]);
    draft.statements = vec![statement];
    draft
}

/// A release that wants `demo/db`.
fn wanting(version: &str, sequence: u64, keys: &[&str]) -> Draft {
    let mut draft = Draft::new(version, sequence);
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let (name, namespace) = ("db".to_owned(), "demo".to_owned());
    draft.release.secrets = vec![SecretRule { name, namespace, mode: SecretMode::PerSite, keys, reason: None }];
    draft
}

/// Keeps what would go to the cluster.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Value>>>);

impl Handoff for Seen {
    fn name(&self) -> &'static str {
        "direct"
    }

    async fn plan(&self, desired: &Desired, _: &Policy, _: &mut OnEvent<'_>) -> Result<Plan, Failure> {
        assert!(!format!("{desired:?}").contains(ENCODED), "{desired:?}");
        Ok(Plan::default())
    }

    async fn apply(
        &self,
        desired: &Desired,
        _: &Policy,
        _: &dyn GoAhead,
        _: &mut OnEvent<'_>,
    ) -> Result<ChangeSet, Stopped> {
        *self.0.lock().unwrap() = desired.opened().unwrap().objects.clone();
        Ok(ChangeSet::default())
    }

    async fn await_healthy(&self, _: &Desired, _: Duration, _: &mut OnEvent<'_>) -> Result<HealthReport, Failure> {
        Ok(HealthReport::default())
    }

    async fn rollback(&self, _: &Desired, _: &Policy, _: Duration, _: &mut OnEvent<'_>) -> Result<RolledBack, Stopped> {
        unreachable!("nothing fails")
    }
}

impl Seen {
    fn password(&self) -> Option<String> {
        let objects = self.0.lock().unwrap();
        let secret = objects.iter().find(|object| object["kind"] == "Secret")?;
        Some(secret["data"]["password"].as_str().unwrap().to_owned())
    }
}

/// Whether a text stands in any file under the site's root.
fn is_kept(site: &TestSite, text: &str) -> bool {
    fingerprint(site.root.path())
        .into_keys()
        .filter(|path| path.is_file())
        .any(|path| std::fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()))
}

#[test]
fn a_release_that_wants_a_secret_is_refused_before_anything_is_loaded() {
    let site = TestSite::enrolled();
    let before = fingerprint(site.root.path());
    let seen = Seen::default();
    let failure = site.install_with(&wanting("1.0", 10, &[]).bundle(), Order::default(), seen.clone()).unwrap_err();
    assert_eq!(failure.code(), codes::SECRET_MISSING);
    assert_eq!(failure.to_string(), "no statement of headquarters has brought this site Secret demo/db");
    assert!(failure.hint().unwrap().contains("site-secrets"), "{:?}", failure.hint());
    assert_eq!(fingerprint(site.root.path()), before);
    // One that came without a key that is wanted is named as exactly.
    let mut draft = wanting("1.0", 10, &["password", "user"]);
    draft.statements = vec![secrets_for("hospital-7", &recipient(&site), 1, VALUE)];
    let failure = site.install_with(&draft.bundle(), Order::default(), seen.clone()).unwrap_err();
    assert!(failure.to_string().ends_with("Secret demo/db key user"), "{failure}");
    assert_eq!(seen.password(), None);
}

#[test]
fn the_values_reach_the_cluster_and_nothing_else() {
    let site = TestSite::enrolled();
    let seen = Seen::default();
    let first = bringing(secrets_for("hospital-7", &recipient(&site), 1, VALUE), "1.0", 10);
    site.install_with(&first.bundle(), Order::default(), seen.clone()).unwrap();
    assert_eq!(seen.password().as_deref(), Some(ENCODED));
    for text in [VALUE, ENCODED] {
        assert!(!is_kept(&site, text), "{text} was written");
    }
    // A later release finds them here; a newer statement counts, an older one does not.
    site.install_with(&wanting("1.1", 11, &[]).bundle(), Order::default(), seen.clone()).unwrap();
    assert_eq!(seen.password().as_deref(), Some(ENCODED));
    let newer = bringing(secrets_for("hospital-7", &recipient(&site), 3, "new"), "1.2", 12);
    site.install_with(&newer.bundle(), Order::default(), seen.clone()).unwrap();
    assert_eq!(seen.password().as_deref(), Some("bmV3"));
    let older = bringing(secrets_for("hospital-7", &recipient(&site), 2, VALUE), "1.3", 13);
    site.install_with(&older.bundle(), Order::default(), seen.clone()).unwrap();
    assert_eq!(seen.password().as_deref(), Some("bmV3"));
}

#[test]
fn an_export_leaves_them_out() {
    let site = TestSite::enrolled();
    let draft = bringing(secrets_for("hospital-7", &recipient(&site), 1, VALUE), "1.0", 10);
    let export = Export::new(&site.export_dir());
    assert!(matches!(site.install_with(&draft.bundle(), Order::default(), export).unwrap(), Finished::Installed(_)));
    assert!(site.export_dir().join("demo").is_dir());
    assert!(!is_kept(&site, ENCODED));
}

#[test]
fn statements_for_others_and_to_other_keys_are_not_taken() {
    let site = TestSite::enrolled();
    let stranger = SiteKey::generate().recipient().to_string();
    for (statement, warned) in [
        (secrets_for("hospital-8", &stranger, 1, VALUE), false),
        (secrets_for("hospital-7", &stranger, 1, VALUE), true),
    ] {
        let mut draft = Draft::new("1.0", 10);
        draft.statements = vec![statement];
        let Finished::Installed(installed) = site.install(&draft).unwrap() else { panic!("not installed") };
        assert_eq!(installed.warnings.iter().any(|warning| warning.contains("not its recipient")), warned);
        assert_eq!(site.site().secrets(&name("dev")).unwrap(), Held::Never);
    }
    // One that nobody signed stops the bundle.
    let mut draft = Draft::new("1.1", 11);
    let forged = secrets_for("hospital-7", &recipient(&site), 9, VALUE);
    let forged = String::from_utf8(forged).unwrap().replace("\"serial\":9", "\"serial\":8");
    draft.statements = vec![forged.into_bytes()];
    assert_eq!(site.install(&draft).unwrap_err().code(), codes::SIGNATURE_INVALID);
}
