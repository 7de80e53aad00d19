//! A code is heard rightly or not at all, and says only what its MAC covers.

use super::*;
use crate::receipt::{ByteCounts, Clock, ClockQuality, HealthCounts, ObjectCounts, ReceiptRelease, TYPE};

fn receipt() -> Receipt {
    let digest = Digest::of(b"release");
    let product = "viewer".parse().unwrap();
    let release = ReceiptRelease { product, version: "1".to_owned(), sequence: 1, digest, bundle: digest };
    Receipt {
        kind: TYPE.to_owned(),
        domain: "lumen".parse().unwrap(),
        site: "ward-7".parse().unwrap(),
        enrolment: "0".repeat(32),
        n: 70_000,
        previous: None,
        action: Action::Activate,
        outcome: Outcome::Halted,
        release: Some(release),
        now_current: None,
        root: None,
        handoff: "direct".to_owned(),
        phases: Vec::new(),
        clock: Clock { now: 1, quality: ClockQuality::Plausible },
        objects: ObjectCounts::default(),
        health: HealthCounts::default(),
        bytes: ByteCounts::default(),
        reasons: Vec::new(),
        warnings: Vec::new(),
        kept: Vec::new(),
        refused: 0,
        installer: "1".to_owned(),
    }
}

/// No MAC, but as good as one for the form.
fn mac(bytes: &[u8]) -> [u8; 32] {
    *Digest::of(bytes).as_bytes()
}

fn write(receipt: &Receipt) -> String {
    let draft = Draft::of(receipt).unwrap();
    draft.text(&mac(draft.covered()))
}

fn verify(heard: &Heard, domain: &str, site: &str) -> Option<Said> {
    heard.verify(&mac(&heard.covered(&domain.parse().unwrap(), &site.parse().unwrap())))
}

#[test]
fn what_is_read_out_is_what_was_said() {
    let receipt = receipt();
    let code = write(&receipt);
    assert_eq!((code.len(), code.replace('-', "").len()), (32, 26));
    for typed in [code.clone(), code.to_lowercase(), code.replace('-', " "), code.replace('0', "o").replace('1', "l")] {
        let said = verify(&Heard::read(&typed).unwrap(), "lumen", "ward-7").unwrap();
        assert_eq!((said.n, said.action, said.outcome), (70_000, Action::Activate, Outcome::Halted));
        assert!(Digest::of(b"release").hex().starts_with(&said.release));
    }
    let heard = Heard::read(&code).unwrap();
    assert_eq!(verify(&heard, "lumen", "ward-8"), None, "it is of one site");
    assert_eq!(verify(&heard, "other", "ward-7"), None, "it is of one domain");
    assert_eq!(Draft::of(&Receipt { n: 1 << 24, ..receipt }), Err(TooHigh(1 << 24)));
}

#[test]
fn one_wrong_character_and_two_exchanged_ones_are_always_noticed() {
    let code = write(&receipt()).replace('-', "");
    let characters: Vec<char> = code.chars().collect();
    for at in 0..characters.len() {
        for value in 0..32 {
            let mut wrong = characters.clone();
            wrong[at] = base32::digit(value);
            assert_eq!(wrong == characters, Heard::read(&wrong.iter().collect::<String>()).is_ok(), "{at} {value}");
        }
        for other in at + 1..characters.len() {
            let mut wrong = characters.clone();
            wrong.swap(at, other);
            let misheard = Heard::read(&wrong.iter().collect::<String>()) == Err(CodeError::Misheard);
            assert_eq!(misheard, wrong != characters, "{at} {other}");
        }
    }
    assert_eq!(Heard::read(&code[1..]), Err(CodeError::Length(25)));
    assert_eq!(Heard::read(&format!("U{}", &code[1..])), Err(CodeError::Character('U')));
}

#[test]
fn what_it_says_is_covered() {
    let receipt = receipt();
    let code = write(&receipt);
    let other = write(&Receipt { outcome: Outcome::Applied, ..receipt });
    let (heard, other) = (Heard::read(&code).unwrap(), Heard::read(&other).unwrap());
    // Another outcome with the MAC of the first.
    let forged = Heard { body: other.body, mac: heard.mac };
    assert_eq!(verify(&forged, "lumen", "ward-7"), None);
}
