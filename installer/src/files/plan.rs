//! From what is wanted, what is on record and what lies there: what is to change. Nothing is written here, and every
//! refusal is made here.

use std::collections::BTreeMap;

use consign_format::Name;
use consign_registry::durable::{DurableError, Folder};

use super::look::look;
use super::room::Room;
use super::tree::{Reached, Tree, parts};
use super::wanted::is_below;
use super::{Change, FileChange, FilesError, FilesPlan, owner};
use crate::site::Site;
use crate::store::placed::{Content, Place, Placed};

pub(super) fn plan(
    site: &Site,
    domain: &Name,
    product: &Name,
    wanted: &BTreeMap<String, Content>,
    loading: u64,
) -> Result<FilesPlan, FilesError> {
    let was = site.store.read_placed(domain, product)?;
    let empty = Placed::new(domain.clone(), product.clone());
    let mut planning = Planning {
        adopt: site.adopt_files,
        store: Folder::open(site.store.dir())?,
        room: Room::default(),
        foreign: Vec::new(),
        changed: Vec::new(),
        plan: FilesPlan { changes: Vec::new(), warnings: Vec::new(), during: was.clone(), then: empty, was },
    };
    if wanted.is_empty() && planning.plan.was.places.is_empty() {
        return Ok(planning.plan);
    }
    check_claims(site, &planning.plan.was, wanted)?;
    let tree = Tree::open(site)?;
    for (to, content) in wanted {
        planning.wanted(&tree, to, *content)?;
    }
    for (to, place) in planning.plan.was.places.clone() {
        if !wanted.contains_key(&to) {
            planning.leaving(&tree, &to, &place)?;
        }
    }
    planning.finish(loading)
}

/// Two products never have one place, nor a place within another's file.
fn check_claims(site: &Site, was: &Placed, wanted: &BTreeMap<String, Content>) -> Result<(), FilesError> {
    for other in site.store.all_placed()? {
        if (&other.domain, &other.product) == (&was.domain, &was.product) {
            continue;
        }
        let meets =
            |to: &&String| other.places.keys().any(|place| place == *to || is_below(place, to) || is_below(to, place));
        if let Some(to) = wanted.keys().find(meets) {
            let (domain, product) = (other.domain.to_string(), other.product.to_string());
            return Err(FilesError::Claimed { to: to.clone(), domain, product });
        }
    }
    Ok(())
}

struct Planning {
    adopt: bool,
    store: Folder,
    room: Room,
    foreign: Vec<String>,
    changed: Vec<String>,
    plan: FilesPlan,
}

impl Planning {
    fn wanted(&mut self, tree: &Tree, to: &str, content: Content) -> Result<(), FilesError> {
        let reached = tree.reach(to)?;
        let now = found(&reached, to)?;
        let ours = self.plan.was.places.get(to).cloned();
        let mut place = ours.clone().unwrap_or_default();
        let change = match (now, ours) {
            (None, ours) => {
                if ours.is_some_and(|ours| !ours.unsettled) {
                    self.plan.warnings.push(format!("{to} was taken away since it was placed, and is placed again"));
                }
                Some(Change::Place)
            }
            (Some(now), Some(ours)) if is_ours(&ours, &now) => (now != content).then_some(Change::Replace),
            (Some(now), Some(_)) if now == content => None,
            (Some(_), Some(_)) => {
                self.changed.push(to.to_owned());
                return Ok(());
            }
            (Some(now), None) if now.digest == content.digest || self.adopt && can_be_given_back(&now) => {
                place.before = Some(now);
                self.room.add(&self.store, now.size)?;
                Some(Change::Adopt)
            }
            (Some(_), None) => {
                self.foreign.push(to.to_owned());
                return Ok(());
            }
        };
        let then = Place { known: vec![content], before: place.before, unsettled: false };
        self.plan.then.places.insert(to.to_owned(), then);
        let Some(change) = change else { return Ok(()) };
        self.room.add(&reached.folder, content.size)?;
        if !place.known.contains(&content) {
            place.known.push(content);
        }
        self.change(&reached, to, change, now, Some(content), place)
    }

    fn leaving(&mut self, tree: &Tree, to: &str, place: &Place) -> Result<(), FilesError> {
        let looked = tree.reach(to).and_then(|reached| Ok((found(&reached, to)?, reached)));
        let (now, reached) = match looked {
            Err(FilesError::Durable(DurableError::Unsafe { path, .. })) => {
                let warning = format!("{to} left the release; what is at {} now is not ours and stays", path.display());
                self.plan.warnings.push(warning);
                return Ok(());
            }
            other => other?,
        };
        let Some(content) = now else { return Ok(()) };
        if place.before == Some(content) {
            return Ok(());
        }
        if !place.known.contains(&content) {
            self.plan.warnings.push(format!("{to} left the release; it was changed since it was placed, and stays"));
            return Ok(());
        }
        let change = if place.before.is_some() { Change::Restore } else { Change::Remove };
        if let Some(before) = place.before {
            self.room.add(&reached.folder, before.size)?;
        }
        self.change(&reached, to, change, now, place.before, place.clone())
    }

    fn change(
        &mut self,
        reached: &Reached,
        to: &str,
        change: Change,
        now: Option<Content>,
        then: Option<Content>,
        place: Place,
    ) -> Result<(), FilesError> {
        reached.folder.check_writable()?;
        if now.is_some() {
            reached.folder.check_replaceable(parts(to).1)?;
        }
        self.plan.during.folders.extend(reached.missing.iter().cloned());
        self.plan.during.places.insert(to.to_owned(), Place { unsettled: true, ..place });
        self.plan.changes.push(FileChange { to: to.to_owned(), change, now, then });
        Ok(())
    }

    fn finish(mut self, loading: u64) -> Result<FilesPlan, FilesError> {
        if !self.changed.is_empty() {
            return Err(FilesError::Changed { to: self.changed });
        }
        if !self.foreign.is_empty() {
            return Err(FilesError::Foreign { to: self.foreign });
        }
        if !self.plan.changes.is_empty() {
            self.room.add(&self.store, loading)?;
            self.room.check()?;
        }
        let places = &self.plan.then.places;
        let is_used = |folder: &&String| places.keys().any(|to| is_below(to, folder));
        self.plan.then.folders = self.plan.during.folders.iter().filter(is_used).cloned().collect();
        Ok(self.plan)
    }
}

fn found(reached: &Reached, to: &str) -> Result<Option<Content>, FilesError> {
    if reached.missing.is_empty() { look(&reached.folder, parts(to).1) } else { Ok(None) }
}

/// Whether what lies there came by our doing, or is what a run that was cut off was about to replace.
fn is_ours(place: &Place, now: &Content) -> bool {
    place.known.contains(now) || place.unsettled && place.before == Some(*now)
}

/// A file of another user could not be put back by who is not root.
fn can_be_given_back(now: &Content) -> bool {
    owner::own().0 == 0 || (now.user, now.group) == owner::own()
}
