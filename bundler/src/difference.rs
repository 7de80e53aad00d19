//! What differs between two releases: objects field by field, images, files. Values of Secrets are never shown.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::reference::Reference;
use consign_format::release::ReleaseManifest;
use serde::Serialize;
use serde_json::Value;

/// One release, as far as it is compared.
#[derive(Debug, Clone)]
pub struct Side {
    /// The release manifest.
    pub release: ReleaseManifest,
    /// The objects of its state.
    pub objects: Vec<Value>,
}

/// Everything that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Objects that are new, gone or changed, by name.
    pub objects: BTreeMap<String, ObjectChange>,
    /// Images by host and repository: from and to.
    pub images: BTreeMap<String, Change>,
    /// Files by their place at the site: digest and mode.
    pub files: BTreeMap<String, Change>,
    /// Bytes of the new release that the old one does not have.
    pub new_bytes: u64,
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "change")]
pub enum ObjectChange {
    /// Only the new release has it.
    Added,
    /// Only the old release has it.
    Removed,
    /// Both have it, with other fields: by JSON Pointer.
    Changed {
        /// The fields.
        fields: BTreeMap<String, Change>,
    },
}

/// A value before and after; none where there was or is nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// In the old release.
    pub from: Option<String>,
    /// In the new release.
    pub to: Option<String>,
}

/// What stands for a value of a Secret.
const MASKED: &str = "(secret)";

/// Compares two releases, the older one first.
pub fn compare(old: &Side, new: &Side) -> Difference {
    let known: BTreeSet<_> = old.release.blobs.iter().map(|blob| blob.digest).collect();
    Difference {
        objects: objects(&old.objects, &new.objects),
        images: changes(&images(&old.release), &images(&new.release)),
        files: changes(&files(&old.release), &files(&new.release)),
        new_bytes: new.release.blobs.iter().filter(|b| !known.contains(&b.digest)).map(|b| b.size).sum(),
    }
}

impl Difference {
    /// Tells whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.images.is_empty() && self.files.is_empty()
    }
}

fn objects(old: &[Value], new: &[Value]) -> BTreeMap<String, ObjectChange> {
    let by_name = |objects: &[Value]| objects.iter().map(|o| (name(o), o.clone())).collect::<BTreeMap<_, _>>();
    let (old, new) = (by_name(old), by_name(new));
    let mut all = BTreeMap::new();
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let change = match (old.get(key), new.get(key)) {
            (None, _) => Some(ObjectChange::Added),
            (_, None) => Some(ObjectChange::Removed),
            (Some(was), Some(is)) => {
                let mut fields = BTreeMap::new();
                let secret = is["kind"] == "Secret";
                walk(was, is, &mut String::new(), secret, &mut fields);
                (!fields.is_empty()).then_some(ObjectChange::Changed { fields })
            }
        };
        all.extend(change.map(|change| (key.clone(), change)));
    }
    all
}

fn name(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    let kind = if group.is_empty() { text("/kind").to_owned() } else { format!("{}.{group}", text("/kind")) };
    match text("/metadata/namespace") {
        "" => format!("{kind} {}", text("/metadata/name")),
        namespace => format!("{kind} {namespace}/{}", text("/metadata/name")),
    }
}

/// Lists are compared item by item where their items have names (containers, ports, variables), else by position.
fn walk(old: &Value, new: &Value, pointer: &mut String, secret: bool, into: &mut BTreeMap<String, Change>) {
    if old == new {
        return;
    }
    let (old_parts, new_parts) = match (parts(old), parts(new)) {
        (Some(old), Some(new)) if old.is_list == new.is_list => (old.items, new.items),
        _ => {
            into.insert(pointer.clone(), change(Some(old), Some(new), pointer, secret));
            return;
        }
    };
    for key in old_parts.keys().chain(new_parts.keys()).collect::<BTreeSet<_>>() {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        match (old_parts.get(key), new_parts.get(key)) {
            (Some(old), Some(new)) => walk(old, new, pointer, secret, into),
            (old, new) => {
                into.insert(pointer.clone(), change(old.copied(), new.copied(), pointer, secret));
            }
        }
        pointer.truncate(length);
    }
}

struct Parts<'a> {
    is_list: bool,
    items: BTreeMap<String, &'a Value>,
}

fn parts(value: &Value) -> Option<Parts<'_>> {
    match value {
        Value::Object(map) => {
            Some(Parts { is_list: false, items: map.iter().map(|(key, item)| (key.clone(), item)).collect() })
        }
        Value::Array(items) => {
            let named: BTreeMap<String, &Value> = items
                .iter()
                .filter_map(|item| Some((format!("[name={}]", item.get("name")?.as_str()?), item)))
                .collect();
            let by_position = || items.iter().enumerate().map(|(at, item)| (format!("{at:04}"), item)).collect();
            let items = if named.len() == items.len() && !items.is_empty() { named } else { by_position() };
            Some(Parts { is_list: true, items })
        }
        _ => None,
    }
}

fn change(from: Option<&Value>, to: Option<&Value>, pointer: &str, secret: bool) -> Change {
    let masked = secret && (pointer.starts_with("/data") || pointer.starts_with("/stringData"));
    let shown = |value: &Value| match value {
        _ if masked => MASKED.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Change { from: from.map(shown), to: to.map(shown) }
}

fn images(release: &ReleaseManifest) -> BTreeMap<String, String> {
    let mut images: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for image in &release.images {
        let Ok(reference) = image.reference.parse::<Reference>() else { continue };
        let version = match &reference.tag {
            Some(tag) => format!("{tag}@{}", image.digest),
            None => image.digest.to_string(),
        };
        images.entry(reference.name()).or_default().insert(version);
    }
    images.into_iter().map(|(name, versions)| (name, versions.into_iter().collect::<Vec<_>>().join(", "))).collect()
}

fn files(release: &ReleaseManifest) -> BTreeMap<String, String> {
    release.files.iter().map(|file| (file.to.clone(), format!("{} {}", file.mode, file.digest))).collect()
}

fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> BTreeMap<String, Change> {
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    changed.map(|key| (key.clone(), Change { from: old.get(key).cloned(), to: new.get(key).cloned() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_differ_by_field_and_secrets_are_masked() {
        let object = |kind: &str, rest: Value| {
            let mut value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", "namespace": "n"}});
            value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            value
        };
        let pod = |image: &str| {
            object("Pod", json!({"spec": {"containers": [{"name": "z"}, {"name": "c", "image": image}]}}))
        };
        let secret = |text: &str| object("Secret", json!({"data": {"password": text}}));
        let old = [pod("a:1"), secret("b2xk"), object("ConfigMap", json!({}))];
        let new = [secret("bmV3"), pod("a:2"), object("Service", json!({}))];
        let changes = objects(&old, &new);
        assert_eq!(changes["Service n/a"], ObjectChange::Added);
        assert_eq!(changes["ConfigMap n/a"], ObjectChange::Removed);
        let fields = |name: &str| match &changes[name] {
            ObjectChange::Changed { fields } => fields.clone(),
            other => panic!("{other:?}"),
        };
        let change = |from: &str, to: &str| Change { from: Some(from.into()), to: Some(to.into()) };
        assert_eq!(
            fields("Pod n/a"),
            BTreeMap::from([("/spec/containers/[name=c]/image".into(), change("a:1", "a:2"))])
        );
        assert_eq!(fields("Secret n/a"), BTreeMap::from([("/data/password".into(), change(MASKED, MASKED))]));
    }
}
