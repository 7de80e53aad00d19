//! The HTTP client: whom it trusts, and how it is told that a certificate is the trouble.

use super::PushOptions;
use crate::client::OptionsError;
use crate::client::options::{install_provider, read_certificates};

/// A client that trusts the system's authorities and those that are named.
pub(super) fn client(options: &PushOptions<'_>) -> Result<reqwest::Client, OptionsError> {
    install_provider();
    let mut authorities = Vec::new();
    for path in &options.ca_files {
        for certificate in read_certificates(path)? {
            authorities.push(reqwest::Certificate::from_pem(&certificate.data).map_err(OptionsError::Http)?);
        }
    }
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("consign/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
    };
    if !options.address.is_tls() {
        // Nobody is to be believed, and so a machine without any authority can do it.
        return builder().tls_certs_only([]).build().map_err(OptionsError::Http);
    }
    match builder().tls_certs_merge(authorities.clone()).build() {
        // A machine without any authority cannot have "the system's and ours": ours alone, then.
        Err(_) if !authorities.is_empty() => builder().tls_certs_only(authorities).build(),
        made => made,
    }
    .map_err(OptionsError::Http)
}

/// Whether a request failed for the certificate, which no waiting mends.
pub(super) fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        // An `io::Error` around another shows the other's own cause, and not the other.
        let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        let tls = error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()));
        if matches!(tls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = inner.map(|inner| inner as &dyn std::error::Error).or_else(|| error.source());
    }
    false
}
