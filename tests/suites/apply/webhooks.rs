//! A webhook of the site's, over TLS, that says no: to everything, in the middle, or nothing at all. What it says is
//! repeated, and once it agrees a rerun finishes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use consign_tests::webhook::{Review, Verdict, Webhook};

use super::bench::*;
use super::guards::refused;

const AGREES: u8 = 0;
const DENIES: u8 = 1;
const DENIES_WRITES: u8 = 2;
const IS_SILENT: u8 = 3;

fn decide(mood: u8, review: &Review) -> Verdict {
    match mood {
        _ if review.name != "b" => Verdict::Allow,
        DENIES => Verdict::Deny("no maps called b, says the site"),
        DENIES_WRITES if !review.dry_run => Verdict::Deny("not today, says the site"),
        IS_SILENT => Verdict::Silence,
        _ => Verdict::Allow,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_rejects_is_repeated_and_the_next_run_finishes() {
    let mut bench = Bench::new().await;
    kubectl(&["create", "namespace", "webhooked"]).unwrap();
    let (folder, mood) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU8::new(DENIES)));
    let ours = Arc::clone(&mood);
    let webhook = Webhook::start(folder.path(), move |review| decide(ours.load(Ordering::SeqCst), review));
    kubectl_with(&["create"], &webhook.validating("webhooked", "webhooked")).unwrap();
    let trial = || kubectl(&["create", "configmap", "b", "-n", "webhooked", "--dry-run=server"]);
    // The server takes a moment to obey what it was told.
    until(|| trial().is_err());
    let desired = release("webhooked", ["a", "b", "c"].map(config_map).to_vec());

    let said = ["ConfigMap webhooked/b: ", "no maps called b, says the site"];
    refused(bench.apply(&desired).await.unwrap_err(), "apply-refused", &said);
    assert_eq!(live("cm a -n webhooked"), None);

    mood.store(IS_SILENT, Ordering::SeqCst);
    refused(
        bench.apply(&desired).await.unwrap_err(),
        "apply-refused",
        &["ConfigMap webhooked/b: ", "failed calling webhook"],
    );
    assert_eq!(live("cm a -n webhooked"), None);

    // It passes the trial and not the write: what came before is there, and known.
    mood.store(DENIES_WRITES, Ordering::SeqCst);
    let stopped = bench.apply(&desired).await.unwrap_err();
    assert_eq!(stopped.failure.code().name, "apply-refused", "{}", stopped.failure);
    assert!(stopped.failure.to_string().contains("not today, says the site"), "{}", stopped.failure);
    assert_eq!(stopped.changes.counts().created, 1, "{:?}", changed(&stopped.changes));
    assert!(
        live("cm a -n webhooked").is_some()
            && live("cm b -n webhooked").is_none()
            && live("cm c -n webhooked").is_none()
    );

    mood.store(AGREES, Ordering::SeqCst);
    let changes = bench.apply(&desired).await.unwrap();
    assert_eq!((changes.counts().unchanged, changes.counts().created), (1, 2), "{:?}", changed(&changes));
    assert!(bench.apply(&desired).await.unwrap().is_unchanged());
}
