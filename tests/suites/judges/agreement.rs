//! The table: a bundle in each row, a judge in each column.

use std::fmt::Write as _;
use std::fs;

use consign_format::release::ReleaseManifest;
use consign_format::trust::document::Floor;
use consign_tests::desk::Desk;
use consign_tests::judges::{Judge, Seat};
use consign_tests::skip;

use crate::bundle::{Keys, Pair, Parts, members, pair};

use Judge::{PythonTuf, TufJs};

/// The judges that look at metadata and the release manifest alone.
const CLIENTS: &[Judge] = &[PythonTuf, TufJs];

/// A bundle, what `consign verify` ends with, and who cannot see what is wrong with it.
struct Case {
    name: &'static str,
    bundle: Vec<u8>,
    exit: i32,
    blind: &'static [Judge],
}

/// Makes one digit another in the first text behind `after`: the form stays, the meaning does not.
fn change(document: &mut [u8], after: &str) {
    let at = document.windows(after.len()).position(|window| window == after.as_bytes()).expect(after);
    let digit = &mut document[at + after.len() + 8];
    *digit = if *digit == b'0' { b'1' } else { b'0' };
}

/// The documents with one digit changed, in what was signed and in the signature.
fn changed(good: &Parts) -> Vec<Case> {
    let case = |name, exit, blind, spoil: &dyn Fn(&mut Parts)| {
        let mut parts = good.clone();
        spoil(&mut parts);
        Case { name, bundle: parts.pack(), exit, blind }
    };
    vec![
        case("a digit changed in root 1", 12, &[], &|p| change(&mut p.roots[0], "\"public\":\"")),
        case("a digit changed in root 2", 12, &[], &|p| change(&mut p.roots[1], "\"expires\":\"")),
        case("a digit changed in a signature of root 2", 12, &[], &|p| change(&mut p.roots[1], "\"sig\":\"")),
        case("a digit changed in timestamp.json", 12, &[], &|p| change(&mut p.timestamp, "\"expires\":\"")),
        case("a digit changed in the signature of timestamp.json", 12, &[], &|p| {
            change(&mut p.timestamp, "\"sig\":\"")
        }),
        case("a digit changed in snapshot.json", 12, &[], &|p| change(&mut p.snapshot, "\"x-signed-sha256\":\"")),
        case("a digit changed in the signature of snapshot.json", 12, &[], &|p| change(&mut p.snapshot, "\"sig\":\"")),
        case("a digit changed in targets.json", 12, &[], &|p| change(&mut p.targets, "\"sha256\":\"")),
        case("a digit changed in a signature of targets.json", 12, &[], &|p| change(&mut p.targets, "\"sig\":\"")),
        case("a digit changed in carriage.json", 10, CLIENTS, &|p| change(&mut p.carriage, "\"sha256\":\"")),
        case("a digit changed in release.json", 10, &[], &|p| change(&mut p.release, "\"digest\":\"")),
    ]
}

/// Too few signatures, too many, by the wrong keys.
fn thresholds(keys: &Keys, good: &Parts) -> Vec<Case> {
    let root = |by: &[_]| {
        let mut parts = good.clone();
        parts.roots[1] = keys.second_root(&good.roots[0], by);
        parts.pack()
    };
    let targets = |approvers: &[_]| {
        let mut parts = good.clone();
        parts.sign(approvers, &keys.publisher);
        parts
    };
    let [one, two] = &keys.roots;
    let [ada, ben, _] = &keys.approvers;
    let mut surplus = targets(&[ada, ben, &keys.approvers[2]]);
    let last = surplus.targets.windows(7).rposition(|window| window == b"\"sig\":\"").unwrap();
    surplus.targets[last + 20] ^= 1;
    let published = {
        let mut parts = good.clone();
        parts.sign(&[ada, ben], ada);
        parts.pack()
    };
    vec![
        Case {
            name: "three of three approvers",
            bundle: targets(&keys.approvers.each_ref()).pack(),
            exit: 0,
            blind: &[],
        },
        Case { name: "one of the two approvers needed", bundle: targets(&[ada]).pack(), exit: 12, blind: &[] },
        Case { name: "approved by the publisher", bundle: targets(&[&keys.publisher]).pack(), exit: 12, blind: &[] },
        Case { name: "published by an approver", bundle: published, exit: 12, blind: &[] },
        Case { name: "signed by the retired key", bundle: targets(&[keys.first]).pack(), exit: 12, blind: &[] },
        // TUF counts what holds and passes over the rest; nothing idle travels in a bundle.
        Case { name: "a third signature that does not hold", bundle: surplus.pack(), exit: 12, blind: CLIENTS },
        Case { name: "root 2 without the threshold of root 1", bundle: root(&[one, two]), exit: 12, blind: &[] },
        Case { name: "root 2 without its own threshold", bundle: root(&[keys.first, one]), exit: 12, blind: &[] },
    ]
}

/// Parts of two bundles of the same domain, each part well signed.
fn mixed(pair: &Pair) -> Vec<Case> {
    let (older, newer) = (Parts::of(&pair.older), Parts::of(&pair.newer));
    let case = |name, exit, blind, spoil: &dyn Fn(&mut Parts)| {
        let mut parts = newer.clone();
        spoil(&mut parts);
        Case { name, bundle: parts.pack(), exit, blind }
    };
    vec![
        case("timestamp.json of another bundle", 10, &[], &|p| p.timestamp.clone_from(&older.timestamp)),
        case("snapshot.json of another bundle", 10, &[], &|p| p.snapshot.clone_from(&older.snapshot)),
        case("targets.json of another bundle", 10, &[], &|p| p.targets.clone_from(&older.targets)),
        case("release.json of another bundle", 10, &[], &|p| p.release.clone_from(&older.release)),
        case("payload of another bundle", 11, CLIENTS, &|p| p.payload.clone_from(&older.payload)),
    ]
}

/// A root that takes nothing below a sequence: that of the release, or the next.
fn floors(pair: &'static Pair, keys: &Keys) -> Vec<Case> {
    let case = |name, exit, above| {
        let release: ReleaseManifest = serde_json::from_slice(&Parts::of(&pair.newer).release).unwrap();
        let floor = Floor { sequence: release.sequence + above, reset: false };
        let parts = keys.rotated_to(&pair.newer, |root| root.floor.extend([(release.product, floor)]));
        Case { name, bundle: parts.pack(), exit, blind: if exit == 0 { &[] } else { CLIENTS } }
    };
    vec![case("at the floor of root 2", 0, 0), case("below the floor of root 2", 13, 1)]
}

/// What is wrong behind the head, and around it.
fn archive(good: &[u8]) -> Vec<Case> {
    let members = members(good);
    let place = |prefix: &str| {
        let (_, header, size) = members.iter().rfind(|(name, _, size)| name.starts_with(prefix) && *size > 2).unwrap();
        header + 512 + size / 2
    };
    let flipped = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let padded = members.iter().find(|(name, _, size)| name == "index.json" && size % 512 != 0).unwrap();
    vec![
        Case { name: "a bit flipped in a blob", bundle: flipped(place("blobs/")), exit: 10, blind: CLIENTS },
        Case { name: "a bit flipped in a packed member", bundle: flipped(place("packed/")), exit: 10, blind: CLIENTS },
        Case { name: "a bit flipped in index.json", bundle: flipped(place("index.json")), exit: 10, blind: CLIENTS },
        Case { name: "cut short", bundle: good[..good.len() - 512].to_vec(), exit: 10, blind: CLIENTS },
        Case { name: "one more block", bundle: [good, &[0; 512]].concat(), exit: 11, blind: CLIENTS },
        Case { name: "filler not zero", bundle: flipped(place("filler")), exit: 11, blind: CLIENTS },
        Case { name: "padding not zero", bundle: flipped(padded.1 + 512 + padded.2), exit: 11, blind: CLIENTS },
    ]
}

fn cases(pair: &'static Pair) -> Vec<Case> {
    let keys = Keys::of(pair);
    let rotated = keys.rotated(&pair.newer);
    let good = |name, bundle| Case { name, bundle, exit: 0, blind: &[] };
    let mut cases = vec![
        good("good, a development root", fs::read(&pair.newer).unwrap()),
        good("good, after a rotation to several keys", rotated.pack()),
    ];
    cases.extend(changed(&rotated));
    cases.extend(thresholds(&keys, &rotated));
    cases.extend(mixed(pair));
    cases.extend(floors(pair, &keys));
    cases.extend(archive(&rotated.pack()));
    cases
}

/// Lets `consign verify` and every judge speak, in a line of the table.
fn judged(case: &Case, pair: &Pair, seats: &[Seat], disagreements: &mut String) -> String {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("lumen.consign");
    fs::write(&bundle, &case.bundle).unwrap();
    let said = pair.desk.consign(["verify", "--root-sha256", &pair.fingerprint]).arg(&bundle).run();
    let mut line = match said.exit {
        Some(0) => format!("| {} | accepts |", case.name),
        exit => {
            let code = said.stderr.split_once("error[").and_then(|(_, rest)| rest.split_once(']'));
            let (code, _) = code.unwrap_or_else(|| panic!("{}: {said}", case.name));
            format!("| {} | {} {code} |", case.name, exit.unwrap())
        }
    };
    if said.exit != Some(case.exit) {
        let _ = writeln!(disagreements, "{}: consign verify: {said}", case.name);
    }
    for seat in seats {
        let verdict = seat.ask(&bundle, &pair.fingerprint, &folder.path().join(seat.judge().name()));
        let blind = case.blind.contains(&seat.judge());
        if verdict.is_good() != (blind || case.exit == 0) {
            let _ = writeln!(disagreements, "{}: {} says {verdict:?}", case.name, seat.judge().name());
        }
        let _ = write!(
            line,
            " {} |",
            if blind {
                "cannot see it"
            } else if verdict.is_good() {
                "accepts"
            } else {
                "refuses"
            }
        );
    }
    line
}

#[test]
fn every_judge_says_what_consign_verify_says() {
    if !Desk::is_possible() {
        return;
    }
    let seats: Vec<Result<Seat, String>> = Judge::ALL.map(Judge::seat).into();
    let missing = seats.iter().find_map(|seat| seat.as_ref().err().cloned()).unwrap_or_default();
    if !skip::unless(missing.is_empty(), &missing, Judge::HOW) {
        return;
    }
    let seats: Vec<Seat> = seats.into_iter().map(Result::unwrap).collect();
    let pair = pair();
    let mut disagreements = String::new();
    let mut table = String::from("| bundle | consign verify |");
    seats.iter().for_each(|seat| table += &format!(" {} |", seat.judge().name()));
    table += "\n|---|---|---|---|---|\n";
    for case in cases(pair) {
        table += &judged(&case, pair, &seats, &mut disagreements);
        table.push('\n');
    }
    assert!(disagreements.is_empty(), "{disagreements}");
    insta::assert_snapshot!(table);
}
