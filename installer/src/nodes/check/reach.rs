//! Whether each server of its own has the canary: reached, trusted, let in, by tag and by digest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use consign_format::error::Coded;
use consign_format::{Reference, state};
use consign_registry::durable::write_file;
use consign_registry::serve::lookup::host_in_path;
use consign_registry::{ImageSource, RegistryOptions, RemoteRegistry, SourceError};

use super::Proof;
use crate::nodes::{Server, Setup, containers};

/// Asks one server for the canary, or without one for something that no registry has, which shows as much but the image.
pub(super) async fn server(setup: &Setup, server: &Server, canary: Option<&Reference>) -> Vec<Proof> {
    let what = format!("{server} answers and is trusted");
    let asked = match canary {
        Some(canary) => canary.clone(),
        None => nowhere(),
    };
    let (registry, _files) = match registry(setup, server, &asked.host) {
        Ok(made) => made,
        Err(reason) => return vec![Proof::failed(None, what, reason, "run consign-site explain registry-options")],
    };
    let mut proofs = Vec::new();
    for reference in forms(&asked) {
        match (registry.resolve(&reference).await, canary) {
            (Ok(found), Some(_)) if asked.digest.is_some_and(|digest| digest != found.digest) => {
                let seen = format!("it has {}", found.digest);
                let fix = "is the server this site's, and does it serve the current release?";
                proofs.push(Proof::failed(None, format!("{server} has {reference}"), seen, fix));
            }
            (Ok(_), _) => proofs.push(Proof::proven(None, format!("{server} has {reference}"))),
            (Err(SourceError::NotFound { .. }), None) => proofs.push(Proof::proven(None, what.clone())),
            (Err(SourceError::NotFound { .. }), Some(_)) => {
                let fix = "is the server this site's, and was the release installed there?";
                proofs.push(Proof::failed(None, format!("{server} has {reference}"), "it has not", fix));
            }
            (Err(error), _) => {
                proofs.push(unreachable(&what, &error));
                break;
            }
        }
    }
    proofs
}

/// How a server answers somebody who only wants to know whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is trusted and lets us ask.
    LetsIn,
    /// It is trusted, and wants a password where none is known.
    WantsPassword,
}

/// Whether a server answers, as a registry, and is trusted; else why not.
pub(crate) async fn answers(setup: &Setup, server: &Server) -> Result<Answer, String> {
    let nowhere = nowhere();
    let (registry, _files) = registry(setup, server, &nowhere.host)?;
    match registry.resolve(&nowhere).await {
        Ok(_) | Err(SourceError::NotFound { .. }) => Ok(Answer::LetsIn),
        Err(SourceError::Unauthorized { had_credentials: false, .. }) => Ok(Answer::WantsPassword),
        Err(error) => Err(in_words(&error)),
    }
}

/// By tag alone, then by digest alone.
pub(super) fn forms(reference: &Reference) -> Vec<Reference> {
    let by_tag = reference.tag.as_ref().map(|_| Reference { digest: None, ..reference.clone() });
    let by_digest = reference.digest.map(|_| Reference { tag: None, ..reference.clone() });
    by_tag.into_iter().chain(by_digest).collect()
}

fn nowhere() -> Reference {
    let tag = Some("none".to_owned());
    Reference { host: state::HOST.to_owned(), repository: "canary".to_owned(), tag, digest: None }
}

fn in_words(error: &SourceError) -> String {
    let mut seen = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        seen += &format!(": {next}");
        cause = next.source();
    }
    seen
}

fn unreachable(what: &str, error: &SourceError) -> Proof {
    let seen = in_words(error);
    let fix = error.hint().unwrap_or_else(|| {
        "is it running, does its name lead to it, and is its certificate by the authority in /etc/consign/ca.crt?"
            .to_owned()
    });
    Proof::failed(None, what, seen, fix)
}

/// A client that asks this server and nobody else, with the files it reads.
fn registry(setup: &Setup, server: &Server, host: &str) -> Result<(RemoteRegistry, tempfile::TempDir), String> {
    let files = tempfile::tempdir().map_err(|error| error.to_string())?;
    let put = |name: &str, text: &str| -> Result<PathBuf, String> {
        let path = files.path().join(name);
        write_file(&path, text.as_bytes(), 0o600).map_err(|error| error.to_string())?;
        Ok(path)
    };
    let mut options = RegistryOptions {
        mirrors: BTreeMap::from([(host.to_owned(), format!("{}/{}", server.address(), host_in_path(host)))]),
        tries: 2,
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(20),
        ..RegistryOptions::default()
    };
    if !server.tls() {
        options.plain_http.push(server.address().to_owned());
    }
    if let Some(authority) = &setup.authority {
        options.ca_files.push(put("ca.crt", authority)?);
    }
    if setup.credentials.is_some() {
        options.docker_config = Some(put("logins.json", &containers::logins(setup))?);
    }
    RemoteRegistry::new(options).map(|registry| (registry, files)).map_err(|error| error.to_string())
}
