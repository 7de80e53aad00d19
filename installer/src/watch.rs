//! What `consign-site watch` sees and says: media that come and go, and events in a form that a hook can read.
//!
//! Everything here only looks. What is done with a medium is what `stage` and `activate` do.

use std::path::PathBuf;

use consign_format::Name;
use consign_format::error::Failure;
use serde::Serialize;

mod hook;
mod media;
mod wanted;

pub use hook::{HookError, run as run_hook};
pub use media::{Medium, Seen, media};
pub use wanted::is_wanted;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A bundle was verified and staged.
    Staged,
    /// A bundle of metadata alone was taken.
    Informed,
    /// A release runs and is confirmed.
    Activated,
    /// A release waits for a gate.
    Waiting,
    /// A release was not healthy: taken back, or left as it is.
    Unhealthy,
    /// A bundle is not for this site, or not for it now.
    LeftAlone,
    /// A bundle or a step was refused, or failed.
    Refused,
    /// Receipts were copied.
    Receipts,
}

/// One event, as it is logged and given to the hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// What happened.
    pub event: What,
    /// The bundle or the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Name>,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The code of an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Event {
    /// An event that says nothing but what happened.
    pub fn new(event: What) -> Self {
        Event { event, path: None, product: None, version: None, code: None, why: None }
    }

    /// Of a product.
    pub fn of(self, product: &Name, version: &str) -> Self {
        Event { product: Some(product.clone()), version: Some(version.to_owned()), ..self }
    }

    /// With a bundle or a folder.
    pub fn at(self, path: impl Into<PathBuf>) -> Self {
        Event { path: Some(path.into()), ..self }
    }

    /// Because of an error.
    pub fn because(self, failure: &Failure) -> Self {
        Event { code: Some(failure.code().name), why: Some(failure.to_string()), ..self }
    }

    /// In one line, for the log.
    pub fn in_words(&self) -> String {
        let what = match self.event {
            What::Staged => "staged",
            What::Informed => "taken: metadata",
            What::Activated => "activated",
            What::Waiting => "waits",
            What::Unhealthy => "not healthy",
            What::LeftAlone => "left alone",
            What::Refused => "refused",
            What::Receipts => "receipts copied",
        };
        let release = self.product.as_ref().map(|name| format!(" {name} {}", self.version.as_deref().unwrap_or("")));
        let path = self.path.as_ref().map(|path| format!(" {}", path.display()));
        let code = self.code.map(|code| format!(" [{code}]"));
        let why = self.why.as_ref().map(|why| format!(": {why}"));
        format!(
            "{what}{}{}{}{}",
            release.as_deref().map(str::trim_end).unwrap_or_default(),
            path.unwrap_or_default(),
            code.unwrap_or_default(),
            why.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_in_words_and_as_json() {
        let event = Event::new(What::Staged).of(&"lamp".parse().unwrap(), "2.0").at("/media/usb/lamp.consign");
        assert_eq!(event.in_words(), "staged lamp 2.0 /media/usb/lamp.consign");
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(json, r#"{"event":"staged","path":"/media/usb/lamp.consign","product":"lamp","version":"2.0"}"#);
    }
}
