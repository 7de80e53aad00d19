//! The member `keys`: for each recipient a slot with the bundle's key, wrapped for it.
//!
//! Slots have one size and ascend by the recipient's id, so that a site finds its own among 20 000 with fifteen seeks
//! and reads no other.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom, Write};

use consign_format::Digest;

use crate::{Recipient, SealedError, SiteKey, message};

/// Bytes of a slot: 32 of the recipient's id, 2 of a length (big-endian), the age file of that length, zeros.
///
/// An age file of a key is at most 468 bytes with the longest grease that age adds; 478 fit.
pub(crate) const SIZE: u64 = 512;
const ID: usize = 32;
const START: usize = ID + 2;
/// An age identity as text, `AGE-SECRET-KEY-1…`.
const KEY_TEXT: u64 = 74;

/// Writes one slot per recipient.
pub(crate) fn write(
    mut out: impl Write,
    recipients: &BTreeSet<Recipient>,
    bundle_key: &SiteKey,
) -> Result<(), SealedError> {
    let text = bundle_key.secret();
    for recipient in recipients {
        let wrapped = message::encrypt(recipient, text.as_bytes())?;
        let mut slot = [0; SIZE as usize];
        slot[..ID].copy_from_slice(recipient.id().as_bytes());
        let length = u16::try_from(wrapped.len()).ok().filter(|length| START + usize::from(*length) <= slot.len());
        let length = length.ok_or_else(|| io::Error::other("an age file is longer than a slot"))?;
        slot[ID..START].copy_from_slice(&length.to_be_bytes());
        slot[START..START + wrapped.len()].copy_from_slice(&wrapped);
        out.write_all(&slot)?;
    }
    Ok(())
}

/// Finds a recipient's slot among `count` and unwraps the bundle's key; `None` where there is no slot for it.
pub(crate) fn find<R: Read + Seek>(mut slots: R, count: u64, key: &SiteKey) -> Result<Option<SiteKey>, SealedError> {
    let wanted = *key.recipient().id();
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        let mut slot = [0; SIZE as usize];
        slots.seek(SeekFrom::Start(middle * SIZE))?;
        slots.read_exact(&mut slot)?;
        let mut id = [0; ID];
        id.copy_from_slice(&slot[..ID]);
        match Digest::from_bytes(id).cmp(&wanted) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return unwrap(&slot, key).map(Some),
        }
    }
    Ok(None)
}

fn unwrap(slot: &[u8; SIZE as usize], key: &SiteKey) -> Result<SiteKey, SealedError> {
    let refused = || SealedError::damaged("the slot of this recipient is malformed");
    let length = usize::from(u16::from_be_bytes([slot[ID], slot[ID + 1]]));
    let (wrapped, rest) = slot[START..].split_at_checked(length).ok_or_else(refused)?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(refused());
    }
    let text = message::decrypt(key, wrapped, KEY_TEXT)?;
    std::str::from_utf8(&text).ok().and_then(|text| SiteKey::from_text(text).ok()).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipient_finds_its_own_slot_and_nobody_else_does() {
        let keys: Vec<SiteKey> = (0..9).map(|_| SiteKey::generate()).collect();
        let recipients: BTreeSet<Recipient> = keys.iter().map(SiteKey::recipient).collect();
        let bundle_key = SiteKey::generate();
        let mut out = Vec::new();
        write(&mut out, &recipients, &bundle_key).unwrap();
        assert_eq!(out.len(), 9 * 512);
        let find = |key: &SiteKey| find(io::Cursor::new(&out), 9, key).unwrap().map(|key| key.recipient());
        for key in &keys {
            assert_eq!(find(key), Some(bundle_key.recipient()));
        }
        assert_eq!(find(&SiteKey::generate()), None);
    }

    #[test]
    fn the_longest_wrapped_key_fits() {
        let (bundle_key, recipient) = (SiteKey::generate(), SiteKey::generate().recipient());
        assert_eq!(bundle_key.secret().len() as u64, KEY_TEXT);
        let longest = (0..2000).map(|_| message::encrypt(&recipient, bundle_key.secret().as_bytes()).unwrap().len());
        assert!(START + longest.max().unwrap() <= SIZE as usize);
    }
}
