use std::os::unix::fs::PermissionsExt;

use super::*;
use consign_format::trust::author::development_root;

fn chain() -> (RootChain, SecretKey) {
    let key = SecretKey::from_seed(&[7; 32]);
    let root = development_root(&"dev".parse().unwrap(), &key, "2030-01-01T00:00:00Z").unwrap();
    (RootChain::enrol(&root, None).unwrap(), key)
}

const LIST: &str = "site,environments,labels
# the north
hospital-7, production test, region=north
hospital-8,production
";

fn entries(text: &str) -> Vec<Entry> {
    parse(Path::new("sites.csv"), text).unwrap()
}

/// Prepares all sites of a list; the seeds count up, so that no two keys are the same.
fn prepare(folder: &Path, list: &str, keys: bool) -> Vec<Prepared> {
    let (chain, signer) = chain();
    let count = std::cell::Cell::new(1);
    let seed = || {
        count.set(count.get() + 1);
        Ok([count.get(); 32])
    };
    let signers: &[&dyn Signer] = if keys { &[&signer] } else { &[] };
    let depot = Depot { chain: &chain, signers, output: folder, now: 1, seed: &seed };
    entries(list).iter().map(|entry| depot.prepare(entry).unwrap()).collect()
}

#[test]
fn lists_are_read_as_people_write_them() {
    let list = entries(LIST);
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].environments.len(), 2);
    assert_eq!(list[0].labels, ["region=north"]);
    for (text, says) in [
        ("a,b,c", "line 1: `c` is no label: write KEY=VALUE"),
        ("a\na", "line 2: site `a` stands there twice"),
        ("A", "line 1: `A` is no name of a site"),
        ("a,b,c=d,e", "line 1: there is a fourth field, `e`"),
        ("../a", "line 1: `../a` is no name"),
    ] {
        let error = parse(Path::new("sites.csv"), text).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn preparing_again_changes_nothing_and_a_change_gets_the_next_serial() {
    let folder = tempfile::tempdir().unwrap();
    let first = prepare(folder.path(), LIST, true);
    assert!(first.iter().all(|one| one.changed && one.serial == Some(1) && !one.unsigned));
    let key = folder.path().join("hospital-7/site.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let (before, pem) = (fs::read(folder.path().join("hospital-7/site-record.json")).unwrap(), fs::read(&key).unwrap());
    assert!(prepare(folder.path(), LIST, true).iter().all(|one| !one.changed));
    assert_eq!(fs::read(folder.path().join("hospital-7/site-record.json")).unwrap(), before);
    let again = prepare(folder.path(), &LIST.replace("region=north", "region=south"), true);
    assert_eq!((again[0].serial, again[1].serial), (Some(2), Some(1)));
    assert_eq!(fs::read(&key).unwrap(), pem, "the key stays");
}

#[test]
fn the_fingerprint_is_in_the_letter_and_not_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let prepared = prepare(folder.path(), LIST, false);
    let letter = fs::read_to_string(&prepared[0].letter).unwrap();
    let readme = fs::read_to_string(prepared[0].folder.join(README)).unwrap();
    for word in fingerprint::words(&Digest::of(&chain().0.files()[0])).split(' ') {
        assert!(letter.contains(word), "{word}");
        assert!(!readme.split_whitespace().any(|one| one == word), "{word} in {readme}");
    }
    assert!(!prepared[0].folder.join(KEY).exists() && !prepared[0].folder.join(RECORD).exists());
}

#[test]
fn a_key_that_is_there_is_not_left_lying_beside_one_that_the_site_makes() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), "a", true);
    let (chain, _) = chain();
    let seed = || Ok([1; 32]);
    let depot = Depot { chain: &chain, signers: &[], output: folder.path(), now: 1, seed: &seed };
    assert_eq!(depot.prepare(&entries("a")[0]).unwrap_err().code(), codes::ALREADY_EXISTS);
}
