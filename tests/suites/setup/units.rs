//! The units before systemd's own judges: that they mean something, and how much they leave open.

use std::fs;
use std::path::Path;
use std::process::Command;

use consign_tests::images::run;

/// systemd's measure of what a unit may still do, in tenths of 0 (nothing) to 10: what these units have today, rounded
/// up. One that gets worse has to say so here. The last two run as root and place files anywhere, on purpose.
const EXPOSURE: [(&str, u32); 3] =
    [("consign-registry.service", 23), ("consign-watch.service", 44), ("consign-drift.service", 44)];

pub(super) fn hold() {
    let folder = tempfile::tempdir().unwrap();
    // A unit whose program is not there is not judged further.
    for (path, text) in consign_installer::units::texts(Path::new("/bin/true"), true) {
        fs::write(folder.path().join(Path::new(&path).file_name().unwrap()), text).unwrap();
    }
    for unit in ["consign-registry.service", "consign-watch.service", "consign-drift.service", "consign-drift.timer"] {
        let verify = ["verify", "--man=no", "--recursive-errors=one"];
        let said = Command::new("systemd-analyze").args(verify).arg(folder.path().join(unit)).output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.success() && !text.contains(unit), "{unit}: {text}");
    }
    for (unit, most) in EXPOSURE {
        let most = most.to_string();
        let security = ["security", "--offline=true", "--no-pager", "--threshold", &most];
        run(Command::new("systemd-analyze").args(security).arg(folder.path().join(unit)));
    }
}
