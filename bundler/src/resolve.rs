//! What every floating name stands for: references become digests, platforms are chosen, referrers are found.
//!
//! The result goes into the lock as it is; nothing behind this stage asks a registry what a tag means.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::error::{Code, Coded, codes};
use consign_format::layout::REF_NAME;
use consign_format::{Descriptor, Digest, Platform, Reference, media_type};
use consign_registry::manifest::{Manifest, ManifestError, Pointers};
use consign_registry::{ImageSource, SourceError};
use consign_terminal::progress::{Amount, Progress};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::discover::Found;
use crate::lock::{LockedImage, LockedManifest, LockedReferrer};

/// How many references are resolved at once.
const AT_ONCE: usize = 8;
/// Referrers of referrers (a signature on an SBOM) are followed this deep.
const REFERRER_DEPTH: usize = 3;
/// More referrers than this behind one image are no signatures of it but somebody's attack or accident.
const REFERRERS: usize = 1000;

/// An image that travels, and the places that ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The reference in full.
    pub reference: Reference,
    /// The reference as the places write it.
    pub written: BTreeSet<String>,
    /// `Kind namespace/name /json/pointer`, each place once; empty for `images.include`.
    pub found_in: BTreeSet<String>,
}

/// Why an image is not known by digest.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A reference or a part of an image could not be had.
    #[error("{}: `{reference}` cannot be resolved", places(.found_in))]
    Unresolved {
        /// The reference as written.
        reference: String,
        /// The places that ask for it.
        found_in: Vec<String>,
        /// What the source said.
        source: SourceError,
    },
    /// What the source gave cannot be followed.
    #[error("{}: `{reference}` cannot be carried", places(.found_in))]
    Manifest {
        /// The reference as written.
        reference: String,
        /// The places that ask for it.
        found_in: Vec<String>,
        /// What is wrong.
        source: ManifestError,
    },
    /// The image has no variant for a platform that is wanted.
    #[error("{}: `{reference}` has no {platform}, only {}", places(.found_in), listed(.offered))]
    Platform {
        /// The reference as written.
        reference: String,
        /// The places that ask for it.
        found_in: Vec<String>,
        /// The platform that is missing.
        platform: String,
        /// Those that are there.
        offered: Vec<String>,
    },
    /// More referrers than anybody signs.
    #[error("`{reference}` has more than {REFERRERS} referrers")]
    TooManyReferrers {
        /// The reference as written.
        reference: String,
    },
}

fn places(found_in: &[String]) -> String {
    match found_in {
        [] => "`images.include`".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

fn listed(platforms: &[String]) -> String {
    if platforms.is_empty() { "none".to_owned() } else { platforms.join(", ") }
}

impl Coded for ResolveError {
    fn code(&self) -> Code {
        match self {
            ResolveError::Unresolved { source: SourceError::NotFound { .. }, .. } => codes::IMAGE_UNRESOLVED,
            ResolveError::Unresolved { source, .. } => source.code(),
            ResolveError::Manifest { source, .. } if source.is_unsupported() => codes::IMAGE_UNSUPPORTED,
            ResolveError::Manifest { .. } => codes::IMAGE_MALFORMED,
            ResolveError::Platform { .. } => codes::PLATFORM_MISSING,
            ResolveError::TooManyReferrers { .. } => codes::OVER_LIMIT,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ResolveError::Unresolved { source: SourceError::NotFound { .. }, .. } => Some(
                "check the spelling; if the image lies elsewhere, map its registry under `images.mirrors` or name a \
                 file under `images.from`"
                    .to_owned(),
            ),
            ResolveError::Unresolved { source, .. } => source.hint(),
            ResolveError::Manifest { .. } => Some("rebuild or push the image again in a current format".to_owned()),
            ResolveError::Platform { .. } => {
                Some("change `images.platforms`, or use an image that is built for it".to_owned())
            }
            ResolveError::TooManyReferrers { .. } => None,
        }
    }
}

/// Gathers the images of a release, each reference once, in the order of the references.
pub fn wanted(found: &[Found], include: &[(String, Reference)]) -> Vec<Wanted> {
    let mut all: BTreeMap<Reference, Wanted> = BTreeMap::new();
    let mut add = |reference: Reference, written: &str, place: Option<String>| {
        let new = || Wanted { reference: reference.clone(), written: BTreeSet::new(), found_in: BTreeSet::new() };
        let wanted = all.entry(reference.clone()).or_insert_with(new);
        wanted.written.insert(written.to_owned());
        wanted.found_in.extend(place);
    };
    for place in found {
        // Discovery has parsed it already.
        if let Ok(reference) = place.reference.parse() {
            add(reference, &place.reference, Some(format!("{} {}", place.object, place.field)));
        }
    }
    for (written, reference) in include {
        add(reference.clone(), written, None);
    }
    all.into_values().collect()
}

/// Resolves all images.
///
/// # Errors
/// [`ResolveError`] of the first reference that fails, in the order of the references.
pub async fn resolve(
    wanted: &[Wanted],
    platforms: &[Platform],
    source: &dyn ImageSource,
    progress: &dyn Progress,
) -> Result<Vec<LockedImage>, ResolveError> {
    progress.phase("resolving", Amount::Items(wanted.len() as u64));
    let images = stream::iter(wanted.iter().map(|image| async move {
        let locked = resolve_one(image, platforms, source).await?;
        progress.advance(1);
        Ok(locked)
    }));
    let images = images.buffered(AT_ONCE).try_collect().await?;
    progress.done();
    Ok(images)
}

/// Resolves one image.
async fn resolve_one(
    wanted: &Wanted,
    platforms: &[Platform],
    source: &dyn ImageSource,
) -> Result<LockedImage, ResolveError> {
    let reference = &wanted.reference;
    let top = source.resolve(reference).await.map_err(|e| wanted.unresolved(e))?;
    let bytes = source.manifest(reference, &top.digest).await.map_err(|e| wanted.unresolved(e))?;
    let manifest = wanted.parse(&bytes, Some(&top.media_type))?;
    let manifests = match &manifest.content {
        Pointers::Image { config, .. } => {
            check_platform(wanted, config, platforms, source).await?;
            Vec::new()
        }
        Pointers::Index(entries) => choose(wanted, entries, platforms)?,
    };
    let mut subjects = vec![top.digest];
    subjects.extend(manifests.iter().map(|manifest| manifest.digest));
    let carried: BTreeSet<Digest> = subjects.iter().copied().collect();
    let referrers = referrers(wanted, subjects, &carried, source).await?;
    Ok(LockedImage {
        reference: reference.to_string(),
        written: wanted.written.iter().cloned().collect(),
        digest: top.digest,
        media_type: manifest.media_type,
        size: bytes.len() as u64,
        manifests,
        referrers,
        found_in: wanted.found_in.iter().cloned().collect(),
    })
}

/// The media types of configurations that say which platform an image is for.
const CONFIGS: [&str; 2] = [media_type::OCI_CONFIG, media_type::DOCKER_CONFIG];
/// A configuration with a larger history than this is not looked into.
const LARGEST_CONFIG: u64 = 4 << 20;

/// Demands that an image of one platform is for one of those that are wanted: on another, its programs do not start.
async fn check_platform(
    wanted: &Wanted,
    config: &Descriptor,
    platforms: &[Platform],
    source: &dyn ImageSource,
) -> Result<(), ResolveError> {
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default)]
        os: String,
        #[serde(default)]
        architecture: String,
        variant: Option<String>,
    }
    if !CONFIGS.contains(&config.media_type.as_str()) || config.size > LARGEST_CONFIG {
        return Ok(());
    }
    let mut bytes = Vec::new();
    source.blob(&wanted.reference, config, &mut bytes).await.map_err(|e| wanted.unresolved(e))?;
    let Ok(Config { os, architecture, variant }) = serde_json::from_slice(&bytes) else { return Ok(()) };
    if os.is_empty() || architecture.is_empty() {
        return Ok(());
    }
    let platform = Platform { os, architecture, variant, os_version: None };
    let fits = |wanted: &&Platform| is_within(&platform, &Platform { os_version: None, ..(*wanted).clone() });
    match (platforms.iter().find(fits), platforms.first()) {
        (None, Some(first)) => Err(wanted.no_platform(first, std::slice::from_ref(&platform))),
        _ => Ok(()),
    }
}

/// Chooses the entries of an index that travel: those of the wanted platforms, and what the builder has attested
/// about them. The index itself is carried as it is, with only these behind it.
fn choose(
    wanted: &Wanted,
    entries: &[Descriptor],
    platforms: &[Platform],
) -> Result<Vec<LockedManifest>, ResolveError> {
    let mut chosen: BTreeMap<Digest, LockedManifest> = BTreeMap::new();
    for platform in platforms {
        let before = chosen.len();
        let fits = entries.iter().filter(|entry| entry.platform.as_ref().is_some_and(|p| is_within(p, platform)));
        let mut any = false;
        for entry in fits {
            any = true;
            chosen.insert(entry.digest, LockedManifest::of(entry));
        }
        // An index without platforms is a bundle of artifacts: all of it is meant.
        if !any && before == 0 && entries.iter().all(|entry| entry.platform.is_none()) {
            return Ok(entries.iter().map(LockedManifest::of).collect());
        }
        if !any {
            let offered: Vec<_> = entries.iter().filter_map(|entry| entry.platform.clone()).collect();
            return Err(wanted.no_platform(platform, &offered));
        }
    }
    // BuildKit's attestation storage: an entry that names its subject in an annotation.
    let about = |entry: &&Descriptor| {
        let subject = entry.annotations.get("vnd.docker.reference.digest");
        subject.and_then(|text| text.parse::<Digest>().ok()).is_some_and(|digest| chosen.contains_key(&digest))
    };
    let attestations: Vec<_> = entries.iter().filter(about).map(LockedManifest::of).collect();
    chosen.extend(attestations.into_iter().map(|manifest| (manifest.digest, manifest)));
    Ok(chosen.into_values().collect())
}

/// Tells whether an entry is of a wanted platform; a variant or version that is not said is any.
fn is_within(entry: &Platform, wanted: &Platform) -> bool {
    let same = |said: &Option<String>, wanted: &Option<String>| wanted.is_none() || said == wanted;
    // image-spec: arm64 is v8 unless it says otherwise.
    let variant = match (&entry.variant, entry.architecture.as_str()) {
        (None, "arm64") => Some("v8".to_owned()),
        (variant, _) => variant.clone(),
    };
    entry.os == wanted.os
        && entry.architecture == wanted.architecture
        && same(&variant, &wanted.variant)
        && same(&entry.os_version, &wanted.os_version)
}

/// Finds what refers to the carried manifests, and what refers to that.
async fn referrers(
    wanted: &Wanted,
    mut subjects: Vec<Digest>,
    carried: &BTreeSet<Digest>,
    source: &dyn ImageSource,
) -> Result<Vec<LockedReferrer>, ResolveError> {
    let mut all: BTreeMap<Digest, LockedReferrer> = BTreeMap::new();
    for _ in 0..REFERRER_DEPTH {
        let mut next = Vec::new();
        for subject in subjects {
            let listed = source.referrers(&wanted.reference, &subject).await.map_err(|e| wanted.unresolved(e))?;
            for found in listed {
                if carried.contains(&found.digest) || all.contains_key(&found.digest) {
                    continue;
                }
                next.push(found.digest);
                all.insert(found.digest, LockedReferrer::of(&found, subject, found.annotations.get(REF_NAME)));
            }
            if all.len() > REFERRERS {
                return Err(ResolveError::TooManyReferrers { reference: wanted.shown() });
            }
        }
        subjects = next;
    }
    Ok(all.into_values().collect())
}

impl Wanted {
    fn shown(&self) -> String {
        self.written.first().cloned().unwrap_or_else(|| self.reference.to_string())
    }

    fn places(&self) -> Vec<String> {
        self.found_in.iter().cloned().collect()
    }

    fn unresolved(&self, source: SourceError) -> ResolveError {
        ResolveError::Unresolved { reference: self.shown(), found_in: self.places(), source }
    }

    fn parse(&self, bytes: &[u8], announced: Option<&str>) -> Result<Manifest, ResolveError> {
        let refuse = |source| ResolveError::Manifest { reference: self.shown(), found_in: self.places(), source };
        Manifest::parse(bytes, announced).map_err(refuse)
    }

    fn no_platform(&self, platform: &Platform, offered: &[Platform]) -> ResolveError {
        let known = offered.iter().filter(|platform| platform.os != "unknown");
        let offered: BTreeSet<String> = known.map(Platform::to_string).collect();
        ResolveError::Platform {
            reference: self.shown(),
            found_in: self.places(),
            platform: platform.to_string(),
            offered: offered.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests;
