//! `consign-site watch`

use std::path::PathBuf;
use std::time::Duration;

use consign_format::Exit;
use consign_format::error::{Failure, codes};

use super::bench::{Bench, Converging, Override};
use super::runtime::{self, Ending};
use super::{Context, gates};
use crate::admit::Ask;
use crate::config::{SiteConfig, WatchConfig};
use crate::install_bundle::{Finished, Order, Until, activate_staged, in_order, install_bundle};
use crate::pick::Picking;
use crate::receipts::export;
use crate::site::Site;
use crate::store::products::ProductState;
use crate::watch::{Event, Medium, What, is_wanted, media};
use memory::{Again, Memory};
use telling::left_alone;

mod memory;
mod telling;

/// Watches for media: what is for this site is verified and staged, and activated when it may be. Runs until it is ended.
///
/// `[watch]` in site.toml says where media appear and how far is gone by itself: `stage` (a person activates), `confirm`
/// (a person asks once, with `consign-site activate`; it begins when windows and interlock allow it) or `window` (as soon
/// as the windows are open). An activation that a power cut ended is gone on with, and what failed is not tried again.
/// Nothing is written to a medium unless site.toml asks for receipts there. Each event is one line; with --json, one
/// document. Asked to end, it finishes what it does; asked twice, it is ended as by a power cut, and goes on when it runs
/// again.
///
/// Exit 0 when it was asked to end. With --once: 0 when everything that was here is done with or is not for this site;
/// the code of the first thing that was refused or failed (22: not healthy in time); 24 when all that is left waits for a
/// window, the interlock or a hold.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Look once, do what is to be done, and end.
    #[arg(long)]
    once: bool,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    #[command(flatten)]
    converging: Converging,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    // Found out at once, and not when the first stick comes.
    drop(Site::open(context.store.clone())?);
    context.config()?;
    let mut watch = Watch { context, arguments, memory: Memory::default() };
    if arguments.once {
        watch.look()?;
        return watch.memory.trouble.map_or(Ok(()), Err);
    }
    let ending = Ending::heard()?;
    loop {
        match watch.look() {
            // Another run has the site; it is looked again.
            Err(failure) if failure.code() == codes::BUSY => {}
            // What is damaged stays damaged: a person has to look.
            Err(failure) if failure.code().exit == Exit::NotEnrolled => return Err(failure),
            // The same trouble is told once, not every two seconds.
            Err(failure) => {
                let said = failure.to_string();
                if watch.memory.said.replace(said.clone()) != Some(said) {
                    watch.tell(&Event::new(What::Refused).because(&failure));
                }
            }
            Ok(()) => watch.memory.said = None,
        }
        if ending.within(Duration::from_secs(arguments.interval)) {
            return Ok(());
        }
    }
}

struct Watch<'a> {
    context: &'a Context<'a>,
    arguments: &'a Arguments,
    memory: Memory,
}

impl<'a> Watch<'a> {
    fn look(&mut self) -> Result<(), Failure> {
        let config = self.context.config()?;
        let here = media(&config.watch.places(self.context.store.root()));
        let mut new = false;
        for medium in &here {
            let seen = Some(&medium.seen);
            // A copy under way is waited for: what changes between two looks is not read.
            let steady = self.arguments.once || self.memory.before.get(&medium.folder) == seen;
            let now = self.context.machine.clocks.elapsed();
            let later = self.memory.media.get(&medium.folder).is_some_and(|again| now < again.at);
            if steady && !later && self.memory.done.get(&medium.folder) != seen {
                new = true;
                if self.stage(medium)? {
                    self.memory.media.remove(&medium.folder);
                    self.memory.done.insert(medium.folder.clone(), medium.seen.clone());
                } else {
                    let again = Again::after(self.memory.media.get(&medium.folder), now);
                    self.memory.media.insert(medium.folder.clone(), again);
                }
            }
        }
        let is_here = |folder: &PathBuf| here.iter().any(|medium| medium.folder == *folder);
        self.memory.done.retain(|folder, _| is_here(folder));
        self.memory.media.retain(|folder, _| is_here(folder));
        self.memory.before = here.iter().map(|medium| (medium.folder.clone(), medium.seen.clone())).collect();
        let now = self.context.machine.clocks.elapsed();
        if new || now >= self.memory.next || self.arguments.once {
            self.memory.next = now + memory::PATIENCE;
            let activated = self.activate(&config);
            if std::mem::take(&mut self.memory.receipts) {
                self.copy_receipts(&config.watch, &here);
            }
            activated?;
        }
        Ok(())
    }

    /// Stages everything on a medium that is for this site. Returns whether that is done with: a cluster or a registry that
    /// does not answer may answer later.
    fn stage(&mut self, medium: &Medium) -> Result<bool, Failure> {
        let (bench, mut site) = self.bench()?;
        let clocks = &self.context.machine.clocks;
        let ask = Ask { require_scan: bench.config.require_scan, ..Ask::default() };
        let order = Order { ask, until: Until::Staged };
        let (mut picking, mut done, mut events) = (Picking::of(&medium.folder)?, true, Vec::new());
        loop {
            let path = match picking.next(&site, order, clocks) {
                Ok(Some(path)) => path,
                Ok(None) | Err(_) => break,
            };
            let finished = runtime::block_on(async {
                let registry = bench.registry(&site)?;
                let means = bench.means(registry.as_ref());
                install_bundle(&mut site, &path, order, means, async || bench.connect().await).await
            });
            bench.keep_copy(&site, false);
            let away = |failure: &Failure| matches!(failure.code().exit, Exit::Cluster | Exit::Registry);
            done &= !finished.as_ref().is_err_and(away);
            let is_known = matches!(&finished, Ok(Finished::Staged(staged)) if staged.is_current);
            if let Some(event) = self.staged(&site, &path, finished).filter(|_| !is_known) {
                self.log(&event);
                events.push(event);
            }
        }
        for left in picking.left(&site, order, clocks) {
            events.push(left_alone(&medium.folder, &left));
            self.log(&events[events.len() - 1]);
        }
        // The hook may change the site.
        drop(site);
        events.iter().for_each(|event| self.run_hook(event));
        Ok(done)
    }

    /// Activates what may be, one product after the other; between them others may have the site.
    fn activate(&mut self, config: &SiteConfig) -> Result<(), Failure> {
        // Looked at without holding the site: mostly there is nothing to do.
        let site = Site::open(self.context.store.clone())?;
        let mut open = Vec::new();
        for product in site.store.products()?.into_iter().filter(|product| is_wanted(product, config.watch.mode)) {
            if self.may_begin(&site, config, &product)? {
                open.push(product);
            }
        }
        for product in in_order(&site.store, open)? {
            let (bench, mut site) = self.bench()?;
            // Somebody may have decided otherwise meanwhile.
            let now = site.store.read_product(&product.domain, &product.product)?;
            let Some(product) = now.filter(|product| is_wanted(product, bench.config.watch.mode)) else { continue };
            let event = self.activate_one(&bench, &mut site, product)?;
            drop(site);
            self.run_hook(&event);
        }
        Ok(())
    }

    /// Whether the gates of a product are open, and its last failure is long enough ago. For what it waits is said once.
    fn may_begin(&mut self, site: &Site, config: &SiteConfig, product: &ProductState) -> Result<bool, Failure> {
        let (name, machine) = (&product.product, self.context.machine);
        let floor = site.domains.get(&product.domain).map_or(0, |state| state.time_floor);
        let gates = gates(self.context, self.arguments.converging.kubeconfig.as_deref(), config, None);
        let closed =
            runtime::block_on(async { Ok(gates.check(name, machine.clocks.now(), floor, false).await.err()) })?;
        if let Some(closed) = closed {
            if self.memory.waits.insert(name.clone(), closed.to_string()) != Some(closed.to_string()) {
                let version = product.waiting().map(|release| release.version.clone()).unwrap_or_default();
                let failure = closed.into();
                self.tell(&Event::new(What::Waiting).of(name, &version).because(&failure));
                self.memory.trouble(failure);
            }
            return Ok(false);
        }
        self.memory.waits.remove(name);
        let later = self.memory.products.get(name).is_some_and(|again| machine.clocks.elapsed() < again.at);
        Ok(!later || self.arguments.once)
    }

    fn activate_one(&mut self, bench: &Bench<'_>, site: &mut Site, product: ProductState) -> Result<Event, Failure> {
        let (name, now) = (product.product.clone(), self.context.machine.clocks.elapsed());
        let version = product.waiting().map(|release| release.version.clone()).unwrap_or_default();
        let event = |what: What| Event::new(what).of(&name, &version);
        let last = site.store.last_receipt_number()?;
        let finished = runtime::block_on(async {
            let registry = bench.registry(site)?;
            let means = bench.means(registry.as_ref());
            activate_staged(site, product, Ask::default(), means, async || bench.connect().await).await
        });
        bench.keep_copy(site, finished.is_ok());
        self.memory.receipts |= site.store.last_receipt_number()? > last;
        let event = match &finished {
            Ok(_) => event(What::Activated),
            Err(failure) if failure.code() == codes::UNHEALTHY => event(What::Unhealthy).because(failure),
            Err(failure) if failure.code().exit == Exit::Busy => event(What::Waiting).because(failure),
            Err(failure) => event(What::Refused).because(failure),
        };
        self.log(&event);
        match finished {
            Ok(_) => drop(self.memory.products.remove(&name)),
            Err(failure) => {
                let again = Again::after(self.memory.products.get(&name), now);
                self.memory.products.insert(name, again);
                self.memory.trouble(failure);
            }
        }
        Ok(event)
    }

    /// To the folder of receipts, and to media only where that is asked for and possible.
    fn copy_receipts(&mut self, watch: &WatchConfig, here: &[Medium]) {
        let on_media = here.iter().filter(|medium| watch.receipts_on_medium && medium.is_writable());
        let folders = on_media.map(|medium| medium.folder.join("consign-receipts"));
        for folder in watch.receipts.iter().cloned().chain(folders) {
            let copied = Site::open(self.context.store.clone()).map_err(Failure::from);
            let copied = copied.and_then(|site| export(&site, &folder));
            match copied {
                Ok(_) => self.tell(&Event::new(What::Receipts).at(&folder)),
                Err(failure) => {
                    self.tell(&Event::new(What::Refused).at(&folder).because(&failure));
                    self.memory.trouble(failure);
                }
            }
        }
    }

    fn bench(&self) -> Result<(Bench<'a>, Site), Failure> {
        Bench::open(self.context, &self.arguments.converging, &Override::default())
    }
}
