//! The store's blobs: all of them there, and a sample of them read again.
//!
//! Reading everything takes as long as the disk is large; that is `store check`. The sample is another one each time.

use std::collections::BTreeMap;

use consign_format::Digest;
use consign_registry::BlobError;

use super::{Check, Finding, NO_SITE, Patient};
use crate::store::{Store, StoreError};

const CONTENTS: Check =
    Check { id: "store-blobs", why: "nodes pull from the store; a blob that rotted is an image that does not start" };

/// How much is read again.
const SAMPLE: u64 = 64 << 20;

pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(site) = patient.site else { return vec![CONTENTS.skipped(NO_SITE)] };
    vec![match sample(&site.store, patient.now) {
        Ok(seen) => judge(&seen),
        Err(error) => CONTENTS.failed(&error),
    }]
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    needed: usize,
    read: usize,
    missing: Vec<Digest>,
    rotten: Vec<Digest>,
}

fn sample(store: &Store, seed: u64) -> Result<Seen, StoreError> {
    let mut needed: BTreeMap<Digest, u64> = BTreeMap::new();
    for product in store.products()? {
        for release in product.held() {
            needed.extend(store.read_release(&release.digest)?.blobs.iter().map(|blob| (blob.digest, blob.size)));
        }
    }
    let blobs = store.blobs()?;
    let mut seen = Seen { needed: needed.len(), ..Seen::default() };
    for (digest, size) in &needed {
        if !matches!(blobs.contains(digest, *size), Ok(true)) {
            seen.missing.push(*digest);
        }
    }
    // Digests are as good as dice; where the sample begins moves with the clock.
    let first = seed.checked_rem(needed.len() as u64).unwrap_or(0) as usize;
    let mut left = SAMPLE;
    for (digest, size) in needed.iter().cycle().skip(first).take(needed.len()) {
        if *size > left || seen.missing.contains(digest) {
            continue;
        }
        left -= size;
        seen.read += 1;
        match blobs.rehash(digest) {
            // Collected meanwhile.
            Ok(_) | Err(BlobError::Missing { .. }) => {}
            Err(_) => seen.rotten.push(*digest),
        }
    }
    Ok(seen)
}

fn judge(seen: &Seen) -> Finding {
    let Seen { needed, read, missing, rotten } = seen;
    if let Some(first) = rotten.first().or(missing.first()) {
        let what = format!(
            "of {needed} blobs {} are not there and {} rotted on the disk, such as {first}",
            missing.len(),
            rotten.len()
        );
        return CONTENTS.fail(what, "run consign-site store check: it says which release needs them and what to bring");
    }
    CONTENTS
        .ok(format!("all {needed} blobs are there; {read} of them, another sample each time, were read and are sound"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn what_is_lost_is_named() {
        let lost = Digest::of(b"x");
        assert_eq!(judge(&Seen { needed: 3, read: 3, ..Seen::default() }).level, Level::Ok);
        for seen in [
            Seen { needed: 3, read: 2, missing: vec![lost], ..Seen::default() },
            Seen { needed: 3, read: 3, rotten: vec![lost], ..Seen::default() },
        ] {
            let finding = judge(&seen);
            assert_eq!(finding.level, Level::Fail);
            assert!(finding.what.contains(&lost.to_string()));
        }
    }
}
