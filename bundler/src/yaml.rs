//! Reads YAML and JSON as `kubectl` does (its library is sigs.k8s.io/yaml, YAML 1.1), with limits.
//!
//! Everything a person writes passes through here once, on the connected side; no YAML from a bundle is
//! ever parsed (DESIGN §1.4). It never guesses: a duplicate key, an unknown alias, a value that JSON cannot
//! hold is an error with file, line and column.

use std::fmt;
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, codes};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Bounds on one YAML file or stream. Each is far above what people write and far below what hurts.
#[derive(Debug, Clone, Copy)]
pub struct YamlLimits {
    /// Most bytes of one file. The largest CRD bundles that exist are near 5 MB.
    pub bytes: usize,
    /// Deepest nesting. OpenAPI schemas in CRDs reach about 40.
    pub depth: usize,
    /// Most mappings, sequences and scalars, aliases expanded.
    pub nodes: usize,
    /// Most documents in one file.
    pub documents: usize,
}

impl Default for YamlLimits {
    fn default() -> Self {
        YamlLimits { bytes: 64 << 20, depth: 100, nodes: 4_000_000, documents: 20_000 }
    }
}

/// Why a text is no YAML that Kubernetes would read.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// The text is malformed, ambiguous, or beyond a limit.
    #[error("{}{}: not readable as YAML", file.display(), place(*.line, *.column))]
    Malformed {
        /// The file, as it should be shown.
        file: PathBuf,
        /// Line, from 1; 0 where the parser does not know.
        line: u64,
        /// Column, from 1; 0 where the parser does not know.
        column: u64,
        /// What is wrong there.
        source: What,
    },
    /// The text is larger than is read.
    #[error("{} has {size} bytes, more than {limit} are not read as YAML", file.display())]
    TooLarge {
        /// The file, as it should be shown.
        file: PathBuf,
        /// Its size.
        size: usize,
        /// The bound.
        limit: usize,
    },
    /// The text is not UTF-8.
    #[error("{} is not UTF-8 text (byte {offset})", file.display())]
    NotText {
        /// The file, as it should be shown.
        file: PathBuf,
        /// The first byte that is not.
        offset: usize,
    },
}

fn place(line: u64, column: u64) -> String {
    if line == 0 { String::new() } else { format!(":{line}:{column}") }
}

/// What is wrong at a place in a text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct What(pub String);

impl Coded for YamlError {
    fn code(&self) -> Code {
        match self {
            YamlError::Malformed { .. } | YamlError::NotText { .. } => codes::YAML_MALFORMED,
            YamlError::TooLarge { .. } => codes::OVER_LIMIT,
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, YamlError::NotText { .. }).then(|| "save the file as UTF-8".to_owned())
    }
}

/// Reads all documents of a YAML (or JSON, which is YAML) text; empty documents are dropped.
///
/// `file` is only for messages.
///
/// # Errors
/// [`YamlError`], with line and column.
pub fn parse_documents(text: &[u8], file: &Path, limits: &YamlLimits) -> Result<Vec<Value>, YamlError> {
    if text.len() > limits.bytes {
        return Err(YamlError::TooLarge { file: file.into(), size: text.len(), limit: limits.bytes });
    }
    let text = std::str::from_utf8(text)
        .map_err(|error| YamlError::NotText { file: file.into(), offset: error.valid_up_to() })?;
    // YAML 1.2 §5.2 allows a byte order mark; Windows editors write it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let malformed = |line, column, what| YamlError::Malformed { file: file.into(), line, column, source: What(what) };
    let read = || serde_saphyr::from_multiple_with_options::<Node>(text, options(limits));
    let nodes = on_a_deep_stack(read).map_err(|what| malformed(0, 0, what))?.map_err(|error| {
        let location = error.location();
        malformed(location.map_or(0, |l| l.line()), location.map_or(0, |l| l.column()), plain_message(&error))
    })?;
    Ok(nodes.into_iter().map(|node| node.0).filter(|value| !value.is_null()).collect())
}

/// Stack for [`YamlLimits::depth`] levels: the reader is recursive, and without optimisation a level takes tens of
/// kilobytes. A thread's usual 2 MiB would turn deep nesting into an abort instead of an error.
const STACK: usize = 32 << 20;

/// Runs a reader on a thread of its own whose stack is known.
fn on_a_deep_stack<T: Send>(read: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, read);
        let reader = reader.map_err(|error| format!("there is no thread to read it on: {error}"))?;
        reader.join().map_err(|_| "the reader gave up".to_owned())
    })
}

/// Reads a text that holds exactly one document.
///
/// # Errors
/// [`YamlError`]; none and several documents are malformed.
pub fn parse_one(text: &[u8], file: &Path, limits: &YamlLimits) -> Result<Value, YamlError> {
    let mut documents = parse_documents(text, file, limits)?;
    match (documents.pop(), documents.len()) {
        (Some(value), 0) => Ok(value),
        (_, more) => Err(YamlError::Malformed {
            file: file.into(),
            line: 1,
            column: 1,
            source: What(format!("one document is wanted, there are {}", if more == 0 { 0 } else { more + 1 })),
        }),
    }
}

fn options(limits: &YamlLimits) -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: limits.depth,
            max_nodes: limits.nodes,
            max_events: limits.nodes.saturating_mul(3),
            max_documents: limits.documents,
            max_total_scalar_bytes: limits.bytes,
            max_inclusion_depth: 0,
            max_recorded_anchor_events: 200_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
            max_replay_stack_depth: 16,
        },
        // kubectl reads `0755` as 493 (stack.md §2.4); the default would make it 755.0.
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

/// The parser's message without its own line and column, which stand in front already.
fn plain_message(error: &serde_saphyr::Error) -> String {
    // The other formatter gives advice on the library's options.
    let text = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let first = text.lines().next().unwrap_or_default();
    let cut = first.find(" at line ").unwrap_or(first.len());
    first[..cut].trim_end_matches(['.', ':', ' ']).to_owned()
}

/// A JSON value read from YAML by Kubernetes' rules for numbers and keys.
struct Node(Value);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can hold")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        number(value).map(|n| Node(Value::Number(n))).ok_or_else(|| E::custom("a number that JSON cannot hold"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node(Value::String(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node(Value::String(value)))
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Node, E> {
        let text = std::str::from_utf8(value).map_err(|_| E::custom("`!!binary` that is not UTF-8 text"))?;
        Ok(Node(Value::String(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(Node(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node(Value::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut map = Map::new();
        while let Some(Node(key)) = access.next_key()? {
            let key = key_text(key).ok_or_else(|| de::Error::custom("a key must be a text, number or boolean"))?;
            let Node(value) = access.next_value()?;
            if map.contains_key(&key) {
                return Err(de::Error::custom(format_args!("duplicate key `{key}`")));
            }
            map.insert(key, value);
        }
        Ok(Node(Value::Object(map)))
    }
}

/// JSON as Go writes it: a whole number below 1e21 has no fraction and no exponent (encoding/json,
/// floatEncoder), so `1.0`, `1e3` and `089` come out as integers, as they do in kubectl.
fn number(value: f64) -> Option<Number> {
    // 2^63 is exact as a float; every whole float below it is exact as an integer.
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if value.fract() == 0.0 && (-EDGE..EDGE).contains(&value) {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// JSON keys are texts; sigs.k8s.io/yaml turns other scalars into the text of their value.
fn key_text(key: Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Vec<Value>, YamlError> {
        parse_documents(text.as_bytes(), Path::new("deploy/x.yaml"), &YamlLimits::default())
    }

    fn value(text: &str) -> Value {
        read(&format!("v: {text}\n")).unwrap().remove(0)["v"].clone()
    }

    /// Each row was also read by kubectl 1.32 (`kubectl patch --local -o json`), with the same result.
    #[test]
    fn scalars_read_as_kubectl_reads_them() {
        for (text, expected) in [
            ("0755", json!(493)),
            ("0644", json!(420)),
            ("-0755", json!(-493)),
            ("0o17", json!(15)),
            ("0b11", json!(3)),
            ("0x1F", json!(31)),
            ("yes", json!(true)),
            ("on", json!(true)),
            ("y", json!(true)),
            ("Y", json!(true)),
            ("n", json!(false)),
            ("off", json!(false)),
            ("No", json!(false)),
            ("1_000", json!(1000)),
            ("089", json!(89)),
            ("+12", json!(12)),
            ("12e3", json!(12000)),
            ("1.0", json!(1)),
            ("1.10", json!(1.1)),
            (".5", json!(0.5)),
            ("1:30", json!("1:30")),
            ("2001-01-01", json!("2001-01-01")),
            ("\"0755\"", json!("0755")),
            ("'yes'", json!("yes")),
            ("12345678901234567890", json!(12345678901234567890_u64)),
            ("9007199254740993", json!(9007199254740993_u64)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("''", json!("")),
            ("!!binary aGVsbG8=", json!("hello")),
            ("!!str 12", json!("12")),
            ("!foo bar", json!("bar")),
            ("!!float 3", json!(3)),
            ("!!int \"7\"", json!(7)),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn keys_read_as_kubectl_reads_them() {
        let read = read("1: a\nyes: b\n0755: c\n1.5: d\n\"y\": e\n").unwrap();
        assert_eq!(read, [json!({"1": "a", "true": "b", "493": "c", "1.5": "d", "y": "e"})]);
    }

    #[test]
    fn merge_keys_are_merged_and_own_keys_win() {
        let read = read("base: &b {a: 1, c: 2}\nv:\n  <<: *b\n  a: 3\n").unwrap();
        assert_eq!(read[0]["v"], json!({"a": 3, "c": 2}));
    }

    #[test]
    fn empty_documents_are_dropped() {
        let text = "---\n# only a comment\n---\n---\na: 1\n...\n---\nnull\n---\n- b\n";
        assert_eq!(read(text).unwrap(), [json!({"a": 1}), json!(["b"])]);
        assert_eq!(read("").unwrap(), [] as [Value; 0]);
        assert_eq!(read("\u{feff}a: 1\r\nb: 2\r\n").unwrap(), [json!({"a": 1, "b": 2})]);
    }

    #[test]
    fn json_is_yaml() {
        assert_eq!(
            read("{\"a\": [1, 2.5, \"x\\u0041\", null],\n\t\"b\": {}}").unwrap(),
            [json!({"a": [1, 2.5, "xA", null], "b": {}})]
        );
    }

    #[test]
    fn errors_name_file_line_and_column() {
        for (text, line, what) in [
            ("a: 1\nb: 2\na: 3\n", 3, "duplicate"),
            ("a: 1\n0x1: 2\n1: 3\n", 3, "duplicate"),
            ("a:\n\t- b\n", 2, "tab"),
            ("a: [1, 2\n", 1, "bracket"),
            ("a: *unknown\n", 1, "unknown"),
            ("a: .inf\n", 1, ""),
            ("a: 1e400\n", 1, "finite"),
            ("a: 1\n? [x]\n: 2\n", 0, "a key must be"),
        ] {
            let error = read(text).unwrap_err();
            let YamlError::Malformed { line: at, source, .. } = &error else { panic!("{text:?}: {error}") };
            assert_eq!(*at, line, "{text:?}: {error}: {source}");
            assert!(source.to_string().to_lowercase().contains(what), "{text:?}: {source}");
            assert!(error.to_string().starts_with("deploy/x.yaml:"), "{error}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let list = vec![format!("*a{}", n - 1); 9].join(", ");
            laughs += &format!("a{n}: &a{n} [{list}]\n");
        }
        let deep = format!("v: {}{}", "[".repeat(5000), "]".repeat(5000));
        let deep_block = (0..5000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>();
        for bomb in [laughs, deep, deep_block] {
            assert_eq!(read(&bomb).unwrap_err().code(), codes::YAML_MALFORMED);
        }
        let small = YamlLimits { bytes: 10, documents: 2, ..YamlLimits::default() };
        assert_eq!(parse_documents(&[b' '; 11], Path::new("x"), &small).unwrap_err().code(), codes::OVER_LIMIT);
        assert!(parse_documents(b"--- a\n--- b\n--- c", Path::new("x"), &YamlLimits { bytes: 99, ..small }).is_err());
    }

    #[test]
    fn other_encodings_are_named() {
        let error = parse_documents(b"a: \xff", Path::new("x"), &YamlLimits::default()).unwrap_err();
        assert!(matches!(error, YamlError::NotText { offset: 3, .. }), "{error}");
    }

    #[test]
    fn one_document_means_one() {
        let one = |text: &str| parse_one(text.as_bytes(), Path::new("x"), &YamlLimits::default());
        assert_eq!(one("a: 1").unwrap(), json!({"a": 1}));
        assert!(one("").is_err());
        assert!(one("a: 1\n--- \nb: 1\n").is_err());
    }
}
