//! Names: the one by which nodes reach the registry, and `localhost`, which must be this machine.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::mpsc;
use std::time::Duration;

use super::{Check, Finding, Patient};
use crate::nodes::Place;
use crate::nodes::written::Written;

const NAMES: Check = Check {
    id: "registry-name",
    why: "a node that cannot resolve the registry's name pulls nothing, and a site has no internet to ask instead",
};
const LOCALHOST: Check =
    Check { id: "localhost", why: "much software on this machine reaches its own parts by this name" };

/// A resolver that does not answer is a finding; it must not hold up the others.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = vec![judge_localhost(resolve("localhost"))];
    let servers = match servers(patient) {
        Ok(servers) => servers,
        Err(reason) => return [findings, vec![NAMES.skipped(reason)]].concat(),
    };
    let hosts: Vec<String> = servers.iter().filter_map(|server| host(server)).collect();
    if hosts.is_empty() {
        findings.push(NAMES.skipped("this node was not told of a registry: run consign-site nodes write"));
    }
    findings.extend(hosts.iter().map(|host| match host.parse::<IpAddr>() {
        Ok(_) => NAMES.ok(format!("nodes reach it as {host}, an address that needs no resolving")),
        Err(_) => judge(host, resolve(host)),
    }));
    findings
}

/// What nodes were told, or will be.
pub(super) fn servers(patient: &Patient<'_>) -> Result<Vec<String>, String> {
    let config = patient.config.ok_or(super::NO_CONFIG)?;
    if !config.nodes.servers.is_empty() {
        return Ok(config.nodes.servers.clone());
    }
    let place: &Place = patient.place.ok_or("the root folder cannot be looked at")?;
    Ok(Written::read(place).map_err(|error| error.to_string())?.told.servers)
}

fn host(server: &str) -> Option<String> {
    let server: crate::nodes::Server = server.parse().ok()?;
    Some(server.host().trim_start_matches('[').trim_end_matches(']').to_owned())
}

/// The addresses of a name; an error where there is no answer in time.
pub(super) fn resolve(name: &str) -> Result<Vec<IpAddr>, String> {
    let (asked, (tell, told)) = (name.to_owned(), mpsc::channel());
    // The system's resolver cannot be stopped; its thread ends with it, or with this program.
    std::thread::spawn(move || {
        let found = (asked.as_str(), 0).to_socket_addrs().map(|found| found.map(|at| at.ip()).collect::<Vec<_>>());
        let _ = tell.send(found.map_err(|error| error.to_string()));
    });
    told.recv_timeout(ANSWERED_WITHIN)
        .unwrap_or_else(|_| Err(format!("no answer within {} seconds", ANSWERED_WITHIN.as_secs())))
}

fn judge_localhost(found: Result<Vec<IpAddr>, String>) -> Finding {
    let fix = "put `127.0.0.1 localhost` and `::1 localhost` first into /etc/hosts";
    match found {
        Ok(found) if !found.is_empty() && found.iter().all(IpAddr::is_loopback) => LOCALHOST.ok("it is this machine"),
        Ok(found) => LOCALHOST.fail(format!("it leads to {found:?}"), fix),
        Err(reason) => LOCALHOST.fail(format!("it leads nowhere: {reason}"), fix),
    }
}

fn judge(host: &str, found: Result<Vec<IpAddr>, String>) -> Finding {
    let fix = format!("add a line `ADDRESS {host}` to /etc/hosts of every node, or the name to the site's name server");
    match found {
        Ok(found) if !found.is_empty() => {
            let addresses: Vec<String> = found.iter().map(IpAddr::to_string).collect();
            NAMES.ok(format!("{host} is {}, asked on this node", addresses.join(", ")))
        }
        Ok(_) => NAMES.fail(format!("{host} has no address"), fix),
        Err(reason) => NAMES.fail(format!("{host} leads nowhere: {reason}"), fix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn localhost_is_this_machine_and_nothing_else() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for (found, expected) in [
            (Ok(vec![at("127.0.0.1"), at("::1")]), Level::Ok),
            (Ok(vec![at("127.0.0.1"), at("10.0.0.1")]), Level::Fail),
            (Ok(vec![]), Level::Fail),
            (Err("x".to_owned()), Level::Fail),
        ] {
            assert_eq!(judge_localhost(found).level, expected);
        }
    }

    #[test]
    fn a_name_that_leads_nowhere_says_what_to_write_where() {
        let finding = judge("registry.site", Err("Name or service not known".to_owned()));
        assert_eq!(finding.level, Level::Fail);
        assert!(finding.fix.unwrap().contains("/etc/hosts"));
        assert_eq!(judge("registry.site", Ok(vec![[10, 0, 0, 1].into()])).level, Level::Ok);
        assert_eq!(host("https://[fd00::1]:5000").unwrap(), "fd00::1");
    }

    #[test]
    fn this_machines_own_name_is_resolved() {
        assert_eq!(judge_localhost(resolve("localhost")).level, Level::Ok);
    }
}
