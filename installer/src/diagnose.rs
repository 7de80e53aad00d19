//! A diagnosis: one file about this site for people who were not there, bounded, with the secrets out.
//!
//! It takes no lock and changes nothing, for a run may be under way; what cannot be had is named in the manifest and stops
//! nothing. What it holds and what was taken out stands in its `readme.txt`.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

use crate::apply::Lookup;
use crate::config::SiteConfig;
use crate::site::Site;
use crate::store::Store;

mod archive;
mod clean;
mod cluster;
mod logs;
mod machine;
mod scrub;
mod secrets;

use archive::Archive;
use scrub::Scrubber;

pub use archive::Summary;

/// What the whole archive may hold, uncompressed.
pub const WHOLE: u64 = 64 << 20;
/// What one container's log may hold: its end.
pub const LOG: usize = 256 << 10;
/// How many lines of it are asked for.
pub const LINES: u32 = 2000;
/// How many logs there may be, of pods that are not ready first.
pub const LOGS: usize = 300;
/// How many receipts, the newest.
pub const RECEIPTS: u64 = 20;
/// Everything that is asked of a cluster together.
const CLUSTER_WITHIN: Duration = Duration::from_secs(180);

/// What `readme.txt` says.
const README: &str = include_str!("diagnose/readme.txt");

/// What a diagnosis is made of.
pub struct Asked<'a> {
    /// The store.
    pub store: &'a Store,
    /// The site, if it can be opened.
    pub site: Option<&'a Site>,
    /// What its administrator decides, if that can be read.
    pub config: Option<&'a SiteConfig>,
    /// Where to look for the cluster.
    pub lookup: &'a Lookup,
    /// `status --json`, or why there is none.
    pub status: Result<Value, String>,
    /// `doctor --json`.
    pub doctor: Value,
}

/// Collects everything into `out`, as a tar inside gzip.
///
/// # Errors
/// What `out` says; nothing else stops it.
pub async fn collect<W: Write>(asked: &Asked<'_>, out: W) -> io::Result<(W, Summary)> {
    let mut archive = Archive::new(out, WHOLE);
    archive.add("readme.txt", "what this is, and what was taken out", README.as_bytes())?;
    let mut scrubber = Scrubber::default();
    secrets::of_site(asked, &mut scrubber);
    let connected = cluster::connect(asked).await;
    // Before anything is written: what is in a Secret may stand in any log.
    let namespaces = cluster::namespaces(asked, &mut archive);
    let listed = match &connected {
        Ok(cluster) => secrets::of_cluster(cluster, &namespaces, &mut scrubber).await,
        Err(_) => Vec::new(),
    };
    machine::add(asked, &scrubber, &mut archive)?;
    match connected {
        Err(why) => archive.missing("cluster/", why),
        Ok(cluster) => {
            secrets::add(listed, &mut archive)?;
            let rest = cluster::add(&cluster, &namespaces, &scrubber, &mut archive);
            match tokio::time::timeout(CLUSTER_WITHIN, rest).await {
                Ok(written) => written?,
                Err(_) => archive.missing("cluster/", format!("cut off after {} seconds", CLUSTER_WITHIN.as_secs())),
            }
        }
    }
    archive.finish()
}
