//! Permissions: whether the cluster would let us write what the releases here consist of. The cluster is asked, by
//! SelfSubjectAccessReview, which writes nothing; an administrator by one question, a tenant kind by kind.

use std::collections::BTreeSet;

use super::{Check, Finding, PATIENCE};
use crate::apply::Cluster;
use crate::apply::api_table::ApiTable;
use crate::held_objects::HeldObjects;

pub(super) const PERMISSIONS: Check =
    Check { id: "permissions", why: "an install that may not write one of its kinds is refused in preflight" };

/// What applying, waiting and pruning do.
const VERBS: [&str; 5] = ["get", "list", "create", "patch", "delete"];
/// More is not asked: a doctor takes seconds.
const QUESTIONS: usize = 400;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    verb: &'static str,
    group: String,
    resource: String,
    namespace: String,
}

pub(super) async fn look(cluster: &Cluster, held: &HeldObjects) -> Finding {
    match tokio::time::timeout(PATIENCE, asked(cluster, held)).await {
        Ok(Ok(finding)) => finding,
        Ok(Err(reason)) => PERMISSIONS.skipped(reason),
        Err(_) => PERMISSIONS.skipped(format!("the cluster did not answer in {} seconds", PATIENCE.as_secs())),
    }
}

async fn asked(cluster: &Cluster, held: &HeldObjects) -> Result<Finding, String> {
    let everything = Wanted { verb: "*", group: "*".into(), resource: "*".into(), namespace: String::new() };
    if may(cluster, &everything).await? {
        return Ok(PERMISSIONS.ok("the user of the kubeconfig may do everything"));
    }
    if held.kinds.is_empty() {
        return Ok(PERMISSIONS.skipped(
            "the user of the kubeconfig is no administrator, and no release is here whose kinds could be asked for",
        ));
    }
    let table = ApiTable::discover(cluster).await.map_err(|error| error.to_string())?;
    let wanted = wanted(&table, held, cluster.home());
    let mut refused = Vec::new();
    for one in wanted.iter().take(QUESTIONS) {
        if !may(cluster, one).await? {
            refused.push(one);
        }
    }
    Ok(judge(wanted.len(), &refused))
}

/// Every verb on every kind, in every namespace; and on the Secrets that remember what was applied.
fn wanted(table: &ApiTable, held: &HeldObjects, home: &str) -> BTreeSet<Wanted> {
    let own = ("v1".to_owned(), "Secret".to_owned(), home.to_owned());
    let mut wanted = BTreeSet::new();
    for (api, kind, namespace) in held.kinds.iter().chain([&own]) {
        // What the cluster does not serve yet comes with the release.
        let Some(served) = table.get(api, kind) else { continue };
        let namespace = if served.namespaced { namespace.clone() } else { String::new() };
        wanted.extend(VERBS.map(|verb| Wanted {
            verb,
            group: served.resource.group.clone(),
            resource: served.resource.plural.clone(),
            namespace: namespace.clone(),
        }));
    }
    wanted
}

async fn may(cluster: &Cluster, wanted: &Wanted) -> Result<bool, String> {
    let Wanted { verb, group, resource, namespace } = wanted;
    let answer = cluster.may(verb, (group, resource), namespace).await;
    answer.map_err(|error| cluster.failed(error).to_string())
}

fn judge(wanted: usize, refused: &[&Wanted]) -> Finding {
    let shown = |one: &Wanted| {
        let group = if one.group.is_empty() { String::new() } else { format!(".{}", one.group) };
        let place = if one.namespace.is_empty() { "all namespaces".to_owned() } else { one.namespace.clone() };
        format!("{} {}{group} in {place}", one.verb, one.resource)
    };
    match refused {
        [] if wanted > QUESTIONS => {
            PERMISSIONS.skipped(format!("the first {QUESTIONS} of {wanted} permissions are given; more was not asked"))
        }
        [] => PERMISSIONS.ok(format!("all {wanted} permissions that the releases here need are given")),
        [first, ..] => PERMISSIONS.fail(
            format!("{} permissions are missing, such as: {}", refused.len(), shown(first)),
            "have the cluster's administrator bind a role with these to the user of the kubeconfig; docs/applying.md lists what is needed",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::api_table::tests::table;
    use crate::doctor::Level;

    #[test]
    fn a_tenant_is_asked_for_its_own_kinds_and_namespaces() {
        let held = HeldObjects {
            kinds: [("apps/v1", "Deployment", "a"), ("v1", "Namespace", "a"), ("x/v1", "Unknown", "a")]
                .map(|(api, kind, ns)| (api.to_owned(), kind.to_owned(), ns.to_owned()))
                .into(),
            namespaces: BTreeSet::new(),
        };
        let wanted = wanted(&table(), &held, "home");
        assert_eq!(wanted.len(), 3 * VERBS.len());
        let has = |resource: &str, namespace: &str| {
            wanted.iter().any(|one| one.resource == resource && one.namespace == namespace)
        };
        assert!(has("deployments", "a") && has("namespaces", "") && has("secrets", "home"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let one = Wanted { verb: "patch", group: "apps".into(), resource: "deployments".into(), namespace: "a".into() };
        let finding = judge(5, &[&one]);
        assert_eq!(finding.level, Level::Fail);
        assert!(finding.what.contains("patch deployments.apps in a"), "{}", finding.what);
        assert_eq!(judge(5, &[]).level, Level::Ok);
        assert_eq!(judge(QUESTIONS + 1, &[]).level, Level::Skipped);
    }
}
