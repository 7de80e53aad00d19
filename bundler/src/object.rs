//! Kubernetes objects on their way from rendered text to desired state, each with the place it came from,
//! so that every later error can name it.
//!
//! Nothing here asks a cluster what a kind is; what is not written is not known.

use std::fmt;

use consign_format::error::{Code, Coded, codes};
use serde_json::{Map, Value};

/// The place an object was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The entry of `render`, as written in `release.yaml`.
    pub entry: String,
    /// The file in the tree, or the template that a renderer names; empty where it names none.
    pub file: String,
    /// The document in that file or in the renderer's output, from 1.
    pub document: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.is_empty(), self.document) {
            (_, 0) => write!(f, "{}", self.entry),
            (true, n) => write!(f, "{}, document {n} as rendered", self.entry),
            // The file's path usually begins with the entry's, and then says it all.
            (false, n) if self.file.starts_with(&self.entry) => write!(f, "{}, document {n}", self.file),
            (false, n) => write!(f, "{}: {}, document {n}", self.entry, self.file),
        }
    }
}

/// What an object is called: one per release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; empty for cluster-scoped objects and where none is set yet.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() && !self.group.ends_with(".k8s.io") && !BUILT_IN.contains(&self.group.as_str()) {
            write!(f, ".{}", self.group)?;
        }
        f.write_str(" ")?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// Groups of Kubernetes itself whose name would only lengthen a message.
const BUILT_IN: &[&str] = &["apps", "batch", "autoscaling", "policy", "extensions"];

/// One object and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The object: a mapping with `apiVersion`, `kind` and `metadata.name`.
    pub value: Value,
    /// Where it was read.
    pub origin: Origin,
}

/// Why a document is no object that can be applied.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A field that every object has is missing or of another type.
    #[error("{origin}: {what} has no `{field}`")]
    Missing {
        /// Where.
        origin: Origin,
        /// The object as far as it is known.
        what: String,
        /// The field.
        field: &'static str,
    },
    /// The document is no mapping.
    #[error("{origin}: not a Kubernetes object but {found}")]
    NotAnObject {
        /// Where.
        origin: Origin,
        /// What is there.
        found: &'static str,
    },
    /// The object's name is made by the server, so it is another object at every apply.
    #[error("{origin}: {what} has `metadata.generateName` and no name")]
    GeneratedName {
        /// Where.
        origin: Origin,
        /// The kind.
        what: String,
    },
    /// A name or namespace that no object can have.
    #[error("{origin}: `{name}` cannot be the {field} of a {kind}")]
    Name {
        /// Where.
        origin: Origin,
        /// `name` or `namespace`.
        field: &'static str,
        /// What is written.
        name: String,
        /// The kind.
        kind: String,
    },
}

impl Coded for ObjectError {
    fn code(&self) -> Code {
        codes::OBJECT_MALFORMED
    }

    fn hint(&self) -> Option<String> {
        match self {
            ObjectError::Missing { origin, field, .. } if *field == "kind" || *field == "apiVersion" => Some(format!(
                "if {} is a chart's values or another tool's file, render only the folder that holds manifests",
                if origin.file.is_empty() { &origin.entry } else { &origin.file }
            )),
            ObjectError::GeneratedName { .. } => {
                Some("give it a name; what a release holds must be the same at every site".to_owned())
            }
            _ => None,
        }
    }
}

impl Object {
    /// Reads a document into objects: a `List` (or `ConfigMapList` and its like) becomes its items.
    ///
    /// # Errors
    /// [`ObjectError`]: no mapping, no `apiVersion`, `kind` or `metadata.name`, a generated or impossible name.
    pub fn from_document(value: Value, origin: Origin) -> Result<Vec<Object>, ObjectError> {
        let mut objects = Vec::new();
        collect(value, &origin, 0, &mut objects)?;
        Ok(objects)
    }

    /// Wraps a value whose `apiVersion`, `kind` and `metadata.name` are known to be there.
    pub(crate) fn new(value: Value, origin: Origin) -> Self {
        Object { value, origin }
    }

    /// Returns `apiVersion`.
    pub fn api_version(&self) -> &str {
        text(&self.value, "apiVersion")
    }

    /// Returns the API group; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// Returns `kind`.
    pub fn kind(&self) -> &str {
        text(&self.value, "kind")
    }

    /// Returns `metadata.name`.
    pub fn name(&self) -> &str {
        text(&self.value["metadata"], "name")
    }

    /// Returns `metadata.namespace`; empty where there is none.
    pub fn namespace(&self) -> &str {
        text(&self.value["metadata"], "namespace")
    }

    /// Returns an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.value["metadata"]["annotations"].get(name)?.as_str()
    }

    /// Returns what the object is called.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef {
            group: self.group().to_owned(),
            kind: self.kind().to_owned(),
            namespace: self.namespace().to_owned(),
            name: self.name().to_owned(),
        }
    }

    /// Tells whether a controller of Helm would run this object around an install (`helm.sh/hook`).
    pub fn is_hook(&self) -> bool {
        self.annotation("helm.sh/hook").is_some()
    }

    pub(crate) fn metadata_mut(&mut self) -> Option<&mut Map<String, Value>> {
        self.value.get_mut("metadata")?.as_object_mut()
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Lists in lists end somewhere; nobody writes more than one.
const LIST_DEPTH: usize = 4;

fn collect(value: Value, origin: &Origin, depth: usize, into: &mut Vec<Object>) -> Result<(), ObjectError> {
    let origin = || origin.clone();
    let Value::Object(map) = &value else {
        return Err(ObjectError::NotAnObject { origin: origin(), found: describe(&value) });
    };
    let what = what(map);
    let missing = |field| ObjectError::Missing { origin: origin(), what: what.clone(), field };
    let kind = text(&value, "kind");
    if kind.is_empty() {
        return Err(missing("kind"));
    }
    if text(&value, "apiVersion").is_empty() {
        return Err(missing("apiVersion"));
    }
    // As kubectl: a kind that ends in List and has `items` is a list (unstructured.IsList). A custom kind may
    // be called `…List` and have a name; then it is an object.
    let named = value["metadata"].get("name").is_some();
    if kind.ends_with("List") && value["items"].is_array() && !named {
        if depth == LIST_DEPTH {
            return Err(ObjectError::NotAnObject { origin: origin(), found: "a list in a list in a list" });
        }
        let Value::Object(mut map) = value else { return Ok(()) };
        let Some(Value::Array(items)) = map.remove("items") else { return Ok(()) };
        return items.into_iter().try_for_each(|item| collect(item, &origin(), depth + 1, into));
    }
    check_names(&value, &origin(), &what)?;
    into.push(Object::new(value, origin()));
    Ok(())
}

fn check_names(value: &Value, origin: &Origin, what: &str) -> Result<(), ObjectError> {
    let metadata = &value["metadata"];
    let name = text(metadata, "name");
    if name.is_empty() {
        let origin = origin.clone();
        return Err(if text(metadata, "generateName").is_empty() {
            ObjectError::Missing { origin, what: what.to_owned(), field: "metadata.name" }
        } else {
            ObjectError::GeneratedName { origin, what: what.to_owned() }
        });
    }
    for (field, name) in [("name", name), ("namespace", text(metadata, "namespace"))] {
        // What no API server takes for any kind (apimachinery, path.IsValidPathSegmentName) or what would
        // not be one word in a message.
        let unfit = name == "." || name == ".." || name.len() > 253;
        if unfit || name.contains(|c: char| c == '/' || c == '%' || c.is_control() || c.is_whitespace()) {
            let kind = text(value, "kind").to_owned();
            return Err(ObjectError::Name { origin: origin.clone(), field, name: name.to_owned(), kind });
        }
    }
    Ok(())
}

fn what(map: &Map<String, Value>) -> String {
    let kind = map.get("kind").and_then(Value::as_str).unwrap_or("the document");
    match map.get("metadata").map(|metadata| text(metadata, "name")) {
        Some(name) if !name.is_empty() => format!("{kind} {name}"),
        _ => kind.to_owned(),
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a sequence",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn origin(file: &str) -> Origin {
        Origin { entry: "deploy".to_owned(), file: file.to_owned(), document: 1 }
    }

    pub(crate) fn object(value: Value) -> Object {
        Object::from_document(value, origin("deploy/x.yaml")).unwrap().remove(0)
    }

    #[test]
    fn lists_become_their_items() {
        let item = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        let inner = json!({"apiVersion": "v1", "kind": "ConfigMapList", "items": [item("b"), item("c")]});
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [item("a"), inner]});
        let names: Vec<_> = Object::from_document(list, origin("x")).unwrap();
        assert_eq!(names.iter().map(Object::name).collect::<Vec<_>>(), ["a", "b", "c"]);

        let own = json!({"apiVersion": "x.io/v1", "kind": "AllowList", "metadata": {"name": "a"}, "items": []});
        assert_eq!(Object::from_document(own, origin("x")).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_applied_is_refused_with_its_place() {
        for (value, message) in [
            (json!([1]), "deploy: x.yaml, document 1: not a Kubernetes object but a sequence"),
            (json!({"a": 1}), "deploy: x.yaml, document 1: the document has no `kind`"),
            (json!({"kind": "Pod"}), "deploy: x.yaml, document 1: Pod has no `apiVersion`"),
            (json!({"kind": "Pod", "apiVersion": "v1"}), "deploy: x.yaml, document 1: Pod has no `metadata.name`"),
            (
                json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"generateName": "a-"}}),
                "deploy: x.yaml, document 1: Pod has `metadata.generateName` and no name",
            ),
            (
                json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a/b"}}),
                "deploy: x.yaml, document 1: `a/b` cannot be the name of a Pod",
            ),
        ] {
            let error = Object::from_document(value, origin("x.yaml")).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn objects_are_named_shortly() {
        let show = |api: &str, kind: &str| {
            let metadata = json!({"name": "n", "namespace": "s"});
            object(json!({"apiVersion": api, "kind": kind, "metadata": metadata})).reference().to_string()
        };
        assert_eq!(show("apps/v1", "Deployment"), "Deployment s/n");
        assert_eq!(show("v1", "Pod"), "Pod s/n");
        assert_eq!(show("argoproj.io/v1alpha1", "Rollout"), "Rollout.argoproj.io s/n");
    }
}
