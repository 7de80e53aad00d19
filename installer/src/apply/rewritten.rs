//! Whether the cluster's admission leaves images as the release pins them: the image that a developer pinned is byte
//! for byte the one that the site runs, so a webhook that exchanges it is found before anything is applied. Pure.

use std::collections::BTreeMap;

use consign_format::reference::Reference;
use serde_json::Value;

use crate::pod_spec;

/// One image that admission changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// From what to what.
    pub(super) words: String,
    /// It comes from elsewhere, and its digest is still the pinned one, or none was pinned.
    pub(super) is_same: bool,
}

/// What became of the images of a pod between what was asked for and what the server answered. What admission adds,
/// such as a sidecar of the site's own, is nobody's pinned image and is not named.
pub(super) fn between(asked: &Value, answered: &Value) -> Vec<Rewritten> {
    let made = by_place(answered);
    let pinned = by_place(asked).into_iter().filter(|(place, image)| made.get(place) != Some(image));
    let rewritten = pinned.map(|(place, image)| {
        let is = made.get(&place).copied();
        let (_, digest) = Reference::split_digest(image);
        Rewritten {
            words: format!("{image} becomes {}", is.unwrap_or("nothing")),
            is_same: is.is_some_and(|is| digest.is_none() || Reference::split_digest(is).1 == digest),
        }
    });
    rewritten.collect()
}

/// The images that would be others, in words; `None` where there are none.
pub(super) fn exchanged(found: &[Rewritten]) -> Option<String> {
    let others: Vec<_> = found.iter().filter(|one| !one.is_same).map(|one| one.words.as_str()).collect();
    (!others.is_empty()).then(|| others.join(", "))
}

/// Images by the container or volume that names them. Of two with the same name the server takes neither.
fn by_place(pod: &Value) -> BTreeMap<(&'static str, &str), &str> {
    pod_spec::named_images(pod).map(|(list, name, image)| ((list, name), image)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(first: &str, app: &str, volume: &str) -> Value {
        json!({"spec": {
            "initContainers": [{"name": "first", "image": first}], "containers": [{"name": "app", "image": app}],
            "volumes": [{"name": "data", "image": {"reference": volume}}, {"name": "scratch", "emptyDir": {}}]}})
    }

    #[test]
    fn what_admission_adds_or_leaves_is_not_named() {
        let asked = pod("a:1@sha256:11", "b:1@sha256:22", "c:1@sha256:33");
        let mut answered = asked.clone();
        answered["spec"]["containers"].as_array_mut().unwrap().insert(0, json!({"name": "mesh", "image": "m:1"}));
        assert_eq!(between(&asked, &answered), []);
    }

    #[test]
    fn a_digest_that_stays_is_the_same_image_from_elsewhere() {
        let asked = pod("a:1@sha256:11", "b:1@sha256:22", "c:1@sha256:33");
        for (first, app, volume, words, is_same) in [
            ("x/a@sha256:11", "b:1@sha256:22", "c:1@sha256:33", "a:1@sha256:11 becomes x/a@sha256:11", true),
            ("a:1@sha256:11", "x/b:1", "c:1@sha256:33", "b:1@sha256:22 becomes x/b:1", false),
            ("a:1@sha256:11", "b:1@sha256:23", "c:1@sha256:33", "b:1@sha256:22 becomes b:1@sha256:23", false),
            ("a:1@sha256:11", "b:1@sha256:22", "c:2", "c:1@sha256:33 becomes c:2", false),
        ] {
            assert_eq!(between(&asked, &pod(first, app, volume)), [Rewritten { words: words.to_owned(), is_same }]);
        }
        let words = "b:1@sha256:22 becomes nothing".to_owned();
        let mut without = asked.clone();
        without["spec"]["containers"] = json!([]);
        assert_eq!(between(&asked, &without), [Rewritten { words, is_same: false }]);
    }

    #[test]
    fn what_was_never_pinned_is_told_and_not_judged() {
        let found = between(&pod("a:1", "b:1", "c:1"), &pod("a:1", "x/b:2", "c:1"));
        assert_eq!(found, [Rewritten { words: "b:1 becomes x/b:2".to_owned(), is_same: true }]);
    }
}
