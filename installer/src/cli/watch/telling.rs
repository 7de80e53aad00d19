//! What a watch says, and to whom: the log at once, the site's hook when the site is given back. A hook that runs
//! `consign-site` would find it busy otherwise.

use std::path::Path;

use consign_format::Exit;
use consign_format::error::{Failure, codes};

use super::Watch;
use crate::cli::runtime;
use crate::install_bundle::{Finished, count_refusal};
use crate::pick::LeftAlone;
use crate::site::Site;
use crate::watch::{Event, What, run_hook};

impl Watch<'_> {
    /// Says what became of one bundle; nothing, where it brought nothing.
    pub(super) fn staged(&mut self, site: &Site, path: &Path, finished: Result<Finished, Failure>) -> Option<Event> {
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
                let event = Event::new(What::Refused).because(&failure);
                self.memory.trouble(failure);
                event
            }
        };
        Some(event.at(path))
    }

    /// Logs an event and runs the hook. Nobody may hold the site meanwhile.
    pub(super) fn tell(&self, event: &Event) {
        self.log(event);
        self.run_hook(event);
    }

    pub(super) fn log(&self, event: &Event) {
        self.context.terminal.result(event, event.in_words());
    }

    /// A hook that fails is logged, and changes nothing else.
    pub(super) fn run_hook(&self, event: &Event) {
        let Ok(config) = self.context.config() else { return };
        let limit = config.watch.hook_limit();
        let told = runtime::block_on(async { Ok(run_hook(&config.watch.hook, limit, event).await) });
        if let Ok(Err(error)) = told {
            self.context.terminal.warn(error);
        }
    }
}

pub(super) fn left_alone(folder: &Path, left: &LeftAlone) -> Event {
    let event = Event::new(What::LeftAlone).at(folder.join(&left.file));
    Event { code: Some(left.code.name), why: Some(left.why.clone()), ..event }
}

/// Not for this site, or nothing new to it: no reason to worry anybody.
fn is_for_others(failure: &Failure) -> bool {
    let same = [codes::FAILED_BEFORE, codes::OLDER_RELEASE].contains(&failure.code());
    same || failure.code().exit == Exit::NotForSite
}
