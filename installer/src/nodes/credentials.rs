//! The user and the password that the site's registry wants, from a file, in the three forms that runtimes want.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::NodesError;
use crate::store::StoreError;
use crate::store::state_file::read_bytes;

/// No user and password are this long.
const LIMIT: u64 = 4096;

/// A user and a password. It does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; no colon in it.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Credentials {
    /// Reads a file of one line, `USER:PASSWORD`.
    pub fn read(path: &Path) -> Result<Self, NodesError> {
        let unusable = |reason: &str| NodesError::Input { path: path.to_owned(), reason: reason.to_owned() };
        let bytes = read_bytes(path, LIMIT).map_err(|error| match error {
            StoreError::Damaged { reason, .. } => unusable(&reason),
            error => error.into(),
        })?;
        let text = String::from_utf8(bytes.ok_or_else(|| unusable("it is not there"))?);
        let text = text.map_err(|_| unusable("it is not UTF-8"))?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        match line.split_once(':') {
            Some((user, password)) if !user.is_empty() && !line.contains(char::is_control) => {
                Ok(Credentials { user: user.to_owned(), password: password.to_owned() })
            }
            _ => Err(unusable("it is not one line USER:PASSWORD")),
        }
    }

    /// `USER:PASSWORD` in base64.
    pub fn encoded(&self) -> String {
        STANDARD.encode(format!("{}:{}", self.user, self.password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read_and_anything_else_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Credentials::read(&path)
        };
        let read_well = read("node:se:cret\n").unwrap();
        assert_eq!((read_well.user.as_str(), read_well.password.as_str()), ("node", "se:cret"));
        assert_eq!(read_well.encoded(), "bm9kZTpzZTpjcmV0");
        assert!(!format!("{read_well:?}").contains("cret"));
        for text in ["", "node", ":x", "a:b\nc:d\n", "a:\u{1b}"] {
            assert!(matches!(read(text), Err(NodesError::Input { .. })), "{text:?}");
        }
        assert!(matches!(Credentials::read(&dir.path().join("absent")), Err(NodesError::Input { .. })));
    }
}
