//! The ApplySet in the cluster: its parent Secret read and written, its members listed and pruned.
//!
//! Order, as the specification has it: the superset of old and new before the apply, the latest after the prune,
//! so that a power cut in between leaves nothing that cannot be found again.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::api_table::{ApiTable, Served};
use super::applyset::{self, PART_OF, Scope};
use super::prune::{self, Leftover};
use super::verbs::How;
use super::{ApplyError, Cluster, Direction, MANAGER, preflight};
use crate::handoff::{Action, ChangeSet, Event, GroupKind, ObjectKey, OnEvent};

/// Field manager of the parent; kubectl's form `<tool>-applyset`.
const SET_MANAGER: &str = "consign-applyset";

/// One product's ApplySet.
pub(crate) struct Inventory<'a> {
    cluster: &'a Cluster,
    parent: ObjectKey,
    tooling: &'a str,
    secrets: &'a Served,
    live: Option<Value>,
    /// Which kinds and namespaces may hold members that were applied before.
    pub(crate) before: Scope,
}

/// What is desired, to tell what is left over.
pub(crate) struct Kept<'a> {
    /// The uids that were applied.
    pub(crate) uids: &'a BTreeSet<String>,
    /// The keys that were applied.
    pub(crate) keys: &'a BTreeSet<ObjectKey>,
    /// Kinds that may be pruned although they hold state.
    pub(crate) allow: &'a [String],
    /// To a release, or back to one.
    pub(crate) direction: Direction,
}

impl<'a> Inventory<'a> {
    /// Reads the parent. Writes nothing.
    pub(crate) async fn open(
        cluster: &'a Cluster,
        api: &'a ApiTable,
        product: &str,
        tooling: &'a str,
    ) -> Result<Self, ApplyError> {
        let parent = applyset::parent_key(cluster.home(), product);
        let secrets = served(api, "Secret")?;
        let live = cluster.get(secrets, &parent).await.map_err(|error| cluster.failed(error))?;
        let before = match &live {
            Some(live) => applyset::read_parent(&parent, live)
                .map_err(|problem| ApplyError::ApplySetForeign { parent: parent.clone(), problem })?,
            None => Scope::default(),
        };
        Ok(Inventory { cluster, parent, tooling, secrets, live, before })
    }

    /// Writes the parent with this scope, where it does not say so already.
    pub(crate) async fn write(&mut self, scope: &Scope) -> Result<(), ApplyError> {
        let wanted = applyset::parent(&self.parent, scope, self.tooling);
        if self.live.as_ref().is_some_and(|live| applyset::says_the_same(live, &wanted)) {
            return Ok(());
        }
        // Forced: the parent is ours, which opening it has checked, whoever touched its annotations since.
        let how = How { manager: SET_MANAGER, force: true, dry_run: false };
        let answer = self.cluster.apply(self.secrets, &self.parent, &wanted, how).await;
        self.live = Some(
            answer.map_err(|error| preflight::into_error(self.cluster, preflight::objection(&self.parent, error)))?,
        );
        Ok(())
    }

    /// Finds members that are no longer desired, last applied first.
    pub(crate) async fn leftovers(&self, api: &ApiTable, kept: &Kept<'_>) -> Result<Vec<Leftover>, ApplyError> {
        let label = format!("{PART_OF}={}", applyset::id(&self.parent));
        let mut found = Vec::new();
        for kind in &self.before.kinds {
            // A kind that is served no more has no objects left to prune.
            let Some(served) = api.preferred(kind).filter(|served| served.prunable) else { continue };
            let everywhere = [String::new()].into();
            let namespaces = if served.namespaced { &self.before.namespaces } else { &everywhere };
            for namespace in namespaces {
                let items = self.cluster.list_metadata(served, namespace, &label).await;
                for item in items.map_err(|error| self.cluster.failed(error))? {
                    found.extend(prune::decide(
                        kind,
                        &item["metadata"],
                        (kept.uids, kept.keys),
                        kept.allow,
                        kept.direction,
                    ));
                }
            }
        }
        Ok(prune::in_order(found))
    }

    /// Deletes what goes, takes the set's label off what stays, and records both.
    pub(crate) async fn prune(
        &self,
        api: &ApiTable,
        leftovers: Vec<Leftover>,
        changes: &mut ChangeSet,
        on: &mut OnEvent<'_>,
    ) -> Result<(), ApplyError> {
        for leftover in leftovers {
            let Some(served) = api.preferred(&leftover.key.kind) else { continue };
            let done = match &leftover.kept {
                None => self.cluster.delete(served, &leftover.key, &leftover.uid).await,
                Some(_) => {
                    let patch = json!({"metadata": {"uid": leftover.uid, "labels": {PART_OF: null}}});
                    self.cluster.merge(served, &leftover.key, &patch, MANAGER).await.map(|_| true)
                }
            };
            let done =
                done.map_err(|error| preflight::into_error(self.cluster, preflight::objection(&leftover.key, error)))?;
            if done {
                let action = if leftover.kept.is_some() { Action::Skipped } else { Action::Deleted };
                on(Event::Object(changes.push(leftover.key, action, leftover.kept).clone()));
            }
        }
        Ok(())
    }
}

/// Finds a core kind that every cluster serves.
pub(crate) fn served<'a>(api: &'a ApiTable, kind: &str) -> Result<&'a Served, ApplyError> {
    api.get("v1", kind).ok_or_else(|| ApplyError::ApiMissing { missing: vec![format!("v1 {kind}")] })
}

/// Makes a namespace where there is none. It is no member of any set: what is in it may be others'.
/// Returns whether it was made.
pub(crate) async fn ensure_namespace(cluster: &Cluster, api: &ApiTable, name: &str) -> Result<bool, ApplyError> {
    let key = ObjectKey::new(GroupKind::new("", "Namespace"), "", name);
    let kind = served(api, "Namespace")?;
    if cluster.get(kind, &key).await.map_err(|error| cluster.failed(error))?.is_some() {
        return Ok(false);
    }
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let how = How { manager: SET_MANAGER, force: false, dry_run: false };
    let answer = cluster.apply(kind, &key, &object, how).await;
    answer.map_err(|error| preflight::into_error(cluster, preflight::objection(&key, error)))?;
    Ok(true)
}

/// Makes the namespace of all parents. A tenant's is there, or is nobody's to make.
pub(crate) async fn ensure_home(cluster: &Cluster, api: &ApiTable) -> Result<bool, ApplyError> {
    if cluster.is_tenant() { Ok(false) } else { ensure_namespace(cluster, api, cluster.home()).await }
}
