//! What a root says otherwise than the one before it: who signs roots sees this before a key is opened.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::trust::document::{Floor, Role, Root, SCAN_ROLE};
use serde::Serialize;

/// What a new root changes; against nothing, what a first one says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RootChanges {
    /// The version of the root before it; none for a first one.
    pub after: Option<u64>,
    /// The domain.
    pub domain: String,
    /// Roles that have other keys or another threshold.
    pub roles: Vec<RoleChange>,
    /// Floors that are new, gone or others, by product.
    pub floors: BTreeMap<String, Change<Floor>>,
    /// The mark of a development root, where it changes.
    pub development: Option<Change<bool>>,
    /// When it should have been replaced, where it changes.
    pub expires: Option<Change<String>>,
}

/// What changes in a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleChange {
    /// The role, in people's words.
    pub role: &'static str,
    /// Keys that get a say.
    pub added: Vec<KeyOf>,
    /// Keys that lose it.
    pub removed: Vec<KeyOf>,
    /// How many must sign, where it changes.
    pub threshold: Option<Change<u64>>,
    /// How many keys have a say from now on.
    pub keys: usize,
}

/// A key of a role. An id alone says nothing: a root may put another key under it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyOf {
    /// Its id.
    pub id: String,
    /// The public key; none where the root lists an id without one.
    pub public_key: Option<String>,
}

/// A value before and after; none where there was or is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// In the root before.
    pub from: Option<T>,
    /// In the new one.
    pub to: Option<T>,
}

/// Compares a root with the one before it.
pub fn compare(old: Option<&Root>, new: &Root) -> RootChanges {
    let floors = |root: &Root| {
        let named = root.floor.iter().map(|(product, floor)| (product.to_string(), floor.clone()));
        named.collect::<BTreeMap<_, _>>()
    };
    let (old_floors, new_floors) = (old.map(floors).unwrap_or_default(), floors(new));
    let products: BTreeSet<&String> = old_floors.keys().chain(new_floors.keys()).collect();
    let floor = |product: &String| changed(old_floors.get(product).cloned(), new_floors.get(product).cloned());
    RootChanges {
        after: old.map(|root| root.version),
        domain: new.domain.to_string(),
        roles: roles(old, new),
        floors: products.into_iter().filter_map(|p| Some((p.clone(), floor(p)?))).collect(),
        development: changed(old.map(|root| root.development), Some(new.development)),
        expires: changed(old.map(|root| root.expires.clone()), Some(new.expires.clone())),
    }
}

fn changed<T: PartialEq>(from: Option<T>, to: Option<T>) -> Option<Change<T>> {
    (from != to).then_some(Change { from, to })
}

/// The publisher is two roles of the format, which a draft may tell apart; then both are shown.
fn roles(old: Option<&Root>, new: &Root) -> Vec<RoleChange> {
    let change = |label, name| role(label, old.and_then(|root| side(root, name)), side(new, name));
    let snapshot = change("publisher (snapshot)", "snapshot");
    let timestamp = change("publisher (timestamp)", "timestamp");
    let named = |change: &Option<RoleChange>| change.clone().map(|c| RoleChange { role: "publisher", ..c });
    let publisher = match named(&snapshot) == named(&timestamp) {
        true => vec![named(&snapshot)],
        false => vec![snapshot, timestamp],
    };
    let first = [change("root", "root"), change("approver", "targets")];
    first.into_iter().chain(publisher).chain([change("scanner", SCAN_ROLE)]).flatten().collect()
}

/// A role's keys and its threshold.
type Side = (BTreeSet<KeyOf>, u64);

fn side(root: &Root, name: &str) -> Option<Side> {
    let role: &Role = if name == SCAN_ROLE { root.scan.as_ref()? } else { root.roles.get(name)? };
    let key = |id: &String| KeyOf { id: id.clone(), public_key: root.keys.get(id).map(|k| k.keyval.public.clone()) };
    Some((role.keyids.iter().map(key).collect(), role.threshold))
}

fn role(label: &'static str, old: Option<Side>, new: Option<Side>) -> Option<RoleChange> {
    let threshold = changed(old.as_ref().map(|side| side.1), new.as_ref().map(|side| side.1));
    let (was, is) = (old.unwrap_or_default().0, new.unwrap_or_default().0);
    let (added, removed) = (is.difference(&was).cloned().collect(), was.difference(&is).cloned().collect());
    let change = RoleChange { role: label, added, removed, threshold, keys: is.len() };
    let same = change.added.is_empty() && change.removed.is_empty() && change.threshold.is_none();
    (!same).then_some(change)
}

impl RootChanges {
    /// One line for each thing that changes.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for role in &self.roles {
            let threshold = match &role.threshold {
                Some(change) => format!("{} of {} must sign", arrow(change), role.keys),
                None => format!("as many as before must sign, of {}", role.keys),
            };
            lines.push(format!("{}: {threshold}", role.role));
            lines.extend(role.added.iter().map(|key| format!("  + {}", key.text())));
            lines.extend(role.removed.iter().map(|key| format!("  - {}", key.text())));
        }
        let floor = |floor: &Floor| {
            let reset = if floor.reset { ", AND SITES SET THEIR COUNTER BACK TO IT" } else { "" };
            format!("sequence {}{reset}", floor.sequence)
        };
        for (product, change) in &self.floors {
            let change = Change { from: change.from.as_ref().map(floor), to: change.to.as_ref().map(floor) };
            lines.push(format!("floor of {product}: {}", arrow(&change)));
        }
        let kind = |development: &bool| if *development { "DEVELOPMENT" } else { "production" };
        lines.extend(self.development.as_ref().map(|change| {
            let change = Change { from: change.from.as_ref().map(kind), to: change.to.as_ref().map(kind) };
            format!("for: {}", arrow(&change))
        }));
        lines.extend(self.expires.as_ref().map(|change| format!("expires: {}", arrow(change))));
        lines
    }
}

impl KeyOf {
    fn text(&self) -> String {
        let id: String = self.id.chars().take(12).collect();
        format!("{id}  {}", self.public_key.as_deref().unwrap_or("no key"))
    }
}

fn arrow<T: ToString>(change: &Change<T>) -> String {
    let text = |side: &Option<T>| side.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    match &change.from {
        None => text(&change.to),
        Some(_) => format!("{} -> {}", text(&change.from), text(&change.to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_format::trust::document::Key;
    use consign_format::trust::root_author::{Change as Edit, FirstRoot, Part, Team, first, next};

    fn root() -> Root {
        let team = |keys: &[u8]| Team { keys: keys.iter().map(|n| [*n; 32]).collect(), threshold: 1 };
        let teams = vec![(Part::Root, team(&[1])), (Part::Approver, team(&[2, 3])), (Part::Publisher, team(&[4]))];
        let expires = "2030-01-01T00:00:00Z".to_owned();
        first(&FirstRoot { domain: "clinic".parse().unwrap(), development: true, expires, teams }).unwrap()
    }

    fn public(n: u8) -> String {
        hex::encode([n; 32])
    }

    #[test]
    fn a_first_root_is_shown_in_full() {
        let text = compare(None, &root()).lines().join("\n");
        for expected in
            [&public(1), &public(2), &public(3), &public(4), "approver: 1 of 2", "DEVELOPMENT", "2030-01-01"]
        {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert!(!text.contains("snapshot"), "the publisher is one: {text}");
    }

    #[test]
    fn a_next_root_is_shown_by_what_it_changes() {
        let old = root();
        let floor = Floor { sequence: 7, reset: true };
        let gone = old.roles["targets"].keyids[0].clone();
        let edits = [
            Edit::Add(Part::Approver, [9; 32]),
            Edit::Remove(Part::Approver, gone),
            Edit::Threshold(Part::Approver, 2),
            Edit::Floor("radiology".parse().unwrap(), floor),
            Edit::Production,
        ];
        let new = next(&old, &edits, "2031-01-01T00:00:00Z").unwrap();
        let changes = compare(Some(&old), &new);
        assert_eq!(changes.roles.len(), 1, "{changes:?}");
        let (added, removed) = (&changes.roles[0].added, &changes.roles[0].removed);
        assert_eq!(added.iter().map(|key| key.public_key.clone().unwrap()).collect::<Vec<_>>(), [public(9)]);
        assert_eq!(removed.iter().map(|key| key.public_key.clone().unwrap()).collect::<Vec<_>>(), [public(2)]);
        let text = changes.lines().join("\n");
        for expected in
            ["approver: 1 -> 2 of 2", "COUNTER", "DEVELOPMENT -> production", "2030-01-01T00:00:00Z -> 2031"]
        {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert_eq!(compare(Some(&old), &old).lines(), Vec::<String>::new());
    }

    #[test]
    fn a_key_that_is_swapped_under_its_id_and_a_split_publisher_are_seen() {
        let old = root();
        let mut new = old.clone();
        let id = old.roles["targets"].keyids[0].clone();
        new.keys.insert(id.clone(), Key::ed25519(&[8; 32]));
        let changes = compare(Some(&old), &new);
        assert_eq!(changes.roles[0].added, [KeyOf { id, public_key: Some(public(8)) }]);

        let mut new = old.clone();
        let root_key = old.roles["root"].keyids[0].clone();
        new.roles.get_mut("timestamp").unwrap().keyids.push(root_key);
        let roles: Vec<_> = compare(Some(&old), &new).roles.into_iter().map(|role| role.role).collect();
        assert_eq!(roles, ["publisher (timestamp)"]);
    }
}
