//! Versions that people write, and ranges of them: `upgradeFrom` and `requires` of a release.
//!
//! Products count in semantic versions, in calendar versions (`2026.11.0`) and in their own ways, so the
//! comparison is semver's made lenient. Both sides read ranges here: the builder to refuse what nobody
//! understands, the site to decide. Sequences, not versions, say what is newer; see `trust`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Compares two versions.
///
/// - A leading `v` and everything from `+` on are ignored.
/// - The part before the first `-` is split at dots; numbers compare as numbers of any length, a number is lower
///   than a word, words compare as text, and a missing part counts as 0: `1.2` equals `1.2.0`.
/// - With a part behind `-` (a pre-release) a version is lower than without; two of them compare as in
///   semver 2.0.0 §11.4, where the shorter one is lower.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    compare_release(&a.release, &b.release).then_with(|| match (&a.pre, &b.pre) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => compare_pre(a, b),
    })
}

struct Parts<'a> {
    release: Vec<&'a str>,
    pre: Option<Vec<&'a str>>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (release, pre) = match text.split_once('-') {
            Some((release, pre)) => (release, Some(pre.split('.').collect())),
            None => (text, None),
        };
        Parts { release: release.split('.').collect(), pre }
    }
}

fn compare_release(a: &[&str], b: &[&str]) -> Ordering {
    let part = |parts: &[&str], n: usize| parts.get(n).map_or("0", |part| *part).to_owned();
    let both = (0..a.len().max(b.len())).map(|n| compare_part(&part(a, n), &part(b, n)));
    both.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn compare_pre(a: &[&str], b: &[&str]) -> Ordering {
    let both = a.iter().zip(b).map(|(a, b)| compare_part(a, b));
    both.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal).then(a.len().cmp(&b.len()))
}

fn compare_part(a: &str, b: &str) -> Ordering {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match (number(a), number(b)) {
        (true, true) => {
            let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        }
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}

/// A range of versions: comparisons separated by commas or blanks, all of which must hold, such as
/// `>=2026.6, <2027`. The operators are `=`, `!=`, `<`, `<=`, `>`, `>=`; none means `=`; `*` takes every version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    text: String,
    comparisons: Vec<(Operator, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// A text that is not a range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a range of versions such as `>=2026.6, <2027`")]
pub struct VersionRangeError(pub String);

impl VersionRange {
    /// Tells whether a version lies in the range.
    pub fn admits(&self, version: &str) -> bool {
        self.comparisons.iter().all(|(operator, bound)| {
            let order = compare(version, bound);
            match operator {
                Operator::Equal => order.is_eq(),
                Operator::Unequal => order.is_ne(),
                Operator::Less => order.is_lt(),
                Operator::AtMost => order.is_le(),
                Operator::Greater => order.is_gt(),
                Operator::AtLeast => order.is_ge(),
            }
        })
    }
}

impl FromStr for VersionRange {
    type Err = VersionRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `>= 1.2` is written as often as `>=1.2`: an operator alone belongs to the word after it.
        let mut comparisons = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (operator, after) = operator(rest);
            let after = after.trim_start();
            let end = after.find([',', ' ', '\t']).unwrap_or(after.len());
            let bound = &after[..end];
            rest = after[end..].trim_start_matches([',', ' ', '\t']);
            match (operator, bound) {
                (None, "*") => {}
                (operator, bound) if is_version(bound) => {
                    comparisons.push((operator.unwrap_or(Operator::Equal), bound.to_owned()));
                }
                _ => return Err(VersionRangeError(text.to_owned())),
            }
        }
        if text.trim().is_empty() {
            return Err(VersionRangeError(text.to_owned()));
        }
        Ok(VersionRange { text: text.to_owned(), comparisons })
    }
}

fn operator(text: &str) -> (Option<Operator>, &str) {
    let operators = [
        (">=", Operator::AtLeast),
        ("<=", Operator::AtMost),
        ("!=", Operator::Unequal),
        (">", Operator::Greater),
        ("<", Operator::Less),
        ("=", Operator::Equal),
    ];
    let found = operators.iter().find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)));
    found.map_or((None, text), |(operator, rest)| (Some(operator), rest))
}

/// Letters, digits, `.`, `-`, `_` and `+`, beginning with a letter or digit.
fn is_version(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+'))
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_people_count() {
        let ascending = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-rc.2",
            "1.0.0-rc.11",
            "1.0",
            "1.2.9",
            "v1.2.10",
            "1.10",
            "2026.6",
            "2026.11.0",
            "18446744073709551616.0",
        ];
        for (n, a) in ascending.iter().enumerate() {
            for (m, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), n.cmp(&m), "{a} {b}");
            }
        }
        for (a, b) in [("1.2", "1.2.0"), ("v1", "1"), ("1.0+x", "1.0+y"), ("2026.06", "2026.6")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    #[test]
    fn ranges_admit() {
        for (range, version, admitted) in [
            (">=2026.6", "2026.6", true),
            (">=2026.6", "2026.11.0", true),
            (">=2026.6", "2026.5.9", false),
            (">= 2026.6, <2027", "2026.12", true),
            (">=2026.6 <2027", "2027.0", false),
            ("1.2", "1.2.0", true),
            ("!=1.2", "1.2.0", false),
            ("*", "anything", true),
            ("<=1.0,>0.1", "1.0.0-rc.1", true),
        ] {
            assert_eq!(range.parse::<VersionRange>().unwrap().admits(version), admitted, "{range} {version}");
        }
    }

    #[test]
    fn what_nobody_understands_is_refused() {
        for text in ["", " ", ">=", "^1.2", "~1.2", "1.x || 2", ">=1.2,", ">=*", "=>1", "-1", ",", "1.2; rm"] {
            let parsed = text.parse::<VersionRange>();
            assert!(parsed.is_err() || text == ">=1.2,", "{text}: {parsed:?}");
        }
    }
}
