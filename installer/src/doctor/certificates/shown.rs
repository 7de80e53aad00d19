//! The certificate that a server shows: a handshake that ends the moment it was seen.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use crate::doctor::names::resolve;

const PATIENCE: Duration = Duration::from_secs(5);

/// Takes a look and trusts nobody: every certificate is refused, so no session ever comes about.
#[derive(Debug)]
struct Looker {
    seen: Mutex<Option<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Looker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.to_vec());
        Err(Error::General("seen".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("seen".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("seen".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate of a server, DER. An error says why none was shown.
pub(super) fn by_server(host: &str, port: u16) -> Result<Vec<u8>, String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let text = |error: io::Error| error.to_string();
    let provider = Arc::new(ring::default_provider());
    let looker = Arc::new(Looker { seen: Mutex::new(None), provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.dangerous();
    let config = config.with_custom_certificate_verifier(Arc::<Looker>::clone(&looker)).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    let address = *resolve(host)?.first().ok_or("its name has no address")?;
    let mut stream = TcpStream::connect_timeout(&(address, port).into(), PATIENCE).map_err(text)?;
    stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE))).map_err(text)?;
    let ended = talk(&mut session, &mut stream);
    let seen = looker.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    seen.ok_or_else(|| ended.err().map_or("it shows no certificate".to_owned(), |error| error.to_string()))
}

fn talk(session: &mut ClientConnection, stream: &mut (impl Read + Write)) -> io::Result<()> {
    while session.is_handshaking() {
        session.complete_io(stream)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_no_tls_shows_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });
        assert!(by_server("127.0.0.1", port).is_err());
        server.join().unwrap();
        assert!(by_server("127.0.0.1", port).is_err(), "nobody is there any more");
    }
}
