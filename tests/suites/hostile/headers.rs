//! Headers of the archive that say what no member of a bundle can be: the one canonical header is made anew and compared.

use consign_format::archive::header;
use consign_tests::forge::Forge;
use consign_tests::forge::tape::{Entry, Tape};

use super::ground::NEXT;
use super::trial::{Refusal, Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[
    Row { number: 17, lie: "links, devices, a FIFO, a directory as entries", exits: &[11], show: kinds },
    Row { number: 18, lie: "pax, GNU long name and sparse headers", exits: &[11], show: extensions },
    Row { number: 19, lie: "setuid mode, owner or time set in a header", exits: &[11], show: attributes },
    Row { number: 20, lie: "size: octal overflow, base-256, negative; a wrong checksum", exits: &[11], show: sizes },
    Row { number: 21, lie: "declared size differs from the signed length", exits: &[11], show: other_size },
];

const MALFORMED: &str = "archive-malformed";
const NOT_CANONICAL: Refusal<'_> = refusal(11, MALFORMED, "canonical");

fn good() -> Tape {
    Forge::new(NEXT).tape()
}

fn kinds(trial: &mut Trial) {
    for (kind, what) in [
        (b'1', "hard link"),
        (b'2', "link"),
        (b'3', "device"),
        (b'4', "disk"),
        (b'5', "folder"),
        (b'6', "FIFO"),
        (b'7', "contiguous"),
        (0, "old"),
    ] {
        let tape = good();
        let at = tape.find_like("blobs/");
        let linked = tape.replace(at, |entry| entry.write(157, b"/dev/zero").write(156, &[kind]));
        trial.refuses(&format!("a {what} as blob"), &linked.bytes(), NOT_CANONICAL);
        let head = good();
        let at = head.find("metadata/snapshot.json");
        trial.refuses(
            &format!("a {what} as snapshot"),
            &head.replace(at, |entry| entry.write(156, &[kind])).bytes(),
            NOT_CANONICAL,
        );
    }
}

fn extensions(trial: &mut Trial) {
    for (kind, content) in [
        (b'x', b"20 size=9999999999\n".as_slice()),
        (b'g', b"11 path=x\n"),
        (b'L', b"other\0"),
        (b'K', b"other\0"),
        (b'S', b""),
    ] {
        let entry = || Entry::new("packed", content).write(156, &[kind]);
        let tape = good();
        let blob = tape.entries[tape.find_like("blobs/")].name();
        for next in ["metadata/timestamp.json", "oci-layout", &blob] {
            let bytes = good().insert(next, entry()).bytes();
            trial.refuses(&format!("kind {} before {next}", kind as char), &bytes, NOT_CANONICAL);
        }
    }
}

fn attributes(trial: &mut Trial) {
    for (what, at, field) in [
        ("setuid", 100, b"0004755\0".as_slice()),
        ("owner", 108, b"0001750\0"),
        ("group", 116, b"0001750\0"),
        ("time", 136, b"14000000000\0"),
        ("a user's name", 265, b"root"),
        ("a prefix", 345, b"etc"),
        ("an old version", 263, b"  "),
    ] {
        for name in ["metadata/timestamp.json", "release.json", "index.json"] {
            let tape = good();
            let at_entry = tape.find(name);
            let bytes = tape.replace(at_entry, |entry| entry.write(at, field)).bytes();
            trial.refuses(&format!("{what} on {name}"), &bytes, NOT_CANONICAL);
        }
    }
}

fn sizes(trial: &mut Trial) {
    let negative = [[0xff_u8; 11].as_slice(), &[0x80]].concat();
    let base256 = |size: usize| [&[0x80, 0, 0, 0][..], &(size as u64).to_be_bytes()].concat();
    for name in ["metadata/targets.json", "release.json", "index.json"] {
        let tape = good();
        let (at, size) = (tape.find(name), tape.content(name).len());
        for (what, field) in [
            ("octal overflow", b"777777777777".to_vec()),
            ("octal 9", b"00000000009\0".to_vec()),
            ("base-256 of the same size", base256(size)),
            ("negative", negative.clone()),
            ("spaces", format!("{size:>11o} ").into_bytes()),
            ("no digits", b"\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        ] {
            let bytes = tape.clone().replace(at, |entry| entry.write(124, &field)).bytes();
            trial.refuses(&format!("{what} in {name}"), &bytes, refusal(11, MALFORMED, ""));
        }
        let wrong = tape.clone().replace(at, |mut entry| {
            entry.header[150] ^= 1;
            entry
        });
        trial.refuses(&format!("a wrong checksum in {name}"), &wrong.bytes(), NOT_CANONICAL);
    }
}

fn other_size(trial: &mut Trial) {
    let tape = good();
    for name in ["index.json", tape.entries[tape.find_like("blobs/")].name().as_str()] {
        for more in [-1_i64, 1, 512, 1 << 33] {
            let entry = &tape.entries[tape.find(name)];
            let size = entry.content.len() as i64 + more;
            let lying = Entry { header: header::canonical(name, size as u64).unwrap(), ..entry.clone() };
            let bytes = tape.clone().replace(tape.find(name), |_| lying).bytes();
            trial.refuses(&format!("{name} of {size} bytes"), &bytes, refusal(11, MALFORMED, "the header of"));
        }
    }
    trial.notes("refused before a byte is copied");
}
