//! The changes themselves: on record first, then one after the other, each in one step of the file system.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};

use consign_format::DigestWriter;
use consign_registry::durable::{Draft, DurableError, Existing, Folder, Step, create_dir};
use consign_registry::{BlobError, BlobFolder};

use super::look::{BUFFER, look};
use super::tree::{Tree, draft_name, parts};
use super::{Change, FileChange, FilesError, FilesPlan};
use crate::site::Site;
use crate::store::placed::Content;

pub(super) fn carry_out(site: &Site, plan: &FilesPlan) -> Result<(), FilesError> {
    if plan.is_empty() {
        return Ok(());
    }
    let tree = Tree::open(site)?;
    let mut sources = Sources { blobs: site.store.blobs()?, before: None };
    for change in &plan.changes {
        match (change.change, change.now) {
            (Change::Adopt, Some(now)) => keep(site, &tree, &mut sources, &change.to, &now)?,
            (Change::Restore, _) => sources.open_before(site)?,
            _ => {}
        }
    }
    if plan.during != plan.was {
        site.store.write_placed(&plan.during)?;
    }
    let unsettled = plan.was.places.iter().filter(|(_, place)| place.unsettled);
    unsettled.map(|(to, _)| to).try_for_each(|to| sweep(&tree, to))?;
    for change in plan.changes.iter().filter(|change| change.now != change.then) {
        one(&tree, &sources, change)?;
    }
    remove_folders(&tree, plan)?;
    Ok(site.store.write_placed(&plan.then)?)
}

/// Where content comes from.
struct Sources {
    blobs: BlobFolder,
    /// What was there before us.
    before: Option<BlobFolder>,
}

impl Sources {
    fn open_before(&mut self, site: &Site) -> Result<(), FilesError> {
        if self.before.is_none() {
            let dir = site.store.before_dir();
            create_dir(&dir, 0o700)?;
            let before = BlobFolder::open(&dir)?;
            before.remove_drafts()?;
            self.before = Some(before);
        }
        Ok(())
    }

    fn open(&self, change: &FileChange, content: &Content) -> Result<File, BlobError> {
        match (&self.before, change.change) {
            (Some(before), Change::Restore) => before.open_blob(&content.digest),
            _ => self.blobs.open_blob(&content.digest),
        }
    }
}

/// Keeps another's file, before ours takes its place.
fn keep(site: &Site, tree: &Tree, sources: &mut Sources, to: &str, now: &Content) -> Result<(), FilesError> {
    sources.open_before(site)?;
    let name = OsStr::new(parts(to).1);
    let file = tree.reach(to)?.folder.open_file(name)?.ok_or_else(|| moved(to))?;
    match &sources.before {
        Some(before) => match before.put(&now.digest, now.size, file) {
            Err(BlobError::Mismatch { .. } | BlobError::Short { .. } | BlobError::Long { .. }) => Err(moved(to)),
            other => Ok(other?),
        },
        None => Ok(()),
    }
}

/// Somebody changed it between the plan and now.
fn moved(to: &str) -> FilesError {
    FilesError::Changed { to: vec![to.to_owned()] }
}

/// Takes away the draft that a run left that was cut off.
fn sweep(tree: &Tree, to: &str) -> Result<(), FilesError> {
    match tree.reach(to) {
        Ok(reached) if reached.missing.is_empty() => Ok(reached.folder.remove_file(OsStr::new(&draft_name(to)))?),
        Ok(_) | Err(FilesError::Durable(DurableError::Unsafe { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}

fn one(tree: &Tree, sources: &Sources, change: &FileChange) -> Result<(), FilesError> {
    let name = parts(&change.to).1;
    let folder = match change.now {
        None => tree.make(&change.to)?,
        Some(_) => match tree.reach(&change.to)? {
            reached if reached.missing.is_empty() => reached.folder,
            _ => return Err(moved(&change.to)),
        },
    };
    let is_as_planned = || match look(&folder, name)? == change.now {
        true => Ok(()),
        false => Err(moved(&change.to)),
    };
    let Some(content) = change.then else {
        is_as_planned()?;
        folder.remove_file(OsStr::new(name))?;
        return Ok(folder.sync()?);
    };
    let draft = draft(&folder, sources, change, &content)?;
    // The last look, now that the draft is whole: a rename follows no link, and takes nothing that it did not see.
    is_as_planned()?;
    let existing = if change.now.is_some() { Existing::Replace } else { Existing::Refuse };
    match draft.commit(OsStr::new(name), existing) {
        Err(DurableError::Exists { .. }) => Err(moved(&change.to)),
        other => Ok(other?),
    }
}

/// The content, copied beside its place and hashed on the way, with its mode and owner.
fn draft(folder: &Folder, sources: &Sources, change: &FileChange, content: &Content) -> Result<Draft, FilesError> {
    let mut blob = sources.open(change, content)?;
    let mut draft = DigestWriter::new(Draft::create_as(folder, &draft_name(&change.to))?);
    let mut buffer = vec![0; BUFFER];
    loop {
        match blob.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                let written = draft.write_all(buffer.get(..read).unwrap_or_default());
                written
                    .map_err(|error| DurableError::io(Step::Write, &folder.path().join(parts(&change.to).1), error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(BlobError::Source { digest: content.digest, source }.into()),
        }
    }
    let (draft, actual, _) = draft.finish();
    if actual != content.digest {
        return Err(BlobError::Mismatch { expected: content.digest, actual }.into());
    }
    draft.give(content.mode, content.user, content.group)?;
    Ok(draft)
}

/// Folders that were made for files that are gone; one that others use stays, and is theirs from now on.
fn remove_folders(tree: &Tree, plan: &FilesPlan) -> Result<(), FilesError> {
    let gone = plan.during.folders.difference(&plan.then.folders);
    // Descending, so that a folder comes after those in it.
    for path in gone.collect::<Vec<_>>().into_iter().rev() {
        match tree.reach(path) {
            Ok(reached) if reached.missing.is_empty() => {
                reached.folder.remove_empty(parts(path).1)?;
            }
            Ok(_) | Err(FilesError::Durable(DurableError::Unsafe { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
