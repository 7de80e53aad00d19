use std::os::unix::fs::symlink;

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_as_a_whole_with_the_mode_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    write_file(&path, b"one", 0o600).unwrap();
    write_file(&path, b"two", 0o644).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"two");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(names(dir.path()), ["state"]);
}

#[test]
fn a_new_file_never_replaces() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("receipt");
    write_new_file(&path, b"one", 0o644).unwrap();
    let error = write_new_file(&path, b"two", 0o644).unwrap_err();
    assert!(matches!(error, DurableError::Exists { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"one");
    assert_eq!(names(dir.path()), ["receipt"]);
}

#[test]
fn a_link_at_the_name_is_replaced_and_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    std::fs::write(&outside, b"untouched").unwrap();
    let path = dir.path().join("state");
    symlink(&outside, &path).unwrap();
    write_file(&path, b"mine", 0o600).unwrap();
    assert_eq!(std::fs::read(&outside).unwrap(), b"untouched");
    assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn a_dropped_draft_leaves_nothing_and_names_with_slashes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    drop(Draft::create(&folder, 0o644).unwrap());
    for name in ["", ".", "..", "a/b", "../a"] {
        let draft = Draft::create(&folder, 0o644).unwrap();
        let error = draft.commit(OsStr::new(name), Existing::Replace).unwrap_err();
        assert!(matches!(error, DurableError::Unsafe { .. }), "{name}: {error}");
    }
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn drafts_of_a_dead_process_are_removed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".draft-1-0"), b"half").unwrap();
    std::fs::write(dir.path().join("kept"), b"whole").unwrap();
    assert_eq!(Folder::open(dir.path()).unwrap().remove_drafts().unwrap(), 1);
    assert_eq!(names(dir.path()), ["kept"]);
}

#[test]
fn folders_are_made_and_links_in_their_place_refused() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/c");
    create_dir(&deep, 0o700).unwrap();
    create_dir(&deep, 0o700).unwrap();
    assert!(deep.is_dir());
    let link = dir.path().join("link");
    symlink(&deep, &link).unwrap();
    assert!(matches!(create_dir(&link, 0o700).unwrap_err(), DurableError::Unsafe { .. }));
    assert!(matches!(Folder::open(&link).unwrap_err(), DurableError::Unsafe { .. }));
}

#[test]
fn only_regular_files_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    symlink("/dev/zero", dir.path().join("link")).unwrap();
    std::fs::create_dir(dir.path().join("dir")).unwrap();
    for name in ["link", "dir"] {
        assert!(matches!(folder.open_file(OsStr::new(name)), Err(DurableError::Unsafe { .. })), "{name}");
    }
    assert!(folder.open_file(OsStr::new("absent")).unwrap().is_none());
}
