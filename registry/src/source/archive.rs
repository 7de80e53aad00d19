//! Random access into a tar file whose headers were read once. Nothing is unpacked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::section::Section;

/// The most members an archive may have. `docker save` of a thousand images stays far below.
const MEMBERS: usize = 500_000;

/// Where the bytes of a member lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// The regular files of a tar by name, and where links lead.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    members: BTreeMap<String, Member>,
    links: BTreeMap<String, String>,
}

impl Archive {
    /// Reads the headers. Plain tar only: a compressed one would have to be unpacked for every look.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        refuse_compressed(&file)?;
        let length = file.metadata()?.len();
        let mut archive = Archive { file, members: BTreeMap::new(), links: BTreeMap::new() };
        let mut reader = tar::Archive::new(archive.file.try_clone()?);
        for entry in reader.entries_with_seek()? {
            let entry = entry?;
            let Ok(name) = String::from_utf8(entry.path_bytes().into_owned()) else { continue };
            let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
            match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    let member = Member { offset: entry.raw_file_position(), size: entry.size() };
                    if member.offset.saturating_add(member.size) > length {
                        return Err(malformed(format!("it ends in the middle of {name}")));
                    }
                    if archive.members.insert(name.clone(), member).is_some() {
                        return Err(malformed(format!("{name} is in it twice")));
                    }
                }
                tar::EntryType::Symlink | tar::EntryType::Link => {
                    let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                    let is_hard = entry.header().entry_type() == tar::EntryType::Link;
                    if let Some(target) = String::from_utf8(target).ok().and_then(|t| inside(&name, &t, is_hard)) {
                        archive.links.insert(name, target);
                    }
                }
                tar::EntryType::GNUSparse => return Err(malformed(format!("{name} is a sparse file"))),
                _ => {}
            }
            if archive.members.len() + archive.links.len() > MEMBERS {
                return Err(malformed(format!("it has more than {MEMBERS} members")));
            }
        }
        Ok(archive)
    }

    /// Finds a member; a link is followed once, inside the archive.
    pub(super) fn member(&self, name: &str) -> Option<Member> {
        let name = self.links.get(name).map_or(name, String::as_str);
        self.members.get(name).copied()
    }

    /// Reads a member.
    pub(super) fn reader(&self, member: Member) -> Section<'_> {
        Section::new(&self.file, member.offset, member.size)
    }
}

pub(super) fn malformed(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

fn refuse_compressed(file: &File) -> io::Result<()> {
    let mut magic = [0; 4];
    let n = file.read_at(&mut magic, 0)?;
    let kind = match &magic[..n] {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd] => "zstd",
        [b'B', b'Z', b'h', _] => "bzip2",
        [0xfd, b'7', b'z', b'X'] => "xz",
        _ => return Ok(()),
    };
    Err(malformed(format!("it is compressed with {kind}; decompress it first")))
}

/// Where a link inside the archive leads, or `None` if it leads out.
fn inside(name: &str, target: &str, is_hard: bool) -> Option<String> {
    let mut parts: Vec<&str> = if is_hard { Vec::new() } else { name.split('/').collect() };
    parts.pop();
    for part in target.split('/') {
        match part {
            "." => {}
            "" => return None,
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        for (name, target, expected) in [
            ("b/layer.tar", "../a/layer.tar", Some("a/layer.tar")),
            ("b/layer.tar", "./x", Some("b/x")),
            ("b/layer.tar", "../../etc/passwd", None),
            ("b/layer.tar", "/etc/passwd", None),
        ] {
            assert_eq!(inside(name, target, false).as_deref(), expected, "{name} -> {target}");
        }
        assert_eq!(inside("b/layer.tar", "a/layer.tar", true).as_deref(), Some("a/layer.tar"));
    }
}
