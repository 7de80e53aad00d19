//! The rules of a file system over the model, and the moment in which the power goes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::SystemTime;

use fuser::{Errno, FileAttr, FileType, INodeNo, RenameFlags, Request};
use rustix::process::{Pid, Signal, kill_process};

use super::model::{Content, Marks, Model, Number, Place};
use super::{Cut, When};

/// The disk and its power.
pub(super) struct Mains {
    pub(super) model: Model,
    /// When the power goes.
    cut: Option<Cut>,
    /// Whose power it is.
    victim: Option<Pid>,
    /// How many of the syncs that the cut counts there were.
    counted: usize,
    pub(super) is_off: bool,
    /// Folders being read: what was in them when that began.
    listings: BTreeMap<u64, Vec<Listed>>,
}

type Listed = (OsString, Number, FileType);

impl Mains {
    pub(super) fn of(model: Model) -> Self {
        Mains { model, cut: None, victim: None, counted: 0, is_off: false, listings: BTreeMap::new() }
    }

    pub(super) fn arm(&mut self, cut: Cut, victim: u32) {
        (self.cut, self.counted) = (Some(cut), 0);
        self.victim = i32::try_from(victim).ok().and_then(Pid::from_raw);
    }

    pub(super) fn disarm(&mut self) {
        (self.cut, self.victim) = (None, None);
    }

    pub(super) fn attributes(&self, number: Number) -> Result<FileAttr, Errno> {
        let node = self.model.node(number).ok_or(Errno::ENOENT)?;
        let (kind, size) = match &node.content {
            Content::File(bytes) => (FileType::RegularFile, bytes.len() as u64),
            Content::Folder(_) => (FileType::Directory, 0),
            Content::Link(to) => (FileType::Symlink, to.as_os_str().len() as u64),
        };
        let changed = node.marks.changed;
        Ok(FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: changed,
            mtime: changed,
            ctime: changed,
            crtime: changed,
            kind,
            perm: (node.marks.mode & 0o7777) as u16,
            nlink: self.model.names_of(number) as u32,
            uid: node.marks.owner.0,
            gid: node.marks.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    pub(super) fn make(
        &mut self,
        request: &Request,
        place: Place,
        content: Content,
        mode: u32,
    ) -> Result<FileAttr, Errno> {
        if self.model.find((place.0, &place.1)).is_some() {
            return Err(Errno::EEXIST);
        }
        let owner = (request.uid(), request.gid());
        let number = self.model.make(place, content, Marks { mode: mode & 0o7777, owner, changed: SystemTime::now() });
        self.attributes(number)
    }

    pub(super) fn bytes(&mut self, number: Number) -> Result<&mut Vec<u8>, Errno> {
        let node = self.model.node_mut(number).ok_or(Errno::ENOENT)?;
        node.marks.changed = SystemTime::now();
        match &mut node.content {
            Content::File(bytes) => Ok(bytes),
            Content::Folder(_) => Err(Errno::EISDIR),
            Content::Link(_) => Err(Errno::EINVAL),
        }
    }

    pub(super) fn remove(&mut self, place: Place, folders: bool) -> Result<(), Errno> {
        let number = self.model.find((place.0, &place.1)).ok_or(Errno::ENOENT)?;
        match self.model.node(number).and_then(|node| node.names()) {
            Some(_) if !folders => return Err(Errno::EISDIR),
            None if folders => return Err(Errno::ENOTDIR),
            Some(names) if !names.is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.model.remove(place);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: Place, to: Place, flags: RenameFlags) -> Result<(), Errno> {
        let node = self.model.find((from.0, &from.1)).ok_or(Errno::ENOENT)?;
        let there = self.model.find((to.0, &to.1));
        let swap = flags.contains(RenameFlags::RENAME_EXCHANGE);
        match there {
            Some(_) if flags.contains(RenameFlags::RENAME_NOREPLACE) => return Err(Errno::EEXIST),
            None if swap => return Err(Errno::ENOENT),
            // Two names of one file: rename(2) does nothing.
            Some(there) if there == node => return Ok(()),
            Some(there) if !swap => {
                let names = |number| self.model.node(number).and_then(|node| node.names());
                match (names(node), names(there)) {
                    (None, Some(_)) => return Err(Errno::EISDIR),
                    (Some(_), None) => return Err(Errno::ENOTDIR),
                    (_, Some(names)) if !names.is_empty() => return Err(Errno::ENOTEMPTY),
                    _ => {}
                }
            }
            _ => {}
        }
        self.model.move_name(from, to, node, there.filter(|_| swap));
        Ok(())
    }

    /// Keeps what is synced, unless the power goes just now; then it goes before or after, and with it the program.
    pub(super) fn sync(&mut self, number: Number, data: bool) -> Result<(), Errno> {
        let due = self.cut.as_ref().is_some_and(|cut| cut.of.is_none_or(|name| self.model.is_called(number, name)));
        self.counted += usize::from(due);
        let now = self.cut.as_ref().filter(|cut| due && self.counted == cut.n).map(|cut| cut.when);
        if now != Some(When::Before) {
            self.model.sync(number, data);
        }
        if now.is_none() {
            return Ok(());
        }
        self.is_off = true;
        if let Some(victim) = self.victim {
            let _ = kill_process(victim, Signal::KILL);
        }
        Err(Errno::EIO)
    }

    /// Begins to read a folder.
    pub(super) fn list(&mut self, folder: Number) -> Result<u64, Errno> {
        let names = self.model.node(folder).and_then(|node| node.names()).ok_or(Errno::ENOTDIR)?;
        let dots = [".", ".."].map(|dots| (OsString::from(dots), folder));
        let all = dots.into_iter().chain(names.iter().map(|(name, number)| (name.clone(), *number)));
        let listed = all.map(|(name, number)| Ok((name, number, self.attributes(number)?.kind)));
        let listed = listed.collect::<Result<Vec<_>, Errno>>()?;
        let listing = self.listings.last_key_value().map_or(1, |(last, _)| last + 1);
        self.listings.insert(listing, listed);
        Ok(listing)
    }

    pub(super) fn listed(&self, listing: u64) -> &[Listed] {
        self.listings.get(&listing).map_or(&[], Vec::as_slice)
    }

    pub(super) fn forget(&mut self, listing: u64) {
        self.listings.remove(&listing);
    }
}
