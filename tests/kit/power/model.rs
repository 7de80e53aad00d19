//! What the disk holds twice: as programs see it now, and as it would be found after a power cut.
//!
//! It promises no more than POSIX does. `fsync` of a file keeps its bytes and not its name, `fdatasync` not even its mode;
//! only `fsync` of a folder keeps the names in it. Beyond POSIX there is one thing that every file system of Linux does:
//! a rename happens or doesn't, also between two folders.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::SystemTime;

/// Lost and kept data alternate by pieces of this size, as blocks of a disk do.
const BLOCK: usize = 4096;

/// The number of a file, folder or link.
pub(super) type Number = u64;
/// Where a name stands: a folder, and the name in it.
pub(super) type Place = (Number, OsString);

/// What a number stands for.
#[derive(Debug, Clone)]
pub(super) enum Content {
    File(Vec<u8>),
    Folder(BTreeMap<OsString, Number>),
    Link(PathBuf),
}

/// Whose it is, and who may what.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) changed: SystemTime,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) marks: Marks,
    kept: Content,
    kept_marks: Marks,
}

/// A change of names that no `fsync` has kept yet.
#[derive(Debug, Clone)]
enum Change {
    Set(Place, Number),
    Removed(Place),
    Moved { from: Place, to: Place, node: Number, back: Option<Number> },
}

/// Decides what becomes of a change that was not synced; a test that draws, draws here.
pub(super) type Coin<'a> = &'a mut dyn FnMut() -> bool;

/// All files, folders and links.
#[derive(Debug, Clone)]
pub(super) struct Model {
    nodes: BTreeMap<Number, Node>,
    pending: Vec<Change>,
}

/// The number of the folder that everything is in, as FUSE has it.
pub(super) const TOP: Number = 1;

impl Model {
    /// An empty disk.
    pub(super) fn empty(marks: Marks) -> Self {
        let mut model = Model { nodes: BTreeMap::new(), pending: Vec::new() };
        model.add(Content::Folder(BTreeMap::new()), marks);
        model
    }

    pub(super) fn node(&self, number: Number) -> Option<&Node> {
        self.nodes.get(&number)
    }

    pub(super) fn node_mut(&mut self, number: Number) -> Option<&mut Node> {
        self.nodes.get_mut(&number)
    }

    /// How many names stand for it, of files and links.
    pub(super) fn names_of(&self, number: Number) -> usize {
        let folders = self.nodes.values().filter_map(|node| node.names());
        folders.flat_map(BTreeMap::values).filter(|there| **there == number).count()
    }

    /// What this name stands for.
    pub(super) fn find(&self, (folder, name): (Number, &OsStr)) -> Option<Number> {
        self.nodes.get(&folder)?.names()?.get(name).copied()
    }

    /// Whether this is one of its names.
    pub(super) fn is_called(&self, number: Number, name: &str) -> bool {
        let folders = self.nodes.values().filter_map(Node::names);
        folders.filter_map(|names| names.get(OsStr::new(name))).any(|there| *there == number)
    }

    fn add(&mut self, content: Content, marks: Marks) -> Number {
        let number = self.nodes.last_key_value().map_or(TOP, |(last, _)| last + 1);
        let kept = match &content {
            Content::File(_) => Content::File(Vec::new()),
            Content::Folder(_) => Content::Folder(BTreeMap::new()),
            Content::Link(to) => Content::Link(to.clone()),
        };
        self.nodes.insert(number, Node { content, kept, kept_marks: marks.clone(), marks });
        number
    }

    /// Makes something new at a free place.
    pub(super) fn make(&mut self, place: Place, content: Content, marks: Marks) -> Number {
        let number = self.add(content, marks);
        self.name(place, number);
        number
    }

    /// Gives something one more name, at a free place.
    pub(super) fn name(&mut self, place: Place, number: Number) {
        self.change(Change::Set(place, number));
    }

    /// Takes a name away.
    pub(super) fn remove(&mut self, place: Place) {
        self.change(Change::Removed(place));
    }

    /// Moves a name, over whatever has the new one; or lets both swap.
    pub(super) fn move_name(&mut self, from: Place, to: Place, node: Number, back: Option<Number>) {
        self.change(Change::Moved { from, to, node, back });
    }

    fn change(&mut self, change: Change) {
        for (place, number) in change.edits() {
            edit(self.nodes.get_mut(&place.0).map(|node| &mut node.content), place.1, number);
        }
        self.pending.push(change);
    }

    /// What `fsync` and, with `data` alone, `fdatasync` keep.
    pub(super) fn sync(&mut self, number: Number, data: bool) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if !data {
            node.kept_marks = node.marks.clone();
        }
        if !matches!(node.content, Content::Folder(_)) {
            node.kept = node.content.clone();
            return;
        }
        let (now, later): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(|change| change.touches(number));
        self.pending = later;
        self.keep(&now);
    }

    /// Keeps everything.
    pub(super) fn sync_all(&mut self) {
        let numbers: Vec<Number> = self.nodes.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.sync(number, false));
    }

    fn keep(&mut self, changes: &[Change]) {
        for (place, number) in changes.iter().flat_map(Change::edits) {
            edit(self.nodes.get_mut(&place.0).map(|node| &mut node.kept), place.1, number);
        }
    }

    /// The disk as it is found after a power cut: all that was synced, and of the rest what the coin says.
    pub(super) fn after_a_cut(mut self, coin: Coin<'_>) -> Self {
        let luck: Vec<Change> = std::mem::take(&mut self.pending).into_iter().filter(|_| coin()).collect();
        self.keep(&luck);
        for node in self.nodes.values_mut() {
            node.kept = match (&node.kept, &node.content) {
                (Content::File(old), Content::File(new)) if old != new => Content::File(mixed(old, new, coin)),
                (kept, _) => kept.clone(),
            };
            if node.marks.mode != node.kept_marks.mode && coin() {
                node.kept_marks = node.marks.clone();
            }
            (node.content, node.marks) = (node.kept.clone(), node.kept_marks.clone());
        }
        self
    }
}

/// Each block old or new; what the file grew by and was not written is zeros.
fn mixed(old: &[u8], new: &[u8], coin: Coin<'_>) -> Vec<u8> {
    let length = if coin() { new.len() } else { old.len() };
    let mut found = vec![0; length];
    for at in (0..length).step_by(BLOCK) {
        let from = if coin() { new } else { old };
        let end = (at + BLOCK).min(length).min(from.len());
        if at < end {
            found[at..end].copy_from_slice(&from[at..end]);
        }
    }
    found
}

impl Node {
    pub(super) fn names(&self) -> Option<&BTreeMap<OsString, Number>> {
        if let Content::Folder(names) = &self.content { Some(names) } else { None }
    }
}

fn edit(folder: Option<&mut Content>, name: OsString, number: Option<Number>) {
    let Some(Content::Folder(names)) = folder else { return };
    match number {
        Some(number) => names.insert(name, number),
        None => names.remove(&name),
    };
}

impl Change {
    fn touches(&self, folder: Number) -> bool {
        match self {
            Change::Set((at, _), _) | Change::Removed((at, _)) => *at == folder,
            Change::Moved { from, to, .. } => from.0 == folder || to.0 == folder,
        }
    }

    /// What each name stands for afterwards.
    fn edits(&self) -> Vec<(Place, Option<Number>)> {
        match self.clone() {
            Change::Set(place, number) => vec![(place, Some(number))],
            Change::Removed(place) => vec![(place, None)],
            Change::Moved { from, to, node, back } => vec![(from, back), (to, Some(node))],
        }
    }
}
