//! The ApplySet specification (KEP-3659, as kubectl implements it): ids, labels, annotations. No I/O here.
//!
//! The KEP's text says `applyset.k8s.io`; kubectl and the documentation say `applyset.kubernetes.io`, and so do we.

use std::collections::BTreeSet;

use base64::Engine;
use consign_format::Digest;
use serde_json::{Value, json};

use super::members::Member;
use crate::handoff::{GroupKind, ObjectKey};

/// The label by which a member names its set.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// The label by which a parent names its set.
pub const ID: &str = "applyset.kubernetes.io/id";
/// The annotation that names the tool.
pub const TOOLING: &str = "applyset.kubernetes.io/tooling";
/// The annotation that lists the kinds of the members.
pub const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
/// The annotation that lists the members' namespaces, the parent's own left out.
pub const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
/// The namespace of all parents, but for tenants.
pub const PARENT_NAMESPACE: &str = "consign-system";

/// The kind of all parents.
pub const PARENT_KIND: &str = "Secret";

/// The parent Secret of a product, in the namespace that is the home of all parents.
pub fn parent_key(home: &str, product: &str) -> ObjectKey {
    ObjectKey::new(GroupKind::new("", PARENT_KIND), home, format!("consign-{product}"))
}

/// The id of a set: `applyset-<base64url(sha256("<name>.<namespace>.<kind>.<group>"))>-v1`.
pub fn id(parent: &ObjectKey) -> String {
    let text = format!("{}.{}.{}.{}", parent.name, parent.namespace, parent.kind.kind, parent.kind.group);
    let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Digest::of(text.as_bytes()).as_bytes());
    format!("applyset-{hash}-v1")
}

/// Which kinds and namespaces a set may have members in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// The kinds.
    pub kinds: BTreeSet<GroupKind>,
    /// The namespaces; the parent's own only where a member lives there.
    pub namespaces: BTreeSet<String>,
}

impl Scope {
    /// The scope of these members.
    pub fn of(members: &[Member]) -> Scope {
        let mut scope = Scope::default();
        for member in members {
            scope.kinds.insert(member.key.kind.clone());
            if !member.key.namespace.is_empty() {
                scope.namespaces.insert(member.key.namespace.clone());
            }
        }
        scope
    }

    /// Everything that is in either.
    pub fn union(&self, other: &Scope) -> Scope {
        Scope { kinds: &self.kinds | &other.kinds, namespaces: &self.namespaces | &other.namespaces }
    }

    fn annotations(&self, home: &str, tooling: &str) -> Value {
        let mut kinds: Vec<_> = self.kinds.iter().map(GroupKind::to_dotted).collect();
        kinds.sort();
        let namespaces: Vec<_> = self.namespaces.iter().filter(|one| *one != home).cloned().collect();
        json!({TOOLING: format!("consign/{tooling}"), GROUP_KINDS: kinds.join(","), NAMESPACES: namespaces.join(",")})
    }
}

/// The parent as it is applied.
pub fn parent(key: &ObjectKey, scope: &Scope, tooling: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": key.name, "namespace": key.namespace,
            "labels": {ID: id(key)}, "annotations": scope.annotations(&key.namespace, tooling),
        },
    })
}

/// Tells whether a live parent says what the wanted one says, so that it need not be written.
pub fn says_the_same(live: &Value, wanted: &Value) -> bool {
    [ID].iter().all(|label| live["metadata"]["labels"][label] == wanted["metadata"]["labels"][label])
        && [TOOLING, GROUP_KINDS, NAMESPACES]
            .iter()
            .all(|name| live["metadata"]["annotations"][name] == wanted["metadata"]["annotations"][name])
}

/// Reads the scope of a live parent.
///
/// # Errors
/// Why it is not ours, in words: other tooling (KEP: "must refuse"), an id that is not that of its name, no list of kinds.
pub fn read_parent(key: &ObjectKey, live: &Value) -> Result<Scope, String> {
    let metadata = &live["metadata"];
    let expected = id(key);
    match metadata["labels"][ID].as_str() {
        Some(found) if found == expected => {}
        Some(found) => return Err(format!("its id is {found}, and its name makes {expected}")),
        None => return Err(format!("it has no label {ID}: it was not made for an ApplySet")),
    }
    let tooling = metadata["annotations"][TOOLING].as_str().unwrap_or_default();
    if !tooling.starts_with("consign/") {
        return Err(format!("it belongs to the tool `{tooling}`"));
    }
    let Some(kinds) = metadata["annotations"][GROUP_KINDS].as_str() else {
        return Err(format!("it has no annotation {GROUP_KINDS}"));
    };
    let split = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let namespaces = split(metadata["annotations"][NAMESPACES].as_str().unwrap_or_default());
    Ok(Scope {
        kinds: split(kinds).iter().map(|text| GroupKind::from_dotted(text)).collect(),
        // The parent's own namespace is never written and always searched.
        namespaces: namespaces.into_iter().chain([key.namespace.clone()]).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// kubectl's own unit test.
    #[test]
    fn the_id_is_kubectls() {
        let parent = ObjectKey::new(GroupKind::new("", "Secret"), "test", "my-set");
        assert_eq!(id(&parent), "applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1");
    }

    fn scope() -> Scope {
        Scope {
            kinds: ["Deployment.apps", "ConfigMap"].map(GroupKind::from_dotted).into(),
            namespaces: ["b", "a", PARENT_NAMESPACE].map(str::to_owned).into(),
        }
    }

    #[test]
    fn a_parent_reads_back() {
        let key = parent_key(PARENT_NAMESPACE, "radiology");
        let written = parent(&key, &scope(), "0.1.0");
        let annotations = &written["metadata"]["annotations"];
        assert_eq!(annotations[TOOLING], "consign/0.1.0");
        assert_eq!(annotations[GROUP_KINDS], "ConfigMap,Deployment.apps");
        assert_eq!(annotations[NAMESPACES], "a,b");
        assert_eq!(read_parent(&key, &written).unwrap(), scope());
        assert!(says_the_same(&written, &parent(&key, &scope(), "0.1.0")));
        assert!(!says_the_same(&written, &parent(&key, &scope(), "0.2.0")));
        assert!(!says_the_same(&written, &parent(&key, &Scope::default(), "0.1.0")));
    }

    #[test]
    fn parents_of_others_are_refused() {
        let key = parent_key(PARENT_NAMESPACE, "radiology");
        let good = parent(&key, &scope(), "0.1.0");
        for (pointer, value, says) in [
            ("/metadata/annotations/applyset.kubernetes.io~1tooling", json!("kubectl/v1.30"), "kubectl/v1.30"),
            ("/metadata/labels/applyset.kubernetes.io~1id", json!("applyset-x-v1"), "its id is"),
            ("/metadata/labels", json!({}), "no label"),
            ("/metadata/annotations/applyset.kubernetes.io~1contains-group-kinds", Value::Null, "no annotation"),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert!(read_parent(&key, &bad).unwrap_err().contains(says), "{pointer}");
        }
    }
}
