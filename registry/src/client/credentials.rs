//! Logins, from the file that Docker and podman keep them in, and from the helpers it names.

use std::collections::HashMap;
use std::path::Path;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;
use tokio::sync::Mutex;

use super::OptionsError;

/// Docker Hub's key in login files, which is older than its host names.
const DOCKER_HUB_KEYS: [&str; 4] =
    ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"];

/// The logins of one file; each host is looked up once.
pub(crate) struct Logins {
    file: Option<Vec<u8>>,
    known: Mutex<HashMap<String, RegistryAuth>>,
}

/// A login that is there and cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error(
        "the login for {host} is an identity token, which is not supported; use a user name and a token or password"
    )]
    IdentityToken { host: String },
    #[error("the login for {host} cannot be read")]
    Unreadable { host: String, source: CredentialRetrievalError },
}

impl Logins {
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, OptionsError> {
        let file = match path {
            None => None,
            Some(path) => {
                let bytes =
                    std::fs::read(path).map_err(|source| OptionsError::Read { path: path.to_owned(), source })?;
                if serde_json::from_slice::<serde_json::Value>(&bytes).is_err() {
                    return Err(OptionsError::Logins { path: path.to_owned() });
                }
                Some(bytes)
            }
        };
        Ok(Logins { file, known: Mutex::default() })
    }

    /// The login for a host (with its port); anonymous where the file has none.
    pub(crate) async fn of(&self, host: &str) -> Result<RegistryAuth, LoginError> {
        let Some(file) = &self.file else { return Ok(RegistryAuth::Anonymous) };
        // Held while a helper runs, so that it is asked once and not once per image.
        let mut known = self.known.lock().await;
        if let Some(auth) = known.get(host) {
            return Ok(auth.clone());
        }
        let (bytes, server) = (file.clone(), host.to_owned());
        let found = tokio::task::spawn_blocking(move || look_up(&bytes, &server)).await;
        let found = found.unwrap_or(Err(CredentialRetrievalError::HelperCommunicationError));
        let auth = match found {
            Ok(None) => RegistryAuth::Anonymous,
            Ok(Some(DockerCredential::UsernamePassword(user, password))) => RegistryAuth::Basic(user, password),
            Ok(Some(DockerCredential::IdentityToken(_))) => {
                return Err(LoginError::IdentityToken { host: host.to_owned() });
            }
            Err(source) => return Err(LoginError::Unreadable { host: host.to_owned(), source }),
        };
        known.insert(host.to_owned(), auth.clone());
        Ok(auth)
    }
}

fn look_up(file: &[u8], host: &str) -> Result<Option<DockerCredential>, CredentialRetrievalError> {
    let keys = if DOCKER_HUB_KEYS.contains(&host) { &DOCKER_HUB_KEYS[..] } else { &[host] };
    for key in keys {
        match docker_credential::get_credential_from_reader(file, key) {
            Ok(found) => return Ok(Some(found)),
            Err(CredentialRetrievalError::NoCredentialConfigured) => {}
            // Helpers say so on their standard output when they have nothing; there is no code for it.
            Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("not found") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(json: &str, host: &str) -> Result<RegistryAuth, LoginError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        Logins::read(Some(&path)).unwrap().of(host).await
    }

    #[tokio::test]
    async fn logins_are_found_by_host() {
        let json = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "dTpw"},
            "registry.corp:5000": {"auth": "dTpw"},
            "token.corp": {"identitytoken": "x", "auth": "dTpw"}
        }}"#;
        let basic = RegistryAuth::Basic("u".to_owned(), "p".to_owned());
        for (host, auth) in [
            ("index.docker.io", &basic),
            ("docker.io", &basic),
            ("registry.corp:5000", &basic),
            ("registry.corp", &RegistryAuth::Anonymous),
            ("quay.io", &RegistryAuth::Anonymous),
        ] {
            assert_eq!(&of(json, host).await.unwrap(), auth, "{host}");
        }
        assert!(matches!(of(json, "token.corp").await, Err(LoginError::IdentityToken { .. })));
        assert!(matches!(
            of(r#"{"credsStore": "no-such-helper"}"#, "quay.io").await,
            Err(LoginError::Unreadable { .. })
        ));
    }

    #[test]
    fn files_that_are_no_login_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        assert!(matches!(Logins::read(Some(&path)), Err(OptionsError::Read { .. })));
        std::fs::write(&path, "not json").unwrap();
        assert!(matches!(Logins::read(Some(&path)), Err(OptionsError::Logins { .. })));
    }
}
