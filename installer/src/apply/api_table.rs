//! Which kinds the cluster serves, under which path, and whether they live in a namespace.
//!
//! Read anew after definitions have been applied; never guessed from a kind's name.

use std::collections::HashMap;

use kube::core::discovery::ApiResource;
use kube::core::discovery::v2::{APIGroupDiscovery, APIGroupDiscoveryList, APIResourceDiscovery};

use super::{ApplyError, Cluster};
use crate::handoff::GroupKind;

/// One kind at one version, as the cluster serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Group, version, kind and plural.
    pub resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether its objects can be listed and deleted; what cannot is no member of anything.
    pub prunable: bool,
}

/// Everything that the cluster serves.
#[derive(Debug, Clone, Default)]
pub struct ApiTable {
    exact: HashMap<(String, String), Served>,
    preferred: HashMap<GroupKind, Served>,
}

impl ApiTable {
    /// Asks the cluster; two requests. A group whose own server is down is simply not in the table.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn discover(cluster: &Cluster) -> Result<Self, ApplyError> {
        let client = cluster.client();
        let ask = async {
            Ok((client.list_core_api_versions_aggregated().await?, client.list_api_groups_aggregated().await?))
        };
        let (core, named) = cluster.within(ask).await.map_err(|error| cluster.failed(error))?;
        Ok(ApiTable::read([core, named]))
    }

    /// Reads aggregated discovery documents.
    pub fn read(documents: impl IntoIterator<Item = APIGroupDiscoveryList>) -> Self {
        let mut table = ApiTable::default();
        for group in documents.into_iter().flat_map(|document| document.items) {
            table.read_group(group);
        }
        table
    }

    fn read_group(&mut self, group: APIGroupDiscovery) {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        // Versions come in descending order of preference.
        for version in group.versions {
            let label = version.version.unwrap_or_default();
            for resource in version.resources {
                let Some(served) = read_resource(&name, &label, resource) else { continue };
                let kind = GroupKind::new(name.as_str(), served.resource.kind.as_str());
                self.exact
                    .entry((served.resource.api_version.clone(), served.resource.kind.clone()))
                    .or_insert_with(|| served.clone());
                self.preferred.entry(kind).or_insert(served);
            }
        }
    }

    /// Finds a kind at exactly this `apiVersion`.
    pub fn get(&self, api_version: &str, kind: &str) -> Option<&Served> {
        self.exact.get(&(api_version.to_owned(), kind.to_owned()))
    }

    /// Whether anything is served at exactly this `apiVersion`, or this kind of it.
    pub fn serves(&self, api_version: &str, kind: Option<&str>) -> bool {
        self.exact.keys().any(|(version, one)| version == api_version && kind.is_none_or(|kind| kind == one))
    }

    /// Finds a kind at the version that the cluster prefers.
    pub fn preferred(&self, kind: &GroupKind) -> Option<&Served> {
        self.preferred.get(kind)
    }
}

fn read_resource(group: &str, version: &str, found: APIResourceDiscovery) -> Option<Served> {
    let kind = found.response_kind?.kind?;
    let plural = found.resource?;
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let can = |verb: &str| found.verbs.iter().any(|one| one == verb);
    Some(Served {
        namespaced: found.scope.as_deref() == Some("Namespaced"),
        prunable: can("list") && can("delete"),
        resource: ApiResource { group: group.to_owned(), version: version.to_owned(), api_version, kind, plural },
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// A table as a small cluster would give it.
    pub(crate) fn table() -> ApiTable {
        let verbs = json!(["create", "delete", "get", "list", "patch"]);
        let resource = |plural: &str, kind: &str, scope: &str| json!({"resource": plural, "responseKind": {"group": "", "version": "", "kind": kind}, "scope": scope, "verbs": verbs});
        let core = json!({"items": [{"versions": [{"version": "v1", "resources": [
            resource("namespaces", "Namespace", "Cluster"), resource("configmaps", "ConfigMap", "Namespaced"),
            resource("secrets", "Secret", "Namespaced"), resource("services", "Service", "Namespaced"),
            {"resource": "bindings", "responseKind": {"kind": "Binding"}, "scope": "Namespaced", "verbs": ["create"]}
        ]}]}]});
        let named = json!({"items": [
            {"metadata": {"name": "apps"}, "versions": [
                {"version": "v1", "resources": [resource("deployments", "Deployment", "Namespaced")]},
                {"version": "v1beta1", "resources": [resource("deployments", "Deployment", "Namespaced")]}]},
            {"metadata": {"name": "apiextensions.k8s.io"}, "versions": [{"version": "v1", "resources": [resource("customresourcedefinitions", "CustomResourceDefinition", "Cluster")]}]},
            {"metadata": {"name": "broken.example"}, "versions": [{"version": "v1", "freshness": "Stale"}]}
        ]});
        ApiTable::read([serde_json::from_value(core).unwrap(), serde_json::from_value(named).unwrap()])
    }

    #[test]
    fn kinds_are_found_by_version_and_by_preference() {
        let table = table();
        assert_eq!(table.get("apps/v1beta1", "Deployment").unwrap().resource.version, "v1beta1");
        assert_eq!(table.preferred(&GroupKind::new("apps", "Deployment")).unwrap().resource.version, "v1");
        assert!(table.get("v1", "ConfigMap").unwrap().namespaced);
        assert!(!table.get("v1", "Namespace").unwrap().namespaced);
        assert!(!table.get("v1", "Binding").unwrap().prunable);
        assert_eq!(table.get("v2", "ConfigMap"), None);
        assert_eq!(table.get("broken.example/v1", "Thing"), None);
    }
}
