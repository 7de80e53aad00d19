//! Secrets that the release needs and does not carry.

use consign_format::Name;
use consign_format::release::{SecretMode, SecretRule};
use consign_format::trust::author::development_root;
use consign_format::trust::keys::{SecretKey, sign};
use consign_format::trust::site_secrets::SiteSecrets;
use consign_installer::handoff::Desired;
use consign_installer::site::secrets::Taken;
use consign_installer::site::{Enrolment, Site, enrol};
use consign_installer::site_secrets;
use consign_installer::store::Store;
use consign_sealed::values::{self, SecretValues};

use super::bench::*;

fn rule(namespace: &str, name: &str, mode: SecretMode, keys: &[&str]) -> SecretRule {
    let keys = keys.iter().map(ToString::to_string).collect();
    SecretRule { name: name.into(), namespace: namespace.into(), mode, keys, reason: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_secret_is_made_once_and_never_pruned() {
    let mut bench = Bench::new().await;
    let mut desired = release("gensecret", vec![config_map("a")]);
    desired.secrets = vec![rule("gensecret", "db", SecretMode::Generate, &[])];
    let changes = bench.apply(&desired).await.unwrap();
    assert!(
        changed(&changes).contains(&"Secret gensecret/db created (generated at this site)".to_owned()),
        "{:?}",
        changed(&changes)
    );
    let first = live("secret db -n gensecret").unwrap();
    assert_eq!(first["data"]["password"].as_str().unwrap().len(), 60, "43 characters, in base64");

    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
    assert_eq!(live("secret db -n gensecret").unwrap(), first);

    desired.secrets = vec![rule("gensecret", "db", SecretMode::Generate, &["password", "salt"])];
    bench.apply(&desired).await.unwrap();
    let second = live("secret db -n gensecret").unwrap();
    assert_eq!(second["data"]["password"], first["data"]["password"]);
    assert_ne!(second["data"]["salt"], second["data"]["password"]);

    desired.secrets.clear();
    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
    assert_eq!(live("secret db -n gensecret").unwrap()["data"], second["data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_the_site_owes_is_asked_for_before_anything_is_written() {
    let mut bench = Bench::new().await;
    let mut desired = release("owesecret", vec![config_map("a")]);
    let existing = |name: &str, keys: &[&str]| rule("owesecret", name, SecretMode::Existing, keys);
    desired.secrets = vec![existing("tls", &["tls.key"]), existing("other", &[])];
    let stopped = bench.apply(&desired).await.unwrap_err();
    assert_eq!(stopped.failure.code().name, "secret-missing");
    let said = stopped.failure.to_string();
    assert!(said.contains("Secret owesecret/tls") && said.contains("Secret owesecret/other"), "{said}");
    assert_eq!(live("namespace owesecret"), None);

    kubectl(&["create", "namespace", "owesecret"]).unwrap();
    kubectl(&["create", "secret", "generic", "tls", "-n", "owesecret", "--from-literal=crt=x"]).unwrap();
    kubectl(&["create", "secret", "generic", "other", "-n", "owesecret"]).unwrap();
    let said = bench.apply(&desired).await.unwrap_err().failure.to_string();
    assert_eq!(said, "missing at this site: Secret owesecret/tls key tls.key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_secret_that_the_release_carries_keeps_its_type_and_stays_when_it_leaves() {
    let mut bench = Bench::new().await;
    let carried = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth", "metadata": {"name": "login"}});
    let mut desired = release("carrysecret", vec![config_map("a"), carried]);
    desired.secrets = vec![rule("carrysecret", "login", SecretMode::Generate, &["password"])];
    bench.apply(&desired).await.unwrap();
    let made = live("secret login -n carrysecret").unwrap();
    assert_eq!(made["type"], "kubernetes.io/basic-auth");
    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
    assert_eq!(live("secret login -n carrysecret").unwrap(), made);

    let changes = bench.apply(&release("carrysecret", vec![config_map("a")])).await.unwrap();
    assert_eq!(changed(&changes), ["Secret carrysecret/login skipped (kept: consign.dev/generated says true)"]);
    assert_eq!(live("secret login -n carrysecret").unwrap()["data"], made["data"]);
}

/// A site on a disk of its own, enrolled in domain `dev` by a root of `approver`.
struct Ward {
    disk: tempfile::TempDir,
    approver: SecretKey,
}

impl Ward {
    fn new() -> Self {
        let ward = Ward { disk: tempfile::tempdir().unwrap(), approver: SecretKey::from_seed(&[7; 32]) };
        let root = development_root(&domain(), &ward.approver, "2040-01-01T00:00:00Z").unwrap();
        let site = "ward-7".parse().unwrap();
        let (fingerprint, production, replace, after, kit, now) = (None, false, false, None, None, 1_795_348_800);
        let random = &|buffer: &mut [u8]| {
            buffer.fill(9);
            Ok(())
        };
        let enrolment = Enrolment { root: &root, fingerprint, site, production, replace, after, kit, now, random };
        enrol(&Store::at(ward.disk.path()), &enrolment).unwrap();
        ward
    }

    /// Headquarters encrypts these Secrets to the site and signs; the site takes the statement.
    fn brings(&self, serial: u64, secrets: &[SecretValues]) -> Taken {
        let mut site = Site::open_exclusive(Store::at(self.disk.path())).unwrap();
        let recipient = site.identity.recipient.clone().unwrap();
        let statement = SiteSecrets {
            kind: "site-secrets".into(),
            domain: domain(),
            site: site.identity.site.clone(),
            serial,
            recipient: recipient.clone(),
            secrets: secrets.iter().map(SecretValues::names).collect(),
            message: values::encrypt(&recipient.parse().unwrap(), secrets).unwrap(),
        };
        site.take_secrets(&domain(), &sign(&statement, &[&self.approver]).unwrap()).unwrap()
    }

    /// The release as the site would apply it: with the Secrets that it wants of this site, still encrypted.
    fn release(&self, wanted: &[SecretRule]) -> Desired {
        let site = Site::open(Store::at(self.disk.path())).unwrap();
        let sealed = site_secrets::find(&site, &domain(), wanted).unwrap();
        Desired { sealed, ..release("wardsecret", vec![config_map("a")]) }
    }
}

fn domain() -> Name {
    "dev".parse().unwrap()
}

fn holding(name: &str, key: &str, value: &str) -> SecretValues {
    let mut secret = SecretValues::new("wardsecret", name, "Opaque");
    secret.add_text(key, value);
    secret
}

fn data(name: &str) -> Option<serde_json::Value> {
    live(&format!("secret {name} -n wardsecret")).map(|secret| secret["data"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_per_site_secret_is_decrypted_into_the_cluster_replaced_by_a_newer_one_and_removed_with_the_release() {
    let (mut bench, ward) = (Bench::new().await, Ward::new());
    let wanted = |names: &[&str]| -> Vec<SecretRule> {
        names.iter().map(|name| rule("wardsecret", name, SecretMode::PerSite, &[])).collect()
    };
    ward.brings(1, &[holding("db", "password", "hunter2"), holding("tls", "key", "first"), holding("spare", "a", "b")]);
    let both = ward.release(&wanted(&["db", "tls"]));
    assert!(!format!("{:?}", bench.plan(&both).await).contains("hunter2"));
    let changes = bench.apply(&both).await.unwrap();
    let said = changed(&changes);
    assert!(said.contains(&"Secret wardsecret/db created".to_owned()), "{said:?}");
    assert_eq!(data("db").unwrap(), serde_json::json!({"password": "aHVudGVyMg=="}));
    assert_eq!(data("tls").unwrap(), serde_json::json!({"key": "Zmlyc3Q="}));
    assert_eq!(data("spare"), None, "the release does not want it");
    assert!(bench.apply(&both).await.unwrap().is_unchanged());

    // A newer statement, another key in it; an older one that comes late is passed over.
    let newer = ward.brings(3, &[holding("db", "passphrase", "horse"), holding("tls", "key", "first")]);
    assert!(matches!(newer, Taken::New(_)), "{newer:?}");
    assert_eq!(ward.brings(2, &[holding("db", "password", "late"), holding("tls", "key", "late")]), Taken::PassedOver);
    let said = changed(&bench.apply(&ward.release(&wanted(&["db", "tls"]))).await.unwrap());
    assert_eq!(said, ["Secret wardsecret/db configured"]);
    assert_eq!(data("db").unwrap(), serde_json::json!({"passphrase": "aG9yc2U="}), "and the key before is gone");
    let told = format!("{:?} {said:?}", bench.events);
    assert!(["hunter2", "aHVudGVyMg==", "horse", "aG9yc2U="].iter().all(|value| !told.contains(value)), "{told}");

    // A release that wants one of them less, and one that wants none.
    let said = changed(&bench.apply(&ward.release(&wanted(&["db"]))).await.unwrap());
    assert_eq!(said, ["Secret wardsecret/tls deleted"]);
    assert_eq!((data("tls"), data("db").is_some()), (None, true));
    let said = changed(&bench.apply(&ward.release(&[])).await.unwrap());
    assert_eq!(said, ["Secret wardsecret/db deleted"]);
    assert_eq!(data("db"), None);
    assert!(live("configmap a -n wardsecret").is_some());
}
