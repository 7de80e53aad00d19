//! Brings rendered objects into the form that is carried: scoped, without what only a server writes, each
//! once, in one order.
//!
//! It changes nothing that an author decides. What it removes is listed in [`SERVER_FIELDS`] and
//! `docs/rendering.md`.

use std::collections::BTreeMap;

use consign_format::error::{Code, Coded, codes};
use serde_json::{Map, Value, json};

use crate::object::{Object, ObjectRef, Origin};

/// Fields of `metadata` that the API server owns. They come from `kubectl get -o yaml`; carried along, a
/// `resourceVersion` makes every apply fail and `managedFields` is refused by server-side apply.
pub const SERVER_FIELDS: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// kubectl's copy of the whole object: it would carry a Secret's data past the check, and old images past the lock.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Kinds of Kubernetes itself that live outside namespaces, as (group, kind).
const CLUSTER_SCOPED: &[(&str, &str)] = &[
    ("", "ComponentStatus"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("authentication.k8s.io", "SelfSubjectReview"),
    ("authentication.k8s.io", "TokenReview"),
    ("authorization.k8s.io", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "SelfSubjectRulesReview"),
    ("authorization.k8s.io", "SubjectAccessReview"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("certificates.k8s.io", "ClusterTrustBundle"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("internal.apiserver.k8s.io", "StorageVersion"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("node.k8s.io", "RuntimeClass"),
    ("policy", "PodSecurityPolicy"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("resource.k8s.io", "DeviceClass"),
    ("resource.k8s.io", "DeviceTaintRule"),
    ("resource.k8s.io", "ResourceSlice"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
    ("storagemigration.k8s.io", "StorageVersionMigration"),
];

/// Namespaces that every cluster has.
const ALWAYS_THERE: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];

/// Why rendered objects are no desired state.
#[derive(Debug, thiserror::Error)]
pub enum NormaliseError {
    /// Two documents describe one object.
    #[error("{object} is described twice: in {first} and in {second}")]
    Duplicate {
        /// The object.
        object: ObjectRef,
        /// The one place.
        first: Box<Origin>,
        /// The other place.
        second: Box<Origin>,
    },
    /// A namespaced object says no namespace, nor does the release.
    #[error("{object} has no namespace ({origin})")]
    NoNamespace {
        /// The object.
        object: ObjectRef,
        /// Where.
        origin: Box<Origin>,
    },
}

impl Coded for NormaliseError {
    fn code(&self) -> Code {
        match self {
            NormaliseError::Duplicate { .. } => codes::OBJECT_DUPLICATE,
            NormaliseError::NoNamespace { .. } => codes::NAMESPACE_MISSING,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            NormaliseError::Duplicate { .. } => {
                "remove one of the two; if both come from one folder, render only the overlay, not its base".to_owned()
            }
            NormaliseError::NoNamespace { .. } => {
                "set `namespace:` in release.yaml; it is created, and set where an object has none".to_owned()
            }
        })
    }
}

/// Normalises all objects of a release.
///
/// A namespaced object without a namespace gets `namespace`, and a Namespace object of that name is added
/// where none is described. A cluster-scoped object loses its namespace, as it does on an API server. The
/// scope of a custom kind is read from its CRD if that is part of the release; an unknown kind is taken for
/// namespaced. The order is: namespaces and CRDs, other cluster-scoped objects, the rest, webhooks and
/// API services last; within that by kind, namespace, name and group.
///
/// # Errors
/// [`NormaliseError`], naming the object and where it came from.
pub fn normalise(mut objects: Vec<Object>, namespace: Option<&str>) -> Result<Vec<Object>, NormaliseError> {
    let scopes = custom_scopes(&objects);
    for object in &mut objects {
        strip(object);
        scope(object, namespace, &scopes)?;
    }
    let mut seen: BTreeMap<ObjectRef, usize> = BTreeMap::new();
    for (at, object) in objects.iter().enumerate() {
        if let Some(first) = seen.insert(object.reference(), at) {
            return Err(NormaliseError::Duplicate {
                object: object.reference(),
                first: Box::new(objects[first].origin.clone()),
                second: Box::new(object.origin.clone()),
            });
        }
    }
    objects.extend(missing_namespace(namespace, &seen));
    objects.sort_by_cached_key(|object| {
        let name = object.reference();
        (rank(object, &scopes), name.kind, name.namespace, name.name, name.group)
    });
    Ok(objects)
}

/// Scope of custom kinds, from the CRDs of the release: true for namespaced.
type Scopes = BTreeMap<(String, String), bool>;

fn custom_scopes(objects: &[Object]) -> Scopes {
    let definitions = objects.iter().filter(|o| is(o, "apiextensions.k8s.io", "CustomResourceDefinition"));
    definitions
        .filter_map(|object| {
            let spec = &object.value["spec"];
            let group = spec["group"].as_str()?.to_owned();
            let kind = spec["names"]["kind"].as_str()?.to_owned();
            Some(((group, kind), spec["scope"] != "Cluster"))
        })
        .collect()
}

fn is(object: &Object, group: &str, kind: &str) -> bool {
    object.kind() == kind && object.group() == group
}

fn namespaced(object: &Object, scopes: &Scopes) -> bool {
    let (group, kind) = (object.group(), object.kind());
    if CLUSTER_SCOPED.contains(&(group, kind)) {
        return false;
    }
    scopes.get(&(group.to_owned(), kind.to_owned())).copied().unwrap_or(true)
}

fn scope(object: &mut Object, namespace: Option<&str>, scopes: &Scopes) -> Result<(), NormaliseError> {
    let wanted = namespaced(object, scopes);
    let has = !object.namespace().is_empty();
    let refuse = |object: &Object| NormaliseError::NoNamespace {
        object: object.reference(),
        origin: Box::new(object.origin.clone()),
    };
    if wanted && !has {
        let Some(namespace) = namespace else { return Err(refuse(object)) };
        let namespace = Value::String(namespace.to_owned());
        if let Some(metadata) = object.metadata_mut() {
            metadata.insert("namespace".to_owned(), namespace);
        }
    } else if !wanted && let Some(metadata) = object.metadata_mut() {
        metadata.remove("namespace");
    }
    Ok(())
}

fn strip(object: &mut Object) {
    if let Some(top) = object.value.as_object_mut() {
        top.remove("status");
    }
    if let Some(metadata) = object.metadata_mut() {
        for field in SERVER_FIELDS {
            metadata.remove(*field);
        }
        let emptied = match metadata.get_mut("annotations") {
            Some(Value::Object(annotations)) => annotations.remove(LAST_APPLIED).is_some() && annotations.is_empty(),
            _ => false,
        };
        if emptied {
            metadata.remove("annotations");
        }
    }
    // `kubectl create --dry-run -o yaml` writes `creationTimestamp: null` into templates too.
    for pointer in ["/spec/template/metadata", "/spec/jobTemplate/metadata", "/spec/jobTemplate/spec/template/metadata"]
    {
        if let Some(Value::Object(metadata)) = object.value.pointer_mut(pointer) {
            remove_null(metadata, "creationTimestamp");
        }
    }
}

fn remove_null(map: &mut Map<String, Value>, field: &str) {
    if map.get(field).is_some_and(Value::is_null) {
        map.remove(field);
    }
}

fn missing_namespace(namespace: Option<&str>, seen: &BTreeMap<ObjectRef, usize>) -> Option<Object> {
    let name = namespace.filter(|name| !ALWAYS_THERE.contains(name))?;
    let reference = ObjectRef {
        group: String::new(),
        kind: "Namespace".to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
    };
    if seen.contains_key(&reference) {
        return None;
    }
    let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let origin = Origin { entry: "release.yaml: namespace".to_owned(), file: String::new(), document: 0 };
    Some(Object::new(value, origin))
}

fn rank(object: &Object, scopes: &Scopes) -> u8 {
    match (object.group(), object.kind()) {
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition") => 0,
        ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => 3,
        _ if !namespaced(object, scopes) => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tests::{object, origin};

    fn named(api: &str, kind: &str, namespace: Option<&str>, name: &str) -> Object {
        let mut value = json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}});
        if let Some(namespace) = namespace {
            value["metadata"]["namespace"] = namespace.into();
        }
        object(value)
    }

    fn names(objects: &[Object]) -> Vec<String> {
        objects.iter().map(|o| o.reference().to_string()).collect()
    }

    #[test]
    fn namespaces_are_set_where_they_belong() {
        let definition = |kind: &str, scope: &str| {
            object(json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{}s.x.io", kind.to_lowercase())},
                "spec": {"group": "x.io", "scope": scope, "names": {"kind": kind}}
            }))
        };
        let objects = vec![
            named("apps/v1", "Deployment", None, "web"),
            named("apps/v1", "Deployment", Some("other"), "web"),
            named("rbac.authorization.k8s.io/v1", "ClusterRole", Some("stray"), "reader"),
            named("x.io/v1", "Wide", None, "w"),
            named("x.io/v1", "Narrow", None, "n"),
            named("unknown.io/v1", "Thing", None, "t"),
            definition("Wide", "Cluster"),
            definition("Narrow", "Namespaced"),
        ];
        let normal = normalise(objects, Some("app")).unwrap();
        assert_eq!(
            names(&normal),
            [
                "CustomResourceDefinition narrows.x.io",
                "CustomResourceDefinition wides.x.io",
                "Namespace app",
                "ClusterRole reader",
                "Wide.x.io w",
                "Deployment app/web",
                "Deployment other/web",
                "Narrow.x.io app/n",
                "Thing.unknown.io app/t",
            ]
        );
    }

    #[test]
    fn the_namespace_is_created_once_and_only_where_it_may_be_missing() {
        let own = object(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app", "labels": {"a": "b"}}
        }));
        let normal = normalise(vec![own.clone()], Some("app")).unwrap();
        assert_eq!(normal, [own]);
        assert_eq!(normalise(Vec::new(), Some("kube-system")).unwrap(), []);
        assert_eq!(normalise(Vec::new(), None).unwrap(), []);
    }

    #[test]
    fn without_a_namespace_the_object_is_named() {
        let error = normalise(vec![named("v1", "Service", None, "web")], None).unwrap_err();
        assert_eq!(error.code(), codes::NAMESPACE_MISSING);
        assert!(error.to_string().starts_with("Service web has no namespace (deploy/x.yaml"), "{error}");
    }

    #[test]
    fn duplicates_name_both_places_whatever_the_version() {
        let mut second = named("apps/v1beta1", "Deployment", Some("app"), "web");
        second.origin = origin("deploy/y.yaml");
        let objects = vec![named("apps/v1", "Deployment", None, "web"), second];
        let error = normalise(objects, Some("app")).unwrap_err().to_string();
        assert!(
            error.contains("Deployment app/web") && error.contains("x.yaml") && error.contains("y.yaml"),
            "{error}"
        );

        let apart = vec![named("a.io/v1", "Thing", None, "t"), named("b.io/v1", "Thing", None, "t")];
        assert_eq!(normalise(apart, Some("app")).unwrap().len(), 3);
    }

    #[test]
    fn what_a_server_writes_is_removed_and_nothing_else() {
        let value = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "app", "uid": "1", "resourceVersion": "2", "generation": 3,
                "creationTimestamp": null, "managedFields": [], "selfLink": "/x",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
                "labels": {"a": "b"}, "finalizers": ["x/y"]
            },
            "spec": {"replicas": null, "template": {"metadata": {"creationTimestamp": null, "labels": {}}}},
            "status": {"replicas": 1}
        });
        let normal = normalise(vec![object(value)], Some("app")).unwrap();
        assert_eq!(
            normal[1].value,
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "app", "labels": {"a": "b"}, "finalizers": ["x/y"]},
                "spec": {"replicas": null, "template": {"metadata": {"labels": {}}}}
            })
        );
    }

    #[test]
    fn the_order_does_not_depend_on_the_input() {
        let objects = vec![
            named("v1", "Service", None, "b"),
            named("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", None, "hook"),
            named("v1", "Service", None, "a"),
            named("v1", "ConfigMap", None, "z"),
        ];
        let mut turned = objects.clone();
        turned.reverse();
        let normal = normalise(objects, Some("app")).unwrap();
        assert_eq!(normal, normalise(turned, Some("app")).unwrap());
        assert_eq!(
            names(&normal),
            [
                "Namespace app",
                "ConfigMap app/z",
                "Service app/a",
                "Service app/b",
                "ValidatingWebhookConfiguration hook",
            ]
        );
    }
}
