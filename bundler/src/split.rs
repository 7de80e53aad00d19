//! Cutting a finished bundle into volumes: read once, checked on the way, no key needed.
//!
//! All volumes get their names when the last byte was found to be the signed one; until then there are none. A disc is
//! burnt and carried for hours: what is on it must have been whole.

use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use consign_format::archive::plan;
use consign_format::archive::volumes::{CutError, Cutting, Hint, Shape, cut, file_name, sealed_front};
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::chain::Vouched;
use consign_format::{Digest, Name};
use consign_registry::durable::{Draft, DurableError, Existing, Folder, Step, create_dir};
use consign_terminal::progress::Progress;

use crate::bundle::{self, BundleError, Trust};
use crate::medium::{Counted, Medium};
use crate::tee::Sink;

/// How much of an encrypted bundle is copied at a time.
const BUFFER: usize = 256 * 1024;

/// How large a volume may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            // The largest file there.
            "fat32" => return Ok(Size((4 << 30) - 1)),
            // What the smaller of the kinds of disc holds, less what a file system takes.
            "dvd" => return Ok(Size(4_690_000_000)),
            "cd" => return Ok(Size(730_000_000)),
            _ => {}
        }
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit: u64 = match &text[digits.len()..] {
            "" => 1,
            "K" | "KiB" => 1 << 10,
            "M" | "MiB" => 1 << 20,
            "G" | "GiB" => 1 << 30,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err("a size is fat32, dvd, cd, or a number with K, M, G, KB, MB or GB behind it".to_owned()),
        };
        let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        number.map(Size).ok_or_else(|| format!("`{text}` is no size"))
    }
}

/// One volume, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Which volume.
    pub number: u64,
    /// Bytes.
    pub bytes: u64,
    /// The first byte of the bundle behind its head that is in it.
    pub from: u64,
    /// The byte behind the last.
    pub to: u64,
}

/// What `consign split` has done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// The product; of an encrypted bundle nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Name>,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The length of the bundle.
    pub bytes: u64,
    /// Its volumes, in order.
    pub volumes: Vec<Written>,
}

/// Why a bundle is not cut.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be cut so", path.display())]
pub struct SplitError {
    /// The bundle.
    path: PathBuf,
    /// Why.
    source: CutError,
}

impl Coded for SplitError {
    fn code(&self) -> Code {
        codes::USAGE
    }

    fn hint(&self) -> Option<String> {
        Some("ask for larger volumes with --size".to_owned())
    }
}

/// Cuts a bundle into volumes of at most a size, in a folder.
///
/// # Errors
/// What a site would say of the bundle; that it cannot be cut so; what the disk says. Then there are no volumes.
pub fn split(path: &Path, size: Size, folder: &Path, progress: &dyn Progress) -> Result<Split, Failure> {
    let mut counted = Counted::open(path, progress)?;
    let name = counted.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = counted.length()?;
    create_dir(folder, 0o755)?;
    let order = Order { path, size, name, folder: Folder::open(folder)? };
    if counted.is_sealed()? {
        let volumes = order.sealed(counted, bytes)?;
        return Ok(Split { product: None, version: None, bytes, volumes });
    }
    let (tee, sink) = Sink::behind(Medium::plain(counted));
    let open = bundle::vouch(tee, &Trust::Own)?;
    let approval = open.verified.vouched.approval.clone();
    let ends = ends(&open.verified.vouched);
    sink.borrow_mut().begin(|head| {
        let shape = Shape::Plain { boundary: head.len() as u64, ends: &ends };
        order.begin(shape, Digest::of(&head), head.clone())
    })?;
    let read = open.read_all();
    let sink = Sink::take(&sink);
    if !sink.has_failed() {
        read?;
    }
    let cutting = sink.end().map_err(|source| order.unwritten(source))?;
    let volumes = order.commit(cutting.finish().map_err(|source| order.unwritten(source))?)?;
    Ok(Split { product: Some(approval.product), version: Some(approval.version), bytes, volumes })
}

/// Where each member ends. That they add up was checked with the carriage.
fn ends(vouched: &Vouched) -> Vec<u64> {
    let carriage = &vouched.carriage;
    let Ok(plan) = plan::place(carriage.boundary, &carriage.members) else { return Vec::new() };
    plan.places.iter().skip(1).map(|next| next.header).chain([plan.end]).collect()
}

/// What is to be cut, and how.
struct Order<'a> {
    path: &'a Path,
    size: Size,
    name: String,
    folder: Folder,
}

impl Order<'_> {
    fn sealed(&self, mut bundle: Counted<'_>, length: u64) -> Result<Vec<Written>, Failure> {
        let failed = |source| BundleError::Io { path: self.path.to_owned(), source };
        let front = sealed_front(&mut bundle).map_err(failed)?;
        bundle.rewind().map_err(failed)?;
        let mut cutting = self.begin(Shape::Sealed { length }, front, Vec::new())?;
        let mut bundle = BufReader::with_capacity(BUFFER, bundle.take(length));
        loop {
            let chunk = io::BufRead::fill_buf(&mut bundle).map_err(failed)?;
            if chunk.is_empty() {
                break;
            }
            let taken = io::Write::write(&mut cutting, chunk).map_err(|source| self.unwritten(source))?;
            io::BufRead::consume(&mut bundle, taken);
        }
        self.commit(cutting.finish().map_err(failed)?)
    }

    /// Plans the cuts, and refuses where a volume would take the place of a file that is there.
    fn begin(
        &self,
        shape: Shape<'_>,
        id: Digest,
        head: Vec<u8>,
    ) -> Result<Cutting<Draft, impl FnMut(&Hint) -> io::Result<Draft> + use<>>, Failure> {
        let refused = |source| SplitError { path: self.path.to_owned(), source };
        let hints = cut(shape, id, self.size.0).map_err(refused)?;
        for hint in &hints {
            let path = self.folder.path().join(self.file_name(hint));
            if path.symlink_metadata().is_ok() {
                return Err(DurableError::Exists { path }.into());
            }
        }
        let folder = self.folder.clone();
        Ok(Cutting::begin(hints, head, move |_| Draft::create(&folder, 0o644).map_err(io::Error::other)))
    }

    fn file_name(&self, hint: &Hint) -> String {
        file_name(&self.name, hint.number, hint.of)
    }

    fn commit(&self, volumes: Vec<(Hint, Draft)>) -> Result<Vec<Written>, Failure> {
        let mut written = Vec::with_capacity(volumes.len());
        for (_, draft) in &volumes {
            draft.sync()?;
        }
        for (hint, draft) in volumes {
            let name = self.file_name(&hint);
            draft.rename(name.as_ref(), Existing::Refuse)?;
            let Hint { number, from, to, .. } = hint;
            let path = self.folder.path().join(name);
            written.push(Written { path, number, bytes: hint.length(), from, to });
        }
        self.folder.sync()?;
        Ok(written)
    }

    fn unwritten(&self, source: io::Error) -> Failure {
        DurableError::io(Step::Write, self.folder.path(), source).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_what_people_write() {
        for (text, size) in [
            ("fat32", Some(4_294_967_295)),
            ("dvd", Some(4_690_000_000)),
            ("1000000", Some(1_000_000)),
            ("700M", Some(734_003_200)),
            ("700MB", Some(700_000_000)),
            ("25GB", Some(25_000_000_000)),
            ("4GiB", Some(4 << 30)),
            ("", None),
            ("G", None),
            ("4T", None),
            ("-1", None),
            ("99999999999G", None),
        ] {
            assert_eq!(text.parse::<Size>().ok(), size.map(Size), "{text}");
        }
    }
}
