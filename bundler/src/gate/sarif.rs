//! The report as SARIF 2.1.0 (OASIS), for code scanning.
//!
//! What was refused is a result; what could not be checked is a notification of the invocation, which then was no
//! success: SARIF keeps the two apart, and so do forges that read it. A warning is a notification of how the tool was set
//! up. A rule is an error code, its help the section of
//! the errors page that is inside this program.

use std::collections::BTreeSet;

use consign_terminal::explain::section;
use consign_terminal::report::ErrorBody;
use serde_json::{Value, json};

use super::report::{Check, Outcome, Report, Verdict};

/// The schema that the document follows.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The errors page; SARIF demands an absolute address (§3.49.12).
const PAGE: &str = "https://consign.dev/docs/errors.html";

/// Returns the report as a SARIF log.
pub fn log(report: &Report) -> Value {
    let with = |outcome| {
        let fitting = report.checks.iter().filter(move |check| check.outcome == outcome);
        fitting.flat_map(|check| check.findings.iter().map(move |finding| (check, finding)))
    };
    let codes: BTreeSet<&str> = report.checks.iter().flat_map(|c| &c.findings).map(|f| f.code.as_str()).collect();
    let codes: Vec<&str> = codes.into_iter().collect();
    let results: Vec<Value> = with(Outcome::Refused).map(|(check, found)| result(report, check, found)).collect();
    let notifications: Vec<Value> = with(Outcome::Unchecked).map(|(_, found)| notification(report, found)).collect();
    let warnings: Vec<Value> =
        report.checks.iter().flat_map(|check| &check.warnings).map(|text| warning(text)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "consign verify",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": codes.iter().map(|code| rule(code)).collect::<Vec<_>>(),
            }},
            "invocations": [{
                "executionSuccessful": report.verdict != Verdict::Unchecked && notifications.is_empty(),
                "toolExecutionNotifications": notifications,
                "toolConfigurationNotifications": warnings,
            }],
            "artifacts": [{"location": {"uri": uri(&report.bundle)}}],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &str) -> Value {
    let text = section(code).unwrap_or_default();
    let first = text.split_inclusive(". ").next().unwrap_or(text).trim();
    json!({
        "id": code,
        "shortDescription": {"text": first},
        "fullDescription": {"text": text},
        "help": {"text": text, "markdown": text},
        "helpUri": format!("{PAGE}#{code}"),
        "defaultConfiguration": {"level": "error"},
    })
}

fn result(report: &Report, check: &Check, finding: &ErrorBody) -> Value {
    json!({
        "ruleId": finding.code,
        "kind": "fail",
        "level": "error",
        "message": {"text": told(finding)},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri(&report.bundle), "index": 0}}}],
        // What makes it the same finding in the next run: the code and its subject, not the wording.
        "partialFingerprints": {"consign/v1": format!("{} {}", finding.code, check.name())},
    })
}

fn notification(report: &Report, finding: &ErrorBody) -> Value {
    json!({
        "associatedRule": {"id": finding.code},
        "level": "error",
        "message": {"text": told(finding)},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri(&report.bundle), "index": 0}}}],
    })
}

/// What a check cannot see by the way it was asked for: nothing is wrong with the bundle, nor with this machine.
fn warning(text: &str) -> Value {
    json!({"level": "warning", "message": {"text": text}})
}

fn told(finding: &ErrorBody) -> String {
    let hint = finding.hint.iter().map(|hint| format!("hint: {hint}"));
    let lines = std::iter::once(finding.message.clone()).chain(finding.causes.iter().cloned()).chain(hint);
    lines.collect::<Vec<_>>().join("\n")
}

/// A path as a relative reference (RFC 3986 §3.3): what is not unreserved is encoded.
fn uri(path: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
