//! Every way in which an image is refused at build: code, exit code, message, causes, hint, as people see them.

use std::fmt::Write as _;

use consign_bundler::resolve::ResolveError;
use consign_format::Digest;
use consign_format::error::Failure;
use consign_registry::manifest::{Manifest, ManifestError};
use consign_registry::source::SourceError;

fn tell(page: &mut String, case: &str, failure: &Failure) {
    writeln!(page, "# {case}\n{}\nexit {}\n", consign_terminal::report(failure), failure.code().exit.code()).unwrap();
}

/// How a source's refusal reaches a person: with the object and the field that ask for the image.
fn unresolved(source: SourceError) -> Failure {
    let reference = "quay.io/team/viewer:1.4".to_owned();
    let found_in = vec!["Deployment radiology/viewer /spec/template/spec/containers/0/image".to_owned()];
    ResolveError::Unresolved { reference, found_in, source }.into()
}

fn manifest(json: &str) -> ManifestError {
    Manifest::parse(json.as_bytes(), None).unwrap_err()
}

#[test]
fn every_refusal_of_an_image_says_what_why_and_what_next() {
    let wanted = || "quay.io/team/viewer:1.4".to_owned();
    let place = || "mirror.corp/quay".to_owned();
    let (expected, other) = (Digest::of(b"promised"), Digest::of(b"other"));
    let unauthorized = |had_credentials| SourceError::Unauthorized {
        wanted: wanted(),
        place: place(),
        had_credentials,
        source: "401 Unauthorized".into(),
    };
    let unsupported = |source| SourceError::Unsupported { wanted: wanted(), place: place(), source };
    let foreign = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
            "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{expected}","size":2}},
            "layers":[{{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest":"{other}","size":2,"urls":["https://example.com/layer"]}}]}}"#
    );
    let mut page = String::new();
    for (case, source) in [
        ("not there", SourceError::NotFound { wanted: wanted(), place: place() }),
        ("there twice", SourceError::Ambiguous { wanted: wanted(), place: "images.tar".to_owned() }),
        (
            "no answer",
            SourceError::Unreachable {
                wanted: wanted(),
                place: place(),
                tries: 4,
                source: "connection refused".into(),
            },
        ),
        ("no credentials", unauthorized(false)),
        ("wrong credentials", unauthorized(true)),
        (
            "other bytes",
            SourceError::Mismatch { wanted: wanted(), place: place(), expected, actual: other.to_string() },
        ),
        ("schema 1", unsupported(manifest(r#"{"schemaVersion":1,"name":"team/viewer","tag":"1.4"}"#))),
        ("a foreign layer", unsupported(manifest(&foreign))),
        (
            "malformed",
            SourceError::Malformed { wanted: wanted(), place: place(), source: Box::new(manifest(r#"{"a":1}"#)) },
        ),
        (
            "not the protocol",
            SourceError::Protocol { wanted: wanted(), place: place(), source: "no Docker-Content-Digest".into() },
        ),
    ] {
        tell(&mut page, case, &unresolved(source));
    }
    let platform = ResolveError::Platform {
        reference: wanted(),
        found_in: Vec::new(),
        platform: "linux/arm64".to_owned(),
        offered: vec!["linux/amd64".to_owned()],
    };
    tell(&mut page, "no such platform", &platform.into());
    insta::assert_snapshot!(page);
}
