//! Products: what runs and was never found healthy, what waits, what failed; files, Secrets and units beside it.

use super::{Check, Finding, NO_SITE, Patient};
use crate::files::{self, Is};
use crate::site::secrets::Held;
use crate::store::products::ProductState;

const PRODUCTS: Check = Check { id: "products", why: "what runs here should be what was last found healthy" };
const FILES: Check =
    Check { id: "files", why: "a file that changed behind Consign's back is never overwritten, so updates stop there" };
const SECRETS: Check = Check { id: "secrets", why: "a release that wants a Secret of this site is refused without it" };
const UNITS: Check =
    Check { id: "units", why: "without a unit of systemd the registry is gone after a restart, and nodes cannot pull" };

/// Where units of this program lie, packaged or written by hand.
const UNIT_FOLDERS: [&str; 4] =
    ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(site) = patient.site else {
        return [PRODUCTS, FILES, SECRETS, UNITS].iter().map(|one| one.skipped(NO_SITE)).collect();
    };
    let mut findings = match site.store.products() {
        Ok(products) if products.is_empty() => vec![PRODUCTS.ok("nothing is installed yet")],
        Ok(products) => products.iter().flat_map(judge).collect(),
        Err(error) => vec![PRODUCTS.failed(&error)],
    };
    findings.push(files(site));
    findings.extend(secrets(site));
    findings.push(units(patient));
    findings
}

fn judge(product: &ProductState) -> Vec<Finding> {
    let name = &product.product;
    let mut findings = Vec::new();
    match &product.current {
        Some(current) if !current.confirmed => findings.push(PRODUCTS.fail(
            format!("{name} {} runs and was not found healthy", current.release.version),
            "consign-site status says what to do next; consign-site receipts show says why",
        )),
        Some(current) => {
            findings.push(PRODUCTS.ok(format!("{name} {} runs, and was found healthy", current.release.version)))
        }
        None => findings
            .push(PRODUCTS.warn(format!("nothing of {name} runs"), "run consign-site install FILE with its bundle")),
    }
    if let Some(staged) = &product.staged {
        let fix = "consign-site activate";
        findings.push(PRODUCTS.warn(format!("{name} {} is complete here and waits", staged.release.version), fix));
    }
    if let Some(failed) = &product.failed {
        let fix = "consign-site receipts show says why; when that is mended, install it with --retry, or bring a newer release";
        findings.push(PRODUCTS.warn(format!("{name} {} was tried and did not become healthy", failed.version), fix));
    }
    findings
}

fn files(site: &crate::Site) -> Finding {
    let placed = match files::status(site) {
        Ok(placed) => placed,
        Err(error) => return FILES.failed(&error),
    };
    let wrong: Vec<String> =
        placed.iter().filter(|file| file.is != Is::AsPlaced).map(|file| format!("{} ({})", file.to, file.is)).collect();
    match wrong.as_slice() {
        [] => FILES.ok(format!("{} files are as they were placed", placed.len())),
        wrong => FILES.fail(
            format!("not as they were placed: {}", wrong.join(", ")),
            "keep what you need of them elsewhere, move them away, and install the release again",
        ),
    }
}

fn secrets(site: &crate::Site) -> Vec<Finding> {
    let of = |domain: &consign_format::Name| match site.secrets(domain) {
        Ok(Held::Absent(absent)) => Some(SECRETS.fail(
            format!("those of domain {domain} must be brought again: {absent}"),
            "ask headquarters for them: consign secret, carried like a bundle",
        )),
        Ok(Held::Here(_)) => Some(SECRETS.ok(format!("those of domain {domain} are here"))),
        Ok(Held::Never) => None,
        Err(error) => Some(SECRETS.failed(&error)),
    };
    site.domains.keys().filter_map(of).collect()
}

fn units(patient: &Patient<'_>) -> Finding {
    let (Some(place), Some(config)) = (patient.place, patient.config) else { return UNITS.skipped(super::NO_CONFIG) };
    if config.registry.existing.is_some() {
        return UNITS.ok("nodes pull from a registry that the site already has, so nothing of ours has to run");
    }
    if !place.is_machine() {
        return UNITS.skipped("this site lies below a folder of its own; who starts its registry is not known");
    }
    let ours = |file: &String| file.rsplit('/').next().is_some_and(|name| name.starts_with("consign"));
    let found: Vec<String> =
        UNIT_FOLDERS.iter().flat_map(|folder| place.files(folder, ".service")).filter(ours).collect();
    judge_units(&found)
}

fn judge_units(found: &[String]) -> Finding {
    match found {
        [] => UNITS.warn(
            "no unit of systemd starts the registry with this machine",
            "consign-site setup writes it and starts it; run again, it does only what is left",
        ),
        found => UNITS.ok(format!("there is {}", found.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use crate::store::products::{ReleaseRef, Staged};
    use consign_format::Digest;
    use consign_format::receipt::ByteCounts;

    fn levels(product: &ProductState) -> Vec<Level> {
        judge(product).iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn what_was_never_healthy_fails_and_what_waits_is_told() {
        let digest = Digest::of(b"r");
        let release = ReleaseRef { digest, version: "1".to_owned(), sequence: 1, line: None, bundle: digest };
        let (phases, warnings, bytes) = (vec![], vec![], ByteCounts::default());
        let mut product = ProductState::new("d".parse().unwrap(), "p".parse().unwrap());
        assert_eq!(levels(&product), [Level::Warn]);
        product.stage(Staged { release, root: 1, agreed: false, at: 0, phases, bytes, warnings });
        assert_eq!(levels(&product), [Level::Warn, Level::Warn]);
        product.activate();
        assert_eq!(levels(&product), [Level::Fail]);
        product.confirm();
        assert_eq!(levels(&product), [Level::Ok]);
        product.halt();
        assert_eq!(levels(&product), [Level::Ok, Level::Warn]);
    }

    #[test]
    fn a_site_without_units_is_warned() {
        assert_eq!(judge_units(&[]).level, Level::Warn);
        assert_eq!(judge_units(&["/etc/systemd/system/consign-registry.service".to_owned()]).level, Level::Ok);
    }
}
