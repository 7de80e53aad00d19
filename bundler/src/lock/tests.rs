use consign_format::error::Coded;
use consign_format::release::SourceSignature;

use super::*;

pub(super) fn lock() -> Lock {
    let image = LockedImage {
        reference: "docker.io/library/nginx:1".into(),
        written: vec!["nginx:1".into()],
        digest: Digest::of(b"nginx"),
        media_type: "application/vnd.oci.image.manifest.v1+json".into(),
        size: 7,
        manifests: Vec::new(),
        referrers: Vec::new(),
        found_in: vec!["Deployment n/web /spec/template/spec/containers/0/image".into()],
    };
    Lock {
        schema: SCHEMA.into(),
        product: "p".parse().unwrap(),
        version: "1".into(),
        sequence: 9,
        issued: 8,
        source: Provenance {
            url: None,
            reference: "HEAD".into(),
            commit: "c".into(),
            tree: "t".into(),
            commit_time: 1,
            signature: SourceSignature::Absent,
        },
        tools: BTreeMap::new(),
        charts: BTreeMap::new(),
        settings: BTreeMap::from([("namespace".into(), "n".into())]),
        objects: BTreeMap::from([("Deployment n/web".into(), Digest::of(b"o"))]),
        images: vec![image],
        files: Vec::new(),
    }
}

#[test]
fn a_lock_comes_back_and_is_one_form() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    assert_eq!(Lock::read(&path).unwrap(), None);
    lock().write(&path).unwrap();
    assert_eq!(Lock::read(&path).unwrap(), Some(lock()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), lock().to_text().unwrap());
}

#[test]
fn other_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    for text in ["", "{}", "[]", &lock().to_text().unwrap().replace("lock/v1", "lock/v2")] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(Lock::read(&path).unwrap_err().code(), codes::LOCK_MALFORMED, "{text}");
    }
}

#[test]
fn what_has_moved_is_named() {
    let same = Lock { sequence: 1, issued: 2, ..lock() };
    assert_eq!(drifts(&lock(), &same), []);
    let mut other = lock();
    other.images[0].digest = Digest::of(b"other");
    other.objects.insert("Service n/web".into(), Digest::of(b"s"));
    other.tools.insert("helm".into(), "3.1".into());
    other.settings.insert("namespace".into(), "m".into());
    let places: Vec<_> = drifts(&lock(), &other).into_iter().map(|drift| drift.place).collect();
    assert_eq!(
        places,
        [
            "release.yaml namespace",
            "tool helm",
            "Deployment n/web /spec/template/spec/containers/0/image",
            "Service n/web"
        ]
    );
    let error = LockError::Drifted(drifts(&lock(), &other));
    assert!(error.to_string().contains("Deployment n/web /spec/template/spec/containers/0/image: locked"), "{error}");
}
