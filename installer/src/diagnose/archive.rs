//! The file itself: a tar inside gzip, which every system opens, bounded, with a manifest of what is in it and what is not.

use std::io::{self, Write};

use consign_format::archive::header::{self, BLOCK, END_LENGTH};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

/// The folder that everything unpacks into.
const FOLDER: &str = "diagnosis/";
/// Kept for the manifest and the end.
const RESERVE: u64 = 1 << 20;

/// One file in it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: String,
    about: String,
    bytes: u64,
}

/// Something that is not in it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Missing {
    what: String,
    why: String,
}

/// `manifest.json`.
#[derive(Debug, Serialize)]
struct Manifest {
    files: Vec<Listed>,
    missing: Vec<Missing>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// How many files are in it.
    pub files: usize,
    /// How many things are not, which would be if they could.
    pub missing: Vec<String>,
}

/// An archive under way.
pub(super) struct Archive<W: Write> {
    out: GzEncoder<W>,
    left: u64,
    files: Vec<Listed>,
    missing: Vec<Missing>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W, whole: u64) -> Self {
        let out = GzEncoder::new(out, Compression::default());
        Archive { out, left: whole.saturating_sub(RESERVE), files: Vec::new(), missing: Vec::new() }
    }

    /// Adds a file, or notes that there was no room for it. A name is lower case, as Kubernetes has them.
    pub(super) fn add(&mut self, name: &str, about: impl Into<String>, bytes: &[u8]) -> io::Result<()> {
        let need = header::stored(bytes.len() as u64).unwrap_or(u64::MAX);
        if need > self.left {
            self.missing(name, "the archive is full");
            return Ok(());
        }
        match header::canonical(&format!("{FOLDER}{name}"), bytes.len() as u64) {
            Err(error) => self.missing(name, error.to_string()),
            Ok(_) => {
                self.left -= need;
                self.write(name, bytes)?;
                self.files.push(Listed { name: name.to_owned(), about: about.into(), bytes: bytes.len() as u64 });
            }
        }
        Ok(())
    }

    /// Adds a document.
    pub(super) fn add_json(&mut self, name: &str, about: &str, value: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(value)?;
        bytes.push(b'\n');
        self.add(name, about, &bytes)
    }

    /// Notes what is not there.
    pub(super) fn missing(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.missing.push(Missing { what: what.into(), why: why.into() });
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        let header = header::canonical(&format!("{FOLDER}{name}"), length).map_err(io::Error::other)?;
        self.out.write_all(&header)?;
        self.out.write_all(bytes)?;
        self.out.write_all(&[0; BLOCK as usize][..header::padding(length) as usize])
    }

    /// Writes the manifest and the end, and gives back what it was written to.
    pub(super) fn finish(mut self) -> io::Result<(W, Summary)> {
        let manifest = Manifest { files: std::mem::take(&mut self.files), missing: std::mem::take(&mut self.missing) };
        let mut bytes = serde_json::to_vec_pretty(&manifest)?;
        bytes.push(b'\n');
        self.write("manifest.json", &bytes)?;
        self.out.write_all(&[0; END_LENGTH as usize])?;
        let missing = manifest.missing.iter().map(|one| format!("{}: {}", one.what, one.why)).collect();
        Ok((self.out.finish()?, Summary { files: manifest.files.len() + 1, missing }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let mut archive = Archive::new(Vec::new(), RESERVE + 4 * BLOCK);
        archive.add("a.txt", "fits", b"x").unwrap();
        archive.add("b.txt", "does not", &[0; 2048]).unwrap();
        archive.add("C.txt", "no name", b"x").unwrap();
        let (bytes, summary) = archive.finish().unwrap();
        assert_eq!(summary.files, 2);
        assert_eq!(summary.missing.len(), 2);
        let mut plain = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut plain).unwrap();
        assert!(plain.starts_with(b"diagnosis/a.txt\0") && (plain.len() as u64).is_multiple_of(BLOCK));
        assert!(String::from_utf8_lossy(&plain).contains("the archive is full"));
    }
}
