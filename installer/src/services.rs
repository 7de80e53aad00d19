//! Services of a release: made to start with the machine and restarted when their files change, without a line of shell.
//!
//! Before the files change, [`before_files`] notes what must be known afterwards: how each unit was before we touched
//! it, and what is to be restarted. [`after_files`] does it. A power cut in between loses neither, for both are on
//! record. A unit that leaves the release, or is taken back with it, becomes again what it was: stopped and disabled
//! before its files go, enabled and restarted once they are back.

use consign_format::Name;
use consign_format::error::{Code, Coded, codes};
use consign_format::release::{ReleaseManifest, Restart, Service, is_unit};

use crate::files::FileChange;
use crate::site::Site;
use crate::store::StoreError;
use crate::store::units::UnitState;

mod systemctl;

pub use systemctl::Systemctl;

/// Whoever runs services on this machine.
///
/// Contract: a unit's name is one that [`is_unit`] takes; every call may be repeated; on return it is done, or the error
/// says why not. `state` of a unit that nobody knows is that of one which is neither enabled nor running.
pub trait ServiceManager: std::fmt::Debug + Send + Sync {
    /// Whether a unit starts with the machine, and whether it runs.
    fn state(&self, unit: &str) -> Result<UnitState, ServicesError>;
    /// Reads the files of units again.
    fn reload(&self) -> Result<(), ServicesError>;
    /// Lets a unit start with the machine, or not.
    fn enable(&self, unit: &str, enable: bool) -> Result<(), ServicesError>;
    /// Starts a unit anew, whether it runs or not.
    fn restart(&self, unit: &str) -> Result<(), ServicesError>;
    /// Stops a unit.
    fn stop(&self, unit: &str) -> Result<(), ServicesError>;
}

/// A service is not what the release wants it to be.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// What cannot be meant.
    #[error("the release has a service that cannot be meant: {unit}: {reason}")]
    Malformed {
        /// The unit.
        unit: String,
        /// Why.
        reason: String,
    },
    /// There is no systemd to ask.
    #[error("the release has services, and this site has no systemd to run them: {reason}")]
    Unavailable {
        /// Why not.
        reason: &'static str,
    },
    /// The service manager refused, or took too long.
    #[error("systemctl {what} failed: {reason}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it said.
        reason: String,
    },
    /// The site's state cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for ServicesError {
    fn code(&self) -> Code {
        match self {
            ServicesError::Malformed { .. } => codes::RELEASE_MALFORMED,
            ServicesError::Unavailable { .. } | ServicesError::Refused { .. } => codes::SERVICE_MANAGER,
            ServicesError::Store(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ServicesError::Malformed { .. } => Some("the release was built wrong; ask those who built it".to_owned()),
            ServicesError::Unavailable { .. } => {
                Some("install it at a machine of its own, without --root-dir".to_owned())
            }
            ServicesError::Refused { .. } => Some("systemctl status and journalctl -u say more".to_owned()),
            ServicesError::Store(error) => error.hint(),
        }
    }
}

/// Demands that the services of a release can be meant, and that there is somebody to run them.
pub(crate) fn check(site: &Site, release: &ReleaseManifest) -> Result<(), ServicesError> {
    for (n, service) in release.services.iter().enumerate() {
        let refused = |reason: String| {
            let unit = service.unit.escape_debug().to_string();
            Err(ServicesError::Malformed { unit, reason })
        };
        if !is_unit(&service.unit) {
            return refused("it is no unit".to_owned());
        }
        if release.services.iter().take(n).any(|other| other.unit == service.unit) {
            return refused("it is there twice".to_owned());
        }
        let is_placed = |to: &&String| release.files.iter().any(|file| file.to == **to && file.installer.is_none());
        if let Some(to) = service.files.iter().find(|to| !is_placed(to)) {
            return refused(format!("the release places no file at {}", to.escape_debug()));
        }
    }
    if release.services.is_empty() { Ok(()) } else { manager(site).map(|_| ()) }
}

fn manager(site: &Site) -> Result<&dyn ServiceManager, ServicesError> {
    let reason = "it lies below a folder of its own, or there is no systemctl";
    site.services.as_deref().ok_or(ServicesError::Unavailable { reason })
}

/// Whether no release of this product has, or ever had and still owes, anything to do with services.
pub(crate) fn is_idle(
    site: &Site,
    (domain, product): (&Name, &Name),
    services: &[Service],
) -> Result<bool, StoreError> {
    Ok(services.is_empty() && site.store.read_units(domain, product)?.before.is_empty())
}

/// The units that would be restarted.
pub(crate) fn restarts(release: &ReleaseManifest, changes: &[FileChange]) -> Vec<String> {
    let restarted = release.services.iter().filter(|service| is_restarted(service, changes));
    restarted.map(|service| service.unit.clone()).collect()
}

fn is_restarted(service: &Service, changes: &[FileChange]) -> bool {
    service.restart == Restart::OnChange && changes.iter().any(|change| service.files.contains(&change.to))
}

/// Before the files of a release change: what must be known afterwards is written down, and what leaves is put to rest.
pub(crate) fn before_files(
    site: &Site,
    (domain, product): (&Name, &Name),
    services: &[Service],
    changes: &[FileChange],
) -> Result<(), ServicesError> {
    if is_idle(site, (domain, product), services)? {
        return Ok(());
    }
    let mut units = site.store.read_units(domain, product)?;
    let (was, manager) = (units.clone(), manager(site)?);
    for service in services {
        if !units.before.contains_key(&service.unit) {
            units.before.insert(service.unit.clone(), manager.state(&service.unit)?);
        }
        if is_restarted(service, changes) {
            units.restart.insert(service.unit.clone());
        }
    }
    units.reload |= changes.iter().any(|change| change.to.contains("/systemd/"));
    if units != was {
        site.store.write_units(domain, product, &units)?;
    }
    for (unit, before) in units.before.iter().filter(|(unit, _)| !wants(services, unit)) {
        let now = manager.state(unit)?;
        if now.active && !before.active {
            manager.stop(unit)?;
        }
        if now.enabled && !before.enabled {
            manager.enable(unit, false)?;
        }
    }
    Ok(())
}

/// After the files have changed: units are read again, enabled, restarted, and given back. Returns what was done.
pub(crate) fn after_files(
    site: &Site,
    (domain, product): (&Name, &Name),
    services: &[Service],
) -> Result<Vec<String>, ServicesError> {
    if is_idle(site, (domain, product), services)? {
        return Ok(Vec::new());
    }
    let mut units = site.store.read_units(domain, product)?;
    let (was, manager, mut done) = (units.clone(), manager(site)?, Vec::new());
    if units.reload {
        manager.reload()?;
    }
    for (unit, before) in &units.before {
        let service = services.iter().find(|service| service.unit == *unit);
        let enable = before.enabled || service.is_some_and(|service| service.enable);
        if manager.state(unit)?.enabled != enable {
            manager.enable(unit, enable)?;
            done.push(format!("{} {unit}", if enable { "enabled" } else { "disabled" }));
        }
        // One that leaves and ran before us runs again, on the files it had.
        if service.map_or(before.active, |_| units.restart.contains(unit)) {
            manager.restart(unit)?;
            done.push(format!("restarted {unit}"));
        }
    }
    units.before.retain(|unit, _| wants(services, unit));
    (units.restart, units.reload) = Default::default();
    if units != was {
        site.store.write_units(domain, product, &units)?;
    }
    Ok(done)
}

fn wants(services: &[Service], unit: &str) -> bool {
    services.iter().any(|service| service.unit == unit)
}
