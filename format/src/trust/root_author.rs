//! Writing roots: the first one of a domain, and the next one after it.

use std::collections::BTreeMap;

use super::document::{Floor, Key, ROLES, Role, Root, SPEC_VERSION};
use super::keys::key_id;
use crate::Name;
use crate::canonical::CanonicalError;

/// Keys, and how many of them must sign.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Team {
    /// Public keys.
    pub keys: Vec<[u8; 32]>,
    /// How many distinct ones must sign.
    pub threshold: u64,
}

/// Who a root gives a say, in people's words: the publisher is the format's snapshot and timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Those who sign roots.
    Root,
    /// Those who say what a release is.
    Approver,
    /// Who says how it is carried.
    Publisher,
    /// Those who attest that a bundle was scanned.
    Scanner,
}

/// What a first root says.
#[derive(Debug, Clone)]
pub struct FirstRoot {
    /// The domain.
    pub domain: Name,
    /// Whether sites set up for production must refuse it.
    pub development: bool,
    /// When it should have been replaced (RFC 3339, UTC, whole seconds).
    pub expires: String,
    /// Who has a say.
    pub teams: Vec<(Part, Team)>,
}

/// One thing that the next root says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A key gets a say.
    Add(Part, [u8; 32]),
    /// A key loses its say: by its id.
    Remove(Part, String),
    /// Another number of keys must sign.
    Threshold(Part, u64),
    /// The lowest sequence of a product that is still acceptable.
    Floor(Name, Floor),
    /// The root is for production from now on.
    Production,
}

/// Writes root 1 of a domain.
pub fn first(plan: &FirstRoot) -> Result<Root, CanonicalError> {
    let mut root = Root {
        kind: "root".to_owned(),
        consistent_snapshot: false,
        expires: plan.expires.clone(),
        keys: BTreeMap::new(),
        roles: ROLES.iter().map(|name| ((*name).to_owned(), Role { keyids: Vec::new(), threshold: 1 })).collect(),
        spec_version: SPEC_VERSION.to_owned(),
        version: 1,
        domain: plan.domain.clone(),
        development: plan.development,
        scan: None,
        floor: BTreeMap::new(),
    };
    for (part, team) in &plan.teams {
        for key in &team.keys {
            change(&mut root, &Change::Add(*part, *key))?;
        }
        change(&mut root, &Change::Threshold(*part, team.threshold))?;
    }
    Ok(root)
}

/// Writes the root after another one. Keys that have no say any more are left out.
pub fn next(old: &Root, changes: &[Change], expires: &str) -> Result<Root, CanonicalError> {
    let mut root = Root { version: old.version + 1, expires: expires.to_owned(), ..old.clone() };
    for each in changes {
        change(&mut root, each)?;
    }
    let roles = root.roles.values().chain(&root.scan);
    let used: Vec<String> = roles.flat_map(|role| role.keyids.iter().cloned()).collect();
    root.keys.retain(|id, _| used.contains(id));
    Ok(root)
}

fn change(root: &mut Root, change: &Change) -> Result<(), CanonicalError> {
    match change {
        Change::Add(part, public) => {
            let id = key_id(public)?;
            root.keys.insert(id.clone(), Key::ed25519(public));
            each_role(root, *part, |role| {
                if !role.keyids.contains(&id) {
                    role.keyids.push(id.clone());
                }
            });
        }
        Change::Remove(part, id) => each_role(root, *part, |role| role.keyids.retain(|known| known != id)),
        Change::Threshold(part, threshold) => each_role(root, *part, |role| role.threshold = *threshold),
        Change::Floor(product, floor) => drop(root.floor.insert(product.clone(), floor.clone())),
        Change::Production => root.development = false,
    }
    Ok(())
}

fn each_role(root: &mut Root, part: Part, mut change: impl FnMut(&mut Role)) {
    let names: &[&str] = match part {
        Part::Root => &["root"],
        Part::Approver => &["targets"],
        Part::Publisher => &["snapshot", "timestamp"],
        Part::Scanner => {
            let role = root.scan.get_or_insert_with(|| Role { keyids: Vec::new(), threshold: 1 });
            change(role);
            // A role without keys is no role.
            if role.keyids.is_empty() {
                root.scan = None;
            }
            return;
        }
    };
    names.iter().for_each(|name| {
        if let Some(role) = root.roles.get_mut(*name) {
            change(role);
        }
    });
}
