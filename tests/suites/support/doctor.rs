//! `consign-site doctor`: what it finds is what is there, and nothing moves under its hands.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;

use consign_tests::command::Invocation;
use consign_tests::generated::root;
use consign_tests::images::run;
use consign_tests::site::Site;
use serde_json::{Value, json};

use crate::ward::{Ward, configure, put};
use crate::workshop::Workshop;

/// The levels of all findings, by their check.
fn levels(report: &Value) -> BTreeMap<String, Vec<String>> {
    let mut levels: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for finding in report["findings"].as_array().unwrap() {
        let text = |name: &str| finding[name].as_str().unwrap().to_owned();
        assert!(!text("what").is_empty() && !text("why").is_empty(), "{finding}");
        let wrong = ["warn", "fail"].contains(&finding["level"].as_str().unwrap());
        assert!(!wrong || finding["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "no way out: {finding}");
        levels.entry(text("id")).or_default().push(text("level"));
    }
    levels
}

fn examine(doctor: &Invocation) -> (Option<i32>, Value) {
    let outcome = doctor.run();
    (outcome.exit, outcome.json())
}

/// What one check says.
fn said(report: &Value, id: &str) -> String {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().filter(|finding| finding["id"] == id).map(Value::to_string).collect()
}

#[test]
fn a_bare_machine_is_told_to_enrol() {
    let site = Site::bare();
    let before = site.snapshot();
    site.invoke(["doctor"]).fails("doctor-findings", 1).says("FAIL").says("consign-site enrol");
    let (exit, report) = examine(&site.invoke(["doctor", "--json"]));
    assert_eq!((exit, &report["findings"][0]["id"]), (Some(1), &json!("site-state")));
    let levels = levels(&report);
    assert_eq!(levels["site-state"], ["fail"]);
    assert_eq!(levels["products"], ["skipped"], "what cannot be looked at is not well");
    assert_eq!(levels["cluster"], ["fail"]);
    assert_eq!(site.snapshot(), before);
    assert_eq!(
        report["fail"].as_u64().unwrap() as usize,
        levels.values().flatten().filter(|one| *one == "fail").count()
    );
}

#[test]
fn every_check_is_in_the_book() {
    let page = fs::read_to_string(root().join("docs/when-it-fails.md")).unwrap();
    let (_, report) = examine(&Site::bare().invoke(["doctor", "--json"]));
    for id in levels(&report).keys() {
        assert!(page.contains(&format!("| `{id}` |")), "docs/when-it-fails.md does not explain {id}");
    }
}

#[test]
fn a_machine_for_k3s_needs_a_default_route_and_a_mistake_in_the_file_is_one_finding() {
    let workshop = Workshop::new();
    let site = Site::enrolled(&workshop.at("trust"));
    put(&site, "etc/rancher/k3s/config.yaml", "");
    let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
    put(&site, "proc/net/route", head);
    configure(&site, "handoff = \"export\"\n");
    let (exit, report) = examine(&site.invoke(["doctor", "--json"]));
    assert_eq!(exit, Some(1));
    let found = levels(&report);
    assert_eq!(
        (found["default-route"].as_slice(), found["cluster"].as_slice()),
        (&["fail".to_owned()][..], &["skipped".to_owned()][..])
    );
    put(&site, "proc/net/route", &format!("{head}eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"));
    let (exit, report) = examine(&site.invoke(["doctor", "--json"]));
    assert_eq!((exit, levels(&report)["default-route"].as_slice()), (Some(0), &["ok".to_owned()][..]), "{report}");
    configure(&site, "handof = \"export\"\n");
    let (exit, report) = examine(&site.invoke(["doctor", "--json"]));
    let found = levels(&report);
    assert_eq!((exit, found["site-config"].as_slice()), (Some(1), &["fail".to_owned()][..]));
    assert_eq!(
        (found["registry-port"].as_slice(), found["site-state"].as_slice()),
        (&["skipped".to_owned()][..], &["ok".to_owned()][..])
    );
}

#[test]
fn a_site_that_works_is_well_and_what_breaks_is_found() {
    if !Ward::is_possible() {
        return;
    }
    let ward = Ward::new();
    let mut served = ward.site.serve_with(&[]);
    let address = served.address().to_owned();
    configure(&ward.site, &format!("[registry]\nlisten = \"{address}\"\n[nodes]\nservers = [\"https://{address}\"]\n"));
    let (before, cluster_before) = (ward.site.snapshot(), everything(&ward));
    let doctor = ward.invoke(["doctor", "--json"]);
    let (exit, report) = examine(&doctor);
    let found = levels(&report);
    assert_eq!(exit, Some(0), "{report:#}");
    for id in [
        "site-state",
        "cluster",
        "nodes",
        "permissions",
        "registry-port",
        "registry-reached",
        "registry-name",
        "products",
        "store-blobs",
        "last-run",
        "clock",
        "certificate-api-server",
        "certificate-kubeconfig",
    ] {
        assert_eq!(found[id], ["ok"], "{}", said(&report, id));
    }
    assert_eq!(found["receipts"], ["warn"], "it was never handed out");
    assert_eq!(found["image-pulls"], ["skipped"], "silence of nodes proves nothing");
    assert_eq!(ward.site.snapshot(), before, "a doctor touches nothing");
    assert_eq!(everything(&ward), cluster_before);

    ward.site.invoke(["receipts", "export"]).arg(ward.workshop.at("back")).succeeds();
    assert_eq!(levels(&examine(&doctor).1)["receipts"], ["ok"]);

    served.stop();
    let (exit, report) = examine(&doctor);
    assert_eq!((exit, levels(&report)["registry-port"].as_slice()), (Some(1), &["fail".to_owned()][..]));
    let other = TcpListener::bind(&address).unwrap();
    let stranger = std::thread::spawn(move || {
        use std::io::Write;
        while let Ok((mut stream, _)) = other.accept() {
            if stream.write_all(b"220 mail.site ESMTP\r\n").is_err() {
                break;
            }
        }
    });
    let (_, report) = examine(&doctor);
    assert!(said(&report, "registry-port").contains("is not this site's registry"), "{report:#}");
    drop(stranger);

    breaks(&ward, &doctor);
}

/// A tenant's missing rights, a node that is ill, a pod that cannot pull, a blob that is gone.
fn breaks(ward: &Ward, doctor: &Invocation) {
    let tenant = ward.tenant("viewer");
    let (_, report) = examine(&ward.site.invoke(["doctor", "--json"]).option("--kubeconfig", &tenant));
    assert!(said(&report, "permissions").contains("permissions are missing"), "{report:#}");
    assert_eq!(levels(&report)["nodes"], ["skipped"], "who may not look does not know");

    let ill = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Ill", "message": "no kubelet"}]}});
    run(ward.cluster.kubectl().args(["patch", "node", "sim", "--subresource=status", "-p", &ill.to_string()]));
    ward.create(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: stuck, namespace: viewer, annotations: {sim.consign.dev/waiting: ImagePullBackOff, \
         sim.consign.dev/message: no such host}}\nspec: {containers: [{name: app, image: 'quay.io/stuck:1'}]}\n",
    );
    run(ward.cluster.kubectl().args([
        "wait",
        "-n",
        "viewer",
        "pod/stuck",
        "--timeout=120s",
        "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff",
    ]));
    let (exit, report) = examine(doctor);
    assert_eq!(exit, Some(1));
    assert!(said(&report, "nodes").contains("node sim is not ready: no kubelet"), "{report:#}");
    assert!(said(&report, "image-pulls").contains("no such host"), "{report:#}");
    let blobs = ward.site.kept().join("blobs/sha256");
    let lost = fs::read_dir(&blobs).unwrap().flatten().map(|entry| entry.path()).find(|path| path.is_file()).unwrap();
    fs::remove_file(lost).unwrap();
    let (_, report) = examine(doctor);
    assert!(said(&report, "store-blobs").contains("1 are not there"), "{report:#}");
}

/// Names and versions of all objects.
fn everything(ward: &Ward) -> String {
    let kinds =
        "pods,configmaps,secrets,services,deployments,nodes,roles,rolebindings,clusterroles,clusterrolebindings";
    let columns = "-o=custom-columns=K:.kind,N:.metadata.name,V:.metadata.resourceVersion";
    run(ward.cluster.kubectl().args(["get", kinds, "--all-namespaces", "--sort-by=.metadata.uid", columns]))
}
