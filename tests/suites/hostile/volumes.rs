//! Volumes of several bundles mixed, left out, damaged, or with hints that lie.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_format::archive::volumes::Hint;
use consign_tests::forge::Forge;
use consign_tests::volumes::{cut, noise, release};
use tempfile::TempDir;

use super::ground::{Ground, NEXT};
use super::trial::{Refusal, Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[Row {
    number: 45,
    lie: "volumes of two bundles mixed, one repeated, any order",
    exits: &[0, 10, 11, 14],
    show: volumes,
}];

/// Room in each volume; no member is larger.
const ROOM: u64 = 40_000;

/// The next release, in a few volumes.
fn next() -> Forge {
    release(NEXT, &[30_000, 20_000, 25_000])
}

/// Volumes in a folder, and what they were.
struct Stick {
    folder: TempDir,
    volumes: Vec<PathBuf>,
}

impl Stick {
    fn of(forge: &Forge) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let volumes = cut(forge, ROOM, folder.path());
        assert!(volumes.len() >= 3, "{volumes:?}");
        Stick { folder, volumes }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Changes the bytes of a volume.
    fn change(self, number: usize, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = fs::read(&self.volumes[number - 1]).unwrap();
        change(&mut bytes);
        fs::write(&self.volumes[number - 1], bytes).unwrap();
        self
    }

    /// Lets the hint of a volume say something else, in the form it must have.
    fn lie(self, number: usize, lie: impl FnOnce(&mut Hint)) -> Self {
        self.change(number, |bytes| {
            let mut hint = Hint::read(&mut Cursor::new(&*bytes)).unwrap();
            lie(&mut hint);
            bytes[..1024].copy_from_slice(&hint.front().unwrap());
        })
    }

    fn remove(self, number: usize) -> Self {
        fs::remove_file(&self.volumes[number - 1]).unwrap();
        self
    }

    fn shown(&self) -> Vec<(PathBuf, Digest)> {
        let mut shown: Vec<(PathBuf, Digest)> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), Digest::of(&fs::read(path).unwrap())))
            .collect();
        shown.sort();
        shown
    }
}

/// Both programs' verdict on a stick, which stays as it was.
fn refuses(trial: &mut Trial, what: &str, stick: &Stick, expected: Refusal<'_>) {
    let before = stick.shown();
    for outcome in
        [trial.ground().site.invoke(["verify"]).arg(stick.path()).run(), trial.ground().site.export(stick.path()).run()]
    {
        trial.refused(what, &outcome, expected);
    }
    assert_eq!(stick.shown(), before, "{what}: the medium has changed");
    trial.notes("registry, state, cluster, medium");
}

fn volumes(trial: &mut Trial) {
    mixed(trial);
    incomplete(trial);
    damaged(trial);
    lying(trial);
    fine(trial);
}

/// A volume of another bundle in the place of the second, and beside a whole set.
fn mixed(trial: &mut Trial) {
    let later = release(NEXT + 1, &[30_000, 20_000, 25_000]);
    let mut other = next();
    other.content.name_product("torch");
    for (foreign, what) in [(later, "lamp 1.9"), (other, "torch 1.8")] {
        let (stick, foreign) = (Stick::of(&next()), Stick::of(&foreign));
        let wanted = format!("volume 2 of {} of lamp 1.8", stick.volumes.len());
        fs::copy(&foreign.volumes[1], &stick.volumes[1]).unwrap();
        refuses(trial, "a foreign volume", &stick, refusal(14, "volume-foreign", &wanted));
        refuses(trial, "a foreign volume", &stick, refusal(14, "volume-foreign", what));
        let stick = Stick::of(&next());
        fs::copy(&foreign.volumes[1], stick.path().join("lamp.consign.8-of-9")).unwrap();
        refuses(trial, "a foreign volume beside all", &stick, refusal(14, "volume-foreign", what));
        // The signed rest of the one, the payload of the other: the head says what is signed.
        let head = fs::read(&stick.volumes[1]).unwrap();
        let stick = Stick::of(&next()).change(1, |bytes| bytes[1024..9216].copy_from_slice(&head[2048..10240]));
        refuses(trial, "a head of pieces", &stick, refusal(10, "digest-mismatch", "are not the head of its bundle"));
    }
}

fn incomplete(trial: &mut Trial) {
    let of = Stick::of(&next()).volumes.len();
    for number in 1..=of {
        let stick = Stick::of(&next()).remove(number);
        // What was loaded from another stick would be passed by.
        trial.at(Ground::new());
        refuses(trial, "missing", &stick, refusal(10, "volume-missing", &format!("volume {number} of {of}")));
    }
    let stick = Stick::of(&next()).change(2, |bytes| bytes.truncate(bytes.len() - 700));
    refuses(trial, "cut off", &stick, refusal(10, "truncated", &format!("volume 2 of {of}, bytes ")));
    let stick = Stick::of(&next()).change(2, |bytes| bytes.truncate(700));
    refuses(trial, "cut off in the hint", &stick, refusal(10, "truncated", "before it has said what it is"));
    let stick = Stick::of(&next()).change(2, Vec::clear);
    refuses(trial, "empty", &stick, refusal(10, "truncated", "lamp.consign.2-of-"));
}

fn damaged(trial: &mut Trial) {
    let layer = noise(NEXT * 100 + 1, 100);
    let of = Stick::of(&next()).volumes.len();
    let mut found = 0;
    for number in 1..=of {
        let mut at = None;
        let stick = Stick::of(&next()).change(number, |bytes| {
            at = bytes.windows(100).position(|window| window == layer);
            at.iter().for_each(|at| bytes[at + 7] ^= 4);
        });
        if at.is_some() {
            found += 1;
            trial.at(Ground::new());
            let place = format!("volume {number} of {of}, bytes ");
            refuses(trial, "a flipped bit in a layer", &stick, refusal(10, "digest-mismatch", &place));
        }
    }
    assert_eq!(found, 1, "the layer lies in one volume");
    let stick = Stick::of(&next()).change(2, |bytes| bytes[5000] ^= 1);
    let place = format!("volume 2 of {of}, bytes 1024 to ");
    refuses(trial, "a flipped bit in one head of many", &stick, refusal(10, "digest-mismatch", &place));
    let stick = Stick::of(&next()).change(2, |bytes| bytes.push(0));
    refuses(trial, "a byte behind the end", &stick, refusal(11, "volume-malformed", "bytes follow its end"));
    let stick = Stick::of(&next()).change(1, |bytes| {
        let end = bytes.len();
        bytes[end - 3] ^= 1;
    });
    refuses(trial, "a flipped bit in the end", &stick, refusal(11, "volume-malformed", "its end is not zero"));
}

fn lying(trial: &mut Trial) {
    let malformed = |subject| refusal(11, "volume-malformed", subject);
    for (what, lie) in [
        ("a number beyond the last", (|hint| hint.number = 99) as fn(&mut Hint)),
        ("more than are cut", |hint| hint.of = 5_000),
        ("an end before its beginning", |hint| hint.to = hint.from - 512),
        ("pieces longer than all", |hint| hint.leading = 1 << 52),
        ("an odd offset", |hint| hint.from += 1),
        ("a head without an end", |hint| hint.boundary = 1 << 40),
        ("another version", |hint| hint.format = 2),
    ] {
        refuses(trial, what, &Stick::of(&next()).lie(2, lie), malformed("the volume is malformed"));
    }
    let stick = Stick::of(&next()).change(2, |bytes| bytes[600] = b'"');
    refuses(trial, "a hint that is no JSON", &stick, malformed("lamp.consign.2-of-"));
    // Moved along: the one before ends elsewhere.
    let stick = Stick::of(&next()).lie(2, |hint| (hint.from, hint.to) = (hint.from + 512, hint.to + 512));
    refuses(trial, "a gap", &stick, malformed("overlaps another, or leaves a gap"));
    let stick = Stick::of(&next()).lie(2, |hint| hint.of += 1);
    refuses(trial, "cut another way", &stick, malformed("was cut another way"));
    // Alone, a hint contradicts no other; what is signed contradicts it.
    let mut stick = Stick::of(&next()).lie(1, |hint| hint.bundle += 512);
    for number in 2..=stick.volumes.len() {
        stick = stick.remove(number);
    }
    refuses(trial, "a longer bundle", &stick, malformed("they speak of a bundle of"));
}

/// Any order, whatever the names say, and one of them twice.
fn fine(trial: &mut Trial) {
    let stick = Stick::of(&next());
    fs::copy(&stick.volumes[1], stick.path().join("lamp.consign.0-of-0")).unwrap();
    let last = stick.volumes.len() - 1;
    let aside = stick.path().join("aside");
    fs::rename(&stick.volumes[0], &aside).unwrap();
    fs::rename(&stick.volumes[last], &stick.volumes[0]).unwrap();
    fs::rename(&aside, &stick.volumes[last]).unwrap();
    let verify = trial.ground().site.invoke(["verify"]).arg(stick.path());
    trial.succeeds("verify, any order", &verify);
    let install = trial.ground().site.export(stick.path());
    trial.succeeds("install, any order", &install);
    trial.at(Ground::new());
}
