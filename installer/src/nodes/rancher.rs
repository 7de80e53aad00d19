//! k3s and RKE2: registries.yaml, from which they make their containerd's hosts.toml anew at every start.

use std::fmt::Write as _;

use super::{Advice, HEADER, NodesError, Place, Runtime, Setup, Wanted, text};

/// What a node with k3s or RKE2 should have.
pub fn wanted(runtime: Runtime, setup: &Setup, place: &Place) -> Result<Wanted, NodesError> {
    let folder = folder(runtime);
    let mut wanted = Wanted::default();
    let authority = match setup.needed_authority() {
        Some(certificates) => {
            let path = format!("{folder}/site-ca.crt");
            wanted.file(runtime, path.clone(), format!("{HEADER}{certificates}"), false, true);
            Some(text(place.name(&path))?)
        }
        None => None,
    };
    let registries = registries(setup, authority.as_deref());
    wanted.file(runtime, format!("{folder}/registries.yaml"), registries, setup.credentials.is_some(), true);
    let no_upstream = format!("{HEADER}disable-default-registry-endpoint: true\n");
    wanted.file(runtime, format!("{folder}/config.yaml.d/50-consign.yaml"), no_upstream, false, true);
    wanted.advice.extend(embedded(runtime, place, folder)?);
    Ok(wanted)
}

/// Where a distribution is configured.
pub(super) fn folder(runtime: Runtime) -> &'static str {
    if runtime == Runtime::Rke2 { "/etc/rancher/rke2" } else { "/etc/rancher/k3s" }
}

/// With its own registry between peers, it hands on what a node has under any name.
fn embedded(runtime: Runtime, place: &Place, folder: &str) -> Result<Option<Advice>, NodesError> {
    let mut files = place.files(&format!("{folder}/config.yaml.d"), ".yaml");
    files.push(format!("{folder}/config.yaml"));
    let says = |text: String| text.lines().any(|line| line.trim_start().starts_with("embedded-registry: true"));
    for file in files {
        if place.look(&file)?.is_some_and(says) {
            let file = place.name(&file);
            return Ok(Some(Advice {
                runtime,
                message: format!(
                    "{} has embedded-registry: true; nodes then also take images from each other",
                    file.display()
                ),
                fix: "leave it if that is meant; images by tag may then be older than those of this site".to_owned(),
                needed: false,
            }));
        }
    }
    Ok(None)
}

/// A text in YAML's double quotes; what JSON writes is read the same.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn registries(setup: &Setup, authority: Option<&str>) -> String {
    let endpoints: Vec<String> = setup.servers.iter().map(|server| quoted(&server.to_string())).collect();
    let endpoints = endpoints.join(", ");
    let mut out = format!("{HEADER}mirrors:\n");
    for host in std::iter::once("*").chain(setup.hosts.iter().map(String::as_str)) {
        let _ = write!(out, "  {}:\n    endpoint: [{endpoints}]\n", quoted(host));
    }
    let mut configs = String::new();
    for server in &setup.servers {
        let mut config = String::new();
        if let Some(credentials) = &setup.credentials {
            let (user, password) = (quoted(&credentials.user), quoted(&credentials.password));
            let _ = writeln!(config, "    auth: {{username: {user}, password: {password}}}");
        }
        if let Some(path) = authority.filter(|_| server.tls()) {
            let _ = writeln!(config, "    tls: {{ca_file: {}}}", quoted(path));
        }
        if !config.is_empty() {
            let _ = write!(configs, "  {}:\n{config}", quoted(server.address()));
        }
    }
    if !configs.is_empty() {
        let _ = write!(out, "configs:\n{configs}");
    }
    out
}
