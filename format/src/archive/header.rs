//! The one header a member can have.
//!
//! ustar (POSIX.1-2017, pax §"ustar Interchange Format"): name up to 100 bytes, empty prefix, mode 0644,
//! no owner, no time, a regular file. Sizes of 8 GiB and more are written in GNU's base-256, the one departure.

use crate::canonical::MAX_INTEGER;

/// Bytes in a header and in a block.
pub const BLOCK: u64 = 512;
/// Bytes after the last member: two zero blocks.
pub const END_LENGTH: u64 = 2 * BLOCK;
/// The longest member name.
pub const NAME_MAX: usize = 100;

/// Why a header cannot be written or is not the canonical one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The name is empty, too long, or has characters a member name must not have.
    #[error("`{0}` is not a member name")]
    Name(String),
    /// The size is not one a member can have.
    #[error("a member cannot have the size it claims")]
    Size,
    /// The block differs from the canonical header of its name and size.
    #[error("the header of `{0}` is not the canonical one")]
    NotCanonical(String),
}

/// Returns how many zero bytes follow content of this length.
pub const fn padding(length: u64) -> u64 {
    (BLOCK - length % BLOCK) % BLOCK
}

/// Returns the length of header, content and padding together; `None` where that exceeds 2^63.
pub fn stored(length: u64) -> Option<u64> {
    let total = length.checked_add(padding(length))?.checked_add(BLOCK)?;
    (total <= i64::MAX as u64).then_some(total)
}

/// Makes the header of a member.
pub fn canonical(name: &str, length: u64) -> Result<[u8; 512], HeaderError> {
    if !is_member_name(name) {
        return Err(HeaderError::Name(name.to_owned()));
    }
    if length > MAX_INTEGER {
        return Err(HeaderError::Size);
    }
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(length);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// Reads the name and length of a header and refuses any other than the canonical one.
pub fn parse(block: &[u8; 512]) -> Result<(String, u64), HeaderError> {
    let end = block[..NAME_MAX].iter().position(|&b| b == 0).unwrap_or(NAME_MAX);
    let name = String::from_utf8_lossy(&block[..end]).into_owned();
    let length = tar::Header::from_byte_slice(block).entry_size().map_err(|_| HeaderError::Size)?;
    if canonical(&name, length)? != *block {
        return Err(HeaderError::NotCanonical(name));
    }
    Ok((name, length))
}

/// `[a-z0-9][-a-z0-9.]*` between single slashes, no component of dots, at most 100 bytes.
fn is_member_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= NAME_MAX
        && name.split('/').all(|part| {
            part.bytes().next().is_some_and(plain)
                && part.bytes().all(|b| plain(b) || b == b'-' || b == b'.')
                && !part.ends_with('.')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 511, 512, 8_589_934_591, 8_589_934_592, MAX_INTEGER] {
            let header = canonical("blobs/sha256/ab", length).unwrap();
            assert_eq!(parse(&header), Ok(("blobs/sha256/ab".to_owned(), length)));
        }
    }

    #[test]
    fn every_flipped_bit_is_refused_or_another_member() {
        let header = canonical("index.json", 1234).unwrap();
        for bit in 0..512 * 8 {
            let mut flipped = header;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn tricky_names_are_refused() {
        for name in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            ".",
            "a/.b",
            "a.",
            "A",
            "a\\b",
            "ä",
            "a\u{202e}b",
            &"a".repeat(101),
        ] {
            assert!(canonical(name, 0).is_err(), "{name}");
        }
    }
}
