//! Who is let in: users and the bcrypt hashes of their passwords, in the form of htpasswd.
//!
//! bcrypt is slow on purpose; a node asks a hundred times for one image. So a pair that was right is remembered, as a
//! digest salted for this process, and only one password is tried at a time: guessing costs the guesser, not the nodes.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use consign_format::Digest;

/// Pairs that are remembered; beyond, the memory begins anew.
const REMEMBERED: usize = 256;
/// bcrypt takes no more bytes of a password; longer ones are refused, never cut.
const LONGEST: usize = 71;
/// Rounds, as a power of two: the work of a new hash.
const COST: u32 = 10;
/// More rounds than this would stop the registry for seconds at each new pair.
const HIGHEST_COST: u32 = 14;

/// The users of a registry.
pub struct Users {
    hashes: BTreeMap<String, String>,
    /// Tried for users that are not there, so that the time tells nothing.
    nobody: String,
    salt: u64,
    right: Mutex<HashSet<Digest>>,
    one_at_a_time: Mutex<()>,
}

/// A file of users that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// A line is not `USER:HASH` with a bcrypt hash.
    #[error("line {line} is not USER:HASH with a bcrypt hash ($2y$…) of at most {HIGHEST_COST} rounds")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// A user stands there twice.
    #[error("line {line}: the user `{user}` stands there twice")]
    Twice {
        /// Its number, from 1.
        line: usize,
        /// The user.
        user: String,
    },
    /// Nobody would be let in.
    #[error("it names no user, so nobody would be let in")]
    Nobody,
    /// A user's name cannot be sent by a client, or a password cannot be hashed.
    #[error("{0}")]
    Pair(&'static str),
}

impl Users {
    /// Reads a file of users: `USER:HASH` a line, `#` and empty lines passed over.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut hashes = BTreeMap::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        {
            let line_number = at + 1;
            let wrong = UsersError::Line { line: line_number };
            let (user, hash) = line.trim().split_once(':').ok_or_else(|| wrong.clone())?;
            let parts: bcrypt::HashParts = hash.parse().map_err(|_| wrong.clone())?;
            if user.is_empty() || parts.get_cost() > HIGHEST_COST {
                return Err(wrong);
            }
            if hashes.insert(user.to_owned(), hash.to_owned()).is_some() {
                return Err(UsersError::Twice { line: line_number, user: user.to_owned() });
            }
        }
        let nobody = hashes.values().next().cloned().ok_or(UsersError::Nobody)?;
        Ok(Users {
            hashes,
            nobody,
            salt: RandomState::new().hash_one(0),
            right: Mutex::default(),
            one_at_a_time: Mutex::default(),
        })
    }

    /// One line of such a file.
    pub fn line(user: &str, password: &str) -> Result<String, UsersError> {
        if user.is_empty() || user.contains(|c: char| c == ':' || c == '#' || c.is_control() || c.is_whitespace()) {
            return Err(UsersError::Pair("a user's name has neither a colon, a number sign nor white space"));
        }
        if password.is_empty() || password.len() > LONGEST || password.contains('\0') {
            return Err(UsersError::Pair("a password has 1 to 71 bytes, none of them zero"));
        }
        let hash =
            bcrypt::hash_with_result(password, COST).map_err(|_| UsersError::Pair("this password cannot be hashed"))?;
        Ok(format!("{user}:{}", hash.format_for_version(bcrypt::Version::TwoY)))
    }

    /// Whether this user has this password. May take a tenth of a second, and blocks.
    pub(super) fn lets_in(&self, user: &str, password: &str) -> bool {
        let mut pair = self.salt.to_le_bytes().to_vec();
        pair.extend_from_slice(user.as_bytes());
        pair.push(0);
        pair.extend_from_slice(password.as_bytes());
        let pair = Digest::of(&pair);
        let known = || self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&pair) {
            return true;
        }
        let _turn = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = self.hashes.get(user);
        let holds = bcrypt::non_truncating_verify(password, hash.unwrap_or(&self.nobody)).unwrap_or(false);
        if !holds || hash.is_none() {
            return false;
        }
        let mut known = known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(pair);
        true
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.hashes.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_let_in_with_the_password_and_no_other() {
        let text = format!(
            "# nodes\n\n{}\n{}\n",
            Users::line("node", "over the gap").unwrap(),
            Users::line("b", "x").unwrap()
        );
        assert!(!text.contains("over the gap") && text.contains("node:$2y$10$"), "{text}");
        let users = Users::parse(&text).unwrap();
        for _ in 0..2 {
            assert!(users.lets_in("node", "over the gap"));
            for (user, password) in
                [("node", "x"), ("b", "over the gap"), ("nobody", "over the gap"), ("", ""), ("nodeover", " the gap")]
            {
                assert!(!users.lets_in(user, password), "{user} {password}");
            }
        }
        assert!(!format!("{users:?}").contains("$2"), "hashes are not shown");
    }

    #[test]
    fn hashes_of_others_are_read() {
        // As Apache's htpasswd -B writes it, for "over the gap".
        let users = Users::parse("carrier:$2y$05$abcdefghijklmnopqrstuu8KWGhZdw9vEj2lYqznd1q83atGGy48a\n").unwrap();
        assert!(users.lets_in("carrier", "over the gap") && !users.lets_in("carrier", "over the ga"));
    }

    #[test]
    fn what_is_no_file_of_users_is_refused() {
        let good = "a:$2y$05$abcdefghijklmnopqrstuu8KWGhZdw9vEj2lYqznd1q83atGGy48a";
        for (text, error) in [
            ("", UsersError::Nobody),
            ("# only this\n", UsersError::Nobody),
            ("a\n", UsersError::Line { line: 1 }),
            ("a:plain\n", UsersError::Line { line: 1 }),
            ("a:$apr1$x$y\n", UsersError::Line { line: 1 }),
            (&format!(":{}", &good[2..]), UsersError::Line { line: 1 }),
            (&good.replace("$05$", "$31$"), UsersError::Line { line: 1 }),
            (&format!("{good}\n\n{good}\n"), UsersError::Twice { line: 3, user: "a".to_owned() }),
        ] {
            assert_eq!(Users::parse(text).unwrap_err(), error, "{text}");
        }
        for (user, password) in
            [("", "x"), ("a:b", "x"), ("a\n", "x"), ("#a", "x"), ("a", ""), ("a", &"x".repeat(72)), ("a", "\0")]
        {
            assert!(matches!(Users::line(user, password), Err(UsersError::Pair(_))), "{user} {password}");
        }
    }
}
