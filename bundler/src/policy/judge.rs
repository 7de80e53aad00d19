//! Whether the images of a release are signed as a policy demands: a pure decision over what was read.

use consign_format::Reference;
use consign_format::error::{Code, Coded, codes};
use consign_format::release::Image;

use super::cosign::{Candidate, candidates};
use super::{Policy, Rule};
use crate::bundle::kept::Kept;

/// An image is not signed as the policy demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A rule does not hold.
    #[error("{image} needs signatures by {need} of {}, and has {have}", keys.join(", "))]
    Unsigned {
        /// The image's reference.
        image: String,
        /// How many distinct keys must have signed.
        need: usize,
        /// How many have.
        have: usize,
        /// The keys, by the names of their files.
        keys: Vec<String>,
        /// What was there, and why it does not count.
        source: Considered,
    },
    /// No rule fits.
    #[error("{image} fits no rule of the policy")]
    NoRule {
        /// The image's reference.
        image: String,
    },
    /// Its reference is none.
    #[error("`{image}` is no reference to an image")]
    Reference {
        /// What stands in its place.
        image: String,
    },
}

/// Signatures that do not count, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", if self.0.is_empty() { "no signature of it is in the bundle".to_owned() } else { self.0.join("; ") })]
pub struct Considered(pub Vec<String>);

impl Coded for PolicyError {
    fn code(&self) -> Code {
        match self {
            PolicyError::Unsigned { .. } => codes::IMAGE_UNSIGNED,
            PolicyError::NoRule { .. } => codes::IMAGE_WITHOUT_RULE,
            PolicyError::Reference { .. } => codes::RELEASE_MALFORMED,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            PolicyError::Unsigned { .. } => "have the image signed with `cosign sign --key`, then lock and build again",
            PolicyError::NoRule { .. } => "add a rule for it, or name it under allowUnsigned",
            PolicyError::Reference { .. } => "the release was built wrong; ask those who built it",
        };
        Some(hint.to_owned())
    }
}

/// What the policy says of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The image's reference.
    pub image: String,
    /// Where nothing is wrong: why it passes, in words.
    pub why: String,
    /// Everything that is wrong.
    pub wrong: Vec<PolicyError>,
}

/// Asks for everything that [`judge`] has to read.
pub fn want(policy: &Policy, images: &[Image], kept: &mut Kept) {
    let ruled = |image: &&Image| parse(image).is_some_and(|reference| policy.rules_for(&reference).next().is_some());
    images.iter().filter(ruled).for_each(|image| super::cosign::want(image, kept));
}

/// Holds every image against the policy.
pub fn judge(policy: &Policy, images: &[Image], kept: &Kept) -> Vec<Judged> {
    images.iter().map(|image| policy.judge(image, kept)).collect()
}

fn parse(image: &Image) -> Option<Reference> {
    image.reference.parse().ok()
}

impl Policy {
    fn rules_for<'a>(&'a self, reference: &'a Reference) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(|rule| rule.images.iter().any(|pattern| pattern.fits(reference)))
    }

    fn judge(&self, image: &Image, kept: &Kept) -> Judged {
        let name = image.reference.clone();
        let judged = |why: String, wrong| Judged { image: name.clone(), why, wrong };
        let Some(reference) = parse(image) else {
            return judged(String::new(), vec![PolicyError::Reference { image: name.clone() }]);
        };
        let mut rules = self.rules_for(&reference).peekable();
        if rules.peek().is_none() {
            return match self.allow_unsigned.iter().find(|pattern| pattern.fits(&reference)) {
                Some(pattern) => judged(format!("unsigned is allowed by `{pattern}`"), vec![]),
                None => judged(String::new(), vec![PolicyError::NoRule { image: name.clone() }]),
            };
        }
        let candidates = candidates(image, kept);
        let (mut by, mut wrong) = (Vec::new(), Vec::new());
        for rule in rules {
            match rule.check(&name, &candidates) {
                Ok(names) => by.extend(names),
                Err(error) => wrong.push(error),
            }
        }
        judged(format!("signed by {}", by.join(", ")), wrong)
    }
}

impl Rule {
    /// The names of the keys that have signed, or what is wrong.
    fn check(&self, image: &str, candidates: &[Candidate]) -> Result<Vec<String>, PolicyError> {
        let mut considered = Vec::new();
        let mut signed = vec![false; self.keys.len()];
        for Candidate { name, claim } in candidates {
            let claim = match claim {
                Ok(claim) => claim,
                Err(why) => {
                    considered.push(format!("{name}: {why}"));
                    continue;
                }
            };
            let holding = self.keys.iter().position(|key| key.holds(&claim.message, &claim.signature));
            match holding {
                Some(key) => signed[key] = true,
                None => considered.push(format!("{name}: it holds for none of these keys")),
            }
        }
        let by = self.keys.iter().zip(&signed).filter(|(_, signed)| **signed).map(|(key, _)| key.name().to_owned());
        let by: Vec<String> = by.collect();
        if by.len() >= self.threshold {
            return Ok(by);
        }
        let keys = self.keys.iter().map(|key| key.name().to_owned()).collect();
        let (need, have, source) = (self.threshold, by.len(), Considered(considered));
        Err(PolicyError::Unsigned { image: image.to_owned(), need, have, keys, source })
    }
}
