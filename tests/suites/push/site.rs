//! A site with `registry = URL`: releases are pushed at stage, tags move at activate and back, gc takes its tags away.

use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::{Digest, media_type};
use consign_installer::Store;
use consign_installer::config::SiteConfig;
use consign_installer::site_registry::{Collected, SiteRegistry, collect};
use consign_installer::store::products::ProductState;
use consign_tests::command::Invocation;
use consign_tests::forge::Forge;
use consign_tests::forge::content::{Content, IMAGE};
use consign_tests::images::run;
use consign_tests::registry::{DockerRegistry, Options, PASSWORD, USER};
use consign_tests::site::Site;
use consign_tests::tools::Tool;
use serde_json::{Value, json};

use crate::goods::Hasty;
use crate::registries::{can_run, newest};

/// A site, and a medium for what is carried to it.
pub(crate) struct Place {
    pub(crate) site: Site,
    medium: tempfile::TempDir,
}

impl Place {
    pub(crate) fn enrolled() -> Self {
        let medium = tempfile::tempdir().unwrap();
        let root = medium.path().join("1.root.json");
        std::fs::write(&root, &Forge::new(1).roots[0]).unwrap();
        let site = Site::bare();
        site.enrol(&root).succeeds();
        Place { site, medium }
    }

    pub(crate) fn configure(&self, registry: &str) {
        std::fs::write(self.config_file(), format!("handoff = \"export\"\n{registry}\n")).unwrap();
    }

    fn config_file(&self) -> PathBuf {
        self.site.root().join("etc/consign/site.toml")
    }

    fn carry(&self, forge: &Forge) -> PathBuf {
        let path = self.medium.path().join("lamp.consign");
        std::fs::write(&path, forge.bundle()).unwrap();
        path
    }

    pub(crate) fn install(&self, forge: &Forge) -> Invocation {
        self.site.install(&self.carry(forge))
    }

    fn store(&self) -> Store {
        Store::at(self.site.root())
    }

    pub(crate) fn product(&self) -> ProductState {
        self.store().products().unwrap().remove(0)
    }

    /// Speaks to the site's registry as the site does.
    pub(crate) async fn ask<T>(&self, ask: impl AsyncFnOnce(&SiteRegistry<'_>, &Store) -> T) -> T {
        let (patience, config) = (Hasty::default(), SiteConfig::read(&self.config_file()).unwrap());
        let registry = SiteRegistry::new(&config.registry.existing.unwrap(), "ward-7".parse().unwrap(), &patience);
        ask(&registry.unwrap(), &self.store()).await
    }
}

/// The digest of the forged image.
pub(crate) fn image_of(forge: &Forge) -> String {
    forge.content.fields["images"][0]["digest"].as_str().unwrap().to_owned()
}

pub(crate) fn crane(arguments: &[&str]) -> String {
    run(Command::new(Tool::Crane.get().unwrap()).args(arguments).arg("--insecure"))
}

/// The tags of a repository below the site's path.
fn tags(registry: &DockerRegistry, repository: &str) -> Vec<String> {
    let listed = crane(&["ls", &format!("{}/project/{repository}", registry.address())]);
    listed.lines().map(str::to_owned).collect()
}

pub(crate) fn digest(registry: &DockerRegistry, name: &str) -> String {
    crane(&["digest", &format!("{}/project/{name}", registry.address())]).trim().to_owned()
}

pub(crate) fn url(registry: &DockerRegistry) -> String {
    format!("registry = \"{}/project\"", registry.url())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_of_three_releases() {
    if !can_run() {
        return;
    }
    for (registry, removes) in [(DockerRegistry::start(), false), (newest(Options::default()), true)] {
        let place = Place::enrolled();
        place.configure(&url(&registry));
        let releases = [1, 2, 3].map(Forge::new);
        let first = place.install(&releases[0]).succeeds();
        first.says("registry: 4 blobs").says("2 manifests put");
        assert_eq!(digest(&registry, IMAGE), image_of(&releases[0]));
        assert_eq!(digest(&registry, "consign.internal/state/lamp:1.1"), releases[0].content.fields["state"]);
        let repository = IMAGE.split(':').next().unwrap();
        assert_eq!(tags(&registry, repository).iter().filter(|tag| tag.starts_with("consign-lamp-1-")).count(), 1);

        let phases = place.site.status()["lastReceipt"]["phases"].to_string();
        assert!(phases.contains("\"load\"") && phases.contains("\"push\""), "{phases}");
        place.install(&releases[0]).succeeds().says("registry: 0 blobs (0 B) sent, 0 blobs (0 B) mounted");
        place.install(&releases[1]).succeeds();
        assert_eq!(digest(&registry, IMAGE), image_of(&releases[1]), "the tag has not moved");
        let by_digest = format!("{repository}@{}", image_of(&releases[0]));
        assert_eq!(digest(&registry, &by_digest), image_of(&releases[0]), "the previous release is gone");

        let collected = place.ask(async |registry, store| collect(registry, store).await).await.unwrap();
        assert_eq!(collected, Collected::default(), "both releases are held");
        place.install(&releases[2]).succeeds();
        let collected = place.ask(async |registry, store| collect(registry, store).await).await.unwrap();
        assert_eq!(collected.not_allowed, !removes, "{collected:?}");
        let left = tags(&registry, repository);
        let of = |sequence| left.iter().filter(|tag| tag.starts_with(&format!("consign-lamp-{sequence}-"))).count();
        assert_eq!((of(1), of(2), of(3)), (usize::from(!removes), 1, 1), "{left:?}");
        assert!(left.contains(&"1".to_owned()), "the image's own tag belongs to the release that runs: {left:?}");
        let states = tags(&registry, "consign.internal/state/lamp");
        assert_eq!(states.contains(&"1.1".to_owned()), !removes, "{states:?}");
        assert!(states.contains(&"1.2".to_owned()) && states.contains(&"1.3".to_owned()), "{states:?}");
        let again = place.ask(async |registry, store| collect(registry, store).await).await.unwrap();
        assert_eq!((again.removed, again.releases), (0, 0), "{again:?}");
    }
}

/// A layer that another image of an earlier release brought is not sent again.
#[test]
fn what_another_repository_has_is_mounted() {
    if !can_run() {
        return;
    }
    let (place, registry) = (Place::enrolled(), newest(Options::default()));
    place.configure(&url(&registry));
    let release = |sequence, image: &str| {
        Forge::new(sequence).with(|forge| {
            forge.content = Content::of(sequence, &[]);
            forge.content.image(image, b"a layer that stays");
        })
    };
    place.install(&release(1, IMAGE)).succeeds();
    let other = release(2, "registry.example/other:1");
    place.install(&other).succeeds().says("1 blobs (18 B) mounted");
    assert_eq!(digest(&registry, "registry.example/other:1"), image_of(&other));
}

/// Whoever does not get in, or is not there, or will not: exit 20 (or a configuration that cannot be meant), and the
/// site is what it was to the byte.
#[test]
fn what_is_wrong_with_the_registry_is_said_before_anything_is_copied() {
    if !can_run() {
        return;
    }
    let registry = newest(Options { tls: true, password: true, ..Options::default() });
    let place = Place::enrolled();
    let at = |name: &str| place.medium.path().join(name);
    std::fs::write(at("right"), format!("{USER}:{PASSWORD}\n")).unwrap();
    std::fs::write(at("wrong"), "carrier:wrong\n").unwrap();
    let table = |ca: Option<&Path>, credentials: &str| {
        let ca = ca.map(|ca| format!("ca = '{}'\n", ca.display())).unwrap_or_default();
        format!("[registry]\nurl = '{}/project'\n{ca}credentials = '{}'\n", registry.url(), at(credentials).display())
    };
    let authority = registry.authority().unwrap();
    let gone = newest(Options::default()).url();
    for (configured, code, exit) in [
        (table(Some(&authority), "wrong"), "registry-unauthorized", 20),
        (table(None, "right"), "registry-unreachable", 20),
        (table(Some(&authority), "none"), "registry-options", 2),
        (table(Some(&at("right")), "right"), "registry-options", 2),
        (format!("registry = '{gone}'"), "registry-unreachable", 20),
        ("registry = 'http://harbor.site'".to_owned(), "site-config", 2),
    ] {
        place.configure(&configured);
        let before = place.site.snapshot();
        place.install(&Forge::new(1)).fails(code, exit);
        assert!(place.site.snapshot() == before, "{configured}: the site has changed");
    }
    place.configure(&table(Some(&authority), "right"));
    place.install(&Forge::new(1)).succeeds();
    let status = place.site.status();
    assert_eq!(status["registry"], json!({"url": format!("{}/project", registry.url()), "answers": true}));
}

/// An image of which one platform stayed behind.
fn sparse(sequence: u64) -> Forge {
    Forge::new(sequence).with(|forge| {
        let child = forge.content.blobs.values().find(|blob| blob["role"] == "manifest").unwrap().clone();
        let entry = |digest: &Value, size: &Value, architecture: &str| {
            json!({"mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": size,
                "platform": {"os": "linux", "architecture": architecture}})
        };
        let absent = json!(Digest::of(b"stayed behind"));
        let manifests = [entry(&child["digest"], &child["size"], "amd64"), entry(&absent, &json!(500), "s390x")];
        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests});
        forge.content.image_of("registry.example:5000/multi:1", media_type::OCI_INDEX, &index);
    })
}

#[test]
fn an_index_with_gaps_is_refused_or_taken_as_it_is() {
    if !can_run() {
        return;
    }
    let place = Place::enrolled();
    place.configure(&url(&DockerRegistry::start()));
    let registry = DockerRegistry::start();
    place.configure(&url(&registry));
    place.install(&sparse(1)).fails("sparse-index-refused", 20).says("images.platforms");
    assert_eq!(place.site.status()["products"], json!([]));
    assert!(place.site.status().get("cutOff").is_none(), "it failed, and was not cut off");
    assert!(!registry.log().contains("blobs/uploads"), "something was pushed");

    let registry = newest(Options { takes_sparse: true, ..Options::default() });
    place.configure(&url(&registry));
    let forge = sparse(1);
    place.install(&forge).succeeds();
    let pinned = forge.content.fields["images"][1]["digest"].as_str().unwrap();
    assert_eq!(digest(&registry, "registry.example_5000/multi:1"), pinned);
}
