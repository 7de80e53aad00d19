//! From the release's objects to members of its ApplySet: keyed, scoped, labelled, in the order of work. No I/O.
//!
//! Refuses what nobody could apply. Repairs nothing but the two things that `release.yaml` promises:
//! the release's namespace where an object names none, and none where the kind has none.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::api_table::{ApiTable, Served};
use super::applyset::PART_OF;
use super::hooks::{self, Hook};
use super::stage::Position;
use super::{ApplyError, depends, secrets};
use crate::handoff::{Desired, GroupKind, ObjectKey};

/// One object of the release, ready to be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its identity; the namespace is filled in, or empty where the kind has none.
    pub key: ObjectKey,
    /// The version it is written in, as `apiVersion` says it.
    pub api_version: String,
    /// Where it comes in the order.
    pub position: Position,
    /// The object, with the ApplySet label.
    pub object: Value,
    /// Whether it is a hook of Helm or Argo CD.
    pub is_hook: bool,
}

/// The members of a release in the order of work, and what was left out.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// Ordered by stage, wave, kind, namespace and name.
    pub list: Vec<Member>,
    /// Those that others depend on: they must be healthy before those.
    pub awaited: BTreeSet<ObjectKey>,
    /// Objects that are no members, and why: hooks that `direct` never runs.
    pub skipped: Vec<(ObjectKey, String)>,
}

/// Reads the members of a release. `set_id` is the id of the ApplySet they will belong to.
///
/// # Errors
/// [`ApplyError::ObjectInvalid`] for the first object that nobody could apply, [`ApplyError::ApiMissing`]
/// with every kind that neither the cluster serves nor the release defines.
pub fn read(desired: &Desired, api: &ApiTable, set_id: &str) -> Result<Members, ApplyError> {
    let defined = definitions(desired.objects.iter());
    let mut members = Members::default();
    let mut seen = BTreeSet::new();
    let mut missing = BTreeMap::new();
    for (index, object) in desired.objects.iter().enumerate() {
        let (mut key, api_version) = read_key(index, object)?;
        let hook = hooks::read(&object["metadata"]["annotations"]);
        let served = api.get(&api_version, &key.kind.kind).map(|served: &Served| served.namespaced);
        let namespaced = served.or_else(|| defined.get(&(api_version.clone(), key.kind.kind.clone())).copied());
        if let Some(namespaced) = namespaced {
            key.namespace = namespace(&key, namespaced, desired)?;
        }
        if let Hook::LeftOut(phase) = hook {
            members.skipped.push((key, format!("hook {phase} is not part of an installation")));
            continue;
        }
        if namespaced.is_none() {
            missing.entry((api_version, key.kind.kind.clone())).or_insert(key);
            continue;
        }
        if !seen.insert(key.clone()) {
            return Err(invalid(&key, "it is in the release twice"));
        }
        let position = Position::of(&key.kind, object);
        let object = labelled(object, &key, set_id);
        members.list.push(Member { object, key, api_version, position, is_hook: hook != Hook::None });
    }
    if !missing.is_empty() {
        let missing = missing.into_iter().map(|((version, kind), key)| format!("{version} {kind} ({key})")).collect();
        return Err(ApplyError::ApiMissing { missing });
    }
    let skipped = members.skipped.iter().map(|(key, _)| key);
    let standing = secrets_and_namespace(desired);
    let standing = standing.iter().chain(skipped).map(depends::id).collect();
    members.awaited = depends::arrange(&mut members.list, &standing)?;
    members.list.sort_by(|a, b| (a.position, &a.key).cmp(&(b.position, &b.key)));
    Ok(members)
}

impl Members {
    /// The members in batches of one stage, phase and wave each, in the order of work.
    pub fn batches(&self) -> impl Iterator<Item = &[Member]> {
        self.list.chunk_by(|a, b| a.position.goes_with(&b.position))
    }

    /// The namespaces that the release itself brings.
    pub fn namespaces(&self) -> BTreeSet<&str> {
        self.list.iter().filter(|one| one.key.kind.is("", "Namespace")).map(|one| one.key.name.as_str()).collect()
    }
}

/// What stands before all members: Secrets that the site makes, and the namespace that it makes where nobody brings it.
fn secrets_and_namespace(desired: &Desired) -> Vec<ObjectKey> {
    let namespace = desired.namespace.iter().map(|name| ObjectKey::new(GroupKind::new("", "Namespace"), "", name));
    desired.secrets.iter().map(secrets::key).chain(namespace).collect()
}

/// What is said of an object that nobody could apply.
pub(super) fn invalid(object: impl ToString, problem: impl Into<String>) -> ApplyError {
    ApplyError::ObjectInvalid { object: object.to_string(), problem: problem.into() }
}

fn read_key(index: usize, object: &Value) -> Result<(ObjectKey, String), ApplyError> {
    let Some(key) = ObjectKey::of(object) else {
        return Err(invalid(format!("number {}", index + 1), "apiVersion, kind or metadata.name is missing"));
    };
    if !is_path_segment(&key.name) || !(key.namespace.is_empty() || is_path_segment(&key.namespace)) {
        return Err(invalid(&key, "its name or namespace cannot be part of an address"));
    }
    if object.get("items").is_some_and(Value::is_array) && key.kind.kind.ends_with("List") {
        return Err(invalid(&key, "it is a list; a release holds single objects"));
    }
    // KEP-3659: input that already carries the label is an error, since it would change sets unseen.
    if object["metadata"]["labels"].get(PART_OF).is_some() {
        return Err(invalid(&key, format!("it carries the label {PART_OF}, which only an applying tool may set")));
    }
    let api_version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
    Ok((key, api_version))
}

/// Kubernetes' own rule for names in paths, and nothing that a URL reads as something else.
fn is_path_segment(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text != "."
        && text != ".."
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/%?#\\\"<>{}|^`".contains(&byte))
}

fn namespace(key: &ObjectKey, namespaced: bool, desired: &Desired) -> Result<String, ApplyError> {
    if !namespaced {
        return Ok(String::new());
    }
    if !key.namespace.is_empty() {
        return Ok(key.namespace.clone());
    }
    desired.namespace.clone().ok_or_else(|| invalid(key, "it has no namespace and the release sets none"))
}

fn labelled(object: &Value, key: &ObjectKey, set_id: &str) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        if key.namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            metadata.insert("namespace".to_owned(), json!(key.namespace));
        }
        // `labels: null` is what an empty template line renders to.
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if labels.is_null() {
            *labels = json!({});
        }
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(PART_OF.to_owned(), json!(set_id));
        }
    }
    object
}

/// The kinds that the release's own CustomResourceDefinitions will serve, and whether they live in namespaces.
pub fn definitions<'a>(objects: impl Iterator<Item = &'a Value>) -> BTreeMap<(String, String), bool> {
    let mut kinds = BTreeMap::new();
    let is_definition = |object: &&Value| {
        ObjectKey::of(object).is_some_and(|key| key.kind.is("apiextensions.k8s.io", "CustomResourceDefinition"))
    };
    for spec in objects.filter(is_definition).map(|object| &object["spec"]) {
        let (Some(group), Some(kind)) = (spec["group"].as_str(), spec["names"]["kind"].as_str()) else { continue };
        for version in spec["versions"].as_array().into_iter().flatten() {
            if let (Some(name), Some(true)) = (version["name"].as_str(), version["served"].as_bool()) {
                kinds.insert((format!("{group}/{name}"), kind.to_owned()), spec["scope"] == "Namespaced");
            }
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::super::api_table::tests::table;
    use super::*;
    use consign_format::error::{Coded, codes};

    fn desired(objects: Vec<Value>) -> Desired {
        Desired {
            product: "radiology".into(),
            version: "1".into(),
            tooling: "0.1.0".into(),
            namespace: Some("radiology".into()),
            objects,
            secrets: Vec::new(),
            sealed: None,
            needs: Default::default(),
        }
    }

    fn object(api_version: &str, kind: &str, metadata: Value) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata})
    }

    #[test]
    fn members_are_scoped_labelled_and_ordered() {
        let release = desired(vec![
            object("apps/v1", "Deployment", json!({"name": "viewer", "labels": null})),
            object("v1", "ConfigMap", json!({"name": "b", "namespace": "other", "labels": {"x": "y"}})),
            object("v1", "Namespace", json!({"name": "other", "namespace": "wrong"})),
        ]);
        let members = read(&release, &table(), "id").unwrap();
        let keys: Vec<_> = members.list.iter().map(|one| one.key.to_string()).collect();
        assert_eq!(keys, ["Namespace other", "ConfigMap other/b", "Deployment radiology/viewer"]);
        assert_eq!(members.list[1].object["metadata"]["labels"], json!({"x": "y", PART_OF: "id"}));
        assert_eq!(members.list[2].object["metadata"]["labels"], json!({PART_OF: "id"}));
        assert_eq!(members.list[2].object["metadata"]["namespace"], "radiology");
        assert_eq!(members.list[0].object["metadata"].get("namespace"), None);
        assert_eq!(members.namespaces().into_iter().collect::<Vec<_>>(), ["other"]);
    }

    #[test]
    fn what_nobody_could_apply_is_refused() {
        let map = |metadata: Value| object("v1", "ConfigMap", metadata);
        for (objects, says) in [
            (vec![json!({"kind": "ConfigMap"})], "number 1"),
            (vec![map(json!({"name": "a"})), map(json!({"name": "a", "namespace": "radiology"}))], "twice"),
            (vec![map(json!({"name": "a", "labels": {PART_OF: "x"}}))], "label"),
            (vec![map(json!({"name": "../secrets/a"}))], "address"),
            (vec![map(json!({"name": "a?x=y"}))], "address"),
            (vec![map(json!({"name": "a", "namespace": ".."}))], "address"),
        ] {
            let error = read(&desired(objects), &table(), "id").unwrap_err();
            assert_eq!(error.code(), codes::OBJECT_INVALID);
            assert!(error.to_string().contains(says), "{error}");
        }
        let mut homeless = desired(vec![map(json!({"name": "a"}))]);
        homeless.namespace = None;
        assert!(read(&homeless, &table(), "id").unwrap_err().to_string().contains("no namespace"));
    }

    #[test]
    fn kinds_come_from_the_cluster_or_from_the_release() {
        let resource = object("example.dev/v1", "Viewer", json!({"name": "a"}));
        let error = read(&desired(vec![resource.clone()]), &table(), "id").unwrap_err();
        assert_eq!(error.code(), codes::API_MISSING);
        assert_eq!(error.to_string(), "the cluster does not know example.dev/v1 Viewer (Viewer.example.dev a)");

        let mut definition =
            object("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({"name": "viewers.example.dev"}));
        definition["spec"] = json!({"group": "example.dev", "scope": "Namespaced", "names": {"kind": "Viewer"},
            "versions": [{"name": "v1", "served": true}, {"name": "v2", "served": false}]});
        let members = read(&desired(vec![resource, definition.clone()]), &table(), "id").unwrap();
        assert_eq!(members.list[1].key.to_string(), "Viewer.example.dev radiology/a");

        let unserved = object("example.dev/v2", "Viewer", json!({"name": "a"}));
        assert_eq!(read(&desired(vec![unserved, definition]), &table(), "id").unwrap_err().code(), codes::API_MISSING);
    }

    #[test]
    fn batches_are_stage_and_wave() {
        let wave = |name: &str, wave: &str| {
            object("v1", "ConfigMap", json!({"name": name, "annotations": {"argocd.argoproj.io/sync-wave": wave}}))
        };
        let release = desired(vec![
            wave("b", "1"),
            wave("a", "-1"),
            wave("c", "1"),
            object("v1", "Namespace", json!({"name": "n"})),
        ]);
        let members = read(&release, &table(), "id").unwrap();
        assert_eq!(members.batches().map(<[Member]>::len).collect::<Vec<_>>(), [1, 1, 2]);
    }

    #[test]
    fn hooks_that_no_installation_reaches_are_left_out() {
        let hook = |phase: &str| {
            object("v1", "ConfigMap", json!({"name": "a", "annotations": {"argocd.argoproj.io/hook": phase}}))
        };
        for (phase, members) in [("PreSync", 1), ("Sync,PostSync", 1), ("Skip", 0), ("SyncFail", 0), ("PostDelete", 0)]
        {
            let read = read(&desired(vec![hook(phase)]), &table(), "id").unwrap();
            assert_eq!((read.list.len(), read.skipped.len()), (members, 1 - members), "{phase}");
        }
    }
}
