//! OpenShift: manifests for its administrator to apply. The Machine Config Operator owns the files of its nodes and
//! undoes what others write there, so nothing is written to the node itself.

use std::fmt::Write as _;

use consign_registry::serve::lookup::host_in_path;

use super::{Advice, HEADER, OWN_FOLDER, Runtime, Setup, Wanted};

/// What an administrator of OpenShift applies.
pub fn wanted(setup: &Setup) -> Wanted {
    let mut wanted = Wanted::default();
    let runtime = Runtime::Openshift;
    let path = |name: &str| format!("{OWN_FOLDER}/openshift/{name}");
    for (name, kind, field) in [
        ("image-digest-mirror-set.yaml", "ImageDigestMirrorSet", "imageDigestMirrors"),
        ("image-tag-mirror-set.yaml", "ImageTagMirrorSet", "imageTagMirrors"),
    ] {
        wanted.file(runtime, path(name), mirror_set(setup, kind, field), false, false);
    }
    wanted.advice.push(advice(
        "OpenShift applies nothing of this by itself",
        "oc apply -f the files; the Machine Config Operator then drains and restarts the nodes one by one",
        true,
    ));
    if let Some(certificates) = setup.needed_authority() {
        wanted.file(runtime, path("registry-authority.yaml"), authority(setup, certificates), false, false);
        let patch = r#"oc patch image.config.openshift.io/cluster --type merge -p '{"spec":{"additionalTrustedCA":{"name":"consign-site-ca"}}}'"#;
        wanted.advice.push(advice("the site's authority has to be trusted by the cluster", patch, true));
    }
    if setup.credentials.is_some() {
        let fix = "add the login to the cluster's pull secret: oc set data secret/pull-secret -n openshift-config";
        wanted.advice.push(advice("the registry wants a password, and none is put into a manifest", fix, true));
    }
    if setup.servers.iter().any(|server| !server.tls()) {
        let fix = "serve with TLS, or list the registry under spec.registrySources.insecureRegistries";
        wanted.advice.push(advice("a server has no TLS, and OpenShift refuses that unless it is told", fix, true));
    }
    wanted
}

fn advice(message: &str, fix: &str, needed: bool) -> Advice {
    Advice { runtime: Runtime::Openshift, message: message.to_owned(), fix: fix.to_owned(), needed }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn mirror_set(setup: &Setup, kind: &str, field: &str) -> String {
    let mut out = format!(
        "{HEADER}---\napiVersion: config.openshift.io/v1\nkind: {kind}\nmetadata:\n  name: consign-site\nspec:\n  {field}:\n"
    );
    for host in &setup.hosts {
        let mirrors: Vec<String> = setup
            .servers
            .iter()
            .map(|server| quoted(&format!("{}/{}", server.address(), host_in_path(host))))
            .collect();
        let mirrors = mirrors.join(", ");
        let _ = write!(
            out,
            "  - source: {}\n    mirrors: [{mirrors}]\n    mirrorSourcePolicy: NeverContactSource\n",
            quoted(host)
        );
    }
    out
}

/// The form of `additionalTrustedCA`: a key per registry, in which two dots stand for the colon.
fn authority(setup: &Setup, certificates: &str) -> String {
    let mut out = format!(
        "{HEADER}---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: consign-site-ca\n  namespace: openshift-config\ndata:\n"
    );
    for server in setup.servers.iter().filter(|server| server.tls()) {
        let _ = writeln!(out, "  {}: |", quoted(&server.address().replace(':', "..")));
        for line in certificates.lines() {
            let _ = writeln!(out, "    {line}");
        }
    }
    out
}
