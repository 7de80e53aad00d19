//! A disk that forgets, when the power goes, whatever nobody synced. A kill loses nothing that the kernel was given, so kills
//! cannot show that `fsync` comes before `rename` and after the last write; this does.
//!
//! A double, because no real disk loses what it is told to lose at the moment it is told. The suite `crash` holds it and a
//! real file system to the same calls.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use fuser::{BackgroundSession, Config, MountOption};
use tempfile::TempDir;

use crate::command::{Invocation, Outcome};
use crate::images::run;
use crate::skip;

mod device;
mod mains;
mod model;
mod serve;

pub use device::{Device, is_possible as device_is_possible};
use mains::Mains;
use model::{Content, Marks, Model};
use serve::Served;

/// Before or after a sync has done its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// What was to be kept is not.
    Before,
    /// What was to be kept is; who asked does not hear of it.
    After,
}

/// When the power goes: at the `n`th sync (from 1) of what has this name, or of anything.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// The file's or folder's own name.
    pub of: Option<&'static str>,
    /// Which one.
    pub n: usize,
    /// On which side of it.
    pub when: When,
}

/// What a disk holds that the power can be cut of.
pub struct Disk {
    place: TempDir,
    mains: Arc<Mutex<Mains>>,
    session: Option<BackgroundSession>,
}

/// Whether this machine can have such a disk; says so where it cannot.
#[must_use]
pub fn is_possible() -> bool {
    let root = rustix::process::geteuid().is_root();
    let fuse = Path::new("/dev/fuse").exists();
    skip::unless(
        root && fuse,
        "a disk that forgets needs root and /dev/fuse",
        "run it as root, with FUSE in the kernel",
    )
}

impl Disk {
    /// An empty disk.
    ///
    /// # Panics
    /// If it can't be mounted.
    #[must_use]
    pub fn empty() -> Self {
        let marks = Marks { mode: 0o755, owner: (0, 0), changed: SystemTime::now() };
        let model = Model::empty(marks);
        let place = tempfile::Builder::new().prefix("consign-power-").tempdir().expect("a temporary folder");
        let mut disk = Disk { place, mains: Arc::new(Mutex::new(Mains::of(model))), session: None };
        disk.mount();
        disk
    }

    fn mount(&mut self) {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("consign-power".to_owned())];
        let served = Served(Arc::clone(&self.mains));
        self.session = Some(fuser::spawn_mount(served, self.place.path(), &config).expect("FUSE mounts"));
    }

    /// Lazily: a loop device lets go of its file a little after its own end. Its thread ends when nobody has it any more.
    fn unmount(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = Command::new("umount").arg("-l").arg(self.path()).output();
            drop(session);
        }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Copies what is in a folder onto it, to last.
    pub fn fill(&self, from: &Path) {
        run(Command::new("cp").arg("-a").arg(from.join(".")).arg(self.path()));
        self.mains().model.sync_all();
    }

    /// Runs a program until the power goes, or, if that moment does not come, to its end: then how it ended.
    ///
    /// # Panics
    /// If it was killed, and not by this.
    pub fn cut(&self, program: &Invocation, cut: Cut) -> Option<Outcome> {
        // It gets nowhere before it is known: whatever it asks of the disk waits.
        let mut mains = self.mains();
        let outcome = program.run_telling(move |process| mains.arm(cut, process));
        let mut mains = self.mains();
        mains.disarm();
        if outcome.exit.is_some() {
            return Some(outcome);
        }
        assert!(mains.is_off, "something else killed it\n{outcome}");
        None
    }

    /// What a file held when the power went, synced or not.
    pub fn seen(&self, path: &Path) -> Option<Vec<u8>> {
        let mains = self.mains();
        let number = path.iter().try_fold(model::TOP, |folder, name| mains.model.find((folder, name)))?;
        match &mains.model.node(number)?.content {
            Content::File(bytes) => Some(bytes.clone()),
            Content::Folder(_) | Content::Link(_) => None,
        }
    }

    /// The power goes now; nothing that comes later is kept.
    fn turn_off(&self) {
        self.mains().is_off = true;
    }

    /// The power goes now, if it has not, and comes back: what was synced is there, and of all else what the coin says,
    /// change by change and block by block.
    ///
    /// # Panics
    /// If it can't be mounted again; somebody may have a file open.
    pub fn power_on(&mut self, coin: &mut dyn FnMut() -> bool) {
        self.unmount();
        let left = self.mains().model.clone().after_a_cut(coin);
        self.mains().is_off = true;
        self.mains = Arc::new(Mutex::new(Mains::of(left)));
        self.mount();
    }

    fn mains(&self) -> MutexGuard<'_, Mains> {
        self.mains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
    }
}
