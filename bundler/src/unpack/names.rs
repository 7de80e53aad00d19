//! Names from inside layers, as names that are safe to write: relative, plain ASCII, never `..`, of bounded length.
//!
//! A name is escaped, not refused: a scanner has to see the file whatever it is called. `%` begins every escape and
//! every name of our own making, and is itself escaped; so no two of them can be taken for each other.

use std::path::PathBuf;

use consign_format::Digest;

/// A longer part of a path is cut, and told apart by its digest. File systems end at 255 bytes.
const PART: usize = 180;
/// A deeper or longer path is put elsewhere as a whole. The kernel ends at 4096 bytes.
const DEPTH: usize = 60;
/// See [`DEPTH`].
const LENGTH: usize = 2000;

/// Returns the path of an entry below its layer's folder.
pub(super) fn safe_path(name: &[u8]) -> PathBuf {
    let parts: Vec<String> =
        name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").map(safe_part).collect();
    let length: usize = parts.iter().map(|part| part.len() + 1).sum();
    match parts.as_slice() {
        [] => PathBuf::from("%nameless"),
        [.., last] if parts.len() > DEPTH || length > LENGTH => {
            PathBuf::from("%deep").join(&Digest::of(name).hex()[..16]).join(last)
        }
        parts => parts.iter().collect(),
    }
}

/// Returns one part of a path.
pub(super) fn safe_part(part: &[u8]) -> String {
    if part == b".." {
        return "%2E%2E".to_owned();
    }
    let mut text = String::new();
    for byte in part {
        match byte {
            b'%' | b'/' | b'\\' | 0..=31 | 127.. => text.push_str(&format!("%{byte:02X}")),
            byte => text.push(char::from(*byte)),
        }
    }
    if text.len() > PART {
        text.truncate(PART);
        text.push_str(&format!("%cut-{}", &Digest::of(part).hex()[..16]));
    }
    text
}

/// A text from a layer, for the listing.
pub(super) fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .take(1000)
        .flat_map(|c| {
            let escaped: Vec<char> = if c.is_control() { c.escape_unicode().collect() } else { vec![c] };
            escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_safe_and_no_two_are_one() {
        for (name, expected) in [
            ("usr/bin/x", "usr/bin/x"),
            ("./usr//bin/./x", "usr/bin/x"),
            ("/etc/passwd", "etc/passwd"),
            ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"),
            ("a/../b", "a/%2E%2E/b"),
            ("...", "..."),
            ("a%2E", "a%252E"),
            ("a\\b\n", "a%5Cb%0A"),
            ("ü", "%C3%BC"),
            ("", "%nameless"),
            ("./", "%nameless"),
        ] {
            assert_eq!(safe_path(name.as_bytes()), PathBuf::from(expected), "{name:?}");
        }
    }

    #[test]
    fn long_names_and_deep_paths_are_cut_and_stay_apart() {
        let (one, two) = ("x".repeat(5000) + "1", "x".repeat(5000) + "2");
        let (one, two) = (safe_part(one.as_bytes()), safe_part(two.as_bytes()));
        assert!(one != two && one.len() <= 255, "{one}");
        // Cut in the middle of escapes.
        assert!(safe_part(&[0xff; 1000]).len() <= 255);
        let deep = safe_path("d/".repeat(10_000).as_bytes());
        assert_eq!(deep.components().count(), 3, "{}", deep.display());
    }
}
