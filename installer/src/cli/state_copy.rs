//! Keeping the signed copy of the site's state in its cluster, as well as that can be done.
//!
//! A copy that could not be kept changes nothing: the next run tries again, and the state on the disk is what counts. So
//! nothing here fails a run.

use std::path::Path;

use super::{Context, lookup, runtime};
use crate::apply::Cluster;
use crate::config::SiteConfig;
use crate::site::Site;

/// Keeps a copy of every domain in the cluster that the site applies to.
pub(super) fn keep(context: &Context<'_>, site: &Site, config: &SiteConfig, kubeconfig: Option<&Path>) {
    let lookup = lookup(context, kubeconfig, config);
    let _ = runtime::block_on(async {
        if let Ok(cluster) = Cluster::connect(&lookup).await {
            for domain in site.domains.keys() {
                if let Ok(Some(copy)) = site.copy(domain) {
                    let _ = cluster.write_state_copy(domain, copy).await;
                }
            }
        }
        Ok(())
    });
}
