//! What a bundle brings before any release: newer roots, and statements for this site. Both land as soon as they hold,
//! whatever becomes of the rest of the medium (TRUST §3.3), and a receipt speaks of a new root.

use consign_format::Name;
use consign_format::error::Failure;
use consign_format::receipt::{Action, Outcome};
use consign_format::trust::TrustError;
use consign_format::trust::roots::RootChain;
use consign_format::trust::statement::Approved;
use serde::Serialize;

use crate::clock::Clocks;
use crate::receipts::{Draft, issue};
use crate::site::Site;
use crate::site::secrets::Taken;

/// What a bundle's metadata brought to this site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The domain.
    pub domain: Name,
    /// The version of the newest root, which the site trusts now.
    pub root: u64,
    /// Statements that are for this site and were new to it, each in words.
    pub taken: Vec<String>,
    /// Statements for other sites, or known already.
    pub passed_over: usize,
    /// What somebody should look at.
    pub warnings: Vec<String>,
}

/// Commits the chain if it is longer than the site's. That the receipt is still to be written stands in the same file
/// as the roots, so that a power cut in between leaves neither out.
pub(crate) fn commit_roots(site: &mut Site, domain: &Name, chain: &RootChain, clocks: &Clocks) -> Result<(), Failure> {
    site.commit_roots(domain, chain)?;
    if let Some((old, new)) = site.unreceipted_roots(domain)? {
        let mut draft = Draft::new(domain.clone(), Action::RootChange, Outcome::Applied, "none");
        draft.root = Some(new);
        draft.reasons.push(format!("the root of trust went from version {old} to version {new}"));
        issue(site, draft, clocks)?;
        site.roots_receipted(domain)?;
    }
    Ok(())
}

/// Checks the statements of a bundle, all of them before any counts.
pub(crate) fn check(chain: &RootChain, statements: &[Vec<u8>]) -> Result<Vec<Approved>, TrustError> {
    statements.iter().map(|bytes| chain.approved_statement(bytes)).collect()
}

/// Keeps what the statements say of this site; in a dry run, nothing.
pub(super) fn commit_statements(
    site: &mut Site,
    domain: &Name,
    chain: &RootChain,
    statements: &[Vec<u8>],
    dry_run: bool,
) -> Result<Metadata, Failure> {
    let (taken, warnings, root) = (Vec::new(), Vec::new(), chain.root().version);
    let mut metadata = Metadata { domain: domain.clone(), root, taken, passed_over: 0, warnings };
    for (statement, bytes) in check(chain, statements)?.into_iter().zip(statements) {
        let new = match statement {
            _ if dry_run => None,
            Approved::DowngradeGrant(grant) => site.take_grant(domain, &grant, bytes)?,
            Approved::SiteSecrets(_) => match site.take_secrets(domain, bytes)? {
                Taken::New(words) => Some(words),
                Taken::PassedOver => None,
                Taken::Refused(words) => {
                    metadata.warnings.push(words);
                    None
                }
            },
            Approved::SiteRecord(record) if record.site != site.identity.site => None,
            Approved::SiteRecord(_) => site.take_record(domain, bytes)?,
            Approved::Unknown(kind) => {
                metadata.warnings.push(format!("a statement of type `{kind}` needs a newer consign-site"));
                None
            }
        };
        match new {
            Some(words) => metadata.taken.push(words),
            None => metadata.passed_over += 1,
        }
    }
    metadata.warnings.extend(site.secrets_warning(domain)?);
    Ok(metadata)
}
