//! What of the store is visible in the registry, and the registry itself.
//!
//! A repository's blobs are the closure of its manifests in current, previous and staged releases; tags come from
//! current releases alone. It follows from the products' files, so an activation moves every tag in one rename; a
//! running registry notices at the next request.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::{Descriptor, Digest};
use consign_registry::serve::{Content, ContentError, Shelf, Users, UsersError};

use crate::config::{RegistryConfig, SiteConfig};
use crate::nodes::servers::Server;
use crate::site::Site;
use crate::store::products::ProductState;
use crate::store::state_file::read_bytes;
use crate::store::{Store, StoreError, lock};
use crate::tls::Authority;
use crate::tls::certificates::{Place, server_config};

/// No file of users is this long.
const USERS_LIMIT: u64 = 1 << 20;

/// Is told what cannot be shown and why; must not block.
pub type OnProblem = Arc<dyn Fn(&str) + Send + Sync>;

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
    let hidden = product
        .previous
        .iter()
        .chain(product.staged.as_ref().map(|staged| &staged.release))
        .map(|release| (release.digest, false));
    let current = product.current.iter().map(|current| (current.release.digest, true));
    hidden.chain(current).collect()
}

fn read_dir(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
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
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file of users cannot be used.
    #[error("{} does not say who is let in", path.display())]
    Users {
        /// The file.
        path: PathBuf,
        /// Why.
        source: UsersError,
    },
    /// A file that site.toml names is not there.
    #[error("{} is named in site.toml and is not there", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// The site has another registry, and releases go there.
    #[error("this site has a registry already, {url}, and its nodes pull from that one")]
    Elsewhere {
        /// Where it is.
        url: String,
    },
    /// Only one half of certificate and key is named.
    #[error("of `certificate` and `key` under [registry] one is missing")]
    HalfCertificate,
}

impl Coded for ServeError {
    fn code(&self) -> Code {
        match self {
            ServeError::Listen { .. } => codes::CANNOT_LISTEN,
            _ => codes::SITE_CONFIG,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            ServeError::Listen { .. } => "see who has the port with ss -ltnp, or choose another with --listen",
            ServeError::Users { .. } => "consign-site registry user NAME adds one",
            ServeError::NoFile { .. } => "put it there, or take its line out of site.toml",
            ServeError::Elsewhere { .. } => "take `registry` out of site.toml to serve from the store instead",
            ServeError::HalfCertificate => "name both, or neither: then the site's own authority makes one",
        };
        Some(hint.to_owned())
    }
}

/// Opens the registry's address.
pub async fn listen(address: SocketAddr) -> Result<tokio::net::TcpListener, ServeError> {
    let listener = tokio::net::TcpListener::bind(address).await;
    listener.map_err(|source| ServeError::Listen { listen: address, source })
}

/// Who is let in; `None`: everybody.
pub fn users(config: &RegistryConfig) -> Result<Option<Arc<Users>>, Failure> {
    let Some(path) = &config.users else { return Ok(None) };
    let text = users_text(path)?.ok_or_else(|| ServeError::NoFile { path: path.clone() })?;
    let users = Users::parse(&text).map_err(|source| ServeError::Users { path: path.clone(), source })?;
    Ok(Some(Arc::new(users)))
}

/// The file of users as it is, if there is one.
pub fn users_text(path: &Path) -> Result<Option<String>, StoreError> {
    let bytes = read_bytes(path, USERS_LIMIT)?;
    let text = |bytes| String::from_utf8(bytes).map_err(|_| StoreError::damaged(path, "it is not UTF-8"));
    bytes.map(text).transpose()
}

/// What the registry speaks TLS with: the administrator's certificate, or one by the site's own authority, which is made
/// now where there is none for these names yet.
pub fn tls(site: &Site, config: &SiteConfig, on_problem: OnProblem) -> Result<Arc<rustls::ServerConfig>, Failure> {
    let place = match (&config.registry.certificate, &config.registry.key) {
        (Some(certificate), Some(key)) => Place::Files { certificate: certificate.clone(), key: key.clone() },
        (None, None) => {
            certify(site, config)?;
            Place::Own(site.store.clone())
        }
        _ => return Err(ServeError::HalfCertificate.into()),
    };
    Ok(server_config(place, on_problem)?)
}

/// Sees to it that there is a certificate for the names of this machine, and for those that nodes are told.
///
/// # Errors
/// `Failure`: the files of the authority are damaged, another run holds the lock, a server of `[nodes]` is none.
pub fn certify(site: &Site, config: &SiteConfig) -> Result<(), Failure> {
    let mut names = config.registry.names.clone();
    for server in &config.nodes.servers {
        names.insert(server.parse::<Server>()?.host().trim_matches(['[', ']']).to_owned());
    }
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    names.extend(rustix::system::uname().nodename().to_str().ok().filter(|name| is_name(name)).map(str::to_owned));
    let listen = config.registry.listen.ip();
    if !listen.is_unspecified() {
        names.insert(listen.to_string());
    }
    // Reading asks for no lock: a registry starts while an install is under way.
    if let Some(authority) = Authority::read(&site.store)?
        && authority.has_certified(&site.store, &names)?
    {
        return Ok(());
    }
    let _lock = lock::take(&site.store)?;
    Authority::read_or_make(&site.store, site.identity.site.as_str())?.certify(&site.store, &names)?;
    Ok(())
}

/// Whether a machine's name can stand in a certificate (RFC 1123 §2.1); one that cannot is of no use to nodes either.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}
