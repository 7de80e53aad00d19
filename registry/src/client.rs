//! A registry over the network, as a source of images: oci-client, wrapped.
//!
//! What oci-client lacks is added here: retries with growing pauses, resume by range, one digest over the whole blob
//! however many connections it took, mirrors, the login file. What it does that we must not have is kept out: a bad
//! configuration is an error (its `Client::new` goes on without it), and foreign layers are never fetched.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use consign_format::layout::REF_NAME;
use consign_format::{Descriptor, Digest, DigestWriter, Limits, Reference, media_type};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, RegistryOperation};

use crate::manifest::Manifest;
use crate::source::{Answer, COSIGN_SUFFIXES, ImageSource, SourceError, cosign_tag, refused, wanted};

pub(crate) mod credentials;
mod download;
pub(crate) mod fault;
mod mirrors;
pub(crate) mod options;

use credentials::Logins;
use download::{Download, Stop};
use fault::{Attempt, Fault};
use mirrors::Mirrors;
pub use options::OptionsError;

/// How to reach registries.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Upstream host to `host` or `host/prefix`, which is asked instead: `docker.io` to `registry.corp/docker`.
    pub mirrors: BTreeMap<String, String>,
    /// Hosts (with port) that are spoken to without TLS.
    pub plain_http: Vec<String>,
    /// PEM files of certificate authorities, in addition to those of the system.
    pub ca_files: Vec<PathBuf>,
    /// The login file (`~/.docker/config.json` or podman's `auth.json`), with its helpers; without it, anonymous.
    pub docker_config: Option<PathBuf>,
    /// How often one thing is tried. At least once.
    pub tries: u32,
    /// The pause after the first failure; it doubles with each, up to half a minute.
    pub first_pause: Duration,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a registry may be silent in the middle of an answer.
    pub read_timeout: Duration,
    /// Bounds on what is read into memory.
    pub limits: Limits,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        RegistryOptions {
            mirrors: BTreeMap::new(),
            plain_http: Vec::new(),
            ca_files: Vec::new(),
            docker_config: None,
            tries: 5,
            first_pause: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            limits: Limits::DEFAULT,
        }
    }
}

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How many resolved manifests wait in memory for [`ImageSource::manifest`]; registries count downloads.
const WAITING_MANIFESTS: usize = 64;

/// Every registry that references name, each asked where the mirrors say.
pub struct RemoteRegistry {
    client: Client,
    options: RegistryOptions,
    mirrors: Mirrors,
    logins: Logins,
    resolved: Mutex<HashMap<Digest, Vec<u8>>>,
}

/// One place on the network, as oci-client wants it named.
struct Target {
    host: String,
    image: oci_client::Reference,
    auth: RegistryAuth,
}

impl RemoteRegistry {
    /// Checks the options and reads the files they name. If the process has no default provider of cryptography for
    /// rustls yet, *ring* becomes it.
    pub fn new(options: RegistryOptions) -> Result<Self, OptionsError> {
        let mirrors = Mirrors::parse(&options.mirrors)?;
        let client = options::client(&options)?;
        let logins = Logins::read(options.docker_config.as_deref())?;
        Ok(RemoteRegistry { client, options, mirrors, logins, resolved: Mutex::default() })
    }

    /// Where a reference's repository is asked for, and how; `at` is a tag or a digest.
    async fn target(&self, reference: &Reference, at: &str) -> Result<Target, SourceError> {
        let place = self.mirrors.place(reference);
        let mut image = if at.starts_with("sha256:") {
            oci_client::Reference::with_digest(place.host.clone(), place.repository, at.to_owned())
        } else {
            oci_client::Reference::with_tag(place.host.clone(), place.repository, at.to_owned())
        };
        if let Some(mirror) = place.says_ns {
            image.set_mirror_registry(mirror);
        }
        let host = image.resolve_registry().to_owned();
        let auth = self.logins.of(&host).await.map_err(|source| SourceError::Unauthorized {
            wanted: reference.to_string(),
            place: host.clone(),
            had_credentials: false,
            source: Box::new(source),
        })?;
        self.client.store_auth_if_needed(&host, &auth).await;
        Ok(Target { host, image, auth })
    }

    /// Tries something until it works, the faults are not passing ones, or the tries are used up.
    async fn attempt<T, F>(&self, wanted: &str, target: &Target, mut once: impl FnMut() -> F) -> Result<T, SourceError>
    where
        F: Future<Output = Result<T, OciDistributionError>>,
    {
        let mut attempt = Attempt::new(self.options.tries, self.options.first_pause, LONGEST_PAUSE);
        loop {
            match once().await {
                Ok(done) => return Ok(done),
                Err(error) => self.pause_or_give_up(&mut attempt, error, wanted, target).await?,
            }
        }
    }

    async fn pause_or_give_up(
        &self,
        attempt: &mut Attempt,
        error: OciDistributionError,
        wanted: &str,
        target: &Target,
    ) -> Result<(), SourceError> {
        let fault = fault::of(&error);
        if fault == Fault::Passing
            && let Some(pause) = attempt.next_pause()
        {
            tokio::time::sleep(pause).await;
            return Ok(());
        }
        let had_credentials = !matches!(target.auth, RegistryAuth::Anonymous);
        let (wanted, place) = (wanted.to_owned(), target.host.clone());
        Err(match fault {
            Fault::Passing => {
                SourceError::Unreachable { wanted, place, tries: attempt.made(), source: Box::new(error) }
            }
            Fault::NotFound => SourceError::NotFound { wanted, place },
            Fault::Unauthorized => {
                // A refusal says nothing about why: a token that has run out, or could not be had, is only a 401 here.
                let asked = self.client.auth(&target.image, &target.auth, RegistryOperation::Pull).await;
                if asked.is_ok() && attempt.may_renew() {
                    return Ok(());
                }
                let source: Box<_> = Box::new(asked.err().unwrap_or(error));
                SourceError::Unauthorized { wanted, place, had_credentials, source }
            }
            Fault::Mismatch { expected, actual } => match expected.parse() {
                Ok(expected) => SourceError::Mismatch { wanted, place, expected, actual },
                Err(_) => SourceError::Protocol { wanted, place, source: Box::new(error) },
            },
            Fault::Other => SourceError::Protocol { wanted, place, source: Box::new(error) },
        })
    }

    /// The verified bytes of a manifest, by tag or digest.
    async fn fetch(&self, reference: &Reference, at: &str, name: &str) -> Result<(Digest, Vec<u8>), SourceError> {
        let target = self.target(reference, at).await?;
        let pull = || self.client.pull_manifest_raw(&target.image, &target.auth, ACCEPT);
        // oci-client holds the body against the digest it asked for and the one the registry announced.
        let (bytes, _) = self.attempt(name, &target, pull).await?;
        let malformed = |source: String| SourceError::Malformed {
            wanted: name.to_owned(),
            place: target.host.clone(),
            source: source.into(),
        };
        if bytes.len() as u64 > self.options.limits.manifest {
            return Err(malformed(format!(
                "{} bytes, and a manifest has at most {}",
                bytes.len(),
                self.options.limits.manifest
            )));
        }
        let actual = Digest::of(&bytes);
        match at.parse::<Digest>() {
            Ok(expected) if expected != actual => Err(SourceError::Mismatch {
                wanted: name.to_owned(),
                place: target.host,
                expected,
                actual: actual.to_string(),
            }),
            _ => Ok((actual, bytes.to_vec())),
        }
    }

    async fn resolve_now(&self, reference: &Reference) -> Result<Descriptor, SourceError> {
        let at = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        };
        let name = reference.to_string();
        let (digest, bytes) = self.fetch(reference, &at, &name).await?;
        let manifest =
            Manifest::parse(&bytes, None).map_err(|e| refused(name, self.mirrors.place(reference).asked(), e))?;
        let descriptor = Descriptor::new(manifest.media_type, digest, bytes.len() as u64);
        if let Ok(mut resolved) = self.resolved.lock()
            && resolved.len() < WAITING_MANIFESTS
        {
            resolved.insert(digest, bytes);
        }
        Ok(descriptor)
    }

    async fn manifest_now(&self, reference: &Reference, digest: &Digest) -> Result<Vec<u8>, SourceError> {
        if let Some(bytes) = self.resolved.lock().ok().and_then(|mut resolved| resolved.remove(digest)) {
            return Ok(bytes);
        }
        let name = wanted(reference, digest);
        let (_, bytes) = self.fetch(reference, &digest.to_string(), &name).await?;
        match Manifest::parse(&bytes, None) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(refused(name, self.mirrors.place(reference).asked(), error)),
        }
    }

    async fn blob_now(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        sink: &mut (dyn Write + Send),
    ) -> Result<(), SourceError> {
        let digest = blob.digest.to_string();
        let name = wanted(reference, &blob.digest);
        let target = self.target(reference, &digest).await?;
        let mut download = Download { sink: DigestWriter::new(sink), written: 0, size: blob.size };
        let mut attempt = Attempt::new(self.options.tries, self.options.first_pause, LONGEST_PAUSE);
        loop {
            let before = download.written;
            match download.go_on(&self.client, &target.image, &digest).await {
                Ok(()) => break,
                Err(Stop::Sink(source)) => return Err(SourceError::Sink { wanted: name, source }),
                Err(Stop::Long) => {
                    let source = format!("it goes on after the {} bytes that are promised", blob.size).into();
                    return Err(SourceError::Malformed { wanted: name, place: target.host, source });
                }
                Err(Stop::Fault(error)) => {
                    // A connection that brought bytes counts as a success: what is limited is trying in vain.
                    if download.written > before {
                        attempt = Attempt::new(self.options.tries, self.options.first_pause, LONGEST_PAUSE);
                    }
                    self.pause_or_give_up(&mut attempt, error, &name, &target).await?;
                }
            }
        }
        let (_, actual, _) = download.sink.finish();
        if actual == blob.digest {
            return Ok(());
        }
        let actual = actual.to_string();
        Err(SourceError::Mismatch { wanted: name, place: target.host, expected: blob.digest, actual })
    }

    async fn referrers_now(&self, reference: &Reference, digest: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        let name = wanted(reference, digest);
        let target = self.target(reference, &digest.to_string()).await?;
        let mut found: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        // The API, or the index at the tag `sha256-<hex>` where the API answers 404.
        let listed = self.attempt(&name, &target, || self.client.pull_referrers(&target.image, None)).await;
        match listed {
            Ok(index) => {
                for entry in &index.manifests {
                    let descriptor = referrer(entry).map_err(|source| SourceError::Protocol {
                        wanted: name.clone(),
                        place: target.host.clone(),
                        source,
                    })?;
                    found.insert(descriptor.digest, descriptor);
                }
            }
            // Registries older than the API answer many things; none of them means that the image is broken.
            Err(SourceError::NotFound { .. } | SourceError::Protocol { .. }) => {}
            Err(error) => return Err(error),
        }
        for tag in COSIGN_SUFFIXES.map(|suffix| cosign_tag(digest, suffix)) {
            let signature = Reference { tag: Some(tag.clone()), digest: None, ..reference.clone() };
            match self.resolve_now(&signature).await {
                Ok(mut descriptor) => {
                    descriptor.annotations.insert(REF_NAME.to_owned(), tag);
                    found.entry(descriptor.digest).or_insert(descriptor);
                }
                Err(SourceError::NotFound { .. }) => {}
                // Docker Hub and others hide what is not there behind 401; the image itself was readable.
                Err(SourceError::Unauthorized { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found.into_values().collect())
    }
}

/// What a manifest may be; schema 1 stands here so that it is refused by name and not hidden behind a 404.
const ACCEPT: &[&str] = &[
    media_type::OCI_INDEX,
    media_type::OCI_MANIFEST,
    media_type::DOCKER_LIST,
    media_type::DOCKER_MANIFEST,
    media_type::DOCKER_SCHEMA1_SIGNED,
    media_type::DOCKER_SCHEMA1,
];

fn referrer(
    entry: &oci_client::manifest::ImageIndexEntry,
) -> Result<Descriptor, Box<dyn std::error::Error + Send + Sync>> {
    let digest = entry.digest.parse::<Digest>()?;
    let size = u64::try_from(entry.size)?;
    Ok(Descriptor {
        artifact_type: entry.artifact_type.clone(),
        annotations: entry.annotations.clone().unwrap_or_default(),
        ..Descriptor::new(&entry.media_type, digest, size)
    })
}

impl ImageSource for RemoteRegistry {
    fn resolve<'a>(&'a self, reference: &'a Reference) -> Answer<'a, Descriptor> {
        Box::pin(self.resolve_now(reference))
    }

    fn manifest<'a>(&'a self, reference: &'a Reference, digest: &'a Digest) -> Answer<'a, Vec<u8>> {
        Box::pin(self.manifest_now(reference, digest))
    }

    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        blob: &'a Descriptor,
        sink: &'a mut (dyn Write + Send),
    ) -> Answer<'a, ()> {
        Box::pin(self.blob_now(reference, blob, sink))
    }

    fn referrers<'a>(&'a self, reference: &'a Reference, digest: &'a Digest) -> Answer<'a, Vec<Descriptor>> {
        Box::pin(self.referrers_now(reference, digest))
    }
}
