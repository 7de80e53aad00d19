//! The registry: whether it answers, to this machine and under the name that nodes use, and whether it is the right one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use consign_format::error::Coded as _;

use super::{Check, Finding, NO_CONFIG, PATIENCE, Patient};
use crate::config::SiteConfig;
use crate::nodes::check::{Answer, answers};
use crate::nodes::written::Written;
use crate::nodes::{Credentials, Server, Setup, authority};
use crate::site_registry::SiteRegistry;

const PORT: Check =
    Check { id: "registry-port", why: "nodes pull from this address; who else answers there cannot be pulled from" };
const REACHED: Check = Check {
    id: "registry-reached",
    why: "what nodes were told must lead to this registry, from this node at least; others are asked by `nodes check`",
};

/// Loopback, or the machine beside us.
const CONNECTED_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(config) = patient.config else { return vec![PORT.skipped(NO_CONFIG), REACHED.skipped(NO_CONFIG)] };
    let port = match &config.registry.existing {
        Some(_) => existing(patient, config).await,
        None => embedded(patient, config).await,
    };
    [vec![port], reached(patient, config).await].concat()
}

/// A registry that the site already has, asked as an install would ask it.
async fn existing(patient: &Patient<'_>, config: &SiteConfig) -> Finding {
    let (Some(existing), Some(site)) = (&config.registry.existing, patient.site) else {
        return PORT.skipped(super::NO_SITE);
    };
    let registry = match SiteRegistry::new(existing, site.identity.site.clone(), &patient.waiting) {
        Ok(registry) => registry,
        Err(error) => return PORT.failed(&error),
    };
    match tokio::time::timeout(PATIENCE, registry.ready()).await {
        Ok(Ok(())) => PORT.ok(format!("{} answers and lets us in", existing.address)),
        Ok(Err(error)) => PORT.failed(&error),
        Err(_) => PORT.fail(
            format!("{} did not answer in {} seconds", existing.address, PATIENCE.as_secs()),
            "is it running, and does a firewall between let this port through?",
        ),
    }
}

/// What is at the address of the embedded registry.
enum AtPort {
    Somebody,
    Nobody,
    Unusable(String),
}

async fn embedded(patient: &Patient<'_>, config: &SiteConfig) -> Finding {
    let listen = config.registry.listen;
    match at_port(listen) {
        AtPort::Somebody => {}
        other => return judge_port(listen, &other, installed(patient)),
    }
    let scheme = if config.registry.plain_http { "http" } else { "https" };
    let server = format!("{scheme}://{}", reachable(listen)).parse::<Server>();
    match (setup(patient, config, vec![]), server) {
        (Ok(setup), Ok(server)) => match within(&setup, &server).await {
            Ok(_) => PORT.ok(format!("this site's registry answers at {listen}")),
            Err(reason) => PORT.fail(
                format!("something answers at {listen} and is not this site's registry: {reason}"),
                format!(
                    "see who listens (ss -ltnp), and stop that, or give the registry another address: `listen` in {}",
                    patient.store.config_file().display()
                ),
            ),
        },
        (Err(reason), _) => PORT.skipped(format!("something answers at {listen}; who, cannot be asked: {reason}")),
        (_, Err(error)) => PORT.skipped(error.to_string()),
    }
}

fn installed(patient: &Patient<'_>) -> bool {
    patient.store.products().is_ok_and(|products| !products.is_empty())
}

/// Listening for a moment is the only way to learn whether one could.
fn at_port(listen: SocketAddr) -> AtPort {
    if TcpStream::connect_timeout(&reachable(listen), CONNECTED_WITHIN).is_ok() {
        return AtPort::Somebody;
    }
    match TcpListener::bind(listen) {
        Ok(_) => AtPort::Nobody,
        Err(error) => AtPort::Unusable(error.to_string()),
    }
}

/// Who listens at all addresses is reached at loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn judge_port(listen: SocketAddr, at: &AtPort, installed: bool) -> Finding {
    let start = "start it: consign-site serve, as a service that starts with the machine";
    match at {
        AtPort::Somebody => PORT.ok(format!("somebody answers at {listen}")),
        AtPort::Unusable(reason) => PORT.fail(
            format!("nothing answers at {listen}, and nothing can listen there: {reason}"),
            "name an address of this machine and a port above 1023 as `listen` under [registry] of site.toml",
        ),
        AtPort::Nobody if installed => {
            PORT.fail(format!("nothing answers at {listen}: the registry does not run"), start)
        }
        AtPort::Nobody => PORT.warn(format!("nothing answers at {listen}, and nothing is installed yet"), start),
    }
}

fn setup(patient: &Patient<'_>, config: &SiteConfig, servers: Vec<Server>) -> Result<Setup, String> {
    let place = patient.place.ok_or("the root folder cannot be looked at")?;
    let told = Written::read(place).map_err(|error| error.to_string())?.told;
    let file = config.nodes.credentials.clone().or(told.credentials);
    let credentials = file.as_deref().map(Credentials::read).transpose().map_err(|error| error.to_string())?;
    let authority = authority::read(place).map_err(|error| error.to_string())?;
    Ok(Setup { servers, authority, credentials, hosts: Default::default() })
}

/// One server is asked once, and has an end.
async fn within(setup: &Setup, server: &Server) -> Result<Answer, String> {
    let late = || format!("it did not answer in {} seconds", PATIENCE.as_secs());
    tokio::time::timeout(PATIENCE, answers(setup, server)).await.unwrap_or_else(|_| Err(late()))
}

async fn reached(patient: &Patient<'_>, config: &SiteConfig) -> Vec<Finding> {
    let told = match super::names::servers(patient) {
        Ok(told) => told,
        Err(reason) => return vec![REACHED.skipped(reason)],
    };
    let servers: Result<Vec<Server>, _> = told.iter().map(|text| text.parse::<Server>()).collect();
    let servers = match servers {
        Ok(servers) if servers.is_empty() => return vec![REACHED.skipped("this node was not told of a registry")],
        Ok(servers) => servers,
        Err(error) => return vec![REACHED.fail(error.to_string(), error.hint().unwrap_or_default())],
    };
    let setup = match setup(patient, config, servers.clone()) {
        Ok(setup) => setup,
        Err(reason) => return vec![REACHED.skipped(reason)],
    };
    let mut findings = Vec::new();
    for server in &servers {
        findings.push(judge_reached(server, within(&setup, server).await));
    }
    findings
}

fn judge_reached(server: &Server, answer: Result<Answer, String>) -> Finding {
    match answer {
        Ok(Answer::LetsIn) => REACHED.ok(format!("{server} answers this node and is trusted")),
        Ok(Answer::WantsPassword) => REACHED.warn(
            format!("{server} answers this node, is trusted, and wants a password that was not given here"),
            "name the file with it as `credentials` under [nodes] of site.toml, and run consign-site nodes write",
        ),
        Err(reason) => REACHED.fail(
            format!("{server}: {reason}"),
            "is it running, does its name lead to it, and is its certificate by the authority in /etc/consign/ca.crt? consign-site nodes check asks further",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_port_is_free_taken_or_not_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(matches!(at_port(address), AtPort::Somebody));
        drop(listener);
        assert!(matches!(at_port(address), AtPort::Nobody));
        // An address of documentation (RFC 5737) is nobody's.
        assert!(matches!(at_port("192.0.2.1:5000".parse().unwrap()), AtPort::Unusable(_)));
    }

    #[test]
    fn a_registry_that_does_not_run_fails_once_something_is_installed() {
        let listen = "127.0.0.1:5000".parse().unwrap();
        assert_eq!(judge_port(listen, &AtPort::Nobody, true).level, Level::Fail);
        assert_eq!(judge_port(listen, &AtPort::Nobody, false).level, Level::Warn);
        assert_eq!(judge_port(listen, &AtPort::Unusable("x".to_owned()), false).level, Level::Fail);
    }

    #[test]
    fn all_addresses_are_reached_at_loopback() {
        for (listen, expected) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
