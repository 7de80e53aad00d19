//! What a tenant may touch: one namespace. Asked once more here, where the cluster has said which kinds lie in one.

use super::members::Members;
use super::{ApplyError, Cluster};
use crate::handoff::{Desired, GroupKind, ObjectKey};

/// Demands that everything of a release lies in the tenant's namespace; of a site that is no tenant, nothing.
pub(super) fn check(cluster: &Cluster, desired: &Desired, members: &Members) -> Result<(), ApplyError> {
    if !cluster.is_tenant() {
        return Ok(());
    }
    let rules = desired.secrets.iter();
    let secrets = rules.map(|rule| ObjectKey::new(GroupKind::new("", "Secret"), &rule.namespace, &rule.name));
    let all = members.list.iter().map(|member| member.key.clone()).chain(secrets);
    let objects: Vec<ObjectKey> = all.filter(|key| key.namespace != cluster.home()).collect();
    let namespace = cluster.home().to_owned();
    if objects.is_empty() { Ok(()) } else { Err(ApplyError::BeyondTenant { namespace, objects }) }
}
