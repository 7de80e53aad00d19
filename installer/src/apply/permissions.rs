//! Whether these credentials may do all that applying will do, asked of the server before the first write.
//!
//! An administrator is known by one question. For anybody else every verb on every resource is asked about, and all
//! that is missing is told at once: whoever grants rights wants to do it once.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::api_table::{ApiTable, Served};
use super::applyset;
use super::cluster::CallError;
use super::members::Member;
use super::{ApplyError, Cluster, inventory};
use crate::handoff::{Event, OnEvent};

/// How many questions are asked at once.
const AT_ONCE: usize = 6;
/// What is done to a member: looked at, applied (made or changed), listed to prune, pruned.
const TO_MEMBERS: [&str; 5] = ["get", "create", "patch", "list", "delete"];
/// What is done to the ApplySet parent.
const TO_PARENT: [&str; 3] = ["get", "create", "patch"];

/// One right: verb, group, plural of the resource, namespace (empty: the cluster's own, or all).
type Right = (&'static str, String, String, String);

/// Demands every right that applying these members takes.
pub(super) async fn check(
    cluster: &Cluster,
    api: &ApiTable,
    members: &[Member],
    on: &mut OnEvent<'_>,
) -> Result<(), ApplyError> {
    let everything: Right = ("*", "*".to_owned(), "*".to_owned(), String::new());
    match may(cluster, &everything).await {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(CallError::Said(status)) if matches!(status.code, 403 | 404) => {
            on(Event::Note("the server does not say what these credentials may do".to_owned()));
            return Ok(());
        }
        Err(error) => return Err(cluster.failed(error)),
    }
    let rights: Vec<Right> = wanted(cluster, api, members)?.into_iter().collect();
    let questions: Vec<_> = rights.iter().map(|right| may(cluster, right)).collect();
    let mut answers = futures_util::stream::iter(questions).buffered(AT_ONCE);
    let (mut missing, mut index) = (BTreeMap::<(String, String), Vec<&str>>::new(), 0);
    while let Some(answer) = answers.next().await {
        let (verb, group, plural, namespace) = &rights[index];
        index += 1;
        if !answer.map_err(|error| cluster.failed(error))? {
            let resource = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
            missing.entry((namespace.clone(), resource)).or_default().push(verb);
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(ApplyError::RightsMissing { server: cluster.server().to_owned(), rights: in_words(missing) })
    }
}

fn in_words(missing: BTreeMap<(String, String), Vec<&str>>) -> Vec<String> {
    let place = |namespace: &str| if namespace.is_empty() { String::new() } else { format!(" in {namespace}") };
    missing
        .into_iter()
        .map(|((namespace, resource), verbs)| format!("{} {resource}{}", verbs.join(", "), place(&namespace)))
        .collect()
}

/// The rights, each once. A kind that comes with this very release is left out: nobody can be asked about it yet.
fn wanted(cluster: &Cluster, api: &ApiTable, members: &[Member]) -> Result<BTreeSet<Right>, ApplyError> {
    let mut rights = BTreeSet::new();
    let mut want = |verbs: &[&'static str], served: &Served, namespace: &str| {
        let namespace = if served.namespaced { namespace } else { "" };
        for verb in verbs {
            let (group, plural) = (served.resource.group.clone(), served.resource.plural.clone());
            rights.insert((*verb, group, plural, namespace.to_owned()));
        }
    };
    for member in members {
        if let Some(served) = api.get(&member.api_version, &member.key.kind.kind) {
            want(&TO_MEMBERS, served, &member.key.namespace);
        }
    }
    want(&TO_PARENT, inventory::served(api, applyset::PARENT_KIND)?, cluster.home());
    if !cluster.is_tenant() {
        want(&["get"], inventory::served(api, "Namespace")?, "");
    }
    Ok(rights)
}

async fn may(cluster: &Cluster, (verb, group, plural, namespace): &Right) -> Result<bool, CallError> {
    cluster.may(verb, (group, plural), namespace).await
}

impl Cluster {
    /// Whether these credentials may do something to a resource (group, plural) in a namespace; in all of them, or to what
    /// lies in none, where it is empty.
    pub(crate) async fn may(
        &self,
        verb: &str,
        (group, plural): (&str, &str),
        namespace: &str,
    ) -> Result<bool, CallError> {
        let mut attributes = json!({"verb": verb, "group": group, "resource": plural});
        if !namespace.is_empty() {
            attributes["namespace"] = json!(namespace);
        }
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes}});
        let answer: Value = self.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
        Ok(answer["status"]["allowed"] == true)
    }
}
