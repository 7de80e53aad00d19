//! Services of a node, declared: which unit, whether it starts with the machine, when it is restarted. No commands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One service of the release, at nodes that run systemd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// The unit, such as `k3s.service`.
    pub unit: String,
    /// Whether it is made to start with the machine; if not, that is left as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enable: bool,
    /// When it is restarted; without it, when one of its files has changed.
    #[serde(default, skip_serializing_if = "Restart::is_on_change")]
    pub restart: Restart,
    /// The places of the files of the release that it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// When a service is restarted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// When one of its files was placed, replaced or adopted; one that does not run is started so.
    #[default]
    OnChange,
    /// Never.
    Never,
}

impl Restart {
    fn is_on_change(&self) -> bool {
        *self == Restart::OnChange
    }
}

/// Types of units that a release may speak of.
const TYPES: &[&str] = &["service", "socket", "timer", "path", "mount", "target"];

/// Whether this is the name of one unit: what systemd allows, without escapes and templates, and no option.
pub fn is_unit(unit: &str) -> bool {
    let Some((name, kind)) = unit.rsplit_once('.') else { return false };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":_.-@".contains(&b);
    let begins_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    unit.len() <= 255 && begins_well && name.bytes().all(plain) && !name.ends_with('@') && TYPES.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_units_and_no_options() {
        for good in ["k3s.service", "getty@tty1.service", "a-b_c.d.timer", "docker.socket"] {
            assert!(is_unit(good), "{good}");
        }
        let long = format!("{}.service", "a".repeat(248));
        for bad in [
            "",
            "k3s",
            ".service",
            "-H.service",
            "--root=x.service",
            "a b.service",
            "a;b.service",
            "../a.service",
            "a.scope",
            "getty@.service",
            "a\n.service",
            "a*.service",
            "a\\x2d.service",
            &long,
        ] {
            assert!(!is_unit(bad), "{bad:?}");
        }
    }
}
