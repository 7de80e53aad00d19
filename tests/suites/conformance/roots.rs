//! §5.2 and §5.3: the first root, and the chain of those that follow.

use consign_format::trust::document::Key;
use consign_format::trust::keys::{SecretKey, Signer};
use serde_json::{Value, json};

use crate::client::Client;
use crate::repository::{Repository, id};

#[test]
fn a_first_root_must_vouch_for_itself() {
    let repository = Repository::new();
    let good = repository.served("metadata/1.root.json");
    let spoil = |spoil: &dyn Fn(&mut Value)| {
        let mut root: Value = serde_json::from_slice(&good).unwrap();
        spoil(&mut root);
        serde_json::to_vec(&root).unwrap()
    };
    for bad in [
        spoil(&|root| root["signatures"] = json!([])),
        spoil(&|root| root["signatures"][0]["sig"] = json!("0".repeat(128))),
        spoil(&|root| root["signed"]["expires"] = json!("2098-01-01T00:00:00Z")),
        spoil(&|root| drop(root["signed"].as_object_mut().unwrap().remove("version"))),
        spoil(&|root| root["signed"]["_type"] = json!("targets")),
        b"no JSON at all".to_vec(),
    ] {
        let client = Client::bare();
        assert!(!client.init(&bad));
        assert!(!client.refresh(&repository));
        assert_eq!(repository.asked(), [""; 0]);
    }
    let client = Client::of(&repository);
    assert!(!client.init(&good), "a client is told once whom to trust");
}

/// The keys of a root, its threshold, and who signs it; all as places in one list of keys.
type Version = (&'static [usize], usize, &'static [usize]);

/// A name, roots in their order, and how many of them are believed.
const ROTATIONS: &[(&str, &[Version], u64)] = &[
    ("one key after another", &[(&[1], 1, &[1]), (&[2], 1, &[1, 2]), (&[2], 1, &[2])], 3),
    ("two of three, in turns", &[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 2, &[2, 3]), (&[1, 2, 3], 2, &[1, 3])], 3),
    ("one of three exchanged", &[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 4], 2, &[1, 2]), (&[1, 2, 4], 2, &[2, 4])], 3),
    ("all exchanged at once", &[(&[1, 2, 3], 2, &[1, 2]), (&[4, 5, 6], 2, &[1, 2, 4, 5])], 2),
    ("the threshold raised", &[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[1, 2])], 2),
    ("the threshold lowered", &[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 1, &[1, 2]), (&[1, 2, 3], 1, &[3])], 3),
    ("not by the old key", &[(&[1], 1, &[1]), (&[2], 1, &[2])], 1),
    ("not by the new key", &[(&[1], 1, &[1]), (&[2], 1, &[1])], 1),
    ("too few of the old", &[(&[1, 2, 3], 2, &[1, 2]), (&[3, 4, 5], 2, &[3, 4, 5])], 1),
    ("too few of the new", &[(&[1, 2, 3], 2, &[1, 2]), (&[3, 4, 5], 2, &[1, 2, 3])], 1),
    ("raised, and not met", &[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[2])], 1),
    ("lowered, the old not met", &[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 1, &[1])], 1),
];

#[test]
fn each_root_needs_the_threshold_before_it_and_its_own() {
    for (name, versions, believed) in ROTATIONS {
        let mut repository = Repository::new();
        let key = |n: &usize| SecretKey::from_seed(&[u8::try_from(100 + n).unwrap(); 32]);
        repository.of("root")["version"] = json!(0);
        for (keys, threshold, by) in *versions {
            repository.appoint("root", keys.iter().map(key).collect(), *threshold);
            repository.signers.insert("root", by.iter().map(key).collect());
            repository.publish(&["root"]);
        }
        let client = Client::of(&repository);
        assert_eq!(client.refresh(&repository), *believed == versions.len() as u64, "{name}");
        assert_eq!(client.version("root"), *believed, "{name}");
        assert_eq!(client.trusted("root"), repository.served(&format!("metadata/{believed}.root.json")), "{name}");
    }
}

#[test]
fn versions_leave_no_gap() {
    for offered in [1, 3] {
        let mut repository = Repository::new();
        let client = Client::of(&repository);
        repository.of("root")["version"] = json!(offered);
        repository.put("root");
        repository.serve("metadata/2.root.json", repository.served(&format!("metadata/{offered}.root.json")));
        assert!(!client.refresh(&repository), "version {offered} in the place of 2");
        assert_eq!(client.version("root"), 1);
    }
}

#[test]
fn a_good_root_is_kept_whatever_comes_after() {
    let mut repository = Repository::new();
    let client = Client::of(&repository);
    assert!(client.refresh(&repository));
    repository.rotate("timestamp");
    repository.publish(&["root"]);
    assert!(!client.refresh(&repository), "the timestamp is still by the key that was taken away");
    assert_eq!(client.versions(), [2, 1, 1, 1]);
    repository.publish(&["timestamp"]);
    assert!(client.refresh(&repository));
}

#[test]
fn one_key_under_two_names_counts_once() {
    let mut repository = Repository::new();
    let client = Client::of(&repository);
    let (one, two) = (repository.key(), repository.key());
    let alias = serde_json::to_value(Key::ed25519(&one.public())).unwrap();
    let first = id(&one);
    repository.appoint("timestamp", vec![one, two], 2);
    repository.of("root")["keys"]["alias"] = alias;
    repository.of("root")["roles"]["timestamp"]["keyids"].as_array_mut().unwrap().push(json!("alias"));
    repository.publish(&["root"]);
    repository.signers.get_mut("timestamp").unwrap().truncate(1);
    repository.publish(&["timestamp"]);
    let mut timestamp: Value = serde_json::from_slice(&repository.served("metadata/timestamp.json")).unwrap();
    let signature = timestamp["signatures"][0]["sig"].clone();
    timestamp["signatures"] = json!([{"keyid": first, "sig": signature}, {"keyid": "alias", "sig": signature}]);
    repository.serve("metadata/timestamp.json", serde_json::to_vec(&timestamp).unwrap());
    assert!(!client.refresh(&repository));
    assert_eq!(client.versions(), [2, 0, 0, 0]);
}
