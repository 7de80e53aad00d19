//! Who we are to a registry: Basic where it asks for that, a token of its token service where it asks for that.
//!
//! oci-client's dance asks for one repository and never for deleting; a mount needs two, and gc deletes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use http_auth::{ChallengeRef, parse_challenges};
use oci_client::secrets::RegistryAuth;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;

use super::PushOptions;
use crate::client::OptionsError;
use crate::client::credentials::Logins;

/// What a request needs to be allowed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Scope(Vec<String>);

impl Scope {
    pub(super) fn pull(repository: &str) -> Self {
        Scope(vec![format!("repository:{repository}:pull")])
    }

    pub(super) fn push(repository: &str) -> Self {
        Scope(vec![format!("repository:{repository}:pull,push")])
    }

    pub(super) fn mount(repository: &str, from: &str) -> Self {
        Scope(vec![format!("repository:{repository}:pull,push"), format!("repository:{from}:pull")])
    }

    pub(super) fn delete(repository: &str) -> Self {
        Scope(vec![format!("repository:{repository}:pull,push,delete")])
    }
}

/// The login, and what the registry has made of it so far.
pub(super) struct Login {
    known: Known,
    granted: Mutex<HashMap<Scope, HeaderValue>>,
    /// The registry asks for the password itself: then it is the same for everything.
    basic: Mutex<Option<HeaderValue>>,
}

enum Known {
    File(Logins),
    Password(String, String),
}

/// What a registry asks for.
pub(super) enum Challenge {
    Basic,
    /// A token: of whom, and for which service.
    Bearer {
        realm: Url,
        service: Option<String>,
    },
}

/// A token service's answer.
#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
}

impl Login {
    pub(super) fn read(options: &PushOptions<'_>) -> Result<Self, OptionsError> {
        let known = match &options.credentials {
            Some(path) => read_line(path)?,
            None => Known::File(Logins::read(options.docker_config.as_deref())?),
        };
        Ok(Login { known, granted: Mutex::default(), basic: Mutex::default() })
    }

    /// The user and password for a host, if there are any.
    pub(super) async fn password(
        &self,
        host: &str,
    ) -> Result<Option<(String, String)>, Box<dyn std::error::Error + Send + Sync>> {
        match &self.known {
            Known::Password(user, password) => Ok(Some((user.clone(), password.clone()))),
            Known::File(logins) => match logins.of(host).await? {
                RegistryAuth::Basic(user, password) => Ok(Some((user, password))),
                _ => Ok(None),
            },
        }
    }

    /// The header that was granted for a scope before.
    pub(super) fn granted(&self, scope: &Scope) -> Option<HeaderValue> {
        let basic = self.basic.lock().unwrap_or_else(PoisonError::into_inner).clone();
        basic.or_else(|| self.granted.lock().unwrap_or_else(PoisonError::into_inner).get(scope).cloned())
    }

    pub(super) fn keep_basic(&self, user: &str, password: &str) -> bool {
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let header = secret(&format!("Basic {text}"));
        *self.basic.lock().unwrap_or_else(PoisonError::into_inner) = header.clone();
        header.is_some()
    }

    /// Keeps the token of a token service's answer; `false` where there is none in it.
    pub(super) fn keep_token(&self, scope: &Scope, answer: &[u8]) -> bool {
        let granted = serde_json::from_slice::<Granted>(answer).ok();
        let token = granted.and_then(|granted| granted.token.or(granted.access_token));
        let Some(header) = token.and_then(|token| secret(&format!("Bearer {token}"))) else { return false };
        self.granted.lock().unwrap_or_else(PoisonError::into_inner).insert(scope.clone(), header);
        true
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn read_line(path: &Path) -> Result<Known, OptionsError> {
    let text = std::fs::read_to_string(path).map_err(|source| OptionsError::Read { path: path.to_owned(), source })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line.split_once(':') {
        Some((user, password)) if !user.is_empty() && !line.contains(['\n', '\r']) => {
            Ok(Known::Password(user.to_owned(), password.to_owned()))
        }
        _ => Err(OptionsError::Credentials { path: path.to_owned() }),
    }
}

/// What a 401 asks for; a token before a password, as Docker does.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let texts: Vec<&str> = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).collect();
    let all: Vec<ChallengeRef<'_>> = texts.iter().filter_map(|text| parse_challenges(text).ok()).flatten().collect();
    let parameter = |challenge: &ChallengeRef<'_>, name: &str| {
        let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let bearer = all.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"));
    if let Some(bearer) = bearer {
        let realm = parameter(bearer, "realm").and_then(|realm| Url::parse(&realm).ok())?;
        return Some(Challenge::Bearer { realm, service: parameter(bearer, "service") });
    }
    all.iter().any(|challenge| challenge.scheme.eq_ignore_ascii_case("basic")).then_some(Challenge::Basic)
}

/// The question to a token service.
pub(super) fn token_url(realm: &Url, service: Option<&str>, scope: &Scope) -> Url {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in &scope.0 {
            query.append_pair("scope", scope);
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_before_a_password() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=\"x\"".parse().unwrap());
        assert!(matches!(challenge(&headers), Some(Challenge::Basic)));
        let bearer = "Bearer realm=\"https://auth.site/token\",service=\"harbor\",scope=\"registry:catalog:*\"";
        headers.append(WWW_AUTHENTICATE, bearer.parse().unwrap());
        let Some(Challenge::Bearer { realm, service }) = challenge(&headers) else { panic!("no bearer") };
        let url = token_url(&realm, service.as_deref(), &Scope::mount("a/b", "c/d"));
        assert_eq!(
            url.as_str(),
            "https://auth.site/token?service=harbor&scope=repository%3Aa%2Fb%3Apull%2Cpush\
             &scope=repository%3Ac%2Fd%3Apull"
        );
        assert!(challenge(&HeaderMap::new()).is_none());
    }

    #[test]
    fn a_file_of_credentials_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        for (text, fits) in
            [("ada:pass:word\n", true), ("ada:p\r\n", true), ("ada", false), (":p", false), ("a:b\nc:d\n", false)]
        {
            std::fs::write(&path, text).unwrap();
            match read_line(&path) {
                Ok(Known::Password(user, _)) => assert!(fits && user == "ada", "{text:?}"),
                _ => assert!(!fits, "{text:?}"),
            }
        }
        assert!(matches!(read_line(&dir.path().join("none")), Err(OptionsError::Read { .. })));
    }

    #[test]
    fn both_names_of_a_token_are_read() {
        let login = Login {
            known: Known::Password(String::new(), String::new()),
            granted: Mutex::default(),
            basic: Mutex::default(),
        };
        let scope = Scope::push("a");
        assert!(!login.keep_token(&scope, b"{}"));
        assert!(!login.keep_token(&scope, b"<html>"));
        for answer in [&b"{\"token\":\"t\"}"[..], b"{\"access_token\":\"t\"}"] {
            assert!(login.keep_token(&scope, answer));
            assert_eq!(login.granted(&scope).unwrap(), "Bearer t");
            assert!(login.granted(&Scope::pull("a")).is_none());
        }
    }
}
