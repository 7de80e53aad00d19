//! From what was asked for (branch, tag, commit) to one object id, the same way for every repository.

use std::collections::BTreeMap;

use super::SourceError;
use super::git::Git;
use super::location::Location;

/// What the asked-for name turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The object: a commit, or an annotated tag.
    pub(super) id: String,
    /// The full name (`refs/tags/v1`); nothing for a commit named by its id.
    pub(super) name: Option<String>,
}

impl Chosen {
    /// What to ask a server for.
    pub(super) fn fetch_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    pub(super) fn is_bare_commit(&self) -> bool {
        self.name.is_none()
    }

    /// The tag's own name, if it is a tag.
    pub(super) fn tag(&self) -> Option<&str> {
        self.name.as_deref()?.strip_prefix("refs/tags/")
    }
}

/// Refuses names that Git could take for an option, a range, a path in a tree or a search
/// (gitrevisions(7); git-check-ref-format(1) forbids all of these in names).
pub(super) fn check_form(reference: &str) -> Result<(), SourceError> {
    let unfit = reference.is_empty()
        || reference.len() > 255
        || reference.starts_with(['-', '/', '.'])
        || reference.ends_with(['/', '.'])
        || reference.contains("..")
        || reference.contains("@{")
        || reference.contains("//")
        || reference.contains(|c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c));
    if !unfit {
        return Ok(());
    }
    let reason = "write a branch, a tag or a commit id, no expression";
    Err(SourceError::Refused { text: reference.to_owned(), what: "reference", reason })
}

/// Tells whether a text is a full object id, of SHA-1 or SHA-256.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Chooses among the references of a repository on this machine; a shortened commit id will do there.
pub(super) fn choose_local(git: &Git, asked: Option<&str>, location: &Location) -> Result<Chosen, SourceError> {
    // Ends with 1 in a repository without references.
    let listed = git.ask_text(&["show-ref", "--head"])?.unwrap_or_default();
    let references = parse(listed.as_bytes());
    match choose(&references, asked, location) {
        Err(SourceError::NotFound { .. }) if asked.is_some_and(|asked| asked.len() >= 7 && is_hex(asked)) => {}
        other => return other,
    }
    let asked = asked.unwrap_or_default();
    let expression = format!("{asked}^{{commit}}");
    let found = git.ask_text(&["rev-parse", "--verify", "--quiet", "--end-of-options", &expression])?;
    match found.filter(|id| is_id(id)) {
        Some(id) => Ok(Chosen { id, name: None }),
        None => Err(not_found(asked, location)),
    }
}

/// Chooses among the references of a repository elsewhere, before anything is fetched.
pub(super) fn choose_remote(git: &Git, asked: Option<&str>, location: &Location) -> Result<Chosen, SourceError> {
    let references = parse(&git.list_remote(location)?);
    match (choose(&references, asked, location), asked) {
        (Err(SourceError::NotFound { .. }), Some(asked)) if is_id(asked) => {
            Ok(Chosen { id: asked.to_owned(), name: None })
        }
        (result, _) => result,
    }
}

/// Reads `<id> SP|TAB <name>` lines, as show-ref and ls-remote write them.
fn parse(listed: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(listed);
    let lines = text.lines().filter_map(|line| line.split_once(['\t', ' ']));
    lines.filter(|(id, _)| is_id(id)).map(|(id, name)| (name.to_owned(), id.to_owned())).collect()
}

fn choose(
    references: &BTreeMap<String, String>,
    asked: Option<&str>,
    location: &Location,
) -> Result<Chosen, SourceError> {
    let asked = asked.unwrap_or("HEAD");
    let named = |name: String| references.get(&name).map(|id| Chosen { id: id.clone(), name: Some(name) });
    if asked == "HEAD" || asked.starts_with("refs/") {
        return named(asked.to_owned()).ok_or_else(|| not_found(asked, location));
    }
    let tag = named(format!("refs/tags/{asked}"));
    let branch = named(format!("refs/heads/{asked}"));
    match (tag, branch) {
        (Some(_), Some(_)) => Err(SourceError::Ambiguous { reference: asked.to_owned(), location: location.shown() }),
        (Some(chosen), None) | (None, Some(chosen)) => Ok(chosen),
        // A CI job often has no branches of its own, only `origin/main`.
        (None, None) => named(format!("refs/remotes/{asked}")).ok_or_else(|| not_found(asked, location)),
    }
}

fn not_found(reference: &str, location: &Location) -> SourceError {
    SourceError::NotFound { reference: reference.to_owned(), location: location.shown() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_format::error::{Coded, codes};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn names_are_chosen_without_guessing() {
        let listed = format!(
            "{A}\tHEAD\n{A}\trefs/heads/main\n{A}\trefs/heads/both\n{B}\trefs/tags/both\n{B}\trefs/tags/v1\n\
             {A}\trefs/tags/v1^{{}}\n{B}\trefs/remotes/origin/next\nwarning: noise\n"
        );
        let references = parse(listed.as_bytes());
        let location = Location::Remote { url: "https://user:pw@h/x".to_owned() };
        let choose = |asked: Option<&str>| choose(&references, asked, &location).map(|c| (c.id, c.name.unwrap()));
        let ok = |id: &str, name: &str| (id.to_owned(), name.to_owned());
        assert_eq!(choose(None).unwrap(), ok(A, "HEAD"));
        assert_eq!(choose(Some("main")).unwrap(), ok(A, "refs/heads/main"));
        assert_eq!(choose(Some("v1")).unwrap(), ok(B, "refs/tags/v1"));
        assert_eq!(choose(Some("refs/heads/both")).unwrap(), ok(A, "refs/heads/both"));
        assert_eq!(choose(Some("origin/next")).unwrap(), ok(B, "refs/remotes/origin/next"));
        assert_eq!(choose(Some("both")).unwrap_err().code(), codes::REF_AMBIGUOUS);
        let missing = choose(Some("v2")).unwrap_err();
        assert_eq!(missing.to_string(), "there is no branch, tag or commit `v2` in https://h/x");
    }

    #[test]
    fn expressions_and_options_are_refused() {
        for good in ["main", "v1.2-rc.1", "feature/x", "refs/heads/main", "HEAD", A] {
            assert!(check_form(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-x",
            "--upload-pack=id",
            "a..b",
            "main~1",
            "main^",
            "HEAD:x",
            "@{u}",
            "a b",
            "a\nb",
            ":/fix",
            "a*",
            "/a",
        ] {
            assert!(check_form(bad).is_err(), "{bad}");
        }
    }
}
