//! One request to the registry: with the login it wants, again while its failure may pass, its answer within bounds.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode};
use url::Url;

use super::error::{PushError, Said};
use super::login::{Challenge, Login, Scope, challenge, token_url};
use super::patience::{Tries, asked};
use super::{PushOptions, tls};
use crate::client::OptionsError;

/// What an error's body may have; the rest is not read.
const ERROR_BODY: u64 = 64 << 10;

/// The registry, as something that answers.
pub(super) struct Wire<'a> {
    pub(super) client: reqwest::Client,
    pub(super) options: PushOptions<'a>,
    login: Login,
}

/// Why one request brought nothing.
pub(super) enum Trouble {
    /// It may work in a moment: in how long at the earliest, and what happened.
    Passing(Option<Duration>, Box<dyn std::error::Error + Send + Sync>),
    /// The login was renewed; once more, at once.
    Renewed,
    /// Nothing will help.
    Final(PushError),
}

/// A status that may pass, as an error.
#[derive(Debug, thiserror::Error)]
#[error("it answered {0}")]
struct Answered(StatusCode);

/// Nothing was heard or taken for a while.
#[derive(Debug, thiserror::Error)]
#[error("nothing moved for {} seconds", .0.as_secs())]
pub(super) struct Stalled(pub(super) Duration);

impl<'a> Wire<'a> {
    pub(super) fn new(options: PushOptions<'a>) -> Result<Self, OptionsError> {
        let client = tls::client(&options)?;
        let login = Login::read(&options)?;
        Ok(Wire { client, options, login })
    }

    pub(super) fn place(&self) -> String {
        self.options.address.host().to_owned()
    }

    pub(super) fn tries(&self) -> Tries<'_> {
        Tries::new(self.options.patience, self.options.tries, self.options.first_pause)
    }

    /// The URL of something below `/v2/`.
    pub(super) fn url(&self, what: &str, below: &str) -> Result<Url, PushError> {
        self.options.address.url(below).map_err(|error| self.protocol(what, error.to_string()))
    }

    pub(super) fn protocol(&self, what: &str, reason: impl Into<String>) -> PushError {
        PushError::Protocol { what: what.to_owned(), place: self.place(), reason: reason.into() }
    }

    /// Asks until there is an answer that no waiting changes: a success, or a refusal for the caller to read.
    pub(super) async fn ask(
        &self,
        what: &str,
        scope: &Scope,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Response, PushError> {
        let (mut tries, mut renewed) = (self.tries(), false);
        loop {
            match self.once(what, scope, request(&self.client), self.options.read_timeout, &mut renewed).await {
                Ok(response) => return Ok(response),
                Err(trouble) => self.wait(what, &mut tries, trouble).await?,
            }
        }
    }

    /// Waits out a trouble that may pass; every other, and the last of too many, is the error.
    pub(super) async fn wait(&self, what: &str, tries: &mut Tries<'_>, trouble: Trouble) -> Result<(), PushError> {
        match trouble {
            Trouble::Renewed => Ok(()),
            Trouble::Final(error) => Err(error),
            Trouble::Passing(asked, source) => {
                if tries.wait(asked).await {
                    return Ok(());
                }
                let (what, place, tries) = (what.to_owned(), self.place(), tries.made());
                Err(PushError::Unreachable { what, place, tries, source })
            }
        }
    }

    /// One request. A 401 renews the login, once for each thing that is done (`renewed`).
    pub(super) async fn once(
        &self,
        what: &str,
        scope: &Scope,
        request: RequestBuilder,
        timeout: Duration,
        renewed: &mut bool,
    ) -> Result<Response, Trouble> {
        let mut request = request.build().map_err(|error| Trouble::Final(self.protocol(what, error.to_string())))?;
        if self.is_ours(request.url())
            && let Some(header) = self.login.granted(scope)
        {
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        let response = match tokio::time::timeout(timeout, self.client.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.failed(what, error)),
            Err(_) => return Err(Trouble::Passing(None, Box::new(Stalled(timeout)))),
        };
        match response.status().as_u16() {
            401 if !std::mem::replace(renewed, true) => Err(self.renew(what, scope, response).await),
            401 => Err(Trouble::Final(self.unauthorized(what, response).await)),
            408 | 425 | 429 | 500..=599 => {
                let asked = asked(response.headers(), self.options.patience.now());
                Err(Trouble::Passing(asked, Box::new(Answered(response.status()))))
            }
            _ => Ok(response),
        }
    }

    /// A login goes to the registry it is for, encrypted if that speaks TLS, and nowhere else (CVE-2020-15157).
    fn is_ours(&self, url: &Url) -> bool {
        self.options.address.url("").is_ok_and(|ours| ours.origin() == url.origin())
    }

    fn failed(&self, what: &str, error: reqwest::Error) -> Trouble {
        if tls::is_untrusted(&error) {
            let (what, place) = (what.to_owned(), self.place());
            return Trouble::Final(PushError::Untrusted { what, place, source: Box::new(error.without_url()) });
        }
        if error.is_builder() || error.is_redirect() {
            return Trouble::Final(self.protocol(what, error.to_string()));
        }
        Trouble::Passing(None, Box::new(error.without_url()))
    }

    async fn renew(&self, what: &str, scope: &Scope, response: Response) -> Trouble {
        let asked = challenge(response.headers());
        let login = match self.login.password(self.options.address.host()).await {
            Ok(login) => login,
            Err(source) => return Trouble::Final(PushError::Login { place: self.place(), source }),
        };
        match (asked, login) {
            (Some(Challenge::Basic), Some((user, password))) if self.login.keep_basic(&user, &password) => {
                Trouble::Renewed
            }
            (Some(Challenge::Bearer { realm, service }), login) => {
                self.fetch_token(what, scope, &token_url(&realm, service.as_deref(), scope), login).await
            }
            _ => Trouble::Final(self.unauthorized(what, response).await),
        }
    }

    async fn fetch_token(&self, what: &str, scope: &Scope, url: &Url, login: Option<(String, String)>) -> Trouble {
        if self.options.address.is_tls() && url.scheme() != "https" {
            let reason = "it sends the login to a token service that is not encrypted";
            return Trouble::Final(self.protocol(what, reason));
        }
        let mut request = self.client.get(url.clone());
        if let Some((user, password)) = login {
            request = request.basic_auth(user, Some(password));
        }
        let response = match tokio::time::timeout(self.options.read_timeout, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return self.failed(what, error),
            Err(_) => return Trouble::Passing(None, Box::new(Stalled(self.options.read_timeout))),
        };
        match response.status().as_u16() {
            200 => match self.read(response, ERROR_BODY).await {
                Ok(Some(answer)) if self.login.keep_token(scope, &answer) => Trouble::Renewed,
                Ok(_) => Trouble::Final(self.protocol(what, "its token service gave no token")),
                Err(error) => Trouble::Passing(None, error),
            },
            408 | 425 | 429 | 500..=599 => {
                let asked = asked(response.headers(), self.options.patience.now());
                Trouble::Passing(asked, Box::new(Answered(response.status())))
            }
            _ => Trouble::Final(self.unauthorized(what, response).await),
        }
    }

    pub(super) async fn unauthorized(&self, what: &str, response: Response) -> PushError {
        let had_login = matches!(self.login.password(self.options.address.host()).await, Ok(Some(_)));
        let (what, place) = (what.to_owned(), self.place());
        PushError::Unauthorized { what, place, had_login, said: self.said(response).await }
    }

    /// A refusal, as the error it is.
    pub(super) async fn refused(&self, what: &str, response: Response) -> PushError {
        if matches!(response.status().as_u16(), 401 | 403) {
            return self.unauthorized(what, response).await;
        }
        let (what, place) = (what.to_owned(), self.place());
        PushError::Refused { what, place, said: self.said(response).await }
    }

    pub(super) async fn said(&self, response: Response) -> Said {
        let status = response.status().as_u16();
        let body = self.read(response, ERROR_BODY).await.ok().flatten().unwrap_or_default();
        let errors = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
        let errors = errors["errors"].as_array().cloned().unwrap_or_default();
        let text = |key: &str| errors.iter().filter_map(|error| Some(error[key].as_str()?.to_owned())).collect();
        let (codes, messages): (Vec<String>, Vec<String>) = (text("code"), text("message"));
        Said { status, codes, message: messages.into_iter().next().unwrap_or_default() }
    }

    /// A body of at most `limit` bytes; `None` where it is longer.
    pub(super) async fn read(
        &self,
        mut response: Response,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        let (timeout, mut bytes) = (self.options.read_timeout, Vec::new());
        loop {
            let chunk = tokio::time::timeout(timeout, response.chunk()).await.map_err(|_| Stalled(timeout))?;
            let Some(chunk) = chunk? else { return Ok(Some(bytes)) };
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Ok(None);
            }
            bytes.extend_from_slice(&chunk);
        }
    }

    /// Where an answer says that an upload goes on. Behind a proxy that ends TLS many a registry says `http://` of
    /// itself; content is not sent unencrypted because of that.
    pub(super) fn location(&self, what: &str, response: &Response) -> Result<Url, PushError> {
        let header = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let text = header.ok_or_else(|| self.protocol(what, "it opened an upload and did not say where"))?;
        let mut url = response.url().join(text).map_err(|error| self.protocol(what, error.to_string()))?;
        if self.options.address.is_tls() && url.scheme() == "http" {
            let ours = self.url(what, "")?;
            if url.host() != ours.host() {
                return Err(self.protocol(what, "it sends the upload somewhere that is not encrypted"));
            }
            if url.set_scheme("https").is_err() || url.set_port(ours.port()).is_err() {
                return Err(self.protocol(what, "it sends the upload to a place that is none"));
            }
        }
        Ok(url)
    }
}

/// `Content-Length` as it was sent; of an answer to HEAD no client library counts it.
pub(super) fn length(response: &Response) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
