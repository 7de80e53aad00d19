//! Encrypted bundles that were not meant for this site, or were tampered with.

use std::collections::BTreeSet;
use std::io::{Cursor, Write as _};

use consign_sealed::{Recipient, SiteKey, seal};
use consign_tests::forge::Forge;
use consign_tests::forge::tape::{Entry, Tape};
use consign_tests::site::Site;
use serde_json::json;

use super::ground::{Ground, INSTALLED, NEXT};
use super::trial::{Refusal, Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[
    Row { number: 68, lie: "encrypted to another site, truncated, a chunk flipped", exits: &[18], show: tampered },
    Row { number: 69, lie: "an age header with thousands of stanzas", exits: &[18], show: stanzas },
    Row { number: 70, lie: "re-encrypted to another site", exits: &[14], show: forwarded },
];

const CANNOT: Refusal<'_> = refusal(18, "cannot-decrypt", "cannot be decrypted here");

/// Whom a bundle for this site is encrypted to.
fn recipient(site: &Site) -> Recipient {
    let key = std::fs::read_to_string(site.kept().join("trust/site.age")).unwrap();
    SiteKey::from_text(&key).unwrap().recipient()
}

/// Encrypts a bundle as `consign encrypt` does.
fn encrypted(tape: &Tape, to: &Recipient) -> Vec<u8> {
    let (plain, boundary) = (tape.bytes(), tape.boundary() as usize);
    let mut sealing = seal(Cursor::new(Vec::new()), &BTreeSet::from([to.clone()]), &plain[..boundary]).unwrap();
    sealing.write_all(&plain[boundary..]).unwrap();
    sealing.finish().unwrap().into_inner()
}

/// Whether any file of the site holds these bytes.
fn holds(site: &Site, bytes: &[u8]) -> bool {
    let files = site.snapshot().into_keys().map(|path| site.root().join(path)).filter(|path| path.is_file());
    let found = |text: Vec<u8>| text.windows(bytes.len()).any(|window| window == bytes);
    files.into_iter().any(|file| std::fs::read(file).is_ok_and(found))
}

fn tampered(trial: &mut Trial) {
    let tape = Forge::new(NEXT).tape();
    let other = encrypted(&tape, &SiteKey::generate().recipient());
    trial.refuses("to another site", &other, CANNOT);
    let ours = encrypted(&tape, &recipient(&trial.ground().site));
    let outer = Tape::read(&ours);
    for name in ["keys", "head.age", "payload.age"] {
        let at = outer.find(name);
        let (start, length) = (outer.offset(at) + 512, outer.entries[at].content.len());
        for byte in [length / 2, length - 1] {
            let mut flipped = ours.clone();
            flipped[start + byte] ^= 1;
            trial.refuses(&format!("byte {byte} of {name}"), &flipped, refusal(18, "cannot-decrypt", ""));
        }
        let cut = &ours[..start + length / 2];
        trial.refuses(&format!("cut in {name}"), cut, refusal(18, "cannot-decrypt", ""));
    }
    trial.refuses("cut before its end", &ours[..ours.len() - 1], refusal(18, "cannot-decrypt", ""));
    assert!(!holds(&trial.ground().site, b"layer of 1.8"), "plaintext was left");
    trial.prepares(&ours);
    assert!(holds(&trial.ground().site, b"layer of 1.8"), "the search for plaintext finds none where there is some");
    trial.notes("no plaintext left");
}

fn stanzas(trial: &mut Trial) {
    let ours = encrypted(&Forge::new(NEXT).tape(), &recipient(&trial.ground().site));
    let outer = Tape::read(&ours);
    for count in [4000, 20_000] {
        for name in ["head.age", "payload.age"] {
            let at = outer.find(name);
            let content = &outer.entries[at].content;
            let line = content.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            let more = "-> grease x\n\n".repeat(count);
            let longer = [&content[..line], more.as_bytes(), &content[line..]].concat();
            let mut bomb = outer.clone();
            bomb.entries[at] = Entry::new(name, &longer);
            trial.refuses(
                &format!("{count} stanzas in {name}"),
                &bomb.bytes(),
                refusal(18, "cannot-decrypt", "header"),
            );
        }
    }
    trial.prepares(&ours);
}

fn forwarded(trial: &mut Trial) {
    // Whoever can read a bundle can encrypt it anew; whom it is for stands in the signed part.
    let theirs = Forge::new(NEXT).with(|forge| forge.audience = json!({"sites": ["ward-8"]})).tape();
    let to = recipient(&trial.at(Ground::with(&Forge::new(INSTALLED))).site);
    trial.refuses("for ward-8, to ward-7", &encrypted(&theirs, &to), refusal(14, "other-site", "ward-8"));
    trial.prepares(&encrypted(&Forge::new(NEXT).tape(), &to));
}
