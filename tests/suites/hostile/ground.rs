//! Where a row is tried: a site that has a release and serves it, and the media that are put before it.

use std::fs;
use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_tests::forge::Forge;
use consign_tests::site::{Served, Site};
use consign_tests::untouched::{Shown, Untouched};
use tempfile::TempDir;

/// The sequence of the release that a site has before it is lied to.
pub(crate) const INSTALLED: u64 = 7;
/// The sequence of the release that comes next.
pub(crate) const NEXT: u64 = 8;

/// A site, what it serves, and both as they were.
pub(crate) struct Ground {
    pub(crate) site: Site,
    /// Its registry, and what that served; a site whose state is damaged serves nothing.
    served: Option<(Served, Shown)>,
    before: Untouched,
}

impl Ground {
    /// A site that trusts the forge's first root and has release [`INSTALLED`].
    pub(crate) fn new() -> Self {
        Self::with(&Forge::new(INSTALLED))
    }

    /// A site that trusts the first root of a bundle and has its release.
    pub(crate) fn with(installed: &Forge) -> Self {
        let site = enrolled(&installed.roots[0]);
        site.export(Medium::of(&installed.bundle()).path()).succeeds();
        Self::of(site)
    }

    /// A site as it is now.
    pub(crate) fn of(site: Site) -> Self {
        let (served, before) = (site.serve(), Untouched::of(&site));
        let shown = Shown::by(&served, &paths());
        Self { site, served: Some((served, shown)), before }
    }

    /// A site whose state is damaged.
    pub(crate) fn damaged(site: Site) -> Self {
        let before = Untouched::of(&site);
        Self { site, served: None, before }
    }

    /// The same site, which something has rightly changed.
    #[must_use]
    pub(crate) fn again(self) -> Self {
        Self::of(self.site)
    }

    /// What has changed, in words.
    pub(crate) fn differences(&self) -> Vec<String> {
        let mut found = self.before.differences(&self.site);
        if self.served.as_ref().is_some_and(|(served, shown)| Shown::by(served, &paths()) != *shown) {
            found.push("the registry serves something else".to_owned());
        }
        found
    }

    /// How many roots the site knows.
    pub(crate) fn roots(&self) -> usize {
        let file = self.site.kept().join("trust/domains/ward");
        let text = fs::read_to_string(file).unwrap();
        let (_, document) = text.split_once('\n').unwrap();
        let state: serde_json::Value = serde_json::from_str(document).unwrap();
        state["roots"].as_array().unwrap().len()
    }
}

/// A site that trusts a root and has nothing yet.
pub(crate) fn enrolled(root: &[u8]) -> Site {
    let site = Site::bare();
    site.enrol(Medium::of(root).path()).succeeds();
    site
}

/// What the registry is asked for: all that the installed release put there, and all that the next one would.
fn paths() -> Vec<String> {
    let (image, state) = ("/v2/registry.example/app", "/v2/consign.internal/state/lamp");
    let mut paths = vec![format!("{image}/tags/list"), format!("{state}/tags/list"), format!("{image}/manifests/1")];
    for sequence in [INSTALLED, NEXT] {
        paths.push(format!("{state}/manifests/1.{sequence}"));
        let content = Forge::new(sequence).content;
        paths.extend(content.blobs.keys().map(|digest| format!("{image}/blobs/{digest}")));
        paths.extend(content.blobs.keys().map(|digest| format!("{image}/manifests/{digest}")));
    }
    paths
}

/// A stick with one file, gone when dropped.
pub(crate) struct Medium {
    _folder: TempDir,
    path: PathBuf,
    digest: Digest,
}

impl Medium {
    /// Puts bytes on it.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lamp.consign");
        fs::write(&path, bytes).unwrap();
        Medium { _folder: folder, path, digest: Digest::of(bytes) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it still holds what was put there, and nothing beside.
    pub(crate) fn is_as_it_was(&self) -> bool {
        let files = fs::read_dir(self.path.parent().unwrap()).unwrap().count();
        files == 1 && Digest::of(&fs::read(&self.path).unwrap()) == self.digest
    }
}
