//! The steps below /var/lib/consign and /etc/consign: enrolment, site.toml, the registry's authority.

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};

use consign_format::Digest;
use consign_format::error::Failure;
use consign_format::trust::{Fingerprint, fingerprint};
use consign_terminal::Usage;

use super::{Arguments, Context, State, Steps, serves};
use crate::cli::enrol::Wanted;
use crate::config::{HandoffKind, NodesConfig, PrePull, RegistryConfig, SiteConfig, TenantConfig};
use crate::nodes::Server;
use crate::serve::certify;
use crate::site::{Enrolment, Site, enrol as enrol_site};
use crate::tls::Authority;

pub(super) fn enrol(
    context: &Context<'_>,
    arguments: &Arguments,
    wanted: Wanted,
    fingerprint: Fingerprint,
    steps: &mut Steps<'_>,
) -> Result<(), Failure> {
    let Wanted { root, site, production, kit } = wanted;
    if arguments.dry_run {
        steps.tell("enrol", State::Done, format!("site {site}, by the root {}", Digest::of(&root).hex()));
        return Ok(());
    }
    let production = production || arguments.production;
    let (now, random) = (context.machine.clocks.now(), &context.machine.random);
    let fingerprint = Some(fingerprint);
    let enrolment =
        Enrolment { root: &root, fingerprint, site, production, replace: false, after: None, kit, now, random };
    let enrolled = enrol_site(&context.store, &enrolment)?;
    if enrolled.development {
        context.terminal.warn("this is a development root: one key in every role; for production use another");
    }
    let mut text = format!("site {} in domain {}", enrolled.site, enrolled.domain);
    if enrolled.record.is_none() {
        text += &format!(
            "\nbring {} to headquarters, and read these words out by telephone:\n{}",
            enrolled.request.display(),
            fingerprint::words(&enrolled.request_fingerprint)
        );
    }
    steps.tell("enrol", State::Done, text);
    Ok(())
}

/// The configuration of a site that has none yet.
pub(super) fn config(arguments: &Arguments, kubeconfig: Option<std::path::PathBuf>) -> Result<SiteConfig, Failure> {
    let mut config = SiteConfig { handoff: arguments.handoff, kubeconfig, ..SiteConfig::default() };
    if let Some(url) = &arguments.registry {
        let wrong = |error: toml::de::Error| Usage { message: error.message().to_owned(), hint: None };
        let text = format!("registry = {}", toml::Value::from(url.as_str()));
        config.registry = toml::from_str::<SiteConfig>(&text).map_err(wrong)?.registry;
    }
    if let Some(url) = &arguments.server {
        config.registry = served(&url.parse::<Server>()?)?;
        config.nodes = NodesConfig { servers: vec![url.clone()], ..NodesConfig::default() };
    }
    if let (true, Some(namespace)) = (arguments.tenant, &arguments.namespace) {
        config.tenant = Some(TenantConfig { namespace: namespace.clone() });
        config.allow.namespaces = Some(vec![namespace.to_string()]);
        // A tenant of the cluster is a guest on its machine too.
        config.allow.paths = Some(Vec::new());
    } else if config.handoff == HandoffKind::Direct {
        // A tenant may seldom see nodes; whoever has the cluster to himself may.
        config.apply.pre_pull = PrePull::On;
    }
    Ok(config)
}

/// The registry of this machine, such that nodes reach it under this name.
fn served(server: &Server) -> Result<RegistryConfig, Usage> {
    let host = server.host().trim_matches(['[', ']']).to_owned();
    let port = server.address()[server.host().len()..].trim_start_matches(':');
    let port: u16 = if port.is_empty() { 443 } else { port.parse().unwrap_or_default() };
    if !server.tls() || port == 0 {
        let hint = Some("say https://HOST:PORT; http is for site.toml, where it can be explained".to_owned());
        return Err(Usage { message: format!("{server} is no registry that can be set up"), hint });
    }
    if server.is_loopback() {
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        return Ok(RegistryConfig { listen, ..RegistryConfig::default() });
    }
    let listen = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    Ok(RegistryConfig { listen, names: BTreeSet::from([host]), ..RegistryConfig::default() })
}

pub(super) fn site_toml(
    context: &Context<'_>,
    config: &SiteConfig,
    is_there: bool,
    steps: &mut Steps<'_>,
) -> Result<(), Failure> {
    let file = context.store.config_file();
    if is_there {
        steps.tell("site.toml", State::Found, format!("{}, left as it is", file.display()));
        return Ok(());
    }
    if !steps.dry_run {
        config.write_new(&file)?;
    }
    steps.tell("site.toml", State::Done, file.display().to_string());
    Ok(())
}

/// The authority of the registry, and its certificate; with the fingerprint that further nodes are told.
pub(super) fn authority(context: &Context<'_>, config: &SiteConfig, steps: &mut Steps<'_>) -> Result<(), Failure> {
    if !serves(config) || config.registry.plain_http || config.registry.certificate.is_some() {
        steps.tell("authority", State::Skipped, "the registry's certificate, if it has one, is not this site's own");
        return Ok(());
    }
    let before = Authority::read(&context.store)?.is_some();
    if steps.dry_run {
        let state = if before { State::Found } else { State::Done };
        steps.tell("authority", state, context.store.authority_bundle_file().display().to_string());
        return Ok(());
    }
    let site = Site::open(context.store.clone())?;
    certify(&site, config)?;
    let bundle = Authority::read(&context.store)?.map(|authority| authority.bundle()).unwrap_or_default();
    let text = format!(
        "{}\nfingerprint for further nodes: {}",
        context.store.authority_bundle_file().display(),
        Digest::of(bundle.as_bytes()).hex()
    );
    steps.tell("authority", if before { State::Found } else { State::Done }, text);
    Ok(())
}
