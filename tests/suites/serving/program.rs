//! What an administrator sees of a running registry: users, the access log, metrics, a stop.

use consign_tests::desk::Desk;
use consign_tests::site::Site;
use serde_json::Value;

use crate::curl::Curl;
use crate::{configure, enrolled};

/// `registry user` with a password on standard input.
fn user(site: &Site, arguments: [&str; 3], password: &str) -> std::process::Output {
    use std::io::Write;
    let mut command = site.invoke(arguments).command();
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn users_are_added_let_in_and_taken_out() {
    if !Desk::is_possible() {
        return;
    }
    let site = enrolled();
    site.invoke(["registry", "user", "node"]).fails("site-config", 2);
    configure(&site, "registry = \"https://harbor.site\"\n");
    site.invoke(["serve"]).fails("site-config", 2);
    configure(&site, "");
    let users = site.root().join("etc/consign/registry-users");
    configure(&site, &format!("[registry]\nnames = [\"registry.site\"]\nusers = {users:?}\n"));
    site.invoke(["serve"]).fails("site-config", 2);
    assert!(!user(&site, ["registry", "user", "no:de"], "x\n").status.success());
    assert!(!user(&site, ["registry", "user", "node"], "\n").status.success());
    assert!(!users.exists(), "nothing was written");
    assert!(user(&site, ["registry", "user", "node"], "over the gap\nmore\n").status.success());
    let text = std::fs::read_to_string(&users).unwrap();
    assert!(text.starts_with("node:$2y$") && !text.contains("gap"), "{text}");
    let served = site.serve_with(&[]);
    let ca = site.root().join("etc/consign/ca.crt");
    let ask = |pair: &str, path: &str| Curl::trusting(&ca).user(pair).status(&served, path);
    for _ in 0..2 {
        assert_eq!(ask("node:over the gap", "/v2/"), Ok(200));
        assert_eq!(ask("node:over the ga", "/v2/"), Ok(401));
        assert_eq!(ask("other:over the gap", "/v2/"), Ok(401));
    }
    assert_eq!(Curl::trusting(&ca).status(&served, "/metrics"), Ok(401));
    assert_eq!(Curl::trusting(&ca).status(&served, "/healthz"), Ok(200), "who watches needs no password");
    site.invoke(["registry", "user", "--remove", "nobody"]).fails("usage", 2);
    // The last user stays: a registry with a file that lets nobody in would not start again.
    site.invoke(["registry", "user", "--remove", "node"]).fails("usage", 2);
    assert_eq!(std::fs::read_to_string(&users).unwrap(), text);
}

#[test]
fn every_answer_is_in_the_access_log_and_in_the_metrics() {
    if !Desk::is_possible() {
        return;
    }
    let (desk, bundle) = Desk::shared();
    let site = enrolled();
    site.export(bundle).succeeds();
    let mut served = site.serve_with(&["--plain-http", "--access-log"]);
    let image = consign_tests::desk::pinned(&desk.inspect(bundle)).remove(0);
    let path = format!("/v2/{}/manifests/{}", image.name, image.digest);
    let (status, body) = served.get(&path);
    assert_eq!(status, 200);
    assert_eq!(served.get("/v2/\u{1b}[31m/manifests/x").0, 400);
    assert_eq!(served.get("/v2/nothing/manifests/x").0, 404);
    let metrics = String::from_utf8(served.get("/metrics").1).unwrap();
    for line in [
        "consign_registry_answers_total{status=\"2xx\"} 1",
        // One that was no request, and one for what is not there.
        "consign_registry_answers_total{status=\"4xx\"} 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    let open = metrics.lines().find_map(|line| line.strip_prefix("consign_registry_connections ")).unwrap();
    assert!(open.parse::<u32>().unwrap() >= 1, "at least the one that asks: {open}");
    assert!(served.stop(), "a stop is no failure");
    let said = served.said();
    assert!(!said.contains('\u{1b}'), "{said}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = &lines[0];
    assert_eq!((&first["method"], &first["target"], &first["status"]), (&"GET".into(), &path.into(), &200.into()));
    assert_eq!(
        (&first["sent"], &first["length"], &first["whole"]),
        (&body.len().into(), &body.len().into(), &true.into())
    );
    assert!(first["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(lines.iter().filter(|line| line["status"] == 404).count(), 1);
}
