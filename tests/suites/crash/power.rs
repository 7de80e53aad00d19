//! The power goes at every sync of a run, on a disk that then forgets whatever was not synced: all of it, or some of it in
//! an order that nobody chose. Running again ends where it would have ended, and what was said to be done stays done.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use consign_tests::desk::Desk;
use consign_tests::power::{self, Cut, Device, Disk, When};
use consign_tests::site::Site;

use crate::ground::{Scenario, ground, upgrade_of_many};
use crate::instants::Draw;

/// There are a hundred flushes, and an ext4 takes a while to make and to mend.
const STRIDE: usize = 8;

/// What becomes of what was not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rest {
    Lost,
    /// Some of it was on its way and arrived.
    Mixed,
}

pub(crate) fn power_on(disk: &mut Disk, rest: Rest, draw: &mut Draw) {
    match rest {
        Rest::Lost => disk.power_on(&mut || false),
        Rest::Mixed => disk.power_on(&mut || draw.below(Duration::from_nanos(2)).is_zero()),
    }
}

fn at_every_sync(scenario: &Scenario, rest: Rest) {
    if !power::is_possible() || !Desk::is_possible() {
        return;
    }
    let mut draw = Draw::seeded();
    for n in 1.. {
        let mut disk = Disk::empty();
        disk.fill(scenario.site().root());
        let site = Site::at(disk.path());
        let how = format!("{}, cut at sync {n}, the rest {rest:?}", scenario.name);
        let cut = Cut { of: None, n, when: When::Before };
        if let Some(outcome) = disk.cut(&scenario.install(&site), cut) {
            assert_eq!(outcome.exit, Some(0), "{how}\n{outcome}");
            power_on(&mut disk, rest, &mut draw);
            scenario.check_done(&site, &format!("{how}, said to be done"));
            return said(scenario, &format!("power cut, the rest {rest:?}"), n - 1);
        }
        power_on(&mut disk, rest, &mut draw);
        scenario.check_cut_off(&site, &how);
        scenario.check_resumed(&site, &how);
    }
}

#[test]
fn a_fresh_install_resumes_from_what_was_synced() {
    at_every_sync(&ground().fresh, Rest::Lost);
}

#[test]
fn an_upgrade_resumes_from_what_was_synced() {
    at_every_sync(&ground().upgrade, Rest::Lost);
}

#[test]
fn a_fresh_install_resumes_from_what_was_synced_and_some_more() {
    at_every_sync(&ground().fresh, Rest::Mixed);
}

#[test]
fn an_upgrade_resumes_from_what_was_synced_and_some_more() {
    at_every_sync(&ground().upgrade, Rest::Mixed);
}

/// The same on ext4: what a file system does about the order of writes, and the flush of all of it at once, which the
/// programs use where they write many files, are in it. Every [`STRIDE`]th flush, from one that is drawn.
#[test]
fn an_upgrade_on_ext4_resumes_from_what_was_flushed_and_some_more() {
    if !power::device_is_possible() || !Desk::is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let scenario = upgrade_of_many(folder.path());
    let mut draw = Draw::seeded();
    let first = 1 + draw.below(Duration::from_nanos(STRIDE as u64)).as_nanos() as usize;
    for n in (first..).step_by(STRIDE) {
        let mut device = Device::with(scenario.site().root());
        let site = Site::at(&device.path());
        let how = format!("{} on ext4, cut at flush {n}", scenario.name);
        let uncut = device.cut(&scenario.install(&site), Cut { of: None, n, when: When::Before });
        device.power_on(&mut || draw.below(Duration::from_nanos(2)).is_zero());
        if let Some(outcome) = uncut {
            assert_eq!(outcome.exit, Some(0), "{how}\n{outcome}");
            scenario.check_done(&site, &format!("{how}, said to be done"));
            return said(&scenario, "power cut on ext4", n / STRIDE);
        }
        scenario.check_cut_off(&site, &how);
        scenario.check_resumed(&site, &how);
    }
}

fn said(scenario: &Scenario, what: &str, times: usize) {
    let _ = writeln!(std::io::stderr().lock(), "crash: {}: {what} at {times} syncs", scenario.name);
    assert!(times > 10, "only {times} syncs: this shows nothing");
}

/// What stands in a folder: names, and the bytes of files.
fn seen(folder: &Path) -> Vec<String> {
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).collect();
    all.sort_by_key(|entry| entry.file_name());
    let show = |entry: fs::DirEntry| {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let what = match kind {
            _ if kind.is_dir() => format!("{:?}", seen(&path)),
            _ if kind.is_symlink() => format!("-> {}", fs::read_link(&path).unwrap().display()),
            _ => String::from_utf8(fs::read(&path).unwrap()).unwrap(),
        };
        format!("{} {what}", entry.file_name().display())
    };
    all.into_iter().map(show).collect()
}

/// Calls that the programs rely on, and how each ended.
fn tried(at: &Path) -> Vec<String> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let mut said = Vec::new();
    let mut say = |what: &str, result: std::io::Result<()>| {
        let error = result.err().map_or(0, |error| error.raw_os_error().unwrap());
        said.push(format!("{what} {error} {:?}", seen(at)));
    };
    let path = |name: &str| at.join(name);
    say("write", fs::write(path("a"), "one"));
    say("append", fs::OpenOptions::new().append(true).open(path("a")).and_then(|mut file| file.write_all(b" two")));
    let over = fs::OpenOptions::new().write(true).open(path("a"));
    say("in the middle", over.and_then(|mut file| file.seek(SeekFrom::Start(1)).and_then(|_| file.write_all(b"NE"))));
    say("shorter", fs::OpenOptions::new().write(true).open(path("a")).and_then(|file| file.set_len(5)));
    say("new", fs::File::create_new(path("a")).map(drop));
    say("folder", fs::create_dir(path("d")));
    say("folder again", fs::create_dir(path("d")));
    say("inside", fs::write(path("d/b"), "three"));
    say("remove a full folder", fs::remove_dir(path("d")));
    say("remove a folder as a file", fs::remove_file(path("d")));
    say("link", fs::hard_link(path("a"), path("c")));
    say("link again", fs::hard_link(path("a"), path("c")));
    say("rename onto itself", fs::rename(path("a"), path("c")));
    say("symbolic", std::os::unix::fs::symlink("d/b", path("s")));
    let renamed = |from, to, flags| renameat_with(CWD, path(from), CWD, path(to), flags).map_err(Into::into);
    say("no replace", renamed("a", "d/b", RenameFlags::NOREPLACE));
    say("exchange", renamed("a", "d/b", RenameFlags::EXCHANGE));
    say("exchange with nothing", renamed("a", "nothing", RenameFlags::EXCHANGE));
    say("rename", fs::rename(path("a"), path("d/b")));
    say("a file over a folder", fs::rename(path("c"), path("d")));
    say("a folder over a file", fs::rename(path("d"), path("c")));
    say("a folder", fs::rename(path("d"), path("e")));
    say("read nothing", fs::read(path("d")).map(drop));
    say("remove", fs::remove_file(path("e/b")));
    say("remove a folder", fs::remove_dir(path("e")));
    said
}

#[test]
fn the_disk_answers_as_a_real_one() {
    if power::is_possible() {
        let (disk, real) = (Disk::empty(), tempfile::tempdir().unwrap());
        assert_eq!(tried(disk.path()), tried(real.path()));
    }
}

#[test]
fn the_disk_forgets_what_was_not_synced() {
    if !power::is_possible() {
        return;
    }
    let mut disk = Disk::empty();
    let folder = |disk: &Disk| fs::File::open(disk.path()).unwrap();
    fs::write(disk.path().join("old"), "old").unwrap();
    disk.fill(tempfile::tempdir().unwrap().path());

    // Bytes without a name, a name without bytes, a rename before its bytes, a name taken away: all of it undone.
    fs::File::create(disk.path().join("nameless")).unwrap().sync_all().unwrap();
    fs::write(disk.path().join("draft"), "new").unwrap();
    fs::rename(disk.path().join("draft"), disk.path().join("old")).unwrap();
    disk.power_on(&mut || false);
    assert_eq!(seen(disk.path()), ["old old"]);
    fs::write(disk.path().join("draft"), "new").unwrap();
    fs::rename(disk.path().join("draft"), disk.path().join("old")).unwrap();
    folder(&disk).sync_all().unwrap();
    disk.power_on(&mut || false);
    assert_eq!(seen(disk.path()), ["old "], "the rename was kept, the bytes were not");

    let file = fs::File::create(disk.path().join("draft")).unwrap();
    (&file).write_all(b"new").unwrap();
    file.sync_all().unwrap();
    fs::rename(disk.path().join("draft"), disk.path().join("old")).unwrap();
    folder(&disk).sync_all().unwrap();
    disk.power_on(&mut || false);
    assert_eq!(seen(disk.path()), ["old new"], "all of it was synced, in the right order");
}
