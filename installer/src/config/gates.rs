//! `[[windows]]` and `[interlock]` of site.toml: when a release may be activated.

use std::fmt;
use std::path::PathBuf;

use consign_format::Name;
use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A time in which releases may be activated, or may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "Said", into = "Said")]
pub struct WindowConfig {
    /// Whether it allows or forbids.
    pub kind: Kind,
    /// When it begins.
    pub schedule: Schedule,
    /// How long it lasts.
    pub duration: Length,
    /// The products it speaks of; of all, where none is named.
    pub products: Vec<Name>,
    /// Let an activation that began while it was allowed go on when it is not any more.
    pub overrun: bool,
}

impl WindowConfig {
    /// Whether it speaks of a product.
    pub fn speaks_of(&self, product: &Name) -> bool {
        self.products.is_empty() || self.products.contains(product)
    }
}

/// Whether a window allows or forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Only while it is open.
    Allow,
    /// Not while it is open.
    Deny,
}

/// What stands in the file: the time zone beside the schedule.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Said {
    kind: Kind,
    schedule: String,
    duration: Length,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    products: Vec<Name>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    overrun: bool,
}

impl TryFrom<Said> for WindowConfig {
    type Error = String;

    fn try_from(said: Said) -> Result<Self, String> {
        let Said { kind, schedule, duration, time_zone, products, overrun } = said;
        let schedule = Schedule::parse(schedule, time_zone)?;
        Ok(WindowConfig { kind, schedule, duration, products, overrun })
    }
}

impl From<WindowConfig> for Said {
    fn from(window: WindowConfig) -> Self {
        let WindowConfig { kind, schedule, duration, products, overrun } = window;
        Said { kind, schedule: schedule.text, duration, time_zone: schedule.zone, products, overrun }
    }
}

/// Five fields as cron has them, in a time zone: `0 2 * * MON-FRI`.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    zone: Option<String>,
    cron: Crontab,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.zone) == (&other.text, &other.zone)
    }
}

impl Eq for Schedule {}

impl Schedule {
    fn parse(text: String, zone: Option<String>) -> Result<Self, String> {
        if text.split_whitespace().count() != 5 {
            return Err(format!("schedule `{text}` has not the five fields of cron (the time zone goes to time-zone)"));
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let whole = zone.as_ref().map_or(text.clone(), |zone| format!("{text} {zone}"));
        let in_words = |error: cronexpr::Error| format!("schedule `{whole}`: {error}");
        let cron = cronexpr::parse_crontab_with(&whole, options).map_err(in_words)?;
        Ok(Schedule { text, zone, cron })
    }

    /// The first beginning after a moment; `None` where there is none within four years.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        Some(self.cron.find_next(MakeTimestamp(after)).ok()?.timestamp())
    }
}

/// A length of time above zero: `90m`, `3h`, `2h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length(pub SignedDuration);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::str::FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let length: SignedDuration = text.parse().map_err(|error: jiff::Error| format!("`{text}`: {error}"))?;
        if !length.is_positive() || length > SignedDuration::from_hours(24 * 366) {
            return Err(format!("`{text}` is not a length of time between nothing and a year"));
        }
        Ok(Length(length))
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How it is known that what is driven by this cluster is in use. Whatever of it is said must be free.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct InterlockConfig {
    /// In use while this file is there; its first line says by whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// In use while somebody holds this Lease of the cluster, `NAMESPACE/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseName>,
    /// In use unless this command ends with exit code 0; the first line of what it prints says why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probe: Vec<String>,
    /// How long the command may take; ten seconds where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_timeout: Option<Length>,
}

impl InterlockConfig {
    pub(crate) fn is_unsaid(&self) -> bool {
        *self == InterlockConfig::default()
    }
}

/// A Lease: `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LeaseName {
    /// The namespace.
    pub namespace: Name,
    /// The name.
    pub name: Name,
}

impl TryFrom<String> for LeaseName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts =
            text.split_once('/').and_then(|(namespace, name)| Some((namespace.parse().ok()?, name.parse().ok()?)));
        let (namespace, name) = parts.ok_or_else(|| format!("`{text}` is no Lease: say NAMESPACE/NAME"))?;
        Ok(LeaseName { namespace, name })
    }
}

impl From<LeaseName> for String {
    fn from(lease: LeaseName) -> Self {
        format!("{}/{}", lease.namespace, lease.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for (text, words) in [
            ("kind = 'allow'\nschedule = '0 2 * *'\nduration = '1h'", "five fields"),
            ("kind = 'allow'\nschedule = '61 2 * * *'\nduration = '1h'", "61"),
            ("kind = 'allow'\nschedule = '0 2 * * *'\nduration = '0s'", "between nothing and a year"),
            ("kind = 'allow'\nschedule = '0 2 * * *'\nduration = 'long'", "long"),
            ("kind = 'allow'\nschedule = '0 2 * * *'\nduration = '1h'\ntime-zone = 'Mars/Base'", "Mars/Base"),
            ("kind = 'perhaps'\nschedule = '0 2 * * *'\nduration = '1h'", "perhaps"),
        ] {
            let error = toml::from_str::<WindowConfig>(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(toml::from_str::<InterlockConfig>("lease = 'a'").is_err());
        assert!(toml::from_str::<InterlockConfig>("leases = 'a/b'").is_err());
    }

    #[test]
    fn what_is_read_is_written_as_it_was() {
        let text =
            "kind = \"allow\"\nschedule = \"0 2 * * MON-FRI\"\nduration = \"2h 30m\"\ntime-zone = \"Europe/Berlin\"\n";
        let window: WindowConfig = toml::from_str(text).unwrap();
        assert_eq!(toml::to_string(&window).unwrap(), text);
    }
}
