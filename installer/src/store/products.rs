//! What one product is at this site: current, previous, staged, failed. One small file, replaced as a whole.
//!
//! The transitions are pure and stand in one place, so that a power cut between two of them leaves a state that
//! has a name. Nothing else writes these fields.

use consign_format::receipt::{ByteCounts, Phase};
use consign_format::{Digest, Name};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, state_file};

/// A release, as far as a site has to know it without opening its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseRef {
    /// The release's digest.
    pub digest: Digest,
    /// The version people speak of.
    pub version: String,
    /// What decides which release is newer.
    pub sequence: u64,
    /// The line of versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Name>,
    /// The id of the bundle that brought it.
    pub bundle: Digest,
}

/// The release that runs, or is being brought to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Current {
    /// The release.
    pub release: ReleaseRef,
    /// Whether it has become healthy. Unconfirmed: an install is under way, was cut off, or was halted.
    pub confirmed: bool,
}

/// A release that is complete here and waits to be activated, with what its activation has to know of how it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Staged {
    /// The release.
    pub release: ReleaseRef,
    /// The version of the root under which its approval was checked.
    pub root: u64,
    /// Whether a person asked for its activation, and a gate was closed: `watch` may go on when it opens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agreed: bool,
    /// When, by the site's clock: seconds since 1970.
    pub at: u64,
    /// The phases so far, for the receipt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// Bytes moved, for the receipt.
    #[serde(default)]
    pub bytes: ByteCounts,
    /// What somebody should look at, for the receipt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Going back is under way: a power cut must not turn it into another try of what failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Returning {
    /// Why.
    pub reasons: Vec<String>,
    /// Whether a person asked for it.
    pub by_hand: bool,
}

/// One product at this site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProductState {
    /// The domain; a copy of another domain's file is noticed.
    pub domain: Name,
    /// The product.
    pub product: Name,
    /// What runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Current>,
    /// What ran before and is complete here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ReleaseRef>,
    /// What is complete here and was not activated yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Staged>,
    /// What was tried, did not become healthy, and is not tried again unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<ReleaseRef>,
    /// That the current release is being taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returning: Option<Returning>,
}

impl ProductState {
    /// A product of which nothing is here yet.
    pub fn new(domain: Name, product: Name) -> Self {
        ProductState { domain, product, current: None, previous: None, staged: None, failed: None, returning: None }
    }

    /// stage: the release is complete here. The current one stays what it is.
    pub fn stage(&mut self, staged: Staged) {
        let is_current = self.current.as_ref().is_some_and(|current| current.release.digest == staged.release.digest);
        // Staged once more, it is what a person agreed to.
        let before = self.staged.take().filter(|before| before.release.digest == staged.release.digest);
        let agreed = staged.agreed || before.is_some_and(|before| before.agreed);
        self.staged = (!is_current).then_some(Staged { agreed, ..staged });
    }

    /// activate: previous := the confirmed current, current := staged, unconfirmed.
    ///
    /// Without anything staged the current one is activated again: an install that was cut off, or a repair.
    /// An unconfirmed current is no previous: what was confirmed before it stays.
    pub fn activate(&mut self) {
        let Some(Staged { release, .. }) = self.staged.take() else { return };
        self.returning = None;
        let before = self.current.replace(Current { release, confirmed: false });
        if let Some(before) = before.filter(|before| before.confirmed) {
            self.previous = Some(before.release);
        }
    }

    /// confirm: the current release is healthy.
    pub fn confirm(&mut self) {
        if let Some(current) = &mut self.current {
            current.confirmed = true;
            self.failed = None;
        }
    }

    /// The current release is about to be taken back.
    pub fn turn_back(&mut self, returning: Returning) {
        if let Some(current) = &mut self.current {
            current.confirmed = false;
            self.returning = Some(returning);
        }
    }

    /// rollback: current := previous, confirmed; failed := the bad one.
    pub fn rollback(&mut self) {
        self.returning = None;
        let bad = self.current.take().map(|current| current.release);
        self.current = self.previous.take().map(|release| Current { release, confirmed: true });
        self.failed = bad;
    }

    /// halt: the bad one stays current, unconfirmed, and is remembered.
    pub fn halt(&mut self) {
        self.returning = None;
        self.failed = self.current.as_ref().map(|current| current.release.clone());
    }

    /// The release that runs and was healthy: what `requires` and `upgradeFrom` look at.
    pub fn confirmed(&self) -> Option<&ReleaseRef> {
        self.current.as_ref().filter(|current| current.confirmed).map(|current| &current.release)
    }

    /// Every release whose content must stay.
    pub fn held(&self) -> impl Iterator<Item = &ReleaseRef> {
        let current = self.current.as_ref().map(|current| &current.release);
        let staged = self.staged.as_ref().map(|staged| &staged.release);
        current.into_iter().chain(&self.previous).chain(staged)
    }

    /// The release that waits to be activated: what is staged, or a current one whose activation did not end.
    pub fn waiting(&self) -> Option<&ReleaseRef> {
        let cut_off = self.current.as_ref().filter(|current| !current.confirmed).map(|current| &current.release);
        self.staged.as_ref().map(|staged| &staged.release).or(cut_off)
    }
}

impl Store {
    /// Reads a product's file; `None` where nothing of it was ever here.
    pub fn read_product(&self, domain: &Name, product: &Name) -> Result<Option<ProductState>, StoreError> {
        let path = self.product_file(domain, product);
        let Some(state) = state_file::read::<ProductState>(&path)? else { return Ok(None) };
        if state.domain != *domain || state.product != *product {
            return Err(StoreError::damaged(path, "it speaks of another product"));
        }
        Ok(Some(state))
    }

    /// Replaces a product's file.
    pub fn write_product(&self, state: &ProductState) -> Result<(), StoreError> {
        let path = self.product_file(&state.domain, &state.product);
        if let Some(folder) = path.parent() {
            consign_registry::durable::create_dir(folder, 0o755)?;
        }
        state_file::write(&path, state, 0o644)
    }

    /// Reads the files of all products of all domains, in the order of their names.
    pub fn products(&self) -> Result<Vec<ProductState>, StoreError> {
        let mut products = Vec::new();
        for domain in names_in(&self.dir().join("products"))? {
            for product in names_in(&self.dir().join("products").join(domain.as_str()))? {
                products.extend(self.read_product(&domain, &product)?);
            }
        }
        Ok(products)
    }
}

/// The names in a folder, ascending; what is no name (a draft that a power cut left) is passed over.
pub(super) fn names_in(folder: &std::path::Path) -> Result<Vec<Name>, StoreError> {
    use consign_registry::durable::{DurableError, Step};
    let unreadable = |source| DurableError::io(Step::Read, folder, source);
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(unreadable)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        names.extend(name.to_str().and_then(|name| name.parse::<Name>().ok()));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(sequence: u64) -> ReleaseRef {
        let digest = Digest::of(&sequence.to_le_bytes());
        ReleaseRef { digest, version: sequence.to_string(), sequence, line: None, bundle: digest }
    }

    fn staged(sequence: u64) -> Staged {
        let (phases, bytes, warnings) = (Vec::new(), ByteCounts::default(), Vec::new());
        Staged { release: release(sequence), root: 1, agreed: false, at: 0, phases, bytes, warnings }
    }

    fn product() -> ProductState {
        ProductState::new("d".parse().unwrap(), "p".parse().unwrap())
    }

    /// current (with `!` when unconfirmed), previous, staged, failed; by sequence.
    fn show(state: &ProductState) -> String {
        let one = |release: &Option<ReleaseRef>| release.as_ref().map_or("-".to_owned(), |r| r.sequence.to_string());
        let current = state.current.as_ref().map_or("-".to_owned(), |current| {
            format!("{}{}", current.release.sequence, if current.confirmed { "" } else { "!" })
        });
        format!(
            "{current} {} {} {}",
            one(&state.previous),
            one(&state.staged.as_ref().map(|staged| staged.release.clone())),
            one(&state.failed)
        )
    }

    #[test]
    fn the_life_of_a_product() {
        let mut state = product();
        let mut story = Vec::new();
        let mut then = |state: &ProductState| story.push(show(state));
        state.stage(staged(1));
        then(&state);
        state.activate();
        then(&state);
        state.confirm();
        then(&state);
        state.stage(staged(2));
        state.activate();
        then(&state);
        state.rollback();
        then(&state);
        state.stage(staged(3));
        state.activate();
        // A power cut, then a newer release instead: what was confirmed stays the previous one.
        state.stage(staged(4));
        state.activate();
        then(&state);
        state.halt();
        then(&state);
        state.stage(staged(4));
        state.activate();
        state.confirm();
        then(&state);
        assert_eq!(story, ["- - 1 -", "1! - - -", "1 - - -", "2! 1 - -", "1 - - 2", "4! 1 - 2", "4! 1 - 4", "4 1 - -"]);
    }

    #[test]
    fn a_first_release_that_fails_leaves_nothing_current() {
        let mut state = product();
        state.stage(staged(1));
        state.activate();
        state.rollback();
        assert_eq!(show(&state), "- - - 1");
    }

    #[test]
    fn files_are_kept_per_domain() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        store.create().unwrap();
        let mut state = product();
        state.stage(staged(1));
        store.write_product(&state).unwrap();
        assert_eq!(store.products().unwrap(), [state.clone()]);
        let other: Name = "other".parse().unwrap();
        std::fs::create_dir(root.path().join("var/lib/consign/products/other")).unwrap();
        std::fs::copy(store.product_file(&state.domain, &state.product), store.product_file(&other, &state.product))
            .unwrap();
        assert!(matches!(store.products(), Err(StoreError::Damaged { .. })), "a copy of another domain's file");
    }
}
