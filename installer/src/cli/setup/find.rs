//! What a set-up finds by itself: the root or the kit on a medium, the name of this machine. It only looks.

use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_format::kit;
use consign_format::{Name, trust::Fingerprint};

use crate::cli::enrol;

/// Where media are mounted, below the root folder; one folder a medium, or one below a folder of the user's.
const MEDIA: [&str; 4] = ["run/consign/media", "run/media", "media", "mnt"];
/// What the name of a root ends with.
const ROOT: &str = ".root.json";
/// No medium that is looked at has more in its first folders.
const ENTRIES: usize = 4096;

/// What lies on media.
#[derive(Debug, Default)]
pub(super) struct Media {
    /// Files that are named like roots, in the order of their names.
    pub(super) roots: Vec<PathBuf>,
    /// Folders that are kits.
    pub(super) kits: Vec<PathBuf>,
}

/// Looks into a folder that was named, or into everything that is mounted where media are.
pub(super) fn media(named: Option<&Path>, root: &Path) -> Media {
    let mut found = Media::default();
    let places = match named {
        Some(folder) => vec![folder.to_owned()],
        None => MEDIA.iter().flat_map(|folder| folders(&root.join(folder))).collect(),
    };
    for place in &places {
        look(place, &mut found);
        // A medium below its user's folder, or a folder of the medium: trust/, ward-7/.
        for folder in folders(place) {
            look(&folder, &mut found);
            if named.is_none() {
                folders(&folder).iter().for_each(|folder| look(folder, &mut found));
            }
        }
    }
    found
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = entries(folder).into_iter().filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().take(ENTRIES).map(|entry| entry.path()).collect()
}

fn look(folder: &Path, found: &mut Media) {
    if folder.join(kit::KIT).is_file() {
        found.kits.push(folder.to_owned());
        return;
    }
    let is_root = |path: &PathBuf| path.is_file() && path.to_string_lossy().ends_with(ROOT);
    let mut roots: Vec<PathBuf> = entries(folder).into_iter().filter(is_root).collect();
    roots.sort();
    found.roots.extend(roots);
}

/// The root that has this fingerprint; else the first, whose refusal then says which one was looked at.
pub(super) fn root_of(roots: &[PathBuf], fingerprint: &Fingerprint) -> Result<Option<Vec<u8>>, Failure> {
    let mut first = None;
    for path in roots {
        let bytes = enrol::read(path)?;
        if fingerprint.is_of(&consign_format::Digest::of(&bytes)) {
            return Ok(Some(bytes));
        }
        first.get_or_insert(bytes);
    }
    Ok(first)
}

/// This machine's own name, if a site may be called so: what stands before the first dot, in lower case.
pub(super) fn machine_name() -> Option<Name> {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().ok()?.split('.').next()?.to_ascii_lowercase();
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_and_kits_are_found_where_media_are() {
        let dir = tempfile::tempdir().unwrap();
        for file in
            ["media/ada/stick/trust/1.root.json", "run/media/disc/2.root.json", "mnt/a/kit.json", "mnt/a/root.json"]
        {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let found = media(None, dir.path());
        assert_eq!(found.kits, [dir.path().join("mnt/a")]);
        let names: Vec<_> = found.roots.iter().map(|path| path.strip_prefix(dir.path()).unwrap()).collect();
        assert_eq!(names, [Path::new("run/media/disc/2.root.json"), Path::new("media/ada/stick/trust/1.root.json")]);
        let named = media(Some(&dir.path().join("media/ada/stick")), Path::new("/nonexistent"));
        assert_eq!(named.roots.len(), 1);
    }
}
