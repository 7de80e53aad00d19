//! What headquarters reads off a phone and hears by telephone.

use consign_format::receipt::base32;
use consign_format::receipt::code::Heard;
use consign_format::receipt::slip::{PREFIX, Slip};
use consign_format::trust::keys::{PublicKey, SecretKey, Signer};

use super::key;

/// What stands before the CBOR of a slip in the signed bytes.
const CONTEXT: &[u8] = b"consign.dev/receipt-slip/v1\n";

/// Behind a first byte of 0 stands a code as it was typed, behind 1 the text of a slip as it came, and behind any other
/// the CBOR of a slip, which the target signs.
pub fn slip(bytes: &[u8]) {
    match bytes.split_first() {
        Some((0, typed)) => code(&String::from_utf8_lossy(typed)),
        Some((1, text)) => read(&String::from_utf8_lossy(text)),
        Some((_, cbor)) => read(&signed(cbor)),
        None => {}
    }
}

/// The text of a slip, whatever it says, with a signature that holds.
pub fn signed(cbor: &[u8]) -> String {
    let signature = key().sign(&[CONTEXT, cbor].concat()).expect("a signature");
    format!("{PREFIX}{}", base32::encode(&[cbor, signature.as_slice()].concat()))
}

/// What is accepted is the one form of what it says, and by this key alone.
fn read(text: &str) {
    let Ok(slip) = Slip::verify(text, &PublicKey::of(key())) else { return };
    let bytes = |text: &str| base32::decode(text.trim().strip_prefix(PREFIX).expect("a slip")).expect("a slip");
    let again = slip.to_text(key()).expect("a signature");
    assert_eq!(bytes(&again), bytes(text));
    assert!(Slip::verify(text, &PublicKey::of(&SecretKey::from_seed(&[2; 32]))).is_err(), "another site's");
}

/// What was heard rightly covers whose it is, and says the same however it is spelt; no MAC but its own will do.
fn code(typed: &str) {
    let Ok(heard) = Heard::read(typed) else { return };
    let spelt = typed.to_uppercase().replace('O', "0").replace(['I', 'L'], "1");
    assert_eq!(Heard::read(&spelt).as_ref(), Ok(&heard));
    let name = |name: &str| name.parse().expect("a name");
    let covered = heard.covered(&name("dev"), &name("ward-7"));
    assert_ne!(covered, heard.covered(&name("dev"), &name("ward-8")));
    let characters: Vec<char> = spelt.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let bytes = base32::decode(&characters[..24].iter().collect::<String>()).expect("fifteen bytes");
    let (body, kept) = bytes.split_at(7);
    assert!(covered.ends_with(body), "what it says is covered");
    let mut mac = [0; 32];
    mac[..8].copy_from_slice(kept);
    if let Some(said) = heard.verify(&mac) {
        assert_eq!(said.release, hex::encode(&body[4..]));
        assert!(said.n < 1 << 24);
    }
    mac[7] ^= 1;
    assert_eq!(heard.verify(&mac), None, "another MAC");
}
