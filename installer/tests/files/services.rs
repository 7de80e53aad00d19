//! Services that depend on files, against a program that stands in for `systemctl`: it notes what it is asked, with which
//! environment, and remembers what is enabled and what runs. That systemd itself does as asked is not shown here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use consign_format::error::codes;
use consign_format::release::{Restart, Service};
use consign_installer::install_bundle::Finished;

use crate::ground::{Machine, TOOL, first, second};
use crate::kit::{Draft, name};

const UNIT: &str = "tool.service";
const UNIT_FILE: &str = "/etc/systemd/system/tool.service";

const STAND_IN: &str = r#"#!/bin/sh
here=${0%/*}
echo "$*" >> "$here/log"
env | grep -v '^PWD=\|^_=\|^SHLVL=\|^OLDPWD=' | sort > "$here/environment"
[ "$1 $2 $3" = "--no-ask-password --no-pager --quiet" ] || exit 64
shift 3
verb=$1
for unit; do :; done
[ -e "$here/fail-$verb" ] && { echo "Job for $unit failed." >&2; exit 1; }
case $verb in
    show)
        [ -e "$here/enabled-$unit" ] && echo UnitFileState=enabled || echo UnitFileState=
        [ -e "$here/active-$unit" ] && echo ActiveState=active || echo ActiveState=inactive ;;
    enable) touch "$here/enabled-$unit" ;;
    disable) rm -f "$here/enabled-$unit" ;;
    restart) touch "$here/active-$unit" ;;
    stop) rm -f "$here/active-$unit" ;;
    daemon-reload) ;;
    *) exit 64 ;;
esac
"#;

struct Stage {
    machine: Machine,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("systemctl");
        fs::write(&program, STAND_IN).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let mut machine = Machine::new();
        machine.units = vec![UNIT.to_owned()];
        machine.programs = Some(folder.path().to_owned());
        Stage { machine, folder }
    }

    fn has(&self, what: &str) -> bool {
        self.folder.path().join(format!("{what}-{UNIT}")).exists()
    }

    fn mark(&self, what: &str) -> PathBuf {
        let path = self.folder.path().join(what);
        fs::write(&path, "").unwrap();
        path
    }

    /// What was asked since the last time, without what only looks.
    fn asked(&self) -> Vec<String> {
        let log = self.folder.path().join("log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        let asked = text.lines().filter_map(|line| line.strip_prefix("--no-ask-password --no-pager --quiet "));
        asked.filter(|line| !line.starts_with("show")).map(str::to_owned).collect()
    }
}

fn with_service(mut draft: Draft) -> Draft {
    draft = draft.with_file(UNIT_FILE, "0644", "[Service]");
    let files = vec![TOOL.to_owned(), UNIT_FILE.to_owned()];
    draft.release.services.push(Service { unit: UNIT.into(), enable: true, restart: Restart::OnChange, files });
    draft
}

#[test]
fn a_service_is_enabled_and_restarted_when_its_files_change_and_only_then() {
    let stage = Stage::new();
    stage.machine.install(&with_service(first())).unwrap();
    assert_eq!(stage.asked(), ["daemon-reload", "enable -- tool.service", "restart -- tool.service"]);
    let environment = fs::read_to_string(stage.folder.path().join("environment")).unwrap();
    assert_eq!(environment, "LC_ALL=C\nPATH=/usr/bin:/bin:/usr/sbin:/sbin\n");
    stage.machine.install(&with_service(first())).unwrap();
    assert!(stage.asked().is_empty(), "nothing changed");
    let Finished::Planned(planned) = stage.machine.rehearse(&with_service(second())).unwrap() else { panic!() };
    assert_eq!(planned.restarts, [UNIT]);
    assert!(stage.asked().is_empty(), "a rehearsal asks for nothing");
    stage.machine.install(&with_service(second())).unwrap();
    assert_eq!(stage.asked(), ["restart -- tool.service"]);
}

#[test]
fn a_service_that_leaves_becomes_what_it_was() {
    let stage = Stage::new();
    stage.machine.install(&with_service(first())).unwrap();
    stage.asked();
    stage.machine.install(&second()).unwrap();
    assert_eq!(stage.asked(), ["stop -- tool.service", "disable -- tool.service", "daemon-reload"]);
    assert!(!stage.has("enabled") && !stage.has("active"));
    stage.machine.install(&Draft::new("3.0", 30)).unwrap();
    assert!(stage.asked().is_empty(), "it is no longer ours");
}

#[test]
fn a_rollback_restarts_what_ran_before() {
    let mut stage = Stage::new();
    stage.mark(&format!("enabled-{UNIT}"));
    stage.mark(&format!("active-{UNIT}"));
    stage.machine.install(&first()).unwrap();
    stage.machine.cluster.sick = Some("2.0");
    let draft = with_service(second());
    assert_eq!(stage.machine.install(&draft).unwrap_err().code(), codes::UNHEALTHY);
    // Once with the new file, once with the one before: it was running before Consign ever spoke of it.
    let restart = "restart -- tool.service";
    assert_eq!(stage.asked(), ["daemon-reload", restart, "daemon-reload", restart]);
    assert!(stage.has("enabled") && stage.has("active"));
    assert_eq!(stage.machine.at(TOOL), "0755 tool 1");
}

#[test]
fn a_service_that_does_not_start_takes_the_files_back() {
    let stage = Stage::new();
    stage.machine.install(&first()).unwrap();
    let before = stage.machine.others();
    stage.mark("fail-restart");
    let failure = stage.machine.install(&with_service(second())).unwrap_err();
    assert_eq!(failure.code(), codes::SERVICE_MANAGER);
    assert!(failure.to_string().contains("Job for tool.service failed."), "{failure}");
    assert_eq!(stage.machine.others(), before);
    assert!(!stage.has("enabled"), "and it is disabled again");
    assert_eq!(stage.machine.site.product().current.unwrap().release.version, "1.0");
}

#[test]
fn a_restart_that_a_power_cut_came_before_is_made_up_for() {
    let stage = Stage::new();
    let draft = with_service(first());
    stage.machine.install(&draft).unwrap();
    stage.asked();
    // As if the power had gone after the files were placed: the record says what is owed.
    let store = stage.machine.site.store();
    let mut units = store.read_units(&name("dev"), &name("demo")).unwrap();
    units.restart.insert(UNIT.to_owned());
    units.reload = true;
    let document = serde_json::to_vec(&units).unwrap();
    let text = format!("{}\n{}\n", consign_format::Digest::of(&document), String::from_utf8(document).unwrap());
    fs::write(store.dir().join("files/units/dev/demo"), text).unwrap();
    stage.machine.install(&draft).unwrap();
    assert_eq!(stage.asked(), ["daemon-reload", "restart -- tool.service"]);
    stage.machine.install(&draft).unwrap();
    assert!(stage.asked().is_empty());
}

#[test]
fn a_unit_that_nobody_allowed_is_refused() {
    let mut stage = Stage::new();
    stage.machine.units.clear();
    let failure = stage.machine.install(&with_service(first())).unwrap_err();
    assert_eq!(failure.code(), codes::NOT_ALLOWED);
    assert!(failure.to_string().contains("unit tool.service"), "{failure}");
    assert!(stage.asked().is_empty() && stage.machine.at(TOOL) == "-");
}

#[test]
fn a_unit_that_is_an_option_never_reaches_systemctl() {
    let mut stage = Stage::new();
    for unit in ["-H.service", "--root=/x.service", "a b.service", "../x.service", "tool"] {
        stage.machine.units = vec![unit.to_owned()];
        let mut draft = with_service(first());
        draft.release.services[0].unit = unit.to_owned();
        assert_eq!(stage.machine.install(&draft).unwrap_err().code(), codes::RELEASE_MALFORMED, "{unit}");
    }
    stage.machine.units = vec![UNIT.to_owned()];
    let mut draft = with_service(first());
    draft.release.services[0].files.push("/etc/passwd".into());
    assert_eq!(stage.machine.install(&draft).unwrap_err().code(), codes::RELEASE_MALFORMED);
    assert!(stage.asked().is_empty() && stage.machine.at(TOOL) == "-");
}

#[test]
fn without_a_service_manager_a_release_with_services_is_refused_beforehand() {
    let mut stage = Stage::new();
    stage.machine.programs = None;
    assert_eq!(stage.machine.install(&with_service(first())).unwrap_err().code(), codes::SERVICE_MANAGER);
    assert_eq!(stage.machine.at(TOOL), "-");
}
