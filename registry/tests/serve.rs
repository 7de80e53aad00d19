//! The pull and discovery side of the distribution specification v1.1, byte by byte over a socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and writes what may be lost"
)]

mod kit;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use consign_format::{Digest, media_type};
use consign_registry::serve::{Event, ServeOptions, Users};
use kit::{Known, SIGNATURE, Served};

fn served() -> (Known, Served) {
    let (known, shelf) = Known::new();
    (known, Served::new(shelf, ServeOptions::default()))
}

#[test]
fn it_says_that_it_is_a_registry() {
    let (_known, served) = served();
    for target in ["/v2/", "/v2"] {
        let answer = served.get(target);
        assert_eq!((answer.status, answer.header("docker-distribution-api-version")), (200, "registry/2.0"));
    }
}

#[test]
fn manifests_are_pulled_by_tag_and_by_digest() {
    let (known, served) = served();
    let digest = known.app.manifest.digest;
    for reference in ["1".to_owned(), digest.to_string()] {
        for name in ["library/app", "app", "docker.io/library/app", "docker.io/app"] {
            let target = format!("/v2/{name}/manifests/{reference}");
            let got = served.get(&target);
            assert_eq!(got.status, 200, "{target}");
            assert_eq!(Digest::of(&got.body), digest);
            let head = served.request("HEAD", &target, &[]);
            assert_eq!((head.status, head.body.len()), (200, 0));
            for answer in [&got, &head] {
                assert_eq!(answer.header("docker-content-digest"), digest.to_string());
                assert_eq!(answer.header("content-type"), media_type::OCI_MANIFEST);
                assert_eq!(answer.header("content-length"), known.app.manifest.size.to_string());
            }
        }
    }
}

#[test]
fn the_upstream_host_is_part_of_the_name() {
    let (known, served) = served();
    let digest_of = |target: &str, host: &str| {
        let answer = served.request("HEAD", target, &[("Host", host)]);
        (answer.status, answer.header("docker-content-digest").to_owned())
    };
    let (app, other) = (known.app.manifest.digest.to_string(), known.other.manifest.digest.to_string());
    for (target, expected) in [
        ("/v2/library/app/manifests/1?ns=docker.io", &app),
        ("/v2/library/app/manifests/1?ns=ghcr.io", &other),
        ("/v2/ghcr.io/library/app/manifests/1", &other),
        ("/v2/ghcr.io/library/app/manifests/1?ns=ghcr.io", &other),
        ("/v2/ghcr.io/library/app/manifests/1?ns=registry.site:5000", &other),
        ("/v2/library/app/manifests/1?ns=registry.site:5000", &app),
    ] {
        assert_eq!(digest_of(target, "registry.site:5000"), (200, expected.clone()), "{target}");
    }
    assert_eq!(digest_of("/v2/library/app/manifests/1?ns=quay.io", "registry.site:5000").0, 404);
    assert_eq!(digest_of("/v2/library/app/manifests/1?ns=registry.site:5000", "elsewhere").0, 404);
}

#[test]
fn blobs_are_served_whole_and_in_part() {
    let (known, served) = served();
    let layer = &known.app.layers[0];
    let bytes = std::fs::read(known.blobs.path(&layer.digest)).unwrap();
    let target = format!("/v2/library/app/blobs/{}", layer.digest);
    let whole = served.get(&target);
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, "bytes"));
    assert!(whole.body == bytes);
    let head = served.request("HEAD", &target, &[]);
    assert_eq!((head.status, head.header("content-length")), (200, "300000"));
    assert_eq!(head.header("docker-content-digest"), layer.digest.to_string());
    for (range, start, end) in
        [("bytes=0-0", 0, 1), ("bytes=131071-131073", 131_071, 131_074), ("bytes=299999-", 299_999, 300_000)]
    {
        let part = served.request("GET", &target, &[("Range", range)]);
        assert_eq!(part.status, 206, "{range}");
        assert!(part.body == bytes[start..end], "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {start}-{}/300000", end - 1));
    }
    let beyond = served.request("GET", &target, &[("Range", "bytes=300000-")]);
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */300000"));
    let etag = format!("\"{}\"", layer.digest);
    for (version, status) in [(etag.as_str(), 206), ("\"another\"", 200)] {
        let answer = served.request("GET", &target, &[("Range", "bytes=1-2"), ("If-Range", version)]);
        assert_eq!(answer.status, status, "{version}");
    }
}

#[test]
fn a_repository_shows_only_what_its_manifests_refer_to() {
    let (known, served) = served();
    let foreign = served.get(&format!("/v2/library/app/blobs/{}", known.other.layers[0].digest));
    assert_eq!((foreign.status, foreign.code().as_str()), (404, "BLOB_UNKNOWN"));
    let manifest = served.get(&format!("/v2/library/app/manifests/{}", known.other.manifest.digest));
    assert_eq!((manifest.status, manifest.code().as_str()), (404, "MANIFEST_UNKNOWN"));
}

#[test]
fn a_sparse_index_is_served_as_it_is() {
    let (known, served) = served();
    let index = served.get("/v2/library/multi/manifests/1");
    assert_eq!((index.status, index.header("content-type")), (200, media_type::OCI_INDEX));
    assert_eq!(Digest::of(&index.body), known.index.digest);
    assert_eq!(served.get(&format!("/v2/library/multi/manifests/{}", known.amd64.manifest.digest)).status, 200);
    let absent = served.get(&format!("/v2/library/multi/manifests/{}", known.arm64));
    assert_eq!((absent.status, absent.code().as_str()), (404, "MANIFEST_UNKNOWN"));
}

#[test]
fn tags_are_listed_in_pages() {
    let (_known, served) = served();
    let tags = |target: &str| {
        let answer = served.get(target);
        assert_eq!(answer.status, 200, "{target}");
        (answer.json()["tags"].clone(), answer.header("link").to_owned())
    };
    let all = serde_json::json!(["1", "10", "2", "alpha", "Beta"]);
    assert_eq!(tags("/v2/library/app/tags/list"), (all.clone(), String::new()));
    assert_eq!(tags("/v2/library/app/tags/list?n=0").0, serde_json::json!([]));
    let (mut seen, mut next) = (Vec::new(), "/v2/library/app/tags/list?n=2&ns=docker.io".to_owned());
    while !next.is_empty() {
        let (page, link) = tags(&next);
        seen.extend(page.as_array().unwrap().clone());
        next = link.strip_prefix('<').and_then(|link| link.split_once('>')).map_or(String::new(), |l| l.0.to_owned());
        assert!(next.is_empty() || next.contains("ns=docker.io"), "{next}");
    }
    assert_eq!(serde_json::Value::from(seen), all);
    assert_eq!(served.get("/v2/library/app/tags/list").json()["name"], "library/app");
    assert_eq!(served.get("/v2/library/nothing/tags/list").code(), "NAME_UNKNOWN");
}

#[test]
fn referrers_are_listed_and_filtered() {
    let (known, served) = served();
    let target = format!("/v2/library/app/referrers/{}", known.app.manifest.digest);
    let all = served.get(&target);
    assert_eq!((all.status, all.header("content-type")), (200, media_type::OCI_INDEX));
    let entry = &all.json()["manifests"][0];
    assert_eq!(entry["digest"], known.signature.digest.to_string());
    assert_eq!((&entry["artifactType"], &entry["annotations"]["by"]), (&SIGNATURE.into(), &"somebody".into()));
    assert_eq!(all.header("oci-filters-applied"), "");
    let wanted = served.get(&format!("{target}?artifactType={}", SIGNATURE.replace('/', "%2F").replace('+', "%2B")));
    assert_eq!(wanted.json()["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(wanted.header("oci-filters-applied"), "artifactType");
    let none = served.get(&format!("{target}?artifactType=application/other"));
    assert_eq!((none.status, none.json()["manifests"].as_array().unwrap().len()), (200, 0));
    let unknown = served.get(&format!("/v2/library/app/referrers/{}", Digest::of(b"nobody")));
    assert_eq!((unknown.status, unknown.json()["manifests"].as_array().unwrap().len()), (200, 0));
}

#[test]
fn refusals_have_the_codes_of_the_specification() {
    let (known, served) = served();
    let digest = known.app.manifest.digest;
    let long = format!("/v2/{}/manifests/1", "a".repeat(3000));
    for (method, target, status, code) in [
        ("GET", "/v2/library/nothing/manifests/1".to_owned(), 404, "NAME_UNKNOWN"),
        ("GET", "/v2/library/app/manifests/none".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("GET", format!("/v2/library/app/blobs/{}", Digest::of(b"none")), 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/library/app/blobs/sha256:12".to_owned(), 400, "DIGEST_INVALID"),
        ("GET", format!("/v2/library/app/manifests/sha512:{}", digest.hex()), 400, "DIGEST_INVALID"),
        ("GET", "/v2/library/app/referrers/none".to_owned(), 400, "DIGEST_INVALID"),
        ("GET", "/v2/Library/app/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("GET", "/v2/library/../app/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("GET", "/v2/library%2fapp/manifests/1".to_owned(), 400, "NAME_INVALID"),
        ("GET", format!("/v2/library/app/blobs/{digest}?ns=../../etc"), 400, "NAME_INVALID"),
        ("GET", long, 414, "NAME_INVALID"),
        ("POST", "/v2/library/app/blobs/uploads/".to_owned(), 405, "UNSUPPORTED"),
        ("PUT", "/v2/library/app/manifests/1".to_owned(), 405, "UNSUPPORTED"),
        ("PATCH", "/v2/library/app/blobs/uploads/1".to_owned(), 405, "UNSUPPORTED"),
        ("DELETE", format!("/v2/library/app/manifests/{digest}"), 405, "UNSUPPORTED"),
        ("GET", "/v2/_catalog".to_owned(), 404, "UNSUPPORTED"),
        ("GET", "/etc/passwd".to_owned(), 404, "UNSUPPORTED"),
    ] {
        let answer = served.request(method, &target, &[]);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {target}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

#[test]
fn credentials_are_asked_for_where_they_are_set() {
    let (_known, shelf) = Known::new();
    let users = Users::parse(&Users::line("node", "s3cret:x").unwrap()).unwrap();
    let options = ServeOptions { users: Some(Arc::new(users)), ..ServeOptions::default() };
    let served = Served::new(shelf, options);
    let status = |value: &str| served.request("GET", "/v2/app/manifests/1", &[("Authorization", value)]).status;
    let without = served.get("/v2/");
    assert_eq!((without.status, without.code().as_str()), (401, "UNAUTHORIZED"));
    assert!(without.header("www-authenticate").starts_with("Basic realm="));
    assert_eq!(status("Basic bm9kZTpzM2NyZXQ6eA=="), 200);
    assert_eq!(status("basic bm9kZTpzM2NyZXQ6eA=="), 200);
    for wrong in ["Basic bm9kZTpzM2NyZXQ6eQ==", "Basic !", "Bearer bm9kZTpzM2NyZXQ6eA==", "Basic", ""] {
        assert_eq!(status(wrong), 401, "{wrong}");
    }
}

#[test]
fn a_damaged_store_is_an_error_and_never_other_bytes() {
    let (known, mut served) = served();
    let layer = known.app.layers[0].digest;
    let path = known.blobs.path(&layer);
    std::fs::remove_file(&path).unwrap();
    let target = format!("/v2/library/app/blobs/{layer}");
    assert_eq!(served.get(&target).status, 500);
    std::fs::write(&path, b"short").unwrap();
    assert_eq!(served.get(&target).status, 500);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    let answer = served.get(&target);
    assert_eq!((answer.status, answer.code().as_str()), (500, "UNKNOWN"));
    assert!(!String::from_utf8_lossy(&answer.body).contains(path.to_str().unwrap()), "a path of the site leaks");
    let manifest = known.blobs.path(&known.app.manifest.digest);
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[20] ^= 1;
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(&manifest, bytes).unwrap();
    assert_eq!(served.get("/v2/library/app/manifests/1").status, 500, "a manifest that rotted");
    served.stop();
    let told = served.events.lock().unwrap();
    let names_it = |error: &Option<String>| error.as_ref().is_some_and(|error| error.contains(&layer.hex()));
    let with_reason =
        |event: &&Event| matches!(event, Event::Answered(asked) if asked.status == 500 && names_it(&asked.error));
    assert_eq!(told.iter().filter(with_reason).count(), 3);
}

#[test]
fn one_connection_serves_many_requests() {
    let (known, served) = served();
    let mut stream = TcpStream::connect(served.address).unwrap();
    for _ in 0..3 {
        write!(stream, "HEAD /v2/app/manifests/1 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(String::from_utf8(head).unwrap().contains(&known.app.manifest.digest.to_string()));
    }
}

#[test]
fn a_head_without_end_is_cut() {
    let (_known, shelf) = Known::new();
    let options = ServeOptions { head_timeout: Duration::from_millis(200), ..ServeOptions::default() };
    let served = Served::new(shelf, options);
    let mut slow = TcpStream::connect(served.address).unwrap();
    slow.write_all(b"GET /v2/ HTTP/1.1\r\nX: ").unwrap();
    let mut rest = Vec::new();
    // Ends because the server ends it; without the timeout this would wait for ever.
    let _ = slow.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));

    let mut big = TcpStream::connect(served.address).unwrap();
    let _ = big.write_all(format!("GET /v2/ HTTP/1.1\r\nX: {}", "x".repeat(100_000)).as_bytes());
    rest.clear();
    let _ = big.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    assert_eq!(served.get("/v2/").status, 200);
}

#[test]
fn a_client_that_reads_nothing_gives_its_place_to_the_next() {
    let (known, shelf) = Known::new();
    let layer = known.app.layers[0].digest;
    let options = ServeOptions { connections: 1, pace_window: Duration::from_millis(300), ..ServeOptions::default() };
    let served = Served::new(shelf, options);
    let mut deaf = TcpStream::connect(served.address).unwrap();
    for _ in 0..200 {
        // Enough answers to fill the buffers of the kernel on both sides; writing fails once the server has let go.
        if write!(deaf, "GET /v2/app/blobs/{layer} HTTP/1.1\r\nHost: x\r\n\r\n").is_err() {
            break;
        }
    }
    assert_eq!(served.get("/v2/").status, 200);
}

#[test]
fn a_stop_lets_answers_end_and_closes_what_is_idle() {
    let (known, mut served) = served();
    let mut idle = TcpStream::connect(served.address).unwrap();
    write!(idle, "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    let mut busy = TcpStream::connect(served.address).unwrap();
    write!(busy, "GET /v2/app/blobs/{} HTTP/1.1\r\nHost: x\r\n\r\n", known.app.layers[0].digest).unwrap();
    busy.read_exact(&mut first).unwrap();
    served.stop();
    let mut rest = Vec::new();
    busy.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 300_000, "{}", rest.len());
    rest.clear();
    idle.read_to_end(&mut rest).unwrap();
    assert!(TcpStream::connect(served.address).is_err());
}
