//! A stick: an image with a FAT file system, mounted by the kernel where it can, else by FUSE. Only root can.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use consign_tests::{images::run, skip};

/// The image, and where it is mounted now.
pub(crate) struct Stick {
    image: PathBuf,
    place: Option<PathBuf>,
}

/// Whether this machine can mount FAT; says so where it can't.
pub(crate) fn is_possible() -> bool {
    let is_root = rustix_is_root();
    let found = |program: &str| {
        ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
    };
    let can = is_root && found("mkfs.vfat") && (by_kernel() || found("fusefat") && Path::new("/dev/fuse").exists());
    skip::unless(
        can,
        "mounting a FAT image needs root, mkfs.vfat, and vfat or fusefat",
        "apt-get install dosfstools fusefat",
    )
}

fn rustix_is_root() -> bool {
    run(Command::new("id").arg("-u")).trim() == "0"
}

fn by_kernel() -> bool {
    std::fs::read_to_string("/proc/filesystems").unwrap_or_default().lines().any(|line| line.trim() == "vfat")
}

/// How a stick is put in.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum As {
    ReadOnly,
    Writable,
}

impl Stick {
    /// A stick with these files.
    pub(crate) fn with(folder: &Path, name: &str, files: &[&Path]) -> Self {
        let image = folder.join(name);
        let need: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
        std::fs::File::create(&image).unwrap().set_len((need + (need / 8)).max(8 << 20) + (8 << 20)).unwrap();
        run(Command::new("/usr/sbin/mkfs.vfat").arg(&image));
        let mut stick = Self { image, place: None };
        let place = folder.join(format!("{name}.filled"));
        std::fs::create_dir_all(&place).unwrap();
        stick.put_in(&place, As::Writable);
        for file in files {
            // Not `fs::copy`: FAT has no modes.
            let mut there = std::fs::File::create(place.join(file.file_name().unwrap())).unwrap();
            std::io::copy(&mut std::fs::File::open(file).unwrap(), &mut there).unwrap();
        }
        stick.pull();
        stick
    }

    /// Mounts it.
    pub(crate) fn put_in(&mut self, place: &Path, how: As) {
        std::fs::create_dir_all(place).unwrap();
        let mut command = match (by_kernel(), how) {
            (true, As::ReadOnly) => with(Command::new("mount"), &["-o", "loop,ro"]),
            (true, As::Writable) => with(Command::new("mount"), &["-o", "loop,sync"]),
            (false, As::ReadOnly) => with(Command::new("fusefat"), &["-o", "ro"]),
            (false, As::Writable) => with(Command::new("fusefat"), &["-o", "rw+"]),
        };
        run(command.arg(&self.image).arg(place));
        self.place = Some(place.to_owned());
    }

    /// Unmounts it, whatever reads there; waits until the image is let go of.
    pub(crate) fn pull(&mut self) {
        let Some(place) = self.place.take() else { return };
        run(Command::new("umount").arg("-l").arg(&place));
        // FUSE's own process writes the rest when it ends.
        let is_used = || {
            let used = Command::new("fuser").arg("-s").arg(&self.image).stderr(Stdio::null()).status();
            used.is_ok_and(|status| status.success())
        };
        for _ in 0..200 {
            if !is_used() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// What lies beyond this many bytes cannot be read any more, as when it is pulled out in the middle. The whole is
    /// given back.
    pub(crate) fn tear(&self, keep: u64) -> Vec<u8> {
        let whole = std::fs::read(&self.image).unwrap();
        std::fs::OpenOptions::new().write(true).open(&self.image).unwrap().set_len(keep).unwrap();
        whole
    }

    /// Makes it whole again.
    pub(crate) fn mend(&self, whole: &[u8]) {
        std::fs::write(&self.image, whole).unwrap();
    }
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

impl Drop for Stick {
    fn drop(&mut self) {
        self.pull();
    }
}
