//! What `verify` found, as one document; text, JUnit and SARIF are other views of it.

use std::path::Path;

use consign_format::trust::chain::Vouched;
use consign_format::trust::document::Root;
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Name};
use consign_terminal::report::ErrorBody;
use schemars::JsonSchema;
use serde::Serialize;

/// What `consign verify --json` prints.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The bundle's file, as it was named.
    pub bundle: String,
    /// The sum of all checks.
    pub verdict: Verdict,
    /// What the bundle is; absent where nothing vouches for it, and for one of metadata alone.
    #[serde(flatten)]
    pub head: Option<Head>,
    /// Who vouches; absent where nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<RootShown>,
    /// The roots that it carries, all of which hold, the first one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<RootCarried>,
    /// The statements that it carries and that hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<StatementShown>,
    /// Members read and found whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<u64>,
    /// The length of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes that were read of it for all checks.
    pub bytes_read: u64,
    /// Kubernetes objects of the desired state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<usize>,
    /// Every check, in the order they were made.
    pub checks: Vec<Check>,
    /// What ended the run, where the bundle is not accepted: the first finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// The sum of all checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Every check passed.
    Accepted,
    /// Something was checked, and it is bad.
    Refused,
    /// Something could not be checked; nothing bad was found.
    Unchecked,
}

/// What a bundle is, vouched for.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// The product.
    pub product: Name,
    /// The version.
    pub version: String,
    /// The sequence.
    pub sequence: u64,
    /// The release's digest.
    pub release: Digest,
    /// The bundle's id.
    pub bundle_id: Digest,
    /// When the first of its documents expires (RFC 3339).
    pub expires: String,
}

/// A root that a bundle carries.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootCarried {
    /// Its version.
    pub version: u64,
    /// The digest of its file.
    pub digest: Digest,
}

/// A statement of the approvers that a bundle carries.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatementShown {
    /// The digest of its file.
    pub digest: Digest,
    /// Its `_type`, such as `site-record`.
    pub kind: String,
    /// The site it is for; absent where this program does not know the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Name>,
}

/// Who vouches.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootShown {
    /// The domain.
    pub domain: String,
    /// The version of the newest root.
    pub version: u64,
    /// The sha256 of the root that was trusted, 64 hexadecimal digits.
    pub fingerprint: String,
    /// Whether it is a development root.
    pub development: bool,
    /// How many may approve.
    pub approvers: usize,
    /// How many must.
    pub threshold: u64,
}

/// One check.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was checked.
    pub check: Kind,
    /// Of what, where there are several: an image's reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found good, or why the check was not made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What was found bad, all of it; or what kept the check from being made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<ErrorBody>,
    /// What the check cannot see though it passed, and what to do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Roots and signatures, up to the release manifest.
    Trust,
    /// One statement is signed by the approvers of the newest root, and well formed.
    Statement,
    /// The domain that was asked for.
    Domain,
    /// The lowest sequence that was asked for, and the root's floor.
    Sequence,
    /// Expiry.
    Expiry,
    /// Every byte of every member, and the exact end.
    Content,
    /// The desired state can be read.
    State,
    /// One image is signed as the policy demands.
    ImageSignature,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Checked and good.
    Passed,
    /// Checked and bad.
    Refused,
    /// Not checked: something failed (`findings`), or an earlier check left nothing to look at (`note`).
    Unchecked,
}

impl Kind {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Trust => "trust",
            Kind::Statement => "statement",
            Kind::Domain => "domain",
            Kind::Sequence => "sequence",
            Kind::Expiry => "expiry",
            Kind::Content => "content",
            Kind::State => "state",
            Kind::ImageSignature => "image-signature",
        }
    }
}

impl Head {
    pub(super) fn of(vouched: &Vouched) -> Self {
        Head {
            product: vouched.release.product.clone(),
            version: vouched.release.version.clone(),
            sequence: vouched.release.sequence,
            release: vouched.release_digest,
            bundle_id: vouched.bundle_id,
            expires: vouched.expires.0.clone(),
        }
    }
}

impl RootShown {
    /// Shows the newest root of a chain, and the fingerprint of its first.
    pub fn of_chain(roots: &RootChain) -> Self {
        Self::of(roots.root(), roots.fingerprint())
    }

    /// Shows a root.
    pub fn of(root: &Root, fingerprint: Digest) -> Self {
        let role = root.roles.get("targets");
        RootShown {
            domain: root.domain.to_string(),
            version: root.version,
            fingerprint: fingerprint.hex(),
            development: root.development,
            approvers: role.map_or(0, |role| role.keyids.len()),
            threshold: role.map_or(0, |role| role.threshold),
        }
    }
}

impl Check {
    /// What it is called in reports: the kind, and of what.
    pub(super) fn name(&self) -> String {
        match &self.subject {
            Some(subject) => format!("{} {subject}", self.check.name()),
            None => self.check.name().to_owned(),
        }
    }
}

impl Report {
    pub(super) fn of(path: &Path) -> Self {
        Report {
            bundle: path.display().to_string(),
            verdict: Verdict::Unchecked,
            head: None,
            root: None,
            roots: Vec::new(),
            statements: Vec::new(),
            members: None,
            bytes: None,
            bytes_read: 0,
            objects: None,
            checks: Vec::new(),
            error: None,
        }
    }

    /// How many checks ended so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|check| check.outcome == outcome).count()
    }
}
