//! Certificates and documents that end: the registry's where it is not by our own authority, the API server's, the one in
//! the kubeconfig, the root of trust.
//!
//! The site's own authority signs without an end (decision 0008). A server's certificate is taken from a handshake that
//! is broken off once it was shown: nobody is trusted, nothing is sent.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::Kubeconfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Check, Finding, NO_CONFIG, NO_SITE, Patient};
use crate::apply::Lookup;
use crate::apply::cluster::Found;
use crate::config::HandoffKind;

mod shown;

const REGISTRY: Check =
    Check { id: "certificate-registry", why: "from the moment its certificate ends, no node pulls from the registry" };
const SERVER: Check = Check {
    id: "certificate-api-server",
    why: "from the moment it ends, nothing and nobody reaches the cluster; kubeadm's end after a year",
};
const USER: Check =
    Check { id: "certificate-kubeconfig", why: "from the moment it ends, Consign is not let into the cluster" };
const ROOT: Check = Check {
    id: "root-of-trust",
    why: "an old root stops nothing here, and says that no newer one has come for long; with --enforce-expiry it does",
};

const DAY: i64 = 86_400;
/// From here on somebody should look at it.
const SOON: i64 = 30 * DAY;

pub(super) fn look(patient: &Patient<'_>, lookup: &Lookup) -> Vec<Finding> {
    let mut findings = vec![registry(patient)];
    match patient.config {
        Some(config) if config.handoff == HandoffKind::Direct => findings.extend(cluster(lookup, now(patient))),
        Some(_) => findings
            .extend([SERVER, USER].map(|one| one.skipped("the handoff is export: the cluster is not ours to reach"))),
        None => findings.extend([SERVER, USER].map(|one| one.skipped(NO_CONFIG))),
    }
    findings.extend(roots(patient));
    findings
}

fn now(patient: &Patient<'_>) -> i64 {
    i64::try_from(patient.now).unwrap_or(i64::MAX)
}

fn registry(patient: &Patient<'_>) -> Finding {
    let Some(config) = patient.config else { return REGISTRY.skipped(NO_CONFIG) };
    let fix = "have whoever made it make a new one, and put it in the same place";
    if let Some(existing) = &config.registry.existing {
        let Some((host, port)) = existing.address.socket().filter(|_| existing.address.is_tls()) else {
            return REGISTRY.ok("the registry is reached without TLS");
        };
        return match shown::by_server(&host, port) {
            Ok(certificate) => ends(&REGISTRY, &existing.address.to_string(), &certificate, now(patient), fix),
            Err(reason) => REGISTRY.skipped(format!("{}: {reason}", existing.address)),
        };
    }
    match &config.registry.certificate {
        None => REGISTRY.ok("it is by the site's own authority and has no end"),
        Some(file) => match first_of(file) {
            Ok(certificate) => ends(&REGISTRY, &file.display().to_string(), &certificate, now(patient), fix),
            Err(reason) => REGISTRY.fail(format!("{}: {reason}", file.display()), fix),
        },
    }
}

fn first_of(file: &Path) -> Result<Vec<u8>, String> {
    CertificateDer::from_pem_file(file).map(|found| found.to_vec()).map_err(|error| error.to_string())
}

/// The certificates by which we and the API server know each other.
fn cluster(lookup: &Lookup, now: i64) -> Vec<Finding> {
    let kubeconfig = match lookup.find() {
        Ok(Found::Files(paths)) => merged(&paths),
        Ok(Found::InCluster) => {
            return [SERVER, USER].map(|one| one.skipped("a pod's account has no certificate")).into();
        }
        Err(error) => Err(error.to_string()),
    };
    let kubeconfig = match kubeconfig {
        Ok(kubeconfig) => kubeconfig,
        Err(reason) => return [SERVER, USER].map(|one| one.skipped(reason.clone())).into(),
    };
    vec![server(&kubeconfig, now), user(&kubeconfig, now)]
}

fn merged(paths: &[std::path::PathBuf]) -> Result<Kubeconfig, String> {
    let mut merged = Kubeconfig::default();
    for path in paths {
        let next = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
        merged = merged.merge(next).map_err(|error| error.to_string())?;
    }
    Ok(merged)
}

fn context(kubeconfig: &Kubeconfig) -> Option<&kube::config::Context> {
    let name = kubeconfig.current_context.as_ref()?;
    kubeconfig.contexts.iter().find(|one| one.name == *name)?.context.as_ref()
}

fn server(kubeconfig: &Kubeconfig, now: i64) -> Finding {
    let named = context(kubeconfig).and_then(|context| {
        let cluster = kubeconfig.clusters.iter().find(|one| one.name == context.cluster)?.cluster.as_ref()?;
        cluster.server.as_ref()?.parse::<http::Uri>().ok()
    });
    let Some((host, port)) = named.as_ref().and_then(|uri| Some((uri.host()?, uri.port_u16().unwrap_or(443)))) else {
        return SERVER.skipped("the kubeconfig names no server");
    };
    let fix = "renew it where the control plane runs: kubeadm certs renew all; k3s and RKE2 renew theirs at a restart";
    match shown::by_server(host, port) {
        Ok(certificate) => ends(&SERVER, &format!("that of {host}:{port}"), &certificate, now, fix),
        Err(reason) => SERVER.skipped(format!("{host}:{port}: {reason}")),
    }
}

fn user(kubeconfig: &Kubeconfig, now: i64) -> Finding {
    let user = context(kubeconfig).and_then(|context| context.user.as_ref());
    let info = user.and_then(|user| kubeconfig.auth_infos.iter().find(|one| one.name == *user)?.auth_info.as_ref());
    let Some(info) = info else { return USER.skipped("the kubeconfig names no user") };
    let certificate = match (&info.client_certificate_data, &info.client_certificate) {
        (Some(data), _) => STANDARD.decode(data).map_err(|error| error.to_string()).and_then(|pem| {
            CertificateDer::from_pem_slice(&pem).map(|one| one.to_vec()).map_err(|error| error.to_string())
        }),
        (None, Some(file)) => first_of(Path::new(file)),
        (None, None) => return USER.ok("it has no certificate: we are known by a token or a password"),
    };
    let fix = "have the cluster's administrator make a new kubeconfig; kubeadm certs renew admin.conf";
    match certificate {
        Ok(certificate) => ends(&USER, "that of the kubeconfig", &certificate, now, fix),
        Err(reason) => USER.fail(format!("the certificate in the kubeconfig cannot be read: {reason}"), fix),
    }
}

fn ends(check: &Check, whose: &str, certificate: &[u8], now: i64, fix: &str) -> Finding {
    match x509_parser::parse_x509_certificate(certificate) {
        Ok((_, parsed)) => judge(check, whose, parsed.validity().not_after.timestamp(), now, fix),
        Err(error) => check.skipped(format!("{whose} cannot be read: {error}")),
    }
}

fn judge(check: &Check, whose: &str, end: i64, now: i64, fix: &str) -> Finding {
    let date = jiff::Timestamp::from_second(end).map_or("never".to_owned(), |at| at.strftime("%Y-%m-%d").to_string());
    let left = end.saturating_sub(now);
    if left < 0 {
        check.fail(format!("{whose} ended on {date}, by this machine's clock"), fix)
    } else if left < SOON {
        check.warn(format!("{whose} ends on {date}, in {} days", left / DAY), fix)
    } else {
        check.ok(format!("{whose} ends on {date}"))
    }
}

/// Roots end as well. What the site has of releases names no end; an install warns of that.
fn roots(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(site) = patient.site else { return vec![ROOT.skipped(NO_SITE)] };
    let fix = "have headquarters renew the root: consign keys rotate; it comes with the next bundle";
    let of = |(name, state): (&consign_format::Name, &crate::site::DomainState)| match state.chain(&site.store) {
        Ok(chain) => match chain.root().expires.parse::<jiff::Timestamp>() {
            Ok(end) => late_is_a_warning(judge(
                &ROOT,
                &format!("root {} of domain {name}", chain.root().version),
                end.as_second(),
                now(patient),
                fix,
            )),
            Err(_) => ROOT.skipped(format!("the root of domain {name} names no end")),
        },
        Err(error) => ROOT.failed(&error),
    };
    site.domains.iter().map(of).collect()
}

/// Expiry decides nothing at a site by default (docs/trust.md).
fn late_is_a_warning(finding: Finding) -> Finding {
    let level = if finding.level == super::Level::Fail { super::Level::Warn } else { finding.level };
    Finding { level, ..finding }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn an_end_is_seen_a_month_ahead() {
        for (left, expected) in
            [(-1, Level::Fail), (0, Level::Warn), (SOON - 1, Level::Warn), (SOON, Level::Ok), (i64::MAX / 2, Level::Ok)]
        {
            assert_eq!(judge(&USER, "it", 1_000_000 + left, 1_000_000, "x").level, expected, "{left}");
        }
        assert_eq!(late_is_a_warning(judge(&ROOT, "it", 0, 1, "x")).level, Level::Warn);
    }

    #[test]
    fn the_end_of_a_real_certificate_is_read() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["registry.site".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 1, 2);
        let certificate = params.self_signed(&key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("c.pem"), certificate.pem()).unwrap();
        let der = first_of(&dir.path().join("c.pem")).unwrap();
        let finding = ends(&REGISTRY, "it", &der, 1_893_600_000, "x");
        assert_eq!((finding.level, finding.what.contains("2030-01-02")), (Level::Fail, true), "{finding:?}");
        let finding = ends(&REGISTRY, "it", &der, 1_893_000_000, "x");
        assert_eq!((finding.level, finding.what.contains("2030-01-02")), (Level::Warn, true), "{finding:?}");
        assert!(first_of(&dir.path().join("none")).is_err());
    }
}
