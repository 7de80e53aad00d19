//! What has moved since a release was locked, by object and field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Lock, LockedImage};

/// One thing that is no longer as locked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Drift {
    /// Where: an object, an object with a field, a file, or a field of the lock.
    pub place: String,
    /// What was locked; `None` where nothing was.
    pub locked: Option<String>,
    /// What is there now; `None` where nothing is.
    pub found: Option<String>,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.locked, &self.found) {
            (Some(locked), Some(found)) => write!(f, "{}: locked {locked}, now {found}", self.place),
            (Some(locked), None) => write!(f, "{}: locked {locked}, now gone", self.place),
            (None, Some(found)) => write!(f, "{}: {found} is not in the lock", self.place),
            (None, None) => f.write_str(&self.place),
        }
    }
}

/// Compares a lock with what one made now would be. Sequence, time of issue and the commit's own id are not
/// compared: a commit that changes nothing of the release (the one that adds the lock, for instance) is no drift.
pub fn drifts(locked: &Lock, now: &Lock) -> Vec<Drift> {
    let mut all = Vec::new();
    let mut differ = |place: String, locked: Option<String>, found: Option<String>| {
        if locked != found {
            all.push(Drift { place, locked, found });
        }
    };
    differ("product".to_owned(), Some(locked.product.to_string()), Some(now.product.to_string()));
    differ("version".to_owned(), Some(locked.version.clone()), Some(now.version.clone()));
    each(&locked.settings, &now.settings, |field| format!("release.yaml {field}"), &mut differ);
    each(&locked.tools, &now.tools, |tool| format!("tool {tool}"), &mut differ);
    each(&locked.charts, &now.charts, |chart| format!("chart {chart}"), &mut differ);
    images(&locked.images, &now.images, &mut differ);
    each(&locked.objects, &now.objects, Clone::clone, &mut differ);
    let files = |lock: &Lock| lock.files.iter().map(|f| (f.to.clone(), f.digest)).collect::<BTreeMap<_, _>>();
    each(&files(locked), &files(now), |file| format!("file {file}"), &mut differ);
    all
}

fn each<V: ToString>(
    locked: &BTreeMap<String, V>,
    now: &BTreeMap<String, V>,
    place: impl Fn(&String) -> String,
    differ: &mut impl FnMut(String, Option<String>, Option<String>),
) {
    for key in locked.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
        differ(place(key), locked.get(key).map(V::to_string), now.get(key).map(V::to_string));
    }
}

fn images(
    locked: &[LockedImage],
    now: &[LockedImage],
    differ: &mut impl FnMut(String, Option<String>, Option<String>),
) {
    let by_reference =
        |images: &[LockedImage]| images.iter().map(|i| (i.reference.clone(), i.clone())).collect::<BTreeMap<_, _>>();
    let (locked, now) = (by_reference(locked), by_reference(now));
    for reference in locked.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
        let (was, is) = (locked.get(reference), now.get(reference));
        let image = is.or(was);
        let found_in = image.and_then(|image| image.found_in.first()).map_or("images.include", String::as_str);
        let digest = |image: Option<&LockedImage>| image.map(|image| format!("{reference}@{}", image.digest));
        if was.map(|i| i.digest) != is.map(|i| i.digest) {
            differ(found_in.to_owned(), digest(was), digest(is));
            continue;
        }
        let manifests = |image: Option<&LockedImage>| image.map(|i| listed(i.manifests.iter().map(|m| m.digest)));
        differ(format!("{found_in}: platforms of {reference}"), manifests(was), manifests(is));
        let referrers = |image: Option<&LockedImage>| image.map(|i| listed(i.referrers.iter().map(|r| r.digest)));
        differ(format!("{found_in}: referrers of {reference}"), referrers(was), referrers(is));
    }
}

fn listed(digests: impl Iterator<Item = consign_format::Digest>) -> String {
    let all: Vec<_> = digests.map(|digest| digest.to_string()).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}
