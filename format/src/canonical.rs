//! Canonical JSON: one value, one sequence of bytes, so that a signature over bytes is one over meaning.
//!
//! The form is OLPC's as securesystemslib writes it, narrowed: no white space, keys ascending and ASCII,
//! strings in UTF-8 with only `\"` and `\\` escaped and no control characters, integers below 2^53,
//! depth at most [`MAX_DEPTH`]. The reader accepts exactly the bytes the writer produces, which is how
//! duplicate keys, floats, escapes and trailing bytes are refused without a rule of their own.

use std::ops::Range;

use serde::Serialize;
use serde_json::Value;

/// How deep objects and arrays may nest.
pub const MAX_DEPTH: usize = 24;
/// The largest integer, 2^53 - 1: beyond it other JSON readers lose digits.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Bytes that are not canonical JSON, or a value that has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// The bytes depart from the canonical form.
    #[error("not canonical JSON at byte {offset}: {reason}")]
    Form {
        /// Where, counted from 0.
        offset: usize,
        /// How.
        reason: &'static str,
    },
    /// The value cannot be written canonically.
    #[error("has no canonical form: {0}")]
    Value(String),
}

/// Writes a value in canonical form.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value).map_err(|e| CanonicalError::Value(e.to_string()))?;
    let mut bytes = Vec::new();
    write(&value, 0, &mut bytes)?;
    Ok(bytes)
}

fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    if depth > MAX_DEPTH {
        return Err(CanonicalError::Value(format!("nested deeper than {MAX_DEPTH}")));
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let fits = number.as_i64().is_some_and(|n| n.unsigned_abs() <= MAX_INTEGER);
            if !fits {
                return Err(CanonicalError::Value(format!("{number} is not an integer below 2^53")));
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::String(text) => write_string(text, out)?,
        Value::Array(items) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write(item, depth + 1, out)?;
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            // Sorted here and not by the map: another crate may switch on `preserve_order`.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (n, (key, item)) in fields.into_iter().enumerate() {
                if !key.is_ascii() {
                    return Err(CanonicalError::Value(format!("key `{key}` is not ASCII")));
                }
                if n > 0 {
                    out.push(b',');
                }
                write_string(key, out)?;
                out.push(b':');
                write(item, depth + 1, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    if text.chars().any(char::is_control) {
        return Err(CanonicalError::Value("a string holds a control character".to_owned()));
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    Ok(())
}

/// Checks that bytes are exactly one canonical value. Nothing is interpreted and nothing is built.
pub fn check(bytes: &[u8]) -> Result<(), CanonicalError> {
    let mut scanner = Scanner::new(bytes)?;
    scanner.value(0)?;
    scanner.end()
}

/// Walks over canonical JSON and refuses the first departure.
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, CanonicalError> {
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(Scanner { bytes, at: 0 }),
            Err(e) => Err(CanonicalError::Form { offset: e.valid_up_to(), reason: "not UTF-8" }),
        }
    }

    fn refuse<T>(&self, reason: &'static str) -> Result<T, CanonicalError> {
        Err(CanonicalError::Form { offset: self.at, reason })
    }

    pub(crate) fn expect(&mut self, text: &'static [u8], reason: &'static str) -> Result<(), CanonicalError> {
        if !self.bytes[self.at..].starts_with(text) {
            return self.refuse(reason);
        }
        self.at += text.len();
        Ok(())
    }

    pub(crate) fn end(&self) -> Result<(), CanonicalError> {
        if self.at == self.bytes.len() { Ok(()) } else { self.refuse("bytes after the end of the value") }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Passes over one value and returns where it stands.
    pub(crate) fn value(&mut self, depth: usize) -> Result<Range<usize>, CanonicalError> {
        if depth > MAX_DEPTH {
            return self.refuse("nested too deep");
        }
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => self.integer()?,
            Some(b't') => self.expect(b"true", "expected `true`")?,
            Some(b'f') => self.expect(b"false", "expected `false`")?,
            Some(b'n') => self.expect(b"null", "expected `null`")?,
            Some(_) => return self.refuse("expected a value and no white space"),
            None => return self.refuse("ends where a value is expected"),
        }
        Ok(start..self.at)
    }

    fn object(&mut self, depth: usize) -> Result<(), CanonicalError> {
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut last: Option<Range<usize>> = None;
        loop {
            let key = self.string()?;
            let bytes = self.bytes;
            if !bytes[key.clone()].is_ascii() {
                return self.refuse("a key is not ASCII");
            }
            // Escapes would change the order only for `\"` and `\\`; such keys are refused outright.
            if bytes[key.clone()].contains(&b'\\') {
                return self.refuse("a key holds an escape");
            }
            if last.is_some_and(|last| bytes[last] >= bytes[key.clone()]) {
                return self.refuse("keys are not in ascending order, or one stands twice");
            }
            last = Some(key);
            self.expect(b":", "expected `:`")?;
            self.value(depth + 1)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.refuse("expected `,` or `}`"),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), CanonicalError> {
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return self.refuse("expected `,` or `]`"),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over a string and returns where its text stands, between the quotes.
    fn string(&mut self) -> Result<Range<usize>, CanonicalError> {
        self.expect(b"\"", "expected a string")?;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => match self.bytes.get(self.at + 1) {
                    Some(b'"' | b'\\') => self.at += 2,
                    _ => return self.refuse("an escape other than `\\\"` and `\\\\`"),
                },
                Some(0..=0x1f | 0x7f) => return self.refuse("a control character in a string"),
                // U+0080 to U+009F, the other control characters.
                Some(0xc2) if self.bytes.get(self.at + 1).is_some_and(|b| (0x80..=0x9f).contains(b)) => {
                    return self.refuse("a control character in a string");
                }
                Some(_) => self.at += 1,
                None => return self.refuse("ends inside a string"),
            }
        }
        let end = self.at;
        self.at += 1;
        Ok(start..end)
    }

    fn integer(&mut self) -> Result<(), CanonicalError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let digits = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        let text = &self.bytes[digits..self.at];
        let negative = digits > start;
        if text.is_empty() || (text[0] == b'0' && (text.len() > 1 || negative)) {
            return self.refuse("not a canonical integer");
        }
        if text.len() > 16 || text.iter().fold(0u64, |n, b| n * 10 + u64::from(b - b'0')) > MAX_INTEGER {
            return self.refuse("an integer of 2^53 or more");
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return self.refuse("a number that is not an integer");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn departures_are_refused() {
        for text in [
            "",
            " {}",
            "{} ",
            "{}{}",
            "{\"a\":1,\"a\":2}",
            "{\"b\":1,\"a\":2}",
            "{\"a\": 1}",
            "1.0",
            "1e3",
            "1e999",
            "01",
            "-0",
            "9007199254740992",
            "\"\\u0041\"",
            "\"\\n\"",
            "\"\n\"",
            "{\"ä\":1}",
            "[1,]",
            "nul",
            "\"\\ud800\"",
            "\"\u{85}\"",
            "-",
        ] {
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
        assert!(check(&[b'"', 0xff, b'"']).is_err());
        assert!(check("[".repeat(10_000).as_bytes()).is_err());
    }

    #[test]
    fn keys_are_sorted_and_quotes_escaped() {
        let value = serde_json::json!({"b": "say \"hi\" \\ ä", "a": [1, -2, null, true]});
        let text = r#"{"a":[1,-2,null,true],"b":"say \"hi\" \\ ä"}"#;
        assert_eq!(String::from_utf8(to_vec(&value).unwrap()).unwrap(), text);
        assert_eq!(check(text.as_bytes()), Ok(()));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(MAX_INTEGER as i64)..=MAX_INTEGER as i64).prop_map(Value::from),
            "[ -~äß]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z-]{1,8}", inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_accepted_and_means_the_same(value in any_value()) {
            let bytes = to_vec(&value).unwrap();
            prop_assert_eq!(check(&bytes), Ok(()));
            prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), value);
        }

        #[test]
        fn accepted_bytes_are_the_written_bytes(bytes in prop::collection::vec(prop::sample::select(br#"{}[]",:\019-ab "#.to_vec()), 0..24)) {
            if check(&bytes).is_ok() {
                let value: Value = serde_json::from_slice(&bytes).unwrap();
                prop_assert_eq!(to_vec(&value).unwrap(), bytes);
            }
        }
    }
}
