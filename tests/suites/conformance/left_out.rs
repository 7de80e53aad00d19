//! What plain TUF has and Consign leaves out, or is stricter in: each reason in `tests/judges/tuf-client.xfails`, shown.

use consign_format::Digest;
use serde_json::json;

use crate::client::Client;
use crate::repository::Repository;

/// A repository that is good to any other client; whether ours takes it.
fn accepts(change: impl FnOnce(&mut Repository)) -> bool {
    let mut repository = Repository::new();
    let client = Client::of(&repository);
    assert!(client.refresh(&repository));
    change(&mut repository);
    client.refresh(&repository)
}

#[test]
fn a_key_that_is_not_ed25519_is_refused_with_the_root_that_names_it() {
    for (kind, scheme) in [("ecdsa", "ecdsa-sha2-nistp256"), ("rsa", "rsassa-pss-sha256")] {
        assert!(!accepts(|repository| {
            let key = json!({"keytype": kind, "scheme": scheme, "keyval": {"public": "-----BEGIN PUBLIC KEY-----"}});
            repository.of("root")["keys"]["other"] = key;
            repository.publish(&["root"]);
        }));
    }
}

#[test]
fn a_signature_that_counts_for_nothing_is_refused() {
    assert!(!accepts(|repository| {
        let stranger = repository.key();
        repository.signers.get_mut("timestamp").unwrap().push(stranger);
        repository.publish(&["timestamp"]);
    }));
}

#[test]
fn a_threshold_that_cannot_be_met_is_refused_with_the_root_that_sets_it() {
    assert!(!accepts(|repository| {
        repository.of("root")["roles"]["targets"]["threshold"] = json!(2);
        repository.publish(&["root"]);
    }));
}

#[test]
fn a_target_that_only_a_delegated_role_knows_or_without_sha256_is_not_found() {
    let mut repository = Repository::new();
    let client = Client::of(&repository);
    let (name, bytes) = ("a", b"content");
    let sha512 = json!({"length": bytes.len(), "hashes": {"sha512": "0".repeat(128)}});
    repository.add_target(name, bytes);
    assert!(client.download(&repository, name));
    let delegation = json!({"name": "role", "keyids": [], "threshold": 1, "terminating": false, "paths": ["*"]});
    repository.of("targets")["delegations"] = json!({"keys": {}, "roles": [delegation]});
    repository.of("targets")["targets"] = json!({"b": sha512});
    repository.serve(&format!("targets/{}.a", Digest::of(bytes).hex()), bytes.to_vec());
    repository.publish(&crate::repository::ROLES);
    assert!(client.refresh(&repository), "delegations are passed over");
    assert!(!client.download(&repository, "a"));
    assert!(!client.download(&repository, "b"));
}
