//! With which pull Secrets the release's pods will pull, and whether those are there already.
//!
//! What cannot be looked at is taken to be there: the kubelet goes on without a Secret that is not, and so do we.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::api_table::{ApiTable, Served};
use super::super::cluster::CallError;
use super::super::members::Member;
use super::super::{ApplyError, Cluster, inventory, secrets};
use super::need::Wanted;
use crate::handoff::{Desired, GroupKind, ObjectKey};

/// Finds pull Secrets, asking about each account and each Secret once.
pub(super) struct Credentials<'a> {
    cluster: &'a Cluster,
    accounts: &'a Served,
    secrets: &'a Served,
    members: &'a [Member],
    /// Secrets that come with the release, or are made when it is applied.
    brought: BTreeSet<ObjectKey>,
    by_account: BTreeMap<ObjectKey, BTreeSet<String>>,
    is_there: BTreeMap<ObjectKey, bool>,
}

/// The pull Secrets of an image: those that can be named, or the first that is yet to come.
pub(super) enum Found {
    There(BTreeSet<String>),
    YetToCome(ObjectKey),
}

impl<'a> Credentials<'a> {
    pub(super) fn new(
        cluster: &'a Cluster,
        api: &'a ApiTable,
        desired: &Desired,
        members: &'a [Member],
    ) -> Result<Self, ApplyError> {
        let keys = members.iter().map(|member| &member.key).filter(|key| key.kind.is("", "Secret")).cloned();
        Ok(Credentials {
            cluster,
            accounts: inventory::served(api, "ServiceAccount")?,
            secrets: inventory::served(api, "Secret")?,
            members,
            brought: keys.chain(desired.secrets.iter().map(secrets::key)).collect(),
            by_account: BTreeMap::new(),
            is_there: BTreeMap::new(),
        })
    }

    /// The pull Secrets of all pods that run an image; its namespace may not be there yet.
    pub(super) async fn of(&mut self, wanted: &Wanted<'_>, has_namespace: bool) -> Result<Found, ApplyError> {
        let mut names = BTreeSet::new();
        for pod in wanted.pods() {
            let own = referred(&pod["spec"]);
            // The server takes those of the account where the pod names none.
            names.extend(match own.is_empty() {
                true => self.of_account(pod, wanted.namespace, has_namespace).await?,
                false => own,
            });
        }
        let mut there = BTreeSet::new();
        for name in names {
            let key = ObjectKey::new(GroupKind::new("", "Secret"), wanted.namespace, name.clone());
            if has_namespace && self.is_there(&key).await? {
                there.insert(name);
            } else if self.brought.contains(&key) {
                return Ok(Found::YetToCome(key));
            }
        }
        Ok(Found::There(there))
    }

    async fn of_account(&mut self, pod: &Value, namespace: &str, ask: bool) -> Result<BTreeSet<String>, ApplyError> {
        let name = pod["spec"]["serviceAccountName"].as_str().or(pod["spec"]["serviceAccount"].as_str());
        let key = ObjectKey::new(GroupKind::new("", "ServiceAccount"), namespace, name.unwrap_or("default"));
        if let Some(known) = self.by_account.get(&key) {
            return Ok(known.clone());
        }
        let mut names = BTreeSet::new();
        if let Some(member) = self.members.iter().find(|member| member.key == key) {
            names.extend(referred(&member.object));
        }
        if ask && let Some(account) = self.look(self.accounts, &key).await?.flatten() {
            names.extend(referred(&account));
        }
        self.by_account.insert(key, names.clone());
        Ok(names)
    }

    async fn is_there(&mut self, key: &ObjectKey) -> Result<bool, ApplyError> {
        if let Some(known) = self.is_there.get(key) {
            return Ok(*known);
        }
        let found = self.look(self.secrets, key).await?.is_none_or(|live| live.is_some());
        self.is_there.insert(key.clone(), found);
        Ok(found)
    }

    /// The live object; `None` outside where it may not be looked at.
    async fn look(&self, served: &Served, key: &ObjectKey) -> Result<Option<Option<Value>>, ApplyError> {
        match self.cluster.get(served, key).await {
            Ok(live) => Ok(Some(live)),
            Err(CallError::Said(status)) if status.code == 403 => Ok(None),
            Err(error) => Err(self.cluster.failed(error)),
        }
    }
}

/// The names under `imagePullSecrets`.
fn referred(holder: &Value) -> BTreeSet<String> {
    let list = holder["imagePullSecrets"].as_array().into_iter().flatten();
    list.filter_map(|one| one["name"].as_str()).map(str::to_owned).collect()
}
