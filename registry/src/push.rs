//! Pushing what a store holds into a registry that a site already has.
//!
//! - Bytes stay what they are: manifests are put as they were published, indexes are never rewritten.
//! - What is there is left alone, and in the end every manifest is read back: a second push moves nothing.
//! - A failure that may pass is waited out, with growing pauses and as long as the registry asks; the rest is an
//!   error that names the registry and what was to be done there.
//!
//! oci-client, which pulls for us, hides the headers of an answer: when to come back, how far an upload came, that
//! an upload was opened where a mount was asked for. So this asks over the same HTTP client, directly
//! (docs/decisions/0001).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use consign_format::{Descriptor, Digest};

use crate::BlobFolder;
use crate::client::OptionsError;

mod address;
mod body;
mod error;
mod fill;
mod login;
mod manifests;
mod patience;
mod plan;
mod probe;
mod tls;
mod upload;
mod wire;

pub use address::{Address, AddressError};
pub use error::{PushError, Said};
pub use fill::{Count, Moved};
pub use manifests::Removed;
pub use patience::Patience;
pub use plan::{Plan, Top};

use login::Scope;
use wire::Wire;

/// How to reach a registry that is pushed to.
#[derive(Clone)]
pub struct PushOptions<'a> {
    /// Where it is.
    pub address: Address,
    /// PEM files of certificate authorities, in addition to those of the system.
    pub ca_files: Vec<PathBuf>,
    /// A file with `USER:PASSWORD` on one line.
    pub credentials: Option<PathBuf>,
    /// The login file of Docker or podman, with its helpers; not looked at where there are `credentials`.
    pub docker_config: Option<PathBuf>,
    /// How often one thing is tried. At least once.
    pub tries: u32,
    /// The pause after the first failure; it doubles with each, up to half a minute.
    pub first_pause: Duration,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a registry may be silent, or take nothing.
    pub read_timeout: Duration,
    /// How many things are done at once.
    pub workers: usize,
    /// Time and chance.
    pub patience: &'a dyn Patience,
}

impl<'a> PushOptions<'a> {
    /// The options for an address that fit most registries; nobody is logged in.
    pub fn new(address: Address, patience: &'a dyn Patience) -> Self {
        PushOptions {
            address,
            ca_files: Vec::new(),
            credentials: None,
            docker_config: None,
            tries: 6,
            first_pause: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            workers: 4,
            patience,
        }
    }
}

/// A registry that can be pushed to.
pub struct PushTarget<'a> {
    wire: Wire<'a>,
}

impl<'a> PushTarget<'a> {
    /// Reads the files that the options name. Nothing is asked yet.
    pub fn new(options: PushOptions<'a>) -> Result<Self, OptionsError> {
        Ok(PushTarget { wire: Wire::new(options)? })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.wire.options.address
    }

    /// Asks whether a registry is there that lets us in. Whether it takes what is pushed, only a push shows.
    pub async fn ready(&self) -> Result<(), PushError> {
        let what = "ask for its version";
        let url = self.wire.url(what, "")?;
        let response = self.wire.ask(what, &Scope::default(), |client| client.get(url.clone())).await?;
        match response.status().as_u16() {
            200..=299 => Ok(()),
            404 => Err(self.wire.protocol(what, "it has no /v2/, and so is no registry")),
            _ => Err(self.wire.refused(what, response).await),
        }
    }

    /// Brings everything of a plan there and reads it back. Nothing is pushed before it is sure that the registry
    /// takes the indexes; that is tried in the repository `scratch`. `known` says which repository of the registry has
    /// a blob already; `tell` is told how many bytes of the plan are done.
    pub async fn push(
        &self,
        plan: &Plan,
        blobs: &BlobFolder,
        scratch: &str,
        known: &BTreeMap<Digest, String>,
        tell: &(dyn Fn(u64) + Sync),
    ) -> Result<Moved, PushError> {
        for media_type in &plan.sparse {
            probe::takes_sparse(&self.wire, scratch, media_type).await?;
        }
        fill::Fill { wire: &self.wire, plan, blobs, known, tell }.fill().await
    }

    /// What of a plan is not there, by repository and digest; changes nothing.
    pub async fn missing(&self, plan: &Plan) -> Result<Vec<String>, PushError> {
        fill::missing(&self.wire, plan).await
    }

    /// Lets a tag stand for a manifest that the repository has; `false` where it did already.
    pub async fn move_tag(
        &self,
        repository: &str,
        tag: &str,
        manifest: &Descriptor,
        bytes: &[u8],
    ) -> Result<bool, PushError> {
        fill::move_tag(&self.wire, repository, tag, manifest, bytes).await
    }

    /// Removes a tag, if it stands for `digest`.
    pub async fn remove_tag(&self, repository: &str, tag: &str, digest: &Digest) -> Result<Removed, PushError> {
        manifests::remove_tag(&self.wire, repository, tag, digest).await
    }

    /// What a tag or digest stands for now.
    pub async fn resolve(&self, repository: &str, at: &str) -> Result<Option<Digest>, PushError> {
        manifests::resolve(&self.wire, repository, at).await
    }
}
