//! The fingerprint of a root, as it travels on paper or by telephone: 64 hexadecimal digits, or 12 words.
//!
//! The words are a BIP 39 sentence over the first 128 bits of the sha256 of `1.root.json`: 11 bits a word, 4 bits of
//! checksum, so that a word misheard is told before it is compared. 128 bits are enough here: whoever wants another root
//! with the same words needs a second preimage, not a collision.

use std::fmt;
use std::str::FromStr;

use bip39::{Language, Mnemonic};

use crate::Digest;
use crate::error::{Code, Coded, codes};

/// How many bytes of a digest the words stand for.
const WORDS_BYTES: usize = 16;
/// How many words there are.
const WORDS: usize = 12;

/// A fingerprint as somebody gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fingerprint {
    /// The whole sha256.
    Hex(Digest),
    /// Its first 128 bits, from 12 words.
    Words([u8; WORDS_BYTES]),
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// Neither digits nor words.
    #[error("`{0}` is no fingerprint")]
    Form(String),
    /// One of the words is not in the list.
    #[error("word {number} of the fingerprint, `{word}`, is not one that fingerprints are written with")]
    Word {
        /// Which one, from 1.
        number: usize,
        /// The word.
        word: String,
    },
    /// Every word is in the list, and together they are no fingerprint.
    #[error("the 12 words do not fit together: one of them is another, or two have changed places")]
    Checksum,
}

impl Coded for FingerprintError {
    fn code(&self) -> Code {
        codes::USAGE
    }

    fn hint(&self) -> Option<String> {
        Some("give the 64 hexadecimal digits, or the 12 words, that `consign keys show` prints".to_owned())
    }
}

impl Fingerprint {
    /// Tells whether it is the fingerprint of a file with this sha256.
    pub fn is_of(&self, digest: &Digest) -> bool {
        match self {
            Fingerprint::Hex(given) => given == digest,
            Fingerprint::Words(given) => given == &first_bits(digest),
        }
    }
}

impl From<Digest> for Fingerprint {
    fn from(digest: Digest) -> Self {
        Fingerprint::Hex(digest)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fingerprint::Hex(digest) => digest.fmt(f),
            Fingerprint::Words(bits) => f.write_str(&sentence(bits)),
        }
    }
}

/// Reads digits in groups of any size, with or without `sha256:`, or words in any case, with any white space between.
impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.trim().to_ascii_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        if words.len() == WORDS && words.iter().all(|word| word.bytes().all(|b| b.is_ascii_alphabetic())) {
            return from_words(&words);
        }
        let digits = lower.trim_start_matches("sha256:").replace([' ', ':', '\t', '\n', '\r'], "");
        Digest::from_hex(&digits).map(Fingerprint::Hex).map_err(|_| FingerprintError::Form(text.to_owned()))
    }
}

fn from_words(words: &[&str]) -> Result<Fingerprint, FingerprintError> {
    let unknown = words.iter().position(|word| Language::English.find_word(word).is_none());
    if let Some(at) = unknown {
        return Err(FingerprintError::Word { number: at + 1, word: words[at].to_owned() });
    }
    let sentence = words.join(" ");
    let parsed = Mnemonic::parse_in_normalized(Language::English, &sentence).map_err(|_| FingerprintError::Checksum)?;
    let (bytes, length) = parsed.to_entropy_array();
    let bits = bytes.get(..length).and_then(|bytes| bytes.try_into().ok());
    bits.map(Fingerprint::Words).ok_or(FingerprintError::Checksum)
}

/// The 12 words of a digest.
pub fn words(digest: &Digest) -> String {
    sentence(&first_bits(digest))
}

fn first_bits(digest: &Digest) -> [u8; WORDS_BYTES] {
    let mut bits = [0; WORDS_BYTES];
    bits.copy_from_slice(&digest.as_bytes()[..WORDS_BYTES]);
    bits
}

fn sentence(bits: &[u8; WORDS_BYTES]) -> String {
    // 16 bytes are a length that BIP 39 has a sentence for, so this cannot fail; an empty text compares with nothing.
    Mnemonic::from_entropy_in(Language::English, bits)
        .map(|sentence| sentence.words().collect::<Vec<_>>().join(" "))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_bip_39() {
        // Test vectors of the specification (github.com/trezor/python-mnemonic, vectors.json).
        for (bits, expected) in [
            (
                [0x00; 16],
                "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
            ),
            ([0x7f; 16], "legal winner thank year wave sausage worth useful legal winner thank yellow"),
            ([0xff; 16], "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong"),
        ] {
            let mut bytes = [0x55; 32];
            bytes[..16].copy_from_slice(&bits);
            let digest = Digest::from_bytes(bytes);
            assert_eq!(words(&digest), expected);
            let parsed: Fingerprint = expected.parse().unwrap();
            assert_eq!(parsed, Fingerprint::Words(bits));
            assert_eq!(parsed.to_string(), expected);
            assert!(parsed.is_of(&digest));
            assert!(!parsed.is_of(&Digest::of(b"another")));
        }
    }

    #[test]
    fn digits_and_words_are_read_as_people_write_them() {
        let digest = Digest::of(b"root");
        let hex = digest.hex();
        let groups: Vec<&str> = hex.as_bytes().chunks(8).map(|g| std::str::from_utf8(g).unwrap()).collect();
        for text in [hex.clone(), digest.to_string(), hex.to_uppercase(), groups.join(" "), groups.join(":")] {
            assert_eq!(text.parse(), Ok(Fingerprint::Hex(digest)), "{text}");
        }
        let spoken = words(&digest).to_uppercase().replace(' ', "\n  ");
        assert!(spoken.parse::<Fingerprint>().unwrap().is_of(&digest));
    }

    #[test]
    fn what_is_misheard_is_told() {
        let said = words(&Digest::of(b"root"));
        let mut list: Vec<&str> = said.split(' ').collect();
        list[3] = "consign";
        let error = list.join(" ").parse::<Fingerprint>().unwrap_err();
        assert_eq!(error, FingerprintError::Word { number: 4, word: "consign".to_owned() });
        let zoos = ["zoo"; 12].join(" ");
        assert_eq!(zoos.parse::<Fingerprint>(), Err(FingerprintError::Checksum));
        for text in ["", "12", "abandon about", &said[..said.rfind(' ').unwrap()], &"g".repeat(64)] {
            assert!(matches!(text.parse::<Fingerprint>(), Err(FingerprintError::Form(_))), "{text}");
        }
    }
}
