//! The certificates of the site's registry: an authority of the site's own, and what it signs for the registry.
//!
//! Nodes trust this authority for this registry and for nothing else (`/etc/consign/ca.crt`, named in their
//! configuration). Its certificates have no end: RFC 5280 §4.1.2.5 has 99991231235959Z for that. An end would be reached
//! some night by a clock that is right or by one that is not, with nobody there, and then no node could pull. What ends
//! trust is a new authority, made by `consign-site registry ca rotate`. Its certificate is also signed by the authority
//! before, and the registry sends both: nodes that know only the old one keep pulling until they are told.

use std::collections::BTreeSet;
use std::path::PathBuf;

use consign_format::error::{Code, Coded, codes};
use consign_registry::durable::{DurableError, create_dir, write_file};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError, state_file};

pub mod certificates;

/// The site's authority; its file is replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authority {
    /// 1, and one more with every rotation; stands in its name.
    pub generation: u64,
    /// Tells the authorities of two sites apart; random.
    id: String,
    /// The secret key, PKCS#8.
    key: String,
    /// The certificate, signed by itself.
    pub certificate: String,
    /// The same name and key, signed by the authority before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cross: Option<String>,
    /// The certificate of the authority before, which nodes may still go by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
}

/// What the registry shows to its clients; its file is replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServerCertificate {
    /// The authority that signed it.
    certificate_of: String,
    /// Names and addresses it is valid for.
    names: BTreeSet<String>,
    /// The secret key, PKCS#8.
    key: String,
    /// The certificate, and what leads from it to the authority before.
    chain: String,
}

/// There is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No certificate can be made with these names.
    #[error("no certificate can be made for {names}")]
    Make {
        /// The names.
        names: String,
        /// Why.
        source: rcgen::Error,
    },
    /// Files of the administrator's cannot be used.
    #[error("{} and {} are no certificate and key to serve with: {reason}", certificate.display(), key.display())]
    Unusable {
        /// The certificate.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
        /// Why.
        reason: String,
    },
}

impl From<DurableError> for TlsError {
    fn from(error: DurableError) -> Self {
        TlsError::Store(error.into())
    }
}

impl Coded for TlsError {
    fn code(&self) -> Code {
        match self {
            TlsError::Store(error) => error.code(),
            TlsError::Make { .. } | TlsError::Unusable { .. } => codes::TLS_CERTIFICATE,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            TlsError::Store(StoreError::Damaged { path, .. }) => Some(format!(
                "remove {} to make a new one, then run consign-site nodes write on every node",
                path.display()
            )),
            TlsError::Store(error) => error.hint(),
            TlsError::Make { .. } => Some("see `names` under [registry] in site.toml".to_owned()),
            TlsError::Unusable { .. } => Some("both are PEM; the first certificate belongs to the key".to_owned()),
        }
    }
}

fn authority_file(store: &Store) -> PathBuf {
    store.dir().join("tls/authority")
}

fn server_file(store: &Store) -> PathBuf {
    store.dir().join("tls/server")
}

impl Authority {
    /// The site's authority, if it has one.
    ///
    /// # Errors
    /// [`StoreError`]: its file is damaged.
    pub fn read(store: &Store) -> Result<Option<Self>, StoreError> {
        state_file::read(&authority_file(store))
    }

    /// The site's authority; made where there is none. The caller holds the store's lock.
    pub fn read_or_make(store: &Store, id: &str) -> Result<Self, TlsError> {
        if let Some(authority) = Authority::read(store)? {
            return Ok(authority);
        }
        let authority = Authority::make(1, id)?;
        authority.write(store)?;
        Ok(authority)
    }

    /// A new authority in the place of this one, which it is also vouched for by. The caller holds the store's lock.
    pub fn rotate(&self, store: &Store) -> Result<Self, TlsError> {
        let mut next = Authority::make(self.generation.saturating_add(1), &self.id)?;
        let make = |source| TlsError::Make { names: format!("the authority of {}", self.id), source };
        let (params, key) = (next.params().map_err(make)?, KeyPair::from_pem(&next.key).map_err(make)?);
        let cross = params.signed_by(&key, &self.issuer().map_err(make)?).map_err(make)?;
        next.cross = Some(cross.pem());
        next.previous = Some(self.certificate.clone());
        next.write(store)?;
        Ok(next)
    }

    /// What nodes trust: this authority, and the one before as long as there is one.
    pub fn bundle(&self) -> String {
        [Some(&self.certificate), self.previous.as_ref()].into_iter().flatten().map(String::as_str).collect()
    }

    fn make(generation: u64, id: &str) -> Result<Self, TlsError> {
        let make = |source| TlsError::Make { names: format!("the authority of {id}"), source };
        let key = KeyPair::generate().map_err(make)?;
        let (certificate, cross, previous) = (String::new(), None, None);
        let mut authority =
            Authority { generation, id: id.to_owned(), key: key.serialize_pem(), certificate, cross, previous };
        authority.certificate = authority.params().and_then(|params| params.self_signed(&key)).map_err(make)?.pem();
        Ok(authority)
    }

    fn params(&self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = endless(&BTreeSet::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let name = format!("Consign registry authority {} of {}", self.generation, self.id);
        params.distinguished_name.push(DnType::CommonName, name);
        Ok(params)
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
        Ok(Issuer::new(self.params()?, KeyPair::from_pem(&self.key)?))
    }

    fn write(&self, store: &Store) -> Result<(), TlsError> {
        create_dir(&store.dir().join("tls"), 0o700)?;
        state_file::write(&authority_file(store), self, 0o600)?;
        self.publish(store)
    }

    /// Writes what nodes trust to where they find it.
    fn publish(&self, store: &Store) -> Result<(), TlsError> {
        let path = store.authority_bundle_file();
        if state_file::read_bytes(&path, 1 << 20)?.as_deref() != Some(self.bundle().as_bytes()) {
            if let Some(folder) = path.parent() {
                create_dir(folder, 0o755)?;
            }
            write_file(&path, self.bundle().as_bytes(), 0o644)?;
        }
        Ok(())
    }

    /// Sees to it that the registry has a certificate of this authority for these names. The caller holds the store's
    /// lock. Returns whether a new one was made.
    pub fn certify(&self, store: &Store, names: &BTreeSet<String>) -> Result<bool, TlsError> {
        self.publish(store)?;
        if self.has_certified(store, names)? {
            return Ok(false);
        }
        let (key, certificate) = self.sign(names).map_err(|source| {
            let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            TlsError::Make { names, source }
        })?;
        let chain = [Some(certificate.pem()), self.cross.clone()].into_iter().flatten().collect();
        let (certificate_of, names) = (self.certificate.clone(), names.clone());
        let server = ServerCertificate { certificate_of, names, key: key.serialize_pem(), chain };
        state_file::write(&server_file(store), &server, 0o600)?;
        Ok(true)
    }

    /// Signs the registry's certificate anew, for the names it had; nothing where it had none.
    pub fn certify_again(&self, store: &Store) -> Result<(), TlsError> {
        let known: Option<ServerCertificate> = state_file::read(&server_file(store))?;
        known.map_or(Ok(()), |known| self.certify(store, &known.names).map(|_| ()))
    }

    /// Whether the registry's certificate is of this authority and for these names.
    pub fn has_certified(&self, store: &Store, names: &BTreeSet<String>) -> Result<bool, TlsError> {
        let known: Option<ServerCertificate> = state_file::read(&server_file(store))?;
        Ok(known.is_some_and(|known| known.certificate_of == self.certificate && known.names == *names))
    }

    fn sign(&self, names: &BTreeSet<String>) -> Result<(KeyPair, Certificate), rcgen::Error> {
        let mut params = endless(names)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name.push(DnType::CommonName, format!("Consign registry of {}", self.id));
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer()?)?;
        Ok((key, certificate))
    }
}

/// A certificate that is valid on every day a clock may show.
fn endless(names: &BTreeSet<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31) + std::time::Duration::from_secs(86_399);
    Ok(params)
}

#[cfg(test)]
mod tests;
