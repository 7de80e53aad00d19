//! What the local administrator lets a release hold: kinds, namespaces, places of files (DESIGN §7, hostile table row 56).
//!
//! It guards the machine against those who sign: an approved release is authentic, and may still reach further than
//! this site wants. Nothing is applied of a release that does.

use std::path::{Component, Path, PathBuf};

use consign_format::error::{Code, Coded, codes};
use consign_format::release::ReleaseManifest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kind whose objects are namespaces.
const NAMESPACE: &str = "Namespace";

/// The table `[allow]` of `site.toml`. What is left out allows everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Allow {
    /// Kinds, such as `ConfigMap` or, with its group, `apps/Deployment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// Namespaces. Where it is given, objects outside all namespaces must be of a kind that `kinds` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// Folders, as absolute paths, that files may be placed in, at any depth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<PathBuf>>,
}

/// A release that reaches further than this site allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the release holds what this site does not allow: {}", .what.join(", "))]
pub struct NotAllowed {
    /// Objects and files, in words.
    pub what: Vec<String>,
}

impl Coded for NotAllowed {
    fn code(&self) -> Code {
        codes::NOT_ALLOWED
    }

    fn hint(&self) -> Option<String> {
        Some("ask those who built it why; the administrator of this site decides, in [allow] of site.toml".to_owned())
    }
}

impl Allow {
    /// Whether nothing was said, and everything is allowed.
    pub fn is_everything(&self) -> bool {
        *self == Allow::default()
    }

    /// Demands that every object and every file of a release is allowed here.
    ///
    /// # Errors
    /// [`NotAllowed`], which names all that is not.
    pub fn check(&self, release: &ReleaseManifest, objects: &[Value]) -> Result<(), NotAllowed> {
        let text = |object: &Value, at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut what = Vec::new();
        for object in objects {
            let (version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
            let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
            let group = version.rsplit_once('/').map_or("", |(group, _)| group);
            if !self.kind(group, &kind) || !self.namespace(group, &kind, &namespace, &name) {
                what.push(format!("{kind} {namespace}/{name}").replace(" /", " "));
            }
        }
        what.extend(release.files.iter().filter(|file| !self.path(&file.to)).map(|file| format!("file {}", file.to)));
        if what.is_empty() { Ok(()) } else { Err(NotAllowed { what }) }
    }

    fn names(kinds: &[String], group: &str, kind: &str) -> bool {
        kinds.iter().any(|allowed| allowed == kind || allowed.rsplit_once('/') == Some((group, kind)))
    }

    fn kind(&self, group: &str, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| Self::names(kinds, group, kind))
    }

    fn namespace(&self, group: &str, kind: &str, namespace: &str, name: &str) -> bool {
        let Some(allowed) = &self.namespaces else { return true };
        let is_namespace = group.is_empty() && kind == NAMESPACE;
        match namespace {
            "" if is_namespace => allowed.iter().any(|allowed| allowed == name),
            "" => self.kinds.as_ref().is_some_and(|kinds| Self::names(kinds, group, kind)),
            namespace => allowed.iter().any(|allowed| allowed == namespace),
        }
    }

    fn path(&self, to: &str) -> bool {
        let to = Path::new(to);
        let climbs = to.components().any(|part| part == Component::ParentDir);
        self.paths.as_ref().is_none_or(|folders| !climbs && folders.iter().any(|folder| to.starts_with(folder)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(kinds: Option<&[&str]>, namespaces: Option<&[&str]>) -> Allow {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let paths = Some(vec![PathBuf::from("/opt")]);
        Allow { kinds: kinds.map(list), namespaces: namespaces.map(list), paths }
    }

    #[test]
    fn kinds_are_named_with_or_without_their_group() {
        let some = allow(Some(&["ConfigMap", "apps/Deployment"]), None);
        assert!(some.kind("", "ConfigMap") && some.kind("apps", "Deployment"));
        assert!(!some.kind("evil.example", "Deployment") && !some.kind("", "Secret"));
        assert!(Allow::default().kind("", "Secret"));
    }

    #[test]
    fn what_lies_in_no_namespace_must_be_named_by_kind() {
        let only = allow(None, Some(&["lamp"]));
        assert!(only.namespace("", "ConfigMap", "lamp", "a") && !only.namespace("", "ConfigMap", "kube-system", "a"));
        assert!(only.namespace("", "Namespace", "", "lamp") && !only.namespace("", "Namespace", "", "other"));
        assert!(!only.namespace("rbac.authorization.k8s.io", "ClusterRoleBinding", "", "a"));
        let both = allow(Some(&["ClusterRole"]), Some(&["lamp"]));
        assert!(both.namespace("rbac.authorization.k8s.io", "ClusterRole", "", "a"));
    }

    #[test]
    fn files_stay_below_the_folders_that_are_named() {
        let allow = allow(None, None);
        assert!(allow.path("/opt/lamp") && allow.path("/opt"));
        assert!(!allow.path("/optional") && !allow.path("/opt/../etc/passwd") && !allow.path("/etc/passwd"));
        assert!(Allow::default().path("/etc/passwd"));
    }
}
