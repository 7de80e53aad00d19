//! The order in which objects are applied, as data: Flux's stages, sync waves inside a stage, kinds inside a wave.
//!
//! Knows nothing of clusters. Pruning uses the same order backwards.

use serde_json::Value;

use super::hooks::{self, Hook, Phase};
use crate::handoff::GroupKind;

/// What must stand before what. The order of the variants is the order of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// CustomResourceDefinitions, Namespaces, ClusterRoles: others need them to exist at all.
    Definitions,
    /// StorageClass, PriorityClass, IngressClass and their like: others name them.
    Classes,
    /// Everything else.
    Workloads,
    /// Admission webhooks, last: one whose service does not run yet would refuse all the rest.
    Webhooks,
}

impl Stage {
    /// The name in events.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Definitions => "definitions",
            Stage::Classes => "classes",
            Stage::Workloads => "workloads",
            Stage::Webhooks => "webhooks",
        }
    }

    /// The stage of a kind.
    pub fn of(kind: &GroupKind) -> Stage {
        match (kind.group.as_str(), kind.kind.as_str()) {
            ("apiextensions.k8s.io", "CustomResourceDefinition") | ("", "Namespace") => Stage::Definitions,
            ("rbac.authorization.k8s.io", "ClusterRole") => Stage::Definitions,
            ("admissionregistration.k8s.io", name) if name.ends_with("WebhookConfiguration") => Stage::Webhooks,
            (group, name) if name.ends_with("Class") && (group.ends_with(".k8s.io") || group.is_empty()) => {
                Stage::Classes
            }
            _ => Stage::Workloads,
        }
    }
}

/// Kinds inside [`Stage::Workloads`], first to last; what is not named here comes between the two lists.
/// Flux's order, with what pods mount and bind to before the pods.
const EARLY: [&str; 13] = [
    "ClusterRoleBinding",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
    "NetworkPolicy",
    "Deployment",
];
const LATE: [&str; 3] = ["PodDisruptionBudget", "Ingress", "APIService"];
const WORKLOADS: [&str; 6] = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Pod", "Job"];

/// Where an object comes in the order: stage, phase, sync wave, depth of its dependencies, rank of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The stage.
    pub stage: Stage,
    /// Before, with or after the rest: hooks.
    pub phase: Phase,
    /// `argocd.argoproj.io/sync-wave`, or the weight of a hook; 0 where absent.
    pub wave: i64,
    /// How many others of its wave must stand before it, one after the other.
    pub depth: usize,
    /// The rank of the kind.
    pub rank: usize,
}

impl Position {
    /// Finds an object's place. A wave that is no number counts as 0, as with Argo CD.
    pub fn of(kind: &GroupKind, object: &Value) -> Position {
        let annotations = &object["metadata"]["annotations"];
        let (stage, phase) = match (Stage::of(kind), hooks::read(annotations)) {
            // A definition or a webhook keeps its stage whatever a hook says: others need it, or must come before it.
            (Stage::Workloads, Hook::Runs(phase)) => (Stage::Workloads, phase),
            (stage, _) => (stage, Phase::With),
        };
        Position { stage, phase, wave: hooks::wave(annotations), depth: 0, rank: rank(kind) }
    }

    /// Tells whether two objects belong to the same batch.
    pub fn goes_with(&self, other: &Position) -> bool {
        self.is_in_wave_of(other) && self.depth == other.depth
    }

    /// Tells whether two objects belong to the same wave.
    pub fn is_in_wave_of(&self, other: &Position) -> bool {
        (self.stage, self.phase, self.wave) == (other.stage, other.phase, other.wave)
    }

    /// This place, or the first one behind that of what it needs, where that is further on. The stage stays.
    #[must_use]
    pub fn behind(self, needed: Position) -> Position {
        let here = (self.stage, self.phase, self.wave, self.depth);
        if here > (needed.stage, needed.phase, needed.wave, needed.depth) || needed.stage != self.stage {
            return self;
        }
        Position { phase: needed.phase, wave: needed.wave, depth: needed.depth + 1, ..self }
    }
}

fn rank(kind: &GroupKind) -> usize {
    let name = kind.kind.as_str();
    // A custom resource may be called Service too; it is no Kubernetes service.
    let custom = kind.group.contains('.') && !kind.group.ends_with(".k8s.io");
    let place = |list: &[&str]| list.iter().position(|one| *one == name).filter(|_| !custom);
    if let Some(early) = place(&EARLY) {
        return early;
    }
    if let Some(workload) = place(&WORKLOADS) {
        return EARLY.len() + workload;
    }
    if let Some(late) = place(&LATE) {
        return 200 + late;
    }
    // Custom resources after the workloads that may have to answer for them.
    if custom { 150 } else { 100 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn position(group: &str, kind: &str, wave: Option<&str>) -> Position {
        let annotations = wave.map(|wave| json!({"argocd.argoproj.io/sync-wave": wave}));
        Position::of(&GroupKind::new(group, kind), &json!({"metadata": {"annotations": annotations}}))
    }

    #[test]
    fn every_stage_comes_before_the_next() {
        let order = [
            position("apiextensions.k8s.io", "CustomResourceDefinition", None),
            position("storage.k8s.io", "StorageClass", None),
            position("", "ServiceAccount", None),
            position("", "ConfigMap", None),
            position("", "Service", None),
            position("apps", "Deployment", None),
            position("apps", "StatefulSet", None),
            position("batch", "Job", None),
            position("autoscaling", "HorizontalPodAutoscaler", None),
            position("example.dev", "Viewer", None),
            position("networking.k8s.io", "Ingress", None),
            position("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", None),
        ];
        for pair in order.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
    }

    #[test]
    fn waves_order_inside_a_stage_only() {
        let late_service = position("", "Service", Some("5"));
        assert!(position("apps", "Deployment", Some("-1")) < late_service);
        assert!(position("apps", "Deployment", None) < late_service);
        assert!(position("", "Namespace", Some("9")) < late_service);
        assert_eq!(position("", "Service", Some("first")).wave, 0);
    }

    #[test]
    fn hooks_come_before_or_after_the_rest_of_their_stage() {
        let hook = |said: &str| {
            let object = json!({"metadata": {"annotations": {"helm.sh/hook": said, "helm.sh/hook-weight": "9"}}});
            Position::of(&GroupKind::new("batch", "Job"), &object)
        };
        let first = position("", "ServiceAccount", Some("-100"));
        assert!(position("storage.k8s.io", "StorageClass", None) < hook("pre-install"));
        assert!(hook("pre-install") < first && first < hook("post-install"));
        assert!(hook("post-install") < position("admissionregistration.k8s.io", "MutatingWebhookConfiguration", None));
    }

    #[test]
    fn behind_what_is_needed_is_the_next_place_of_the_same_stage() {
        let (map, web) = (position("", "ConfigMap", None), position("apps", "Deployment", Some("5")));
        let behind = map.behind(web);
        assert!(behind > web && behind.is_in_wave_of(&web) && !behind.goes_with(&web), "{behind:?}");
        assert_eq!(behind.behind(map), behind, "it is behind already");
        let namespace = position("", "Namespace", Some("9"));
        assert_eq!(map.behind(namespace), map, "stages are in order by themselves");
    }

    #[test]
    fn a_custom_kind_with_a_known_name_is_still_custom() {
        assert!(position("serving.knative.dev", "Service", None) > position("apps", "Deployment", None));
        assert_eq!(Stage::of(&GroupKind::new("example.dev", "ViewerClass")), Stage::Workloads);
        assert_eq!(Stage::of(&GroupKind::new("gateway.networking.k8s.io", "GatewayClass")), Stage::Classes);
    }
}
