//! The Role of a tenant: what applying needs in one namespace, and nothing else. For the cluster's administrator to read
//! and to grant; this program never grants itself anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::handoff::GroupKind;

/// The name of the Role and of its binding.
const NAME: &str = "consign-site";
const RBAC: &str = "rbac.authorization.k8s.io";
/// What is done with objects of a release: server-side apply is `patch`, and `create` where nothing is there yet.
const WRITTEN: [&str; 5] = ["create", "delete", "get", "list", "patch"];
/// What is done with the Secrets of this program's own: the ApplySet's parent, the copy of the site's state.
const OWN: [&str; 3] = ["create", "get", "patch"];

/// What pulling ahead does: pods are made, looked at and deleted, and accounts are asked for their pull Secrets.
const PULLING: [&str; 4] = ["create", "delete", "get", "list"];

/// Kinds of Kubernetes' own that lie in a namespace: group, kind, plural, and whether ordinary releases have them.
const KINDS: [(&str, &str, &str, bool); 21] = [
    ("", "ConfigMap", "configmaps", true),
    ("", "Endpoints", "endpoints", false),
    ("", "LimitRange", "limitranges", false),
    ("", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("", "Pod", "pods", true),
    ("", "ResourceQuota", "resourcequotas", false),
    ("", "Secret", "secrets", true),
    ("", "Service", "services", true),
    ("", "ServiceAccount", "serviceaccounts", true),
    ("apps", "DaemonSet", "daemonsets", true),
    ("apps", "Deployment", "deployments", true),
    ("apps", "StatefulSet", "statefulsets", true),
    ("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    ("batch", "CronJob", "cronjobs", true),
    ("batch", "Job", "jobs", true),
    ("coordination.k8s.io", "Lease", "leases", false),
    ("discovery.k8s.io", "EndpointSlice", "endpointslices", false),
    ("networking.k8s.io", "Ingress", "ingresses", true),
    ("networking.k8s.io", "NetworkPolicy", "networkpolicies", true),
    ("policy", "PodDisruptionBudget", "poddisruptionbudgets", true),
    (RBAC, "Role", "roles", false),
];
/// Beside the table, so that it stays one line a kind.
const BINDING: (&str, &str, &str, bool) = (RBAC, "RoleBinding", "rolebindings", false);

/// Who is given the Role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A service account of the namespace; it is made, if it is not there.
    ServiceAccount(String),
    /// A user, as the cluster's authentication names them.
    User(String),
}

/// What is to be granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Where.
    pub namespace: String,
    /// To whom.
    pub subject: Subject,
    /// Group and plural of the kinds that releases hold.
    pub written: BTreeSet<(String, String)>,
    /// The Lease of the interlock, where it lies in this namespace.
    pub lease: Option<String>,
    /// Whether nodes pull before a release is applied: then pods are made, and nodes, which lie in no namespace, listed.
    pub pre_pull: bool,
}

/// The kinds of ordinary releases.
pub fn ordinary() -> BTreeSet<GroupKind> {
    KINDS.iter().filter(|(.., ordinary)| *ordinary).map(|(group, kind, ..)| GroupKind::new(*group, *kind)).collect()
}

/// The plural of a kind of Kubernetes' own. Of any other, only the cluster can say it; it is never guessed.
pub fn plural(kind: &GroupKind) -> Option<&'static str> {
    let is_it = |one: &&(&str, &str, &'static str, bool)| one.0 == kind.group && one.1 == kind.kind;
    KINDS.iter().chain([&BINDING]).find(is_it).map(|found| found.2)
}

impl Grant {
    /// The Role, its binding and the service account, as one `List` that kubectl takes.
    pub fn document(&self) -> Value {
        let metadata = json!({"name": NAME, "namespace": self.namespace});
        let mut items = Vec::new();
        let subject = match &self.subject {
            Subject::ServiceAccount(name) => {
                let account = json!({"name": name, "namespace": self.namespace});
                items.push(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}));
                json!({"kind": "ServiceAccount", "name": name, "namespace": self.namespace})
            }
            Subject::User(name) => json!({"kind": "User", "name": name, "apiGroup": RBAC}),
        };
        let version = format!("{RBAC}/v1");
        items.push(json!({"apiVersion": version, "kind": "Role", "metadata": metadata, "rules": self.rules()}));
        let role = json!({"kind": "Role", "name": NAME, "apiGroup": RBAC});
        items.push(json!({"apiVersion": version, "kind": "RoleBinding", "metadata": metadata, "roleRef": role,
            "subjects": [&subject]}));
        if self.pre_pull {
            items.extend(self.nodes(&version, &subject));
        }
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }

    /// The one right that reaches out of the namespace: to see which nodes there are.
    fn nodes(&self, version: &str, subject: &Value) -> [Value; 2] {
        let name = format!("{NAME}-{}-nodes", self.namespace);
        let rules = json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]);
        let role = json!({"kind": "ClusterRole", "name": name, "apiGroup": RBAC});
        [
            json!({"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}),
            json!({"apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": name}, "roleRef": role,
                "subjects": [subject]}),
        ]
    }

    fn rules(&self) -> Vec<Value> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (group, plural) in &self.written {
            groups.entry(group).or_default().push(plural);
        }
        let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        let mut rules: Vec<Value> = groups.iter().map(|(group, resources)| rule(group, resources, &WRITTEN)).collect();
        let has = |plural: &str| self.written.contains(&(String::new(), plural.to_owned()));
        if !has("secrets") {
            rules.push(rule("", &["secrets"], &OWN));
        }
        if self.pre_pull && !has("pods") {
            rules.push(rule("", &["pods"], &PULLING));
        }
        if self.pre_pull && !has("serviceaccounts") {
            rules.push(rule("", &["serviceaccounts"], &["get"]));
        }
        // Why something is not healthy is asked of pods and events.
        let asked: Vec<&str> = if has("pods") { vec!["events"] } else { vec!["events", "pods"] };
        rules.push(rule("", &asked, &["list"]));
        if let Some(lease) = &self.lease {
            rules.push(json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                "resourceNames": [lease], "verbs": ["get"]}));
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(kinds: &[(&str, &str)]) -> Grant {
        let written = kinds.iter().map(|(group, plural)| ((*group).to_owned(), (*plural).to_owned())).collect();
        let subject = Subject::User("ada".to_owned());
        Grant { namespace: "lamp".to_owned(), subject, written, lease: Some("scanner".to_owned()), pre_pull: false }
    }

    #[test]
    fn what_is_granted_is_one_role_in_one_namespace() {
        let document = grant(&[("", "configmaps"), ("apps", "deployments")]).document();
        let items = document["items"].as_array().unwrap();
        assert!(items.iter().all(|item| item["metadata"]["namespace"] == "lamp"), "{document:#}");
        assert_eq!(items[0]["kind"], "Role");
        assert_eq!(
            items[0]["rules"],
            json!([
                {"apiGroups": [""], "resources": ["configmaps"], "verbs": WRITTEN},
                {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": WRITTEN},
                {"apiGroups": [""], "resources": ["secrets"], "verbs": OWN},
                {"apiGroups": [""], "resources": ["events", "pods"], "verbs": ["list"]},
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["scanner"], "verbs": ["get"]},
            ])
        );
        assert_eq!(items[1]["subjects"], json!([{"kind": "User", "name": "ada", "apiGroup": RBAC}]));
    }

    #[test]
    fn pulling_ahead_takes_pods_and_the_sight_of_nodes() {
        let with = |kinds: &[(&str, &str)]| Grant { pre_pull: true, ..grant(kinds) }.document();
        let document = with(&[("", "configmaps")]);
        let rules = document["items"][0]["rules"].as_array().unwrap();
        assert!(rules.contains(&json!({"apiGroups": [""], "resources": ["pods"], "verbs": PULLING})), "{rules:?}");
        assert!(rules.contains(&json!({"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]})));
        let nodes = &document["items"][2];
        assert_eq!(
            (&nodes["kind"], &nodes["metadata"]["name"]),
            (&json!("ClusterRole"), &json!("consign-site-lamp-nodes"))
        );
        assert_eq!(nodes["rules"], json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]));
        assert_eq!(document["items"][3]["roleRef"]["name"], "consign-site-lamp-nodes");
        assert_eq!(document["items"][3]["subjects"], document["items"][1]["subjects"]);
        let pods = with(&[("", "pods"), ("", "serviceaccounts")]);
        assert_eq!(pods["items"][0]["rules"].as_array().unwrap().len(), 4, "{pods:#}");
    }

    #[test]
    fn what_gives_rights_is_no_ordinary_kind() {
        let ordinary = ordinary();
        assert!(ordinary.contains(&GroupKind::new("apps", "Deployment")));
        assert!(!ordinary.iter().any(|kind| kind.group == RBAC));
        assert_eq!(plural(&GroupKind::new(RBAC, "RoleBinding")), Some("rolebindings"));
        assert_eq!(plural(&GroupKind::new("example.dev", "Deployment")), None);
    }
}
