//! Holds: what nobody may activate for now, who said so, and until when. One small file, replaced as a whole.

use std::collections::BTreeMap;

use consign_format::Name;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, state_file};

/// A hold on one product, or on all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    /// Why, in one line.
    pub reason: String,
    /// Since when: seconds since 1970 by the site's clock.
    pub since: u64,
    /// When it ends by itself: seconds since 1970. Without it, somebody has to lift it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl Hold {
    /// Whether it is in force at a moment.
    pub fn is_on(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// All holds of a site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Holds {
    /// The hold on everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<Hold>,
    /// Holds on single products.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub products: BTreeMap<Name, Hold>,
}

impl Holds {
    /// Reads the holds of a site; none where nobody ever held anything.
    pub fn read(store: &Store) -> Result<Self, StoreError> {
        Ok(state_file::read(&store.holds_file())?.unwrap_or_default())
    }

    /// Puts them on the disk.
    pub fn write(&self, store: &Store) -> Result<(), StoreError> {
        state_file::write(&store.holds_file(), self, 0o644)
    }

    /// The hold that keeps a product from being activated at a moment, and what it is on, in words.
    pub fn on(&self, product: &Name, now: u64) -> Option<(String, &Hold)> {
        let all = self.all.as_ref().map(|hold| ("everything".to_owned(), hold));
        let one = self.products.get(product).map(|hold| (product.to_string(), hold));
        all.into_iter().chain(one).find(|(_, hold)| hold.is_on(now))
    }

    /// The holds in force at a moment, each in words.
    pub fn in_words(&self, now: u64) -> Vec<String> {
        let all = self.all.iter().map(|hold| ("everything".to_owned(), hold));
        let one = self.products.iter().map(|(product, hold)| (product.to_string(), hold));
        let on = all.chain(one).filter(|(_, hold)| hold.is_on(now));
        on.map(|(what, hold)| format!("{what}: {}", hold.reason)).collect()
    }

    /// Sets the hold on a product, or on everything.
    pub fn set(&mut self, product: Option<Name>, hold: Hold) {
        match product {
            Some(product) => drop(self.products.insert(product, hold)),
            None => self.all = Some(hold),
        }
    }

    /// Ends the hold on a product, or the one on everything. Returns it, if there was one.
    pub fn lift(&mut self, product: Option<&Name>) -> Option<Hold> {
        match product {
            Some(product) => self.products.remove(product),
            None => self.all.take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_on_until_its_time_or_until_it_is_lifted() {
        let (lamp, other): (Name, Name) = ("lamp".parse().unwrap(), "other".parse().unwrap());
        let hold = |until| Hold { reason: "audit".to_owned(), since: 10, until };
        let mut holds = Holds::default();
        holds.set(Some(lamp.clone()), hold(Some(100)));
        assert!(holds.on(&lamp, 99).is_some() && holds.on(&lamp, 100).is_none() && holds.on(&other, 50).is_none());
        holds.set(None, hold(None));
        assert_eq!(holds.on(&other, u64::MAX).unwrap().0, "everything");
        assert_eq!(holds.lift(None), Some(hold(None)));
        assert_eq!(holds.lift(None), None);
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        store.create().unwrap();
        assert_eq!(Holds::read(&store).unwrap(), Holds::default());
        holds.write(&store).unwrap();
        assert_eq!(Holds::read(&store).unwrap(), holds);
    }
}
