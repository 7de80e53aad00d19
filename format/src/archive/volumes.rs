//! Volumes: a finished bundle cut into files that fit a medium, and put together again while it is read.
//!
//! ```text
//! consign-volume          the hint: which part of which bundle this is, unsigned
//! consign-format …        the bundle's whole head, byte for byte; of an encrypted bundle nothing
//! piece/FROM              the rest of a member that was cut, if one was
//! blobs/sha256/… …        whole members, as they stand in the bundle
//! piece/FROM              the beginning of a member that goes on in the next volume
//! two zero blocks         of the last volume they are the bundle's own
//! ```
//!
//! A hint is worth nothing: whoever can write to the medium can write it. It says where to look; what is found there is
//! checked as in any bundle, against the signed head. So every byte of a volume is either checked here (the frame) or
//! there (the content), and a lie in a hint ends in an error, never in other bytes.

pub mod cuts;
pub mod error;
mod explain;
pub mod hint;
pub mod joined;
pub mod map;
pub mod write;

pub use cuts::{CutError, Shape, cut};
pub use error::{MissingVolumes, VolumeError, VolumePlace};
pub use hint::Hint;
pub use joined::{Joined, check_volume, claims, sealed_front};
pub use map::Map;
pub use write::Cutting;

/// The first member of a volume.
pub const VOLUME_MEMBER: &str = "consign-volume";
/// What a piece of a cut member is called, before the offset in the bundle where it begins.
pub const PIECE_PREFIX: &str = "piece/";
/// The most volumes that a bundle is cut into.
pub const MOST: u64 = 999;
/// How many of its first bytes tell one encrypted bundle from another; a plain one is told by its whole head.
pub const SEALED_FRONT: u64 = 64 * 1024;
/// The ending of a bundle's name.
const ENDING: &str = ".consign";

/// The file name of a volume: `NAME.consign.02-of-11`. As many digits each, so that they sort.
pub fn file_name(bundle: &str, number: u64, of: u64) -> String {
    let ending = if bundle.ends_with(ENDING) { "" } else { ENDING };
    let width = of.to_string().len();
    format!("{bundle}{ending}.{number:0width$}-of-{of}")
}

/// Tells a volume by its name, and returns the name of the bundle. Nothing else in the name is believed.
pub fn bundle_name(file_name: &str) -> Option<&str> {
    let (bundle, numbers) = file_name.rsplit_once('.')?;
    let (number, of) = numbers.split_once("-of-")?;
    let is_number = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let named = bundle.len() > ENDING.len() && bundle.ends_with(ENDING);
    (named && is_number(number) && is_number(of)).then_some(bundle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_and_are_told() {
        assert_eq!(file_name("a-1.consign", 2, 3), "a-1.consign.2-of-3");
        assert_eq!(file_name("a-1.consign", 2, 11), "a-1.consign.02-of-11");
        assert_eq!(file_name("a", 7, 100), "a.consign.007-of-100");
        for (name, bundle) in [
            ("a-1.consign.2-of-3", Some("a-1.consign")),
            ("a-1.consign.02-of-11", Some("a-1.consign")),
            ("a-1.consign", None),
            ("a-1.consign.head", None),
            ("a-1.2-of-3", None),
            (".consign.2-of-3", None),
            ("a.consign.-of-3", None),
            ("a.consign.1-of-1000", None),
            ("a.consign.+1-of-3", None),
            ("a.consign.1-of-3.part", None),
        ] {
            assert_eq!(bundle_name(name), bundle, "{name}");
        }
    }
}
