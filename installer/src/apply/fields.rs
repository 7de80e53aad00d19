//! Which fields of an object would change: the server's dry-run answer beside the live object, masked and bounded.
//!
//! Never shows what a Secret holds, nor how long it is. Pure.

use serde_json::{Map, Value};

use super::drift;
use crate::handoff::{FieldChange, ObjectDiff, ObjectKey};

/// How many fields of one object are listed; the rest is counted.
const LISTED: usize = 60;
/// How much of a value is shown, in bytes.
const SHOWN: usize = 160;
/// What stands for a value that nobody may see.
const MASK: &str = "(secret)";
/// Where kubectl keeps the whole object as text, a Secret's data with it.
const LAST_APPLIED: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

/// Lists what applying changes in the content of an object. Empty where only the answering for fields changes.
pub fn between(key: &ObjectKey, live: &Value, dry_run: &Value) -> ObjectDiff {
    let [before, after] = [live, dry_run].map(|object| Value::Object(drift::content(object)));
    let mut found = Found { secret: key.kind.is("", "Secret"), fields: Vec::new(), more: 0 };
    found.value("", Some(&before), Some(&after));
    ObjectDiff { key: key.clone(), fields: found.fields, more: found.more }
}

struct Found {
    secret: bool,
    fields: Vec<FieldChange>,
    more: u64,
}

impl Found {
    fn value(&mut self, pointer: &str, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (Some(before), Some(after)) if before == after => {}
            (Some(Value::Object(before)), Some(Value::Object(after))) => self.map(pointer, before, after),
            (Some(Value::Array(before)), Some(Value::Array(after))) => self.list(pointer, before, after),
            (before, after) => self.push(pointer, before, after),
        }
    }

    fn map(&mut self, pointer: &str, before: &Map<String, Value>, after: &Map<String, Value>) {
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        let mut names: Vec<&String> = after.keys().chain(gone).collect();
        names.sort();
        for name in names {
            let step = name.replace('~', "~0").replace('/', "~1");
            self.value(&format!("{pointer}/{step}"), before.get(name), after.get(name));
        }
    }

    /// Elements with names of their own, such as containers, are held against their namesakes; others against what
    /// stands in the same place.
    fn list(&mut self, pointer: &str, before: &[Value], after: &[Value]) {
        let (Some(old), Some(new)) = (names(before), names(after)) else {
            for index in 0..before.len().max(after.len()) {
                self.value(&format!("{pointer}/{index}"), before.get(index), after.get(index));
            }
            return;
        };
        for (index, name) in new.iter().enumerate() {
            let namesake = old.iter().position(|one| one == name).map(|at| &before[at]);
            self.value(&format!("{pointer}/{index}"), namesake, Some(&after[index]));
        }
        for (index, _) in old.iter().enumerate().filter(|(_, name)| !new.contains(name)) {
            self.value(&format!("{pointer}/{index}"), Some(&before[index]), None);
        }
    }

    fn push(&mut self, pointer: &str, before: Option<&Value>, after: Option<&Value>) {
        if self.fields.len() >= LISTED {
            self.more += 1;
            return;
        }
        let masked = self.secret && is_hidden(pointer);
        let [before, after] = [before, after].map(|value| {
            let value = value?;
            Some(if masked { Value::String(MASK.to_owned()) } else { shortened(value) })
        });
        self.fields.push(FieldChange { pointer: pointer.to_owned(), before, after });
    }
}

/// Everything of a Secret but what says which one it is. The annotations as a whole may hold the object as text.
fn is_hidden(pointer: &str) -> bool {
    let shown = ["/type", "/immutable", "/metadata/labels", "/metadata/annotations/"];
    pointer == LAST_APPLIED || !shown.iter().any(|start| pointer.starts_with(start))
}

/// The names of the elements, where each has one and no two have the same.
fn names(list: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<&str> = list.iter().map(|one| one["name"].as_str()).collect::<Option<_>>()?;
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1]).then_some(names)
}

fn shortened(value: &Value) -> Value {
    let mut text = match value {
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) => value.to_string(),
        _ => return value.clone(),
    };
    if text.len() <= SHOWN {
        return value.clone();
    }
    text.truncate((0..=SHOWN).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0));
    text.push('…');
    Value::String(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::GroupKind;
    use serde_json::json;

    fn lines(kind: &str, before: &Value, after: &Value) -> Vec<String> {
        let key = ObjectKey::new(GroupKind::new("", kind), "n", "a");
        between(&key, before, after).fields.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn fields_and_not_what_the_server_keeps() {
        let before = json!({"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}, "status": {"x": 1},
            "spec": {"replicas": 2, "containers": [{"name": "web", "image": "w:1"}, {"name": "old"}], "args": ["a", "b"]}});
        let after = json!({"metadata": {"resourceVersion": "2", "labels": {"a": "b", "c": "d"}}, "status": {"x": 2},
            "spec": {"replicas": 3, "containers": [{"name": "new"}, {"name": "web", "image": "w:2"}], "args": ["a"]}});
        assert_eq!(
            lines("Pod", &before, &after),
            [
                "+ metadata.labels.c: d",
                "- spec.args[1]: b",
                "+ spec.containers[0]: {\"name\":\"new\"}",
                "~ spec.containers[1].image: w:1 → w:2",
                "- spec.containers[1]: {\"name\":\"old\"}",
                "~ spec.replicas: 2 → 3",
            ]
        );
        assert!(lines("Pod", &before, &before).is_empty());
    }

    #[test]
    fn a_secret_shows_neither_value_nor_length() {
        let last = "kubectl.kubernetes.io/last-applied-configuration";
        let before =
            json!({"data": {"a": "aHVudGVyMg==", "b": "eA=="}, "metadata": {"annotations": {last: "hunter2"}}});
        let after = json!({"data": {"a": "aG9yc2U=", "c": "eA=="}, "metadata": {"annotations": {"x": "y"}}});
        assert_eq!(
            lines("Secret", &before, &after),
            [
                "~ data.a: (secret) → (secret)",
                "- data.b: (secret)",
                "+ data.c: (secret)",
                "- metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"]: (secret)",
                "+ metadata.annotations.x: y",
            ]
        );
        // Whole maps that come or go are masked as one.
        assert_eq!(lines("Secret", &json!({"data": {"a": "eA=="}}), &json!({})), ["- data: (secret)"]);
        let whole = json!({"metadata": {"annotations": {last: "hunter2"}}});
        assert_eq!(lines("Secret", &whole, &json!({})), ["- metadata: (secret)"]);
    }

    #[test]
    fn what_is_long_is_cut_and_what_is_many_is_counted() {
        let many: Map<String, Value> = (0..70).map(|n| (format!("k{n}"), json!("ä".repeat(500)))).collect();
        let key = ObjectKey::new(GroupKind::new("", "ConfigMap"), "n", "a");
        let diff = between(&key, &json!({"data": {}}), &json!({"data": many}));
        assert_eq!((diff.fields.len(), diff.more), (LISTED, 10));
        let shown = diff.fields[0].after.as_ref().unwrap().as_str().unwrap();
        assert!(shown.len() <= SHOWN + '…'.len_utf8() && shown.ends_with('…'));
    }
}
