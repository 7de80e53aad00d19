//! Reads the API server's no: a conflict of field managers, an immutable field, or any other refusal.
//!
//! Never repeats the value of a field of a Secret, and never a whole template dumped into a message.

use kube::core::Status;
use kube::core::response::StatusCause;

use super::error::{Conflict, Refusal};
use crate::handoff::ObjectKey;

/// What a refused write was refused for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Other managers hold fields.
    Conflict(Vec<Conflict>),
    /// A field that never changes would change.
    Immutable(Refusal),
    /// Anything else.
    Other(Refusal),
}

/// Longest reason that is repeated; servers dump whole pod templates into theirs.
const LONGEST: usize = 400;

/// Reads a refusal of a write of `key`.
pub fn read(key: &ObjectKey, status: &Status) -> Refused {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    let conflicts: Vec<_> = causes.iter().filter(|cause| cause.reason == "FieldManagerConflict").collect();
    if !conflicts.is_empty() {
        return Refused::Conflict(conflicts.into_iter().map(|cause| read_conflict(key, cause)).collect());
    }
    let refusal = Refusal { key: key.clone(), reason: reason(key, status, causes) };
    if status.code == 422 && is_immutable(&status.message) {
        Refused::Immutable(refusal)
    } else {
        Refused::Other(refusal)
    }
}

/// Whether the server speaks of itself and not of the object: it does not know us, is too busy, on its way up or down,
/// or its database fails. A schema that does not fit and a webhook that cannot be called come with code 500 too.
pub fn is_own_trouble(status: &Status) -> bool {
    let says = |words: &[&str]| words.iter().any(|one| status.message.contains(one));
    let database = says(&["etcdserver", "Internal error occurred", "rpc error", "context deadline exceeded"]);
    match status.code {
        401 | 429 | 502 | 503 | 504 => true,
        500 => status.message.is_empty() || (database && !says(&["failed calling webhook"])),
        _ => false,
    }
}

/// `conflict with "kubectl-client-side-apply" using apps/v1` names the manager in quotes.
fn read_conflict(key: &ObjectKey, cause: &StatusCause) -> Conflict {
    let manager = cause.message.split('"').nth(1).unwrap_or(cause.message.as_str());
    Conflict { key: key.clone(), field: cause.field.clone(), manager: manager.to_owned() }
}

/// The words that Kubernetes uses for fields that never change. Flux looks for "immutable" alone,
/// and so misses StatefulSets, role references and cluster IPs.
fn is_immutable(message: &str) -> bool {
    [
        "field is immutable",
        "is immutable when",
        "updates to statefulset spec for fields other than",
        "cannot change roleRef",
        "may not change once set",
        "pod updates may not change fields other than",
        "spec is immutable after creation",
        "updates to provisioner are forbidden",
        "updates to parameters are forbidden",
    ]
    .iter()
    .any(|words| message.contains(words))
}

fn reason(key: &ObjectKey, status: &Status, causes: &[StatusCause]) -> String {
    if key.kind.is("", "Secret") {
        let fields: Vec<_> = causes.iter().map(|cause| format!("{} {}", cause.field, cause.reason)).collect();
        let what = if status.reason.is_empty() { "refused" } else { status.reason.as_str() };
        return if fields.is_empty() {
            format!("{what} ({})", status.code)
        } else {
            format!("{what}: {}", fields.join(", "))
        };
    }
    if causes.is_empty() {
        return shortened(&status.message);
    }
    let lines: Vec<_> = causes.iter().map(|cause| format!("{}: {}", cause.field, shortened(&cause.message))).collect();
    let text = lines.join(", ");
    if text.trim_matches([':', ' ']).is_empty() { shortened(&status.message) } else { text }
}

/// Leaves out the dump in `Invalid value: {…}: field is immutable`, and cuts what is still too long.
fn shortened(message: &str) -> String {
    let mut text = message.trim().to_owned();
    if let (Some(start), Some(end)) = (text.find("Invalid value: "), text.rfind(": ")) {
        let start = start + "Invalid value".len();
        if end > start && end - start > 120 {
            text.replace_range(start..end, "");
        }
    }
    if text.len() > LONGEST {
        let cut = (0..=LONGEST).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::GroupKind;
    use serde_json::json;

    fn status(code: u16, message: &str, causes: serde_json::Value) -> Status {
        serde_json::from_value(json!({"status": "Failure", "code": code, "message": message, "reason": "Invalid", "details": {"causes": causes}})).unwrap()
    }

    fn key(kind: &str) -> ObjectKey {
        ObjectKey::new(GroupKind::new("", kind), "n", "a")
    }

    #[test]
    fn a_conflict_lists_each_field_and_its_manager() {
        let status = status(
            409,
            "Apply failed with 2 conflicts",
            json!([
                {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-client-side-apply\" using apps/v1", "field": ".spec.replicas"},
                {"reason": "FieldManagerConflict", "message": "conflict with \"hpa\"", "field": ".spec.template"}
            ]),
        );
        let Refused::Conflict(conflicts) = read(&key("Deployment"), &status) else { panic!("no conflict") };
        let seen: Vec<_> = conflicts.iter().map(|one| (one.field.as_str(), one.manager.as_str())).collect();
        assert_eq!(seen, [(".spec.replicas", "kubectl-client-side-apply"), (".spec.template", "hpa")]);
    }

    #[test]
    fn immutable_fields_are_told_from_other_refusals() {
        let dump = format!("Invalid value: {{{}}}: field is immutable", "x".repeat(5000));
        let immutable =
            status(422, &dump, json!([{"reason": "FieldValueInvalid", "field": "spec.template", "message": dump}]));
        let Refused::Immutable(refusal) = read(&key("Job"), &immutable) else { panic!("not seen") };
        assert_eq!(refusal.reason, "spec.template: Invalid value: field is immutable");

        let sets = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden";
        assert!(matches!(read(&key("StatefulSet"), &status(422, sets, json!([]))), Refused::Immutable(_)));
        let other = status(422, "spec.replicas: Invalid value: -1: must be greater", json!([]));
        assert!(matches!(read(&key("Deployment"), &other), Refused::Other(_)));
        assert!(matches!(
            read(&key("Deployment"), &status(403, "field is immutable, says a quota", json!([]))),
            Refused::Other(_)
        ));
    }

    #[test]
    fn a_server_in_trouble_says_nothing_of_the_object() {
        for (code, message, own) in [
            (500, "", true),
            (500, "etcdserver: leader changed", true),
            (500, "Internal error occurred: the storage is gone", true),
            (500, "Internal error occurred: failed calling webhook \"a\": connection refused", false),
            (500, "failed to create typed patch object: .dota: field not declared in schema", false),
            (429, "too many requests", true),
            (401, "Unauthorized", true),
            (403, "forbidden: exceeded quota", false),
            (422, "etcdserver is no good name", false),
        ] {
            assert_eq!(is_own_trouble(&status(code, message, json!([]))), own, "{code} {message}");
        }
    }

    #[test]
    fn a_secret_is_never_repeated() {
        let leak = status(
            422,
            "data[password]: Invalid value: \"hunter2\": no",
            json!([{"reason": "FieldValueInvalid", "field": "data[password]", "message": "Invalid value: \"hunter2\""}]),
        );
        let Refused::Other(refusal) = read(&key("Secret"), &leak) else { panic!("wrong kind") };
        assert_eq!(refusal.reason, "Invalid: data[password] FieldValueInvalid");
        let Refused::Other(refusal) = read(&key("Secret"), &status(400, "cannot read hunter2", json!([]))) else {
            panic!("wrong kind")
        };
        assert_eq!(refusal.reason, "Invalid (400)");
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let text = shortened(&"ä".repeat(1000));
        assert!(text.len() <= LONGEST + '…'.len_utf8() && text.ends_with('…'));
    }
}
