//! What a tenant may touch: one namespace. Asked once more here, where the cluster has said which kinds lie in one.

use super::members::Members;
use super::{ApplyError, Cluster};
use crate::handoff::{Desired, GroupKind, ObjectKey};

/// Why the release's own namespace is not written.
const NOT_OURS: &str = "the namespace of a tenant belongs to the cluster's administrator";

/// Demands that everything of a release lies in the tenant's namespace, and leaves that namespace itself, which every
/// release brings, to those whose it is. A site that is no tenant may have everything.
pub(super) fn confine(cluster: &Cluster, desired: &Desired, members: &mut Members) -> Result<(), ApplyError> {
    if !cluster.is_tenant() {
        return Ok(());
    }
    let home = ObjectKey::new(GroupKind::new("", "Namespace"), "", cluster.home());
    if members.list.iter().any(|member| member.key == home) {
        members.list.retain(|member| member.key != home);
        members.skipped.push((home, NOT_OURS.to_owned()));
    }
    let rules = desired.secrets.iter();
    let secrets = rules.map(|rule| ObjectKey::new(GroupKind::new("", "Secret"), &rule.namespace, &rule.name));
    let all = members.list.iter().map(|member| member.key.clone()).chain(secrets);
    let objects: Vec<ObjectKey> = all.filter(|key| key.namespace != cluster.home()).collect();
    let namespace = cluster.home().to_owned();
    if objects.is_empty() { Ok(()) } else { Err(ApplyError::BeyondTenant { namespace, objects }) }
}
