//! One suite for every registry, and for a proxy in front of one: what is pushed is there to the byte, once.

use std::process::Command;
use std::sync::atomic::AtomicU64;

use consign_format::Digest;
use consign_registry::push::Removed;
use consign_tests::images::{self, run};
use consign_tests::meddler::Meddler;
use consign_tests::registry::{DockerRegistry, Options};
use consign_tests::skip;
use consign_tests::tools::{self, Tool};

use crate::goods::{Goods, Hasty, target};

/// Whether Debian's registry and the judges are here.
pub(crate) fn can_run() -> bool {
    let here = images::missing().is_none() && tools::go_is_installed();
    skip::unless(here, "docker-registry, skopeo or Go is not installed", images::HOW)
}

/// A registry of the newest generation.
pub(crate) fn newest(options: Options) -> DockerRegistry {
    DockerRegistry::with(Options { program: Some(Tool::Distribution.get().unwrap()), ..options })
}

/// Holds what a registry has against what was pushed, with the eyes of others.
pub(crate) fn is_there(registry: &DockerRegistry, goods: &Goods) {
    let crane = Tool::Crane.get().unwrap();
    for top in &goods.tops {
        let (at, digest) = (format!("{}/{}", registry.address(), top.repository), top.descriptor.digest);
        for name in [format!("{at}@{digest}"), format!("{at}:{}", top.tags[0])] {
            let by_skopeo = run(Command::new("skopeo").args([
                "inspect",
                "--raw",
                "--tls-verify=false",
                &format!("docker://{name}"),
            ]));
            assert_eq!(Digest::of(by_skopeo.as_bytes()), digest, "{name}");
            let by_crane = run(Command::new(&crane).args(["digest", "--insecure", &name]));
            assert_eq!(by_crane.trim(), digest.to_string(), "{name}");
        }
    }
    // Every configuration and layer of every repository.
    for (digest, repository) in goods.plan().places() {
        let name = format!("{}/{repository}@{digest}", registry.address());
        let said = Command::new(&crane).args(["blob", "--insecure", &name]).output().unwrap();
        assert_eq!(Digest::of(&said.stdout), digest, "{name}: {}", String::from_utf8_lossy(&said.stderr));
    }
}

/// What every registry has to show.
async fn behaves(registry: &DockerRegistry, address: &str, goods: &Goods, removes: Removed) {
    let patience = Hasty::default();
    let target = target(address, &patience);
    target.ready().await.unwrap();
    let told = AtomicU64::new(0);
    let moved = goods.push_counting(&target, &told).await.unwrap();
    assert!(moved.sent.items > 5 && moved.mounted.items > 0, "{moved:?}");
    assert_eq!(moved.skipped.items, 0, "{moved:?}");
    assert_eq!(told.into_inner(), goods.plan().bytes(), "progress is not the sum of what was to be done");
    is_there(registry, goods);

    let again = goods.push(&target).await.unwrap();
    assert_eq!((again.sent.items, again.mounted.items, again.manifests), (0, 0, 0), "{again:?}");
    assert_eq!(again.skipped.items, moved.sent.items + moved.mounted.items, "{again:?}");
    assert_eq!(target.missing(&goods.plan()).await.unwrap(), Vec::<String>::new());

    let (one, two) = (&goods.tops[0], &goods.tops[1]);
    for top in [one, two, one] {
        let bytes = goods.blobs.read(&top.descriptor.digest, 1 << 20).unwrap();
        assert!(target.move_tag(&top.repository, "1.0", &top.descriptor, &bytes).await.unwrap());
        assert!(!target.move_tag(&top.repository, "1.0", &top.descriptor, &bytes).await.unwrap());
        let there = target.resolve(&top.repository, "1.0").await.unwrap();
        assert_eq!(there, Some(top.descriptor.digest));
    }
    let digest = &one.descriptor.digest;
    assert_eq!(target.remove_tag(&one.repository, "1.0", &two.descriptor.digest).await.unwrap(), Removed::Other);
    assert_eq!(target.remove_tag(&one.repository, "none", digest).await.unwrap(), Removed::Gone);
    assert_eq!(target.remove_tag(&one.repository, "1.0", digest).await.unwrap(), removes);
    let left = (removes == Removed::NotAllowed).then_some(*digest);
    assert_eq!(target.resolve(&one.repository, "1.0").await.unwrap(), left);
    is_there(registry, goods);
    assert!(patience.pauses().is_empty(), "nothing failed, and it waited");
}

#[tokio::test(flavor = "multi_thread")]
async fn debians() {
    if !can_run() {
        return;
    }
    let registry = DockerRegistry::start();
    behaves(&registry, &registry.address(), &Goods::whole(), Removed::NotAllowed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest() {
    if !can_run() {
        return;
    }
    let registry = newest(Options::default());
    behaves(&registry, &registry.address(), &Goods::whole(), Removed::Gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_sparse_indexes() {
    if !can_run() {
        return;
    }
    let registry = newest(Options { takes_sparse: true, ..Options::default() });
    behaves(&registry, &registry.address(), &Goods::sparse(), Removed::Gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_removes_nothing() {
    if !can_run() {
        return;
    }
    let registry = newest(Options { keeps_everything: true, takes_sparse: true, ..Options::default() });
    behaves(&registry, &registry.address(), &Goods::sparse(), Removed::NotAllowed).await;
}

/// The double of the other tests is held to the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_passes_on() {
    if !can_run() {
        return;
    }
    let registry = newest(Options::default());
    let proxy = Meddler::idle(&registry.address());
    behaves(&registry, &proxy.address(), &Goods::whole(), Removed::Gone).await;
    let uploads =
        proxy.asked().iter().filter(|asked| asked.method == "PUT" && asked.target.contains("/uploads/")).count();
    assert!(uploads > 5, "the proxy was passed by");
}
