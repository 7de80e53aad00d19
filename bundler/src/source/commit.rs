//! Reads what a commit and a tag object say, from their raw bytes (gitformat: headers, an empty line, the
//! message), so that no configuration or date format of Git has a say.

use super::SourceError;
use super::git::Git;
use super::references::Chosen;

/// A commit and, if it was named by an annotated tag, that tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) id: String,
    pub(super) tree: String,
    /// The committer's time: seconds since 1970.
    pub(super) time: u64,
    /// The kind of signature on the commit.
    pub(super) signed: Option<Kind>,
    pub(super) tag: Option<Tag>,
}

/// An annotated tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) id: String,
    /// The name that the tag object itself holds; that is what is signed.
    pub(super) name: String,
    pub(super) signed: Option<Kind>,
}

/// The kind of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ssh,
    Gpg,
    X509,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Ssh => "ssh",
            Kind::Gpg => "gpg",
            Kind::X509 => "x509",
        }
    }

    /// By the armour's first line (git, gpg-interface.c).
    fn of(text: &str) -> Option<Self> {
        let line = text.lines().find(|line| line.trim_start().starts_with("-----BEGIN "))?.trim();
        Some(match line {
            "-----BEGIN SSH SIGNATURE-----" => Kind::Ssh,
            "-----BEGIN SIGNED MESSAGE-----" => Kind::X509,
            "-----BEGIN PGP SIGNATURE-----" | "-----BEGIN PGP MESSAGE-----" => Kind::Gpg,
            _ => return None,
        })
    }
}

/// Tags of tags of tags: nobody signs deeper.
const TAG_DEPTH: usize = 8;

/// Reads the commit behind what was chosen.
pub(super) fn read(git: &Git, chosen: &Chosen) -> Result<Commit, SourceError> {
    let mut id = chosen.id.clone();
    let mut tag = None;
    for _ in 0..TAG_DEPTH {
        let raw = |kind| object(git, kind, &id);
        match git.ask_text(&["cat-file", "-t", &id])?.as_deref() {
            Some("commit") => {
                let text = raw("commit")?;
                return parse_commit(&text, &id, tag).ok_or(SourceError::Answer { command: "cat-file commit" });
            }
            Some("tag") => {
                let text = raw("tag")?;
                let (found, next) = parse_tag(&text, &id).ok_or(SourceError::Answer { command: "cat-file tag" })?;
                // Only the outermost tag has the name that was asked for.
                tag = tag.or(Some(found));
                id = next;
            }
            _ => break,
        }
    }
    let reason = "it names no commit";
    Err(SourceError::Refused { text: chosen.fetch_name().to_owned(), what: "reference", reason })
}

fn object(git: &Git, kind: &str, id: &str) -> Result<String, SourceError> {
    // Messages may be in any encoding; headers are ASCII but for names.
    Ok(String::from_utf8_lossy(&git.ask(&["cat-file", kind, id])?.stdout).into_owned())
}

fn parse_commit(text: &str, id: &str, tag: Option<Tag>) -> Option<Commit> {
    let (headers, _) = text.split_once("\n\n").unwrap_or((text, ""));
    let time = header(headers, "committer")?.rsplit(' ').nth(1)?.parse().ok()?;
    let signature = ["gpgsig", "gpgsig-sha256"].iter().find_map(|name| headers.find(&format!("\n{name} ")));
    Some(Commit {
        id: id.to_owned(),
        tree: header(headers, "tree")?.to_owned(),
        time,
        signed: signature.and_then(|at| Kind::of(headers[at..].split_once(' ').map_or("", |(_, rest)| rest))),
        tag,
    })
}

/// Returns the tag and the id that it points at. The signature stands at the end of the message.
fn parse_tag(text: &str, id: &str) -> Option<(Tag, String)> {
    let (headers, message) = text.split_once("\n\n").unwrap_or((text, ""));
    let signature = message.rfind("-----BEGIN ").filter(|at| *at == 0 || message[..*at].ends_with('\n'));
    let signed = signature.and_then(|at| Kind::of(&message[at..]));
    let tag = Tag { id: id.to_owned(), name: header(headers, "tag")?.to_owned(), signed };
    Some((tag, header(headers, "object")?.to_owned()))
}

fn header<'t>(headers: &'t str, name: &str) -> Option<&'t str> {
    headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_read_from_their_headers() {
        let text = "tree 1111\nparent 2222\nauthor A <a@b> 5 +0100\ncommitter C D <c@d> 1700000000 -0330\n\
                    gpgsig -----BEGIN SSH SIGNATURE-----\n U1NI\n -----END SSH SIGNATURE-----\n\n\
                    tree 9999\ncommitter X <x> 1 +0000\n";
        let commit = parse_commit(text, "0000", None).unwrap();
        assert_eq!((commit.tree.as_str(), commit.time, commit.signed), ("1111", 1_700_000_000, Some(Kind::Ssh)));

        let plain =
            "tree 1111\nauthor A <a@b> 5 +0100\ncommitter C <c@d> 7 +0000\n\ngpgsig -----BEGIN PGP SIGNATURE-----\n";
        assert_eq!(parse_commit(plain, "0", None).unwrap().signed, None);
        assert_eq!(parse_commit("tree 1\n\n", "0", None), None);
    }

    #[test]
    fn tags_are_read_from_their_headers() {
        let text = "object 2222\ntype commit\ntag v1\ntagger T <t@u> 5 +0000\n\nfirst\n\
                    -----BEGIN PGP SIGNATURE-----\n\niQ\n-----END PGP SIGNATURE-----\n";
        let (tag, next) = parse_tag(text, "0000").unwrap();
        assert_eq!((tag.name.as_str(), next.as_str(), tag.signed), ("v1", "2222", Some(Kind::Gpg)));
        let (tag, _) = parse_tag("object 2\ntype commit\ntag v1\n\nsee -----BEGIN PGP SIGNATURE-----\n", "0").unwrap();
        assert_eq!(tag.signed, None);
    }
}
