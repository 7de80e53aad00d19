//! Receipts on the disk: one file each, numbered, never replaced, each naming the digest of the one before.

use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_format::receipt::{self, Receipt};
use consign_format::trust::keys::PublicKey;
use consign_registry::durable::{DurableError, Folder, Step, create_dir, write_new_file};

use super::{Store, StoreError, state_file};

/// A receipt is some kilobytes; a release of 100 000 objects with a reason each would still fit.
const LIMIT: u64 = 64 << 20;

/// A receipt and the file it lies in.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The receipt, its signature checked.
    pub receipt: Receipt,
    /// The file, as it is handed to headquarters.
    pub bytes: Vec<u8>,
    /// The name of the file.
    pub name: String,
}

/// Which receipts were copied into a folder to be carried back. It decides nothing.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Exported {
    enrolment: String,
    n: u64,
}

impl Store {
    fn receipt_file(&self, n: u64) -> PathBuf {
        self.receipts_dir().join(file_name(n))
    }

    /// The highest number there is; 0 where there is no receipt.
    pub fn last_receipt_number(&self) -> Result<u64, StoreError> {
        let folder = self.receipts_dir();
        let unreadable = |source| DurableError::io(Step::Read, &folder, source);
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { path: folder });
            }
            other => other.map_err(unreadable)?,
        };
        let mut last = 0;
        for entry in entries {
            last = last.max(number_of(&entry.map_err(unreadable)?.file_name()).unwrap_or(0));
        }
        Ok(last)
    }

    /// The receipts whose own signature holds by one of the keys, of chains that may be torn: this enrolment's and those
    /// that were set aside.
    pub(crate) fn signed_receipts(&self, keys: &[PublicKey]) -> Vec<Receipt> {
        let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
        let folder = self.receipts_dir();
        let aside = entries(&folder).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let folders = aside.map(|entry| entry.path()).chain([folder.clone()]);
        let files = folders.flat_map(|folder| entries(&folder)).filter(|file| number_of(&file.file_name()).is_some());
        let bytes = files.filter_map(|file| state_file::read_bytes(&file.path(), LIMIT).ok().flatten());
        bytes.filter_map(|bytes| keys.iter().find_map(|key| receipt::verify(&bytes, key).ok())).collect()
    }

    /// Moves the receipts of an enrolment that has ended into a folder of their own. What was moved already stays moved,
    /// so it may be run again.
    pub(crate) fn set_receipts_aside(&self, name: &str) -> Result<(), StoreError> {
        let (folder, aside) = (self.receipts_dir(), self.receipts_dir().join(name));
        create_dir(&folder, 0o755)?;
        let unreadable = |source| DurableError::io(Step::Read, &folder, source);
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.file_name();
            if number_of(&file).is_none() {
                continue;
            }
            create_dir(&aside, 0o755)?;
            let (from, to) = (folder.join(&file), aside.join(&file));
            rustix::fs::rename(&from, &to).map_err(|error| DurableError::io(Step::Rename, &from, error))?;
        }
        if aside.exists() {
            Folder::open(&aside)?.sync()?;
        }
        Ok(Folder::open(&folder)?.sync()?)
    }

    /// The receipts of enrolments that have ended: their names and bytes, as they are. Nothing is checked: headquarters
    /// has the keys that this site has no longer.
    pub fn receipts_set_aside(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let folder = self.receipts_dir();
        let unreadable = |source| DurableError::io(Step::Read, &folder, source);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let aside = entry.map_err(unreadable)?;
            if !aside.file_type().map_err(unreadable)?.is_dir() {
                continue;
            }
            for file in std::fs::read_dir(aside.path()).map_err(unreadable)? {
                let file = file.map_err(unreadable)?;
                if number_of(&file.file_name()).is_none() {
                    continue;
                }
                let name = format!("{}-{}", aside.file_name().display(), file.file_name().display());
                found.extend(state_file::read_bytes(&file.path(), LIMIT)?.map(|bytes| (name, bytes)));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Reads one receipt and checks its signature; `None` where there is none of that number.
    pub fn read_receipt(&self, n: u64, key: &PublicKey) -> Result<Option<Kept>, StoreError> {
        let path = self.receipt_file(n);
        let Some(bytes) = state_file::read_bytes(&path, LIMIT)? else { return Ok(None) };
        let receipt = receipt::verify(&bytes, key).map_err(|error| StoreError::damaged(&path, error.to_string()))?;
        if receipt.n != n {
            return Err(StoreError::damaged(path, format!("it is receipt {}", receipt.n)));
        }
        Ok(Some(Kept { receipt, bytes, name: file_name(n) }))
    }

    /// Reads the whole chain, oldest first, and refuses a gap.
    pub fn read_receipts(&self, key: &PublicKey) -> Result<Vec<Kept>, StoreError> {
        let mut chain: Vec<Kept> = Vec::new();
        for n in 1..=self.last_receipt_number()? {
            let path = self.receipt_file(n);
            let kept = self.read_receipt(n, key)?.ok_or_else(|| StoreError::Missing { path: path.clone() })?;
            // The first one may name the last of an enrolment that was recovered from.
            if n > 1 && kept.receipt.previous != chain.last().map(|before| Digest::of(&before.bytes)) {
                return Err(StoreError::damaged(path, "it does not follow the receipt before it"));
            }
            chain.push(kept);
        }
        Ok(chain)
    }

    /// The highest number of an enrolment that was ever copied into a folder to be carried back; 0 where none was.
    pub fn exported(&self, enrolment: &str) -> Result<u64, StoreError> {
        let exported: Option<Exported> = state_file::read(&self.exported_file())?;
        Ok(exported.filter(|one| one.enrolment == enrolment).map_or(0, |one| one.n))
    }

    /// Notes that all receipts up to this one were copied.
    pub fn set_exported(&self, enrolment: &str, n: u64) -> Result<(), StoreError> {
        state_file::write(&self.exported_file(), &Exported { enrolment: enrolment.to_owned(), n }, 0o644)
    }

    fn exported_file(&self) -> PathBuf {
        self.journal_dir().join("exported")
    }

    /// Adds a receipt to the chain. One that is there already is never replaced.
    pub fn write_receipt(&self, n: u64, bytes: &[u8]) -> Result<(), StoreError> {
        Ok(write_new_file(&self.receipt_file(n), bytes, 0o444)?)
    }
}

fn number_of(file: &std::ffi::OsStr) -> Option<u64> {
    file.to_str().and_then(|name| name.strip_suffix(".json")).and_then(|number| number.parse().ok())
}

fn file_name(n: u64) -> String {
    format!("{n:06}.json")
}
