//! The slip: what a receipt says, so short that one QR code holds it, signed by the site's key.
//!
//! It is a document of its own, for a receipt's signature covers the whole receipt. It names the receipt's file by digest,
//! so that the two are matched when the file arrives. What is signed begins with a line that no other document begins
//! with: a signature under a slip is none under anything else.
//!
//! ```text
//! CONSIGN1:  base32( CBOR array of 12 | 64 bytes of Ed25519 over CONTEXT and the CBOR )
//! ```

use serde::Serialize;

use super::cbor::{Reader, Writer};
use super::{Action, ClockQuality, Outcome, Receipt, base32};
use crate::trust::TrustError;
use crate::trust::keys::{PublicKey, SignError, Signer, sign_bytes};
use crate::{Digest, Name};

/// How the text begins.
pub const PREFIX: &str = "CONSIGN1:";
/// What stands before the CBOR in the signed bytes.
const CONTEXT: &[u8] = b"consign.dev/receipt-slip/v1\n";
/// The first field.
const VERSION: u64 = 1;
const FIELDS: u64 = 12;
const DOCUMENT: &str = "the slip";
/// Longer none is; a QR code ends soon after.
const LONGEST: usize = 4096;

/// What a slip says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Slip {
    /// The domain.
    pub domain: Name,
    /// The site.
    pub site: Name,
    /// The enrolment.
    pub enrolment: String,
    /// The number of the receipt.
    pub n: u64,
    /// What was done.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// With which release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<SlipRelease>,
    /// For a change of the root: the version that is trusted from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<u64>,
    /// The digest of the receipt's file.
    pub receipt: Digest,
    /// When, by the site's clock: seconds since 1970.
    pub at: u64,
    /// How far that clock can be believed.
    pub quality: ClockQuality,
}

/// The release a slip speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlipRelease {
    /// The product.
    pub product: Name,
    /// The version.
    pub version: String,
    /// The sequence.
    pub sequence: u64,
    /// The release's digest.
    pub digest: Digest,
}

impl Slip {
    /// What a receipt says, and which file it is.
    pub fn of(receipt: &Receipt, file: &[u8]) -> Self {
        let release = receipt.release.as_ref().map(|release| SlipRelease {
            product: release.product.clone(),
            version: release.version.clone(),
            sequence: release.sequence,
            digest: release.digest,
        });
        Slip {
            domain: receipt.domain.clone(),
            site: receipt.site.clone(),
            enrolment: receipt.enrolment.clone(),
            n: receipt.n,
            action: receipt.action,
            outcome: receipt.outcome,
            release,
            root: receipt.root,
            receipt: Digest::of(file),
            at: receipt.clock.now,
            quality: receipt.clock.quality,
        }
    }

    fn cbor(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.array(FIELDS);
        out.uint(VERSION);
        out.text(self.domain.as_str());
        out.text(self.site.as_str());
        out.text(&self.enrolment);
        out.uint(self.n);
        out.uint(action_number(self.action));
        out.uint(outcome_number(self.outcome));
        match &self.release {
            None => out.null(),
            Some(release) => {
                out.array(4);
                out.text(release.product.as_str());
                out.text(&release.version);
                out.uint(release.sequence);
                out.bytes(release.digest.as_bytes());
            }
        }
        match self.root {
            None => out.null(),
            Some(root) => out.uint(root),
        }
        out.bytes(self.receipt.as_bytes());
        out.uint(self.at);
        out.uint(u64::from(self.quality == ClockQuality::Suspect));
        out.0
    }

    fn read(cbor: &[u8]) -> Option<Self> {
        let mut from = Reader(cbor);
        from.array(FIELDS)?;
        (from.uint()? == VERSION).then_some(())?;
        let (domain, site, enrolment) =
            (from.text()?.parse().ok()?, from.text()?.parse().ok()?, from.text()?.to_owned());
        let (n, action, outcome) = (from.uint()?, action_of(from.uint()?)?, outcome_of(from.uint()?)?);
        let release = if from.null() { None } else { Some(SlipRelease::read(&mut from)?) };
        let root = if from.null() { None } else { Some(from.uint()?) };
        let (receipt, at) = (Digest::from_bytes(from.bytes()?.try_into().ok()?), from.uint()?);
        let quality =
            [ClockQuality::Plausible, ClockQuality::Suspect].get(usize::try_from(from.uint()?).ok()?).copied()?;
        let slip = Slip { domain, site, enrolment, n, action, outcome, release, root, receipt, at, quality };
        // Whatever was not in its one form comes out otherwise.
        (slip.cbor() == cbor).then_some(slip)
    }

    /// Signs it, and writes it as the text of a QR code.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn to_text(&self, signer: &dyn Signer) -> Result<String, SignError> {
        let cbor = self.cbor();
        let signature = sign_bytes(&[CONTEXT, &cbor].concat(), signer)?;
        Ok(format!("{PREFIX}{}", base32::encode(&[&cbor[..], &signature].concat())))
    }

    /// Reads a text and checks the site's signature.
    ///
    /// # Errors
    /// [`TrustError`]: it is no slip, or this key has not signed it.
    pub fn verify(text: &str, site_key: &PublicKey) -> Result<Self, TrustError> {
        let form = |reason: &str| TrustError::Form { document: DOCUMENT.to_owned(), reason: reason.to_owned() };
        let text = text.trim();
        let body = text.strip_prefix(PREFIX).ok_or_else(|| form("it does not begin with CONSIGN1:"))?;
        if body.len() > LONGEST {
            return Err(form("it is longer than any slip"));
        }
        let bytes = base32::decode(body).ok_or_else(|| form("a character in it is none of its alphabet"))?;
        let (cbor, signature) = bytes.split_last_chunk::<64>().ok_or_else(|| form("it is cut off"))?;
        site_key.check_bytes(DOCUMENT, &[CONTEXT, cbor].concat(), signature)?;
        Slip::read(cbor).ok_or_else(|| form("what is signed is no slip of this version"))
    }
}

impl SlipRelease {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.array(4)?;
        let (product, version, sequence) = (from.text()?.parse().ok()?, from.text()?.to_owned(), from.uint()?);
        Some(SlipRelease { product, version, sequence, digest: Digest::from_bytes(from.bytes()?.try_into().ok()?) })
    }
}

/// The number of an action, in slips and codes.
pub(super) fn action_number(action: Action) -> u64 {
    match action {
        Action::Activate => 0,
        Action::Rollback => 1,
        Action::RootChange => 2,
    }
}

pub(super) fn action_of(number: u64) -> Option<Action> {
    [Action::Activate, Action::Rollback, Action::RootChange].get(usize::try_from(number).ok()?).copied()
}

/// The number of an outcome, in slips and codes.
pub(super) fn outcome_number(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Applied => 0,
        Outcome::RolledBack => 1,
        Outcome::Failed => 2,
        Outcome::Halted => 3,
    }
}

pub(super) fn outcome_of(number: u64) -> Option<Outcome> {
    let all = [Outcome::Applied, Outcome::RolledBack, Outcome::Failed, Outcome::Halted];
    all.get(usize::try_from(number).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::keys::SecretKey;

    fn slip() -> Slip {
        Slip {
            domain: "lumen".parse().unwrap(),
            site: "ward-7".parse().unwrap(),
            enrolment: "0123456789abcdef".repeat(2),
            n: 300,
            action: Action::Activate,
            outcome: Outcome::RolledBack,
            release: Some(SlipRelease {
                product: "viewer".parse().unwrap(),
                version: "2026.11.0".to_owned(),
                sequence: 1_790_000_000,
                digest: Digest::of(b"release"),
            }),
            root: None,
            receipt: Digest::of(b"file"),
            at: 1_790_000_100,
            quality: ClockQuality::Suspect,
        }
    }

    #[test]
    fn a_slip_survives_and_is_short() {
        let key = SecretKey::from_seed(&[7; 32]);
        let changed = Slip { release: None, root: Some(4), action: Action::RootChange, ..slip() };
        for slip in [slip(), changed] {
            let text = slip.to_text(&key).unwrap();
            assert_eq!(Slip::verify(&text, &PublicKey::of(&key)).unwrap(), slip);
            assert_eq!(
                Slip::verify(
                    &format!(" {}\n", text.to_lowercase().replace("consign1", "CONSIGN1")),
                    &PublicKey::of(&key)
                )
                .unwrap(),
                slip
            );
            assert!(text.len() < 450, "{}", text.len());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let (key, other) = (SecretKey::from_seed(&[7; 32]), SecretKey::from_seed(&[8; 32]));
        let text = slip().to_text(&key).unwrap();
        let good = base32::decode(&text[PREFIX.len()..]).unwrap();
        let public = PublicKey::of(&key);
        let verify = |bytes: &[u8]| Slip::verify(&format!("{PREFIX}{}", base32::encode(bytes)), &public);
        assert!(verify(&good).is_ok());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(verify(&bad).is_err(), "byte {at}");
            assert!(verify(&good[..at]).is_err(), "cut at {at}");
        }
        assert!(verify(&[&good[..], b"x"].concat()).is_err());
        assert!(Slip::verify(&text, &PublicKey::of(&other)).is_err());
        assert!(Slip::verify("https://example.org", &public).is_err());
    }

    #[test]
    fn only_its_one_form_is_a_slip() {
        let key = SecretKey::from_seed(&[7; 32]);
        let cbor = slip().cbor();
        // 300 written in four bytes instead of two: signed, and still refused.
        let at = cbor.windows(3).position(|window| window == [0x19, 0x01, 0x2c]).unwrap();
        let longer = [&cbor[..at], &[0x1a, 0, 0, 1, 0x2c], &cbor[at + 3..]].concat();
        for cbor in [longer, [&cbor[..], &[0xf6]].concat()] {
            let signature = sign_bytes(&[CONTEXT, &cbor].concat(), &key).unwrap();
            let text = format!("{PREFIX}{}", base32::encode(&[&cbor[..], &signature].concat()));
            assert!(Slip::verify(&text, &PublicKey::of(&key)).is_err());
        }
    }
}
