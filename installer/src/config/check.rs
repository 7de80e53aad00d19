//! What a configuration means, and what of it cannot work or was hardly meant. Looks at files; asks nobody else.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::gates::Kind;
use super::{HandoffKind, LoginFile, RegistryConfig, SiteConfig};
use crate::apply::Lookup;
use crate::apply::cluster::Found;
use crate::nodes::Server;

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it cannot work; else it can, and was hardly meant.
    pub error: bool,
    /// What.
    pub what: String,
}

/// The findings so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn cannot(&mut self, what: impl Into<String>) {
        self.0.push(Finding { error: true, what: what.into() });
    }

    fn hardly(&mut self, what: impl Into<String>) {
        self.0.push(Finding { error: false, what: what.into() });
    }

    /// A file that is named has to be one that can be read.
    fn file(&mut self, what: &str, path: &Path) {
        if let Err(error) = std::fs::File::open(path) {
            self.cannot(format!("{what} {} cannot be read: {error}", path.display()));
        }
    }
}

/// What cannot work, and what was hardly meant.
pub fn findings(config: &SiteConfig, lookup: &Lookup, now: Timestamp) -> Vec<Finding> {
    let mut found = Findings::default();
    cluster(config, lookup, &mut found);
    registry(&config.registry, &mut found);
    nodes(config, &mut found);
    gates(config, now, &mut found);
    if config.apply.pre_pulls() && config.apply.pre_pull_minutes == 0 {
        found.cannot("under [apply], nodes that pull need more than 0 `pre-pull-minutes`");
    }
    allow(config, &mut found);
    found.0
}

fn cluster(config: &SiteConfig, lookup: &Lookup, found: &mut Findings) {
    if config.handoff == HandoffKind::Export {
        if config.kubeconfig.is_some() {
            found.hardly("`kubeconfig` says nothing to the handoff `export`");
        }
        return;
    }
    if config.export_dir.is_some() {
        found.hardly("`export-dir` says nothing to the handoff `direct`");
    }
    match lookup.find() {
        Ok(Found::Files(files)) => files.iter().for_each(|file| found.file("the kubeconfig", file)),
        Ok(Found::InCluster) => {}
        Err(error) => found.cannot(format!("the handoff `direct` needs a cluster: {error}")),
    }
}

fn registry(registry: &RegistryConfig, found: &mut Findings) {
    for (what, path) in
        [("the certificate", &registry.certificate), ("the key", &registry.key), ("the users", &registry.users)]
    {
        if let Some(path) = path {
            found.file(what, path);
        }
    }
    if registry.certificate.is_some() != registry.key.is_some() {
        found.cannot("under [registry], `certificate` and `key` go together");
    }
    if let Some(existing) = &registry.existing {
        if let Some(ca) = &existing.ca {
            found.file("the registry's authority", ca);
        }
        if let LoginFile::Line(path) | LoginFile::Docker(path) = &existing.login {
            found.file("the registry's credentials", path);
        }
        return;
    }
    if registry.plain_http && !registry.listen.ip().is_loopback() {
        found.hardly(format!(
            "the registry is served without TLS on {}: whoever is on that network reads names and passwords, and may \
             answer in its place",
            registry.listen
        ));
    }
}

fn nodes(config: &SiteConfig, found: &mut Findings) {
    for text in &config.nodes.servers {
        match text.parse::<Server>() {
            Err(error) => found.cannot(format!("under [nodes]: {error}")),
            Ok(server) if !server.tls() && !server.is_loopback() && !config.nodes.plain_http => {
                found.cannot(format!("under [nodes], {server} is not encrypted, and `plain-http` is not said"));
            }
            Ok(server) => {
                let own = config.registry.existing.is_none();
                if own && !server.is_loopback() && config.registry.listen.ip().is_loopback() {
                    found.hardly(format!(
                        "nodes are sent to {server}, and the registry of this machine listens on {} alone",
                        config.registry.listen
                    ));
                }
            }
        }
    }
    if let Some(path) = &config.nodes.credentials {
        found.file("the nodes' credentials", path);
    }
}

fn gates(config: &SiteConfig, now: Timestamp, found: &mut Findings) {
    for (number, window) in (1..).zip(&config.windows) {
        if window.schedule.next(now).is_none() {
            let word = if window.kind == Kind::Allow { "opens" } else { "begins" };
            found.cannot(format!("window number {number} never {word}"));
        }
    }
    if let Some(probe) = config.interlock.probe.first() {
        let path = Path::new(probe);
        if !path.is_absolute() {
            found.hardly(format!("the probe `{probe}` is looked for in whatever PATH a run has; name it by its path"));
        } else if !path.is_file() {
            found.cannot(format!("the probe {probe} is not there, and so everything counts as in use"));
        }
    }
    if config.interlock.lease.is_some() && config.handoff == HandoffKind::Export {
        found.hardly("the interlock's Lease lies in a cluster, and the handoff `export` may have none");
    }
}

fn allow(config: &SiteConfig, found: &mut Findings) {
    let allow = &config.allow;
    if allow.kinds.as_ref().is_some_and(Vec::is_empty) {
        found.hardly("[allow] names no kind: no release with objects is taken");
    }
    if allow.namespaces.as_ref().is_some_and(Vec::is_empty) {
        found.hardly("[allow] names no namespace: no release with objects is taken");
    }
    if allow.namespaces.is_some() && allow.kinds.is_none() {
        found.hardly(
            "[allow] names namespaces and no kinds: custom resources, and all that lies in no namespace, are refused",
        );
    }
    for path in allow.paths.iter().flatten().filter(|path| !path.is_absolute()) {
        found.cannot(format!("under [allow], {} is no absolute path", path.display()));
    }
    let Some(tenant) = &config.tenant else { return };
    if allow.namespaces.as_ref().is_some_and(|names| !names.iter().any(|name| name == tenant.namespace.as_str())) {
        found.cannot(format!("[allow] does not name {}, the one namespace of this tenant", tenant.namespace));
    }
    if config.interlock.lease.as_ref().is_some_and(|lease| lease.namespace.as_str() != tenant.namespace.as_str()) {
        found.cannot("the interlock's Lease lies in a namespace that this tenant may not read");
    }
}

/// The decisions in plain words.
pub fn meaning(config: &SiteConfig) -> Vec<String> {
    let mut lines = vec![match config.handoff {
        HandoffKind::Direct => "this program applies releases to the cluster itself".to_owned(),
        HandoffKind::Export => "releases are written into a folder, for somebody else to apply".to_owned(),
    }];
    if let Some(tenant) = &config.tenant {
        lines.push(format!("it is a tenant: nothing outside the namespace {} is read or written", tenant.namespace));
    }
    if config.handoff == HandoffKind::Direct && config.apply.pre_pulls() {
        let minutes = config.apply.pre_pull_minutes;
        lines.push(format!("nodes pull the images of a release before it is applied, in {minutes} minutes at most"));
    }
    if config.require_scan {
        lines.push("only bundles that somebody attested to be scanned are taken".to_owned());
    }
    let list = |names: &Option<Vec<String>>| match names {
        None => "all".to_owned(),
        Some(names) => names.join(", "),
    };
    lines.push(format!("kinds that a release may hold: {}", list(&config.allow.kinds)));
    lines.push(format!("namespaces: {}", list(&config.allow.namespaces)));
    let paths = config.allow.paths.as_ref();
    let paths = paths.map(|paths| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>());
    lines.push(format!("folders that files may be placed in: {}", list(&paths)));
    lines.push(format!("units: {}", list(&Some(config.allow.units.clone()))));
    let windows = match (config.windows.len(), config.windows.iter().any(|window| window.kind == Kind::Allow)) {
        (0, _) => "releases may be activated at any time".to_owned(),
        (count, true) => format!("releases may be activated while one of {count} windows says so"),
        (count, false) => format!("releases may be activated but in {count} windows"),
    };
    lines.push(windows);
    let RegistryConfig { listen, plain_http, existing, .. } = &config.registry;
    lines.push(match existing {
        Some(existing) => format!("images go to the registry {}", existing.address),
        None => format!("images are served on {}://{listen}", if *plain_http { "http" } else { "https" }),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(bool, String)> {
        let dir = tempfile::tempdir().unwrap();
        let config: SiteConfig = toml::from_str(text).unwrap();
        let lookup = Lookup { flag: config.kubeconfig.clone(), root: dir.path().to_owned(), ..Lookup::default() };
        let now = "2026-11-25T12:00:00Z".parse().unwrap();
        findings(&config, &lookup, now).into_iter().map(|one| (one.error, one.what)).collect()
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (text, says) in [
            ("", "found no kubeconfig"),
            ("kubeconfig = '/nonexistent/config'", "/nonexistent/config cannot be read"),
            ("handoff = 'export'\n[registry]\ncertificate = '/dev/null'", "go together"),
            ("handoff = 'export'\n[registry]\nurl = 'https://h.site'\nca = '/nonexistent/ca'", "/nonexistent/ca"),
            ("handoff = 'export'\n[nodes]\nservers = ['http://10.0.0.1:5000']", "not encrypted"),
            ("handoff = 'export'\n[nodes]\nservers = ['registry']", "https://"),
            (
                "handoff = 'export'\n[[windows]]\nkind = 'allow'\nschedule = '0 2 30 2 *'\nduration = '1h'",
                "window number 1 never opens",
            ),
            ("handoff = 'export'\n[interlock]\nprobe = ['/nonexistent/probe']", "counts as in use"),
            ("handoff = 'export'\n[allow]\npaths = ['opt']", "no absolute path"),
            ("handoff = 'export'\n[apply]\npre-pull = 'on'\npre-pull-minutes = 0", "more than 0"),
            ("handoff = 'export'\n[tenant]\nnamespace = 'a'\n[allow]\nnamespaces = ['b']", "does not name a"),
            ("handoff = 'export'\n[tenant]\nnamespace = 'a'\n[interlock]\nlease = 'b/c'", "may not read"),
        ] {
            let found = found(text);
            assert!(found.iter().any(|(error, what)| *error && what.contains(says)), "{text}: {found:?}");
        }
    }

    #[test]
    fn what_was_hardly_meant_is_a_warning() {
        for (text, says) in [
            ("[registry]\nlisten = '0.0.0.0:5000'\nplain-http = true", "without TLS"),
            ("[nodes]\nservers = ['https://registry.site:5000']", "alone"),
            ("[allow]\nnamespaces = ['a']", "no kinds"),
            ("[allow]\nkinds = []", "names no kind"),
            ("kubeconfig = '/x'", "says nothing"),
            ("[interlock]\nprobe = ['idle']", "PATH"),
        ] {
            let found = found(&format!("handoff = 'export'\n{text}"));
            assert!(found.iter().any(|(error, what)| !error && what.contains(says)), "{text}: {found:?}");
            assert!(found.iter().all(|(error, _)| !error), "{text}: {found:?}");
        }
        assert_eq!(found("handoff = 'export'"), []);
    }
}
