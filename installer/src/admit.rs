//! Whether this site takes this release: pure decisions over a vouched head and what the site remembers.
//!
//! No file is read and no clock is asked here. The order is TRUST §3.4: domain and signatures are done; then sequence,
//! floor, audience, installer, `upgradeFrom`, `requires`, what failed before, expiry. Refusals name both sides.

use std::collections::BTreeMap;

use consign_format::error::{Code, Coded, codes};
use consign_format::release::ReleaseManifest;
use consign_format::trust::chain::Vouched;
use consign_format::trust::document::Floor;
use consign_format::trust::statement::{DowngradeGrant, SiteRecord};
use consign_format::version::{self, VersionRange, VersionRangeError};
use consign_format::{Digest, Name};

use crate::site::ProductTrust;
use crate::store::products::{ProductState, ReleaseRef};

/// What a site remembers, as far as the decision needs it.
pub struct Memory<'a> {
    /// The site's name.
    pub site: &'a Name,
    /// What headquarters has signed of the site: its environments and labels.
    pub record: Option<&'a SiteRecord>,
    /// The counters of the product.
    pub trust: ProductTrust,
    /// The root's floor for the product.
    pub floor: Option<&'a Floor>,
    /// Leave to go back, for this product.
    pub grants: Vec<DowngradeGrant>,
    /// The product at this site.
    pub product: Option<&'a ProductState>,
    /// Confirmed releases of all products of the domain.
    pub confirmed: BTreeMap<Name, ReleaseRef>,
    /// The version of this program.
    pub installer: &'a str,
}

/// What the person asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask {
    /// Try a release again that failed here before.
    pub retry: bool,
    /// Refuse what has expired, instead of warning: for sites with a clock they trust.
    pub enforce_expiry: bool,
    /// Refuse what nobody has attested to be scanned for malware.
    pub require_scan: bool,
}

/// The release is taken; what is to be said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// Whether the site has verified this very release before.
    pub again: bool,
    /// What somebody should look at.
    pub warnings: Vec<String>,
}

/// The release is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The sequence is lower than one already accepted.
    #[error("{product} {version} has sequence {offered}, and this site has accepted {accepted}")]
    Older {
        /// The product.
        product: Name,
        /// The version offered.
        version: String,
        /// The sequence offered.
        offered: u64,
        /// The sequence accepted.
        accepted: u64,
    },
    /// The sequence is below what the root still accepts.
    #[error("{product} {version} has sequence {offered}, and the root accepts nothing below {floor}")]
    BelowFloor {
        /// The product.
        product: Name,
        /// The version offered.
        version: String,
        /// The sequence offered.
        offered: u64,
        /// The floor.
        floor: u64,
    },
    /// The sequence is known with other content.
    #[error("sequence {sequence} of {product} is known here as release {known}, and this is release {offered}")]
    Reused {
        /// The product.
        product: Name,
        /// The sequence.
        sequence: u64,
        /// The release seen first.
        known: Digest,
        /// The release offered.
        offered: Digest,
    },
    /// The bundle is addressed to others.
    #[error("the bundle is addressed to {audience}, and this is site `{site}`")]
    OtherSite {
        /// This site.
        site: Name,
        /// Whom it is addressed to.
        audience: String,
    },
    /// This program is too old.
    #[error("{product} {version} needs consign-site {needed} or newer, and this is {found}")]
    InstallerTooOld {
        /// The product.
        product: Name,
        /// The version offered.
        version: String,
        /// What is needed.
        needed: String,
        /// What this is.
        found: String,
    },
    /// The release must not follow what is installed.
    #[error("{product} {offered} must follow a version {range}, and {installed} is installed")]
    NotFrom {
        /// The product.
        product: Name,
        /// The version offered.
        offered: String,
        /// What it may follow.
        range: String,
        /// What is installed.
        installed: String,
    },
    /// Another line with a lower version.
    #[error("{product} {offered} of line {line} is lower than {installed} of line {installed_line}")]
    LowerOfOtherLine {
        /// The product.
        product: Name,
        /// The version offered.
        offered: String,
        /// Its line.
        line: Name,
        /// What is installed.
        installed: String,
        /// Its line.
        installed_line: Name,
    },
    /// A product that must be there first is not, or not in a fitting version.
    #[error("{product} {version} requires {required} {range}, and {found}")]
    Requirement {
        /// The product.
        product: Name,
        /// The version offered.
        version: String,
        /// The product required.
        required: Name,
        /// The versions that will do.
        range: String,
        /// What is here instead, in words.
        found: String,
    },
    /// This release failed here before.
    #[error("{product} {version} failed here before and is not tried again unasked")]
    FailedBefore {
        /// The product.
        product: Name,
        /// The version.
        version: String,
    },
    /// A range that nobody understands.
    #[error("the release names versions in a form nobody understands")]
    Range(#[from] VersionRangeError),
    /// Expired, where that is enforced.
    #[error("{document} expired on {expired}, and it is {now}")]
    Expired {
        /// The document.
        document: &'static str,
        /// When.
        expired: String,
        /// The later of the site's clock and the latest signed time.
        now: String,
    },
}

impl Coded for Refusal {
    fn code(&self) -> Code {
        match self {
            Refusal::Older { .. } | Refusal::BelowFloor { .. } => codes::OLDER_RELEASE,
            Refusal::Reused { .. } => codes::SEQUENCE_REUSED,
            Refusal::OtherSite { .. } => codes::OTHER_SITE,
            Refusal::InstallerTooOld { .. } => codes::INSTALLER_TOO_OLD,
            Refusal::NotFrom { .. } | Refusal::LowerOfOtherLine { .. } => codes::NOT_UPGRADABLE,
            Refusal::Requirement { .. } => codes::REQUIREMENT_MISSING,
            Refusal::FailedBefore { .. } => codes::FAILED_BEFORE,
            Refusal::Range(_) => codes::RELEASE_MALFORMED,
            Refusal::Expired { .. } => codes::EXPIRED,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Refusal::Older { .. } | Refusal::BelowFloor { .. } => {
                "bring the newest bundle; going back on purpose needs a signed grant, or a new release".to_owned()
            }
            Refusal::Reused { .. } => "two releases bear one number: ask who built them, install neither".to_owned(),
            Refusal::OtherSite { .. } => "bring the bundle that is addressed to this site".to_owned(),
            Refusal::InstallerTooOld { .. } => {
                "`consign-site upgrade` takes a newer one out of a bundle that brings it".to_owned()
            }
            Refusal::NotFrom { product, range, .. } => format!("bring a bundle of {product} {range} first"),
            Refusal::LowerOfOtherLine { .. } => "stay on the line, or bring a higher version of the other".to_owned(),
            Refusal::Requirement { required, range, .. } => format!("install {required} {range} first"),
            Refusal::FailedBefore { .. } => "mend what was wrong and use --retry, or bring a newer release".to_owned(),
            Refusal::Range(_) => "the release was built wrong; ask those who built it".to_owned(),
            Refusal::Expired { .. } => "bring a freshly signed bundle, or check this machine's clock".to_owned(),
        })
    }
}

/// Decides. `now` is the later of the site's clock and its time floor, RFC 3339 in UTC.
pub fn admit(vouched: &Vouched, memory: &Memory<'_>, ask: Ask, now: &str) -> Result<Admission, Refusal> {
    let leave = leave_to_go_back(vouched, memory, now);
    let again = check_sequence(vouched, memory, leave)?;
    check_audience(vouched, memory)?;
    check_installer(vouched, memory)?;
    if leave.is_none() {
        check_upgrade(&vouched.release, &vouched.release_digest, memory)?;
    }
    check_requirements(&vouched.release, memory)?;
    check_failed(&vouched.release, &vouched.release_digest, memory, ask)?;
    let mut warnings: Vec<String> = check_expiry(vouched, ask, now)?.into_iter().collect();
    warnings.extend(leave.map(|grant| format!("going back from sequence {} by a signed grant", grant.from)));
    Ok(Admission { again, warnings })
}

/// Decides anew about a release that was staged: what is installed, what the root accepts and what has failed may be other
/// than on that day.
pub fn admit_staged(release: &ReleaseManifest, digest: &Digest, memory: &Memory<'_>, ask: Ask) -> Result<(), Refusal> {
    if let Some(floor) = memory.floor.filter(|floor| release.sequence < floor.sequence) {
        let (product, version) = (release.product.clone(), release.version.clone());
        return Err(Refusal::BelowFloor { product, version, offered: release.sequence, floor: floor.sequence });
    }
    if memory.trust.granted.as_ref().is_none_or(|granted| granted.release != *digest) {
        check_upgrade(release, digest, memory)?;
    }
    check_requirements(release, memory)?;
    check_failed(release, digest, memory, ask)
}

/// Decides whether the program in a release may take the place of the running one. What is installed, and whether this
/// program is new enough for the release, says nothing about that.
pub fn admit_program(vouched: &Vouched, memory: &Memory<'_>, ask: Ask, now: &str) -> Result<Admission, Refusal> {
    let again = check_sequence(vouched, memory, None)?;
    check_audience(vouched, memory)?;
    let warnings = check_expiry(vouched, ask, now)?.into_iter().collect();
    Ok(Admission { again, warnings })
}

/// The grant that leads from what was verified last to this very release, if there is one and it has not run out.
/// The clock can only make it run out early; a clock that is behind is lifted by the time floor (TRUST §4).
fn leave_to_go_back<'m>(vouched: &Vouched, memory: &'m Memory<'_>, now: &str) -> Option<&'m DowngradeGrant> {
    let seen = memory.trust.verified.as_ref()?;
    memory.grants.iter().find(|grant| {
        grant.from == seen.sequence
            && grant.to == vouched.approval.sequence
            && grant.to < grant.from
            && grant.release == vouched.release_digest
            && now <= grant.expires.as_str()
    })
}

/// Lower is refused, higher accepted, equal needs the same release (TRUST §1, counters).
fn check_sequence(vouched: &Vouched, memory: &Memory<'_>, leave: Option<&DowngradeGrant>) -> Result<bool, Refusal> {
    let offered = vouched.approval.sequence;
    let (product, version) = (vouched.approval.product.clone(), vouched.approval.version.clone());
    if let Some(floor) = memory.floor.filter(|floor| offered < floor.sequence) {
        return Err(Refusal::BelowFloor { product, version, offered, floor: floor.sequence });
    }
    if let Some(accepted) = memory.trust.floor.filter(|floor| offered < *floor && leave.is_none()) {
        return Err(Refusal::Older { product, version, offered, accepted });
    }
    let Some(seen) = &memory.trust.verified else { return Ok(false) };
    let granted = memory.trust.granted.as_ref();
    if granted.is_some_and(|granted| granted.sequence == offered && granted.release == vouched.release_digest) {
        return Ok(true);
    }
    if offered < seen.sequence && leave.is_none() {
        return Err(Refusal::Older { product, version, offered, accepted: seen.sequence });
    }
    if offered == seen.sequence && vouched.release_digest != seen.release {
        let (sequence, known) = (seen.sequence, seen.release);
        return Err(Refusal::Reused { product, sequence, known, offered: vouched.release_digest });
    }
    Ok(offered == seen.sequence)
}

/// Without a signed site record, only the site's id and `any` count (TRUST §1, site record).
fn check_audience(vouched: &Vouched, memory: &Memory<'_>) -> Result<(), Refusal> {
    let audience = vouched.carriage.audience.as_ref().unwrap_or(&vouched.approval.audience);
    let (environments, labels) =
        memory.record.map_or((&[][..], &[][..]), |record| (record.environments.as_slice(), record.labels.as_slice()));
    if audience.admits(memory.site, environments, labels) {
        return Ok(());
    }
    let sites = audience.sites.iter().map(|site| format!("site {site}"));
    let environments = audience.environments.iter().map(|environment| format!("environment {environment}"));
    let labels = audience.labels.iter().map(|label| format!("label {label}"));
    let all: Vec<String> = sites.chain(environments).chain(labels).collect();
    let audience = if all.is_empty() { "nobody".to_owned() } else { all.join(", ") };
    Err(Refusal::OtherSite { site: memory.site.clone(), audience })
}

fn check_installer(vouched: &Vouched, memory: &Memory<'_>) -> Result<(), Refusal> {
    let needed = &vouched.approval.minimum_installer;
    if version::compare(memory.installer, needed).is_ge() {
        return Ok(());
    }
    Err(Refusal::InstallerTooOld {
        product: vouched.approval.product.clone(),
        version: vouched.approval.version.clone(),
        needed: needed.clone(),
        found: memory.installer.to_owned(),
    })
}

fn check_upgrade(release: &ReleaseManifest, digest: &Digest, memory: &Memory<'_>) -> Result<(), Refusal> {
    let range: Option<VersionRange> = release.upgrade_from.as_deref().map(str::parse).transpose()?;
    let Some(installed) = memory.product.and_then(ProductState::confirmed) else { return Ok(()) };
    if installed.digest == *digest {
        return Ok(());
    }
    let (product, offered) = (release.product.clone(), release.version.clone());
    if let Some(range) = range.filter(|range| !range.admits(&installed.version)) {
        let installed = installed.version.clone();
        return Err(Refusal::NotFrom { product, offered, range: range.to_string(), installed });
    }
    if let (Some(line), Some(installed_line)) = (&release.line, &installed.line)
        && line != installed_line
        && version::compare(&offered, &installed.version).is_lt()
    {
        let (line, installed_line, installed) = (line.clone(), installed_line.clone(), installed.version.clone());
        return Err(Refusal::LowerOfOtherLine { product, offered, line, installed, installed_line });
    }
    Ok(())
}

fn check_requirements(release: &ReleaseManifest, memory: &Memory<'_>) -> Result<(), Refusal> {
    for requirement in &release.requires {
        let range: VersionRange = requirement.versions.parse()?;
        let found = match memory.confirmed.get(&requirement.product) {
            Some(installed) if range.admits(&installed.version) => continue,
            Some(installed) => format!("{} is installed", installed.version),
            None => "it is not installed here".to_owned(),
        };
        return Err(Refusal::Requirement {
            product: release.product.clone(),
            version: release.version.clone(),
            required: requirement.product.clone(),
            range: range.to_string(),
            found,
        });
    }
    Ok(())
}

fn check_failed(release: &ReleaseManifest, digest: &Digest, memory: &Memory<'_>, ask: Ask) -> Result<(), Refusal> {
    let failed = memory.product.and_then(|product| product.failed.as_ref());
    if ask.retry || failed.is_none_or(|failed| failed.digest != *digest) {
        return Ok(());
    }
    let (product, version) = (release.product.clone(), release.version.clone());
    Err(Refusal::FailedBefore { product, version })
}

/// RFC 3339 in UTC sorts as text.
fn check_expiry(vouched: &Vouched, ask: Ask, now: &str) -> Result<Option<String>, Refusal> {
    let (expired, document) = &vouched.expires;
    if now < expired.as_str() {
        return Ok(None);
    }
    if ask.enforce_expiry {
        return Err(Refusal::Expired { document, expired: expired.clone(), now: now.to_owned() });
    }
    Ok(Some(format!("{document} expired on {expired}; no newer one has come")))
}

#[cfg(test)]
mod tests;
