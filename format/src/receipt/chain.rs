//! The receipts of one site as headquarters finds them: a folder of files in any order, some twice, some missing, and
//! perhaps some that the site never wrote (TRUST §4, receipts).
//!
//! What is missing may still be on its way, so a gap is told and is no refusal. What cannot come from an honest site is
//! one: a signature that does not hold, another site's receipt, two receipts of one number, a link that does not lead to
//! the receipt before.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Receipt, verify};
use crate::trust::keys::PublicKey;
use crate::{Digest, Name};

/// One file.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its name, for the report.
    pub name: &'a str,
    /// All of it.
    pub bytes: &'a [u8],
}

/// What is to be said of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "verdict")]
pub enum Verdict {
    /// It is the site's, and has its place.
    Holds,
    /// It is the same file once more: carried back twice, or played back.
    Replayed {
        /// The file that was seen first.
        first: String,
    },
    /// Its form or its signature does not hold.
    Forged {
        /// Why.
        reason: String,
    },
    /// It speaks of another site.
    OtherSite {
        /// Which.
        site: Name,
    },
    /// Another receipt has this number: somebody else has the site's key, or its disk was set back.
    Forked {
        /// The file that was seen first.
        first: String,
    },
    /// The receipt before it is here and is not the one it names.
    Unlinked,
}

impl Verdict {
    /// Tells whether an honest site cannot have written it.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Verdict::Holds | Verdict::Replayed { .. })
    }
}

/// One file and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// The file's name.
    pub file: String,
    /// What it is.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// The receipts of one enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// The enrolment.
    pub enrolment: String,
    /// The highest number that is here.
    pub last: u64,
    /// Numbers that are missing below it: first and last of each gap.
    pub gaps: Vec<(u64, u64)>,
    /// What came before, where the first receipt names it: a site that was recovered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<Continued>,
}

/// What a recovered site's first receipt names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Continued {
    /// The digest of the last receipt that was known at the recovery.
    pub receipt: Digest,
    /// The file that has it, if it is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What is to be said of a folder of receipts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The site.
    pub site: Name,
    /// Every file, in the order given.
    pub files: Vec<Checked>,
    /// The chains, by enrolment.
    pub chains: Vec<Chain>,
}

impl Report {
    /// The files that an honest site cannot have written.
    pub fn refused(&self) -> impl Iterator<Item = &Checked> {
        self.files.iter().filter(|checked| checked.verdict.is_refusal())
    }

    /// Tells whether a receipt is missing between two that are here, or before the first.
    pub fn has_gap(&self) -> bool {
        self.chains.iter().any(|chain| !chain.gaps.is_empty())
    }
}

/// A receipt that has a place.
struct Placed {
    /// Its place in the list of files.
    at: usize,
    digest: Digest,
    previous: Option<Digest>,
}

/// Checks the receipts of one site. `keys` are those of its site records; a recovered site may have had several.
pub fn check(site: &Name, keys: &[PublicKey], files: &[File<'_>]) -> Report {
    let mut chains: BTreeMap<String, BTreeMap<u64, Placed>> = BTreeMap::new();
    let mut checked: Vec<Checked> = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let verdict = match read(file.bytes, keys) {
            Err(reason) => Verdict::Forged { reason },
            Ok(receipt) if receipt.site != *site => Verdict::OtherSite { site: receipt.site },
            Ok(receipt) => place(&mut chains, receipt, at, file, files),
        };
        checked.push(Checked { file: file.name.to_owned(), verdict });
    }
    for chain in chains.values() {
        for (n, placed) in chain {
            // Number 1 may name a receipt of the enrolment before; see `Continued`.
            let before = n.checked_sub(1).and_then(|n| chain.get(&n));
            if before.is_some_and(|before| placed.previous != Some(before.digest))
                || (*n > 1 && placed.previous.is_none())
            {
                checked[placed.at].verdict = Verdict::Unlinked;
            }
        }
    }
    let named = |digest: &Digest| {
        let all = chains.values().flat_map(BTreeMap::values);
        all.filter(|placed| placed.digest == *digest).map(|placed| files[placed.at].name.to_owned()).next()
    };
    let chains = chains.iter().map(|(enrolment, chain)| summary(enrolment, chain, &named)).collect();
    Report { site: site.clone(), files: checked, chains }
}

/// The receipt, if one of the keys has signed it.
fn read(bytes: &[u8], keys: &[PublicKey]) -> Result<Receipt, String> {
    let mut reason = "there is no key to check it with".to_owned();
    for key in keys {
        match verify(bytes, key) {
            Ok(receipt) if receipt.n == 0 => reason = "receipts are counted from 1".to_owned(),
            Ok(receipt) => return Ok(receipt),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

fn place(
    chains: &mut BTreeMap<String, BTreeMap<u64, Placed>>,
    receipt: Receipt,
    at: usize,
    file: &File<'_>,
    files: &[File<'_>],
) -> Verdict {
    let digest = Digest::of(file.bytes);
    let chain = chains.entry(receipt.enrolment).or_default();
    match chain.get(&receipt.n) {
        Some(first) if first.digest == digest => Verdict::Replayed { first: files[first.at].name.to_owned() },
        Some(first) => Verdict::Forked { first: files[first.at].name.to_owned() },
        None => {
            chain.insert(receipt.n, Placed { at, digest, previous: receipt.previous });
            Verdict::Holds
        }
    }
}

fn summary(enrolment: &str, chain: &BTreeMap<u64, Placed>, named: &dyn Fn(&Digest) -> Option<String>) -> Chain {
    let (mut gaps, mut last) = (Vec::new(), 0);
    for n in chain.keys().copied() {
        if n > last + 1 {
            gaps.push((last + 1, n - 1));
        }
        last = n;
    }
    let before = chain.get(&1).and_then(|first| first.previous);
    let continues = before.map(|receipt| Continued { receipt, file: named(&receipt) });
    Chain { enrolment: enrolment.to_owned(), last, gaps, continues }
}

#[cfg(test)]
mod tests;
