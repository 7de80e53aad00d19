//! What can go wrong between the desired state and the cluster. Fields, not prose; never Secret data.

use std::collections::BTreeSet;
use std::path::PathBuf;

use consign_format::error::{Code, Coded, codes};
use thiserror::Error;

use super::NotPulled;
use crate::handoff::{HealthReport, ObjectKey, Owner};

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
    /// The word by which `[apply] adopt` of site.toml takes over from it; `None` where nothing does.
    pub owner: Option<Owner>,
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
    /// The credentials lack rights that applying needs.
    #[error("the API server {server} does not let us {}", .rights.join("; "))]
    RightsMissing {
        /// Its address.
        server: String,
        /// `VERBS RESOURCE in NAMESPACE`, all that are missing.
        rights: Vec<String>,
    },
    /// Pods would come to nodes that their images are not for.
    #[error("images do not fit the nodes: {}", list(.objects))]
    NodePlatform {
        /// The workloads, and what does not fit.
        objects: Vec<Refusal>,
    },
    /// Admission of the cluster would exchange images of the release.
    #[error("the cluster would run other images than the release's: {}", list(.objects))]
    ImageRewritten {
        /// The workloads, and what becomes of their images.
        objects: Vec<Refusal>,
    },
    /// An update would interrupt the service, and the site does not allow that.
    #[error("an update would interrupt what runs: {}", list(.objects))]
    Downtime {
        /// The workloads, and what they lack.
        objects: Vec<Refusal>,
    },
    /// Nodes cannot pull images of the release.
    #[error("{}", pulls_in_words(.images))]
    NodePull {
        /// Which cannot pull what, and why.
        images: Vec<NotPulled>,
    },
    /// The site demands that nodes pull first, and they could not be asked.
    #[error("nodes could not be asked to pull the images first: {reason}")]
    PullNotAsked {
        /// Why.
        reason: String,
    },
    /// The cluster is older than what server-side apply and discovery need, or than what the release was rendered for.
    #[error("the cluster runs Kubernetes {version}, older than {minimum}")]
    TooOld {
        /// What it runs.
        version: String,
        /// The oldest that works.
        minimum: String,
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

/// Owners as `site.toml` writes them, each once.
fn quoted(owners: impl Iterator<Item = Owner>) -> String {
    let owners: BTreeSet<String> = owners.map(|owner| format!("{:?}", owner.to_string())).collect();
    owners.into_iter().collect::<Vec<_>>().join(", ")
}

fn pulls_in_words(images: &[NotPulled]) -> String {
    joined(images.iter().map(|one| format!("node {} cannot pull {}: {}", one.node, one.image, one.reason)).collect())
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
            ApplyError::NotAdmitted { .. } | ApplyError::RightsMissing { .. } => codes::CLUSTER_FORBIDDEN,
            ApplyError::NodePlatform { .. } => codes::NODE_PLATFORM,
            ApplyError::ImageRewritten { .. } => codes::IMAGE_REWRITTEN,
            ApplyError::NodePull { .. } => codes::NODE_CANNOT_PULL,
            ApplyError::Downtime { .. } | ApplyError::PullNotAsked { .. } => codes::DOWNTIME,
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
            ApplyError::RightsMissing { .. } => {
                "grant these rights, or use the credentials of an administrator of the cluster"
            }
            ApplyError::NodePlatform { .. } => {
                "build the release for these platforms too (images.platforms in release.yaml), or select nodes that fit"
            }
            ApplyError::ImageRewritten { .. } => {
                "an admission webhook or policy of the cluster does this (`kubectl get mutatingwebhookconfigurations`); exempt these namespaces from it, or have it keep the digest"
            }
            ApplyError::Downtime { .. } => {
                "mend the manifests and build the release again, or install without require-zero-downtime"
            }
            ApplyError::NodePull { .. } => {
                "mend these nodes and run it again: `consign-site nodes check` on the node says what its runtime lacks, `consign-site doctor` here whether the registry serves; nothing was applied"
            }
            ApplyError::PullNotAsked { .. } => {
                "let this program make pods there and list nodes (`consign-site rbac`), or install without require-zero-downtime"
            }
            ApplyError::TooOld { .. } => "upgrade the cluster first",
            ApplyError::ObjectInvalid { .. } => "correct the manifest and build the release again",
            ApplyError::ApiMissing { .. } => {
                "install what brings these kinds first, or add their CustomResourceDefinitions to the release"
            }
            ApplyError::Refused { .. } => "correct what the server names and build the release again",
            ApplyError::Conflicts { conflicts } => {
                let owners = conflicts.iter().map(|one| Owner::of_manager(&one.manager));
                return Some(format!(
                    "remove the fields from the release, or take them over: [apply] adopt = [{}], or conflicts = \"force\", in site.toml",
                    quoted(owners)
                ));
            }
            ApplyError::Immutable { .. } => {
                "rename the object in the release, mark it with consign.dev/recreate: on-immutable, or delete it in the cluster by hand and install again"
            }
            ApplyError::ForeignTracking { objects } => {
                let owners = quoted(objects.iter().filter_map(|one| one.owner.clone()));
                if owners.is_empty() {
                    return Some("let the other tool release these objects".to_owned());
                }
                return Some(format!(
                    "let the other tool release these objects, or take them over: [apply] adopt = [{owners}] in site.toml"
                ));
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
mod tests;
