//! The signed documents: their form, their signatures, and how they vouch for each other.

use consign_tests::forge::sheet::{Sheet, root};
use consign_tests::forge::tape::Tape;
use consign_tests::forge::{APPROVER, Forge, ROOT, STRANGER};
use serde_json::json;

use super::ground::{Ground, INSTALLED, NEXT};
use super::trial::{Refusal, Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[
    Row { number: 2, lie: "one byte flipped in a signed document", exits: &[10, 11, 12], show: documents },
    Row { number: 3, lie: "one byte flipped in a signature, even a surplus one", exits: &[12], show: signatures },
    Row { number: 22, lie: "metadata larger than its cap; 1100 roots", exits: &[16], show: caps },
    Row { number: 26, lie: "lengths that add up to more than a u64 holds", exits: &[11], show: overflow },
    Row { number: 43, lie: "metadata of bundle A with the payload of B", exits: &[10], show: other_payload },
    Row { number: 44, lie: "one signed document from another bundle", exits: &[10], show: other_document },
    Row { number: 51, lie: "a duplicated JSON key", exits: &[11], show: duplicate_keys },
    Row { number: 52, lie: "white space or escapes in signed JSON, a trailing `{}`", exits: &[11], show: variants },
    Row { number: 53, lie: "unknown fields: in the envelope; `x-` inside signed", exits: &[0, 11], show: unknown },
    Row { number: 54, lie: "nesting 10 000 deep, a float, 1e999, a lone surrogate", exits: &[11], show: numbers },
    Row { number: 75, lie: "a carriage wider than approved, or with a blob more", exits: &[11, 12], show: carriage },
];

const FORM: &str = "document-malformed";
const SIGNED: [&str; 3] = ["timestamp.json", "snapshot.json", "targets.json"];

fn member(document: &str) -> String {
    format!("metadata/{document}")
}

/// Flips the lowest bit of the byte `beyond` the first place where `mark` stands.
fn flip(tape: Tape, name: &str, mark: &str, beyond: usize) -> Vec<u8> {
    let edit = |bytes: &mut Vec<u8>| {
        let at = bytes.windows(mark.len()).position(|window| window == mark.as_bytes()).expect("the mark");
        bytes[at + beyond] ^= 1;
    };
    tape.edit(name, edit).bytes()
}

fn documents(trial: &mut Trial) {
    let good = || Forge::new(NEXT).tape();
    for document in SIGNED {
        let name = member(document);
        for (mark, beyond) in [("{\"signatures\"", 0), (",\"signed\"", 0), ("\"expires\"", 9)] {
            let bytes = flip(good(), &name, mark, beyond);
            trial.refuses(&format!("the form of {document}"), &bytes, refusal(11, FORM, document));
        }
        for (mark, beyond) in [("\"expires\":\"2", 11), ("\"spec_version\":\"", 16), ("\"version\":", 10)] {
            let bytes = flip(good(), &name, mark, beyond);
            trial.refuses(&format!("a value in {document}"), &bytes, refusal(12, "signature-invalid", document));
        }
    }
    for (mark, beyond) in [("{\"signatures\"", 0), ("\"boundary\":", 11), ("\"sha256\":\"", 12)] {
        let bytes = flip(good(), "metadata/carriage.json", mark, beyond);
        trial.refuses("the carriage", &bytes, refusal(10, "digest-mismatch", "carriage.json"));
    }
    let second = root(2).signed_by(&[ROOT]);
    let newer = || Forge::new(NEXT).with(|forge| forge.roots.push(second.clone())).tape();
    let bytes = flip(newer(), "metadata/2.root.json", "\"expires\":\"2", 11);
    trial.refuses("a value in a new root", &bytes, refusal(12, "signature-invalid", "2.root.json"));
    let bytes = flip(newer(), "metadata/2.root.json", "\"expires\"", 9);
    trial.refuses("the form of a new root", &bytes, refusal(11, FORM, "2.root.json"));
    trial.still_takes(&Forge::new(NEXT));
}

fn signatures(trial: &mut Trial) {
    // Two approvers may sign and one must: the second signature is a surplus one.
    let roots = vec![root(1).role("targets", &[APPROVER, 4], 1).signed_by(&[ROOT])];
    let forge = |sequence| {
        Forge::new(sequence).with(|forge| {
            forge.roots.clone_from(&roots);
            forge.approvers = vec![APPROVER, 4];
        })
    };
    trial.at(Ground::with(&forge(INSTALLED)));
    for document in SIGNED {
        for digit in [0, 1, 64, 126, 127] {
            let bytes = flip(forge(NEXT).tape(), &member(document), "\"sig\":\"", 7 + digit);
            let what = format!("digit {digit} of a signature of {document}");
            trial.refuses(&what, &bytes, refusal(12, "signature-invalid", document));
        }
    }
    let last = forge(NEXT).tape().edit("metadata/targets.json", |bytes| {
        let mut sheet = Sheet::parse(bytes);
        let (_, surplus) = sheet.signatures.last_mut().expect("two signatures");
        surplus.replace_range(0..2, "00");
        *bytes = sheet.bytes();
    });
    trial.refuses("a surplus signature", &last.bytes(), refusal(12, "signature-invalid", "targets.json"));
    let stranger = forge(NEXT).with(|forge| forge.approvers.push(STRANGER));
    trial.refuses("a stranger's beside", &stranger.bundle(), refusal(12, "signature-invalid", "has no say"));
    trial.still_takes(&forge(NEXT));
}

fn caps(trial: &mut Trial) {
    let long = "x".repeat(1 << 20);
    for document in SIGNED {
        let long = long.clone();
        let forge = Forge::new(NEXT).lie(document, move |value| value["x-long"] = long.as_str().into());
        trial.refuses(&format!("a megabyte of {document}"), &forge.bundle(), refusal(16, "over-limit", document));
    }
    let chain: Vec<Vec<u8>> = (1..=1100).map(|version| root(version).signed_by(&[ROOT])).collect();
    let forge = Forge::new(NEXT).with(|forge| forge.roots = chain);
    trial.refuses("1100 roots", &forge.bundle(), refusal(16, "over-limit", "number of roots"));
    // Headers alone: nothing of that size is ever read.
    for name in ["metadata/carriage.json", "release.json", "filler"] {
        let tape = Forge::new(NEXT).tape();
        let at = tape.find(name);
        let header = consign_format::archive::header::canonical(name, 1 << 40).unwrap();
        let huge = tape.replace(at, |mut entry| {
            entry.header = header;
            entry
        });
        trial.refuses(&format!("{name} of a terabyte"), &huge.bytes(), refusal(16, "over-limit", name));
    }
}

fn overflow(trial: &mut Trial) {
    let most = (1_u64 << 53) - 1;
    let blobs = Forge::new(NEXT).lie("release.json", move |release| {
        for blob in release["blobs"].as_array_mut().unwrap() {
            blob["size"] = most.into();
        }
    });
    trial.refuses("sizes of blobs", &blobs.bundle(), refusal(11, FORM, "add up to more than any medium holds"));
    let index = Forge::new(NEXT).lie("carriage.json", move |carriage| carriage["members"][1]["length"] = most.into());
    trial.refuses("lengths of members", &index.bundle(), refusal(11, FORM, "is too long"));
    let frames = Forge::new(NEXT).lie("carriage.json", move |carriage| {
        for member in carriage["members"].as_array_mut().unwrap() {
            if let Some(packed) = member.get_mut("packed") {
                packed["frames"][0]["length"] = most.into();
                member["length"] = most.into();
            }
        }
    });
    trial.refuses("lengths of frames", &frames.bundle(), refusal(11, FORM, "frames that do not add up"));
    let payload = Forge::new(NEXT).lie("carriage.json", move |carriage| carriage["payload"] = most.into());
    trial.refuses("the payload", &payload.bundle(), refusal(11, FORM, "do not add up to its payload"));
}

fn other_payload(trial: &mut Trial) {
    let (head, payload) = (Forge::new(NEXT).tape(), Forge::new(NEXT + 1).tape());
    let mut glued = head.clone();
    glued.entries.truncate(head.find("filler") + 1);
    glued.entries.extend_from_slice(&payload.entries[payload.find("oci-layout")..]);
    trial.refuses("the next release's payload", &glued.bytes(), refusal(10, "digest-mismatch", "index.json"));
}

fn other_document(trial: &mut Trial) {
    let other = Forge::new(NEXT + 1).tape();
    for document in ["timestamp.json", "snapshot.json", "targets.json", "carriage.json"] {
        let name = member(document);
        let mixed = Forge::new(NEXT).tape().set(&name, other.content(&name));
        trial.refuses(&format!("another {document}"), &mixed.bytes(), refusal(10, "digest-mismatch", "is not the one"));
    }
    let mixed = Forge::new(NEXT).tape().set("release.json", other.content("release.json"));
    trial.refuses(
        "another release.json",
        &mixed.bytes(),
        refusal(10, "digest-mismatch", "release.json is not the one"),
    );
}

/// Puts text before the last brace of a document's signed part, which its keys then sign.
fn appended(document: &'static str, text: &str) -> Forge {
    let text = text.as_bytes().to_vec();
    Forge::new(NEXT).reword(document, move |bytes| [&bytes[..bytes.len() - 1], text.as_slice(), b"}"].concat())
}

fn duplicate_keys(trial: &mut Trial) {
    for document in ["timestamp.json", "snapshot.json", "targets.json", "carriage.json"] {
        let twice = Forge::new(NEXT).reword(document, |bytes| {
            let (first, rest) = bytes.split_at(bytes.iter().position(|byte| *byte == b',').unwrap());
            [first, b",", &first[1..], rest].concat()
        });
        trial.refuses(&format!("in {document}"), &twice.bundle(), refusal(11, FORM, document));
    }
    for document in SIGNED {
        let envelope = Forge::new(NEXT).tape().edit(&member(document), |bytes| {
            bytes.pop();
            bytes.extend(b",\"signed\":{}}");
        });
        trial.refuses(&format!("in the envelope of {document}"), &envelope.bytes(), refusal(11, FORM, document));
    }
    let release = Forge::new(NEXT).reword("release.json", |bytes| [b"{\"blobs\":[],", &bytes[1..]].concat());
    trial.refuses("in release.json", &release.bundle(), refusal(11, FORM, "release manifest"));
}

fn variants(trial: &mut Trial) {
    let replaced = |document, from: &'static str, to: &'static str| {
        Forge::new(NEXT).reword(document, move |bytes| {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "no {from} in {text}");
            text.replacen(from, to, 1).into_bytes()
        })
    };
    for document in ["timestamp.json", "snapshot.json", "targets.json", "carriage.json"] {
        for (from, to) in [
            ("\":", "\": "),
            (",", ",\n"),
            ("{", "{ "),
            ("\"_type\"", "\"\\u005ftype\""),
            ("\"_type\":\"", "\"_type\":\"\\/"),
        ] {
            let what = format!("`{}` for `{from}` in {document}", to.escape_debug());
            trial.refuses(&what, &replaced(document, from, to).bundle(), refusal(11, FORM, document));
        }
    }
    let release = replaced("release.json", "\":", "\" :");
    trial.refuses("white space in release.json", &release.bundle(), refusal(11, FORM, "release manifest"));
    for document in SIGNED {
        for (what, before, after) in [("{}", "", "{}"), ("a line feed", "", "\n"), ("a mark of order", "\u{feff}", "")]
        {
            let tape = Forge::new(NEXT).tape().edit(&member(document), |bytes| {
                *bytes = [before.as_bytes(), bytes, after.as_bytes()].concat();
            });
            trial.refuses(&format!("{what} around {document}"), &tape.bytes(), refusal(11, FORM, document));
        }
    }
}

fn unknown(trial: &mut Trial) {
    for document in SIGNED {
        let tape = || Forge::new(NEXT).tape();
        let beside = tape().edit(&member(document), |bytes| {
            bytes.pop();
            bytes.extend(b",\"x-note\":1}");
        });
        trial.refuses(&format!("beside signed in {document}"), &beside.bytes(), refusal(11, FORM, document));
        let inside = tape().edit(&member(document), |bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            *bytes = text.replacen("{\"keyid\"", "{\"hint\":1,\"keyid\"", 1).into_bytes();
        });
        trial.refuses(&format!("in a signature of {document}"), &inside.bytes(), refusal(11, FORM, document));
    }
    let mut forge = Forge::new(NEXT);
    for document in ["timestamp.json", "snapshot.json", "targets.json", "carriage.json"] {
        forge = forge.lie(document, |value| value["x-note"] = json!({"of": ["a later version"]}));
    }
    trial.takes("unknown x- inside signed", &forge.bundle());
    trial.notes("x- fields: accepted and ignored");
}

fn numbers(trial: &mut Trial) {
    let deep = format!(",\"y\":{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for document in ["timestamp.json", "snapshot.json", "targets.json", "carriage.json", "release.json"] {
        let subject = if document == "release.json" { "release manifest" } else { document };
        let expected = Refusal { subject, ..refusal(11, FORM, "") };
        for (what, text) in [
            ("10 000 deep", deep.as_str()),
            ("a float", ",\"y\":1.5"),
            ("1e999", ",\"y\":1e999"),
            ("1.0", ",\"y\":1.0"),
            ("2^53", ",\"y\":9007199254740992"),
            ("-0", ",\"y\":-0"),
            ("a leading zero", ",\"y\":01"),
            ("a lone surrogate", ",\"y\":\"\\ud800\""),
            ("a control character", ",\"y\":\"\u{1}\""),
            ("not a number", ",\"y\":NaN"),
        ] {
            trial.refuses(&format!("{what} in {document}"), &appended(document, text).bundle(), expected);
        }
        let latin =
            Forge::new(NEXT).reword(document, |bytes| [&bytes[..bytes.len() - 1], b",\"y\":\"\xe9\"}"].concat());
        trial.refuses(&format!("no UTF-8 in {document}"), &latin.bundle(), expected);
    }
}

fn carriage(trial: &mut Trial) {
    for wider in [json!({"sites": ["ward-7", "ward-8"]}), json!({"sites": ["any"]}), json!({"labels": ["floor=3"]})] {
        let forge = Forge::new(NEXT)
            .with(|forge| forge.audience = json!({"sites": ["ward-7"]}))
            .lie("carriage.json", move |carriage| carriage["audience"] = wider.clone());
        trial.refuses("a wider audience", &forge.bundle(), refusal(12, "signature-invalid", "did not address"));
    }
    let more = Forge::new(NEXT).with(|forge| {
        let unlisted = forge.content.blob("layer", "application/octet-stream", b"not of the release");
        forge.content.blobs.remove(&unlisted.digest);
    });
    trial.refuses("a blob more", &more.bundle(), refusal(11, FORM, "which the release does not list"));
    let longer = Forge::new(NEXT).lie("release.json", |release| release["blobs"][0]["size"] = 1.into());
    trial.refuses("another size", &longer.bundle(), refusal(11, FORM, "which the release does not list"));
    trial.still_takes(&Forge::new(NEXT));
}
