//! The site's store: where everything a site keeps lies on the disk, and the one lock over it.
//!
//! ```text
//! ROOT/var/lib/consign/
//!   blobs/sha256/HEX             written once, by verified rename; the registry serves these files
//!   products/DOMAIN/PRODUCT      current (+ confirmed), previous, staged, failed
//!   repositories/HEX             the names that release HEX puts into the registry
//!   releases/HEX                 release manifests, as they were signed
//!   pushed/HEX                   the tags that release HEX has in a registry the site already had
//!   trust/site                   who this site is; trust/site.key its secret key
//!   trust/site.age               the secret key that reads what is encrypted to it
//!   trust/domains/DOMAIN         roots, time floor, site record, counters per product
//!   trust/pending                an enrolment or a recovery under way
//!   enrol-requests/DOMAIN.json   what headquarters is told of this site
//!   tls/                         the registry's authority, and the certificate it has made
//!   files/placed/DOMAIN/PRODUCT what of a release lies where on this machine
//!   files/units/DOMAIN/PRODUCT  how units were before, and what is still to be restarted
//!   files/before/                others' files that ours lie in the place of
//!   holds                        what nobody may activate, and why
//!   journal/                     what was begun and what was ended
//!   receipts/NNNNNN.json         hash-chained receipts
//!   lock                         held by whoever changes anything
//! ROOT/etc/consign/site.toml     what the administrator decides
//! ROOT/etc/consign/ca.crt        what nodes must trust to pull from the registry
//! ```
//!
//! `ROOT` is `/`, or the folder given with `--root-dir`: a site of a tenant, or of a test, in a folder of its own.
//! Files of state carry their own checksum and are replaced as a whole; one that is damaged is an error (17), and
//! never a fresh start.

use std::path::{Path, PathBuf};

use consign_format::{Digest, Name};
use consign_registry::BlobFolder;
use consign_registry::durable;

pub mod error;
pub mod holds;
pub mod journal;
pub mod lock;
pub mod placed;
pub mod products;
pub mod receipts;
pub mod releases;
pub mod repositories;
pub mod reserve;
pub mod state_file;
pub mod units;

pub use error::StoreError;

/// Where things are. Opening a store reads nothing yet.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    dir: PathBuf,
}

impl Store {
    /// The store under a root folder: `/`, or what `--root-dir` names.
    pub fn at(root: &Path) -> Self {
        Store { root: root.to_owned(), dir: root.join("var/lib/consign") }
    }

    /// The root folder everything lies under.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `ROOT/var/lib/consign`
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `ROOT/etc/consign/site.toml`
    pub fn config_file(&self) -> PathBuf {
        self.root.join("etc/consign/site.toml")
    }

    /// `ROOT/etc/consign/ca.crt`: what nodes must trust to pull from this site's registry.
    pub fn authority_bundle_file(&self) -> PathBuf {
        self.root.join("etc/consign/ca.crt")
    }

    /// Makes the folders of a store. For `enrol` alone: everything else finds a store or refuses.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        for (folder, mode) in [
            ("products", 0o755),
            ("repositories", 0o755),
            ("releases", 0o755),
            ("trust", 0o700),
            ("trust/domains", 0o700),
            ("journal", 0o755),
            ("receipts", 0o755),
            ("enrol-requests", 0o755),
        ] {
            durable::create_dir(&self.dir.join(folder), mode)?;
        }
        self.blobs()?;
        Ok(())
    }

    /// The blobs; the folder is made if it is missing.
    pub fn blobs(&self) -> Result<BlobFolder, StoreError> {
        Ok(BlobFolder::open(&self.dir)?)
    }

    /// The file of one product.
    pub fn product_file(&self, domain: &Name, product: &Name) -> PathBuf {
        self.dir.join("products").join(domain.as_str()).join(product.as_str())
    }

    /// The file of one release's names.
    pub fn repositories_file(&self, release: &Digest) -> PathBuf {
        self.repositories_dir().join(release.hex())
    }

    /// The file of one release manifest.
    pub fn release_file(&self, release: &Digest) -> PathBuf {
        self.releases_dir().join(release.hex())
    }

    /// The folder of names, one file a release.
    pub fn repositories_dir(&self) -> PathBuf {
        self.dir.join("repositories")
    }

    /// The folder of release manifests.
    pub fn releases_dir(&self) -> PathBuf {
        self.dir.join("releases")
    }

    /// The folder of what was tagged in a registry that the site already had.
    pub fn pushed_dir(&self) -> PathBuf {
        self.dir.join("pushed")
    }

    /// The folder of what is trusted.
    pub fn trust_dir(&self) -> PathBuf {
        self.dir.join("trust")
    }

    /// The enrol-request of one domain.
    pub fn enrol_request_file(&self, domain: &Name) -> PathBuf {
        self.dir.join("enrol-requests").join(format!("{domain}.json"))
    }

    /// The folder of receipts.
    pub fn receipts_dir(&self) -> PathBuf {
        self.dir.join("receipts")
    }

    /// The file of holds.
    pub fn holds_file(&self) -> PathBuf {
        self.dir.join("holds")
    }

    /// The folder of the journal.
    pub fn journal_dir(&self) -> PathBuf {
        self.dir.join("journal")
    }
}
