//! `verify-policy.yaml`: which images must carry whose signatures, and which need none.
//!
//! The policy and its keys belong to whoever verifies; nothing of them comes from the bundle. Every rule that fits an
//! image must hold, an image that no rule fits is refused unless `allowUnsigned` names it: what nobody thought of is
//! not let through.

use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, codes};
use schemars::JsonSchema;
use serde::Deserialize;

pub mod cosign;
pub mod judge;
pub mod keys;
pub mod pattern;

pub use judge::{Judged, PolicyError, judge};
pub use keys::Key;
pub use pattern::Pattern;

/// The value of `apiVersion`.
pub const API_VERSION: &str = "consign.dev/v1";
/// No policy and no key is this long, in bytes.
const LIMIT: u64 = 1 << 20;

/// `verify-policy.yaml`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyFile {
    /// Always `consign.dev/v1`.
    pub api_version: String,
    /// Whose signatures images need. Every rule that fits an image must hold.
    #[serde(default)]
    pub rules: Vec<RuleEntry>,
    /// Images that need no signature, as patterns; they count only where no rule fits.
    #[serde(default)]
    pub allow_unsigned: Vec<String>,
}

/// Whose signatures some images need.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleEntry {
    /// Patterns of references in full, such as `quay.io/lumen/*` or `docker.io/library/nginx:1.*`. `*` stands for
    /// anything but `/`, `**` for anything; a pattern without a tag fits every tag.
    pub images: Vec<String>,
    /// Public keys that may sign: PEM files, beside the policy unless the path says otherwise. ECDSA on P-256 or
    /// Ed25519.
    pub keys: Vec<PathBuf>,
    /// How many of the keys must have signed.
    #[serde(default = "one")]
    pub threshold: usize,
}

fn one() -> usize {
    1
}

/// A policy that can be kept to.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    allow_unsigned: Vec<Pattern>,
}

/// Whose signatures some images need.
#[derive(Debug)]
pub struct Rule {
    images: Vec<Pattern>,
    keys: Vec<Key>,
    threshold: usize,
}

/// A policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is not YAML of the expected form.
    #[error("{}, line {line}, column {column}: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
        /// What is wrong.
        reason: String,
    },
    /// A field has a value that cannot be meant.
    #[error("{}: `{field}`: {reason}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field, such as `rules[0].keys`.
        field: String,
        /// What is wrong.
        reason: String,
    },
}

impl Coded for PolicyFileError {
    fn code(&self) -> Code {
        match self {
            PolicyFileError::Io { .. } => codes::IO,
            PolicyFileError::Form { .. } | PolicyFileError::Field { .. } => codes::POLICY_MALFORMED,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PolicyFileError::Io { .. } => None,
            _ => Some("docs/verify-in-ci.md shows a policy and lists its fields".to_owned()),
        }
    }
}

impl Policy {
    /// Reads a policy and the keys that it names.
    ///
    /// # Errors
    /// [`PolicyFileError`].
    pub fn load(path: &Path) -> Result<Self, PolicyFileError> {
        let file = parse(path, &read(path)?)?;
        let beside = path.parent().unwrap_or(Path::new(""));
        let refuse = |field: String, reason: String| PolicyFileError::Field { path: path.to_owned(), field, reason };
        if file.api_version != API_VERSION {
            return Err(refuse("apiVersion".to_owned(), format!("it must be {API_VERSION}")));
        }
        if file.rules.is_empty() && file.allow_unsigned.is_empty() {
            return Err(refuse("rules".to_owned(), "a policy without a rule says nothing".to_owned()));
        }
        let mut rules = Vec::new();
        for (n, entry) in file.rules.iter().enumerate() {
            rules.push(rule(entry, beside, |field, reason| refuse(format!("rules[{n}].{field}"), reason))?);
        }
        let allow_unsigned = patterns(&file.allow_unsigned, |reason| refuse("allowUnsigned".to_owned(), reason))?;
        Ok(Policy { rules, allow_unsigned })
    }
}

fn rule(
    entry: &RuleEntry,
    beside: &Path,
    refuse: impl Fn(&str, String) -> PolicyFileError,
) -> Result<Rule, PolicyFileError> {
    let images = patterns(&entry.images, |reason| refuse("images", reason))?;
    if images.is_empty() {
        return Err(refuse("images", "it fits no image".to_owned()));
    }
    let mut keys: Vec<Key> = Vec::new();
    for path in &entry.keys {
        let text = read(&beside.join(path))?;
        let name = path.display().to_string();
        let key = Key::from_pem(&name, &text).map_err(|reason| refuse("keys", format!("{name}: {reason}")))?;
        // One key in two files is one signer.
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if entry.threshold == 0 || entry.threshold > keys.len() {
        let reason = format!("{} distinct keys cannot make {} signatures", keys.len(), entry.threshold);
        return Err(refuse("threshold", reason));
    }
    Ok(Rule { images, keys, threshold: entry.threshold })
}

fn patterns(texts: &[String], refuse: impl Fn(String) -> PolicyFileError) -> Result<Vec<Pattern>, PolicyFileError> {
    texts.iter().map(|text| text.parse().map_err(|error: pattern::PatternError| refuse(error.to_string()))).collect()
}

fn read(path: &Path) -> Result<String, PolicyFileError> {
    use std::io::Read;
    let failed = |source| PolicyFileError::Io { path: path.to_owned(), source };
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(LIMIT).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<PolicyFile, PolicyFileError> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        PolicyFileError::Form { path: path.to_owned(), line, column, reason: crate::config::plain(&error) }
    })
}

#[cfg(test)]
mod tests;
