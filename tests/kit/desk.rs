//! The connected side of a test: a repository, a registry that has its images, a root of trust; `consign` builds there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::command::{self, Invocation};
use crate::images::{self, Images};
use crate::registry::DockerRegistry;
use crate::sample::{self, Repository};
use crate::skip;

/// A place where releases are made.
#[derive(Debug)]
pub struct Desk {
    /// Where the images come from.
    pub registry: DockerRegistry,
    /// The images.
    pub images: Images,
    /// The repository, its `release.yaml` pointed at the registry.
    pub repository: Repository,
    folder: PathBuf,
}

impl Desk {
    /// Whether this machine has what a desk needs; says so where it has not.
    #[must_use]
    pub fn is_possible() -> bool {
        skip::unless(images::missing().is_none(), &images::missing().unwrap_or_default(), images::HOW)
    }

    /// A desk with the sample's first version.
    ///
    /// # Panics
    /// If [`Self::is_possible`] does not hold, or anything fails.
    pub fn sample() -> Self {
        let images = Images::get();
        let registry = images.registry();
        // In the registry's own folder, which is removed by others should this process be killed.
        let folder = registry.folder().join("desk");
        fs::create_dir(&folder).expect("a folder of our own");
        let repository = sample::repository(&folder.join("repository"));
        repository.point_at(&registry);
        let desk = Self { registry, images, repository, folder };
        desk.consign(["keys", "new", "--domain", "lumen"]).option("--trust", desk.trust()).succeeds();
        desk
    }

    /// The sample's first version and its bundle, made once for all tests of a process that change neither.
    pub fn shared() -> &'static (Self, PathBuf) {
        static SHARED: OnceLock<(Desk, PathBuf)> = OnceLock::new();
        SHARED.get_or_init(|| {
            let desk = Self::sample();
            let bundle = desk.build();
            (desk, bundle)
        })
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder with the root and the signing key.
    pub fn trust(&self) -> PathBuf {
        self.repository.folder().join("trust")
    }

    /// `consign` in the repository's folder.
    pub fn consign<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        command::consign(arguments).in_folder(self.repository.folder()).env("HOME", &self.folder)
    }

    /// Builds the release as it is; returns the bundle.
    pub fn build(&self) -> PathBuf {
        self.consign(["build", "--output"]).arg(&self.folder).succeeds();
        let bundle = self.folder.join(self.repository.bundle());
        assert!(bundle.is_file(), "no {}", bundle.display());
        bundle
    }

    /// Commits the next version, locks it, builds it; returns the bundle.
    pub fn build_next(&mut self, version: &str, change: impl FnOnce(&Path)) -> PathBuf {
        self.repository.next(version, change);
        self.repository.point_at(&self.registry);
        self.consign(["lock", "--update"]).succeeds();
        self.build()
    }

    /// What `consign inspect --json` says of a bundle.
    pub fn inspect(&self, bundle: &Path) -> Value {
        self.consign(["inspect", "--json"]).arg(bundle).succeeds().json()
    }
}

/// An image of a release: its reference as in the bundle, in full, and its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Host and repository, such as `docker.io/library/nginx`.
    pub name: String,
    /// The tag.
    pub tag: String,
    /// `sha256:…`
    pub digest: String,
    /// Whether it is an index, and so of several platforms at its source.
    pub is_index: bool,
}

/// The images that `consign inspect --json` tells of.
pub fn pinned(inspected: &Value) -> Vec<Pinned> {
    let images = inspected["release"]["images"].as_array().expect("a list of images");
    images
        .iter()
        .map(|image| {
            let text = |key: &str| image[key].as_str().expect("a string").to_owned();
            let (reference, digest) = (text("reference"), text("digest"));
            let plain = reference.split_once('@').map_or(reference.as_str(), |(plain, _)| plain);
            let (name, tag) = plain.rsplit_once(':').expect("a tag");
            let is_index = image["platforms"].as_array().is_some_and(|list| !list.is_empty());
            Pinned { name: name.to_owned(), tag: tag.to_owned(), digest, is_index }
        })
        .collect()
}
