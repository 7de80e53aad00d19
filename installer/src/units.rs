//! The units of systemd that a site's machine runs, as text in files of this program, and how they get to their places.
//!
//! Each begins with a line that holds the digest of the rest. So it is known, without any memory, whether a file is
//! still what this program wrote; what somebody has changed, or put there, is left alone.

use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_registry::durable::{DurableError, create_dir, write_file};
use serde::Serialize;

use crate::nodes::{NodesError, Place};

/// The unit of the registry.
pub const REGISTRY: &str = "consign-registry.service";
/// The unit that watches for media.
pub const WATCH: &str = "consign-watch.service";
/// The timer that looks for drift.
pub const DRIFT: &str = "consign-drift.timer";

/// The program, as the texts have it.
const PROGRAM: &str = "/usr/bin/consign-site";
const FOLDER: &str = "/etc/systemd/system";
const RULES: &str = "/usr/share/consign/99-consign.rules";
/// What the first line begins with.
const MARK: &str = "# Written by consign-site setup. Change it with `systemctl edit`. sha256 of what follows: ";

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Became {
    /// It was not there.
    Written,
    /// It was there as an earlier program wrote it.
    Replaced,
    /// It was there as it should be.
    Found,
    /// It is not as this program wrote it: somebody else's, and left alone.
    LeftAlone,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What became of it.
    pub became: Became,
}

/// The files and their texts, for a program that lies there; without its registry, for a site that has another one.
pub fn texts(program: &Path, registry: bool) -> Vec<(String, String)> {
    let all = [
        (format!("{FOLDER}/{REGISTRY}"), include_str!("units/consign-registry.service")),
        (format!("{FOLDER}/{WATCH}"), include_str!("units/consign-watch.service")),
        (format!("{FOLDER}/consign-drift.service"), include_str!("units/consign-drift.service")),
        (format!("{FOLDER}/{DRIFT}"), include_str!("units/consign-drift.timer")),
        (RULES.to_owned(), include_str!("units/99-consign.rules")),
    ];
    let wanted = all.into_iter().filter(|(path, _)| registry || !path.ends_with(REGISTRY));
    wanted.map(|(path, text)| (path, marked(&text.replace(PROGRAM, &program_name(program))))).collect()
}

/// A path that systemd would read as something else is not taken; the text's own stands then.
fn program_name(program: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    match program.to_str() {
        Some(path) if path.starts_with('/') && path.bytes().all(plain) => path.to_owned(),
        _ => PROGRAM.to_owned(),
    }
}

fn marked(text: &str) -> String {
    format!("{MARK}{}\n{text}", Digest::of(text.as_bytes()).hex())
}

/// Whether a file is what some version of this program wrote.
fn is_ours(bytes: &[u8]) -> bool {
    let Some((first, rest)) = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once('\n')) else {
        return false;
    };
    first.strip_prefix(MARK) == Some(Digest::of(rest.as_bytes()).hex().as_str())
}

/// Writes what is missing or out of date; with `rehearse`, only says what would become of each.
///
/// # Errors
/// A path that leads out of the root folder, or a disk that does not take it.
pub fn write(place: &Place, texts: &[(String, String)], rehearse: bool) -> Result<Vec<UnitFile>, NodesError> {
    let mut files = Vec::new();
    for (path, text) in texts {
        let became = match place.read(path)? {
            None => Became::Written,
            Some(found) if found.bytes == text.as_bytes() => Became::Found,
            Some(found) if is_ours(&found.bytes) => Became::Replaced,
            Some(_) => Became::LeftAlone,
        };
        if !rehearse && matches!(became, Became::Written | Became::Replaced) {
            let real = place.resolve(path)?;
            put(&real, text)?;
        }
        files.push(UnitFile { path: place.name(path), became });
    }
    Ok(files)
}

fn put(path: &Path, text: &str) -> Result<(), DurableError> {
    if let Some(folder) = path.parent() {
        create_dir(folder, 0o755)?;
    }
    write_file(path, text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn became(files: &[UnitFile]) -> Vec<Became> {
        files.iter().map(|file| file.became).collect()
    }

    #[test]
    fn what_others_changed_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path()).unwrap();
        let old = texts(Path::new("/opt/old/consign-site"), true);
        let new = texts(Path::new("/usr/bin/consign-site"), true);
        assert_eq!(became(&write(&place, &old, true).unwrap()), [Became::Written; 5]);
        assert_eq!(became(&write(&place, &old, false).unwrap()), [Became::Written; 5]);
        assert_eq!(became(&write(&place, &old, false).unwrap()), [Became::Found; 5]);
        let watch = dir.path().join("etc/systemd/system").join(WATCH);
        let text = std::fs::read_to_string(&watch).unwrap();
        assert!(text.contains("ExecStart=/opt/old/consign-site watch"));
        std::fs::write(&watch, text.replace("Restart=on-failure", "Restart=no")).unwrap();
        use Became::{Found, LeftAlone, Replaced};
        let third = write(&place, &new, false).unwrap();
        assert_eq!(became(&third), [Replaced, LeftAlone, Replaced, Found, Found], "timer and rules name no program");
        assert!(std::fs::read_to_string(&watch).unwrap().contains("Restart=no"));
        assert_eq!(texts(Path::new("/usr/bin/consign-site"), false).len(), 4);
    }

    #[test]
    fn a_program_at_an_odd_place_does_not_get_into_a_unit() {
        for odd in ["/opt/a b/consign-site", "/opt/%h/consign-site", "consign-site", "/opt/x\nExecStart=/bin/sh"] {
            assert_eq!(program_name(Path::new(odd)), PROGRAM, "{odd:?}");
        }
    }
}
