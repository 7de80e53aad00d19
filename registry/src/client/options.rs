//! From our options to a client of oci-client, refusing what cannot be meant.

use std::io;
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, codes};
use oci_client::Client;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;

use super::RegistryOptions;

/// Why options cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A mirror that is not `host` or `host/prefix`, for an upstream that is a host.
    #[error("`{mirror}` cannot be the mirror of `{upstream}`: it has to be host or host/prefix, of a host")]
    Mirror {
        /// The upstream host, as written.
        upstream: String,
        /// The mirror, as written.
        mirror: String,
    },
    /// A file that the options name cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file of certificates without one.
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A login file that is not JSON.
    #[error("{} is no login file", path.display())]
    Logins {
        /// The file.
        path: PathBuf,
    },
    /// A file of credentials that is not one line.
    #[error("{} is not one line of USER:PASSWORD", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
    },
    /// The client could not be made: certificates that are none, or no certificate authority at all.
    #[error("cannot set up a client for registries")]
    Client(#[source] OciDistributionError),
    /// The same, of the client that pushes.
    #[error("cannot set up a client for the registry")]
    Http(#[source] reqwest::Error),
}

impl Coded for OptionsError {
    fn code(&self) -> Code {
        codes::REGISTRY_OPTIONS
    }

    fn hint(&self) -> Option<String> {
        match self {
            OptionsError::Client(_) | OptionsError::Http(_) => {
                Some("install the system's certificate authorities (package ca-certificates) or name a file".to_owned())
            }
            _ => None,
        }
    }
}

/// *ring* becomes the provider of cryptography, if the process has none yet.
pub(crate) fn install_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

pub(super) fn client(options: &RegistryOptions) -> Result<Client, OptionsError> {
    install_provider();
    let mut certificates = Vec::new();
    for path in &options.ca_files {
        certificates.extend(read_certificates(path)?);
    }
    let config = |only: bool| ClientConfig {
        protocol: ClientProtocol::HttpsExcept(options.plain_http.clone()),
        extra_root_certificates: if only { Vec::new() } else { certificates.clone() },
        tls_certs_only: if only { certificates.clone() } else { Vec::new() },
        platform_resolver: None,
        read_timeout: Some(options.read_timeout),
        connect_timeout: Some(options.connect_timeout),
        user_agent: concat!("consign/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    };
    match Client::try_from(config(false)) {
        // A machine without any certificate authority cannot have "the system's and ours": ours alone, then.
        Err(_) if !certificates.is_empty() => Client::try_from(config(true)),
        made => made,
    }
    .map_err(OptionsError::Client)
}

/// Splits a PEM file into its certificates: the client takes one at a time, and would pass over all but the first.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<Certificate>, OptionsError> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = std::fs::read_to_string(path).map_err(|source| OptionsError::Read { path: path.to_owned(), source })?;
    let blocks = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END));
    let certificates: Vec<_> = blocks
        .map(|(body, _)| Certificate {
            encoding: CertificateEncoding::Pem,
            data: format!("{BEGIN}{body}{END}\n").into_bytes(),
        })
        .collect();
    if certificates.is_empty() { Err(OptionsError::NoCertificate { path: path.to_owned() }) } else { Ok(certificates) }
}
