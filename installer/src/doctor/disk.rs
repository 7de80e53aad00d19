//! Room and inodes, where the store lies and where the container runtime unpacks images.

use std::path::{Path, PathBuf};

use consign_terminal::bytes;

use super::{Check, Finding, Patient};

const STORE: Check = Check { id: "store-room", why: "a bundle is taken only if all of it fits into the store" };
const STORE_INODES: Check = Check { id: "store-inodes", why: "every blob is a file, and a file needs an inode" };
const IMAGES: Check = Check {
    id: "images-room",
    why: "nodes unpack images there; below 15 percent kubelet begins to throw images out, below 10 to evict pods",
};

/// Where runtimes keep images.
const IMAGE_FOLDERS: [&str; 5] = [
    "/var/lib/rancher/k3s",
    "/var/lib/rancher/rke2",
    "/var/lib/containerd",
    "/var/lib/containers/storage",
    "/var/snap/microk8s/common/var/lib/containerd",
];

/// Below this a store cannot even keep its journal and receipts with an easy mind.
const LITTLE: u64 = 256 << 20;

/// What a file system says of itself.
#[derive(Debug, Clone, Copy)]
struct Room {
    free: u64,
    total: u64,
    free_inodes: u64,
    /// 0 where the file system makes inodes as it needs them.
    inodes: u64,
}

pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let store = patient.store.dir();
    let mut findings = match room(store) {
        Ok(room) => vec![judge_store(&room, largest(patient), store), judge_inodes(&room, store)],
        Err(reason) => vec![STORE.skipped(format!("{}: {reason}", store.display()))],
    };
    let folders: Vec<PathBuf> = patient.place.iter().flat_map(|place| IMAGE_FOLDERS.map(|at| place.name(at))).collect();
    let here: Vec<&PathBuf> = folders.iter().filter(|folder| folder.is_dir()).collect();
    if here.is_empty() {
        findings.push(IMAGES.skipped("no folder of a container runtime is here"));
    }
    findings.extend(here.into_iter().map(|folder| match room(folder) {
        Ok(room) => judge_images(&room, folder),
        Err(reason) => IMAGES.skipped(format!("{}: {reason}", folder.display())),
    }));
    findings
}

fn room(path: &Path) -> Result<Room, String> {
    let stat = rustix::fs::statvfs(path).map_err(|error| error.to_string())?;
    let block = stat.f_frsize;
    Ok(Room {
        free: stat.f_bavail.saturating_mul(block),
        total: stat.f_blocks.saturating_mul(block),
        free_inodes: stat.f_favail,
        inodes: stat.f_files,
    })
}

/// The size of the largest release that is here: the next one will be about as large.
fn largest(patient: &Patient<'_>) -> u64 {
    let products = patient.store.products().unwrap_or_default();
    let held = products.iter().flat_map(|product| product.held());
    let sizes = held.filter_map(|release| patient.store.read_release(&release.digest).ok()?.payload().ok());
    sizes.max().unwrap_or(0)
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(100)
}

fn judge_store(room: &Room, largest: u64, path: &Path) -> Finding {
    let what = format!("{} of {} are free under {}", bytes(room.free), bytes(room.total), path.display());
    let fix = format!("run consign-site gc, or give {} more room", path.display());
    if room.free < LITTLE {
        STORE.fail(what, fix)
    } else if room.free < largest {
        STORE.warn(format!("{what}; the largest release here has {}", bytes(largest)), fix)
    } else {
        STORE.ok(what)
    }
}

fn judge_inodes(room: &Room, path: &Path) -> Finding {
    if room.inodes == 0 {
        return STORE_INODES.ok("the file system makes inodes as it needs them");
    }
    let left = percent(room.free_inodes, room.inodes);
    let what = format!("{} inodes ({left} percent) are free under {}", room.free_inodes, path.display());
    let fix = "find who fills the file system with small files: df -i; du --inodes -x / | sort -n | tail";
    match left {
        0..1 => STORE_INODES.fail(what, fix),
        1..5 => STORE_INODES.warn(what, fix),
        _ => STORE_INODES.ok(what),
    }
}

fn judge_images(room: &Room, path: &Path) -> Finding {
    let left = percent(room.free, room.total);
    let inodes = if room.inodes == 0 { 100 } else { percent(room.free_inodes, room.inodes) };
    let what = format!(
        "{} ({left} percent) and {inodes} percent of the inodes are free under {}",
        bytes(room.free),
        path.display()
    );
    let fix =
        "remove what does not belong there, or give the file system more room; crictl rmi --prune takes unused images";
    match left.min(inodes) {
        0..5 => IMAGES.fail(what, fix),
        5..15 => IMAGES.warn(what, fix),
        _ => IMAGES.ok(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    const GIB: u64 = 1 << 30;

    fn room(free: u64, total: u64) -> Room {
        Room { free, total, free_inodes: 50, inodes: 100 }
    }

    #[test]
    fn a_store_needs_room_for_the_next_release() {
        let at = Path::new("/s");
        for (free, largest, expected) in
            [(LITTLE - 1, 0, Level::Fail), (GIB, 2 * GIB, Level::Warn), (GIB, GIB, Level::Ok), (GIB, 0, Level::Ok)]
        {
            assert_eq!(judge_store(&room(free, 10 * GIB), largest, at).level, expected, "{free} {largest}");
        }
    }

    #[test]
    fn inodes_end_like_bytes_and_some_file_systems_have_none() {
        let at = Path::new("/s");
        for (free_inodes, inodes, expected) in [
            (0, 0, Level::Ok),
            (0, 1000, Level::Fail),
            (9, 1000, Level::Fail),
            (49, 1000, Level::Warn),
            (50, 1000, Level::Ok),
        ] {
            let room = Room { free_inodes, inodes, ..room(1, 1) };
            assert_eq!(judge_inodes(&room, at).level, expected, "{free_inodes}");
        }
    }

    #[test]
    fn kubelet_acts_at_fifteen_percent() {
        let at = Path::new("/i");
        for (free, expected) in [(4, Level::Fail), (5, Level::Warn), (14, Level::Warn), (15, Level::Ok)] {
            assert_eq!(judge_images(&room(free, 100), at).level, expected, "{free}");
        }
        let without_inodes = Room { free_inodes: 1, ..room(50, 100) };
        assert_eq!(judge_images(&without_inodes, at).level, Level::Fail);
    }
}
