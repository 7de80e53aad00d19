//! Runs: one under way, one that was cut off, bundles that were refused.

use std::os::unix::fs::MetadataExt as _;

use super::{Check, Finding, Level, NO_SITE, Patient};
use crate::store::journal::Entry;

const RUN: Check =
    Check { id: "last-run", why: "a run that was cut off left something half done until it is run again" };
const REFUSED: Check =
    Check { id: "refused", why: "a bundle that was refused brought nothing; somebody carried it for some reason" };

pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(site) = patient.site else { return vec![RUN.skipped(NO_SITE), REFUSED.skipped(NO_SITE)] };
    let run = match site.store.cut_off() {
        Ok(cut_off) => judge(cut_off.as_ref(), is_busy(patient)),
        Err(error) => RUN.failed(&error),
    };
    let refused = match site.store.refused() {
        Ok(0) => REFUSED.ok("no bundle was refused since the last receipt"),
        Ok(count) => REFUSED.warn(
            format!("{count} bundles were refused since the last receipt"),
            "run consign-site verify FILE on the medium: it says why",
        ),
        Err(error) => REFUSED.failed(&error),
    };
    vec![run, refused]
}

/// Whether somebody holds the store's lock, as the kernel lists it: taking it to find out would disturb a run.
fn is_busy(patient: &Patient<'_>) -> Option<bool> {
    let lock = patient.store.dir().join("lock").metadata();
    let Ok(lock) = lock else { return Some(false) };
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    Some(holds(&locks, lock.ino()))
}

/// `1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234 0 EOF` (proc(5)). The device is written differently on some file systems,
/// so the inode alone is looked at.
fn holds(locks: &str, inode: u64) -> bool {
    locks.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let of_file = fields.get(5).and_then(|file| file.rsplit(':').next()) == Some(inode.to_string().as_str());
        of_file && fields.get(1) == Some(&"FLOCK") && fields.get(3) == Some(&"WRITE")
    })
}

fn judge(cut_off: Option<&Entry>, busy: Option<bool>) -> Finding {
    match (cut_off, busy) {
        (Some(entry), Some(true)) => {
            RUN.finding(Level::Ok, format!("a run is under way, at `{}` of {}", entry.step, entry.product), None)
        }
        (None, Some(true)) => RUN.ok("a run is under way"),
        (Some(entry), _) => RUN.fail(
            format!("the last run was cut off at `{}` of {}", entry.step, entry.product),
            "run consign-site install FILE with the same bundle again: it goes on where it stopped",
        ),
        (None, _) => RUN.ok("the last run came to its end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::Mark;
    use consign_format::Digest;

    #[test]
    fn a_run_under_way_is_not_cut_off() {
        let (product, release) = ("p".parse().unwrap(), Digest::of(b"r"));
        let entry = Entry { at: 7, step: "load".to_owned(), mark: Mark::Begin, product, release, note: None };
        assert_eq!(judge(Some(&entry), Some(true)).level, Level::Ok);
        assert_eq!(judge(Some(&entry), Some(false)).level, Level::Fail);
        assert_eq!(judge(Some(&entry), None).level, Level::Fail, "not knowing is no comfort");
        assert_eq!(judge(None, Some(false)).level, Level::Ok);
    }

    #[test]
    fn the_kernel_is_asked_who_holds_the_lock() {
        let locks = "1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234 0 EOF\n2: POSIX  ADVISORY  WRITE 1 00:1a:99 0 EOF\n";
        assert!(holds(locks, 1234));
        assert!(!holds(locks, 234) && !holds(locks, 99) && !holds("", 1234));
    }

    #[test]
    fn a_lock_that_is_held_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let store = crate::store::Store::at(root.path());
        store.create().unwrap();
        let inode = |store: &crate::store::Store| store.dir().join("lock").metadata().unwrap().ino();
        let held = crate::store::lock::take(&store).unwrap();
        assert!(holds(&std::fs::read_to_string("/proc/locks").unwrap(), inode(&store)));
        drop(held);
        assert!(!holds(&std::fs::read_to_string("/proc/locks").unwrap(), inode(&store)));
    }
}
