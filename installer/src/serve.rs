//! What of the store is visible in the registry, and the registry itself.
//!
//! A repository's blobs are the closure of its manifests in current, previous and staged releases; tags come from
//! current releases alone. It follows from the products' files, so an activation moves every tag in one rename; a
//! running registry notices at the next request.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use consign_format::error::{Code, Coded, codes};
use consign_format::{Descriptor, Digest};
use consign_registry::serve::{Content, ContentError, Shelf};

use crate::store::products::ProductState;
use crate::store::{Store, StoreError};

/// Is told what cannot be shown and why; must not block.
pub type OnProblem = Box<dyn Fn(&str) + Send + Sync>;

/// The store as a registry sees it.
pub struct SiteContent {
    store: Store,
    on_problem: OnProblem,
    seen: Mutex<Option<(Stamp, Arc<Shelf>)>>,
}

/// What changes whenever a product's file is replaced: name, inode, and time of change.
type Stamp = Vec<(PathBuf, u64, i64, i64)>;

impl SiteContent {
    /// Looks at a store. A release that cannot be shown is left out and told; the others are served.
    pub fn new(store: Store, on_problem: OnProblem) -> Self {
        SiteContent { store, on_problem, seen: Mutex::new(None) }
    }

    /// What is visible now.
    fn shelf(&self) -> Result<Arc<Shelf>, ContentError> {
        let stamp = self.stamp().map_err(ContentError::new)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, shelf)) = seen.as_ref()
            && *at == stamp
        {
            return Ok(Arc::clone(shelf));
        }
        let shelf = Arc::new(self.build().map_err(ContentError::new)?);
        *seen = Some((stamp, Arc::clone(&shelf)));
        Ok(shelf)
    }

    fn stamp(&self) -> std::io::Result<Stamp> {
        let mut stamp = Stamp::new();
        let products = self.store.dir().join("products");
        for domain in read_dir(&products)? {
            for file in read_dir(&domain)? {
                // A draft may be gone again by now; a product's file never is.
                if let Ok(metadata) = std::fs::symlink_metadata(&file) {
                    stamp.push((file, metadata.ino(), metadata.ctime(), metadata.ctime_nsec()));
                }
            }
        }
        stamp.sort();
        Ok(stamp)
    }

    fn build(&self) -> Result<Shelf, StoreError> {
        let mut shelf = Shelf::new(self.store.blobs()?);
        for product in self.store.products()? {
            for (release, tagged) in visible(&product) {
                if let Err(reason) = self.show(&mut shelf, &release, tagged) {
                    (self.on_problem)(&format!("release {release} of {} cannot be shown: {reason}", product.product));
                }
            }
        }
        Ok(shelf)
    }

    fn show(&self, shelf: &mut Shelf, release: &Digest, tagged: bool) -> Result<(), String> {
        let mut problem = Ok(());
        for named in self.store.read_names(release).map_err(|error| error.to_string())? {
            let tag = named.tag.as_deref().filter(|_| tagged);
            let put = shelf.put(&named.host, &named.repository, tag, &named.descriptor());
            if let Err(error) = put {
                problem = Err(format!("{}/{}: {error}", named.host, named.repository));
            }
        }
        problem
    }
}

/// The releases of a product that are visible, and whether their tags are. The current one comes last, so that where
/// two releases say different things of one name, it is the one that counts.
fn visible(product: &ProductState) -> Vec<(Digest, bool)> {
    let hidden = product.previous.iter().chain(&product.staged).map(|release| (release.digest, false));
    let current = product.current.iter().map(|current| (current.release.digest, true));
    hidden.chain(current).collect()
}

fn read_dir(folder: &std::path::Path) -> std::io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

impl Content for SiteContent {
    fn resolve_tag(&self, host: &str, repository: &str, tag: &str) -> Result<Option<Descriptor>, ContentError> {
        self.shelf()?.resolve_tag(host, repository, tag)
    }

    fn manifest(&self, host: &str, repository: &str, digest: &Digest) -> Result<Option<Descriptor>, ContentError> {
        self.shelf()?.manifest(host, repository, digest)
    }

    fn blob(&self, host: &str, repository: &str, digest: &Digest) -> Result<Option<(PathBuf, u64)>, ContentError> {
        self.shelf()?.blob(host, repository, digest)
    }

    fn tags(&self, host: &str, repository: &str) -> Result<Option<Vec<String>>, ContentError> {
        self.shelf()?.tags(host, repository)
    }

    fn referrers(&self, host: &str, repository: &str, digest: &Digest) -> Result<Vec<Descriptor>, ContentError> {
        self.shelf()?.referrers(host, repository, digest)
    }
}

/// The registry cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Other machines could reach it without TLS, and nobody asked for that.
    #[error("{listen} is reached by other machines, and the registry is served without TLS")]
    PlainHttp {
        /// The address.
        listen: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Coded for ServeError {
    fn code(&self) -> Code {
        match self {
            ServeError::PlainHttp { .. } => codes::PLAIN_HTTP,
            ServeError::Listen { .. } => codes::CANNOT_LISTEN,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            ServeError::PlainHttp { .. } => "listen on 127.0.0.1, or say --plain-http where the network is trusted",
            ServeError::Listen { .. } => "see who has the port with ss -ltnp, or choose another with --listen",
        };
        Some(hint.to_owned())
    }
}

/// Opens the registry's address. Plain HTTP stays on this machine unless it is asked for.
pub async fn listen(address: SocketAddr, plain_http: bool) -> Result<tokio::net::TcpListener, ServeError> {
    if !address.ip().is_loopback() && !plain_http {
        return Err(ServeError::PlainHttp { listen: address });
    }
    let listener = tokio::net::TcpListener::bind(address).await;
    listener.map_err(|source| ServeError::Listen { listen: address, source })
}
