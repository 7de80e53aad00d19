//! What a running registry shows at a handshake. Its files are looked at every time, so a new certificate counts from the
//! next connection on, and those that are open go on.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{ServerCertificate, TlsError, server_file};
use crate::serve::OnProblem;
use crate::store::{Store, StoreError, state_file};

/// No chain of certificates is this long.
const LIMIT: u64 = 1 << 20;

/// Where certificate and key lie.
#[derive(Debug, Clone)]
pub enum Place {
    /// In the store, made by the site's own authority.
    Own(Store),
    /// Where the administrator says: PEM.
    Files {
        /// The certificate and what leads from it to its authority.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
}

/// What changes whenever a file is replaced.
type Stamp = Vec<Option<(u64, i64, i64)>>;

/// Shows the newest certificate that can be used.
struct Certificates {
    place: Place,
    on_problem: OnProblem,
    current: Mutex<(Stamp, Arc<CertifiedKey>)>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("place", &self.place).finish_non_exhaustive()
    }
}

/// How the registry speaks TLS: HTTP/1.1 over TLS 1.2 or 1.3, with whatever certificate lies at this place at the time.
///
/// # Errors
/// [`TlsError`]: there is none now. Later a file that cannot be used is told to `on_problem`, and the certificate before
/// goes on.
pub fn server_config(place: Place, on_problem: OnProblem) -> Result<Arc<ServerConfig>, TlsError> {
    let current = Mutex::new((place.stamp(), place.read()?));
    let certificates = Certificates { place, on_problem, current };
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let stamp = self.place.stamp();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != stamp {
            match self.place.read() {
                Ok(certificate) => current.1 = certificate,
                Err(error) => (self.on_problem)(&format!("the certificate before goes on: {error}")),
            }
            current.0 = stamp;
        }
        Some(Arc::clone(&current.1))
    }
}

impl Place {
    fn stamp(&self) -> Stamp {
        let of = |path: &Path| {
            let metadata = std::fs::metadata(path).ok();
            metadata.map(|metadata| (metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
        };
        match self {
            Place::Own(store) => vec![of(&server_file(store))],
            Place::Files { certificate, key } => vec![of(certificate), of(key)],
        }
    }

    fn read(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let (paths, chain, key) = match self {
            Place::Own(store) => {
                let path = server_file(store);
                let read: Option<ServerCertificate> = state_file::read(&path)?;
                let read = read.ok_or_else(|| StoreError::Missing { path: path.clone() })?;
                ([path.clone(), path], read.chain.into_bytes(), read.key.into_bytes())
            }
            Place::Files { certificate, key } => {
                let unusable = |error: io::Error| TlsError::Unusable {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    reason: error.to_string(),
                };
                let (chain, secret) = (read(certificate).map_err(unusable)?, read(key).map_err(unusable)?);
                ([certificate.clone(), key.clone()], chain, secret)
            }
        };
        certified(&chain, &key).map(Arc::new).map_err(|reason| {
            let [certificate, key] = paths;
            TlsError::Unusable { certificate, key, reason }
        })
    }
}

/// Reads a file of the administrator's, which may be a link: what renews certificates likes to switch links.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn certified(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string())?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|error| error.to_string())?;
    if chain.is_empty() {
        return Err("no certificate is in it".to_owned());
    }
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|error| error.to_string())?;
    Ok(certified)
}
