//! Going back: there is always a way, tags move back, and what is removed from a registry is no more than was asked.

use consign_installer::site_registry::{SiteRegistryError, collect};
use consign_tests::cluster::Cluster;
use consign_tests::forge::Forge;
use consign_tests::forge::content::{Content, IMAGE};
use consign_tests::meddler::{Fate, Meddler};
use consign_tests::registry::Options;
use serde_json::{Value, json};

use crate::registries::{can_run, newest};
use crate::site::{Place, crane, digest, image_of, url};

/// A site that served its own registry and now has another: the way back is pushed along. And one whose registry has
/// lost it: it is told at activate, and staging again mends it.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_always_a_way_back() {
    if !can_run() {
        return;
    }
    let (place, registry) = (Place::enrolled(), newest(Options::default()));
    let releases = [1, 2, 3].map(Forge::new);
    place.install(&releases[0]).option("--handoff", "export").succeeds();
    place.configure(&url(&registry));
    place.install(&releases[1]).succeeds().says("1.1 was not whole there");
    let repository = IMAGE.split(':').next().unwrap();
    let first = format!("{repository}@{}", image_of(&releases[0]));
    assert_eq!(digest(&registry, &first), image_of(&releases[0]));

    let current = place.product().current.unwrap().release;
    let check = async || {
        let product = "lamp".parse().unwrap();
        place.ask(async |registry, store| registry.check_previous(store, &product, &current).await).await
    };
    check().await.unwrap();
    let second = format!("{}/project/{repository}@{}", registry.address(), image_of(&releases[1]));
    crane(&["delete", &second]);
    let error = check().await.unwrap_err();
    assert!(matches!(error, SiteRegistryError::PreviousIncomplete { missing: 1, .. }), "{error:?}");
    place.install(&releases[2]).succeeds().says("1.2 was not whole there");
    check().await.unwrap();
}

/// There are registries that take the removal of a tag for the removal of what it stands for: gc stops at the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_removes_too_much_is_noticed_at_once() {
    if !can_run() {
        return;
    }
    let (place, registry) = (Place::enrolled(), newest(Options::default()));
    let real = registry.address();
    let proxy = Meddler::before(&registry.address(), move |asked| {
        let Some((repository, _)) = asked.target.split_once("/manifests/").filter(|_| asked.method == "DELETE") else {
            return Fate::Pass;
        };
        let repository = repository.trim_start_matches("/v2/");
        let name = format!("{real}/{repository}");
        let newest = crane(&["ls", &name]).lines().find(|tag| tag.starts_with("consign-lamp-")).unwrap().to_owned();
        let digest = crane(&["digest", &format!("{name}:{newest}")]);
        crane(&["delete", &format!("{name}@{}", digest.trim())]);
        Fate::Answer(202, "")
    });
    place.configure(&format!("registry = \"http://{}/project\"", proxy.address()));
    // The image is the same in all three.
    let releases = [1, 2, 3].map(|sequence| {
        Forge::new(sequence).with(|forge| {
            forge.content = Content::of(sequence, &[]);
            forge.content.image(IMAGE, b"the same");
        })
    });
    releases.iter().for_each(|forge| drop(place.install(forge).succeeds()));
    let error = place.ask(async |registry, store| collect(registry, store).await).await.unwrap_err();
    assert!(matches!(error, SiteRegistryError::RemovedTooMuch { .. }), "{error:?}");
    place.install(&releases[2]).succeeds();
    assert_eq!(digest(&registry, IMAGE), image_of(&releases[2]), "installing again has not pushed it back");
}

/// The release that does not become healthy has had the tag; the one that runs again has it back.
#[test]
fn a_rollback_moves_the_tags_back() {
    if !can_run() {
        return;
    }
    let (cluster, place, registry) = (Cluster::shared(), Place::enrolled(), newest(Options::default()));
    place.configure(&url(&registry));
    let release = |sequence: u64, annotations: Value| {
        Forge::new(sequence).with(|forge| {
            let labels = json!({"app": "lamp"});
            let deployment = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "lamp", "namespace": "lamp"},
                "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
                    "metadata": {"labels": labels, "annotations": annotations},
                    "spec": {"containers": [{"name": "lamp", "image": IMAGE}]},
                }},
            });
            forge.content = Content::of(sequence, &[deployment]);
            forge.content.image(IMAGE, format!("layer of {sequence}").as_bytes());
            forge.content.fields["rollout"]["healthTimeout"] = json!(20);
        })
    };
    let direct =
        |forge: &Forge| place.install(forge).option("--handoff", "direct").option("--kubeconfig", cluster.kubeconfig());
    let (good, bad) =
        (release(1, json!({})), release(2, json!({consign_tests::cluster::pods::WAITING: "ImagePullBackOff"})));
    direct(&good).succeeds();
    assert_eq!(digest(&registry, IMAGE), image_of(&good));
    direct(&bad).exits(22).says("rolled back");
    assert_eq!(digest(&registry, IMAGE), image_of(&good), "the tag has not moved back");
    // It had been the bad one's in between: the tag was put three times.
    let uri = format!("uri=/v2/project/{}/manifests/1 ", IMAGE.split(':').next().unwrap());
    let log = registry.log();
    let puts = log.lines().filter(|line| line.contains("method=PUT") && line.contains(&uri)).count();
    assert_eq!(puts, 3, "the tag never left");
    assert_eq!(place.product().current.unwrap().release.sequence, 1);
}
