//! A real file system, ext4, on a device that forgets: what programs sync goes through its journal, and what that has not
//! flushed is lost, or is there in part and in any order, as the cache of a disk leaves it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Cut, Disk};
use crate::command::{Invocation, Outcome};
use crate::images::run;
use crate::skip;

/// Enough for the suites; all of it is kept in memory, twice.
const SIZE: u64 = 48 << 20;
const IMAGE: &str = "image";
/// Beside what mkfs makes itself.
const ROOT: &str = "root";

/// An ext4 whose device can lose its power.
#[derive(Debug)]
pub struct Device {
    disk: Disk,
    place: TempDir,
}

/// Whether this machine can have such a device; says so where it cannot.
#[must_use]
pub fn is_possible() -> bool {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let ext4 = known.lines().any(|line| line.trim() == "ext4");
    let there = ext4 && Path::new("/dev/loop-control").exists() && Path::new(MKFS).exists();
    super::is_possible()
        && skip::unless(there, "ext4 on a loop device needs both in the kernel", "apt-get install e2fsprogs")
}

const MKFS: &str = "/usr/sbin/mkfs.ext4";

impl Device {
    /// A device with what is in a folder.
    ///
    /// # Panics
    /// If it can't be made or mounted.
    #[must_use]
    pub fn with(from: &Path) -> Self {
        let made = tempfile::tempdir().expect("a temporary folder");
        let image = made.path().join(IMAGE);
        std::fs::File::create(&image).and_then(|file| file.set_len(SIZE)).expect("an image");
        let content = tempfile::tempdir().expect("a temporary folder");
        run(Command::new("cp").arg("-a").arg(from).arg(content.path().join(ROOT)));
        run(Command::new(MKFS).args(["-q", "-d"]).arg(content.path()).arg(&image));
        let place = tempfile::Builder::new().prefix("consign-device-").tempdir().expect("a temporary folder");
        let device = Device { disk: Disk::empty(), place };
        device.disk.fill(made.path());
        device.mount();
        device
    }

    fn mount(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "ext4", "-o", "loop"]).arg(self.disk.path().join(IMAGE));
        run(mount.arg(self.place.path()));
    }

    fn unmount(&self) {
        run(Command::new("umount").arg(self.place.path()));
    }

    /// Where the folder is that it was made with.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.path().join(ROOT)
    }

    /// As [`Disk::cut`]; the syncs are flushes of the device.
    pub fn cut(&self, program: &Invocation, cut: Cut) -> Option<Outcome> {
        self.disk.cut(program, cut)
    }

    /// As [`Disk::power_on`].
    ///
    /// # Panics
    /// If the file system is not one any more.
    pub fn power_on(&mut self, coin: &mut dyn FnMut() -> bool) {
        self.disk.turn_off();
        self.unmount();
        self.disk.power_on(coin);
        self.mount();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.unmount();
    }
}
