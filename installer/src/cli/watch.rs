//! `consign-site watch`

use std::path::{Path, PathBuf};
use std::time::Duration;

use consign_format::Exit;
use consign_format::error::{Failure, codes};

use super::bench::{Bench, Converging, Override};
use super::{Context, gates, runtime};
use crate::admit::Ask;
use crate::config::{SiteConfig, WatchConfig};
use crate::install_bundle::{Finished, Order, Until, activate_staged, count_refusal, in_order, install_bundle};
use crate::pick::{LeftAlone, Picking};
use crate::receipts::export;
use crate::site::Site;
use crate::store::products::ProductState;
use crate::watch::{Event, Medium, What, is_wanted, media, run_hook};
use memory::{Again, Memory};

mod memory;

/// Watches for media: what is for this site is verified and staged, and activated when it may be. Runs until it is ended.
///
/// `[watch]` in site.toml says where media appear and how far is gone by itself: `stage` (a person activates), `confirm`
/// (a person asks once, with `consign-site activate`; it begins when windows and interlock allow it) or `window` (as soon
/// as the windows are open). An activation that a power cut ended is gone on with, and what failed is not tried again.
/// Nothing is written to a medium unless site.toml asks for receipts there. Each event is one line; with --json, one
/// document.
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
        return watch.look();
    }
    loop {
        match watch.look() {
            // Another run has the site; it is looked again.
            Err(failure) if failure.code() == codes::BUSY => {}
            // What is damaged stays damaged: a person has to look.
            Err(failure) if failure.code().exit == Exit::NotEnrolled => return Err(failure),
            // The same trouble is told once, not every two seconds.
            Err(failure) => {
                let said = failure.to_string();
                if watch.memory.trouble.replace(said.clone()) != Some(said) {
                    watch.tell(&Event::new(What::Refused).because(&failure));
                }
            }
            Ok(()) => watch.memory.trouble = None,
        }
        if runtime::block_on(async { Ok(stopped(Duration::from_secs(arguments.interval)).await) })? {
            return Ok(());
        }
    }
}

/// Waits; `true` if somebody asks this program to end meanwhile.
async fn stopped(wait: Duration) -> bool {
    tokio::select! {
        () = super::serve::stop() => true,
        () = tokio::time::sleep(wait) => false,
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
            if self.activate(&config)? {
                self.copy_receipts(&config.watch, &here);
            }
        }
        Ok(())
    }

    /// Stages everything on a medium that is for this site. Returns whether that is done with: a cluster or a registry that
    /// does not answer may answer later.
    fn stage(&self, medium: &Medium) -> Result<bool, Failure> {
        let (bench, mut site) = self.bench()?;
        let clocks = &self.context.machine.clocks;
        let ask = Ask { require_scan: bench.config.require_scan, ..Ask::default() };
        let order = Order { ask, until: Until::Staged };
        let (mut picking, mut done) = (Picking::of(&medium.folder)?, true);
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
                self.tell(&event);
            }
        }
        picking.left(&site, order, clocks).iter().for_each(|left| self.tell(&left_alone(&medium.folder, left)));
        Ok(done)
    }

    fn staged(&self, site: &Site, path: &Path, finished: Result<Finished, Failure>) -> Option<Event> {
        let event = match finished {
            Ok(Finished::Staged(staged)) => {
                let event = Event::new(What::Staged).of(&staged.product, &staged.version);
                Event { why: staged.waits, ..event }
            }
            Ok(Finished::Informed(metadata)) if metadata.taken.is_empty() => return None,
            Ok(Finished::Informed(metadata)) => {
                Event { why: Some(metadata.taken.join("; ")), ..Event::new(What::Informed) }
            }
            Ok(Finished::Installed(_) | Finished::Planned(_)) => return None,
            Err(failure) if is_for_others(&failure) => Event::new(What::LeftAlone).because(&failure),
            Err(failure) => {
                count_refusal(site, &failure);
                Event::new(What::Refused).because(&failure)
            }
        };
        Some(event.at(path))
    }

    /// Activates what may be. Returns whether receipts were written.
    fn activate(&mut self, config: &SiteConfig) -> Result<bool, Failure> {
        // Looked at without holding the site: mostly there is nothing to do.
        let site = Site::open(self.context.store.clone())?;
        let mut open = Vec::new();
        for product in site.store.products()?.into_iter().filter(|product| is_wanted(product, config.watch.mode)) {
            if self.may_begin(&site, config, &product)? {
                open.push((product.domain.clone(), product.product.clone()));
            }
        }
        if open.is_empty() {
            return Ok(false);
        }
        let (bench, mut site) = self.bench()?;
        let mut wrote = false;
        let mut products = site.store.products()?;
        products.retain(|one| open.contains(&(one.domain.clone(), one.product.clone())));
        for product in in_order(&site.store, products)? {
            wrote |= self.activate_one(&bench, &mut site, product)?;
        }
        Ok(wrote)
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
                self.tell(&Event::new(What::Waiting).of(name, &version).because(&closed.into()));
            }
            return Ok(false);
        }
        self.memory.waits.remove(name);
        let later = self.memory.products.get(name).is_some_and(|again| machine.clocks.elapsed() < again.at);
        Ok(!later || self.arguments.once)
    }

    fn activate_one(&mut self, bench: &Bench<'_>, site: &mut Site, product: ProductState) -> Result<bool, Failure> {
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
        self.tell(&match &finished {
            Ok(_) => event(What::Activated),
            Err(failure) if failure.code() == codes::UNHEALTHY => event(What::Unhealthy).because(failure),
            Err(failure) if failure.code().exit == Exit::Busy => event(What::Waiting).because(failure),
            Err(failure) => event(What::Refused).because(failure),
        });
        match finished {
            Ok(_) => drop(self.memory.products.remove(&name)),
            Err(_) => {
                let again = Again::after(self.memory.products.get(&name), now);
                self.memory.products.insert(name, again);
            }
        }
        Ok(site.store.last_receipt_number()? > last)
    }

    /// To the folder of receipts, and to media only where that is asked for and possible.
    fn copy_receipts(&self, watch: &WatchConfig, here: &[Medium]) {
        let on_media = here.iter().filter(|medium| watch.receipts_on_medium && medium.is_writable());
        let folders = on_media.map(|medium| medium.folder.join("consign-receipts"));
        for folder in watch.receipts.iter().cloned().chain(folders) {
            let copied = Site::open(self.context.store.clone()).map_err(Failure::from);
            let copied = copied.and_then(|site| export(&site, &folder));
            self.tell(&match copied {
                Ok(_) => Event::new(What::Receipts).at(&folder),
                Err(failure) => Event::new(What::Refused).at(&folder).because(&failure),
            });
        }
    }

    fn bench(&self) -> Result<(Bench<'a>, Site), Failure> {
        Bench::open(self.context, &self.arguments.converging, &Override::default())
    }

    /// Logs an event and tells the hook. A hook that fails is logged, too.
    fn tell(&self, event: &Event) {
        self.context.terminal.result(event, event.in_words());
        let hook = self.context.config().map(|config| config.watch.hook).unwrap_or_default();
        let told = runtime::block_on(async { Ok(run_hook(&hook, event).await) });
        if let Ok(Err(error)) = told {
            self.context.terminal.warn(error);
        }
    }
}

fn left_alone(folder: &Path, left: &LeftAlone) -> Event {
    let event = Event::new(What::LeftAlone).at(folder.join(&left.file));
    Event { code: Some(left.code.name), why: Some(left.why.clone()), ..event }
}

/// Not for this site, or nothing new to it: no reason to worry anybody.
fn is_for_others(failure: &Failure) -> bool {
    let same = [codes::FAILED_BEFORE, codes::OLDER_RELEASE].contains(&failure.code());
    same || failure.code().exit == Exit::NotForSite
}
