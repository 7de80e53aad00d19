//! How a file of a release says where it goes, with which rights, and whose it is: the same rules when it is built and
//! when it is placed, since a site believes no builder.

use std::fmt;
use std::str::FromStr;

/// The longest path that Linux takes.
const LONGEST: usize = 4095;
/// The longest part of a path; 32 less than Linux takes, for the name of a draft beside it.
const LONGEST_PART: usize = 223;
/// The number that means "leave it as it is" to the kernel, and so is nobody's.
const NOBODY_AT_ALL: u32 = u32::MAX;

/// Whether this is an absolute path without `.`, `..`, empty parts and control characters.
pub fn is_place(to: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.len() <= LONGEST_PART
            && !part.contains(|c: char| c.is_control())
    };
    to.len() <= LONGEST && to.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain))
}

/// Reads a mode: up to three octal digits, with zeros before them, and at least one right. The bits that lend rights
/// (setuid, setgid, sticky) are in none: a release brings no setuid programs.
pub fn mode_bits(text: &str) -> Option<u32> {
    let digits = text.trim_start_matches('0');
    let fits = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    if fits { u32::from_str_radix(digits, 8).ok() } else { None }
}

/// Whose a file is: `USER` or `USER:GROUP`, each a number or a name of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Id,
    /// The group; without it, the user's own.
    pub group: Option<Id>,
}

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    /// By number.
    Number(u32),
    /// By a name, which must be known where the file is placed.
    Name(String),
}

/// An owner that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no owner, such as `root`, `etcd:etcd` or `1001:1001`")]
pub struct OwnerError(pub String);

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let no_owner = || OwnerError(text.to_owned());
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let group = group.map(|group| id(group).ok_or_else(no_owner)).transpose()?;
        Ok(Owner { user: id(user).ok_or_else(no_owner)?, group })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(number) => write!(f, "{number}"),
            Id::Name(name) => f.write_str(name),
        }
    }
}

/// A number, or a name as useradd(8) takes it.
fn id(text: &str) -> Option<Id> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(|number| *number != NOBODY_AT_ALL).map(Id::Number);
    }
    let first = |b: u8| b.is_ascii_lowercase() || b == b'_';
    let later = |b: u8| first(b) || b.is_ascii_digit() || b == b'-';
    let fits = text.len() <= 32 && text.bytes().next().is_some_and(first) && text.bytes().all(later);
    fits.then(|| Id::Name(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_absolute_and_plain() {
        for good in ["/a", "/usr/local/bin/k3s", "/opt/a b/c", "/.hidden/..."] {
            assert!(is_place(good), "{good}");
        }
        let long = format!("/{}", "a".repeat(224));
        for bad in ["", "/", "a", "./a", "/a/", "//a", "/a//b", "/a/./b", "/a/../b", "/..", "/a\n", "/a\0b", &long] {
            assert!(!is_place(bad), "{bad:?}");
        }
    }

    #[test]
    fn modes_lend_no_rights() {
        assert_eq!(mode_bits("0755"), Some(0o755));
        assert_eq!(mode_bits("644"), Some(0o644));
        for bad in ["", "0", "4755", "01777", "0800", "+755", "0x1", "rwx"] {
            assert_eq!(mode_bits(bad), None, "{bad}");
        }
    }

    #[test]
    fn owners_are_numbers_or_names() {
        let number = |n| Id::Number(n);
        assert_eq!("0:0".parse(), Ok(Owner { user: number(0), group: Some(number(0)) }));
        assert_eq!("etcd".parse(), Ok(Owner { user: Id::Name("etcd".into()), group: None }));
        for bad in ["", ":", "a:", ":a", "a:b:c", "-1", "4294967295", "4294967296", "Root", "a b", "../x", "-x"] {
            assert_eq!(bad.parse::<Owner>(), Err(OwnerError(bad.to_owned())));
        }
    }
}
