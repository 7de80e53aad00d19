//! `--dry-run`: the plan, and not one byte changed. Only the state artifact is read from the medium, into memory.

use std::collections::BTreeMap;
use std::io::Read;

use consign_format::archive::head::ArchiveError;
use consign_format::archive::payload::Payload;
use consign_format::carriage::Place;
use consign_format::error::Failure;
use consign_format::trust::chain::Vouched;
use consign_format::{Digest, Limits};
use consign_registry::manifest::Manifest;
use consign_terminal::Progress;

use super::Planned;
use super::telling::teller;
use crate::desired::{desired, policy};
use crate::handoff::{Desired, Handoff};
use crate::images::check_needed;
use crate::medium::Medium;
use crate::site::Site;
use crate::site_secrets::SealedSecrets;
use crate::verify_bundle::read_from;

/// Plans what an install would do.
pub(super) async fn rehearse<H: Handoff>(
    vouched: &Vouched,
    payload: Payload<Medium>,
    site: &Site,
    handoff: &H,
    sealed: Option<SealedSecrets>,
    progress: &dyn Progress,
) -> Result<Planned, Failure> {
    let documents = read_state(payload, vouched)?;
    let blobs = site.store.blobs()?;
    let desired = Desired { sealed, ..desired(&vouched.release, &read_from(&documents, &blobs))? };
    site.allow.check(&vouched.release, &desired.objects)?;
    check_needed(&vouched.release, &desired.objects)?;
    let plan = handoff.plan(&desired, &policy(&vouched.release, &site.apply), &mut teller(progress)).await?;
    Ok(Planned {
        product: vouched.approval.product.clone(),
        version: vouched.approval.version.clone(),
        sequence: vouched.approval.sequence,
        release: vouched.release_digest,
        handoff: handoff.name(),
        plan,
        restarts: Vec::new(),
        files: Vec::new(),
        warnings: Vec::new(),
    })
}

/// Reads the state's manifest and layer. The manifest lies before the layers of a bundle of ours; in one of another
/// order the state's layer is found because small layers are kept until it is known which of them it is.
fn read_state(payload: Payload<Medium>, vouched: &Vouched) -> Result<BTreeMap<Digest, Vec<u8>>, ArchiveError> {
    let state = vouched.release.state;
    let mut kept: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    let mut layers: Option<Vec<Digest>> = None;
    payload.each(|_, place, content| {
        let (Place::Blob(digest) | Place::Packed(digest)) = place else { return Ok(()) };
        let size = vouched.release.blob(&digest).map_or(0, |blob| blob.size);
        let maybe = layers.as_ref().map_or(size <= SMALL, |layers| layers.contains(&digest));
        if !(digest == state || maybe) || size > Limits::DEFAULT.state {
            return content.skip();
        }
        let mut bytes = Vec::new();
        // A read that fails is told by the payload itself.
        if content.read_to_end(&mut bytes).is_ok() {
            if digest == state {
                layers = Manifest::parse(&bytes, None)
                    .ok()
                    .map(|manifest| manifest.pointers().into_iter().map(|pointer| pointer.digest).collect());
                let wanted = layers.clone().unwrap_or_default();
                kept.retain(|digest, _| wanted.contains(digest));
            }
            kept.insert(digest, bytes);
        }
        Ok(())
    })?;
    Ok(kept)
}

/// A layer up to this size is kept while it is not known whether it is the state's.
const SMALL: u64 = 1 << 20;
