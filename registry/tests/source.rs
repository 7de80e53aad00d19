//! The contract of `ImageSource`, held against every implementation: a registry, a layout, an OCI archive.
//! What only one of them has (legacy `docker save`, retries, logins) follows below.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and writes what may be lost"
)]

mod kit;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use consign_format::layout::{OCI_LAYOUT, REF_NAME, index_json};
use consign_format::{Descriptor, Digest, Limits, Reference, media_type};
use consign_registry::manifest::Manifest;
use consign_registry::serve::{ServeOptions, Users};
use consign_registry::source::cosign_tag;
use consign_registry::{BlobFolder, ImageSource, LocalImages, RegistryOptions, RemoteRegistry, SourceError};
use kit::flaky::Flaky;
use kit::{Known, SIGNATURE, Served, noise, put, put_json};
use serde_json::json;

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// Options for a registry on this machine, asked for Docker Hub's names, with next to no pauses.
fn options(address: std::net::SocketAddr) -> RegistryOptions {
    RegistryOptions {
        mirrors: BTreeMap::from([("docker.io".to_owned(), address.to_string())]),
        plain_http: vec![address.to_string()],
        first_pause: Duration::from_millis(1),
        ..RegistryOptions::default()
    }
}

fn remote(address: std::net::SocketAddr) -> RemoteRegistry {
    RemoteRegistry::new(options(address)).unwrap()
}

/// The known images as a layout, named in full, with a cosign signature by tag.
fn layout(known: &Known, signature: &Descriptor) -> PathBuf {
    let entries = BTreeMap::from([
        ("docker.io/library/app:1".to_owned(), known.app.manifest.clone()),
        ("docker.io/library/multi:1".to_owned(), known.index.clone()),
        (known.signature.digest.to_string(), known.signature.clone()),
        (cosign_tag(&known.app.manifest.digest, "sig"), signature.clone()),
    ]);
    std::fs::write(known.dir.path().join("oci-layout"), OCI_LAYOUT).unwrap();
    std::fs::write(known.dir.path().join("index.json"), index_json(&entries)).unwrap();
    known.dir.path().to_owned()
}

fn archive(layout: &Path, to: &Path) -> PathBuf {
    let path = to.join("images.tar");
    let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
    for name in ["oci-layout", "index.json", "blobs"] {
        let from = layout.join(name);
        if from.is_dir() {
            tar.append_dir_all(name, from).unwrap();
        } else {
            tar.append_path_with_name(from, name).unwrap();
        }
    }
    tar.finish().unwrap();
    path
}

async fn read(source: &dyn ImageSource, reference: &Reference, blob: &Descriptor) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    source.blob(reference, blob, &mut bytes).await.map(|()| bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_keeps_the_contract() {
    let (known, mut shelf) = Known::new();
    let signature = put_json(
        &known.blobs,
        media_type::OCI_MANIFEST,
        &json!({"schemaVersion": 2, "config": put(&known.blobs, media_type::OCI_EMPTY, b"{}"), "layers": []}),
    );
    let tag = cosign_tag(&known.app.manifest.digest, "sig");
    shelf.put("docker.io", "library/app", Some(&tag), &signature).unwrap();
    let served = Served::new(shelf, ServeOptions::default());
    let folder = layout(&known, &signature);
    let elsewhere = tempfile::tempdir().unwrap();
    let tar = archive(&folder, elsewhere.path());
    let sources: Vec<(&str, Box<dyn ImageSource>)> = vec![
        ("registry", Box::new(remote(served.address))),
        ("layout", Box::new(LocalImages::open(&folder, &Limits::DEFAULT).unwrap())),
        ("archive", Box::new(LocalImages::open(&tar, &Limits::DEFAULT).unwrap())),
    ];
    for (name, source) in &sources {
        holds(name, source.as_ref(), &known, &signature).await;
    }
}

/// The contract.
async fn holds(name: &str, source: &dyn ImageSource, known: &Known, signature: &Descriptor) {
    let app = reference("app:1");
    // A tag is resolved; a digest wins over a tag.
    assert_eq!(source.resolve(&app).await.unwrap(), known.app.manifest, "{name}");
    let pinned = reference("app:none").with_digest(known.app.manifest.digest);
    assert_eq!(source.resolve(&pinned).await.unwrap(), known.app.manifest, "{name}");
    assert_eq!(source.resolve(&reference("multi:1")).await.unwrap(), known.index, "{name}");

    // Manifests come verbatim, as often as they are asked for.
    for _ in 0..2 {
        let bytes = source.manifest(&app, &known.app.manifest.digest).await.unwrap();
        assert_eq!(Digest::of(&bytes), known.app.manifest.digest, "{name}");
        assert_eq!(Manifest::parse(&bytes, None).unwrap().pointers().len(), 3);
    }

    // Blobs come whole.
    for blob in [&known.app.config, &known.app.layers[0], &known.app.layers[1]] {
        assert_eq!(Digest::of(&read(source, &app, blob).await.unwrap()), blob.digest, "{name}");
    }

    // What is not there is "not found", named, and not "unreachable".
    for absent in [reference("app:none"), reference("none:1"), reference("app").with_digest(known.arm64)] {
        match source.resolve(&absent).await {
            Err(SourceError::NotFound { wanted, .. }) => assert_eq!(wanted, absent.to_string(), "{name}"),
            other => panic!("{name}: {absent}: {other:?}"),
        }
    }
    let absent = Descriptor::of("x", b"absent");
    assert!(matches!(read(source, &app, &absent).await, Err(SourceError::NotFound { .. })), "{name}");
    assert!(matches!(source.manifest(&app, &known.arm64).await, Err(SourceError::NotFound { .. })), "{name}");

    // A wrong size is refused whichever way it is wrong.
    for size in [known.app.layers[1].size - 1, known.app.layers[1].size + 1] {
        let lie = Descriptor { size, ..known.app.layers[1].clone() };
        assert!(read(source, &app, &lie).await.is_err(), "{name}: {size}");
    }

    // Referrers: by subject with their type, by tag with their tag, and none for what has none.
    let mut referrers = source.referrers(&app, &known.app.manifest.digest).await.unwrap();
    referrers.sort_by_key(|referrer| referrer.artifact_type.is_none());
    let [by_subject, by_tag] = referrers.as_slice() else { panic!("{name}: {referrers:?}") };
    assert_eq!((by_subject.digest, by_subject.artifact_type.as_deref()), (known.signature.digest, Some(SIGNATURE)));
    assert_eq!(by_subject.annotations["by"], "somebody");
    assert_eq!(by_tag.digest, signature.digest, "{name}");
    assert_eq!(by_tag.annotations[REF_NAME], cosign_tag(&known.app.manifest.digest, "sig"), "{name}");
    assert_eq!(source.referrers(&reference("multi:1"), &known.index.digest).await.unwrap(), [], "{name}");

    // A sink that takes nothing is the sink's fault.
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let full = source.blob(&app, &known.app.layers[0], &mut Full).await;
    assert!(matches!(full, Err(SourceError::Sink { .. })), "{name}: {full:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bytes_are_refused_everywhere() {
    let (known, (behind, shelf)) = (Known::new().0, Known::new());
    let served = Served::new(shelf, ServeOptions::default());
    // Our own registry does not serve a manifest that is not what its name says; whoever stands before it may.
    let lying = Flaky::new(served.address, true);
    lying.change_manifest(&known.amd64.manifest.digest.to_string());
    let folder = layout(&known, &known.signature);
    let flip = |known: &Known, digest: &Digest| {
        let path = known.blobs.path(digest);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    };
    flip(&behind, &known.app.layers[0].digest);
    flip(&known, &known.app.layers[0].digest);
    flip(&known, &known.amd64.manifest.digest);
    let elsewhere = tempfile::tempdir().unwrap();
    let tar = archive(&folder, elsewhere.path());
    let sources: Vec<(&str, Box<dyn ImageSource>)> = vec![
        ("registry", Box::new(remote(lying.address))),
        ("layout", Box::new(LocalImages::open(&folder, &Limits::DEFAULT).unwrap())),
        ("archive", Box::new(LocalImages::open(&tar, &Limits::DEFAULT).unwrap())),
    ];
    for (name, source) in &sources {
        let layer = read(source.as_ref(), &reference("app:1"), &known.app.layers[0]).await;
        assert!(
            matches!(&layer, Err(SourceError::Mismatch { expected, .. }) if *expected == known.app.layers[0].digest),
            "{name}: {layer:?}"
        );
        let manifest = source.manifest(&reference("multi:1"), &known.amd64.manifest.digest).await;
        assert!(matches!(manifest, Err(SourceError::Mismatch { .. })), "{name}: {manifest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobFolder::open(dir.path()).unwrap();
    let config = put(&blobs, media_type::DOCKER_CONFIG, b"{}");
    let schema1 = put_json(&blobs, media_type::DOCKER_SCHEMA1_SIGNED, &json!({"schemaVersion": 1, "name": "x"}));
    let foreign = put_json(
        &blobs,
        media_type::DOCKER_MANIFEST,
        &json!({"schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST, "config": config, "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest": Digest::of(b"windows"), "size": 7, "urls": ["http://127.0.0.1:1/layer"]}]}),
    );
    let entries = BTreeMap::from([("x.y/schema1:1".to_owned(), schema1), ("x.y/foreign:1".to_owned(), foreign)]);
    std::fs::write(dir.path().join("oci-layout"), OCI_LAYOUT).unwrap();
    std::fs::write(dir.path().join("index.json"), index_json(&entries)).unwrap();
    let source = LocalImages::open(dir.path(), &Limits::DEFAULT).unwrap();
    for name in ["x.y/schema1:1", "x.y/foreign:1"] {
        let error = source.resolve(&reference(name)).await.unwrap_err();
        assert!(matches!(&error, SourceError::Unsupported { wanted, .. } if wanted == name), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_docker_archive_gets_a_manifest_that_is_always_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (noise(1, 5000), noise(2, 6000));
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&one), Digest::of(&two), Digest::of(&one)]}
    })
    .to_string();
    let config_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let listed = json!([{"Config": config_name, "RepoTags": ["app:1", "registry.corp/team/app:2"],
        "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"]}])
    .to_string();
    let write = |path: &Path, mtime: u64| {
        let mut tar = tar::Builder::new(std::fs::File::create(path).unwrap());
        let mut file = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mtime(mtime);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, bytes).unwrap();
        };
        file("a/layer.tar", &one);
        file("b/layer.tar", &two);
        file(&config_name, config.as_bytes());
        file("manifest.json", listed.as_bytes());
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        tar.append_link(&mut link, "c/layer.tar", "../a/layer.tar").unwrap();
        tar.finish().unwrap();
    };
    let mut tops = Vec::new();
    for mtime in [0, 1_700_000_000] {
        let path = dir.path().join(format!("{mtime}.tar"));
        write(&path, mtime);
        let source = LocalImages::open(&path, &Limits::DEFAULT).unwrap();
        let app = reference("app:1");
        let top = source.resolve(&app).await.unwrap();
        assert_eq!(source.resolve(&reference("registry.corp/team/app:2")).await.unwrap(), top);
        assert!(source.resolve(&reference("app:2")).await.is_err());
        let bytes = source.manifest(&app, &top.digest).await.unwrap();
        let manifest = Manifest::parse(&bytes, None).unwrap();
        assert_eq!(manifest.media_type, media_type::DOCKER_MANIFEST);
        let contents = [config.as_bytes(), &one, &two, &one];
        assert_eq!(manifest.pointers().len(), contents.len());
        for (pointer, content) in manifest.pointers().into_iter().zip(contents) {
            assert_eq!(read(&source, &app, pointer).await.unwrap(), content, "{pointer:?}");
        }
        tops.push(top);
    }
    assert_eq!(tops[0], tops[1]);
    // The digest is part of what a lock says: a change of the form is a change for everybody.
    let text = String::from_utf8(
        LocalImages::open(&dir.path().join("0.tar"), &Limits::DEFAULT)
            .unwrap()
            .manifest(&reference("app:1"), &tops[0].digest)
            .await
            .unwrap(),
    )
    .unwrap();
    let start = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","size":{},"digest":"{}"}},"layers":[{{"mediaType":"{}","size":5000,"#,
        media_type::DOCKER_MANIFEST,
        media_type::DOCKER_CONFIG,
        config.len(),
        Digest::of(config.as_bytes()),
        media_type::DOCKER_LAYER_TAR
    );
    assert!(text.starts_with(&start), "{text}");
}

#[test]
fn archives_that_are_none_say_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    for (bytes, expected) in [
        ([0x1f, 0x8b, 8, 0].as_slice(), "gzip"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        (&[0; 1024], "neither index.json nor manifest.json"),
        (&[1; 700], ""),
    ] {
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let error = LocalImages::open(&path, &Limits::DEFAULT).err().unwrap();
        let SourceError::Malformed { source, .. } = &error else { panic!("{error:?}") };
        assert!(source.to_string().contains(expected), "{source}");
    }
    assert!(matches!(LocalImages::open(dir.path(), &Limits::DEFAULT), Err(SourceError::Malformed { .. })));
    assert!(matches!(LocalImages::open(&dir.path().join("no"), &Limits::DEFAULT), Err(SourceError::Read { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_cut_goes_on_where_it_was() {
    let (known, shelf) = Known::new();
    let served = Served::new(shelf, ServeOptions::default());
    for ranges in [true, false] {
        let flaky = Flaky::new(served.address, ranges);
        let source = remote(flaky.address);
        flaky.cut_bodies_after(40_000);
        let layer = &known.app.layers[0];
        assert_eq!(Digest::of(&read(&source, &reference("app:1"), layer).await.unwrap()), layer.digest);
        let asked = flaky.asked();
        assert!(asked.len() > 1, "{asked:?}");
        if ranges {
            // 300 000 bytes at 40 000 a time: each connection brought something new.
            assert!(asked.len() >= 8 && asked[1].contains("bytes=40000-"), "{asked:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_failures_are_tried_again_and_others_are_not() {
    let (known, shelf) = Known::new();
    let served = Served::new(shelf, ServeOptions::default());
    let flaky = Flaky::new(served.address, true);
    let source = remote(flaky.address);
    for status in [429, 500, 503] {
        flaky.fail_next(3, status);
        assert_eq!(source.resolve(&reference("app:1")).await.unwrap(), known.app.manifest, "{status}");
        flaky.fail_next(3, status);
        assert!(read(&source, &reference("app:1"), &known.app.layers[1]).await.is_ok(), "{status}");
    }
    flaky.fail_next(u32::MAX, 503);
    let before = flaky.asked().len();
    match source.resolve(&reference("app:1")).await {
        Err(SourceError::Unreachable { wanted, place, tries: 5, .. }) => {
            assert_eq!((wanted.as_str(), place), ("docker.io/library/app:1", flaky.address.to_string()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(flaky.asked().len() - before, 5);
    for (status, is_expected) in [
        (404, (|e| matches!(e, SourceError::NotFound { .. })) as fn(&SourceError) -> bool),
        (403, |e| matches!(e, SourceError::Unauthorized { had_credentials: false, .. })),
        (400, |e| matches!(e, SourceError::Protocol { .. })),
    ] {
        flaky.fail_next(2, status);
        let error = source.resolve(&reference("app:1")).await.unwrap_err();
        assert!(is_expected(&error), "{status}: {error:?}");
        flaky.fail_next(0, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_answered_with_a_new_token_once() {
    let (known, shelf) = Known::new();
    let served = Served::new(shelf, ServeOptions::default());
    let flaky = Flaky::new(served.address, true);
    let source = remote(flaky.address);
    flaky.fail_next(1, 401);
    assert_eq!(source.resolve(&reference("app:1")).await.unwrap(), known.app.manifest);
    flaky.fail_next(2, 401);
    let refused = source.resolve(&reference("app:1")).await;
    assert!(matches!(refused, Err(SourceError::Unauthorized { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_there_is_unreachable() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = RemoteRegistry::new(RegistryOptions { tries: 2, ..options(address) }).unwrap();
    let error = source.resolve(&reference("app:1")).await.unwrap_err();
    assert!(matches!(&error, SourceError::Unreachable { place, .. } if *place == address.to_string()), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_sent_to_their_host() {
    let (known, shelf) = Known::new();
    let users = Users::parse(&Users::line("u", "p").unwrap()).unwrap();
    let options_of = ServeOptions { users: Some(std::sync::Arc::new(users)), ..ServeOptions::default() };
    let served = Served::new(shelf, options_of);
    let anonymous = remote(served.address).resolve(&reference("app:1")).await;
    assert!(matches!(anonymous, Err(SourceError::Unauthorized { had_credentials: false, .. })), "{anonymous:?}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.json");
    for (login, lets_in) in [("dTpw", true), ("dTpx", false)] {
        let json = json!({"auths": {served.address.to_string(): {"auth": login}}});
        std::fs::write(&file, json.to_string()).unwrap();
        let with = RegistryOptions { docker_config: Some(file.clone()), ..options(served.address) };
        let source = RemoteRegistry::new(with).unwrap();
        match source.resolve(&reference("app:1")).await {
            Ok(top) => assert!(lets_in && top == known.app.manifest),
            Err(SourceError::Unauthorized { had_credentials: true, .. }) => assert!(!lets_in),
            other => panic!("{other:?}"),
        }
        if lets_in {
            assert!(read(&source, &reference("app:1"), &known.app.layers[0]).await.is_ok());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_with_a_prefix_is_asked_under_it() {
    let (known, shelf) = Known::new();
    let served = Served::new(shelf, ServeOptions::default());
    let address = served.address.to_string();
    let mirrors = BTreeMap::from([("x.corp".to_owned(), format!("{address}/ghcr.io"))]);
    let source = RemoteRegistry::new(RegistryOptions { mirrors, ..options(served.address) });
    // `ghcr.io` is a path component by the grammar, and the host by our registry's rule.
    let top = source.unwrap().resolve(&reference("x.corp/library/app:1")).await.unwrap();
    assert_eq!(top, known.other.manifest);
}
