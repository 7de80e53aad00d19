//! Secrets that the release needs and does not carry: made once at the site, or checked to be there (TRUST §4).
//!
//! A generated Secret is never pruned: the data it unlocks outlives a release. The release may carry the object itself,
//! without data, to give it a type and labels; then it is a member like any other, and only its data is made here.
//! Values are made here and go to the API server; they are never kept, logged or reported.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use consign_format::release::{SecretMode, SecretRule};
use serde_json::{Map, Value, json};

use super::api_table::ApiTable;
use super::members::Members;
use super::{ApplyError, Cluster, FillRandom, MANAGER, inventory, preflight};
use crate::handoff::{Action, ChangeSet, Desired, Event, GroupKind, ObjectKey, OnEvent};

/// Bytes of randomness in each generated value.
const STRENGTH: usize = 32;
/// The key of a generated Secret that names none.
const DEFAULT_KEY: &str = "password";

/// The annotation of a Secret whose data was made at the site.
pub(crate) const GENERATED: &str = "consign.dev/generated";

/// The Secrets of one release.
pub(crate) struct Secrets<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) api: &'a ApiTable,
    pub(crate) desired: &'a Desired,
    pub(crate) members: &'a Members,
}

impl Secrets<'_> {
    /// Checks that what the site has to make is there.
    ///
    /// # Errors
    /// [`ApplyError::SecretMissing`] with everything that is not.
    pub(crate) async fn check(&self) -> Result<(), ApplyError> {
        let mut missing = Vec::new();
        for rule in &self.desired.secrets {
            if rule.mode != SecretMode::Existing {
                continue;
            }
            let (key, live) = self.read(rule).await?;
            match live {
                None => missing.push(key.to_string()),
                Some(live) => missing.extend(absent(&rule.keys, &live).map(|name| format!("{key} key {name}"))),
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(ApplyError::SecretMissing { missing }) }
    }

    /// Makes what is to be generated and is not there yet; adds keys that a newer release asks for; changes no value.
    pub(crate) async fn generate(
        &self,
        random: &FillRandom,
        changes: &mut ChangeSet,
        on: &mut OnEvent<'_>,
    ) -> Result<(), ApplyError> {
        for rule in &self.desired.secrets {
            if rule.mode != SecretMode::Generate {
                continue;
            }
            let default = [DEFAULT_KEY.to_owned()];
            let keys = if rule.keys.is_empty() { &default[..] } else { &rule.keys };
            let (key, live) = self.read(rule).await?;
            let new: Vec<&str> = match &live {
                Some(live) => absent(keys, live).collect(),
                None => keys.iter().map(String::as_str).collect(),
            };
            let action = match (new.is_empty(), live.is_some()) {
                (true, _) => Action::Unchanged,
                (false, true) => Action::Configured,
                (false, false) => Action::Created,
            };
            if action != Action::Unchanged {
                self.write(&key, &new, action, random).await?;
            }
            // A carried object has an entry of its own, which says "created" too.
            if action == Action::Configured || !self.carries(&key) {
                let note = Some("generated at this site".to_owned());
                on(Event::Object(changes.push(key, action, note).clone()));
            }
        }
        Ok(())
    }

    fn carries(&self, key: &ObjectKey) -> bool {
        self.members.list.iter().any(|member| member.key == *key)
    }

    async fn read(&self, rule: &SecretRule) -> Result<(ObjectKey, Option<Value>), ApplyError> {
        let key = key(rule);
        let live = self.cluster.get(inventory::served(self.api, "Secret")?, &key).await;
        Ok((key, live.map_err(|error| self.cluster.failed(error))?))
    }

    async fn write(
        &self,
        key: &ObjectKey,
        names: &[&str],
        action: Action,
        random: &FillRandom,
    ) -> Result<(), ApplyError> {
        let data = values(names, random)?;
        let served = inventory::served(self.api, "Secret")?;
        let answer = match action {
            Action::Created => self.cluster.create(served, &key.namespace, &self.made(key, data), MANAGER).await,
            _ => self.cluster.merge(served, key, &json!({"data": data}), MANAGER).await,
        };
        answer.map(|_| ()).map_err(|error| preflight::into_error(self.cluster, preflight::objection(key, error)))
    }
}

impl Secrets<'_> {
    /// A new Secret: the release's own object where it carries one, or a plain one; with the data.
    fn made(&self, key: &ObjectKey, data: Map<String, Value>) -> Value {
        let carried = self.members.list.iter().find(|member| member.key == *key);
        let mut secret = carried.map(|member| member.object.clone()).unwrap_or_else(|| {
            json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": key.name, "namespace": key.namespace}})
        });
        if !secret["metadata"]["annotations"].is_object() {
            secret["metadata"]["annotations"] = json!({});
        }
        secret["metadata"]["annotations"][GENERATED] = json!("true");
        secret["data"] = Value::Object(data);
        secret
    }
}

/// The key of a rule's Secret.
pub(crate) fn key(rule: &SecretRule) -> ObjectKey {
    ObjectKey::new(GroupKind::new("", "Secret"), rule.namespace.clone(), rule.name.clone())
}

fn absent<'k>(keys: &'k [String], live: &Value) -> impl Iterator<Item = &'k str> {
    keys.iter().map(String::as_str).filter(|name| live["data"][name].is_null())
}

/// Random values as text that survives shells, URLs and configuration files; base64 once more, as `data` wants it.
fn values(names: &[&str], random: &FillRandom) -> Result<Map<String, Value>, ApplyError> {
    let mut data = Map::new();
    for name in names {
        let mut bytes = [0; STRENGTH];
        random(&mut bytes).map_err(ApplyError::Random)?;
        data.insert((*name).to_owned(), json!(STANDARD.encode(URL_SAFE_NO_PAD.encode(bytes))));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_text_of_full_strength() {
        let random: FillRandom = Box::new(|bytes| {
            bytes.fill(0xff);
            Ok(())
        });
        let data = values(&["a"], &random).unwrap();
        let text = String::from_utf8(STANDARD.decode(data["a"].as_str().unwrap()).unwrap()).unwrap();
        assert_eq!(text, "_".repeat(42) + "8");
    }

    #[test]
    fn no_randomness_means_no_secret() {
        let broken: FillRandom = Box::new(|_| Err(std::io::Error::other("none")));
        assert!(matches!(values(&["a"], &broken), Err(ApplyError::Random(_))));
    }

    #[test]
    fn only_absent_keys_are_made() {
        let keys = ["a".to_owned(), "b".to_owned()];
        assert_eq!(absent(&keys, &json!({"data": {"a": "eA=="}})).collect::<Vec<_>>(), ["b"]);
    }
}
