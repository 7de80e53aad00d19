//! The same lock gives the same bytes: another folder, umask, time zone, language and user make no difference.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use consign_tests::command;
use consign_tests::desk::Desk;
use consign_tests::images::run;
use consign_tests::{programs, skip, tools};

/// A user that owns nothing.
const NOBODY: &str = "65534";

#[test]
fn another_place_and_user_give_the_same_bytes() {
    if !Desk::is_possible() {
        return;
    }
    let is_root = run(Command::new("id").arg("-u")).trim() == "0";
    if !skip::unless(is_root, "only root can build as another user", "run the suites as root") {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let elsewhere = tempfile::Builder::new().prefix("consign elsewhere é ").tempdir().unwrap();
    let at = elsewhere.path();
    let repository = at.join("somewhere/else");
    fs::create_dir_all(at.join("bin")).unwrap();
    fs::create_dir_all(at.join("somewhere")).unwrap();
    run(Command::new("cp").arg("-R").arg(desk.repository.folder()).arg(&repository));
    run(Command::new("chmod").args(["-R", "go+rX"]).arg(at.join("somewhere")));
    fs::remove_file(repository.join(desk.repository.bundle())).ok();
    // Programs and tools lie where only their owner may look.
    let needed = [programs::consign()]
        .into_iter()
        .chain([tools::Tool::Helm, tools::Tool::Kustomize].map(|tool| tool.get().unwrap()));
    for program in needed {
        let to = at.join("bin").join(program.file_name().unwrap());
        fs::copy(&program, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
    }
    run(Command::new("chown").args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(at));
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();

    let nobody = [&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"];
    command::consign(["build", "--locked", "--output"])
        .arg(at)
        .program(&at.join("bin/consign"))
        .under(["setpriv"])
        .under(nobody)
        .in_folder(&repository)
        .umask("0077")
        .env("PATH", format!("{}:/usr/bin:/bin", at.join("bin").display()))
        .env("HOME", at)
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("LANG", "tr_TR.UTF-8")
        .env("SOURCE_DATE_EPOCH", "1")
        .succeeds();
    same(bundle, &at.join(desk.repository.bundle()));
}

/// A second run on the same desk, with the lock that the first one wrote.
#[test]
fn the_same_place_gives_the_same_bytes() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let again = desk.folder().join("again");
    fs::create_dir(&again).unwrap();
    desk.consign(["build", "--locked", "--output"]).arg(&again).succeeds();
    same(bundle, &again.join(desk.repository.bundle()));
    fs::remove_dir_all(again).unwrap();
}

fn same(one: &Path, other: &Path) {
    run(Command::new("cmp").arg(one).arg(other));
}
