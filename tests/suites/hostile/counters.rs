//! What is authentic and not for this site now: older, the same again, for others, expired, not yet.

use std::fs;

use consign_tests::forge::sheet::root;
use consign_tests::forge::{Forge, PUBLISHER, ROOT};
use serde_json::json;

use super::ground::{Ground, INSTALLED, Medium, NEXT};
use super::trial::{Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[
    Row { number: 39, lie: "an older bundle, after a reboot and after a rotation", exits: &[13], show: rollback },
    Row { number: 40, lie: "the same sequence with another release", exits: &[13], show: reused },
    Row { number: 41, lie: "fast-forward with the stolen publisher key", exits: &[0, 11, 12], show: fast_forward },
    Row { number: 42, lie: "freeze: the old stick is shown again", exits: &[0], show: freeze },
    Row { number: 47, lie: "a bundle for another site or label", exits: &[14], show: others },
    Row { number: 48, lie: "what a bundle builds on is not here", exits: &[23], show: base },
    Row { number: 49, lie: "expired: by default, and where it is enforced", exits: &[0, 15], show: expired },
    Row { number: 50, lie: "a clock at 1970 or at 2099", exits: &[0], show: clocks },
    Row { number: 76, lie: "outside `upgradeFrom`; another line with a lower version", exits: &[19], show: not_from },
    Row { number: 77, lie: "a required product absent or too old", exits: &[23], show: requirements },
];

fn next() -> Forge {
    Forge::new(NEXT)
}

fn rollback(trial: &mut Trial) {
    let expected = refusal(13, "older-release", "has sequence 6, and this site has accepted 7");
    trial.refuses("one before", &Forge::new(INSTALLED - 1).bundle(), expected);
    let second = root(2).role("snapshot", &[5], 1).role("timestamp", &[5], 1).signed_by(&[ROOT]);
    let rotated = |sequence| {
        let second = second.clone();
        Forge::new(sequence).with(|forge| {
            forge.roots.push(second);
            forge.publisher = 5;
        })
    };
    trial.refuses("after a rotation", &rotated(INSTALLED - 1).bundle(), expected);
    // The rotation is known now; versions of TUF's documents may have been reset, the sequence may not.
    trial.refuses("once more", &rotated(INSTALLED - 1).bundle(), expected);
    let lower = rotated(INSTALLED - 1).lie("timestamp.json", |value| value["version"] = 900.into());
    trial.refuses("with a higher version of timestamp", &lower.bundle(), expected);
    trial.still_takes(&rotated(NEXT));
}

fn reused(trial: &mut Trial) {
    let other = || Forge::new(INSTALLED).with(|forge| forge.content.file("/opt/other", b"something else"));
    let expected = refusal(13, "sequence-reused", "sequence 7 of lamp is known here");
    trial.refuses("another release", &other().bundle(), expected);
    let outcome = trial.ground().site.export(Medium::of(&Forge::new(INSTALLED).bundle()).path()).succeeds();
    outcome.says("lamp 1.7");
    trial.notes("the one seen first stays");
}

fn fast_forward(trial: &mut Trial) {
    let most = (1_u64 << 53) - 1;
    let forward = |sequence, version: u64| {
        Forge::new(sequence).lie("snapshot.json", move |value| value["version"] = version.into()).lie(
            "timestamp.json",
            move |value| {
                value["version"] = version.into();
                value["meta"]["snapshot.json"]["version"] = version.into();
            },
        )
    };
    let beyond = Forge::new(NEXT).reword("timestamp.json", move |bytes| {
        String::from_utf8(bytes).unwrap().replace("\"version\":8}", "\"version\":9007199254740992}").into_bytes()
    });
    trial.refuses("2^53", &beyond.bundle(), refusal(11, "document-malformed", "timestamp.json"));
    let sequence = forward(NEXT, most).with(|forge| forge.approvers = vec![PUBLISHER]);
    trial.refuses("approved by the publisher", &sequence.bundle(), refusal(12, "signature-invalid", "targets.json"));
    // What the thief can do: move the versions of his own documents, around an approved release.
    trial.takes("versions at their most", &forward(NEXT, most).bundle());
    // It locks nobody out: the next release comes with its own versions, by the thief's key or after its rotation.
    trial.takes("the next release", &Forge::new(NEXT + 1).bundle());
    let second = root(2).role("snapshot", &[5], 1).role("timestamp", &[5], 1).signed_by(&[ROOT]);
    let recovered = Forge::new(NEXT + 2).with(|forge| {
        forge.roots.push(second);
        forge.publisher = 5;
    });
    trial.takes("after the rotation", &recovered.bundle());
    trial.notes("no version locks the site out");
}

fn freeze(trial: &mut Trial) {
    let outcome = trial.takes("the installed one again", &Forge::new(INSTALLED).bundle());
    outcome.says("already at sequence 7");
    let newest = fs::read_dir(trial.ground().site.kept().join("receipts")).unwrap().count();
    assert!(newest > 0, "headquarters sees from the receipts what is missing");
    trial.notes("said; the receipt shows it");
}

fn others(trial: &mut Trial) {
    let expected = refusal(14, "other-site", "ward-7");
    for audience in
        [json!({"sites": ["ward-8"]}), json!({"labels": ["floor=3"]}), json!({"environments": ["staging"]}), json!({})]
    {
        let what = format!("addressed to {audience}");
        let forge = next().with(|forge| forge.audience = audience.clone());
        trial.refuses(&what, &forge.bundle(), expected);
        let narrowed = next().lie("carriage.json", move |carriage| carriage["audience"] = audience.clone());
        trial.refuses(&format!("narrowed: {what}"), &narrowed.bundle(), expected);
    }
    trial.still_takes(&next().with(|forge| forge.audience = json!({"sites": ["ward-7"]})));
}

fn base(trial: &mut Trial) {
    let forge = next().with(|forge| {
        let at = forge.content.members.len() - 1;
        forge.content.members.remove(at);
    });
    let medium = Medium::of(&forge.bundle());
    let expected = refusal(23, "base-missing", "neither in the bundle nor at this site");
    trial.refuses_to_install("a blob is nowhere", &medium, expected);
    trial.notes("the missing blob is named; the base's sequence will be, with deltas");
    trial.still_takes(&next());
}

fn expired(trial: &mut Trial) {
    let past = || next().with(|forge| forge.expires = "2020-01-01T00:00:00Z".to_owned()).bundle();
    let medium = Medium::of(&past());
    let site = &trial.ground().site;
    let strict = [site.invoke(["verify"]).arg(medium.path()), site.export(medium.path())]
        .map(|run| run.arg("--enforce-expiry").run());
    for outcome in strict {
        let expected = refusal(15, "expired", "expired on 2020-01-01T00:00:00Z");
        trial.refused("enforced", &outcome, expected);
    }
    let outcome = trial.takes("by default", &past());
    assert!(outcome.stderr.contains("expired on 2020-01-01"), "no warning\n{outcome}");
    let receipts = trial.ground().site.kept().join("receipts");
    let newest = fs::read_dir(receipts).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    assert!(fs::read_to_string(newest).unwrap().contains("expired on 2020-01-01"), "not in the receipt");
    trial.notes("by default: a warning, in the receipt too");
}

/// The time floor of the domain.
fn time_floor(ground: &Ground) -> u64 {
    let text = fs::read_to_string(ground.site.kept().join("trust/domains/ward")).unwrap();
    let state: serde_json::Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    state["timeFloor"].as_u64().unwrap()
}

fn clocks(trial: &mut Trial) {
    if !trial.needs_program("faketime") {
        return;
    }
    for (what, clock) in [("1970", "1970-01-02 00:00:00"), ("2099", "2099-01-01 00:00:00")] {
        trial.at(Ground::new());
        let before = time_floor(trial.ground());
        let site = &trial.ground().site;
        let older = Medium::of(&Forge::new(INSTALLED - 1).bundle());
        site.export(older.path()).under(["faketime", clock]).fails("older-release", 13);
        let good = Medium::of(&next().bundle());
        let verify = site.invoke(["verify"]).arg(good.path()).under(["faketime", clock]);
        let install = site.export(good.path()).under(["faketime", clock]);
        trial.succeeds(what, &verify);
        let outcome = trial.succeeds(what, &install);
        let warned = outcome.stderr.contains("expired on");
        assert_eq!(warned, what == "2099", "{what}: a warning where the clock says so\n{outcome}");
        let floor = time_floor(trial.ground());
        assert_eq!(floor, before + 60, "{what}: only the signed time of issue moves the floor");
    }
    trial.notes("the same decisions; the floor is moved by signed times alone");
}

fn not_from(trial: &mut Trial) {
    let expected = refusal(19, "not-upgradable", "must follow a version >=1.9");
    let forge = next().lie("release.json", |release| release["upgradeFrom"] = ">=1.9".into());
    trial.refuses("upgradeFrom", &forge.bundle(), expected);
    trial.still_takes(&next());
    let line = |sequence, version: &'static str, line: &'static str| {
        Forge::new(sequence).with(|forge| {
            forge.content.fields["version"] = version.into();
            forge.content.fields["line"] = line.into();
        })
    };
    trial.at(Ground::with(&line(INSTALLED, "2.0", "2.0")));
    let expected = refusal(19, "not-upgradable", "1.9 of line 1-lts is lower than 2.0 of line 2.0");
    trial.refuses("another line", &line(NEXT, "1.9", "1-lts").bundle(), expected);
    trial.still_takes(&line(NEXT + 1, "2.1", "1-lts"));
}

fn requirements(trial: &mut Trial) {
    let requires = |product: &'static str, versions: &'static str| {
        next().lie("release.json", move |release| {
            release["requires"] = json!([{"product": product, "versions": versions}]);
        })
    };
    let absent = refusal(23, "requirement-missing", "requires mains >=1");
    trial.refuses("absent", &requires("mains", ">=1").bundle(), absent);
    let mains = Forge::new(1).with(|forge| forge.content.name_product("mains"));
    let medium = Medium::of(&mains.bundle());
    let site = consign_tests::site::Site::bare();
    site.enrol(Medium::of(&mains.roots[0]).path()).succeeds();
    site.export(medium.path()).succeeds();
    site.export(Medium::of(&Forge::new(INSTALLED).bundle()).path()).succeeds();
    trial.at(Ground::of(site));
    let old = refusal(23, "requirement-missing", "1.1");
    trial.refuses("too old", &requires("mains", ">=2").bundle(), old);
    trial.still_takes(&requires("mains", ">=1"));
}
