//! A small disk of one's own that can be filled to the last block, or to the last inode: an ext4 image, mounted. No room
//! is kept back for root (`mkfs -m 0`), for the runs that are to find it full are root's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_tests::images::run;
use consign_tests::skip;
use tempfile::TempDir;

/// What runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// No block is left, and none of the reserve that the run had set aside can be had again.
    Robbed,
    /// No block is left.
    Bytes,
    /// No inode is left.
    Files,
}

/// The disk; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    place: PathBuf,
    _folder: TempDir,
}

/// Whether this machine can mount one; says so where it can't.
pub(crate) fn is_possible() -> bool {
    let is_root = run(Command::new("id").arg("-u")).trim() == "0";
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has_ext4 = known.lines().any(|line| line.trim() == "ext4");
    let can =
        is_root && has_ext4 && Path::new("/usr/sbin/mkfs.ext4").exists() && Path::new("/dev/loop-control").exists();
    skip::unless(
        can,
        "mounting a small ext4 disk needs root, a loop device and mkfs.ext4",
        "run as root with e2fsprogs",
    )
}

impl Disk {
    /// An empty one.
    pub(crate) fn new(mebibytes: u64, inodes: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("consign-disk-").tempdir().unwrap();
        let (image, place) = (folder.path().join("image"), folder.path().join("mounted"));
        File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        fs::create_dir(&place).unwrap();
        let mut mkfs = Command::new("/usr/sbin/mkfs.ext4");
        run(mkfs.args(["-q", "-m", "0", "-b", "4096", "-N", &inodes.to_string()]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&place));
        Self { place, _folder: folder }
    }

    /// Where it is mounted.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Bytes and inodes that are free.
    pub(crate) fn free(&self) -> (u64, u64) {
        let said = run(Command::new("stat").args(["-f", "-c", "%a %S %d"]).arg(&self.place));
        let numbers: Vec<u64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
        (numbers[0] * numbers[1], numbers[2])
    }

    /// Takes every block, or every inode, but for so many bytes.
    pub(crate) fn fill(&self, what: Short, but: u64) {
        match what {
            Short::Files => {
                let folder = self.place.join("filler");
                fs::create_dir_all(&folder).unwrap();
                (0..).find(|n| File::create(folder.join(n.to_string())).is_err()).unwrap();
                assert_eq!(self.free().1, 0);
            }
            Short::Bytes | Short::Robbed => {
                let (filler, mut length) = (File::create(self.place.join("filler")).unwrap(), 0);
                for size in [16 << 20, 1 << 20, 4096] {
                    let none = rustix::fs::FallocateFlags::empty();
                    while self.free().0 >= but + size && rustix::fs::fallocate(&filler, none, length, size).is_ok() {
                        length += size;
                    }
                }
                filler.sync_all().unwrap();
                assert!(self.free().0 < but + 4096, "{:?} are left", self.free());
            }
        }
    }

    /// Takes the filling away.
    pub(crate) fn make_room(&self) {
        let filler = self.place.join("filler");
        if filler.is_dir() {
            fs::remove_dir_all(&filler).unwrap();
        } else if filler.exists() {
            fs::remove_file(&filler).unwrap();
        }
        run(Command::new("sync").arg("-f").arg(&self.place));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Not at once where something of a failed test still looks there.
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}
