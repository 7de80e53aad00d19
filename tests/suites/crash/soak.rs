//! Months of a site in minutes: thirty releases of two products, well and sick, killed at instants that nobody chose, held,
//! taken back by hand. After each, store, cluster, receipts and `status` say the same.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use consign_format::Digest;
use consign_format::receipt::{self, Receipt};
use consign_format::trust::keys::PublicKey;
use consign_tests::cluster::{Cluster, pods};
use consign_tests::command::Invocation;
use consign_tests::desk::Desk;
use consign_tests::site::Site;
use consign_tests::workshop::Workshop;
use serde_json::Value;

use crate::instants::{Draw, kill_after};

const RELEASES: u64 = 30;
/// A run is over sooner.
const RUN: Duration = Duration::from_millis(1500);

struct Ward {
    site: Site,
    cluster: Cluster,
    key: PublicKey,
    /// What must run, by product.
    runs: BTreeMap<&'static str, Option<String>>,
}

impl Ward {
    fn command<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        self.site.invoke(arguments).option("--kubeconfig", self.cluster.kubeconfig())
    }

    fn install(&self, bundle: &Path) -> Invocation {
        self.command(["install"]).arg(bundle)
    }

    fn product(&self, name: &str) -> Value {
        let status = self.site.status();
        let products = status["products"].as_array().unwrap().iter();
        products.clone().find(|product| product["product"] == name).cloned().unwrap_or_default()
    }

    /// Everything says the same.
    fn is_consistent(&self, story: &[String]) {
        let status = self.site.status();
        for (name, version) in &self.runs {
            let product = self.product(name);
            let current = product["current"]["release"]["version"].as_str().map(str::to_owned);
            assert_eq!(current, *version, "{name}: {story:#?} {status:#}");
            assert!(product["returning"].is_null(), "{story:#?} {status:#}");
            assert!(version.is_none() || product["current"]["confirmed"] == true, "{story:#?} {status:#}");
        }
        assert!(status["cutOff"].is_null() && status["running"].is_null(), "{story:#?} {status:#}");
        self.site.invoke(["store", "check"]).succeeds();
        self.command(["run", "--once", "--mode", "report"]).succeeds();
        let (folder, mut previous) = (tempfile::tempdir().unwrap(), None);
        self.site.invoke(["receipts", "export"]).arg(folder.path()).succeeds();
        let mut files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for (n, file) in (1..).zip(&files) {
            let bytes = std::fs::read(file).unwrap();
            let receipt: Receipt = receipt::verify(&bytes, &self.key).unwrap();
            assert_eq!((receipt.n, receipt.previous), (n, previous), "{story:#?} {}", file.display());
            previous = Some(Digest::of(&bytes));
        }
    }
}

/// A Deployment whose image is never to be had.
fn sick() -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: sick}}\nspec:\n  selector: {{matchLabels: {{app: sick}}}}\n  \
         template:\n    metadata:\n      labels: {{app: sick}}\n      annotations: {{{}: ImagePullBackOff}}\n    spec:\n      \
         containers: [{{name: sick, image: 'nginx:1.22'}}]\n",
        pods::WAITING
    )
}

#[test]
fn thirty_releases_of_two_products() {
    if !Desk::is_possible() {
        return;
    }
    let mut lamp = Workshop::lamp();
    let mut torch = lamp.beside("torch");
    (lamp.health_timeout, torch.health_timeout) = ("20s", "20s");
    let site = Site::bare();
    let enrolled = site.enrol(&lamp.root()).arg("--json").succeeds().json();
    let key = serde_json::from_value(enrolled["publicKey"].clone()).unwrap();
    let runs = BTreeMap::from([("lamp", None), ("torch", None)]);
    let mut ward = Ward { site, cluster: Cluster::start(), key, runs };
    let (mut draw, mut story) = (Draw::seeded(), Vec::new());
    let mut one_of = |number: u64| draw.below(Duration::from_nanos(number)).as_nanos() as u64;

    for n in 1..=RELEASES {
        let (name, workshop) = if one_of(2) == 0 { ("lamp", &lamp) } else { ("torch", &torch) };
        let kind = ["well", "well", "well", "well", "sick", "held", "taken back"][one_of(7) as usize];
        let version = format!("{n}.0.0");
        let more = if kind == "sick" { sick() } else { String::new() };
        let bundle = workshop.build(&version, &more);
        let before = ward.runs[name].clone();
        let mut kills = 0;
        if kind == "held" {
            ward.site.invoke(["hold", "set", name, "--reason", "stocktaking"]).succeeds();
            ward.install(&bundle).fails("held", 24);
            ward.site.invoke(["hold", "lift", name]).succeeds();
        }
        while one_of(3) != 0 && kills < 3 {
            kills += u64::from(kill_after(&ward.install(&bundle), Duration::from_nanos(one_of(RUN.as_nanos() as u64))));
        }
        story.push(format!("{name} {version} {kind}, killed {kills} times"));
        let outcome = ward.install(&bundle).run();
        match kind {
            // Killed after its end, it is remembered: that is as good.
            "sick" => assert!(matches!(outcome.exit, Some(22 | 24)), "{story:#?} {outcome}"),
            _ => {
                assert_eq!(outcome.exit, Some(0), "{story:#?} {outcome}");
                ward.runs.insert(name, Some(version));
            }
        }
        if kind == "taken back" && !ward.product(name)["previous"].is_null() {
            ward.command(["rollback", name, "--reason", "it smokes"]).succeeds();
            ward.runs.insert(name, before);
        }
        ward.is_consistent(&story);
    }
    let _ = writeln!(std::io::stderr().lock(), "{}", story.join("\n"));
}
