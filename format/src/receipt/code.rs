//! The code: what a receipt says, so short that a person reads it out by telephone. 26 characters, the last two of which
//! tell whether they were heard rightly.
//!
//! A signature is far too long for that, so it is a MAC, by a key that the site and headquarters share
//! (docs/decisions/0009). This file knows its form and what it covers; who computes the MAC has the keys.
//!
//! ```text
//! 4 bits version, 2 bits action, 2 bits outcome | 3 bytes number | 3 bytes of the release's digest | 8 bytes MAC
//! ```

use serde::Serialize;

use super::slip::{action_number, action_of, outcome_number, outcome_of};
use super::{Action, Outcome, Receipt, base32};
use crate::{Digest, Name};

const VERSION: u8 = 1;
const BODY: usize = 7;
/// Bytes of the MAC that are kept.
const MAC: usize = 8;
/// Characters before the two that check them.
const DIGITS: usize = (BODY + MAC) * 8 / 5;
/// The largest prime that two characters hold: one wrong character, or two that were exchanged, always show.
const PRIME: u32 = 1021;
/// What stands before everything in the bytes that the MAC is of.
const CONTEXT: &[u8] = b"consign.dev/receipt-code/v1\n";

/// What a code says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// The number of the receipt.
    pub n: u64,
    /// What was done.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// How the release's digest begins: six hexadecimal digits; zeros where there is none.
    pub release: String,
}

/// Why a text is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Another length.
    #[error("a code has 26 characters, and these are {0}")]
    Length(usize),
    /// A character that is none.
    #[error("`{0}` is no character of a code")]
    Character(char),
    /// It was misheard.
    #[error("a character was misheard or mistyped: the last two do not fit the others")]
    Misheard,
    /// A version that this program does not know.
    #[error("it is of a version that this program does not know")]
    Version,
}

/// A receipt whose number no code can tell: 16 million of one enrolment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("receipt {0} has a number too high for a code")]
pub struct TooHigh(pub u64);

/// A code without its MAC yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    body: [u8; BODY],
    covered: Vec<u8>,
}

impl Draft {
    /// What the code of a receipt says.
    ///
    /// # Errors
    /// [`TooHigh`].
    pub fn of(receipt: &Receipt) -> Result<Self, TooHigh> {
        let n = u32::try_from(receipt.n).ok().filter(|n| *n < 1 << 24).ok_or(TooHigh(receipt.n))?.to_be_bytes();
        let release = receipt.release.as_ref().map_or([0; 3], |release| first_three(&release.digest));
        let (action, outcome) = (action_number(receipt.action) as u8, outcome_number(receipt.outcome) as u8);
        let first = (VERSION << 4) | (action << 2) | outcome;
        let body = [first, n[1], n[2], n[3], release[0], release[1], release[2]];
        Ok(Draft { body, covered: covered(&receipt.domain, &receipt.site, &body) })
    }

    /// What the MAC has to be of.
    pub fn covered(&self) -> &[u8] {
        &self.covered
    }

    /// The code, in groups of four.
    pub fn text(&self, mac: &[u8; 32]) -> String {
        let digits = base32::encode(&[&self.body[..], &mac[..MAC]].concat());
        let check = check(digits.chars().filter_map(base32::value));
        let code = format!("{digits}{}{}", base32::digit(check >> 5), base32::digit(check));
        let groups: Vec<&str> = (0..code.len()).step_by(4).map(|at| &code[at..(at + 4).min(code.len())]).collect();
        groups.join("-")
    }
}

fn first_three(digest: &Digest) -> [u8; 3] {
    let bytes = digest.as_bytes();
    [bytes[0], bytes[1], bytes[2]]
}

/// The bytes that the MAC is of: everything the code says, and whose it is.
fn covered(domain: &Name, site: &Name, body: &[u8]) -> Vec<u8> {
    let (domain, site) = (domain.as_str().as_bytes(), site.as_str().as_bytes());
    // No name holds a zero.
    [CONTEXT, domain, &[0], site, &[0], body].concat()
}

fn check(values: impl Iterator<Item = u32>) -> u32 {
    values.fold(0, |sum, value| (sum * 32 + value) % PRIME)
}

/// A code that was heard rightly, and not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    body: [u8; BODY],
    mac: [u8; MAC],
}

impl Heard {
    /// Reads what somebody has typed.
    ///
    /// # Errors
    /// [`CodeError`].
    pub fn read(text: &str) -> Result<Self, CodeError> {
        let typed: Vec<char> = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if typed.len() != DIGITS + 2 {
            return Err(CodeError::Length(typed.len()));
        }
        let values = typed.iter().map(|c| base32::value(*c).ok_or(CodeError::Character(*c)));
        let values = values.collect::<Result<Vec<u32>, _>>()?;
        let (digits, last) = values.split_at(DIGITS);
        if check(digits.iter().copied()) != last[0] * 32 + last[1] {
            return Err(CodeError::Misheard);
        }
        let text: String = digits.iter().map(|value| base32::digit(*value)).collect();
        let bytes = base32::decode(&text).ok_or(CodeError::Misheard)?;
        let mut heard = Heard { body: [0; BODY], mac: [0; MAC] };
        heard.body.copy_from_slice(&bytes[..BODY]);
        heard.mac.copy_from_slice(&bytes[BODY..]);
        if heard.body[0] >> 4 != VERSION { Err(CodeError::Version) } else { Ok(heard) }
    }

    /// What the MAC has to be of, if it is a code of this site.
    pub fn covered(&self, domain: &Name, site: &Name) -> Vec<u8> {
        covered(domain, site, &self.body)
    }

    /// What it says, if this is the MAC.
    pub fn verify(&self, mac: &[u8; 32]) -> Option<Said> {
        // Every byte is looked at, whatever the first ones are.
        let differs = mac.iter().zip(&self.mac).fold(0, |all, (a, b)| all | (a ^ b));
        if differs != 0 {
            return None;
        }
        let [first, n @ .., a, b, c] = &self.body;
        let n = n.iter().fold(0, |n, byte| (n << 8) | u64::from(*byte));
        let (action, outcome) = (action_of(u64::from((first >> 2) & 3))?, outcome_of(u64::from(first & 3))?);
        Some(Said { n, action, outcome, release: hex::encode([*a, *b, *c]) })
    }
}

#[cfg(test)]
mod tests;
