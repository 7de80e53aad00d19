//! One layer: decompressed, its tar walked header by header.
//!
//! The tar crate reads each header; the walk is here, because the crate's own keeps long names and pax records in memory
//! whatever their length. Where readers differ, this one does as container runtimes do (Go's archive/tar), so that the
//! scanner sees what would run.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use tar::{EntryType, Header};

use super::UnpackError;
use super::listing::{LeftOut, LeftOutKind};
use super::names::{safe_path, shown};
use super::tree::Tree;

/// Pax records and long names are a few hundred bytes. Bytes.
const EXTENSION: u64 = 1 << 20;
/// RFC 1952 §2.3.1.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// RFC 8878 §3.1.1.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BLOCK: usize = 512;

/// Why a layer does not come out in full.
#[derive(Debug)]
pub(super) enum LayerError {
    /// Its form; the run goes on with the next blob.
    Form(String),
    /// The folder, or a bound; the run ends.
    Tree(UnpackError),
}

impl From<UnpackError> for LayerError {
    fn from(error: UnpackError) -> Self {
        LayerError::Tree(error)
    }
}

fn form(reason: impl std::fmt::Display) -> LayerError {
    LayerError::Form(reason.to_string())
}

/// Lays a layer out in a folder. Compression is told by the first bytes, as runtimes do.
pub(super) fn lay_out(
    content: &mut dyn Read,
    folder: &Path,
    tree: &mut Tree,
    left_out: &mut Vec<LeftOut>,
) -> Result<(), LayerError> {
    let mut content = BufReader::with_capacity(64 * 1024, content);
    let start = content.fill_buf().map_err(form)?;
    let plain: Box<dyn Read + '_> = if start.starts_with(GZIP) {
        Box::new(flate2::bufread::MultiGzDecoder::new(content))
    } else if start.starts_with(ZSTD) {
        Box::new(zstd::stream::read::Decoder::with_buffer(content).map_err(form)?)
    } else {
        Box::new(content)
    };
    Walk { plain, folder, tree, left_out }.run()
}

struct Walk<'a> {
    plain: Box<dyn Read + 'a>,
    folder: &'a Path,
    tree: &'a mut Tree,
    left_out: &'a mut Vec<LeftOut>,
}

/// What the headers before an entry say of it. Long names of GNU win over pax records, whichever comes first.
#[derive(Default)]
struct Said {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    pax: Pax,
}

/// The records of one pax header; the next one replaces them all.
#[derive(Default)]
struct Pax {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Walk<'_> {
    fn run(mut self) -> Result<(), LayerError> {
        let mut said = Said::default();
        while let Some(block) = self.block()? {
            if block.iter().all(|byte| *byte == 0) {
                return self.rest();
            }
            let header = Header::from_byte_slice(&block);
            check_sum(header)?;
            let size = header.entry_size().map_err(form)?;
            match header.entry_type() {
                EntryType::XHeader => said.pax = self.pax(size)?,
                EntryType::XGlobalHeader => {
                    self.extension(size)?;
                    // It is an entry of its own to Go: what was said before it is said of nothing.
                    said = Said::default();
                }
                EntryType::GNULongName => said.name = self.long(size)?,
                EntryType::GNULongLink => said.target = self.long(size)?,
                kind => self.entry(header, kind, size, std::mem::take(&mut said))?,
            }
        }
        Ok(())
    }

    /// An entry that has something to it: written, or noted.
    fn entry(&mut self, header: &Header, kind: EntryType, size: u64, said: Said) -> Result<(), LayerError> {
        self.tree.entry()?;
        let name = said.name.or(said.pax.name).unwrap_or_else(|| header.path_bytes().into_owned());
        let at = self.folder.join(safe_path(&name));
        let size = said.pax.size.unwrap_or(size);
        let left = match kind {
            EntryType::Directory => return Ok(()),
            // A folder of archives older than POSIX: what follows it is a header, whatever size it claims.
            EntryType::Regular if header.as_old().linkflag == [0] && name.ends_with(b"/") => return Ok(()),
            EntryType::Symlink => LeftOutKind::SymbolicLink,
            EntryType::Link => LeftOutKind::HardLink,
            EntryType::Char | EntryType::Block => LeftOutKind::Device,
            EntryType::Fifo => LeftOutKind::Pipe,
            EntryType::GNUSparse => {
                self.sparse_maps(header)?;
                return self.file(&at, size);
            }
            // Whatever else has content is a file to a scanner.
            _ => return self.file(&at, size),
        };
        // These have no content, whatever size they claim (as Go's archive/tar has it).
        let target = said.target.or(said.pax.target).or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        let target = target.filter(|target| !target.is_empty()).map(|target| shown(&target));
        self.left_out.push(LeftOut { at: at.display().to_string(), kind: left, target });
        Ok(())
    }

    fn file(&mut self, at: &Path, size: u64) -> Result<(), LayerError> {
        let written = self.tree.write(at, &mut self.plain.by_ref().take(size))?;
        if written != size {
            return Err(form(format!("it ends in the middle of {}", at.display())));
        }
        self.pass(size.wrapping_neg() % BLOCK as u64)
    }

    /// The maps of an old GNU sparse file that did not fit its header; what is stored follows them, the holes do not.
    fn sparse_maps(&mut self, header: &Header) -> Result<(), LayerError> {
        let mut more = header.as_gnu().is_some_and(|header| header.is_extended());
        while more {
            let block = self.block()?.ok_or_else(|| form("it ends in the middle of a sparse file"))?;
            more = block.get(504) == Some(&1);
        }
        Ok(())
    }

    /// Pax records (POSIX.1-2017, pax, "Extended Header").
    fn pax(&mut self, size: u64) -> Result<Pax, LayerError> {
        let records = self.extension(size)?;
        let mut pax = Pax::default();
        for record in tar::PaxExtensions::new(&records) {
            let record = record.map_err(form)?;
            let number = || record.value().ok().and_then(|value| value.parse().ok());
            // A record without a value leaves what the header says.
            let text = || Some(record.value_bytes().to_vec()).filter(|value| !value.is_empty());
            match record.key_bytes() {
                b"path" => pax.name = text(),
                b"linkpath" => pax.target = text(),
                b"size" if record.value_bytes().is_empty() => pax.size = None,
                b"size" => pax.size = Some(number().ok_or_else(|| form("a pax record has a size that is none"))?),
                // Its name, size and map lie in the records and in the content: what runs is not what is stored.
                key if key.starts_with(b"GNU.sparse.") => return Err(form("it holds a sparse file of the pax form")),
                _ => {}
            }
        }
        Ok(pax)
    }

    /// A long name; an empty one says nothing.
    fn long(&mut self, size: u64) -> Result<Option<Vec<u8>>, LayerError> {
        let mut bytes = self.extension(size)?;
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, LayerError> {
        if size > EXTENSION {
            return Err(form(format!("a header is over the limit of {EXTENSION} bytes")));
        }
        self.tree.entry()?;
        let mut bytes = Vec::new();
        self.plain.by_ref().take(size).read_to_end(&mut bytes).map_err(form)?;
        if bytes.len() as u64 != size {
            return Err(form("it ends in the middle of a header"));
        }
        self.pass(size.wrapping_neg() % BLOCK as u64)?;
        Ok(bytes)
    }

    /// The next block; nothing at the end.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.plain.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(form("it ends in the middle of a header")),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(form(error)),
            }
        }
        Ok(Some(block))
    }

    fn pass(&mut self, length: u64) -> Result<(), LayerError> {
        let passed = io::copy(&mut self.plain.by_ref().take(length), &mut io::sink()).map_err(form)?;
        if passed == length { Ok(()) } else { Err(form("it ends in the middle of a block")) }
    }

    /// What follows the end: no runtime looks at it, but a scanner may, if it is more than the usual zeros.
    fn rest(&mut self) -> Result<(), LayerError> {
        while let Some(block) = self.last_block()? {
            self.tree.count(block.len() as u64)?;
            if block.iter().any(|byte| *byte != 0) {
                let mut all = block.as_slice().chain(&mut self.plain);
                self.tree.write(&self.folder.join("%behind-the-end"), &mut all)?;
                return Ok(());
            }
        }
        Ok(())
    }

    fn last_block(&mut self) -> Result<Option<Vec<u8>>, LayerError> {
        let mut bytes = Vec::new();
        self.plain.by_ref().take(BLOCK as u64).read_to_end(&mut bytes).map_err(form)?;
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}

/// The one thing that tells a header from anything else.
fn check_sum(header: &Header) -> Result<(), LayerError> {
    let bytes = header.as_bytes();
    let sum: u32 =
        bytes.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
    match header.cksum() {
        Ok(said) if said == sum => Ok(()),
        _ => Err(form("it is no tar, or a header of it is damaged")),
    }
}
