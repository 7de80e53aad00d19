//! §5.4 to §5.6: timestamp, snapshot, targets; what goes back, expires or does not fit.

use serde_json::json;

use crate::client::Client;
use crate::repository::{ROLES, Repository};

#[test]
fn a_first_refresh_asks_for_each_document_once() {
    let repository = Repository::new();
    let client = Client::of(&repository);
    assert_eq!(repository.asked(), [""; 0], "init asks for nothing");
    assert!(client.refresh(&repository));
    assert_eq!(repository.asked(), ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]);
    assert_eq!(client.versions(), [1, 1, 1, 1]);
    assert_eq!(client.trusted("targets"), repository.served("metadata/1.targets.json"), "kept as served");
    // What is kept is not asked for again.
    assert!(client.refresh(&repository));
    assert_eq!(repository.asked(), ["2.root.json", "timestamp.json"]);
}

#[test]
fn without_consistent_snapshots_names_have_no_version() {
    let mut repository = Repository::new();
    repository.of("root")["consistent_snapshot"] = json!(false);
    repository.publish(&["root"]);
    for role in ["snapshot", "targets"] {
        repository.serve(&format!("metadata/{role}.json"), repository.served(&format!("metadata/1.{role}.json")));
    }
    let client = Client::of(&repository);
    assert!(client.refresh(&repository));
    let asked = ["2.root.json", "3.root.json", "timestamp.json", "snapshot.json", "targets.json"];
    assert_eq!(repository.asked(), asked);
}

#[test]
fn unknown_fields_are_signed_and_passed_over() {
    let mut repository = Repository::new();
    let client = Client::of(&repository);
    for role in ["root", "targets", "snapshot", "timestamp"] {
        repository.of(role)["x-custom"] = json!({"a": [1, "two", null, true]});
    }
    repository.publish(&["root", "targets", "snapshot", "timestamp"]);
    assert!(client.refresh(&repository));
    assert_eq!(client.versions(), [2, 2, 2, 2]);
}

#[test]
fn nothing_goes_back() {
    for role in ROLES {
        for hashes in [false, true] {
            let mut repository = Repository::new();
            repository.hashes = hashes;
            let client = Client::of(&repository);
            repository.publish(&ROLES);
            assert!(client.refresh(&repository));
            assert_eq!(client.versions(), [1, 2, 2, 2]);
            // The version goes down by one, and everything that names it goes up.
            repository.of(role)["version"] = json!(0);
            let after = ROLES.into_iter().skip_while(|other| *other != role);
            repository.publish(&after.collect::<Vec<_>>());
            assert!(!client.refresh(&repository), "{role} went back");
            assert_eq!([client.version("root"), client.version(role)], [1, 2]);
        }
    }
}

#[test]
fn a_document_that_disappears_from_the_snapshot_is_missed() {
    let mut repository = Repository::new();
    repository.of("snapshot")["meta"]["other.json"] = json!({"version": 1});
    repository.publish(&["snapshot", "timestamp"]);
    let client = Client::of(&repository);
    assert!(client.refresh(&repository));
    repository.of("snapshot")["meta"].as_object_mut().unwrap().remove("other.json");
    repository.publish(&["snapshot", "timestamp"]);
    assert!(!client.refresh(&repository));
    assert_eq!(client.version("snapshot"), 2);
}

#[test]
fn another_timestamp_of_the_same_version_is_no_news() {
    let mut repository = Repository::new();
    let client = Client::of(&repository);
    assert!(client.refresh(&repository));
    let kept = client.trusted("timestamp");
    repository.of("timestamp")["meta"]["snapshot.json"]["version"] = json!(100);
    repository.put("timestamp");
    assert!(client.refresh(&repository));
    assert_eq!(client.trusted("timestamp"), kept);
}

#[test]
fn what_ran_ahead_comes_back_with_new_keys() {
    for (ahead, rotated) in [("timestamp", "timestamp"), ("snapshot", "timestamp"), ("targets", "snapshot")] {
        let mut repository = Repository::new();
        let client = Client::of(&repository);
        repository.of(ahead)["version"] = json!(99_999);
        repository.publish(&ROLES);
        assert!(client.refresh(&repository));
        assert_eq!(client.version(ahead), 100_000);
        repository.of(ahead)["version"] = json!(1);
        repository.publish(&ROLES);
        assert!(!client.refresh(&repository), "{ahead} is no older than it was");
        for role in [rotated, "snapshot"] {
            repository.rotate(role);
        }
        repository.publish(&["root"]);
        repository.publish(&ROLES);
        assert!(client.refresh(&repository), "new keys of {rotated} start over");
        assert_eq!(client.version(ahead), 3);
    }
}

#[test]
fn what_has_expired_is_refused() {
    for role in ["root", "targets", "snapshot", "timestamp"] {
        let mut repository = Repository::new();
        let client = Client::of(&repository);
        assert!(client.refresh(&repository));
        repository.of(role)["expires"] = json!("2020-01-01T00:00:00Z");
        repository.publish(&["root", "targets", "snapshot", "timestamp"]);
        assert!(!client.refresh(&repository), "{role} has expired");
        // An expired root may still be followed by one that has not.
        assert_eq!(client.version("root"), 2);
        assert!(role == "root" || client.version(role) == 1, "{role} was kept");
        repository.of(role)["expires"] = json!("2099-01-01T00:00:00Z");
        repository.publish(&["root", "targets", "snapshot", "timestamp"]);
        assert!(client.refresh(&repository));
    }
}

#[test]
fn a_document_that_is_not_the_one_that_was_named_is_refused() {
    for role in ["targets", "snapshot"] {
        let mut repository = Repository::new();
        let client = Client::of(&repository);
        repository.hashes = true;
        repository.publish(&ROLES);
        assert!(client.refresh(&repository));
        repository.publish(&ROLES);
        // The same version, well signed, with other bytes.
        let path = format!("metadata/3.{role}.json");
        let text = String::from_utf8(repository.served(&path)).unwrap();
        repository.serve(&path, text.replace("  ", "   ").into_bytes());
        assert!(!client.refresh(&repository), "{role} has other bytes");
        // Another version under the name of the one that was named.
        repository.serve(&path, repository.served(&format!("metadata/2.{role}.json")));
        assert!(!client.refresh(&repository), "{role} is of another version");
        assert_eq!(client.version(role), 2);
    }
}

#[test]
fn a_role_speaks_by_its_threshold_and_its_own_keys() {
    for role in ROLES {
        let mut repository = Repository::new();
        let client = Client::of(&repository);
        let keys: Vec<_> = (0..3).map(|_| repository.key()).collect();
        repository.appoint(role, keys, 2);
        repository.publish(&["root"]);
        repository.signers.get_mut(role).unwrap().truncate(1);
        repository.publish(&ROLES);
        assert!(!client.refresh(&repository), "one of two signatures of {role}");
        let stranger = repository.key();
        repository.signers.insert(role, vec![stranger]);
        repository.publish(&ROLES);
        assert!(!client.refresh(&repository), "a stranger signs {role}");
        let two = (0..2).map(|_| repository.key()).collect();
        repository.appoint(role, two, 2);
        repository.publish(&["root"]);
        repository.publish(&ROLES);
        assert!(client.refresh(&repository));
        assert_eq!(client.version("root"), 3);
    }
}
