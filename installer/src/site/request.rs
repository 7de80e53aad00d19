//! The enrol-request of this site.

use consign_format::Name;
use consign_format::enrolment::{EnrolRequest, TYPE};
use consign_format::trust::keys::{SecretKey, SignError, Signer, sign};

use super::Identity;

/// Writes the request of one domain, signed by the site's key. `now`: seconds since 1970.
pub(super) fn request(identity: &Identity, domain: &Name, key: &SecretKey, now: u64) -> Result<String, SignError> {
    let root = identity.domains.get(domain).copied();
    let root = root.ok_or_else(|| SignError::Signer(format!("domain `{domain}` is not enrolled")))?;
    let request = EnrolRequest {
        kind: TYPE.to_owned(),
        domain: domain.clone(),
        site: identity.site.clone(),
        root,
        enrolment: identity.enrolment.clone(),
        receipt_key: identity.public_key.clone(),
        recipient: identity.recipient.clone(),
        made: now,
    };
    // Canonical JSON is UTF-8.
    Ok(String::from_utf8_lossy(&sign(&request, &[key as &dyn Signer])?).into_owned())
}
