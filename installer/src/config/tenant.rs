//! `[tenant]` of site.toml: a site with one namespace, in a cluster that belongs to somebody else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TenantConfig {
    /// Everything that is applied lies in it, and so does what this program keeps in the cluster for itself.
    pub namespace: Namespace,
}

/// A namespace, by Kubernetes' own rule for their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);

impl Namespace {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let ends = text.starts_with('-') || text.ends_with('-');
        if text.is_empty() || text.len() > 63 || ends || !text.bytes().all(fits) {
            return Err(format!("`{}` is no namespace of Kubernetes", text.escape_debug()));
        }
        Ok(Namespace(text.to_owned()))
    }
}

impl TryFrom<String> for Namespace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Namespace> for String {
    fn from(namespace: Namespace) -> Self {
        namespace.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_what_kubernetes_takes_for_one() {
        assert_eq!("team-lamp2".parse::<Namespace>().unwrap().as_str(), "team-lamp2");
        for bad in ["", "-a", "a-", "a.b", "A", "a/b", "a b", &"a".repeat(64)] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
        }
        assert!(toml::from_str::<TenantConfig>("namespace = 'a/b'").is_err());
        assert!(toml::from_str::<TenantConfig>("").is_err());
    }
}
