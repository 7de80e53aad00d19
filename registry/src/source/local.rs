//! Images in a file or folder: an OCI image layout, the same as a tar (OCI archive), or what `docker save` wrote.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use consign_format::layout::REF_NAME;
use consign_format::{Descriptor, Digest, DigestWriter, Limits, Reference, media_type};
use serde::Deserialize;

use super::archive::{Archive, Member, malformed};
use super::{Answer, COSIGN_SUFFIXES, ImageSource, SourceError, cosign_tag, docker_save, refused, wanted};
use crate::manifest::{Manifest, Pointers};

/// How containerd and Docker name an image in full in `index.json`.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// One buffer of memory per read.
const BUFFER: usize = 256 * 1024;

/// The images of one file or folder.
pub struct LocalImages {
    path: PathBuf,
    limits: Limits,
    /// What the file or folder lists at its top.
    tops: Vec<Descriptor>,
    store: Store,
}

enum Store {
    Folder(PathBuf),
    Archive { archive: Archive, members: BTreeMap<Digest, Member>, made: BTreeMap<Digest, Vec<u8>> },
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

impl LocalImages {
    /// Opens an OCI image layout (a folder), an OCI archive or a `docker save` archive (a plain tar): told by what is
    /// there. Nothing but the top documents is read.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, SourceError> {
        let read = |source| SourceError::Read { path: path.to_owned(), source };
        let opened = if std::fs::metadata(path).map_err(read)?.is_dir() {
            Self::open_folder(path, limits)
        } else {
            Self::open_archive(path, limits)
        };
        opened.map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::Other => {
                SourceError::Malformed {
                    wanted: "the list of images".into(),
                    place: place(path),
                    source: source.into(),
                }
            }
            _ => SourceError::Read { path: path.to_owned(), source },
        })
    }

    fn open_folder(path: &Path, limits: &Limits) -> io::Result<Self> {
        if !path.join("oci-layout").is_file() {
            return Err(malformed("it has no file oci-layout, so it is no OCI image layout"));
        }
        let mut bytes = Vec::new();
        File::open(path.join("index.json"))?.take(limits.layout).read_to_end(&mut bytes)?;
        let index: Index = serde_json::from_slice(&bytes)?;
        let store = Store::Folder(path.to_owned());
        Ok(LocalImages { path: path.to_owned(), limits: *limits, tops: index.manifests, store })
    }

    fn open_archive(path: &Path, limits: &Limits) -> io::Result<Self> {
        let archive = Archive::open(path)?;
        let (mut members, mut made) = (BTreeMap::new(), BTreeMap::new());
        let tops = if archive.member("oci-layout").is_some() && archive.member("index.json").is_some() {
            serde_json::from_slice::<Index>(&docker_save::document(&archive, "index.json", limits)?)?.manifests
        } else if archive.member("manifest.json").is_some() {
            let mut tops = Vec::new();
            for image in docker_save::read(&archive, limits)? {
                let top = image.descriptor();
                for name in &image.names {
                    let mut named = top.clone();
                    named.annotations.insert(CONTAINERD_NAME.to_owned(), name.clone());
                    tops.push(named);
                }
                tops.push(top.clone());
                made.insert(top.digest, image.manifest);
                made.insert(image.config.0, image.config.1);
                members.extend(image.layers);
            }
            tops
        } else {
            return Err(malformed("it has neither index.json nor manifest.json, so it is no archive of images"));
        };
        let store = Store::Archive { archive, members, made };
        Ok(LocalImages { path: path.to_owned(), limits: *limits, tops, store })
    }

    /// The images that are listed, as they are named there; those without a name are left out.
    pub fn names(&self) -> Vec<String> {
        let names = self
            .tops
            .iter()
            .filter_map(|top| top.annotations.get(CONTAINERD_NAME).or_else(|| top.annotations.get(REF_NAME)).cloned());
        names.collect()
    }

    fn place(&self) -> String {
        place(&self.path)
    }

    fn read_error(&self, source: io::Error) -> SourceError {
        SourceError::Read { path: self.path.clone(), source }
    }

    /// Opens a blob, without a look at its bytes, and tells its size.
    fn open_blob(&self, digest: &Digest) -> io::Result<Option<(u64, Box<dyn Read + Send + '_>)>> {
        match &self.store {
            Store::Folder(dir) => {
                let file = match File::open(dir.join("blobs/sha256").join(digest.hex())) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    opened => opened?,
                };
                Ok(Some((file.metadata()?.len(), Box::new(file))))
            }
            Store::Archive { archive, members, made } => {
                if let Some(bytes) = made.get(digest) {
                    return Ok(Some((bytes.len() as u64, Box::new(bytes.as_slice()))));
                }
                let listed = members.get(digest).copied();
                let member = listed.or_else(|| archive.member(&format!("blobs/sha256/{}", digest.hex())));
                Ok(member.map(|member| (member.size, Box::new(archive.reader(member)) as Box<dyn Read + Send>)))
            }
        }
    }

    fn read_manifest(&self, wanted: &str, digest: &Digest) -> Result<(Vec<u8>, Manifest), SourceError> {
        let not_found = || SourceError::NotFound { wanted: wanted.to_owned(), place: self.place() };
        let (size, reader) = self.open_blob(digest).map_err(|e| self.read_error(e))?.ok_or_else(not_found)?;
        if size > self.limits.manifest {
            let source = format!("it has {size} bytes, and a manifest has at most {}", self.limits.manifest).into();
            return Err(SourceError::Malformed { wanted: wanted.to_owned(), place: self.place(), source });
        }
        let mut bytes = Vec::new();
        reader.take(self.limits.manifest).read_to_end(&mut bytes).map_err(|e| self.read_error(e))?;
        self.held(wanted, digest, &Digest::of(&bytes))?;
        let manifest = Manifest::parse(&bytes, None).map_err(|e| refused(wanted.to_owned(), self.place(), e))?;
        Ok((bytes, manifest))
    }

    fn held(&self, wanted: &str, expected: &Digest, actual: &Digest) -> Result<(), SourceError> {
        if expected == actual {
            return Ok(());
        }
        let (wanted, place) = (wanted.to_owned(), self.place());
        Err(SourceError::Mismatch { wanted, place, expected: *expected, actual: actual.to_string() })
    }

    /// The digest a reference stands for: its own, or that of the one listed image that has its name.
    fn find(&self, reference: &Reference) -> Result<Digest, SourceError> {
        if let Some(digest) = reference.digest {
            return Ok(digest);
        }
        let fits = |names: fn(&Descriptor, &Reference) -> bool| {
            let mut digests: Vec<_> = self.tops.iter().filter(|top| names(top, reference)).map(|t| t.digest).collect();
            digests.sort_unstable();
            digests.dedup();
            digests
        };
        // A full name is better than a bare tag, which is all that many tools write.
        let full = fits(has_name);
        let found = if full.is_empty() { fits(has_tag) } else { full };
        match found.as_slice() {
            [digest] => Ok(*digest),
            [] => Err(SourceError::NotFound { wanted: reference.to_string(), place: self.place() }),
            _ => Err(SourceError::Ambiguous { wanted: reference.to_string(), place: self.place() }),
        }
    }

    fn resolve_now(&self, reference: &Reference) -> Result<Descriptor, SourceError> {
        let digest = self.find(reference)?;
        let (bytes, manifest) = self.read_manifest(&reference.to_string(), &digest)?;
        Ok(Descriptor::new(manifest.media_type, digest, bytes.len() as u64))
    }

    fn blob_now(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        sink: &mut (dyn Write + Send),
    ) -> Result<(), SourceError> {
        let wanted = wanted(reference, &blob.digest);
        let not_found = || SourceError::NotFound { wanted: wanted.clone(), place: self.place() };
        let (size, mut reader) = self.open_blob(&blob.digest).map_err(|e| self.read_error(e))?.ok_or_else(not_found)?;
        if size != blob.size {
            let source = format!("it has {size} bytes where {} are promised", blob.size).into();
            return Err(SourceError::Malformed { wanted, place: self.place(), source });
        }
        let mut out = DigestWriter::new(sink);
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => out
                    .write_all(&buffer[..n])
                    .map_err(|source| SourceError::Sink { wanted: wanted.clone(), source })?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_error(error)),
            }
        }
        let (_, actual, _) = out.finish();
        self.held(&wanted, &blob.digest, &actual)
    }

    /// A layout has no list of referrers: what it lists at its top is searched, indexes one level deep.
    fn referrers_now(&self, digest: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        let mut found: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        let mut seen: Vec<Digest> = Vec::new();
        let mut waiting = self.tops.clone();
        while let Some(top) = waiting.pop() {
            if !media_type::is_manifest(&top.media_type) || seen.contains(&top.digest) {
                continue;
            }
            seen.push(top.digest);
            let (bytes, manifest) = match self.read_manifest(&top.digest.to_string(), &top.digest) {
                // A sparse index, or an image that is not wanted and could not be carried: no referrer that we lose.
                Err(SourceError::NotFound { .. } | SourceError::Unsupported { .. }) => continue,
                read => read?,
            };
            if manifest.subject.as_ref().is_some_and(|subject| subject.digest == *digest) {
                let descriptor = Descriptor {
                    artifact_type: manifest.artifact_type.clone(),
                    annotations: manifest.annotations.clone(),
                    ..Descriptor::new(&manifest.media_type, top.digest, bytes.len() as u64)
                };
                found.insert(top.digest, descriptor);
            }
            if let Pointers::Index(entries) = manifest.content {
                waiting.extend(entries);
            }
        }
        for tag in COSIGN_SUFFIXES.map(|suffix| cosign_tag(digest, suffix)) {
            let named = |top: &&Descriptor| top.annotations.get(REF_NAME).is_some_and(|name| ends_in_tag(name, &tag));
            if let Some(top) = self.tops.iter().find(named) {
                let mut descriptor = Descriptor::new(&top.media_type, top.digest, top.size);
                descriptor.annotations.insert(REF_NAME.to_owned(), tag);
                found.entry(top.digest).or_insert(descriptor);
            }
        }
        Ok(found.into_values().collect())
    }
}

fn place(path: &Path) -> String {
    path.display().to_string()
}

fn has_name(top: &Descriptor, reference: &Reference) -> bool {
    let names = [CONTAINERD_NAME, REF_NAME].into_iter().filter_map(|key| top.annotations.get(key));
    let mut full = names.filter(|name| name.contains(['/', ':'])).filter_map(|name| name.parse::<Reference>().ok());
    full.any(|name| name.name() == reference.name() && name.tag == reference.tag)
}

/// A name that is a tag and nothing else says nothing about the repository, and is taken for any.
fn has_tag(top: &Descriptor, reference: &Reference) -> bool {
    let is_named_otherwise = top.annotations.contains_key(CONTAINERD_NAME);
    !is_named_otherwise && top.annotations.get(REF_NAME).is_some_and(|name| Some(name) == reference.tag.as_ref())
}

fn ends_in_tag(name: &str, tag: &str) -> bool {
    name == tag || name.strip_suffix(tag).is_some_and(|rest| rest.ends_with(':'))
}

impl ImageSource for LocalImages {
    fn resolve<'a>(&'a self, reference: &'a Reference) -> Answer<'a, Descriptor> {
        Box::pin(async move { self.resolve_now(reference) })
    }

    fn manifest<'a>(&'a self, reference: &'a Reference, digest: &'a Digest) -> Answer<'a, Vec<u8>> {
        Box::pin(async move { Ok(self.read_manifest(&wanted(reference, digest), digest)?.0) })
    }

    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        blob: &'a Descriptor,
        sink: &'a mut (dyn Write + Send),
    ) -> Answer<'a, ()> {
        Box::pin(async move { self.blob_now(reference, blob, sink) })
    }

    fn referrers<'a>(&'a self, _reference: &'a Reference, digest: &'a Digest) -> Answer<'a, Vec<Descriptor>> {
        Box::pin(async move { self.referrers_now(digest) })
    }
}
