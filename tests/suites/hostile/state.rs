//! What the site remembers: damaged, another's, or cut off in the middle of being written.

use std::fs;
use std::path::Path;

use consign_tests::forge::Forge;
use consign_tests::site::Site;

use super::ground::{Ground, INSTALLED, Medium, NEXT};
use super::trial::{Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[
    Row { number: 57, lie: "state torn, missing or copied from another site", exits: &[17], show: damaged },
    Row { number: 58, lie: "power cut during copy, state write, load and apply", exits: &[0], show: power_cut },
];

const STATE: [&str; 3] = ["trust/site", "trust/domains/ward", "products/ward/lamp"];

fn damaged(trial: &mut Trial) {
    let medium = Medium::of(&Forge::new(INSTALLED - 1).bundle());
    let damage = |trial: &mut Trial, file: &str, what: &str, how: &dyn Fn(&Path)| {
        let ground = Ground::new();
        how(&ground.site.kept().join(file));
        trial.at(Ground::damaged(ground.site));
        let expected = refusal(17, "state-damaged", "");
        trial.refuses_to_install(&format!("{file}: {what}"), &medium, expected);
        let verify = trial.ground().site.invoke(["verify"]).arg(medium.path()).run();
        trial.refused(&format!("verify, {file}: {what}"), &verify, expected);
    };
    let rewrite = |path: &Path, bytes: &[u8]| {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for file in STATE {
        damage(trial, file, "missing", &|path| fs::remove_file(path).unwrap());
        damage(trial, file, "empty", &|path| rewrite(path, b""));
        damage(trial, file, "torn", &|path| {
            let bytes = fs::read(path).unwrap();
            rewrite(path, &bytes[..bytes.len() / 2]);
        });
        damage(trial, file, "a bit flipped", &|path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            rewrite(path, &bytes);
        });
    }
    // Of another site that trusts the same root and has seen nothing yet: the way to an old release.
    let other = super::ground::enrolled(&Forge::new(INSTALLED).roots[0]);
    let theirs = fs::read(other.kept().join("trust/domains/ward")).unwrap();
    damage(trial, "trust/domains/ward", "another site's", &|path| rewrite(path, &theirs));
    trial.notes("never taken for fresh (a forged cluster copy: suite site, cluster_copy)");
}

/// Kills the program at its `nth` call that makes something last or gives it its name.
fn killed_at(nth: usize) -> Vec<String> {
    let calls = "fsync,fdatasync,syncfs,rename,renameat,renameat2";
    ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("inject={calls}:signal=KILL:when={nth}")])
        .collect()
}

/// What the world sees of a site.
fn seen(site: &Site) -> (serde_json::Value, Vec<(String, String)>) {
    let status = site.status();
    let product = &status["products"][0];
    let release = product["current"]["release"].clone();
    let mut objects: Vec<_> = site
        .snapshot()
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().contains("/export/") || path.to_string_lossy().contains("/blobs/"))
        .map(|(path, what)| (path.display().to_string(), what))
        .collect();
    objects.sort();
    (release, objects)
}

fn power_cut(trial: &mut Trial) {
    let traced = std::process::Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !trial.needs(traced.is_ok_and(|status| status.success()), "strace cannot trace here (apt-get install strace)") {
        return;
    }
    let medium = Medium::of(&Forge::new(NEXT).bundle());
    let whole = Ground::new();
    let before = seen(&whole.site);
    whole.site.export(medium.path()).succeeds();
    let after = seen(&whole.site);
    let mut cuts = 0;
    // Every call is one too many to wait for; a prime step comes by all kinds of them.
    for nth in (1..200).step_by(3) {
        trial.at(Ground::new());
        let site = &trial.ground().site;
        let outcome = site.export(medium.path()).under(killed_at(nth)).run();
        if outcome.exit == Some(0) {
            break;
        }
        cuts += 1;
        let (release, objects) = seen(site);
        assert!(release == before.0 || release == after.0, "cut {nth}: neither the old nor the new release");
        for (path, what) in objects.iter().filter(|(path, _)| path.contains("/blobs/sha256/") && !path.contains("/.")) {
            let name = Path::new(path).file_name().unwrap().to_string_lossy();
            assert!(what.ends_with(&*name) || name == "sha256", "cut {nth}: {path} is {what}");
        }
        let rerun = site.export(medium.path());
        trial.succeeds(&format!("run again after cut {nth}"), &rerun);
        assert_eq!(seen(&trial.ground().site), after, "cut {nth}: another end");
    }
    assert!(cuts > 5, "only {cuts} cuts");
    trial.notes("old or new, never mixed; running again ends in the same state");
}
