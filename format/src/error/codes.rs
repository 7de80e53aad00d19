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
    /// The certificate of a registry is not the one that somebody vouches for.
    AUTHORITY_UNKNOWN = "authority-unknown" => Untrusted;
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
    /// A volume of the bundle is not here.
    VOLUME_MISSING = "volume-missing" => Damaged;
    /// A volume is not of the form it must have, or contradicts the others.
    VOLUME_MALFORMED = "volume-malformed" => Malformed;
    /// A volume of another bundle lies where one of this bundle should.
    VOLUME_FOREIGN = "volume-foreign" => NotForSite;
    /// This is no Consign bundle, or one of a version this program does not know.
    NOT_A_BUNDLE = "not-a-bundle" => Malformed;
    /// The bundle carries metadata alone, and a release was asked for.
    NO_RELEASE = "no-release" => Failed;
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
    /// It is encrypted, and not to a key that is here, or what it holds was damaged.
    CANNOT_DECRYPT = "cannot-decrypt" => CannotDecrypt;
    /// A document has expired, and expiry is enforced.
    EXPIRED = "expired" => Expired;

    // ---- the cluster (installer/src/apply)
    /// No kubeconfig was found, and the handoff needs one.
    NO_CLUSTER = "no-cluster" => Cluster;
    /// A kubeconfig is there and cannot be used.
    KUBECONFIG_INVALID = "kubeconfig-invalid" => Cluster;
    /// The API server does not answer.
    CLUSTER_UNREACHABLE = "cluster-unreachable" => Cluster;
    /// The API server does not let us in, or not far enough.
    CLUSTER_FORBIDDEN = "cluster-forbidden" => Cluster;
    /// The cluster runs a Kubernetes that is too old.
    CLUSTER_TOO_OLD = "cluster-too-old" => Cluster;
    /// Pods of the release would come to nodes that their images are not for.
    NODE_PLATFORM = "node-platform" => Cluster;
    /// Admission of the cluster would exchange an image of the release.
    IMAGE_REWRITTEN = "image-rewritten" => Cluster;
    /// A node cannot pull an image of the release.
    NODE_CANNOT_PULL = "node-cannot-pull" => Cluster;
    /// An object of the release cannot be applied by anybody.
    OBJECT_INVALID = "object-invalid" => Malformed;
    /// The cluster does not know a kind that the release uses.
    API_MISSING = "api-missing" => Cluster;
    /// A definition was applied and its API did not come up.
    API_NOT_SERVED = "api-not-served" => Cluster;
    /// The API server refused an object.
    APPLY_REFUSED = "apply-refused" => Cluster;
    /// Another field manager holds a field that the release sets.
    APPLY_CONFLICT = "apply-conflict" => Cluster;
    /// The release changes a field that Kubernetes never lets change.
    IMMUTABLE_FIELD = "immutable-field" => Cluster;
    /// Argo CD, Flux or another ApplySet tracks an object of the release.
    FOREIGN_TRACKING = "foreign-tracking" => Cluster;
    /// The ApplySet parent belongs to another tool, or is damaged.
    APPLYSET_FOREIGN = "applyset-foreign" => Cluster;
    /// A Secret that somebody at the site has to make is not there.
    SECRET_MISSING = "secret-missing" => Cluster;
    /// Somebody changed what is installed.
    DRIFTED = "drifted" => Cluster;
    /// Not everything became healthy in time, or something failed.
    UNHEALTHY = "unhealthy" => Unhealthy;

    // ---- files, blobs and registries
    /// The disk, or the quota on it, is full.
    NO_ROOM = "no-room" => Limits;
    /// A link or a stranger's file stands where only this program writes.
    UNSAFE_FILE = "unsafe-file" => Malformed;
    /// A blob that should be in a folder is not there.
    BLOB_MISSING = "blob-missing" => Damaged;
    /// A reference is not one, or is not unambiguous.
    REFERENCE_INVALID = "reference-invalid" => Usage;
    /// A registry, layout or archive has no such image.
    IMAGE_NOT_FOUND = "image-not-found" => Registry;
    /// An image is of a kind that cannot be carried: schema 1, foreign layers, no sha256.
    IMAGE_UNSUPPORTED = "image-unsupported" => Registry;
    /// An image layout or archive is not well formed.
    IMAGE_MALFORMED = "image-malformed" => Registry;
    /// A pod of the release needs an image that the release does not bring.
    IMAGE_ABSENT = "image-absent" => Registry;
    /// A registry cannot be reached, or goes on failing.
    REGISTRY_UNREACHABLE = "registry-unreachable" => Registry;
    /// A registry refuses the credentials, or wants some.
    REGISTRY_UNAUTHORIZED = "registry-unauthorized" => Registry;
    /// A registry sent other bytes than the digest it was asked for.
    REGISTRY_DIGEST_MISMATCH = "registry-digest-mismatch" => Registry;
    /// A registry answered something that the distribution specification does not allow.
    REGISTRY_PROTOCOL = "registry-protocol" => Registry;
    /// The client's own settings for registries cannot be used.
    REGISTRY_OPTIONS = "registry-options" => Usage;
    /// A registry does not take what is pushed.
    REGISTRY_REFUSED = "registry-refused" => Registry;
    /// What a registry has is not what was pushed.
    REGISTRY_CHANGED_CONTENT = "registry-changed-content" => Registry;
    /// A registry takes no index of which not every manifest is there.
    SPARSE_INDEX_REFUSED = "sparse-index-refused" => Registry;
    /// The release to go back to is not whole in the registry.
    PREVIOUS_INCOMPLETE = "previous-incomplete" => Registry;

    // ---- the site (installer)
    /// No root of trust is enrolled here.
    NOT_ENROLLED = "not-enrolled" => NotEnrolled;
    /// What the site remembers is damaged, incomplete or another site's.
    STATE_DAMAGED = "state-damaged" => NotEnrolled;
    /// The site, or the domain, is enrolled already.
    ALREADY_ENROLLED = "already-enrolled" => Failed;
    /// A development root at a site set up for production.
    DEVELOPMENT_ROOT = "development-root" => Untrusted;
    /// What is to be installed lies in something that is not read: a link, a pipe, a device.
    UNSAFE_MEDIUM = "unsafe-medium" => Malformed;
    /// The folder holds no bundle, or several.
    WHICH_BUNDLE = "which-bundle" => Usage;
    /// The site takes only what was scanned, and nobody attests it of this bundle.
    SCAN_MISSING = "scan-missing" => Policy;
    /// The release must not follow what is installed.
    NOT_UPGRADABLE = "not-upgradable" => NotUpgradable;
    /// The release needs a newer `consign-site`.
    INSTALLER_TOO_OLD = "installer-too-old" => NotUpgradable;
    /// The bundle brings no `consign-site` for this machine, or there is none to go back to.
    INSTALLER_MISSING = "installer-missing" => Missing;
    /// The `consign-site` in the bundle does not run here.
    INSTALLER_UNUSABLE = "installer-unusable" => Failed;
    /// A product that must be installed first is not.
    REQUIREMENT_MISSING = "requirement-missing" => Missing;
    /// Blobs of the release are neither in the bundle nor at the site.
    BASE_MISSING = "base-missing" => Missing;
    /// An enrol-request is not the one that the site read out.
    REQUEST_SWAPPED = "request-swapped" => Untrusted;
    /// Receipts that an honest site cannot have written.
    RECEIPTS_REFUSED = "receipts-refused" => Untrusted;
    /// Another run works on this site.
    BUSY = "busy" => Busy;
    /// This release failed here before.
    FAILED_BEFORE = "failed-before" => Busy;
    /// No window is open in which the product may be changed.
    OUTSIDE_WINDOW = "outside-window" => Busy;
    /// What is driven by this cluster is in use.
    INTERLOCKED = "interlocked" => Busy;
    /// Somebody holds the product.
    HELD = "held" => Busy;
    /// Nothing waits to be activated.
    NOTHING_STAGED = "nothing-staged" => Failed;
    /// What was staged was approved by keys that count no longer.
    STAGED_UNDER_OLD_ROOT = "staged-under-old-root" => Untrusted;
    /// The release says that going back loses data, and nobody has signed that it may.
    IRREVERSIBLE = "irreversible" => Policy;
    /// There is no release to go back to.
    NO_WAY_BACK = "no-way-back" => NotUpgradable;
    /// The release's own content cannot be meant, though its signatures hold.
    RELEASE_MALFORMED = "release-malformed" => Malformed;
    /// The site's configuration cannot be used.
    SITE_CONFIG = "site-config" => Usage;
    /// A code that was read out is none that the site has made for headquarters.
    CODE_REFUSED = "code-refused" => Untrusted;
    /// The doctor has found something that does not work.
    DOCTOR_FINDINGS = "doctor-findings" => Failed;
    /// A release holds kinds, namespaces or files that the site's administrator does not allow.
    NOT_ALLOWED = "not-allowed" => Policy;
    /// An update would interrupt what runs, and the site does not allow that.
    DOWNTIME = "downtime" => Policy;
    /// A file that Consign did not place stands where a release has one.
    FILE_FOREIGN = "file-foreign" => Policy;
    /// A file that Consign placed was changed since.
    FILE_CHANGED = "file-changed" => Policy;
    /// Another product of the site has the place of a file.
    FILE_CLAIMED = "file-claimed" => Policy;
    /// A file cannot be given to the user or group that the release names.
    FILE_OWNER = "file-owner" => Policy;
    /// A service of a release could not be enabled, restarted or asked about.
    SERVICE_MANAGER = "service-manager" => Failed;
    /// A registry on another machine would be spoken to without TLS, and nobody asked for that.
    PLAIN_HTTP = "plain-http" => Policy;
    /// A release is active and not confirmed; nothing is collected meanwhile.
    NOT_CONFIRMED = "not-confirmed" => Busy;
    /// Blobs in the store are not what their names say, or are gone.
    STORE_ROTTEN = "store-rotten" => NotEnrolled;
    /// There is no certificate that the registry could serve with.
    TLS_CERTIFICATE = "tls-certificate" => Registry;
    /// The registry cannot listen on its address.
    CANNOT_LISTEN = "cannot-listen" => Registry;

    // ---- the nodes of a site (installer/src/nodes)
    /// Where nodes should look is not said, or in a way that cannot be meant.
    NODE_SERVERS = "node-servers" => Usage;
    /// No container runtime was found, or not the one that was named.
    NO_RUNTIME = "no-runtime" => Missing;
    /// A file that would be written is there, and somebody else made it.
    NODE_FILE_FOREIGN = "node-file-foreign" => Policy;
    /// A file of ours was changed by hand since.
    NODE_FILE_CHANGED = "node-file-changed" => Policy;
    /// The runtime's own configuration contradicts what nodes need.
    NODE_CONFLICT = "node-conflict" => Policy;
    /// A runtime did not take its new configuration over.
    NODE_RESTART = "node-restart" => Failed;
    /// A check found that a node would not get its images from this site.
    NODE_CHECK = "node-check" => Registry;

    // ---- what a release is made of: source, rendering, objects
    /// The Git repository cannot be reached or read.
    SOURCE_UNREACHABLE = "source-unreachable" => Failed;
    /// The Git repository is named in a way that is not accepted.
    SOURCE_REFUSED = "source-refused" => Usage;
    /// The branch, tag or commit is not in the repository.
    REF_NOT_FOUND = "ref-not-found" => Failed;
    /// The name means both a branch and a tag.
    REF_AMBIGUOUS = "ref-ambiguous" => Usage;
    /// A signature on the tag or commit was demanded and does not hold.
    SOURCE_UNVERIFIED = "source-unverified" => Untrusted;
    /// The commit's tree holds a name or a link that is not safe to write.
    TREE_UNSAFE = "tree-unsafe" => Malformed;
    /// A file is wanted that lies in a Git submodule.
    SUBMODULE = "submodule" => Failed;
    /// A file is wanted that is a Git LFS pointer, not the content.
    LFS_POINTER = "lfs-pointer" => Failed;
    /// A path of `release.yaml` is not in the commit's tree.
    PATH_NOT_FOUND = "path-not-found" => Usage;
    /// A program that the build needs is not installed.
    TOOL_MISSING = "tool-missing" => Failed;
    /// A program that the build needs has failed.
    TOOL_FAILED = "tool-failed" => Failed;
    /// A program wrote or took more than is allowed.
    TOOL_OVER_LIMIT = "tool-over-limit" => Limits;
    /// A text is no YAML or JSON that Kubernetes would read.
    YAML_MALFORMED = "yaml-malformed" => Malformed;
    /// It cannot be told how an entry of `render` is to be rendered.
    ENTRY_UNCLEAR = "entry-unclear" => Usage;
    /// A kustomization refers to something on the network.
    REMOTE_BASE = "remote-base" => Failed;
    /// A chart's dependency is not in its `charts/` folder.
    CHART_DEPENDENCY_MISSING = "chart-dependency-missing" => Failed;
    /// Rendering the same input twice gave two results.
    RENDER_NOT_DETERMINISTIC = "render-not-deterministic" => Failed;
    /// A document is no Kubernetes object that can be applied.
    OBJECT_MALFORMED = "object-malformed" => Malformed;
    /// Two documents describe the same object.
    OBJECT_DUPLICATE = "object-duplicate" => Malformed;
    /// An object needs a namespace and none is said.
    NAMESPACE_MISSING = "namespace-missing" => Usage;
    /// An image field is pinned to another digest than the locked one.
    IMAGE_PINNED_ELSEWHERE = "image-pinned-elsewhere" => Failed;
    /// An image field has no digest in the lock.
    IMAGE_NOT_LOCKED = "image-not-locked" => Failed;
    /// An entry of `images.fields` cannot be read.
    FIELD_MALFORMED = "field-malformed" => Usage;
    /// An entry of `images.fields` matches no object.
    FIELD_NOT_FOUND = "field-not-found" => Usage;
    /// A Secret would carry its data to every site.
    SECRET_WITH_DATA = "secret-with-data" => Failed;
    /// An entry of `secrets` cannot be kept to.
    SECRET_RULE = "secret-rule" => Usage;
    // ---- building a bundle (bundler)
    /// There is no `release.yaml`.
    CONFIG_MISSING = "config-missing" => Usage;
    /// `release.yaml` cannot be read or meant.
    CONFIG_MALFORMED = "config-malformed" => Usage;
    /// A release that keeps data does not say what happens when it fails.
    ROLLOUT_UNDECIDED = "rollout-undecided" => Usage;
    /// There is no lock, and one is demanded.
    LOCK_MISSING = "lock-missing" => Usage;
    /// The lock is none that this program reads.
    LOCK_MALFORMED = "lock-malformed" => Malformed;
    /// What is there now is not what was locked.
    LOCK_DRIFTED = "lock-drifted" => Failed;
    /// A reference stands for nothing.
    IMAGE_UNRESOLVED = "image-unresolved" => Registry;
    /// An image has no variant for a platform that is wanted.
    PLATFORM_MISSING = "platform-missing" => Registry;
    /// A file is not the one that was declared.
    FILE_MISMATCH = "file-mismatch" => Damaged;
    /// There is no root of trust to build with.
    ROOT_MISSING = "root-missing" => Usage;
    /// There is no key to sign with.
    KEY_MISSING = "key-missing" => Usage;
    /// A key file holds no key.
    KEY_MALFORMED = "key-malformed" => Malformed;
    /// A passphrase or PIN is missing or wrong.
    KEY_LOCKED = "key-locked" => Usage;
    /// What holds the key (an agent, a token, a command) does not answer or does not sign.
    SIGNER_FAILED = "signer-failed" => Failed;
    /// What should be an age recipient is none.
    RECIPIENT_INVALID = "recipient-invalid" => Usage;
    /// A head that waits beside a bundle is torn, or another bundle's.
    HEAD_FOREIGN = "head-foreign" => Malformed;
    /// An approval request asks for another release than the bundle holds.
    REQUEST_OTHER = "request-other" => Usage;
    /// A root that is complete is frozen.
    ROOT_PUBLISHED = "root-published" => Failed;
    /// A key has no say in the root, or not alone.
    KEY_UNKNOWN = "key-unknown" => Untrusted;
    /// There is nothing in the repository that could be delivered.
    NOTHING_FOUND = "nothing-found" => Failed;
    // ---- verifying in CI (bundler)
    /// The policy of image signatures cannot be used.
    POLICY_MALFORMED = "policy-malformed" => Usage;
    /// An image does not carry the signatures that the policy demands.
    IMAGE_UNSIGNED = "image-unsigned" => Untrusted;
    /// Something of a bundle could not be laid out for a scanner.
    NOT_UNPACKED = "not-unpacked" => Malformed;
    /// The policy has no rule for an image.
    IMAGE_WITHOUT_RULE = "image-without-rule" => Policy;
}
