//! Media that are here now: the folders that are watched, and what is mounted below them, where bundles lie at the top.
//!
//! Mounting is the system's affair. Nothing is followed, nothing below the top of a medium is looked at, and a medium with
//! endless entries is given up: a stick is the enemy's to prepare.

use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatVfsMountFlags, StatxFlags};

use crate::open::bundles_in;

/// Bundles of one medium beyond this number are a mistake or an attack.
const BUNDLES: usize = 1000;
/// `/proc/self/mountinfo`
const MOUNTS: &str = "/proc/self/mountinfo";

/// A folder with bundles at its top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// The folder.
    pub folder: PathBuf,
    /// What was seen, to tell one medium from the next, and a copy under way from one that is done.
    pub seen: Seen,
}

impl Medium {
    /// Whether it was mounted to be written, as far as the system says.
    pub fn is_writable(&self) -> bool {
        rustix::fs::statvfs(&self.folder).is_ok_and(|stat| !stat.f_flag.contains(StatVfsMountFlags::RDONLY))
    }
}

/// What was seen of a medium. Equal twice: nothing changes there any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// The mount, where it is one: another stick in the same place has another number.
    mount: Option<u64>,
    /// Name, length and time of change of every bundle.
    bundles: Vec<(PathBuf, u64, i64)>,
}

/// Looks at the folders and at what is mounted below them.
pub fn media(folders: &[PathBuf]) -> Vec<Medium> {
    let mounts = std::fs::read(MOUNTS).map(|text| mounts(&text)).unwrap_or_default();
    let below = |place: &PathBuf| folders.iter().any(|folder| place != folder && place.starts_with(folder));
    let mut places: Vec<(PathBuf, Option<u64>)> = folders.iter().map(|folder| (folder.clone(), None)).collect();
    places.extend(mounts.into_iter().filter(|(_, place)| below(place)).map(|(id, place)| (place, Some(id))));
    places.sort();
    places.dedup_by(|one, other| one.0 == other.0);
    places.into_iter().filter_map(|(folder, mount)| look(folder, mount)).collect()
}

/// What cannot be read, or holds no bundle, is no medium of ours.
fn look(folder: PathBuf, mount: Option<u64>) -> Option<Medium> {
    let found = bundles_in(&folder).ok().filter(|found| found.len() <= BUNDLES)?;
    let seen = |path: PathBuf| {
        let metadata = path.symlink_metadata().ok()?;
        Some((path, metadata.len(), metadata.mtime()))
    };
    let bundles = found.into_iter().map(seen).collect::<Option<_>>()?;
    let mount = mount.map(|number| unique(&folder).unwrap_or(number));
    Some(Medium { folder, seen: Seen { mount, bundles } })
}

/// The number of the mount that a folder is on, if this kernel gives numbers that no later mount gets (`STATX_MNT_ID_UNIQUE`,
/// since Linux 6.8): those of mountinfo are given again, and a stick that is pulled and put back must not look the same.
fn unique(folder: &Path) -> Option<u64> {
    let wanted = StatxFlags::from_bits_retain(0x4000);
    let stat = rustix::fs::statx(rustix::fs::CWD, folder, AtFlags::NO_AUTOMOUNT, wanted).ok()?;
    (stat.stx_mask & wanted.bits() != 0).then_some(stat.stx_mnt_id)
}

/// The numbers and places of mounts, out of the text of proc(5) `mountinfo`: the first field and the fifth. Of two mounts
/// in one place the later one lies on top.
fn mounts(text: &[u8]) -> Vec<(u64, PathBuf)> {
    let line = |line: &[u8]| {
        let mut fields = line.split(|&byte| byte == b' ');
        let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        Some((id, unescaped(fields.nth(3)?)))
    };
    text.split(|&byte| byte == b'\n').rev().filter_map(line).collect()
}

/// A space in a place is written `\040`, and so on.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| first == b'\\').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => (bytes, rest) = ([bytes, vec![byte]].concat(), &after[3..]),
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    Path::new(&std::ffi::OsString::from_vec(bytes)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_as_proc_5_has_it() {
        let text = b"36 35 98:0 / /media/my\\040stick rw,noatime master:1 - vfat /dev/sdb1 rw\n\
                     21 1 0:20 / /proc rw - proc proc rw\nnonsense\n";
        let expected = [(21, PathBuf::from("/proc")), (36, PathBuf::from("/media/my stick"))];
        assert_eq!(mounts(text), expected);
        assert_eq!(unescaped(b"a\\134b\\"), PathBuf::from("a\\b\\"));
    }

    #[test]
    fn a_folder_is_a_medium_while_bundles_lie_at_its_top() {
        let dir = tempfile::tempdir().unwrap();
        let folders = [dir.path().to_owned(), dir.path().join("absent")];
        assert_eq!(media(&folders), []);
        std::fs::create_dir(dir.path().join("below")).unwrap();
        std::fs::write(dir.path().join("below/a.consign"), b"x").unwrap();
        assert_eq!(media(&folders), [], "no mount, and not the top");
        std::fs::write(dir.path().join("b.consign"), b"x").unwrap();
        let first = media(&folders);
        assert_eq!(first.len(), 1);
        assert_eq!(media(&folders), first);
        std::fs::write(dir.path().join("b.consign"), b"xy").unwrap();
        assert_ne!(media(&folders)[0].seen, first[0].seen, "it grows");
    }
}
