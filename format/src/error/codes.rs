//! The one table of error codes. Names never change their meaning; new ones are added, none removed.
//! `docs/errors.md` has a section for each, and a test holds the two against each other.

use super::{Code, Exit};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal => $exit:ident;)*) => {
        $($(#[$doc])* pub const $name: Code = Code { name: $text, exit: Exit::$exit };)*
        /// Every code there is, in the order of this file.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    // ---- general
    /// A file or folder could not be read or written.
    IO = "io" => Failed;
    /// What was typed cannot be meant.
    USAGE = "usage" => Usage;
    /// A person pressed Ctrl-C, or the machine asked to stop.
    INTERRUPTED = "interrupted" => Interrupted;
    /// A file that would be overwritten is already there.
    ALREADY_EXISTS = "already-exists" => Failed;

    // ---- the bundle's form, hashes, trust
    /// The bytes of a member are not what the signed documents promise.
    DIGEST_MISMATCH = "digest-mismatch" => Damaged;
    /// The bundle ends before everything promised has been read.
    TRUNCATED = "truncated" => Damaged;
    /// The medium reported an error while reading.
    MEDIUM_UNREADABLE = "medium-unreadable" => Damaged;
    /// A signed member is not in the bundle.
    MEMBER_MISSING = "member-missing" => Damaged;
    /// This is no Consign bundle, or one of a version this program does not know.
    NOT_A_BUNDLE = "not-a-bundle" => Malformed;
    /// The archive is not the one canonical form.
    ARCHIVE_MALFORMED = "archive-malformed" => Malformed;
    /// A document is not canonical JSON of the expected form.
    DOCUMENT_MALFORMED = "document-malformed" => Malformed;
    /// Something is larger than this program is willing to read.
    OVER_LIMIT = "over-limit" => Limits;
    /// A signature is missing, wrong or idle.
    SIGNATURE_INVALID = "signature-invalid" => Untrusted;
    /// Fewer distinct keys have signed than the role demands.
    BELOW_THRESHOLD = "below-threshold" => Untrusted;
    /// A key is one that cannot be trusted whatever it signs.
    WEAK_KEY = "weak-key" => Untrusted;
    /// The root of trust in the bundle is not the one enrolled.
    ROOT_UNKNOWN = "root-unknown" => Untrusted;
    /// Root versions leave a gap or go backwards.
    ROOT_VERSION = "root-version" => Older;
    /// The release is older than what this site has accepted.
    OLDER_RELEASE = "older-release" => Older;
    /// The sequence is known with other content.
    SEQUENCE_REUSED = "sequence-reused" => Older;
    /// The bundle belongs to another domain.
    OTHER_DOMAIN = "other-domain" => NotForSite;
    /// The bundle is addressed to other sites.
    OTHER_SITE = "other-site" => NotForSite;
    /// A document has expired, and expiry is enforced.
    EXPIRED = "expired" => Expired;
}
