//! What would change inside an object, field by field: plain data for people and for `--json`.
//!
//! Values come in already masked and cut; nothing here knows a Secret.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ObjectKey;

/// One field that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Where it is: a JSON Pointer into the object as it would be, or as it is where the field would go.
    pub pointer: String,
    /// What it is now; absent where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it would be; absent where it would go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The fields of one object that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectDiff {
    /// The object.
    #[serde(flatten)]
    pub key: ObjectKey,
    /// The fields, in the order of their places.
    pub fields: Vec<FieldChange>,
    /// How many more there are than are listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl FieldChange {
    /// The place as people write it: `spec.containers[0].image`.
    pub fn place(&self) -> String {
        let mut place = String::new();
        for part in self.pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
                place.push_str(&format!("[{part}]"));
            } else if part.contains(['.', '/']) {
                place.push_str(&format!("[{part:?}]"));
            } else {
                let dot = if place.is_empty() { "" } else { "." };
                place.push_str(&format!("{dot}{part}"));
            }
        }
        place
    }
}

impl ObjectDiff {
    /// What people read: a line for each field, and how many more there are.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.fields.iter().map(ToString::to_string).collect();
        if self.fields.is_empty() {
            lines.push("its content stays; what changes is who answers for its fields".to_owned());
        }
        if self.more > 0 {
            lines.push(format!("and {} fields more", self.more));
        }
        lines
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place();
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "+ {place}: {}", words(after)),
            (Some(before), None) => write!(f, "- {place}: {}", words(before)),
            (before, after) => {
                let [before, after] = [before, after].map(|one| one.as_ref().map_or(String::new(), words));
                write!(f, "~ {place}: {before} → {after}")
            }
        }
    }
}

/// A string as itself, in one line; anything else as JSON.
fn words(value: &Value) -> String {
    match value.as_str() {
        Some("") => "\"\"".to_owned(),
        Some(text) => text.escape_debug().to_string(),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_told_in_one_line() {
        let change = |pointer: &str, before: Value, after: Value| FieldChange {
            pointer: pointer.to_owned(),
            before: Some(before).filter(|value| !value.is_null()),
            after: Some(after).filter(|value| !value.is_null()),
        };
        for (change, line) in [
            (change("/spec/replicas", json!(2), json!(3)), "~ spec.replicas: 2 → 3"),
            (change("/spec/containers/0/image", json!("a:1"), json!("a:2")), "~ spec.containers[0].image: a:1 → a:2"),
            (
                change("/metadata/annotations/a.dev~1b", Value::Null, json!("x\ny")),
                "+ metadata.annotations[\"a.dev/b\"]: x\\ny",
            ),
            (change("/data/a", json!({"x": ""}), Value::Null), "- data.a: {\"x\":\"\"}"),
            (change("/data/a", json!(""), json!("b")), "~ data.a: \"\" → b"),
        ] {
            assert_eq!(change.to_string(), line);
        }
    }
}
