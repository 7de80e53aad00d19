//! The model as a file system that programs can use, by FUSE: every call of theirs is answered from it at once, nothing
//! stays in the kernel, and at the chosen `fsync` the power goes.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::mains::Mains;
use super::model::{Content, Place};

/// The kernel remembers nothing.
const NEVER: Duration = Duration::ZERO;

/// What FUSE asks.
pub(super) struct Served(pub(super) Arc<Mutex<Mains>>);

impl Served {
    /// The disk, if it has power.
    fn on(&self) -> Result<MutexGuard<'_, Mains>, Errno> {
        let mains = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if mains.is_off { Err(Errno::EIO) } else { Ok(mains) }
    }
}

fn place(folder: INodeNo, name: &OsStr) -> Place {
    (folder.0, name.to_owned())
}

fn done(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn attributes(result: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match result {
        Ok(attributes) => reply.attr(&NEVER, &attributes),
        Err(error) => reply.error(error),
    }
}

fn entry(result: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match result {
        Ok(attributes) => reply.entry(&NEVER, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.on().and_then(|mains| {
            let number = mains.model.find((folder.0, name)).ok_or(Errno::ENOENT)?;
            mains.attributes(number)
        });
        entry(found, reply);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attributes(self.on().and_then(|mains| mains.attributes(number.0)), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        owner: Option<u32>,
        group: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = self.on().and_then(|mut mains| {
            if let Some(size) = size {
                mains.bytes(number.0)?.resize(size as usize, 0);
            }
            let marks = &mut mains.model.node_mut(number.0).ok_or(Errno::ENOENT)?.marks;
            marks.mode = mode.map_or(marks.mode, |mode| mode & 0o7777);
            marks.owner = (owner.unwrap_or(marks.owner.0), group.unwrap_or(marks.owner.1));
            mains.attributes(number.0)
        });
        attributes(set, reply);
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.on().map(|mains| mains.model.node(number.0).map(|node| node.content.clone())) {
            Ok(Some(Content::Link(to))) => reply.data(to.as_os_str().as_encoded_bytes()),
            Ok(_) => reply.error(Errno::EINVAL),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, request: &Request, folder: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let content = Content::Folder(Default::default());
        entry(self.on().and_then(|mut mains| mains.make(request, place(folder, name), content, mode & !umask)), reply);
    }

    fn symlink(&self, request: &Request, folder: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let content = Content::Link(target.to_owned());
        entry(self.on().and_then(|mut mains| mains.make(request, place(folder, name), content, 0o777)), reply);
    }

    fn create(
        &self,
        request: &Request,
        folder: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let content = Content::File(Vec::new());
        match self.on().and_then(|mut mains| mains.make(request, place(folder, name), content, mode & !umask)) {
            Ok(attributes) => {
                reply.created(&NEVER, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn link(&self, _: &Request, number: INodeNo, folder: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.on().and_then(|mut mains| {
            if mains.model.find((folder.0, name)).is_some() {
                return Err(Errno::EEXIST);
            }
            mains.model.name(place(folder, name), number.0);
            mains.attributes(number.0)
        });
        entry(linked, reply);
    }

    fn unlink(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.on().and_then(|mut mains| mains.remove(place(folder, name), false)), reply);
    }

    fn rmdir(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.on().and_then(|mut mains| mains.remove(place(folder, name), true)), reply);
    }

    fn rename(
        &self,
        _: &Request,
        folder: INodeNo,
        name: &OsStr,
        new_folder: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed =
            self.on().and_then(|mut mains| mains.rename(place(folder, name), place(new_folder, new_name), flags));
        done(renamed, reply);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.on() {
            Ok(mains) => match mains.model.node(number.0).map(|node| &node.content) {
                Some(Content::File(bytes)) => {
                    let from = (offset as usize).min(bytes.len());
                    reply.data(&bytes[from..(from + size as usize).min(bytes.len())]);
                }
                _ => reply.error(Errno::EISDIR),
            },
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.on().and_then(|mut mains| {
            let (bytes, from) = (mains.bytes(number.0)?, offset as usize);
            bytes.resize(bytes.len().max(from + data.len()), 0);
            bytes[from..from + data.len()].copy_from_slice(data);
            Ok(data.len() as u32)
        });
        match written {
            Ok(length) => reply.written(length),
            Err(error) => reply.error(error),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let allocated = self.on().and_then(|mut mains| match mode {
            0 => {
                let bytes = mains.bytes(number.0)?;
                bytes.resize(bytes.len().max((offset + length) as usize), 0);
                Ok(())
            }
            _ => Err(Errno::EOPNOTSUPP),
        });
        done(allocated, reply);
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, data: bool, reply: ReplyEmpty) {
        done(self.on().and_then(|mut mains| mains.sync(number.0, data)), reply);
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, data: bool, reply: ReplyEmpty) {
        done(self.on().and_then(|mut mains| mains.sync(number.0, data)), reply);
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.on().and_then(|mut mains| mains.list(number.0)) {
            Ok(listing) => reply.opened(FileHandle(listing), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, listing: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.on() {
            Ok(mains) => {
                let listed = mains.listed(listing.0).iter().enumerate().skip(offset as usize);
                for (at, (name, number, kind)) in listed {
                    if reply.add(INodeNo(*number), at as u64 + 1, *kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, listing: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        done(self.on().map(|mut mains| mains.forget(listing.0)), reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (blocks, free) = (1 << 20, 1 << 19);
        reply.statfs(blocks, free, free, blocks, free, 4096, 255, 4096);
    }
}
