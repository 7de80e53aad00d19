//! What differs between two releases: objects field by field, images, files. Values of Secrets are never shown.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::reference::Reference;
use consign_format::release::{File, ReleaseManifest};
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
    /// Fields of the release manifest that differ, by name, images and files among them.
    pub fields: BTreeSet<String>,
    /// Such fields that differ with every build.
    pub build_fields: BTreeSet<String>,
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

/// Fields of a release manifest that say how and when it came to be. `blobs` lists what the other fields name.
const BUILD_FIELDS: [&str; 6] = ["blobs", "issued", "sequence", "source", "tools", "version"];

/// What stands for a value of a Secret.
const MASKED: &str = "(secret)";

/// Compares two releases, the older one first.
pub fn compare(old: &Side, new: &Side) -> Difference {
    let (build_fields, fields) =
        fields(&old.release, &new.release).into_iter().partition(|field| BUILD_FIELDS.contains(&field.as_str()));
    let known: BTreeSet<_> = old.release.blobs.iter().map(|blob| blob.digest).collect();
    Difference {
        objects: objects(&old.objects, &new.objects),
        images: changes(&images(&old.release), &images(&new.release)),
        files: changes(&files(&old.release), &files(&new.release)),
        fields,
        build_fields,
        new_bytes: new.release.blobs.iter().filter(|b| !known.contains(&b.digest)).map(|b| b.size).sum(),
    }
}

impl Difference {
    /// Tells whether nothing differs but what differs with every build. It is no proof that the releases are the same:
    /// only their digests are.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.images.is_empty() && self.files.is_empty() && self.fields.is_empty()
    }
}

/// The fields of two manifests that differ, compared as JSON: one that is new to the format is not forgotten here.
fn fields(old: &ReleaseManifest, new: &ReleaseManifest) -> BTreeSet<String> {
    // A manifest is nothing but values of JSON.
    let json = |release| serde_json::to_value(release).unwrap_or_default();
    let (old, new) = (json(old), json(new));
    let names = [&old, &new].into_iter().filter_map(Value::as_object).flat_map(|fields| fields.keys());
    names.filter(|name| old.get(name.as_str()) != new.get(name.as_str())).cloned().collect()
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
    let owner = |file: &File| file.owner.as_ref().map(|owner| format!("{owner} ")).unwrap_or_default();
    let one = |file: &File| (file.to.clone(), format!("{} {}{}", file.mode, owner(file), file.digest));
    release.files.iter().map(one).collect()
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

    #[test]
    fn every_field_of_a_release_is_compared() {
        let release = json!({
            "schema": consign_format::release::SCHEMA, "product": "demo", "version": "1", "sequence": 1, "issued": 1,
            "source": {"ref": "main", "commit": "a", "tree": "b", "commitTime": 1, "signature": {"status": "absent"}},
            "kubernetes": {"version": "1.33"}, "state": format!("sha256:{}", "0".repeat(64)),
            "images": [{"reference": "a:1", "digest": format!("sha256:{}", "1".repeat(64))}],
            "files": [{"to": "/a", "mode": "0644", "digest": format!("sha256:{}", "2".repeat(64))}],
            "rollout": {"onFailure": "rollback", "healthTimeout": 60}, "blobs": []
        });
        let compared = |changed: &Value| {
            let side =
                |value: &Value| Side { release: serde_json::from_value(value.clone()).unwrap(), objects: Vec::new() };
            compare(&side(&release), &side(changed))
        };
        assert!(compared(&release).is_empty());
        let referrer =
            json!([{"digest": format!("sha256:{}", "3".repeat(64)), "subject": release["images"][0]["digest"]}]);
        for (pointer, key, to, field) in [
            ("", "state", json!(format!("sha256:{}", "4".repeat(64))), "state"),
            ("", "namespace", json!("kube-system"), "namespace"),
            ("/files/0", "installer", json!({"platform": "linux/amd64", "version": "9.9.9"}), "files"),
            ("", "secrets", json!([{"name": "a", "namespace": "b", "mode": "existing"}]), "secrets"),
            ("", "requires", json!([{"product": "other", "versions": ">=1"}]), "requires"),
            ("", "upgradeFrom", json!(">=0"), "upgradeFrom"),
            ("/rollout", "irreversible", json!(true), "rollout"),
            ("/images/0", "referrers", referrer, "images"),
        ] {
            let mut changed = release.clone();
            changed.pointer_mut(pointer).unwrap()[key] = to;
            let difference = compared(&changed);
            assert_eq!(difference.fields, BTreeSet::from([field.to_owned()]), "{key}");
            assert!(!difference.is_empty());
        }
        let mut later = release.clone();
        later["issued"] = json!(2);
        let difference = compared(&later);
        assert!(difference.is_empty());
        assert_eq!(difference.build_fields, BTreeSet::from(["issued".to_owned()]));
    }
}
