//! A fresh machine in two commands, at a real pseudo-terminal and against a real API server; then the same by a script.

use std::fs;
use std::path::Path;

use consign_tests::cluster::Cluster;
use consign_tests::command::Invocation;
use consign_tests::desk::Desk;
use consign_tests::images::run;
use consign_tests::site::Site;
use consign_tests::skip;

use crate::pseudo::Pseudo;
use consign_tests::workshop::Workshop;

/// A machine with podman, and so with a runtime.
fn machine() -> Site {
    let site = Site::bare();
    fs::create_dir_all(site.root().join("etc/containers/registries.conf.d")).unwrap();
    fs::create_dir_all(site.root().join("usr/bin")).unwrap();
    fs::write(site.root().join("usr/bin/podman"), "").unwrap();
    site
}

/// What a person would plug in.
fn stick(workshop: &Workshop, site: &Site) {
    let stick = site.root().join("media/usb/trust");
    fs::create_dir_all(&stick).unwrap();
    fs::copy(workshop.root(), stick.join("1.root.json")).unwrap();
}

fn at_a_terminal() -> bool {
    let there = Path::new("/usr/bin/script").exists();
    Desk::is_possible() && skip::unless(there, "script is not installed", "apt-get install bsdutils")
}

fn read(site: &Site, path: &str) -> String {
    fs::read_to_string(site.root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn a_fresh_site_in_two_commands() {
    if !at_a_terminal() {
        return;
    }
    let (workshop, site, cluster) = (Workshop::lamp(), machine(), Cluster::start());
    stick(&workshop, &site);
    let bundle = workshop.build("1.0.0", "");
    fs::copy(&bundle, site.root().join("media/usb/lamp.consign")).unwrap();

    let mut person = Pseudo::start(&site.invoke(["setup"]));
    person.waits_for("Type the root's fingerprint");
    person.types(&workshop.fingerprint().1);
    person.waits_for("What is this site called");
    person.types("ward-7");
    person.waits_for("No kubeconfig was found. Which file is it?");
    person.types(cluster.kubeconfig().to_str().unwrap());
    let (done, said) = person.ends();
    assert!(done && said.contains("set up; next: consign-site install MEDIUM"), "{said}");
    for step in ["enrol", "site.toml", "authority", "units", "start", "node"] {
        assert!(said.contains(step), "{step}: {said}");
    }

    let (done, said) = Pseudo::start(&site.invoke(["install"]).arg(site.root().join("media/usb"))).ends();
    assert!(done && said.contains("4 objects healthy"), "{said}");
    let ready = ["get", "deployment", "web", "-n", "lamp", "-o", "jsonpath={.status.readyReplicas}"];
    assert_eq!(run(cluster.kubectl().args(ready)), "1");
    let status = site.status();
    assert_eq!(status["site"], "ward-7", "{status:#}");
    let (done, said) = Pseudo::start(&site.invoke(["status"])).ends();
    assert!(done && said.contains("1.0.0"), "{said}");

    // Once more: nothing is asked, nothing is another thing than it was.
    let before = site.snapshot();
    let (done, said) = Pseudo::start(&site.invoke(["setup"])).ends();
    assert!(done && said.contains("found     enrol       site ward-7"), "{said}");
    assert_eq!(site.snapshot(), before);
}

#[test]
fn a_wrong_fingerprint_changes_nothing() {
    if !at_a_terminal() {
        return;
    }
    let (workshop, site) = (Workshop::lamp(), machine());
    stick(&workshop, &site);
    let before = site.snapshot();
    let mut person = Pseudo::start(&site.invoke(["setup", "--handoff", "export", "--site", "ward-7"]));
    person.waits_for("Type the root's fingerprint");
    person.types("yes");
    let (done, said) = person.ends();
    assert!(!done && said.contains("`yes` is no fingerprint"), "{said}");
    let other = "0".repeat(64);
    let setup = site.invoke(["setup", "--handoff", "export", "--site", "ward-7", "--root-sha256", &other]);
    setup.fails("root-unknown", 12);
    assert_eq!(site.snapshot(), before);
}

#[test]
fn a_script_is_told_at_once_what_is_missing() {
    let site = Site::bare();
    let before = site.snapshot();
    let said = site.invoke(["setup"]).fails("usage", 2);
    for option in ["--root FILE", "--root-sha256", "--site NAME", "--kubeconfig FILE"] {
        said.says(option);
    }
    assert_eq!(site.snapshot(), before);
}

/// By a script, with a registry that other nodes reach; `more` are options.
fn scripted(workshop: &Workshop, site: &Site) -> Invocation {
    let setup = site.invoke(["setup", "--handoff", "export", "--site", "ward-7"]);
    let setup = setup.option("--server", "https://registry.site:5443").option("--root", workshop.root());
    setup.option("--root-sha256", workshop.fingerprint().0)
}

#[test]
fn a_script_sets_up_what_it_rehearsed() {
    if !Desk::is_possible() {
        return;
    }
    let (workshop, site) = (Workshop::lamp(), machine());
    let before = site.snapshot();
    scripted(&workshop, &site).arg("--dry-run").succeeds().says("would do").says("nothing was changed");
    assert_eq!(site.snapshot(), before, "a rehearsal");
    let done = scripted(&workshop, &site).arg("--json").succeeds().json();
    assert!(done["steps"].as_array().unwrap().iter().any(|step| step["step"] == "enrol" && step["state"] == "done"));
    assert!(read(&site, "etc/consign/site.toml").contains("listen = \"[::]:5443\""));
    assert!(read(&site, "etc/systemd/system/consign-registry.service").contains("consign-site serve"));
    assert!(read(&site, "etc/containers/registries.conf.d/50-consign.conf").contains("registry.site:5443"));

    // What somebody changed is not touched by the next run, and is named.
    let unit = site.root().join("etc/systemd/system/consign-watch.service");
    fs::write(&unit, "[Service]\n").unwrap();
    fs::write(site.root().join("etc/consign/site.toml"), "handoff = \"export\"\n").unwrap();
    scripted(&workshop, &site).succeeds().says("consign-watch.service is not as setup wrote it").says("left as it is");
    assert_eq!(fs::read_to_string(&unit).unwrap(), "[Service]\n");
    assert_eq!(read(&site, "etc/consign/site.toml"), "handoff = \"export\"\n");
    site.invoke(["setup", "--site", "other"]).fails("usage", 2).says("this is site ward-7 already");
}

#[test]
fn a_further_node_takes_the_authority_that_somebody_vouches_for() {
    if !at_a_terminal() {
        return;
    }
    let (workshop, site, node) = (Workshop::lamp(), machine(), machine());
    scripted(&workshop, &site).succeeds();
    let shown = site.invoke(["registry", "ca", "show", "--json"]).succeeds().json();
    let fingerprint = shown["fingerprint"].as_str().unwrap().trim_start_matches("sha256:");
    let ca = site.root().join("etc/consign/ca.crt");
    let join = |ca: &Path| node.invoke(["setup", "--join", "https://registry.site:5443"]).option("--ca", ca);

    let before = node.snapshot();
    join(&ca).fails("usage", 2).says("--ca-sha256");
    let forged = node.root().join("forged.crt");
    fs::write(&forged, fs::read_to_string(&ca).unwrap().replace("A", "B")).unwrap();
    join(&forged).option("--ca-sha256", fingerprint).fails("authority-unknown", 12);
    fs::remove_file(forged).unwrap();
    assert_eq!(node.snapshot(), before);

    join(&ca).option("--ca-sha256", fingerprint).succeeds();
    assert_eq!(fs::read(node.root().join("etc/consign/ca.crt")).unwrap(), fs::read(&ca).unwrap());
    let joined = node.snapshot();
    assert!(read(&node, "etc/containers/registries.conf.d/50-consign.conf").contains("registry.site:5443"));
    assert!(!node.root().join("var/lib/consign/trust").exists(), "a further node is not enrolled");
    join(&ca).succeeds().says("found");
    assert_eq!(node.snapshot(), joined);
    let own = site.invoke(["setup", "--join", "https://registry.site:5443"]).option("--ca", &ca);
    own.fails("usage", 2).says("an authority of its own");

    let other = machine();
    let mut person =
        Pseudo::start(&other.invoke(["setup", "--join", "https://registry.site:5443"]).option("--ca", &ca));
    person.waits_for("Type the authority's fingerprint");
    person.types(fingerprint);
    let (done, said) = person.ends();
    assert!(done, "{said}");
}

#[test]
fn a_configuration_is_checked_before_it_is_put_in_its_place() {
    let site = Site::bare();
    let file = site.root().join("new.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        site.invoke(["config", "check"]).arg(&file)
    };
    check("handof = \"export\"\n").fails("site-config", 2).says("handof");
    check("handoff = \"direct\"\n").fails("site-config", 2).says("found no kubeconfig");
    check("kubeconfig = \"/nonexistent/config\"\n").fails("site-config", 2).says("/nonexistent/config");
    let lax = "handoff = \"export\"\n[registry]\nlisten = \"0.0.0.0:5000\"\nplain-http = true\n";
    check(lax)
        .succeeds()
        .says("warning: the registry is served without TLS")
        .says("releases may be activated at any time");
    let document = check(lax).arg("--json").succeeds().json();
    assert_eq!(document["findings"][0]["error"], false, "{document}");
    site.invoke(["config", "check", "/nonexistent/site.toml"]).fails("io", 1);
    assert!(!site.root().join("etc").exists(), "nothing is written");
}

#[test]
fn units_are_what_systemd_takes() {
    let there = Path::new("/usr/bin/systemd-analyze").exists();
    if !skip::unless(there, "systemd-analyze is not installed", "apt-get install systemd") {
        return;
    }
    crate::units::hold();
}
