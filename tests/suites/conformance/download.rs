//! §5.7: a target.

use consign_format::Digest;

use crate::client::Client;
use crate::repository::Repository;

const NAME: &str = "folder/a target.txt";

#[test]
fn a_target_comes_once_and_again_when_it_changed() {
    let mut repository = Repository::new();
    let client = Client::of(&repository);
    assert!(!client.download(&repository, NAME), "there is none yet");
    assert_eq!(client.versions(), [1, 1, 1, 1], "but the metadata is up to date");
    repository.add_target(NAME, b"first");
    repository.asked();
    assert!(client.download(&repository, NAME));
    let prefixed = |bytes: &[u8]| format!("targets/folder/{}.a target.txt", Digest::of(bytes).hex());
    assert_eq!(repository.asked().last(), Some(&prefixed(b"first")));
    assert!(client.download(&repository, NAME));
    assert!(!repository.asked().iter().any(|path| path.starts_with("targets/")), "it is there already");
    repository.add_target(NAME, b"second");
    assert!(client.download(&repository, NAME));
    assert_eq!(client.downloaded(), [b"second"], "under the same name");
}

#[test]
fn other_bytes_are_refused() {
    let mut repository = Repository::new();
    let client = Client::of(&repository);
    repository.add_target(NAME, b"promised");
    let path = format!("targets/folder/{}.a target.txt", Digest::of(b"promised").hex());
    for bytes in [&b"Promised"[..], b"promise", b"promised!", b""] {
        repository.serve(&path, bytes.to_vec());
        assert!(!client.download(&repository, NAME));
        assert!(client.downloaded().is_empty());
    }
    repository.serve(&path, b"promised".to_vec());
    assert!(client.download(&repository, NAME));
}
