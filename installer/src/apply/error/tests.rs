//! Every error in the words that people meet.

use super::*;
use crate::handoff::GroupKind;

fn key(kind: &str, name: &str) -> ObjectKey {
    ObjectKey::new(GroupKind::from_dotted(kind), "radiology", name)
}

fn every_error() -> Vec<ApplyError> {
    let text = str::to_owned;
    let server = || text("https://127.0.0.1:6443/");
    let refusal = |reason: &str| vec![Refusal { key: key("Deployment.apps", "viewer"), reason: text(reason) }];
    let reason = text("0 of 2 pods ready; pod viewer-abc: container app: ImagePullBackOff: no such image");
    vec![
        ApplyError::NoCluster {
            looked: vec![text("--kubeconfig"), text("/etc/rancher/k3s/k3s.yaml (permission denied)")],
        },
        ApplyError::Kubeconfig { path: "/etc/site/kubeconfig".into(), source: "no current context".into() },
        ApplyError::Unreachable { server: server(), cause: text("connection refused") },
        ApplyError::NotAdmitted { server: server(), cause: text("Unauthorized") },
        ApplyError::TooOld { version: text("v1.24.3"), minimum: text("1.27") },
        ApplyError::RightsMissing {
            server: server(),
            rights: vec![text("create, patch deployments.apps in radiology"), text("get nodes")],
        },
        ApplyError::NodePlatform {
            objects: refusal("its images are for linux/amd64, and it may come to nodes of linux/arm64"),
        },
        ApplyError::ImageRewritten { objects: refusal("viewer:1@sha256:aa becomes mirror.site/viewer:1") },
        ApplyError::Downtime { objects: refusal("lacks a second replica, a readinessProbe of app") },
        ApplyError::NodePull {
            images: vec![NotPulled {
                node: text("rack-2"),
                image: text("registry.example/viewer:1"),
                reason: text("it does not reach the registry (ErrImagePull: connection refused)"),
            }],
        },
        ApplyError::PullNotAsked { reason: text("nodes may not be listed") },
        ApplyError::ObjectInvalid { object: text("number 7"), problem: text("kind is missing") },
        ApplyError::ApiMissing { missing: vec![text("example.dev/v1 Viewer (Viewer.example.dev radiology/a)")] },
        ApplyError::Refused {
            refusals: refusal("spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        },
        ApplyError::Conflicts {
            conflicts: vec![Conflict {
                key: key("Deployment.apps", "viewer"),
                field: text(".spec.replicas"),
                manager: text("kubectl-client-side-apply"),
            }],
        },
        ApplyError::Immutable { objects: refusal("spec.selector: Invalid value: field is immutable") },
        ApplyError::ForeignTracking {
            objects: vec![Tracked {
                key: key("ConfigMap", "settings"),
                by: text("Flux (it carries kustomize.toolkit.fluxcd.io/name)"),
                owner: Some(crate::handoff::Owner::Flux),
            }],
        },
        ApplyError::BeyondTenant {
            namespace: text("lamp"),
            objects: vec![ObjectKey::new(
                GroupKind::from_dotted("ClusterRole.rbac.authorization.k8s.io"),
                "",
                "viewer",
            )],
        },
        ApplyError::ApplySetForeign {
            parent: key("Secret", "consign-radiology"),
            problem: text("it belongs to the tool `kubectl/v1.36`"),
        },
        ApplyError::SecretMissing {
            missing: vec![text("Secret radiology/tls"), text("Secret radiology/db key password")],
        },
        ApplyError::Unhealthy {
            report: HealthReport {
                objects: 3,
                unhealthy: vec![crate::handoff::Unhealthy {
                    key: key("Deployment.apps", "viewer"),
                    reason,
                    failed: false,
                }],
            },
        },
        ApplyError::NotServed {
            key: key("CustomResourceDefinition.apiextensions.k8s.io", "viewers"),
            reason: text("NamesAccepted is False"),
        },
        ApplyError::Random(std::io::Error::other("no entropy")),
    ]
}

#[test]
fn every_error_says_what_why_and_what_next() {
    let told: Vec<_> = every_error()
        .into_iter()
        .map(|error| {
            let hint = error.hint().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
            let cause =
                std::error::Error::source(&error).map(|cause| format!("caused by: {cause}\n")).unwrap_or_default();
            format!("error[{}]: {error}\n{cause}{hint}exit {}\n", error.code(), error.code().exit.code())
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn long_lists_are_cut_and_counted() {
    let refusals = (0..25)
        .map(|n| Refusal { key: ObjectKey::new(GroupKind::new("", "Pod"), "n", format!("p{n}")), reason: "no".into() })
        .collect();
    let text = ApplyError::Refused { refusals }.to_string();
    assert!(text.starts_with("the API server refused Pod n/p0: no; Pod n/p1: no"), "{text}");
    assert!(text.ends_with("; and 5 more"), "{text}");
}
