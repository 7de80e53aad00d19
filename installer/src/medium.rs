//! What was opened, as a bundle is read from it: as it lies there, or decrypted with the site's key on the way.
//!
//! Nothing that was decrypted is written anywhere but to where a plain bundle's bytes would be.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use consign_format::archive::FORMAT_MEMBER;
use consign_format::archive::front::Overlaid;
use consign_format::archive::head::ArchiveError;
use consign_format::archive::volumes::Joined;
use consign_format::error::Failure;
use consign_sealed::{Unsealed, is_sealed};

use crate::open::OpenError;
use crate::reach::Reach;
use crate::site::Site;

/// A bundle's file, open for reading.
pub struct Medium {
    source: Source,
    path: PathBuf,
    at: u64,
    end: End,
}

enum Source {
    Plain(Stored),
    Sealed(Box<Unsealed<Stored>>),
}

/// The bytes as they lie there: in one file, or in volumes.
enum Stored {
    Whole(Bounded),
    Volumes(Box<Joined<File>>),
}

/// Where a bundle on a block device ends: a device goes on behind it, and what lies there is nobody's. A file has its
/// own end, and a byte behind the bundle's is a refusal; so for a file this says nothing. Nor does it for an encrypted
/// bundle, whose own form says where it ends.
#[derive(Debug, Clone)]
pub struct End {
    is_device: bool,
    at: Rc<Cell<u64>>,
}

/// The file, as far as its end is known.
struct Bounded {
    file: Overlaid<File>,
    at: u64,
    end: Rc<Cell<u64>>,
}

impl End {
    /// Says where the signed carriage has the bundle end.
    pub fn is(&self, at: u64) {
        if self.is_device {
            self.at.set(at);
        }
    }
}

impl Medium {
    pub(crate) fn new(file: Overlaid<File>, path: &Path, is_device: bool) -> Self {
        let end = End { is_device, at: Rc::new(Cell::new(u64::MAX)) };
        let bounded = Bounded { file, at: 0, end: Rc::clone(&end.at) };
        Medium { source: Source::Plain(Stored::Whole(bounded)), path: path.to_owned(), at: 0, end }
    }

    /// A bundle in volumes; `path` is where it would lie if it were whole.
    pub(crate) fn of_volumes(joined: Joined<File>, path: PathBuf) -> Self {
        let end = End { is_device: false, at: Rc::new(Cell::new(u64::MAX)) };
        Medium { source: Source::Plain(Stored::Volumes(Box::new(joined))), path, at: 0, end }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The place where the end is to be said, as soon as it is known.
    pub fn end(&self) -> End {
        self.end.clone()
    }

    /// The file in which the next bytes lie, and where in it, for copies inside the kernel of what lies behind the head.
    /// `None` where what lies there is encrypted, or goes on in another volume.
    pub fn in_file(&self, length: u64) -> Option<(&File, u64)> {
        match &self.source {
            Source::Plain(Stored::Whole(bounded)) => Some((bounded.file.inner(), self.at)),
            Source::Plain(Stored::Volumes(joined)) => joined.in_one(self.at, length),
            Source::Sealed(_) => None,
        }
    }

    /// How far it can be read. Of an encrypted bundle, all of it was here when it was opened.
    pub fn reach(&self) -> Reach {
        match &self.source {
            Source::Plain(Stored::Volumes(joined)) => Reach::of(Some(joined.map())),
            _ => Reach::default(),
        }
    }

    /// How far the bundle was read.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Makes an encrypted bundle readable with the site's key; a plain one stays as it is.
    ///
    /// # Errors
    /// [`OpenError::Sealed`]; a first sector that cannot be read; what is wrong with the site's key.
    pub fn readable_by(self, site: &Site) -> Result<Self, Failure> {
        let Medium { source, path, at, end } = self;
        let Source::Plain(mut stored) = source else { return Ok(Medium { source, path, at, end }) };
        let unreadable = |source| ArchiveError::Unreadable { offset: 0, member: FORMAT_MEMBER.to_owned(), source };
        if !is_sealed(&mut stored).map_err(unreadable)? {
            return Ok(Medium { source: Source::Plain(stored), path, at, end });
        }
        let key = site.age_key()?;
        let refused = |source| OpenError::Sealed { path: path.clone(), source };
        let unsealed = Unsealed::open(stored, key.as_ref()).map_err(refused)?;
        end.is(unsealed.medium_length());
        let end = End { is_device: false, ..end };
        Ok(Medium { source: Source::Sealed(Box::new(unsealed)), path, at: 0, end })
    }
}

/// The path and how far it was read; of keys and of what was decrypted nothing.
impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Medium({} at {})", self.path.display(), self.at)
    }
}

impl Read for Bounded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.get().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = buf.len().min(left);
        let read = self.file.read(&mut buf[..room])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

impl Read for Stored {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stored::Whole(file) => file.read(buf),
            Stored::Volumes(joined) => joined.read(buf),
        }
    }
}

impl Seek for Stored {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Stored::Whole(file) => file.seek(to),
            Stored::Volumes(joined) => joined.seek(to),
        }
    }
}

impl Read for Medium {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.source {
            Source::Plain(file) => file.read(buf)?,
            Source::Sealed(file) => file.read(buf)?,
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Medium {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match &mut self.source {
            Source::Plain(file) => file.seek(to)?,
            Source::Sealed(file) => file.seek(to)?,
        };
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use consign_format::Digest;
    use consign_format::archive::volumes::{Cutting, Hint, Shape, cut, file_name};
    use consign_registry::volumes;

    use super::*;

    /// What lies in one volume is copied by the kernel from there; what goes on in another is read.
    #[test]
    fn the_kernel_copies_out_of_one_volume() {
        let (dir, length) = (tempfile::tempdir().unwrap(), 200 * 512);
        let bytes: Vec<u8> = (0..length).map(|n: u64| (n / 512) as u8).collect();
        let hints = cut(Shape::Sealed { length }, Digest::of(&bytes[..64 * 1024]), 80 * 1024).unwrap();
        let cut_at = hints[0].to;
        let create = |hint: &Hint| File::create(dir.path().join(file_name("a", hint.number, hint.of)));
        let mut cutting = Cutting::begin(hints, Vec::new(), create);
        cutting.write_all(&bytes).unwrap();
        assert_eq!(cutting.finish().unwrap().len(), 2);
        let volumes = volumes::open(&dir.path().join("a.consign.2-of-2")).unwrap();
        let mut medium = Medium::of_volumes(volumes.joined, volumes.bundle);
        for (at, length) in [(0, cut_at), (cut_at - 512, 512), (cut_at, 1024)] {
            medium.seek(SeekFrom::Start(at)).unwrap();
            let (file, offset) = medium.in_file(length).unwrap();
            let mut found = vec![0; length as usize];
            file.read_exact_at(&mut found, offset).unwrap();
            assert!(found == bytes[at as usize..(at + length) as usize]);
            // Reading goes on where it stood, whatever the kernel was asked for.
            let mut read = [0; 512];
            medium.read_exact(&mut read).unwrap();
            assert!(read == bytes[at as usize..at as usize + 512]);
        }
        medium.seek(SeekFrom::Start(cut_at - 512)).unwrap();
        assert!(medium.in_file(1024).is_none());
    }

    #[test]
    fn a_device_ends_where_the_bundle_does_and_a_file_where_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.consign");
        std::fs::write(&path, b"bundle and rest").unwrap();
        for (is_device, expected) in [(true, "bundle"), (false, "bundle and rest")] {
            let mut medium = Medium::new(Overlaid::plain(File::open(&path).unwrap()), &path, is_device);
            medium.end().is(6);
            let mut text = String::new();
            medium.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), medium.position()), (expected, expected.len() as u64));
        }
    }
}
