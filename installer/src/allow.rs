//! What the local administrator lets a release hold: kinds, namespaces, places of files (DESIGN §7, hostile table row 56).
//!
//! It guards the machine against those who sign: an approved release is authentic, and may still reach further than
//! this site wants. Nothing is applied of a release that does.

use std::path::{Component, Path, PathBuf};

use consign_format::error::{Code, Coded, codes};
use consign_format::release::{ReleaseManifest, SecretMode, Service};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kind whose objects are namespaces.
const NAMESPACE: &str = "Namespace";

/// Where no file of a release is ever placed, whatever the administrator says: our own folders, and what is no disk.
const NEVER: &[&str] = &["/var/lib/consign", "/etc/consign", "/proc", "/sys", "/dev"];

/// The table `[allow]` of `site.toml`. What is left out allows everything, but no units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Allow {
    /// Kinds, such as `ConfigMap` or, with its group, `apps/Deployment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// Namespaces. Where it is given, objects of kinds that are not Kubernetes' own namespaced ones must be of a kind
    /// that `kinds` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// Folders, as absolute paths, that files may be placed in, at any depth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<PathBuf>>,
    /// Units of systemd that a release may enable and restart; without it, none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// The one namespace of a tenant, from `[tenant]`: nothing lies outside it, whatever else is said here.
    #[serde(skip)]
    pub tenant: Option<String>,
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
        let home = release.namespace.as_deref().unwrap_or_default();
        let is_made = |mode| matches!(mode, SecretMode::Generate | SecretMode::PerSite);
        // A tenant may not even look for a Secret elsewhere.
        let made = release.secrets.iter().filter(|rule| is_made(rule.mode) || self.tenant.is_some());
        let made = made.map(|rule| Held::new("v1", "Secret", &rule.namespace, &rule.name));
        let mut what = Vec::new();
        for held in objects.iter().map(|object| Held::of(object, home)).chain(made) {
            if !self.kind(&held.group, &held.kind) || !self.namespace(&held) || !self.in_tenant(&held) {
                what.push(format!("{} {}/{}", held.kind, held.namespace, held.name).replace(" /", " "));
            }
        }
        // The release's own namespace is created with it.
        let is_beyond = self.tenant.as_ref().is_some_and(|tenant| tenant != home)
            || self.namespaces.as_ref().is_some_and(|allowed| !allowed.iter().any(|one| one == home));
        if !home.is_empty() && is_beyond {
            what.push(format!("{NAMESPACE} {home}"));
        }
        what.extend(release.files.iter().filter(|file| !self.path(&file.to)).map(|file| format!("file {}", file.to)));
        what.extend(self.refused_units(&release.services));
        if what.is_empty() { Ok(()) } else { Err(NotAllowed { what }) }
    }

    /// Demands that files may be placed there, and that these services may be touched.
    ///
    /// # Errors
    /// [`NotAllowed`], which names all that may not.
    pub(crate) fn check_node<'a>(
        &self,
        places: impl Iterator<Item = &'a String>,
        services: &[Service],
    ) -> Result<(), NotAllowed> {
        let mut what: Vec<String> = places.filter(|to| !self.path(to)).map(|to| format!("file {to}")).collect();
        what.extend(self.refused_units(services));
        if what.is_empty() { Ok(()) } else { Err(NotAllowed { what }) }
    }

    fn refused_units<'a>(&'a self, services: &'a [Service]) -> impl Iterator<Item = String> + 'a {
        let refused = services.iter().filter(|service| !self.units.contains(&service.unit));
        refused.map(|service| format!("unit {}", service.unit.escape_debug()))
    }

    fn names(kinds: &[String], group: &str, kind: &str) -> bool {
        kinds.iter().any(|allowed| allowed == kind || allowed.rsplit_once('/') == Some((group, kind)))
    }

    fn kind(&self, group: &str, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| Self::names(kinds, group, kind))
    }

    fn namespace(&self, held: &Held) -> bool {
        let Some(allowed) = &self.namespaces else { return true };
        let is_allowed = |namespace: &str| allowed.iter().any(|allowed| allowed == namespace);
        if held.group.is_empty() && held.kind == NAMESPACE {
            return is_allowed(&held.name);
        }
        // Whatever an object says of itself: of a kind that has no namespaces it lies in none.
        let is_namespaced = NAMESPACED.contains(&(held.group.as_str(), held.kind.as_str()));
        let is_named = || self.kinds.as_ref().is_some_and(|kinds| Self::names(kinds, &held.group, &held.kind));
        (is_namespaced || is_named()) && (!is_namespaced && held.namespace.is_empty() || is_allowed(&held.namespace))
    }

    /// Of kinds that are not Kubernetes' own, only the cluster knows where they lie: they must be named, and applying
    /// asks again.
    fn in_tenant(&self, held: &Held) -> bool {
        let Some(tenant) = &self.tenant else { return true };
        if held.group.is_empty() && held.kind == NAMESPACE {
            // Every release brings its own; a tenant's is there, and applying leaves it alone.
            return held.name == *tenant;
        }
        let is_custom = held.group.contains('.') && !held.group.ends_with(".k8s.io");
        let is_namespaced = NAMESPACED.contains(&(held.group.as_str(), held.kind.as_str()));
        let is_named = || self.kinds.as_ref().is_some_and(|kinds| Self::names(kinds, &held.group, &held.kind));
        let lies_in = held.namespace == *tenant || is_custom && held.namespace.is_empty();
        lies_in && (is_namespaced || is_custom && is_named())
    }

    fn path(&self, to: &str) -> bool {
        let to = Path::new(to);
        let climbs = to.components().any(|part| part == Component::ParentDir);
        let is_below = |folder: &PathBuf| to.starts_with(folder);
        !NEVER.iter().any(|folder| to.starts_with(folder))
            && self.paths.as_ref().is_none_or(|folders| !climbs && folders.iter().any(is_below))
    }
}

/// Kinds of Kubernetes' own that always lie in a namespace. Of any other, who trusts namespaces must name the kind.
const NAMESPACED: &[(&str, &str)] = &[
    ("", "ConfigMap"),
    ("", "Endpoints"),
    ("", "LimitRange"),
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "PodTemplate"),
    ("", "ReplicationController"),
    ("", "ResourceQuota"),
    ("", "Secret"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("apps", "ControllerRevision"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("coordination.k8s.io", "Lease"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
];

/// One object that the release would bring.
struct Held {
    group: String,
    kind: String,
    namespace: String,
    name: String,
}

impl Held {
    fn new(version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let group = version.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
        Held { group, kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// An object of the desired state; one that names no namespace goes to the release's, if its kind has namespaces.
    fn of(object: &Value, home: &str) -> Self {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default();
        let mut held =
            Held::new(text("/apiVersion"), text("/kind"), text("/metadata/namespace"), text("/metadata/name"));
        if held.namespace.is_empty() && NAMESPACED.contains(&(held.group.as_str(), held.kind.as_str())) {
            held.namespace = home.to_owned();
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lies(allow: &Allow, group: &str, kind: &str, namespace: &str, name: &str) -> bool {
        let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        allow.namespace(&Held::new(&version, kind, namespace, name))
    }

    fn allow(kinds: Option<&[&str]>, namespaces: Option<&[&str]>) -> Allow {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let paths = Some(vec![PathBuf::from("/opt")]);
        Allow { kinds: kinds.map(list), namespaces: namespaces.map(list), paths, ..Allow::default() }
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
        assert!(lies(&only, "", "ConfigMap", "lamp", "a") && !lies(&only, "", "ConfigMap", "kube-system", "a"));
        assert!(lies(&only, "", "Namespace", "", "lamp") && !lies(&only, "", "Namespace", "", "other"));
        let rbac = "rbac.authorization.k8s.io";
        assert!(!lies(&only, rbac, "ClusterRoleBinding", "", "a"));
        assert!(!lies(&only, rbac, "ClusterRoleBinding", "lamp", "a"), "it lies in no namespace, whatever it says");
        let both = allow(Some(&["ClusterRole", "Lamp"]), Some(&["lamp"]));
        assert!(lies(&both, rbac, "ClusterRole", "", "a"));
        assert!(lies(&both, "x.example", "Lamp", "lamp", "a") && !lies(&both, "x.example", "Lamp", "other", "a"));
    }

    #[test]
    fn a_tenant_stays_in_its_namespace_whatever_is_allowed() {
        let kinds = allow(Some(&["ConfigMap", "ClusterRole", "Namespace", "Lamp"]), None);
        let tenant = Allow { tenant: Some("lamp".to_owned()), ..kinds };
        let held = |version: &str, kind: &str, namespace: &str| Held::new(version, kind, namespace, "a");
        let rbac = "rbac.authorization.k8s.io/v1";
        for (fits, held) in [
            (true, held("v1", "ConfigMap", "lamp")),
            (false, held("v1", "ConfigMap", "other")),
            (false, held("v1", "Namespace", "")),
            (true, Held::new("v1", "Namespace", "", "lamp")),
            (false, held(rbac, "ClusterRole", "")),
            (false, held(rbac, "ClusterRole", "lamp")),
            (true, held("x.example/v1", "Lamp", "lamp")),
            (true, held("x.example/v1", "Lamp", "")),
            (false, held("x.example/v1", "Lamp", "other")),
            (false, held("x.example/v1", "Other", "lamp")),
        ] {
            assert_eq!(tenant.in_tenant(&held), fits, "{} {}", held.kind, held.namespace);
        }
    }

    #[test]
    fn an_object_that_names_no_namespace_lies_in_the_releases() {
        let object = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        let only = allow(None, Some(&["lamp"]));
        assert!(only.namespace(&Held::of(&object, "lamp")) && !only.namespace(&Held::of(&object, "kube-system")));
    }

    #[test]
    fn files_stay_below_the_folders_that_are_named() {
        let allow = allow(None, None);
        assert!(allow.path("/opt/lamp") && allow.path("/opt"));
        assert!(!allow.path("/optional") && !allow.path("/opt/../etc/passwd") && !allow.path("/etc/passwd"));
        assert!(Allow::default().path("/etc/passwd") && Allow::default().path("/devices"));
        let all = Allow { paths: Some(vec![PathBuf::from("/")]), ..Allow::default() };
        for never in ["/var/lib/consign/trust/site", "/var/lib//consign", "/etc/consign/site.toml", "/proc/1", "/dev/x"]
        {
            assert!(!Allow::default().path(never) && !all.path(never), "{never}");
        }
    }
}
