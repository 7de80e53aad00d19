//! Writes a commit's tree into an empty folder, blob by blob.
//!
//! `git archive` would be shorter and wrong: `export-ignore`, `export-subst` and end-of-line attributes let a
//! repository write out something else than its tree. Only what the tree says is written, and nothing is
//! ever written through a link: links are made last, and only if they stay inside.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use consign_format::error::{Code, Coded, codes};

use super::SourceError;
use super::blobs::Blobs;
use super::contents::Contents;
use super::git::Git;

/// What a tree may hold at most.
#[derive(Debug, Clone, Copy)]
pub struct ExportLimits {
    /// Entries. The Linux kernel has 90 000.
    pub entries: usize,
    /// Bytes of all files together.
    pub bytes: u64,
}

impl Default for ExportLimits {
    fn default() -> Self {
        ExportLimits { entries: 500_000, bytes: 16 << 30 }
    }
}

/// Why a tree, or a path in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A name that is not safe to write.
    #[error("the commit holds `{path}`, which is not safe to write: {reason}")]
    Unsafe {
        /// The path.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The tree is larger than is read.
    #[error("the commit holds more than {limit} {what}")]
    TooMuch {
        /// `files` or `bytes`.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// A path that is not in the tree.
    #[error("`{path}` is not in the commit")]
    NotFound {
        /// The path, as written.
        path: String,
    },
    /// A path that leads out of the tree.
    #[error("`{path}` leads out of the repository")]
    Outside {
        /// The path, as written.
        path: String,
    },
    /// A path in a submodule.
    #[error("`{path}` lies in the Git submodule `{submodule}`, which is not part of the commit")]
    Submodule {
        /// The path, as written.
        path: String,
        /// The submodule.
        submodule: String,
    },
    /// A Git LFS pointer where content is wanted.
    #[error("`{path}` is a Git LFS pointer, not the content")]
    LfsPointer {
        /// The file.
        path: String,
    },
    /// The repository does not hold all of its commit: a partial or damaged clone.
    #[error("the repository lacks the content of `{path}`")]
    Absent {
        /// The path in the tree.
        path: String,
    },
    /// A file could not be written.
    #[error("`{path}` could not be written out")]
    Write {
        /// The path in the tree.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Coded for TreeError {
    fn code(&self) -> Code {
        match self {
            TreeError::Unsafe { .. } => codes::TREE_UNSAFE,
            TreeError::TooMuch { .. } => codes::OVER_LIMIT,
            TreeError::NotFound { .. } | TreeError::Outside { .. } => codes::PATH_NOT_FOUND,
            TreeError::Absent { .. } => codes::SOURCE_UNREACHABLE,
            TreeError::Submodule { .. } => codes::SUBMODULE,
            TreeError::LfsPointer { .. } => codes::LFS_POINTER,
            TreeError::Write { .. } => codes::IO,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            TreeError::NotFound { .. } => {
                "only what is committed is read; commit the file, or correct the path in release.yaml".to_owned()
            }
            TreeError::Absent { .. } => {
                "the clone is partial or damaged: clone it again without `--filter`, or name the repository by its URL"
                    .to_owned()
            }
            TreeError::Submodule { .. } => {
                "copy what is needed into the repository, or build the submodule's repository as a release of its own"
                    .to_owned()
            }
            TreeError::LfsPointer { .. } => {
                "keep what is rendered in Git itself (`git lfs untrack`), or name a local file with its sha256"
                    .to_owned()
            }
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mode: Mode,
    pub(super) id: String,
    pub(super) size: u64,
    pub(super) path: String,
}

/// The modes a tree can have (gitformat-index(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    File,
    Executable,
    Link,
    Submodule,
}

/// Writes the tree into `folder`, which is empty.
pub(super) fn export(git: &Git, tree: &str, folder: &Path, limits: &ExportLimits) -> Result<Contents, SourceError> {
    let listed = git.ask(&["ls-tree", "-r", "-l", "-z", "--full-tree", tree])?.stdout;
    let entries = parse(&listed)?;
    check(&entries, limits)?;
    let mut contents = Contents::default();
    let mut links = BTreeMap::new();
    let mut blobs = Blobs::open(git)?;
    for entry in &entries {
        match entry.mode {
            Mode::Submodule => drop(contents.submodules.insert(entry.path.clone())),
            Mode::Link => {
                let target = String::from_utf8(blobs.small(entry)?)
                    .map_err(|_| unsafe_entry(&entry.path, "its target is not UTF-8"))?;
                links.insert(entry.path.clone(), target);
            }
            Mode::File | Mode::Executable => {
                let path = folder.join(&entry.path);
                if blobs.write(entry, &path)? {
                    contents.pointers.insert(entry.path.clone());
                }
            }
        }
    }
    blobs.close()?;
    for (path, target) in &links {
        stays_inside(path, &links).map_err(|reason| unsafe_entry(path, reason))?;
        link(folder, path, target).map_err(|source| TreeError::Write { path: path.clone(), source })?;
    }
    Ok(contents)
}

pub(super) fn unsafe_entry(path: &str, reason: &'static str) -> TreeError {
    TreeError::Unsafe { path: path.to_owned(), reason }
}

/// Reads `ls-tree -r -l -z`: `<mode> SP <type> SP <id> SP <padded size> TAB <path> NUL`.
fn parse(listed: &[u8]) -> Result<Vec<Entry>, SourceError> {
    let answer = || SourceError::Answer { command: "ls-tree" };
    let mut entries = Vec::new();
    for line in listed.split(|b| *b == 0).filter(|line| !line.is_empty()) {
        let tab = line.iter().position(|b| *b == b'\t').ok_or_else(answer)?;
        let head = std::str::from_utf8(&line[..tab]).map_err(|_| answer())?;
        let path = std::str::from_utf8(&line[tab + 1..])
            .map_err(|_| unsafe_entry(&String::from_utf8_lossy(&line[tab + 1..]), "its name is not UTF-8"))?;
        let mut words = head.split_ascii_whitespace();
        let (mode, id) = (words.next().ok_or_else(answer)?, words.nth(1).ok_or_else(answer)?);
        let mode = match mode {
            "120000" => Mode::Link,
            "160000" => Mode::Submodule,
            "100755" => Mode::Executable,
            // Git once wrote 100664; it means the same.
            "100644" | "100664" => Mode::File,
            _ => return Err(unsafe_entry(path, "its mode is unknown").into()),
        };
        let size = words.next().and_then(|size| size.parse().ok()).unwrap_or(0);
        entries.push(Entry { mode, id: id.to_owned(), size, path: path.to_owned() });
    }
    Ok(entries)
}

fn check(entries: &[Entry], limits: &ExportLimits) -> Result<(), TreeError> {
    if entries.len() > limits.entries {
        return Err(TreeError::TooMuch { what: "files", limit: limits.entries as u64 });
    }
    let bytes = entries.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.size));
    if bytes.is_none_or(|bytes| bytes > limits.bytes) {
        return Err(TreeError::TooMuch { what: "bytes", limit: limits.bytes });
    }
    entries.iter().try_for_each(|entry| check_path(&entry.path))
}

/// `git fsck` finds such names and a hostile server does not run it.
fn check_path(path: &str) -> Result<(), TreeError> {
    if path.contains(|c: char| c.is_control()) {
        return Err(unsafe_entry(path, "its name has control characters"));
    }
    for part in path.split('/') {
        if matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case(".git") {
            return Err(unsafe_entry(path, "its name has an empty, `.`, `..` or `.git` part"));
        }
    }
    Ok(())
}

/// Follows a link as the kernel would, in the tree alone, and sees that it never leaves it. A target that is
/// not there is let be: nothing can be read through it.
fn stays_inside(path: &str, links: &BTreeMap<String, String>) -> Result<(), &'static str> {
    let mut at: Vec<&str> = path.split('/').collect();
    at.pop();
    let mut ahead: Vec<&str> = vec![path.rsplit('/').next().unwrap_or(path)];
    let mut hops = 0;
    while let Some(part) = ahead.pop() {
        match part {
            "" | "." => {}
            ".." if at.pop().is_none() => return Err("it is a link that leads out of the repository"),
            ".." => {}
            name => {
                at.push(name);
                let Some(target) = links.get(&at.join("/")) else { continue };
                at.pop();
                hops += 1;
                // Linux gives up after 40 (path_resolution(7)).
                if hops > 40 {
                    return Err("it is a link that goes round in circles");
                }
                if target.starts_with('/') {
                    return Err("it is a link to an absolute path");
                }
                ahead.extend(target.split('/').rev());
            }
        }
    }
    Ok(())
}

#[cfg(unix)]
fn link(folder: &Path, path: &str, target: &str) -> io::Result<()> {
    let place = folder.join(path);
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    std::os::unix::fs::symlink(target, place)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &str, _: &str) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "links are not written on this system"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_safe_are_refused() {
        for path in ["a/../b", ".git/config", "a/.GIT/x", "a//b", "./a", "a\nb"] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
        for path in ["a", "a/b.c", ".gitignore", "a/..b", "ä/ö"] {
            assert!(check_path(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn links_are_followed_to_see_that_they_stay() {
        let links = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        for (pairs, path, good) in [
            (&[("a", "b/c")][..], "a", true),
            (&[("d/a", "../b")], "d/a", true),
            (&[("d/a", "../../b")], "d/a", false),
            (&[("a", "/etc/passwd")], "a", false),
            (&[("a", "..")], "a", false),
            (&[("a", "missing/../..")], "a", false),
            // By its letters `p/l` stays; by way of `p/d` it leaves.
            (&[("p/d", ".."), ("p/l", "d/../x")], "p/l", false),
            (&[("p/d", ".."), ("p/l", "d/x")], "p/l", true),
            (&[("a", "b"), ("b", "a")], "a", false),
            (&[("a", "b/../../..//x")], "a", false),
        ] {
            assert_eq!(stays_inside(path, &links(pairs)).is_ok(), good, "{pairs:?}");
        }
    }

    #[test]
    fn ls_tree_is_parsed() {
        let id = "a".repeat(40);
        let listed = format!(
            "100644 blob {id}      12\ta b\0100755 blob {id}    3\tbin/x\0120000 blob {id} 1\tl\0160000 commit {id}       -\tsub\0"
        );
        let entries = parse(listed.as_bytes()).unwrap();
        let modes: Vec<_> = entries.iter().map(|e| (e.mode, e.size, e.path.as_str())).collect();
        assert_eq!(
            modes,
            [
                (Mode::File, 12, "a b"),
                (Mode::Executable, 3, "bin/x"),
                (Mode::Link, 1, "l"),
                (Mode::Submodule, 0, "sub"),
            ]
        );
        assert!(parse(format!("100600 blob {id} 1\tx\0").as_bytes()).is_err());
        let limits = ExportLimits { entries: 4, bytes: 16 };
        assert!(check(&entries, &limits).is_ok());
        assert!(check(&entries, &ExportLimits { bytes: 15, ..limits }).is_err());
        assert!(check(&entries, &ExportLimits { entries: 3, ..limits }).is_err());
    }
}
