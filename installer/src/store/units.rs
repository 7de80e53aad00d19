//! What is known of the units that a product's releases have touched: how they were before, and what is still to be done.

use std::collections::{BTreeMap, BTreeSet};

use consign_format::Name;
use consign_registry::durable::create_dir;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, state_file};

/// How a unit is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnitState {
    /// It starts with the machine.
    pub enabled: bool,
    /// It runs.
    pub active: bool,
}

/// The units of one product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Units {
    /// How each was before the first release that spoke of it.
    #[serde(default)]
    pub before: BTreeMap<String, UnitState>,
    /// Units that are still to be restarted.
    #[serde(default)]
    pub restart: BTreeSet<String>,
    /// Whether the files of units are still to be read again.
    #[serde(default)]
    pub reload: bool,
}

impl Store {
    fn units_file(&self, domain: &Name, product: &Name) -> std::path::PathBuf {
        self.dir().join("files/units").join(domain.as_str()).join(product.as_str())
    }

    /// Reads what is known of a product's units; nothing, where no release had any.
    pub fn read_units(&self, domain: &Name, product: &Name) -> Result<Units, StoreError> {
        Ok(state_file::read(&self.units_file(domain, product))?.unwrap_or_default())
    }

    /// Replaces it.
    pub(crate) fn write_units(&self, domain: &Name, product: &Name, units: &Units) -> Result<(), StoreError> {
        let path = self.units_file(domain, product);
        if let Some(folder) = path.parent() {
            create_dir(folder, 0o755)?;
        }
        state_file::write(&path, units, 0o644)
    }
}
