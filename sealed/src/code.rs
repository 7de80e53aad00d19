//! The MAC of codes that are read out by telephone: by a key that a site and headquarters share without ever having
//! exchanged one, since each knows the other's age recipient (docs/decisions/0009).
//!
//! ```text
//! shared = X25519(own secret, other's public)                                     RFC 7748
//! key    = HMAC-SHA-256(CONTEXT, shared | the lower public | the higher public)   RFC 5869, extract
//! mac    = HMAC-SHA-256(key, message)
//! ```

use bech32::primitives::decode::CheckedHrpstring;
use curve25519_dalek::MontgomeryPoint;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{Recipient, SealedError, SiteKey};

const CONTEXT: &[u8] = b"consign.dev/receipt-code-key/v1";

/// The MAC of a message by the key that `own` and `other` share. Each side gets the same.
///
/// # Errors
/// [`SealedError::Recipient`]: nobody can hold the key to `other`.
pub fn mac(own: &SiteKey, other: &Recipient, message: &[u8]) -> Result<[u8; 32], SealedError> {
    let refused = |reason| SealedError::Recipient { text: other.to_string(), reason };
    let theirs = payload(other.as_str()).ok_or_else(|| refused("it holds no key"))?;
    let unusable = || SealedError::Key { reason: "it holds no key" };
    let secret = payload(&own.secret()).ok_or_else(unusable)?;
    let ours = payload(own.recipient().as_str()).ok_or_else(unusable)?;
    let shared = MontgomeryPoint(theirs).mul_clamped(secret).to_bytes();
    // A point of small order would make a key that everybody knows (RFC 7748, 6.1).
    if shared == [0; 32] {
        return Err(refused("it is a key that nobody can hold"));
    }
    let (lower, higher) = if ours <= theirs { (ours, theirs) } else { (theirs, ours) };
    let key = hmac(CONTEXT, &[&shared[..], &lower, &higher].concat())?;
    hmac(&key, message)
}

fn hmac(key: &[u8], message: &[u8]) -> Result<[u8; 32], SealedError> {
    let made = Hmac::<Sha256>::new_from_slice(key);
    // HMAC takes keys of any length.
    let mut mac = made.map_err(|error| SealedError::Io(std::io::Error::other(error.to_string())))?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().into())
}

/// The 32 bytes in the text of an age key. Nothing of them is ever shown.
fn payload(text: &str) -> Option<[u8; 32]> {
    let parsed = CheckedHrpstring::new::<bech32::Bech32>(text).ok()?;
    let bytes: Vec<u8> = parsed.byte_iter().collect();
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_have_one_key_and_a_third_has_another() {
        let (site, office, third) = (SiteKey::generate(), SiteKey::generate(), SiteKey::generate());
        let made = mac(&site, &office.recipient(), b"message").unwrap();
        assert_eq!(mac(&office, &site.recipient(), b"message").unwrap(), made);
        assert_ne!(mac(&office, &site.recipient(), b"massage").unwrap(), made);
        assert_ne!(mac(&third, &site.recipient(), b"message").unwrap(), made);
        assert_ne!(mac(&third, &office.recipient(), b"message").unwrap(), made);
    }

    #[test]
    fn the_key_is_that_of_age() {
        // The public half by our own reading is the one that age prints: the secret was read rightly.
        let key = SiteKey::generate();
        let public = MontgomeryPoint::mul_base_clamped(payload(&key.secret()).unwrap()).to_bytes();
        assert_eq!(Some(public), payload(key.recipient().as_str()));
    }

    #[test]
    fn a_recipient_of_small_order_is_refused() {
        let text = bech32::encode::<bech32::Bech32>(bech32::Hrp::parse("age").unwrap(), &[0; 32]).unwrap();
        let Ok(nobody) = text.parse::<Recipient>() else { return };
        assert!(matches!(mac(&SiteKey::generate(), &nobody, b"m"), Err(SealedError::Recipient { .. })));
    }
}
