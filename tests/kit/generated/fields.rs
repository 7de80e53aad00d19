//! A JSON Schema as a table of fields, for the docs: what the types' comments say, told once.

use std::fmt::Write;

use serde_json::{Map, Value};

/// One row for each field of a schema, nested ones by their full path.
pub(super) fn table(schema: &Value) -> String {
    let mut text = String::from("| field | is | meaning |\n|---|---|---|\n");
    rows(schema, schema, "", &mut text, 0);
    text
}

fn rows(root: &Value, object: &Value, prefix: &str, text: &mut String, depth: usize) {
    // Types may contain themselves; nothing that people write nests deeper than this.
    if depth > 6 {
        return;
    }
    let empty = Map::new();
    let required = object["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in object["properties"].as_object().unwrap_or(&empty) {
        let path = format!("{prefix}{name}");
        let resolved = resolve(root, field);
        let described = field["description"].as_str().or(resolved["description"].as_str()).unwrap_or_default();
        let must = if required.iter().any(|r| r == name) { " **Required.**" } else { "" };
        let default = default_of(field);
        let meaning = described.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        writeln!(text, "| `{path}` | {} | {meaning}{must}{default} |", kind(root, field)).expect("a string takes all");
        for (inner, suffix) in inner_objects(root, field) {
            rows(root, inner, &format!("{path}{suffix}."), text, depth + 1);
        }
    }
}

fn default_of(field: &Value) -> String {
    match &field["default"] {
        Value::Null => String::new(),
        Value::Object(_) => String::new(),
        Value::Array(items) if items.is_empty() => String::new(),
        Value::String(text) => format!(" Default: `{text}`."),
        other => format!(" Default: `{other}`."),
    }
}

/// Follows references, and takes the meaning half of an optional value.
fn resolve<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    if let Some(pointer) = value["$ref"].as_str() {
        return resolve(root, root.pointer(pointer.trim_start_matches('#')).unwrap_or(&Value::Null));
    }
    match alternatives(value).as_slice() {
        [only] => resolve(root, only),
        _ => value,
    }
}

/// What a value may be, without null.
fn alternatives(value: &Value) -> Vec<&Value> {
    let listed = value["anyOf"].as_array().or(value["oneOf"].as_array());
    listed.into_iter().flatten().filter(|one| one["type"] != "null").collect()
}

fn kind(root: &Value, field: &Value) -> String {
    let value = resolve(root, field);
    let many = alternatives(value);
    if !many.is_empty() {
        let mut kinds: Vec<String> = many.iter().map(|one| kind(root, one)).collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    if let Some(constant) = value["const"].as_str() {
        return format!("`{constant}`");
    }
    if let Some(values) = value["enum"].as_array() {
        let values: Vec<String> = values.iter().filter_map(Value::as_str).map(|v| format!("`{v}`")).collect();
        return values.join(", ");
    }
    let name = match &value["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("any"),
        one => one.as_str().unwrap_or("any"),
    };
    match name {
        "array" => format!("list of {}", kind(root, &value["items"])),
        "object" if value["properties"].is_object() => "object".to_owned(),
        "object" => "map".to_owned(),
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => "number".to_owned(),
        other => other.to_owned(),
    }
}

/// Objects inside a field, with what stands between the field's path and theirs.
fn inner_objects<'a>(root: &'a Value, field: &'a Value) -> Vec<(&'a Value, &'static str)> {
    let value = resolve(root, field);
    if value["properties"].is_object() {
        return vec![(value, "")];
    }
    if value["items"].is_object() {
        return inner_objects(root, &value["items"]).into_iter().map(|(object, _)| (object, "[]")).collect();
    }
    alternatives(value).into_iter().flat_map(|one| inner_objects(root, one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_listed_by_their_path() {
        let schema = json!({
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "description": "What\nit is."},
                "files": {"type": "array", "items": {"$ref": "#/$defs/File"}},
                "mode": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}]},
            },
            "$defs": {
                "File": {"type": "object", "description": "A file.", "properties": {"to": {"type": "string"}}},
                "Mode": {"description": "How.", "oneOf": [{"const": "a"}, {"const": "b"}]},
            }
        });
        let table = table(&schema);
        for row in [
            "| `name` | text | What it is. **Required.** |",
            "| `files` | list of object |  |",
            "| `files[].to` | text |  |",
            "| `mode` | `a` or `b` | How. |",
        ] {
            assert!(table.lines().any(|line| line == row), "{row} in\n{table}");
        }
    }
}
