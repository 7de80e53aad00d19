//! A run that is killed at any call that changes the disk: the next `write` finishes it, the next `remove` undoes it.

use std::process::Command;

use consign_tests::command::Invocation;
use consign_tests::site::Site;
use consign_tests::skip;

use crate::files::Node;

/// What makes, names and takes away. A `?` is for calls that not every machine has.
const CALLS: [&str; 9] =
    ["fsync", "fdatasync", "?mkdir", "mkdirat", "?rename", "renameat", "unlinkat", "?rmdir", "renameat2"];

fn is_possible() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let traced = traced.is_ok_and(|said| said.status.success());
    skip::unless(traced, "strace is missing or may not trace", "apt-get install strace")
}

/// Runs a program and kills it at the `n`th call of this name; whether it came so far.
fn kills(program: Invocation, call: &str, n: usize) -> bool {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let (calls, inject) = (format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={n}"));
    let program = program.under(["strace", "-qq", "-o"]).under([trace.path()]);
    let outcome = program.under(["-e", &calls, "-e", &inject]).run();
    assert!(outcome.exit.is_none() || outcome.exit == Some(0), "{call} {n}\n{outcome}");
    outcome.exit.is_none()
}

/// Kills a run at each call in turn, and judges the node after each.
fn each(node: impl Fn() -> Node, run: impl Fn(&Node) -> Invocation, judge: impl Fn(&Node, &str)) -> usize {
    let mut struck = 0;
    for call in CALLS {
        for n in 1.. {
            let node = node();
            if !kills(run(&node), call, n) {
                break;
            }
            struck += 1;
            judge(&node, &format!("killed at {call} {n}"));
        }
    }
    struck
}

fn write(node: &Node) -> Invocation {
    node.write("containerd").option("--runtime", "rke2").arg("--force")
}

fn remove(node: &Node) -> Invocation {
    node.0.invoke(["nodes", "remove"])
}

/// One file of somebody else is in the way, and is kept.
fn fresh() -> Node {
    let node = Node::new();
    node.put("etc/rancher/rke2/registries.yaml", "# somebody else's\n");
    node
}

fn written() -> Node {
    let node = fresh();
    write(&node).succeeds();
    node
}

fn snapshot(site: &Site) -> std::collections::BTreeMap<std::path::PathBuf, String> {
    // The manifest remembers a little more of a run that was cut off; what it does is what counts. The two folders above
    // ours may be there empty: a package may have brought them, so that nobody takes them away unasked.
    let mut files = site.snapshot();
    for path in ["var/lib", "var/lib/consign", "var/lib/consign/nodes/written"] {
        files.remove(std::path::Path::new(path));
    }
    files
}

#[test]
fn a_write_that_is_killed_anywhere_is_finished_or_undone() {
    if !is_possible() {
        return;
    }
    let (before, whole) = (snapshot(&fresh().0), snapshot(&written().0));
    let struck = each(fresh, write, |node, how| {
        remove(node).succeeds();
        assert_eq!(snapshot(&node.0), before, "{how}, then removed");
    });
    assert!(struck > 20, "only {struck} calls were hit: this shows nothing");
    each(fresh, write, |node, how| {
        write(node).succeeds();
        let now: Vec<_> = snapshot(&node.0).into_keys().collect();
        assert_eq!(now, whole.keys().cloned().collect::<Vec<_>>(), "{how}, then written");
        remove(node).succeeds();
        assert_eq!(snapshot(&node.0), before, "{how}, then written and removed");
    });
}

#[test]
fn a_removal_that_is_killed_anywhere_is_finished() {
    if !is_possible() {
        return;
    }
    let before = snapshot(&fresh().0);
    let struck = each(written, remove, |node, how| {
        remove(node).succeeds();
        assert_eq!(snapshot(&node.0), before, "{how}, then removed again");
    });
    assert!(struck > 20, "only {struck} calls were hit: this shows nothing");
}
