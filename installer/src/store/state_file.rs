//! Small files of state: a checksum in front, one JSON document behind it, replaced as a whole.
//!
//! The checksum is no protection against people (who can write here, can do anything); it tells a file that a
//! dying disk or a half-written restore left from one that this program wrote.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use consign_format::Digest;
use consign_registry::durable::{DurableError, Folder, Step, write_file};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// No file of state comes near this: the roots of eighty years are some megabytes.
const LIMIT: u64 = 64 << 20;

/// Returns the bytes of a state file: `sha256:HEX`, a line feed, the document, a line feed.
fn encode<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, StoreError> {
    let document =
        serde_json::to_vec(value).map_err(|source| StoreError::Unwritable { path: path.to_owned(), source })?;
    let mut bytes = format!("{}\n", Digest::of(&document)).into_bytes();
    bytes.extend(document);
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads what [`encode`] wrote and refuses everything else.
fn decode<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    let damaged = |reason: &str| StoreError::damaged(path, reason);
    let newline = bytes.iter().position(|&b| b == b'\n').ok_or_else(|| damaged("it has no checksum"))?;
    let checksum = std::str::from_utf8(&bytes[..newline]).ok().and_then(|text| text.parse::<Digest>().ok());
    let checksum = checksum.ok_or_else(|| damaged("it has no checksum"))?;
    let document = bytes[newline + 1..].strip_suffix(b"\n").ok_or_else(|| damaged("it ends early"))?;
    if Digest::of(document) != checksum {
        return Err(damaged("its checksum does not hold"));
    }
    serde_json::from_slice(document).map_err(|error| damaged(&error.to_string()))
}

/// Replaces a state file as a whole; after a power cut it is the old one or the new one.
pub fn write<T: Serialize>(path: &Path, value: &T, mode: u32) -> Result<(), StoreError> {
    Ok(write_file(path, &encode(path, value)?, mode)?)
}

/// Reads a state file; `None` where there is none. Whether that may be is for the caller to know.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    match read_bytes(path, LIMIT)? {
        Some(bytes) => decode(path, &bytes).map(Some),
        None => Ok(None),
    }
}

/// Reads a regular file of the store, at most `limit` bytes; a link or a folder in its place is refused.
pub(crate) fn read_bytes(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    let folder = match Folder::open(folder) {
        Err(DurableError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let Some(file) = folder.open_file(OsStr::new(name))? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| DurableError::io(Step::Read, path, source))?;
    if bytes.len() as u64 > limit {
        return Err(StoreError::damaged(path, "it is larger than any such file can be"));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_every_flipped_byte_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), None);
        write(&path, &vec![1u32, 2, 3], 0o600).unwrap();
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), Some(vec![1, 2, 3]));
        let good = encode(&path, &vec![1u32, 2, 3]).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(matches!(decode::<Vec<u32>>(&path, &bad), Err(StoreError::Damaged { .. })), "byte {at}");
            assert!(matches!(decode::<Vec<u32>>(&path, &good[..at]), Err(StoreError::Damaged { .. })), "cut at {at}");
        }
        let longer = [good.as_slice(), b"\n"].concat();
        assert!(matches!(decode::<Vec<u32>>(&path, &longer), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_link_in_place_of_state_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("state")).unwrap();
        assert!(read::<u32>(&dir.path().join("state")).is_err());
    }
}
