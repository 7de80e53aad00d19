//! The handoff `direct`: this program applies the desired state itself.
//!
//! Server-side apply under an own field manager, in stages, tracked by an ApplySet, pruned by it, waited for.
//! It must never apply what was not verified, force what it was not told to force, or print a Secret.

pub mod cluster;
pub mod error;

pub use cluster::{Cluster, Lookup};
pub use error::ApplyError;

/// Fills a buffer with random bytes. Given by `main`, so that the library owns no randomness.
pub type FillRandom = Box<dyn Fn(&mut [u8]) -> std::io::Result<()> + Send + Sync>;

/// The handoff `direct`.
pub struct Direct {
    cluster: Cluster,
    random: FillRandom,
}

impl Direct {
    /// Works on a cluster that answers.
    pub fn new(cluster: Cluster, random: FillRandom) -> Self {
        Direct { cluster, random }
    }
}
