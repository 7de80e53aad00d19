//! Several people approve a release with the keys they have, and one of them is revoked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and what it writes need not survive a power cut"
)]

#[path = "approval/holders.rs"]
mod holders;
#[path = "approval/office.rs"]
mod office;

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use consign_tests::site::Site;
use holders::{Agent, Token};
use office::Office;

/// What a request may weigh, whatever the bundle does.
const REQUEST_CEILING: u64 = 32 << 10;

#[test]
fn two_of_three_approve_two_gigabytes_then_one_is_revoked() {
    if !holders::are_possible() {
        return;
    }
    let office = Office::new(Agent::start("bob@desk"), Token::new("approvers", "carol"));
    let (agent, token) = (office.agent.selector(), office.token.selector());

    // Nobody but the publisher has signed: no site takes it.
    let bundle = office.build("ci", &[]);
    let length = fs::metadata(&bundle).unwrap().len();
    assert!(length > 2 << 30, "{length}");
    office.consign(["verify"]).arg(&bundle).fails("below-threshold", 12);

    // Kilobytes go to the approvers: one has an agent, one a token; what comes back goes into the bundle in place.
    let request = office.request(&bundle, None);
    let weight = fs::metadata(&request).unwrap().len();
    assert!(weight < REQUEST_CEILING, "the request has {weight} bytes");
    let inode = fs::metadata(&bundle).unwrap().ino();
    office.approve(&request, &agent);
    office.approve(&request, &token);
    office.merge(&bundle, &request);
    assert_eq!(fs::metadata(&bundle).unwrap().ino(), inode, "the bundle was not written anew");
    let _ = writeln!(std::io::stderr().lock(), "a request of {weight} bytes for a bundle of {length}");
    let present = Site::enrolled(&office.trust());
    present.export(&bundle).succeeds();

    // The token's key is revoked by both people of the root; another approver comes in.
    let rotated = office.consign(["keys", "rotate", "--json", "--add", "approver=dave.pub", "--revoke"]);
    let rotated = rotated.arg(&token).env("SOFTHSM2_CONF", office.token.config()).option("--key", "root1");
    assert_eq!(rotated.succeeds().json()["published"], false);
    let draft = office.trust().join("2.root.draft.json");
    office.consign(["keys", "sign-root", "--key", "root2"]).arg(&draft).succeeds();
    assert!(office.trust().join("2.root.json").is_file() && !draft.exists());

    // The next release: the token's signature counts no more; the file's and the agent's do.
    office.next_release("2.0.0");
    let next = office.build("ci", &[]);
    let request = office.request(&next, Some(&bundle));
    office.signing(&request, &token).fails("key-unknown", 12);
    office.approve(&request, "alice");
    office.approve(&request, &agent);
    office.merge(&next, &request);

    // A site that was offline throughout has root 1 and one stick; so has the one that was present.
    let offline = Site::enrolled(&office.trust());
    for site in [&offline, &present] {
        site.export(&next).succeeds();
        assert!(site.status().to_string().contains("2.0.0"), "{}", site.status());
    }

    // What the revoked key signs, under the root of its time, is refused; so is what it once signed rightly.
    office.next_release("3.0.0");
    let late = office.build_under_the_old_root("ci", &["alice", &token]);
    for site in [&offline, &present] {
        site.export(&late).fails("signature-invalid", 12);
        assert!(site.status().to_string().contains("2.0.0"), "{}", site.status());
    }
    offline.export(&bundle).fails("signature-invalid", 12);
}
