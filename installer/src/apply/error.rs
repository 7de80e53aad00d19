//! What can go wrong between the desired state and the cluster. Fields, not prose; never Secret data.

use std::path::PathBuf;

use consign_format::error::{Code, Coded, codes};
use thiserror::Error;

use crate::handoff::{HealthReport, ObjectKey};

/// One object that the API server would not take, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The object.
    pub key: ObjectKey,
    /// The server's reason, shortened, without values of Secrets.
    pub reason: String,
}

/// One field that another field manager holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The object.
    pub key: ObjectKey,
    /// The field, as the server names it, such as `.spec.replicas`.
    pub field: String,
    /// Who holds it, such as `kubectl-client-side-apply`.
    pub manager: String,
}

/// One object that another tool tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// The object.
    pub key: ObjectKey,
    /// Who tracks it, such as `Argo CD (annotation argocd.argoproj.io/tracking-id)`.
    pub by: String,
}

/// Why the handoff `direct` stopped.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// No kubeconfig was found anywhere.
    #[error("no cluster: found no kubeconfig in {}", .looked.join(", "))]
    NoCluster {
        /// Every place that was looked at, in order, with what was wrong with it.
        looked: Vec<String>,
    },
    /// A kubeconfig is there and cannot be used.
    #[error("cannot use the kubeconfig {}", .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server does not answer.
    #[error("the API server {server} does not answer: {cause}")]
    Unreachable {
        /// Its address.
        server: String,
        /// What happened on the way.
        cause: String,
    },
    /// The API server does not let us in.
    #[error("the API server {server} does not let us in: {cause}")]
    NotAdmitted {
        /// Its address.
        server: String,
        /// What it said.
        cause: String,
    },
    /// The cluster is older than what server-side apply and discovery need.
    #[error("the cluster runs Kubernetes {version}, older than {minimum}")]
    TooOld {
        /// What it runs.
        version: String,
        /// The oldest that works.
        minimum: &'static str,
    },
    /// An object of the release cannot be applied by anybody.
    #[error("object {object} of the release is not valid: {problem}")]
    ObjectInvalid {
        /// Its name, or its position where it has none.
        object: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The cluster does not know kinds that the release uses, and the release does not bring them.
    #[error("the cluster does not know {}", .missing.join(", "))]
    ApiMissing {
        /// `apiVersion Kind (object)`, one for each kind.
        missing: Vec<String>,
    },
    /// The API server refused objects.
    #[error("the API server refused {}", list(.refusals))]
    Refused {
        /// All that were refused.
        refusals: Vec<Refusal>,
    },
    /// Other field managers hold fields that the release sets to other values.
    #[error("fields are held by others: {}", conflicts_in_words(.conflicts))]
    Conflicts {
        /// All of them.
        conflicts: Vec<Conflict>,
    },
    /// The release changes fields that Kubernetes never lets change.
    #[error("immutable fields would change: {}", list(.objects))]
    Immutable {
        /// The objects.
        objects: Vec<Refusal>,
    },
    /// Another tool tracks objects of the release.
    #[error("another tool tracks {}", tracked_in_words(.objects))]
    ForeignTracking {
        /// The objects, and who tracks them.
        objects: Vec<Tracked>,
    },
    /// The release reaches out of the one namespace that a tenant has.
    #[error("this site is a tenant of the namespace {namespace}, and the release reaches out of it: {}", keys(.objects))]
    BeyondTenant {
        /// The namespace.
        namespace: String,
        /// What lies elsewhere, or in no namespace.
        objects: Vec<ObjectKey>,
    },
    /// The ApplySet parent belongs to somebody else, or is damaged.
    #[error("the ApplySet parent {parent} cannot be used: {problem}")]
    ApplySetForeign {
        /// The parent Secret.
        parent: ObjectKey,
        /// What is wrong with it.
        problem: String,
    },
    /// Secrets that somebody at the site has to make are not there.
    #[error("missing at this site: {}", .missing.join(", "))]
    SecretMissing {
        /// `Secret ns/name`, or `Secret ns/name key k`.
        missing: Vec<String>,
    },
    /// Objects are not healthy.
    #[error("not healthy: {}", .report.reasons().join("; "))]
    Unhealthy {
        /// What is wrong with which object.
        report: HealthReport,
    },
    /// A definition was applied and its API did not come up in time.
    #[error("{key} was applied and is not served: {reason}")]
    NotServed {
        /// The definition or namespace.
        key: ObjectKey,
        /// What it waits for.
        reason: String,
    },
    /// No random bytes could be had.
    #[error("cannot get random bytes for a generated Secret")]
    Random(#[source] std::io::Error),
}

/// How many objects a message names before it only counts.
const NAMED: usize = 20;

fn joined(mut lines: Vec<String>) -> String {
    let more = lines.len().saturating_sub(NAMED);
    lines.truncate(NAMED);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("; ")
}

fn list(refusals: &[Refusal]) -> String {
    joined(refusals.iter().map(|one| format!("{}: {}", one.key, one.reason)).collect())
}

fn keys(objects: &[ObjectKey]) -> String {
    joined(objects.iter().map(ObjectKey::to_string).collect())
}

fn conflicts_in_words(conflicts: &[Conflict]) -> String {
    joined(conflicts.iter().map(|one| format!("{} field {} by {}", one.key, one.field, one.manager)).collect())
}

fn tracked_in_words(objects: &[Tracked]) -> String {
    joined(objects.iter().map(|one| format!("{}: {}", one.key, one.by)).collect())
}

impl Coded for ApplyError {
    fn code(&self) -> Code {
        match self {
            ApplyError::NoCluster { .. } => codes::NO_CLUSTER,
            ApplyError::Kubeconfig { .. } => codes::KUBECONFIG_INVALID,
            ApplyError::Unreachable { .. } => codes::CLUSTER_UNREACHABLE,
            ApplyError::NotAdmitted { .. } => codes::CLUSTER_FORBIDDEN,
            ApplyError::TooOld { .. } => codes::CLUSTER_TOO_OLD,
            ApplyError::ObjectInvalid { .. } => codes::OBJECT_INVALID,
            ApplyError::ApiMissing { .. } => codes::API_MISSING,
            ApplyError::Refused { .. } => codes::APPLY_REFUSED,
            ApplyError::Conflicts { .. } => codes::APPLY_CONFLICT,
            ApplyError::Immutable { .. } => codes::IMMUTABLE_FIELD,
            ApplyError::ForeignTracking { .. } => codes::FOREIGN_TRACKING,
            ApplyError::BeyondTenant { .. } => codes::NOT_ALLOWED,
            ApplyError::ApplySetForeign { .. } => codes::APPLYSET_FOREIGN,
            ApplyError::SecretMissing { .. } => codes::SECRET_MISSING,
            ApplyError::Unhealthy { .. } => codes::UNHEALTHY,
            ApplyError::NotServed { .. } => codes::API_NOT_SERVED,
            ApplyError::Random(_) => codes::IO,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            ApplyError::NoCluster { .. } => {
                "name a kubeconfig with --kubeconfig, set KUBECONFIG, or choose the handoff `export`"
            }
            ApplyError::Kubeconfig { .. } => "check the file with `kubectl --kubeconfig FILE config view`",
            ApplyError::Unreachable { .. } => {
                "check that the API server runs and that the kubeconfig names its right address; nothing more was written after this"
            }
            ApplyError::NotAdmitted { .. } => {
                "the credentials are refused or lack rights; use those of an administrator of the cluster; a tenant's are granted by what `consign-site rbac` prints"
            }
            ApplyError::TooOld { .. } => "upgrade the cluster first",
            ApplyError::ObjectInvalid { .. } => "correct the manifest and build the release again",
            ApplyError::ApiMissing { .. } => {
                "install what brings these kinds first, or add their CustomResourceDefinitions to the release"
            }
            ApplyError::Refused { .. } => "correct what the server names and build the release again",
            ApplyError::Conflicts { .. } => {
                "remove the field from the release, let the other manager go, or allow the site to force conflicts"
            }
            ApplyError::Immutable { .. } => {
                "rename the object in the release, or delete it in the cluster by hand and install again"
            }
            ApplyError::ForeignTracking { .. } => {
                "let the other tool release these objects, or install with adopt to take them over"
            }
            ApplyError::BeyondTenant { .. } => {
                "leave it out of the release, or have the cluster's administrator install it as a product of its own"
            }
            ApplyError::ApplySetForeign { .. } => {
                "another tool made this Secret; rename the product, or remove the Secret if nothing uses it"
            }
            ApplyError::SecretMissing { .. } => "make these Secrets with `kubectl create secret`, then install again",
            ApplyError::Unhealthy { .. } => "the reasons come from the pods and events of each object",
            ApplyError::NotServed { .. } => "look at the object's conditions with `kubectl describe`",
            ApplyError::Random(_) => return None,
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
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
            ApplyError::TooOld { version: text("v1.24.3"), minimum: "1.27" },
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
            .map(|n| Refusal {
                key: ObjectKey::new(GroupKind::new("", "Pod"), "n", format!("p{n}")),
                reason: "no".into(),
            })
            .collect();
        let text = ApplyError::Refused { refusals }.to_string();
        assert!(text.starts_with("the API server refused Pod n/p0: no; Pod n/p1: no"), "{text}");
        assert!(text.ends_with("; and 5 more"), "{text}");
    }
}
