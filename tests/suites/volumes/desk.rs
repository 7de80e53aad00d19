//! The connected side: cutting, listing by others, putting together, and what volumes are not taken for.

use std::fs;
use std::path::Path;
use std::process::Command;

use consign_tests::command::consign;
use consign_tests::volumes::{size, split};
use serde_json::Value;

use super::{NARROW, ROOM, cut, release};

/// What the tar program lists.
fn listed(volume: &Path) -> Vec<String> {
    let output = Command::new("tar").arg("-tf").arg(volume).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn volumes_fit_sort_and_are_listed_by_tar() {
    let forge = release();
    let members: Vec<String> = forge.tape().entries.iter().map(|entry| entry.name()).collect();
    let head = 1 + members.iter().position(|name| name == "filler").unwrap();
    for room in [ROOM, NARROW] {
        let (_folder, volumes) = cut(&forge, room);
        assert!(volumes.len() > 3, "{volumes:?}");
        let mut sorted = volumes.clone();
        sorted.sort();
        assert_eq!(sorted, volumes);
        let (mut payload, mut pieces) = (Vec::new(), 0);
        for (number, volume) in (1..).zip(&volumes) {
            let name = volume.file_name().unwrap().to_string_lossy();
            let width = volumes.len().to_string().len();
            assert_eq!(name, format!("lamp.consign.{number:0width$}-of-{}", volumes.len()));
            assert!(fs::metadata(volume).unwrap().len() <= size(&forge, room));
            let listed = listed(volume);
            assert_eq!(listed[0], "consign-volume");
            assert_eq!(listed[1..=head], members[..head], "every volume has the whole head");
            pieces += listed.iter().filter(|name| name.starts_with("piece/")).count();
            payload.extend(listed[head + 1..].iter().filter(|name| !name.starts_with("piece/")).cloned());
        }
        assert_eq!(pieces == 0, room == ROOM, "only what is larger than a volume is cut");
        let whole: Vec<String> = members[head..].iter().filter(|name| payload.contains(*name)).cloned().collect();
        assert_eq!(payload, whole, "members stand in their order");
        assert!(room == NARROW || payload.len() == members.len() - head);
    }
}

#[test]
fn what_was_cut_is_put_together_byte_for_byte() {
    let forge = release();
    for room in [ROOM, NARROW] {
        let (folder, volumes) = cut(&forge, room);
        let output = folder.path().join("out.consign");
        for named in [folder.path(), volumes[1].as_path()] {
            let done = consign(["join"]).arg(named).option("--output", &output).arg("--json").succeeds().json();
            assert_eq!(done["volumes"], volumes.len());
            assert_eq!(done["product"], "lamp");
            assert!(fs::read(&output).unwrap() == forge.bundle());
            consign(["join"]).arg(named).option("--output", &output).fails("already-exists", 1);
            fs::remove_file(&output).unwrap();
        }
        fs::remove_file(&volumes[1]).unwrap();
        let refused = consign(["join"]).arg(&volumes[0]).option("--output", &output).fails("volume-missing", 10);
        refused.says(&format!("volume 2 of {} is missing: bytes ", volumes.len()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), volumes.len() - 1, "nothing was left behind");
    }
}

/// As the page of the format has it, for who has not got this program.
#[test]
fn volumes_are_put_together_by_hand() {
    let forge = release();
    let (folder, volumes) = cut(&forge, ROOM);
    let (output, boundary) = (folder.path().join("by-hand"), forge.tape().boundary());
    let mut script = format!("tail -c +1025 '{}' | head -c {boundary} > out", volumes[0].display());
    for volume in &volumes {
        let hint = Command::new("tar").arg("-xOf").arg(volume).arg("consign-volume").output().unwrap();
        let hint: Value = serde_json::from_slice(&hint.stdout).unwrap();
        let length = hint["to"].as_u64().unwrap() - hint["from"].as_u64().unwrap();
        script += &format!("\ntail -c +{} '{}' | head -c {length} >> out", 1025 + boundary, volume.display());
    }
    let script = script.replace("out", &output.display().to_string());
    assert!(Command::new("sh").args(["-ec", &script]).status().unwrap().success());
    assert!(fs::read(output).unwrap() == forge.bundle());
}

#[test]
fn volumes_are_looked_at_like_the_bundle() {
    let forge = release();
    let (folder, volumes) = cut(&forge, NARROW);
    let trust = tempfile::tempdir().unwrap();
    fs::write(trust.path().join("1.root.json"), &forge.roots[0]).unwrap();
    let bundle = trust.path().join("lamp.consign");
    fs::write(&bundle, forge.bundle()).unwrap();
    let same = |command: &str, options: &[&str]| {
        let run = |path: &Path| -> Value {
            let mut shown = consign([command]).arg(path).args(options).arg("--json").succeeds().json();
            shown.as_object_mut().unwrap().remove("bundle");
            shown
        };
        let whole = run(&bundle);
        assert_eq!(run(folder.path()), whole, "{command}");
        assert_eq!(run(&volumes[2]), whole, "{command}");
    };
    same("inspect", &[]);
    same("verify", &["--root", trust.path().to_str().unwrap()]);
}

#[test]
fn what_cannot_be_cut_or_would_be_lost_is_refused() {
    let forge = release();
    let (folder, volumes) = cut(&forge, ROOM);
    let whole = tempfile::tempdir().unwrap();
    let bundle = whole.path().join("lamp.consign");
    fs::write(&bundle, forge.bundle()).unwrap();
    // The same volumes again: none is written over.
    split(&bundle, size(&forge, ROOM), folder.path()).fails("already-exists", 1);
    let boundary = forge.tape().boundary();
    split(&bundle, boundary, whole.path()).fails("usage", 2).says("repeats the bundle's head");
    split(&bundle, boundary + 4096, whole.path()).succeeds();
    let mut damaged = forge.bundle();
    let at = damaged.len() - 3000;
    damaged[at] ^= 1;
    let bad = tempfile::tempdir().unwrap();
    fs::write(bad.path().join("lamp.consign"), damaged).unwrap();
    split(&bad.path().join("lamp.consign"), size(&forge, ROOM), bad.path()).fails("digest-mismatch", 10);
    assert_eq!(fs::read_dir(bad.path()).unwrap().count(), 1, "what is damaged is not cut");
    // A head is not changed in volumes.
    let request = folder.path().join("request.json");
    let asked = consign(["approve", "--request"]).arg(&volumes[0]).option("--output", &request);
    asked.fails("not-a-bundle", 11).says("consign join");
    consign(["join"]).arg(&bundle).option("--output", &request).fails("usage", 2).says("whole bundle");
}

#[test]
fn volumes_are_cut_anew_for_another_medium() {
    let forge = release();
    let (folder, volumes) = cut(&forge, NARROW);
    let other = tempfile::tempdir().unwrap();
    let done = split(folder.path(), 1 << 30, other.path()).arg("--json").succeeds().json();
    assert_eq!(done["volumes"].as_array().unwrap().len(), 1);
    let output = other.path().join("again.consign");
    let volume = other.path().join("lamp.consign.1-of-1");
    consign(["join"]).arg(&volume).option("--output", &output).succeeds();
    assert!(fs::read(output).unwrap() == forge.bundle());
    assert!(volumes.iter().all(|volume| volume.is_file()));
}
