//! The archive itself: anything but the one canonical form, and anything but the signed bytes.

use consign_tests::forge::Forge;
use consign_tests::forge::tape::{Entry, Tape};

use super::ground::NEXT;
use super::trial::{Refusal, Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[
    Row { number: 1, lie: "one byte flipped in a tar header", exits: &[11], show: headers },
    Row { number: 4, lie: "one byte flipped in a member", exits: &[10], show: members },
    Row { number: 5, lie: "one byte flipped in padding or end blocks", exits: &[11], show: paddings },
    Row { number: 7, lie: "truncated at any byte", exits: &[10], show: truncated },
    Row { number: 8, lie: "trailing data after the end of the archive", exits: &[11], show: trailing },
    Row { number: 9, lie: "empty file, all zeros, wrong magic, gzip or zip", exits: &[10, 11], show: other_files },
    Row { number: 10, lie: "an entry twice", exits: &[11], show: twice },
    Row { number: 11, lie: "an entry that is not in the signed list", exits: &[11], show: unlisted },
    Row { number: 12, lie: "a signed member is missing", exits: &[10], show: missing },
    Row { number: 13, lie: "payload before metadata, metadata after payload", exits: &[11], show: order },
    Row { number: 14, lie: "a metadata file that nothing uses", exits: &[11], show: extra },
    Row { number: 15, lie: "`../`, `/abs`, `a//b`, a trailing dot, a backslash", exits: &[11], show: paths },
];

const MALFORMED: &str = "archive-malformed";

fn good() -> Tape {
    Forge::new(NEXT).tape()
}

/// A header in the head, the first of the payload, a stored and a packed member.
fn some_entries(tape: &Tape) -> Vec<usize> {
    let mut all: Vec<usize> =
        ["consign-format", "metadata/snapshot.json", "filler", "oci-layout"].map(|name| tape.find(name)).into();
    all.extend(["blobs/", "packed/"].map(|prefix| tape.find_like(prefix)));
    all
}

fn flipped(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 1;
    bytes
}

fn headers(trial: &mut Trial) {
    let tape = good();
    for at in some_entries(&tape) {
        let name = tape.entries[at].name();
        // Mode, size, time, checksum, kind, magic, owner, and where nothing stands.
        for byte in [104, 130, 140, 150, 156, 260, 270, 505] {
            let bytes = flipped(tape.bytes(), tape.offset(at) + byte);
            trial.refuses(&format!("byte {byte} of the header of {name}"), &bytes, refusal(11, MALFORMED, ""));
        }
    }
    trial.still_takes(&Forge::new(NEXT));
}

fn members(trial: &mut Trial) {
    let tape = good();
    for prefix in ["release.json", "oci-layout", "index.json", "blobs/", "packed/"] {
        let at = tape.find_like(prefix);
        let entry = &tape.entries[at];
        for byte in [0, entry.content.len() / 2, entry.content.len() - 1] {
            let bytes = flipped(tape.bytes(), tape.offset(at) + 512 + byte);
            let name = entry.name();
            let expected = Refusal { subject: &name, ..refusal(10, "digest-mismatch", "") };
            trial.refuses(&format!("byte {byte} of {name}"), &bytes, expected);
        }
    }
}

fn paddings(trial: &mut Trial) {
    let tape = good();
    for name in
        ["consign-format", "metadata/1.root.json", "metadata/carriage.json", "release.json", "oci-layout", "index.json"]
    {
        let at = tape.find(name);
        let padding = tape.offset(at) + 512 + tape.entries[at].content.len();
        assert!(!tape.entries[at].padding.is_empty(), "{name} has no padding");
        trial.refuses(
            &format!("padding of {name}"),
            &flipped(tape.bytes(), padding),
            refusal(11, MALFORMED, "is not zero"),
        );
    }
    let filler = tape.offset(tape.find("filler")) + 512 + 70_000 % 512;
    trial.refuses("the filler", &flipped(tape.bytes(), filler), refusal(11, MALFORMED, "the padding of filler"));
    let length = tape.bytes().len();
    for (block, at) in [("first", length - 1024), ("last", length - 1)] {
        trial.refuses(&format!("{block} end block"), &flipped(tape.bytes(), at), refusal(11, MALFORMED, "the end"));
    }
}

fn truncated(trial: &mut Trial) {
    let tape = good();
    let bytes = tape.bytes();
    let mut ends = vec![1, 511, bytes.len() - 1, bytes.len() - 512, bytes.len() - 1024];
    for at in 0..tape.entries.len() {
        let (header, content) = (tape.offset(at), tape.entries[at].content.len());
        ends.extend([header, header + 100, header + 512, header + 512 + content / 2]);
    }
    ends.sort_unstable();
    ends.dedup();
    for end in ends.into_iter().filter(|end| *end > 0) {
        trial.refuses(&format!("the first {end} bytes"), &bytes[..end], refusal(10, "truncated", "ends at byte"));
    }
    trial.still_takes(&Forge::new(NEXT));
}

fn trailing(trial: &mut Trial) {
    for more in [&[0_u8][..], b"x", &[0; 512], &[0; 10240], b"{}"] {
        let bytes = [&good().bytes(), more].concat();
        trial.refuses(&format!("{} bytes more", more.len()), &bytes, refusal(11, MALFORMED, "bytes follow the end"));
    }
}

fn other_files(trial: &mut Trial) {
    trial.refuses("empty", b"", refusal(10, "truncated", "ends at byte 0"));
    let gzip = [b"\x1f\x8b\x08\x00".as_slice(), &good().bytes()].concat();
    let zip = [b"PK\x03\x04".as_slice(), &good().bytes()].concat();
    let magic = Forge::new(NEXT).tape().replace(0, |entry| entry.named(b"consign-farmat")).bytes();
    let version = good().edit("consign-format", |bytes| *bytes = b"2\n".to_vec()).bytes();
    for (what, bytes) in
        [("zeros", vec![0; 100_000]), ("gzip", gzip), ("zip", zip), ("wrong magic", magic), ("version 2", version)]
    {
        trial.refuses(what, &bytes, refusal(11, "not-a-bundle", "not a Consign bundle"));
    }
}

fn twice(trial: &mut Trial) {
    for name in ["metadata/1.root.json", "metadata/timestamp.json", "release.json", "index.json"] {
        let tape = good();
        let at = tape.find(name);
        let next = tape.entries[at + 1].name();
        let entry = tape.entries[at].clone();
        trial.refuses(&format!("{name} twice"), &tape.insert(&next, entry).bytes(), refusal(11, MALFORMED, "expected"));
    }
    let tape = good();
    let at = tape.find_like("blobs/");
    let (next, entry) = (tape.entries[at + 1].name(), tape.entries[at].clone());
    trial.refuses("a blob twice", &tape.insert(&next, entry).bytes(), refusal(11, MALFORMED, "expected"));
    // Signed, even: the carriage itself lists a member twice.
    let forge = Forge::new(NEXT).with(|forge| {
        let again = forge.content.members[3].clone();
        forge.content.members.push(again);
    });
    trial.refuses("listed twice", &forge.bundle(), refusal(11, "document-malformed", "stands twice"));
}

fn unlisted(trial: &mut Trial) {
    let strange = Entry::new(&format!("blobs/sha256/{}", "0".repeat(64)), b"strange");
    let tape = good();
    for next in [tape.find("oci-layout"), tape.find_like("blobs/"), tape.find_like("packed/")] {
        let next = tape.entries[next].name();
        let bytes = tape.clone().insert(&next, strange.clone()).bytes();
        trial.refuses(&format!("a blob before {next}"), &bytes, refusal(11, MALFORMED, "expected"));
    }
    let mut tape = good();
    tape.entries.push(strange);
    trial.refuses("a blob at the end", &tape.bytes(), refusal(11, MALFORMED, ""));
}

fn missing(trial: &mut Trial) {
    let names: Vec<String> = good().entries.iter().map(Entry::name).collect();
    let payload = names.iter().skip_while(|name| *name != "oci-layout");
    for name in payload {
        let expected = Refusal { subject: name, ..refusal(10, "member-missing", "") };
        trial.refuses(&format!("{name} is missing"), &good().remove(name).bytes(), expected);
    }
}

fn order(trial: &mut Trial) {
    let tape = good();
    let layout = tape.entries[tape.find("oci-layout")].clone();
    let before = tape.clone().insert("metadata/timestamp.json", layout);
    trial.refuses(
        "payload before metadata",
        &before.bytes(),
        refusal(11, MALFORMED, "expected metadata/timestamp.json"),
    );
    let mut after = tape.clone();
    let targets = after.entries[after.find("metadata/targets.json")].clone();
    after = after.remove("metadata/targets.json");
    after.entries.push(targets.clone());
    trial.refuses("metadata after payload", &after.bytes(), refusal(11, MALFORMED, "expected metadata/targets.json"));
    let mut copy = tape;
    copy.entries.push(targets);
    trial.refuses("metadata once more after payload", &copy.bytes(), refusal(11, MALFORMED, ""));
}

fn extra(trial: &mut Trial) {
    for name in ["metadata/delegated.json", "metadata/3.root.json", "metadata/root.json", "metadata/mirrors.json"] {
        for next in ["metadata/timestamp.json", "metadata/carriage.json", "release.json", "filler"] {
            let bytes = good().insert(next, Entry::new(name, b"{}")).bytes();
            trial.refuses(&format!("{name} before {next}"), &bytes, refusal(11, MALFORMED, "expected"));
        }
    }
}

fn paths(trial: &mut Trial) {
    let hex = "0".repeat(64);
    for name in ["../etc/passwd", "/etc/passwd", "blobs//sha256", "blobs/sha256/x.", "blobs\\sha256", "blobs/../../x"] {
        let tape = good();
        let at = tape.find_like("blobs/");
        let bytes = tape.replace(at, |entry| entry.named(name.as_bytes())).bytes();
        trial.refuses(&format!("a member called {name}"), &bytes, refusal(11, MALFORMED, "the header of blobs/"));
        let bytes = good().insert("metadata/timestamp.json", Entry::new("a", b"").named(name.as_bytes())).bytes();
        trial.refuses(&format!("{name} in the head"), &bytes, refusal(11, MALFORMED, "is not a member name"));
        let signed =
            Forge::new(NEXT).lie("carriage.json", move |carriage| carriage["members"][3]["name"] = name.into());
        trial.refuses(
            &format!("{name} signed"),
            &signed.bundle(),
            refusal(11, "document-malformed", "a name no member has"),
        );
    }
    for name in [format!("blobs/sha512/{hex}"), format!("blobs/sha256/{hex}/x"), format!("blobs/sha256/{}", &hex[1..])]
    {
        let signed = name.clone();
        let forge = Forge::new(NEXT)
            .lie("carriage.json", move |carriage| carriage["members"][3]["name"] = signed.as_str().into());
        trial.refuses(
            &format!("{name} signed"),
            &forge.bundle(),
            refusal(11, "document-malformed", "a name no member has"),
        );
    }
}
