//! The grammar of `images.fields`: where a custom resource names an image.
//!
//! ```text
//! rule    = [ group "/" ] Kind 1*segment
//! segment = "." key            a key of a mapping, without . [ ] " and not *
//!         | ".*"               every value of a mapping
//!         | "[]" | "[*]"       every item of a list
//!         | "[" digits "]"     one item of a list
//!         | '["' key '"]'      a key with any character but "
//! ```
//! `MyKind.spec.image`, `example.com/MyKind.spec.parts[].image`, `MyKind.spec["x.y/z"].image`.

use std::fmt;
use std::str::FromStr;

use consign_format::error::{Code, Coded, codes};
use serde_json::Value;

use crate::object::Object;

/// One entry of `images.fields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRule {
    /// As written.
    text: String,
    group: Option<String>,
    kind: String,
    path: Vec<Segment>,
    /// Whether the field can bear a digest (`pin: false` says it cannot).
    pub pin: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(usize),
    Values,
    Items,
}

/// A text that is no field rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` of `images.fields` cannot be read: {reason}")]
pub struct FieldError {
    /// As written.
    pub text: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl Coded for FieldError {
    fn code(&self) -> Code {
        codes::FIELD_MALFORMED
    }

    fn hint(&self) -> Option<String> {
        Some("write it like `MyKind.spec.image` or `example.com/MyKind.spec.parts[].image`".to_owned())
    }
}

impl FieldRule {
    /// Returns the rule with its `pin` set.
    pub fn with_pin(self, pin: bool) -> Self {
        FieldRule { pin, ..self }
    }

    /// Tells whether the rule is for objects of this kind.
    pub fn is_for(&self, object: &Object) -> bool {
        self.kind == object.kind() && self.group.as_deref().is_none_or(|group| group == object.group())
    }

    /// Returns the JSON Pointers of all fields of an object that the path leads to. A branch that is not
    /// there, or is null, leads nowhere and is no error.
    pub fn pointers(&self, value: &Value) -> Vec<String> {
        let mut places = vec![(String::new(), value)];
        for segment in &self.path {
            places = places.into_iter().flat_map(|(pointer, value)| segment.follow(&pointer, value)).collect();
        }
        places.into_iter().filter(|(_, value)| !value.is_null()).map(|(pointer, _)| pointer).collect()
    }
}

impl Segment {
    fn follow<'v>(&self, pointer: &str, value: &'v Value) -> Vec<(String, &'v Value)> {
        let place = |segment: &str, value| (format!("{pointer}/{}", escape(segment)), value);
        match (self, value) {
            (Segment::Key(key), Value::Object(map)) => map.get(key).map(|v| place(key, v)).into_iter().collect(),
            (Segment::Values, Value::Object(map)) => map.iter().map(|(key, v)| place(key, v)).collect(),
            (Segment::Index(at), Value::Array(items)) => {
                items.get(*at).map(|v| place(&at.to_string(), v)).into_iter().collect()
            }
            (Segment::Items, Value::Array(items)) => {
                items.iter().enumerate().map(|(at, v)| place(&at.to_string(), v)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Escapes one reference token of a JSON Pointer (RFC 6901 §3).
pub(crate) fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

impl FromStr for FieldRule {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| FieldError { text: text.to_owned(), reason };
        // A slash before the first bracket ends the group; a group has dots, a kind has none.
        let head = text.find('[').unwrap_or(text.len());
        let (group, rest) = match text[..head].rfind('/') {
            Some(slash) => (Some(text[..slash].to_owned()), &text[slash + 1..]),
            None => (None, text),
        };
        let end = rest.find(['.', '[']).ok_or_else(|| refuse("a path must follow the kind"))?;
        let (kind, path) = rest.split_at(end);
        if !kind.starts_with(|c: char| c.is_ascii_uppercase()) || !kind.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(refuse("it must begin with a kind, which begins with a capital letter"));
        }
        let path = segments(path).map_err(refuse)?;
        Ok(FieldRule { text: text.to_owned(), group, kind: kind.to_owned(), path, pin: true })
    }
}

fn segments(mut rest: &str) -> Result<Vec<Segment>, &'static str> {
    let mut path = Vec::new();
    while !rest.is_empty() {
        let (segment, after) = if let Some(key) = rest.strip_prefix('.') {
            let end = key.find(['.', '[']).unwrap_or(key.len());
            (plain_key(&key[..end])?, &key[end..])
        } else if let Some(quoted) = rest.strip_prefix("[\"") {
            let (key, after) = quoted.split_once("\"]").ok_or("a quoted key does not end")?;
            (Segment::Key(key.to_owned()), after)
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (inner, after) = inner.split_once(']').ok_or("a bracket does not close")?;
            (bracket(inner)?, after)
        } else {
            return Err("a `.` or `[` must follow a bracket");
        };
        path.push(segment);
        rest = after;
    }
    Ok(path)
}

fn plain_key(key: &str) -> Result<Segment, &'static str> {
    match key {
        "" => Err("two dots with nothing between them, or a dot at the end"),
        "*" => Ok(Segment::Values),
        key if key.contains(['*', ']', '"']) => Err("a key with `*`, `]` or `\"` must stand in [\"…\"]"),
        key => Ok(Segment::Key(key.to_owned())),
    }
}

fn bracket(inner: &str) -> Result<Segment, &'static str> {
    match inner {
        "" | "*" => Ok(Segment::Items),
        digits => {
            digits.parse().map(Segment::Index).map_err(|_| "brackets hold nothing, `*`, a number or a quoted key")
        }
    }
}

impl fmt::Display for FieldRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_to_pointers() {
        let value = json!({"spec": {
            "image": "a", "parts": [{"image": "b"}, {"other": 1}, {"image": "c"}],
            "by": {"x.y/z": {"image": "d"}, "w": {"image": null}}, "nested": [["e"], ["f", "g"]]
        }});
        for (rule, expected) in [
            ("K.spec.image", vec!["/spec/image"]),
            ("K.spec.parts[].image", vec!["/spec/parts/0/image", "/spec/parts/2/image"]),
            ("K.spec.parts[*].image", vec!["/spec/parts/0/image", "/spec/parts/2/image"]),
            ("K.spec.parts[2].image", vec!["/spec/parts/2/image"]),
            ("K.spec.by[\"x.y/z\"].image", vec!["/spec/by/x.y~1z/image"]),
            ("K.spec.by.*.image", vec!["/spec/by/x.y~1z/image"]),
            ("K.spec.nested[][]", vec!["/spec/nested/0/0", "/spec/nested/1/0", "/spec/nested/1/1"]),
            ("K.spec.missing.image", vec![]),
            ("K.spec.image.deeper", vec![]),
        ] {
            let mut pointers = rule.parse::<FieldRule>().unwrap().pointers(&value);
            pointers.sort();
            assert_eq!(pointers, expected, "{rule}");
        }
    }

    #[test]
    fn the_group_can_be_said() {
        let rule: FieldRule = "example.com/MyKind.spec.image".parse().unwrap();
        assert_eq!((rule.group.as_deref(), rule.kind.as_str()), (Some("example.com"), "MyKind"));
        assert_eq!("K[\"a/b\"]".parse::<FieldRule>().unwrap().group, None);
        assert!(rule.pin && !rule.with_pin(false).pin);
    }

    #[test]
    fn slips_are_errors() {
        for text in [
            "",
            "spec.image",
            "K",
            "K.",
            "K..a",
            "K.a.",
            "K.a[",
            "K.a[x]",
            "K.a[]b",
            "K.a[\"b]",
            "K.a*",
            "K.a\"b",
            "my kind.a",
            "K.a[-1]",
        ] {
            assert!(text.parse::<FieldRule>().is_err(), "{text}");
        }
    }
}
