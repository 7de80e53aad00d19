//! What the cluster says: nodes, and in the namespaces of the releases here pods, events, workloads; then logs.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::archive::Archive;
use super::scrub::Scrubber;
use super::{Asked, clean, logs};
use crate::apply::Cluster;
use crate::apply::applyset::PARENT_NAMESPACE;
use crate::config::HandoffKind;
use crate::doctor::PATIENCE;
use crate::doctor::cluster::{ask, items};
use crate::held_objects::held_objects;

/// What is taken of each namespace, and where the API has it.
const KINDS: [(&str, &str); 11] = [
    ("pods", "api/v1"),
    ("events", "api/v1"),
    ("services", "api/v1"),
    ("persistentvolumeclaims", "api/v1"),
    ("deployments", "apis/apps/v1"),
    ("replicasets", "apis/apps/v1"),
    ("statefulsets", "apis/apps/v1"),
    ("daemonsets", "apis/apps/v1"),
    ("jobs", "apis/batch/v1"),
    ("cronjobs", "apis/batch/v1"),
    ("ingresses", "apis/networking.k8s.io/v1"),
];

/// The cluster, or why it is not asked.
pub(super) async fn connect(asked: &Asked<'_>) -> Result<Cluster, String> {
    // A configuration that cannot be read says nothing against the cluster.
    if asked.config.is_some_and(|config| config.handoff == HandoffKind::Export) && asked.lookup.flag.is_none() {
        return Err("the handoff is export, and no --kubeconfig was given".to_owned());
    }
    match tokio::time::timeout(PATIENCE, Cluster::connect(asked.lookup)).await {
        Ok(Ok(cluster)) => Ok(cluster),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the cluster did not answer in {} seconds", PATIENCE.as_secs())),
    }
}

/// Where the releases here have objects, and where Consign keeps its own.
pub(super) fn namespaces<W: Write>(asked: &Asked<'_>, archive: &mut Archive<W>) -> Vec<String> {
    let mut namespaces = match held_objects(asked.store) {
        Ok(held) => held.namespaces,
        Err(error) => {
            archive.missing("cluster/NAMESPACE/", format!("which namespaces are ours is not known: {error}"));
            Default::default()
        }
    };
    namespaces.insert(asked.lookup.tenant.clone().unwrap_or_else(|| PARENT_NAMESPACE.to_owned()));
    namespaces.into_iter().collect()
}

pub(super) async fn add<W: Write>(
    cluster: &Cluster,
    namespaces: &[String],
    scrubber: &Scrubber,
    archive: &mut Archive<W>,
) -> io::Result<()> {
    archive.add_json("cluster/version.json", "of the API server", &json!({"gitVersion": cluster.version()}))?;
    list(cluster, ("cluster/nodes.json", "/api/v1/nodes?limit=500"), scrubber, archive).await?;
    let mut pods = Vec::new();
    for namespace in namespaces {
        for (kind, api) in KINDS {
            let at = (
                format!("cluster/{namespace}/{}.json", short(kind)),
                format!("/{api}/namespaces/{namespace}/{kind}?limit=500"),
            );
            let found = list(cluster, (&at.0, &at.1), scrubber, archive).await?;
            if kind == "pods" {
                pods.extend(found);
            }
        }
        configmaps(cluster, namespace, archive).await?;
    }
    logs::add(cluster, pods, scrubber, archive).await
}

/// A name in the archive has at most 100 bytes, and a namespace 63 of them.
fn short(kind: &str) -> &str {
    if kind == "persistentvolumeclaims" { "claims" } else { kind }
}

/// One list, cleaned, into the archive; and as it was.
async fn list<W: Write>(
    cluster: &Cluster,
    (name, path): (&str, &str),
    scrubber: &Scrubber,
    archive: &mut Archive<W>,
) -> io::Result<Vec<Value>> {
    match ask(cluster, path).await {
        Ok(mut list) => {
            let found = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
            let cleaned: Vec<Value> = found.iter().map(|object| clean::object(object, scrubber)).collect();
            let more = list["metadata"]["continue"].as_str().is_some_and(|more| !more.is_empty());
            archive.add_json(name, if more { "the first 500" } else { "all" }, &cleaned)?;
            Ok(found)
        }
        Err(why) => {
            archive.missing(name, scrubber.text(&why));
            Ok(Vec::new())
        }
    }
}

/// Anything may be in a ConfigMap.
async fn configmaps<W: Write>(cluster: &Cluster, namespace: &str, archive: &mut Archive<W>) -> io::Result<()> {
    let name = format!("cluster/{namespace}/configmaps.json");
    match ask(cluster, &format!("/api/v1/namespaces/{namespace}/configmaps?limit=500")).await {
        Ok(list) => {
            let keys: Vec<Value> = items(&list).iter().map(clean::keys_only).collect();
            archive.add_json(&name, "names and keys of ConfigMaps", &keys)
        }
        Err(why) => {
            archive.missing(name, why);
            Ok(())
        }
    }
}
