//! What every command that converges the cluster works on: the site, opened to change it, with what its administrator
//! allows; the handoff; the gates; the registry.

use std::path::PathBuf;

use consign_format::error::Failure;

use super::{Context, gates, lookup, state_copy};
use crate::apply::{Cluster, Direct, Lookup};
use crate::config::{HandoffKind, SiteConfig};
use crate::gates::Gates;
use crate::handoff::chosen::Chosen;
use crate::handoff::export::Export;
use crate::install_bundle::{Means, count_refusal};
use crate::services::{ServiceManager, Systemctl};
use crate::site::{DomainState, Site};
use crate::site_registry::{SiteRegistry, Waiting};

/// Who converges the cluster, and where it is.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Converging {
    /// Who brings the desired state into the cluster; else what site.toml says.
    #[arg(long, value_enum, env = "CONSIGN_HANDOFF")]
    handoff: Option<HandoffKind>,
    /// With the handoff `export`: the folder that gets one sub-folder per product.
    #[arg(long, value_name = "DIR", env = "CONSIGN_EXPORT_DIR")]
    export_dir: Option<PathBuf>,
    /// With the handoff `direct`: the kubeconfig; else what site.toml says, $KUBECONFIG, and the usual places.
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
}

/// Why the windows do not count this time.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Override {
    /// Go on although no window is open, for this reason; the receipt says so. Holds and the interlock still count.
    #[arg(long, value_name = "REASON")]
    outside_window: Option<String>,
}

/// The bench on which a command works.
pub(super) struct Bench<'a> {
    context: &'a Context<'a>,
    pub(super) config: SiteConfig,
    converging: Converging,
    gates: Gates,
    waiting: Waiting<'a>,
    before: std::collections::BTreeMap<consign_format::Name, DomainState>,
}

impl<'a> Bench<'a> {
    /// Opens the site and lays everything out. The site is held until it is dropped.
    pub(super) fn open(
        context: &'a Context<'a>,
        converging: &Converging,
        windows: &Override,
    ) -> Result<(Self, Site), Failure> {
        let config = context.config()?;
        let mut site = Site::open_exclusive(context.store.clone())?;
        site.allow = config.allowed();
        site.apply = config.apply.clone();
        site.adopt_files = config.files.adopt;
        let manager = Systemctl::of_machine(context.store.root());
        site.services = manager.map(|found| Box::new(found) as Box<dyn ServiceManager>);
        let overridden = windows.outside_window.clone();
        let gates = gates(context, converging.kubeconfig.as_deref(), &config, overridden);
        let waiting = Waiting { clocks: &context.machine.clocks, random: context.machine.random };
        let before = site.domains.clone();
        Ok((Bench { context, config, converging: converging.clone(), gates, waiting, before }, site))
    }

    fn handoff(&self) -> HandoffKind {
        self.converging.handoff.unwrap_or(self.config.handoff)
    }

    /// The registry that the site already has, if it has one.
    pub(super) fn registry(&self, site: &Site) -> Result<Option<SiteRegistry<'_>>, Failure> {
        let existing = self.config.registry.existing.as_ref();
        let registry = existing.map(|one| SiteRegistry::new(one, site.identity.site.clone(), &self.waiting));
        Ok(registry.transpose()?)
    }

    /// What a run works with.
    pub(super) fn means<'b>(&'b self, registry: Option<&'b SiteRegistry<'b>>) -> Means<'b> {
        let (clocks, progress) = (&self.context.machine.clocks, self.context.terminal.progress());
        Means { clocks, progress, registry, gates: &self.gates }
    }

    /// Finds the cluster and lets the handoff answer once.
    pub(super) async fn connect(&self) -> Result<Chosen, Failure> {
        match self.handoff() {
            HandoffKind::Direct => {
                let cluster = Cluster::connect(&self.lookup()).await?;
                Ok(Chosen::Direct(Direct::new(cluster, Box::new(self.context.machine.random))))
            }
            HandoffKind::Export => {
                let named = self.converging.export_dir.clone().or_else(|| self.config.export_dir.clone());
                let folder = named.unwrap_or_else(|| self.context.store.dir().join("export"));
                Ok(Chosen::Export(Export::new(&folder)))
            }
        }
    }

    fn lookup(&self) -> Lookup {
        lookup(self.context, self.converging.kubeconfig.as_deref(), &self.config)
    }

    /// Keeps the signed copy of the site's state in its cluster, where there is one and there is something new to keep.
    pub(super) fn keep_copy(&self, site: &Site, applied: bool) {
        if self.handoff() == HandoffKind::Direct && (applied || site.domains != self.before) {
            state_copy::keep(self.context, site, &self.config, self.converging.kubeconfig.as_deref());
        }
    }
}

/// Counts a bundle that was refused, for the next receipt.
pub(super) fn count<T>(site: &Site, result: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(failure) = &result {
        count_refusal(site, failure);
    }
    result
}
