//! What an approver sees: first what is signed, then what follows from it, last what is only the requester's word.

use consign_format::Digest;
use consign_format::release::{OnFailure, ReleaseManifest, SecretMode};
use consign_format::trust::document::{Approval, Audience};
use consign_format::trust::fingerprint;
use consign_format::trust::keys::Progress;
use consign_terminal::bytes;
use serde::Serialize;
use serde_json::Value;

use super::super::diff::lines_of;
use super::super::keys::count;
use super::super::one_line::one_line;
use crate::approval::request::{Examined, Word};
use crate::difference::Difference;

/// Said where the request has no objects, and need not have them.
const OBJECTS_SAME: &str = "  the objects are the same, by the digest of the state";
/// Said where somebody left them out: the requester, because there are too many, or a courier.
const NOT_COMPARED: &str = "  THE OBJECTS DIFFER AND COULD NOT BE COMPARED: they are not in the request; `consign diff` on \
                            the bundles compares them";

/// A request, as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown<'a> {
    signed: &'a Approval,
    release_digest: Digest,
    release: &'a ReleaseManifest,
    pub(super) approval: Progress,
    root_fingerprint: Digest,
    root_compared: bool,
    previous: Option<Last<'a>>,
    difference: Option<&'a Difference>,
    objects_compared: bool,
    /// Whether it is the last approved release itself, by its digest.
    same_release: bool,
    /// What no signature covers.
    word: &'a Word,
}

/// The last approved release.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Last<'a> {
    version: &'a str,
    sequence: u64,
    release_digest: Digest,
    /// How far its approvers' signatures come under the newest root.
    approval_today: Option<&'a Progress>,
    #[serde(skip)]
    approval: &'a Approval,
    #[serde(skip)]
    state: Digest,
}

impl<'a> Shown<'a> {
    pub(super) fn of(examined: &'a Examined, root_compared: bool) -> Self {
        let last = |asked: &'a consign_format::trust::chain::Asked| Last {
            version: &asked.approval.version,
            sequence: asked.approval.sequence,
            release_digest: asked.release_digest,
            approval_today: examined.previous_today.as_ref(),
            approval: &asked.approval,
            state: asked.release.state,
        };
        let same_release =
            examined.previous.as_ref().is_some_and(|last| last.release_digest == examined.asked.release_digest);
        Shown {
            signed: &examined.asked.approval,
            release_digest: examined.asked.release_digest,
            release: &examined.asked.release,
            approval: examined.asked.progress.clone(),
            root_fingerprint: examined.roots.fingerprint(),
            root_compared,
            previous: examined.previous.as_ref().map(last),
            difference: examined.difference.as_ref(),
            objects_compared: examined.objects_compared,
            same_release,
            word: &examined.word,
        }
    }

    pub(super) fn text(&self) -> String {
        let mut lines = self.signed_lines();
        lines.extend(release_lines(self.release));
        lines.extend(self.difference_lines());
        lines.push("only the requester's word:".to_owned());
        lines.push(format!("  bundle     {}, {}", self.word.bundle, bytes(self.word.bytes)));
        lines.extend(self.word.note.iter().map(|note| format!("  note       {note}")));
        // Each is one line, whatever a courier wrote into a field.
        lines.iter().map(|line| one_line(line)).collect::<Vec<_>>().join("\n")
    }

    fn signed_lines(&self) -> Vec<String> {
        let Approval { product, version, sequence, audience, line, minimum_installer, .. } = self.signed;
        let line = line.as_ref().map(|line| format!(", line {line}")).unwrap_or_default();
        let mut lines = vec!["what is signed:".to_owned()];
        lines.push(format!("  release    {product} {version}{line}, sequence {sequence}"));
        lines.push(format!("             {}", self.release_digest));
        lines.push(format!("  for        {}", audience_text(audience)));
        lines.push(format!("  installer  {minimum_installer} or newer"));
        lines.push(format!("  approval   {}", count(&self.approval)));
        let compared = if self.root_compared { "the one of yours" } else { "NOT compared with one of yours" };
        lines.push(format!("  root       {compared}: {}", fingerprint::words(&self.root_fingerprint)));
        lines
    }

    fn difference_lines(&self) -> Vec<String> {
        let (Some(last), Some(difference)) = (&self.previous, self.difference) else {
            return vec!["no last approved release was named, so nothing is compared".to_owned()];
        };
        let mut lines = vec![format!("against {}, sequence {}, which is approved:", last.version, last.sequence)];
        lines.extend(
            last.approval_today
                .filter(|today| !today.is_complete())
                .map(|today| format!("  APPROVED BY KEYS THAT HAVE BEEN REVOKED SINCE: today it has {}", count(today))),
        );
        let (was, is) = (last.approval, self.signed);
        if was.audience != is.audience {
            lines.push(format!("  for {} -> {}", audience_text(&was.audience), audience_text(&is.audience)));
        }
        if was.minimum_installer != is.minimum_installer {
            lines.push(format!("  installer {} -> {}", was.minimum_installer, is.minimum_installer));
        }
        if self.same_release {
            lines.push("  no difference in the release: it is the same one, by its digest".to_owned());
            return lines;
        }
        if !self.objects_compared {
            lines.push(if last.state == self.release.state { OBJECTS_SAME } else { NOT_COMPARED }.to_owned());
        }
        lines.extend(lines_of(difference).into_iter().map(|line| format!("  {line}")));
        if !difference.build_fields.is_empty() {
            let build: Vec<&str> = difference.build_fields.iter().map(String::as_str).collect();
            let but = if difference.is_empty() { "nothing differs but" } else { "and" };
            lines.push(format!("  {but} how it was built: {}", build.join(", ")));
        }
        lines
    }
}

fn audience_text(audience: &Audience) -> String {
    if audience.is_any() {
        return "every site".to_owned();
    }
    let sites = audience.sites.iter().map(|site| format!("site {site}"));
    let environments = audience.environments.iter().map(|environment| format!("environment {environment}"));
    let labels = audience.labels.iter().map(|label| format!("label {label}"));
    sites.chain(environments).chain(labels).collect::<Vec<_>>().join(", ")
}

fn release_lines(release: &ReleaseManifest) -> Vec<String> {
    let source = &release.source;
    let mut lines = vec!["what the release says of itself, by that digest:".to_owned()];
    let at = source.url.as_deref().map(|url| format!(" of {url}")).unwrap_or_default();
    lines.push(format!("  source     {} at {}{at}", source.reference, source.commit));
    lines.push(format!("             {}", super::super::inspect::signature(&source.signature)));
    lines.push(format!("  Kubernetes {}", release.kubernetes.version));
    let size = release.payload().map(bytes).unwrap_or_else(|_| "too many bytes".to_owned());
    let (images, files) = (release.images.len(), release.files.len());
    lines.push(format!("  holds      {images} images, {files} files, {} blobs, {size}", release.blobs.len()));
    lines.extend(release.upgrade_from.iter().map(|from| format!("  upgrades   {from}")));
    lines.extend(release.requires.iter().map(|r| format!("  requires   {} {}", r.product, r.versions)));
    let failure = match release.rollout.on_failure {
        OnFailure::Rollback => "goes back",
        OnFailure::Halt => "halts",
    };
    lines.push(format!("  on failure it {failure}"));
    if !release.rollout.allow_prune.is_empty() {
        lines.push(format!("  MAY PRUNE  {}", release.rollout.allow_prune.join(", ")));
    }
    if release.rollout.irreversible {
        lines.push("  IRREVERSIBLE: there is no way back from it".to_owned());
    }
    let shared = release.secrets.iter().filter(|secret| secret.mode == SecretMode::Shared);
    lines.extend(shared.map(|secret| {
        let reason = secret.reason.as_deref().unwrap_or("no reason is given");
        format!("  SECRET INSIDE {}/{}: {reason}", secret.namespace, secret.name)
    }));
    lines
}

/// A statement, field by field. The values of secrets are a cipher that tells nobody anything: only their length is shown.
pub(super) fn statement(statement: &Value) -> String {
    let mut shown = statement.clone();
    if let Some(Value::String(message)) = shown.get_mut("message") {
        *message = format!("({} characters, encrypted to the recipient)", message.len());
    }
    let text = serde_json::to_string_pretty(&shown).unwrap_or_default();
    let lines: Vec<String> = text.lines().map(one_line).collect();
    format!("what is signed:\n{}", lines.join("\n"))
}
