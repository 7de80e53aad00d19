//! Signatures of tags and commits, by SSH and GPG keys made here.

use std::fs;
use std::path::Path;
use std::process::Command;

use consign_bundler::source::{ExportLimits, SourceError, SourceRequest, Verify, open};
use consign_bundler::tool::Environment;
use consign_format::error::{Coded, codes};
use consign_format::release::SourceSignature;
use consign_tests::skip;

use crate::repository::Repository;

/// What is said of the signature when this signer is demanded.
fn open_verified(
    repository: &Repository,
    location: &str,
    reference: &str,
    verify: Option<&Verify>,
) -> Result<SourceSignature, SourceError> {
    let request = SourceRequest { location, reference: Some(reference), base: repository.path(), verify };
    let environment = Environment::new(std::env::vars_os());
    open(&request, &environment, &ExportLimits::default()).map(|checkout| checkout.provenance().signature.clone())
}

/// Whether a program is there; says so if not.
fn installed(program: &str, package: &str) -> bool {
    let there = Environment::new(std::env::vars_os()).find(program).is_some();
    skip::unless(there, &format!("{program} is not installed"), &format!("apt-get install {package}"))
}

/// Makes an ssh key; returns its public half.
fn ssh_key(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path);
    assert!(command.status().expect("this test needs ssh-keygen (Debian: openssh-client)").success());
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

#[test]
fn ssh_signatures_are_noted_and_verified() {
    if !installed("ssh-keygen", "openssh-client") {
        return;
    }
    let keys = tempfile::tempdir().unwrap();
    let (ours, other) = (ssh_key(keys.path(), "ours"), ssh_key(keys.path(), "other"));
    let repository = Repository::new(&[("a", "0")]);
    for (name, value) in [
        ("gpg.format", "ssh"),
        ("user.signingKey", keys.path().join("ours").to_str().unwrap()),
        ("gpg.ssh.program", "ssh-keygen"),
    ] {
        repository.git(&["config", name, value]);
    }
    let signers = |name: &str, key: &str| {
        let path = keys.path().join(name);
        fs::write(&path, format!("dev@example.com namespaces=\"git\" {key}")).unwrap();
        Verify { ssh: Some(path.to_str().unwrap().to_owned()), gpg: None }
    };
    let (right, wrong) = (signers("right", &ours), signers("wrong", &other));
    let verified = |on: &str| SourceSignature::Verified {
        on: on.to_owned(),
        kind: "ssh".to_owned(),
        signer: "dev@example.com".to_owned(),
    };
    let open = |reference: &str, verify: Option<&Verify>| open_verified(&repository, ".", reference, verify);

    fs::write(repository.path().join("a"), "1").unwrap();
    repository.commit();
    assert_eq!(open("main", Some(&right)).unwrap_err().code(), codes::SOURCE_UNVERIFIED);
    repository.git(&["tag", "-s", "-m", "x", "v1"]);
    let noted = SourceSignature::Unverified { on: "tag".to_owned(), kind: "ssh".to_owned() };
    assert_eq!(open("v1", None).unwrap(), noted);
    assert_eq!(open("v1", Some(&right)).unwrap(), verified("tag"));
    let error = open("v1", Some(&wrong)).unwrap_err();
    assert_eq!(error.code(), codes::SOURCE_UNVERIFIED);
    assert!(error.to_string().starts_with("tag v1 is not signed by anyone who is trusted to"), "{error}");
    let gpg_only = Verify { ssh: None, gpg: Some("none".to_owned()) };
    assert_eq!(open("v1", Some(&gpg_only)).unwrap_err().code(), codes::SOURCE_UNVERIFIED);

    // The same signed tag under another name is not that release.
    let tag = repository.git(&["rev-parse", "v1"]);
    repository.git(&["update-ref", "refs/tags/v2", &tag]);
    let error = open("v2", Some(&right)).unwrap_err();
    assert!(error.to_string().contains("was signed as `v1`"), "{error}");

    fs::write(repository.path().join("a"), "2").unwrap();
    repository.git(&["commit", "-q", "-S", "-a", "-m", "signed"]);
    assert_eq!(open("main", Some(&right)).unwrap(), verified("commit"));
    assert_eq!(open("main", Some(&wrong)).unwrap_err().code(), codes::SOURCE_UNVERIFIED);
    let far = format!("file://{}", repository.path().display());
    assert_eq!(open_verified(&repository, &far, "main", Some(&right)).unwrap(), verified("commit"));
    let missing = Verify { ssh: Some("/no/such/file".to_owned()), gpg: None };
    assert_eq!(open("main", Some(&missing)).unwrap_err().code(), codes::IO);
}

#[test]
fn a_changed_commit_with_an_old_signature_is_refused() {
    if !installed("ssh-keygen", "openssh-client") {
        return;
    }
    let keys = tempfile::tempdir().unwrap();
    let ours = ssh_key(keys.path(), "ours");
    let repository = Repository::new(&[("a", "0")]);
    repository.git(&["config", "gpg.format", "ssh"]);
    repository.git(&["config", "user.signingKey", keys.path().join("ours").to_str().unwrap()]);
    fs::write(repository.path().join("a"), "1").unwrap();
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "-S", "-m", "signed"]);
    let raw = repository.git(&["cat-file", "commit", "HEAD"]).replace("\n\nsigned", "\n\nforged");
    fs::write(repository.path().join("raw"), raw + "\n").unwrap();
    let forged = repository.git(&["hash-object", "-t", "commit", "-w", "raw"]);
    let signers = keys.path().join("signers");
    fs::write(&signers, format!("dev@example.com {ours}")).unwrap();
    let verify = Verify { ssh: Some(signers.to_str().unwrap().to_owned()), gpg: None };
    let error = open_verified(&repository, ".", &forged, Some(&verify)).unwrap_err();
    assert_eq!(error.code(), codes::SOURCE_UNVERIFIED);
    assert!(open_verified(&repository, ".", "main", Some(&verify)).is_ok());
}

#[test]
fn gpg_signatures_are_verified_against_the_keys_in_a_file() {
    if !installed("gpg", "gnupg") {
        return;
    }
    let home = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let gpg = |arguments: &[&str]| {
        let mut command = Command::new("gpg");
        command.env("GNUPGHOME", home.path()).args(["--batch", "--quiet", "--passphrase", ""]).args(arguments);
        let output = command.output().expect("this test needs gpg (Debian: gpg)");
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let export = |who: &str| {
        gpg(&["--quick-gen-key", who, "ed25519", "sign", "never"]);
        let path = home.path().join(who);
        gpg(&["--armor", "--output", path.to_str().unwrap(), "--export", who]);
        Verify { ssh: None, gpg: Some(path.to_str().unwrap().to_owned()) }
    };
    let (right, wrong) = (export("dev@example.com"), export("other@example.com"));
    let repository = Repository::new(&[("a", "0")]);
    let wrapper = repository.path().join("gpg.sh");
    let script = format!("#!/bin/sh\nexec env GNUPGHOME={} gpg \"$@\"\n", home.path().display());
    fs::write(&wrapper, script).unwrap();
    crate::repository::executable(&wrapper);
    repository.git(&["config", "gpg.program", wrapper.to_str().unwrap()]);
    repository.git(&["config", "user.signingKey", "dev@example.com"]);
    fs::write(repository.path().join("a"), "1").unwrap();
    repository.git(&["add", "a"]);
    repository.git(&["commit", "-q", "-S", "-m", "signed"]);
    repository.git(&["tag", "-s", "-m", "x", "v1"]);
    let open = |reference: &str, verify: &Verify| open_verified(&repository, ".", reference, Some(verify));
    for (reference, thing) in [("main", "commit"), ("v1", "tag")] {
        let SourceSignature::Verified { on, kind, signer } = open(reference, &right).unwrap() else { panic!() };
        assert_eq!((on.as_str(), kind.as_str(), signer.len()), (thing, "gpg", 40));
        assert_eq!(open(reference, &wrong).unwrap_err().code(), codes::SOURCE_UNVERIFIED);
    }
    let _ = Command::new("gpgconf").env("GNUPGHOME", home.path()).args(["--kill", "gpg-agent"]).status();
}
