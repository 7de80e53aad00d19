//! Where each image of a release is fetched: from the folders and archives of `images.from`, else from registries.
//!
//! One [`ImageSource`] over both, so that no stage behind it knows the difference.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_format::reference::is_tag;
use consign_format::{Descriptor, Digest, Limits, Reference};
use consign_registry::source::Answer;
use consign_registry::{ImageSource, LocalImages, RegistryOptions, RemoteRegistry};

use crate::config::{FromEntry, ImagesEntry};

/// The folders, archives and registries of one release.
pub struct ImageSources {
    local: Vec<Local>,
    remote: Box<dyn ImageSource>,
}

struct Local {
    images: LocalImages,
    /// Reference (host, repository, tag) to what it is called inside.
    names: BTreeMap<Reference, Reference>,
}

impl ImageSources {
    /// Opens what `images` of `release.yaml` names. `base` is the folder of `release.yaml`; `docker_config` the login
    /// file, if the person who builds has one.
    ///
    /// # Errors
    /// An archive that cannot be read, a mirror or certificate file that cannot be used.
    pub fn open(entry: &ImagesEntry, base: &Path, docker_config: Option<PathBuf>) -> Result<Self, Failure> {
        let options = RegistryOptions {
            mirrors: entry.mirrors.clone(),
            plain_http: entry.plain_http.clone(),
            ca_files: entry.ca.iter().map(|file| base.join(file)).collect(),
            docker_config,
            ..RegistryOptions::default()
        };
        let remote = Box::new(RemoteRegistry::new(options)?);
        let mut local = Vec::new();
        for from in &entry.from {
            let images = LocalImages::open(&base.join(&from.path), &Limits::DEFAULT)?;
            let names = names(from, &images);
            local.push(Local { images, names });
        }
        Ok(ImageSources { local, remote })
    }

    /// The source of a reference, and what the reference is called there. The first entry that has it wins.
    fn of<'a>(&'a self, reference: &'a Reference) -> (&'a dyn ImageSource, Reference) {
        let key = Reference { digest: None, ..reference.clone() };
        for local in &self.local {
            if let Some(inside) = local.names.get(&key) {
                let digest = reference.digest.or(inside.digest);
                return (&local.images, Reference { digest, ..inside.clone() });
            }
        }
        (self.remote.as_ref(), reference.clone())
    }
}

/// Which references an entry stands for: those it says, or those its images are called by. A name inside that is
/// only a tag says nothing about the repository, and has to be said.
fn names(from: &FromEntry, images: &LocalImages) -> BTreeMap<Reference, Reference> {
    let key = |reference: Reference| Reference { digest: None, ..reference };
    if from.references.is_empty() {
        let full = images.names().into_iter().filter(|name| name.contains(['/', ':']));
        return full.filter_map(|name| name.parse::<Reference>().ok()).map(|r| (key(r.clone()), r)).collect();
    }
    let pairs = from.references.iter().filter_map(|(reference, name)| {
        let reference: Reference = reference.parse().ok()?;
        let inside = match (name.parse::<Digest>(), is_tag(name)) {
            (Ok(digest), _) => reference.with_digest(digest),
            (_, true) => Reference { tag: Some(name.clone()), digest: None, ..reference.clone() },
            _ => name.parse().ok()?,
        };
        Some((key(reference), inside))
    });
    pairs.collect()
}

impl ImageSource for ImageSources {
    fn resolve<'a>(&'a self, reference: &'a Reference) -> Answer<'a, Descriptor> {
        Box::pin(async move {
            let (source, reference) = self.of(reference);
            source.resolve(&reference).await
        })
    }

    fn manifest<'a>(&'a self, reference: &'a Reference, digest: &'a Digest) -> Answer<'a, Vec<u8>> {
        Box::pin(async move {
            let (source, reference) = self.of(reference);
            source.manifest(&reference, digest).await
        })
    }

    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        blob: &'a Descriptor,
        sink: &'a mut (dyn Write + Send),
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let (source, reference) = self.of(reference);
            source.blob(&reference, blob, sink).await
        })
    }

    fn referrers<'a>(&'a self, reference: &'a Reference, digest: &'a Digest) -> Answer<'a, Vec<Descriptor>> {
        Box::pin(async move {
            let (source, reference) = self.of(reference);
            source.referrers(&reference, digest).await
        })
    }
}
