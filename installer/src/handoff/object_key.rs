//! What makes an object the same object: group, kind, namespace and name.
//!
//! The version is left out on purpose: `apps/v1` and `apps/v1beta1` of one name are one object in the cluster,
//! and a release that moves to a newer version must not prune what it has just applied.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A kind within its API group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupKind {
    /// The API group; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
}

impl GroupKind {
    /// Names a kind.
    pub fn new(group: impl Into<String>, kind: impl Into<String>) -> Self {
        GroupKind { group: group.into(), kind: kind.into() }
    }

    /// Reads `Kind` or `Kind.group`, the form of ApplySet annotations.
    pub fn from_dotted(text: &str) -> Self {
        match text.split_once('.') {
            Some((kind, group)) => GroupKind::new(group, kind),
            None => GroupKind::new("", text),
        }
    }

    /// Writes `Kind` or `Kind.group`, the form of ApplySet annotations.
    pub fn to_dotted(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// Tells whether this is `kind` of `group`.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

impl fmt::Display for GroupKind {
    /// Kinds that Kubernetes itself brings need no group to be understood; all others show theirs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.group.contains('.') || self.group.ends_with(".k8s.io") {
            f.write_str(&self.kind)
        } else {
            write!(f, "{}.{}", self.kind, self.group)
        }
    }
}

/// The identity of an object in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Group and kind.
    #[serde(flatten)]
    pub kind: GroupKind,
    /// The namespace; empty for what belongs to the cluster as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// Names an object.
    pub fn new(kind: GroupKind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        ObjectKey { kind, namespace: namespace.into(), name: name.into() }
    }

    /// Reads the key out of an object as it is written; `None` where apiVersion, kind or name is missing or no text.
    pub fn of(object: &Value) -> Option<Self> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let kind = object.get("kind")?.as_str()?;
        let metadata = object.get("metadata")?;
        let name = metadata.get("name")?.as_str()?;
        let namespace = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Some(ObjectKey::new(GroupKind::new(group, kind), namespace, name))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_version_is_no_part_of_the_identity() {
        let at = |version: &str| {
            ObjectKey::of(
                &json!({"apiVersion": version, "kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}}),
            )
        };
        assert_eq!(at("apps/v1"), at("apps/v1beta1"));
        assert_ne!(at("apps/v1"), at("v1"));
    }

    #[test]
    fn what_is_no_object_has_no_key() {
        for broken in [
            json!({}),
            json!({"apiVersion": "v1", "kind": "Pod"}),
            json!({"apiVersion": "v1", "kind": 1, "metadata": {"name": "a"}}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}}),
            json!([]),
        ] {
            assert_eq!(ObjectKey::of(&broken), None, "{broken}");
        }
    }

    #[test]
    fn keys_read_as_people_say_them() {
        let key = |group: &str, kind: &str, namespace: &str| {
            ObjectKey::new(GroupKind::new(group, kind), namespace, "viewer").to_string()
        };
        assert_eq!(key("apps", "Deployment", "radiology"), "Deployment radiology/viewer");
        assert_eq!(key("rbac.authorization.k8s.io", "ClusterRole", ""), "ClusterRole viewer");
        assert_eq!(key("cert-manager.io", "Certificate", "n"), "Certificate.cert-manager.io n/viewer");
    }

    #[test]
    fn dotted_form_round_trips() {
        for text in ["ConfigMap", "Deployment.apps", "Certificate.cert-manager.io"] {
            assert_eq!(GroupKind::from_dotted(text).to_dotted(), text);
        }
    }
}
