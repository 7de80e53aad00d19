//! Secrets of a site that are damaged, gone, or signed by somebody who is revoked: missed, said, and brought again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a suite")]

mod kit;
mod site_kit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use consign_format::archive::plan::metadata_bundle;
use consign_format::error::{Coded, codes};
use consign_format::release::{SecretMode, SecretRule};
use consign_format::trust::keys::SecretKey;
use consign_installer::admit::Ask;
use consign_installer::install_bundle::{Finished, Metadata, Order};
use consign_installer::site::recover::RecoverError;
use consign_installer::site::secrets::Held;
use consign_installer::site::{Damage, Recovered, Recovery, recover};
use consign_installer::verify_bundle::{Checked, verify_bundle};
use consign_terminal::Silent;
use kit::{Draft, NOW, name, root};
use site_kit::{TestSite, clocks, root_after, secrets_by, secrets_for};

/// No statement has a higher serial.
const HIGHEST: u64 = (1 << 53) - 1;
const AGAIN: &str = "the secrets of this site must be brought again";

fn file(site: &TestSite) -> PathBuf {
    site.store().dir().join("trust/secrets/dev")
}

fn recipient(site: &TestSite) -> String {
    site.site().identity.recipient.unwrap()
}

fn held(site: &TestSite) -> Held {
    site.site().secrets(&name("dev")).unwrap()
}

fn serial(site: &TestSite) -> Option<u64> {
    match held(site) {
        Held::Here(secrets) => Some(secrets.serial),
        Held::Never | Held::Absent(_) => None,
    }
}

/// Brings roots and one statement, and no release.
fn bring(site: &TestSite, roots: &[Vec<u8>], statement: &[u8]) -> Metadata {
    let bundle = metadata_bundle(roots, &[statement.to_vec()]).unwrap();
    let Finished::Informed(metadata) = site.install_bytes(&bundle, Order::default()).unwrap() else { panic!() };
    metadata
}

/// A release that wants `demo/db`.
fn wanting() -> Draft {
    let mut draft = Draft::new("1.0", 10);
    let (name, namespace, mode) = ("db".into(), "demo".into(), SecretMode::PerSite);
    draft.release.secrets = vec![SecretRule { name, namespace, mode, keys: vec![], reason: None }];
    draft
}

fn recovery(site: &TestSite) -> Result<Recovered, RecoverError> {
    let random = |buffer: &mut [u8]| {
        buffer.fill(3);
        Ok(())
    };
    recover(&site.store(), &Recovery { again: None, copies: BTreeMap::new(), now: NOW, random: &random })
}

fn status(site: &TestSite) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consign-site"));
    command.env_clear().env("PATH", "/nonexistent").arg("--root-dir").arg(site.root.path()).arg("status");
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// Everything that looks at the site says that its Secrets are missing.
fn all_say_absent(site: &TestSite, what: &str) {
    assert!(matches!(held(site), Held::Absent(_)), "{what}: {:?}", held(site));
    assert!(status(site).contains("secrets   MISSING, and must be brought again"), "{what}: {}", status(site));
    assert!(Damage::look(&site.store()).secrets.contains_key(&name("dev")), "{what}");
    let refused = recovery(site).unwrap_err();
    assert!(matches!(refused, RecoverError::Secrets { .. }), "{what}: {refused}");
    assert_eq!(refused.code(), codes::STATE_DAMAGED, "{what}");
    let failure = site.install(&wanting()).unwrap_err();
    assert_eq!(failure.code(), codes::SECRET_MISSING, "{what}");
    assert!(failure.to_string().starts_with(AGAIN), "{what}: {failure}");
    let (_medium, path) = site.medium(&Draft::new("1.0", 10).bundle());
    let checked = verify_bundle(&site.site(), &path, Ask::default(), &clocks(NOW), &Silent).unwrap();
    let Checked::Release(verified) = checked else { panic!("{what}") };
    assert!(verified.warnings.iter().any(|warning| warning.starts_with(AGAIN)), "{what}: {:?}", verified.warnings);
}

#[test]
fn a_statement_that_is_damaged_gone_or_put_back_is_missed_and_an_older_one_stays_refused() {
    for what in ["torn", "gone", "an older one put back"] {
        let site = TestSite::enrolled();
        let [second, third, fourth] = [2, 3, 4].map(|n| secrets_for("hospital-7", &recipient(&site), n, "value"));
        let roots = [root("dev")];
        bring(&site, &roots, &second);
        let older = std::fs::read(file(&site)).unwrap();
        bring(&site, &roots, &third);
        assert_eq!(serial(&site), Some(3));
        std::fs::remove_file(file(&site)).unwrap();
        match what {
            "torn" => std::fs::write(file(&site), b"torn").unwrap(),
            "gone" => {}
            _ => std::fs::write(file(&site), older).unwrap(),
        }
        all_say_absent(&site, what);
        let brought = bring(&site, &roots, &second);
        assert!(brought.taken.is_empty() && brought.warnings[0].contains("older than number 3"), "{what}: {brought:?}");
        let brought = bring(&site, &roots, &secrets_for("hospital-7", &recipient(&site), 3, "other"));
        assert!(brought.warnings[0].contains("say something else"), "{what}: {brought:?}");
        assert_eq!(serial(&site), None, "{what}");
        for (next, n) in [(third, 3), (fourth, 4)] {
            let brought = bring(&site, &roots, &next);
            assert!((brought.taken.len(), brought.warnings.is_empty()) == (1, true), "{what}: {brought:?}");
            assert_eq!(serial(&site), Some(n), "{what}");
        }
        site.install(&wanting()).unwrap();
        assert!(status(&site).contains("secrets   4: demo/db"), "{what}: {}", status(&site));
    }
}

#[test]
fn a_power_cut_between_the_statement_and_the_memory_of_it_loses_nothing() {
    let site = TestSite::enrolled();
    let [second, third] = [2, 3].map(|n| secrets_for("hospital-7", &recipient(&site), n, "value"));
    bring(&site, &[root("dev")], &second);
    let state = site.store().dir().join("trust/domains/dev");
    let before = std::fs::read(&state).unwrap();
    bring(&site, &[root("dev")], &third);
    std::fs::write(&state, before).unwrap();
    assert_eq!(serial(&site), Some(3));
    bring(&site, &[root("dev")], &second);
    assert_eq!(serial(&site), Some(3), "an older one is passed over");
    bring(&site, &[root("dev")], &third);
    std::fs::remove_file(file(&site)).unwrap();
    let brought = bring(&site, &[root("dev")], &second);
    assert!(brought.warnings[0].contains("older than number 3"), "{brought:?}");
}

#[test]
fn a_revoked_approver_has_not_had_the_last_word() {
    for lost in [false, true] {
        let site = TestSite::enrolled();
        bring(&site, &[root("dev")], &secrets_for("hospital-7", &recipient(&site), HIGHEST, "stolen"));
        assert_eq!(serial(&site), Some(HIGHEST));
        if lost {
            std::fs::remove_file(file(&site)).unwrap();
        }
        let new = SecretKey::from_seed(&[8; 32]);
        let roots = [root("dev"), root_after(&root("dev"), &new)];
        site.install_bytes(&metadata_bundle(&roots, &[]).unwrap(), Order::default()).unwrap();
        assert!(matches!(held(&site), Held::Absent(_)), "{:?}", held(&site));
        let brought = bring(&site, &roots, &secrets_by(&new, "hospital-7", &recipient(&site), 2, "honest"));
        assert_eq!((brought.taken.len(), brought.warnings.len()), (1, 0), "{brought:?}");
        assert_eq!(serial(&site), Some(2), "lost: {lost}");
        let brought = bring(&site, &roots, &secrets_by(&new, "hospital-7", &recipient(&site), 1, "older"));
        assert_eq!((brought.taken.len(), serial(&site)), (0, Some(2)), "the new serial counts");
    }
}

#[test]
fn after_a_new_age_key_the_old_statement_does_not_count() {
    let site = TestSite::enrolled();
    let old = secrets_for("hospital-7", &recipient(&site), 3, "value");
    bring(&site, &[root("dev")], &old);
    std::fs::write(site.store().dir().join("trust/site.age"), b"torn").unwrap();
    let recovered = recovery(&site).unwrap();
    assert!(recovered.secrets[&name("dev")].contains("this site's key is another one"), "{recovered:?}");
    all_say_absent(&site, "a new key");
    let brought = bring(&site, &[root("dev")], &old);
    assert!(brought.warnings[0].contains("which is not its recipient"), "{brought:?}");
    bring(&site, &[root("dev")], &secrets_for("hospital-7", &recipient(&site), 4, "value"));
    assert_eq!(serial(&site), Some(4));
    site.install(&wanting()).unwrap();
}
