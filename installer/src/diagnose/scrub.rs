//! Takes secrets out of text: those that are known, by their value; the others by how they are named or look.
//!
//! It errs on the side of too much: a log with one word less still tells what happened.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// What stands in the place of a secret.
pub(super) const MASK: &str = "[masked]";
/// Shorter values are words of every language; taking them out would leave nothing to read.
const SHORTEST: usize = 6;

/// What is secret by its name.
const NAMES: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "apikey",
    "api_key",
    "api-key",
    "private",
    "authorization",
];
/// What is secret if the name is this, or ends so after `_`, `-` or `.`.
const ENDS: [&str; 5] = ["pwd", "pass", "key", "auth", "pin"];

/// Knows the values of secrets.
#[derive(Debug, Default)]
pub(super) struct Scrubber {
    /// The longest first: one may be a part of another.
    values: Vec<String>,
}

/// Whether what goes by this name is secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let ends = |end: &str| {
        lower.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with(['_', '-', '.']))
    };
    let camel = name.ends_with("Key") || name.ends_with("Pass") || name.ends_with("Pwd");
    camel || NAMES.iter().any(|one| lower.contains(one)) || ENDS.iter().any(|end| ends(end))
}

impl Scrubber {
    /// Learns a value, and how it looks in base64; of one with several lines, the long ones by themselves too.
    pub(super) fn learn(&mut self, value: &[u8]) {
        if value.len() < SHORTEST {
            return;
        }
        let mut new = vec![STANDARD.encode(value), STANDARD_NO_PAD.encode(value)];
        if let Ok(text) = std::str::from_utf8(value) {
            new.push(text.to_owned());
            new.push(text.trim().to_owned());
            // JSON and shells write a line break in two characters.
            new.push(text.escape_debug().to_string());
            new.extend(text.lines().filter(|line| line.len() >= 16 && !line.starts_with("-----")).map(str::to_owned));
        }
        self.values.extend(new.into_iter().filter(|one| one.len() >= SHORTEST));
        self.values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.values.dedup();
    }

    /// The text without what is known.
    pub(super) fn known(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in self.values.iter().filter(|value| !value.is_empty()) {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), MASK);
            }
        }
        text
    }

    /// The text without what is known and without what looks like a secret.
    pub(super) fn text(&self, text: &str) -> String {
        let text = private_keys(&self.known(text));
        text.split_inclusive('\n').map(|line| assignments(&words(line))).collect()
    }
}

/// Blocks of PEM that hold a private key.
fn private_keys(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(begin) = rest.find("-----BEGIN ") {
        let (before, block) = rest.split_at(begin);
        out += before;
        let label_end = block[11..].find("-----").map(|at| at + 16);
        let is_private = label_end.is_some_and(|end| block[..end].contains("PRIVATE KEY"));
        let end = block.find("-----END ").and_then(|at| Some(at + 9 + block[at + 9..].find("-----")? + 5));
        match (is_private, end) {
            // One that was cut off has no end; then nothing behind it is shown.
            (true, end) => {
                out += MASK;
                rest = &block[end.unwrap_or(block.len())..];
            }
            (false, _) => {
                out += &block[..11];
                rest = &block[11..];
            }
        }
    }
    out + rest
}

/// Words that are secret wherever they stand: age keys, what follows `Bearer` and `Basic`, passwords in URLs.
fn words(line: &str) -> String {
    let mut out = line.to_owned();
    for (mark, keep) in [("AGE-SECRET-KEY-", 0), ("Bearer ", 7), ("bearer ", 7), ("Basic ", 6)] {
        let mut from = 0;
        while let Some(at) = out[from..].find(mark).map(|at| at + from) {
            let begin = at + keep;
            let end = out[at + mark.len()..].find(is_end).map_or(out.len(), |end| at + mark.len() + end);
            out.replace_range(begin..end, MASK);
            from = begin + MASK.len();
        }
    }
    let mut from = 0;
    while let Some(at) = out[from..].find("://").map(|at| at + from + 3) {
        let end = out[at..].find(|c: char| c == '/' || is_end(c)).map_or(out.len(), |end| at + end);
        if let Some(host) = out[at..end].rfind('@') {
            out.replace_range(at..at + host, MASK);
        }
        from = at;
    }
    out
}

fn is_end(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '&' | '}' | ')' | ']')
}

/// `NAME=VALUE`, `NAME: VALUE`, `"NAME": "VALUE"`, `--NAME VALUE`, where the name is that of a secret.
fn assignments(line: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let (mut out, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(begin) = rest.find(is_name) {
        out += &rest[..begin];
        let end = rest[begin..].find(|c| !is_name(c)).map_or(rest.len(), |end| begin + end);
        let name = &rest[begin..end];
        out += name;
        rest = &rest[end..];
        if !is_secret_name(name.trim_start_matches('-')) {
            continue;
        }
        let between =
            rest.find(|c: char| !matches!(c, '"' | '\'' | ' ' | '\t' | '=' | ':' | '\\')).unwrap_or(rest.len());
        let separated = rest[..between].contains(['=', ':']) || (name.starts_with("--") && between > 0);
        if !separated || rest[between..].starts_with(['{', '[', '\n']) {
            continue;
        }
        let quoted = rest[..between].chars().next_back().filter(|c| matches!(c, '"' | '\''));
        let stops = |c: char| quoted.map_or_else(|| is_end(c), |quote| c == quote || c == '\n');
        let until = rest[between..].find(stops).map_or(rest.len(), |end| between + end);
        if until > between {
            out += &rest[..between];
            out += MASK;
            rest = &rest[until..];
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known() {
        for name in
            ["DB_PASSWORD", "dbPasswd", "client-secret", "API_TOKEN", "KEY", "SSH_KEY", "awsAccessKey", "pass", "AUTH"]
        {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["HOST", "monkey", "keyboard", "PORT", "compass", "author", "level", "opinion"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn what_is_named_like_a_secret_loses_its_value() {
        let scrubber = Scrubber::default();
        for (text, expected) in [
            ("password=hunter2 host=db\n", "password=[masked] host=db\n"),
            ("{\"token\": \"a b\", \"level\": 3}", "{\"token\": \"[masked]\", \"level\": 3}"),
            ("app --password hunter2 --port 5", "app --password [masked] --port 5"),
            ("db_password: hunter2", "db_password: [masked]"),
            ("the password is wrong", "the password is wrong"),
            ("GET postgres://ada:pw@db:5432/x", "GET postgres://[masked]@db:5432/x"),
            ("Authorization: Bearer abc.def end", "Authorization: [masked] [masked] end"),
            ("key AGE-SECRET-KEY-1ABC, next", "key [masked], next"),
            ("secrets: {a: 1}", "secrets: {a: 1}"),
            ("https://registry.site:5000/v2/", "https://registry.site:5000/v2/"),
        ] {
            assert_eq!(scrubber.text(text), expected);
        }
    }

    #[test]
    fn a_private_key_goes_and_a_certificate_stays() {
        let pem = |label: &str| format!("-----BEGIN {label}-----\nQUFB\n-----END {label}-----\n");
        let text = format!("a\n{}{}b", pem("EC PRIVATE KEY"), pem("CERTIFICATE"));
        assert_eq!(Scrubber::default().text(&text), format!("a\n[masked]\n{}b", pem("CERTIFICATE")));
        assert_eq!(Scrubber::default().text("x -----BEGIN PRIVATE KEY-----\nQUFB"), "x [masked]");
    }

    #[test]
    fn what_is_known_goes_whatever_it_is_called() {
        let mut scrubber = Scrubber::default();
        scrubber.learn(b"correct horse");
        scrubber.learn(b"abc");
        let text = format!("said: correct horse, {} and abc", STANDARD.encode("correct horse"));
        assert_eq!(scrubber.text(&text), "said: [masked], [masked] and abc");
    }
}
