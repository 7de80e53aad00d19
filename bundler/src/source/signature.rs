//! Verifies the signature of a tag or commit against signers that the person who builds has chosen.
//!
//! The list of signers is a file on this machine, beside `release.yaml`; it is never read from the tree that
//! is being judged, or a commit could name its own judges. Without `verify` a signature is only noted.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use consign_format::release::SourceSignature;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SourceError;
use super::commit::{Commit, Kind, Tag};
use super::git::Git;
use super::references::Chosen;
use crate::tool::{self, Bounds, ToolError};

/// Whose signature on the tag or commit is demanded (`source.verify`). Paths are relative to `release.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verify {
    /// An `allowed_signers` file (ssh-keygen(1), ALLOWED SIGNERS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
    /// A file of OpenPGP public keys, as `gpg --export` writes them; every key in it is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpg: Option<String>,
}

const VERIFY: Bounds = Bounds { output: 1 << 20, time: Duration::from_secs(60) };

/// One signed thing.
struct Subject<'a> {
    on: &'static str,
    id: &'a str,
    shown: String,
    kind: Kind,
}

/// Notes, or verifies if demanded, the signatures of a commit and of the tag that named it. A verified tag or
/// a verified commit is enough; a tag speaks only for the name that it holds itself.
pub(super) fn examine(
    git: &Git,
    chosen: &Chosen,
    commit: &Commit,
    verify: Option<&Verify>,
    base: &Path,
    scratch: &Path,
) -> Result<SourceSignature, SourceError> {
    let tag = commit.tag.as_ref().and_then(|tag| Some((tag, tag.signed?)));
    let on_tag = tag.map(|(tag, kind)| Subject { on: "tag", id: &tag.id, shown: format!("tag {}", tag.name), kind });
    let on_commit = commit.signed.map(|kind| {
        let shown = format!("commit {}", &commit.id[..commit.id.len().min(12)]);
        Subject { on: "commit", id: &commit.id, shown, kind }
    });
    let subjects: Vec<Subject<'_>> = on_tag.into_iter().chain(on_commit).collect();
    let Some(verify) = verify else {
        return Ok(match subjects.first() {
            None => SourceSignature::Absent,
            Some(subject) => {
                SourceSignature::Unverified { on: subject.on.to_owned(), kind: subject.kind.as_str().to_owned() }
            }
        });
    };
    let mut reasons = Vec::new();
    for subject in &subjects {
        if subject.on == "tag"
            && let Some(reason) = misnamed(chosen, commit.tag.as_ref())
        {
            reasons.push(reason);
            continue;
        }
        match check(git, subject, verify, base, scratch)? {
            Ok(signer) => {
                let (on, kind) = (subject.on.to_owned(), subject.kind.as_str().to_owned());
                return Ok(SourceSignature::Verified { on, kind, signer });
            }
            Err(reason) => reasons.push(format!("{}: {reason}", subject.shown)),
        }
    }
    let shown = chosen.tag().map_or_else(|| format!("commit {}", commit.id), |tag| format!("tag {tag}"));
    let reason = if reasons.is_empty() { "there is no signature".to_owned() } else { reasons.join("; ") };
    Err(SourceError::Unverified { subject: shown, reason })
}

/// A signed `v1` hung up under the name `v2` is genuine and still not `v2`.
fn misnamed(chosen: &Chosen, tag: Option<&Tag>) -> Option<String> {
    let (asked, tag) = (chosen.tag()?, tag?);
    (asked != tag.name).then(|| format!("tag {asked} was signed as `{}`", tag.name))
}

type Verdict = Result<String, String>;

fn check(
    git: &Git,
    subject: &Subject<'_>,
    verify: &Verify,
    base: &Path,
    scratch: &Path,
) -> Result<Verdict, SourceError> {
    let readable = |path: &str| -> Result<PathBuf, SourceError> {
        let path = base.join(path);
        std::fs::canonicalize(&path).map_err(|source| SourceError::Signers { path, source })
    };
    match (subject.kind, &verify.ssh, &verify.gpg) {
        (Kind::Ssh, Some(signers), _) => ssh(git, subject, &readable(signers)?),
        (Kind::Gpg, _, Some(keys)) => gpg(git, subject, &readable(keys)?, scratch),
        (kind, _, _) => {
            Ok(Err(format!("its {} signature is of a kind that `source.verify` names no key for", kind.as_str())))
        }
    }
}

fn verify_command(git: &Git, subject: &Subject<'_>, settings: &[String]) -> Command {
    let mut command = git.command();
    for setting in settings {
        command.args(["-c", setting]);
    }
    command.args([if subject.on == "tag" { "verify-tag" } else { "verify-commit" }, "--raw", subject.id]);
    command
}

fn ssh(git: &Git, subject: &Subject<'_>, signers: &Path) -> Result<Verdict, SourceError> {
    let settings = [
        format!("gpg.ssh.allowedSignersFile={}", signers.display()),
        "gpg.ssh.program=ssh-keygen".to_owned(),
        "gpg.ssh.revocationFile=".to_owned(),
        "gpg.minTrustLevel=fully".to_owned(),
    ];
    let (status, output) = tool::run_any(&mut verify_command(git, subject, &settings), VERIFY)?;
    // ssh-keygen -Y verify: `Good "git" signature for PRINCIPAL with TYPE key SHA256:…`
    let good = output.stderr.lines().find_map(|line| line.strip_prefix("Good \"git\" signature for "));
    let principal = good.and_then(|rest| rest.rsplit_once(" with ")).map(|(principal, _)| principal.to_owned());
    Ok(match principal {
        Some(principal) if status.success() && !principal.is_empty() => Ok(principal),
        _ => Err(said(&output.stderr, "the key is not among the allowed signers")),
    })
}

#[expect(clippy::disallowed_methods, reason = "writes into a temporary folder that goes away")]
fn gpg(git: &Git, subject: &Subject<'_>, keys: &Path, scratch: &Path) -> Result<Verdict, SourceError> {
    let home = scratch.join("gnupg");
    std::fs::create_dir_all(&home)?;
    private(&home)?;
    // The keys in the file are the decision; there is no web of trust in an empty home.
    std::fs::write(home.join("gpg.conf"), "trust-model always\nno-auto-key-retrieve\nno-auto-key-locate\n")?;
    let program = git
        .find("gpg")
        .ok_or(ToolError::Missing { program: "gpg", remedy: "install GnuPG (Debian: `apt install gpg`)" })?;
    let mut import = Command::new(&program);
    import.env_clear().env("GNUPGHOME", &home).env("LC_ALL", "C").env("HOME", scratch);
    import.args(["--batch", "--quiet", "--no-autostart", "--import", "--"]).arg(keys);
    tool::run(&mut import, VERIFY)?;
    let settings = [format!("gpg.program={}", program.display()), format!("gpg.openpgp.program={}", program.display())];
    let mut command = verify_command(git, subject, &settings);
    let (status, output) = tool::run_any(command.env("GNUPGHOME", &home), VERIFY)?;
    // Status lines of GnuPG (doc/DETAILS): GOODSIG only for a good signature by a key that is neither expired
    // nor revoked; VALIDSIG ends with the primary key's fingerprint.
    let lines = || output.stderr.lines().filter_map(|line| line.strip_prefix("[GNUPG:] "));
    let good = lines().any(|line| line.starts_with("GOODSIG "));
    let fingerprint = lines().find_map(|line| line.strip_prefix("VALIDSIG ")?.split(' ').next_back());
    Ok(match fingerprint {
        Some(fingerprint) if good && status.success() => Ok(fingerprint.to_owned()),
        _ => Err(said(&output.stderr, "no key in the file has made it")),
    })
}

/// Says in a few words why a signature does not hold.
fn said(stderr: &str, otherwise: &str) -> String {
    let known = [
        ("[GNUPG:] BADSIG", "the signature does not match"),
        ("[GNUPG:] EXPKEYSIG", "the key has expired"),
        ("[GNUPG:] REVKEYSIG", "the key was revoked"),
        ("[GNUPG:] EXPSIG", "the signature has expired"),
        ("incorrect signature", "the signature does not match"),
        ("Could not verify signature", "the signature does not match"),
    ];
    known.iter().find(|(mark, _)| stderr.contains(mark)).map_or(otherwise, |(_, reason)| reason).to_owned()
}

#[cfg(unix)]
fn private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn private(_: &Path) -> std::io::Result<()> {
    Ok(())
}
