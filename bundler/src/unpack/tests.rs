//! Layers that somebody hostile has built: what comes out, and that nothing comes out anywhere else.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tar::{EntryType, Header};

use super::layer::{LayerError, lay_out};
use super::listing::LeftOutKind;
use super::tree::Tree;
use super::{Bounds, UnpackError};

const BOUNDS: Bounds = Bounds { bytes: 10 << 20, entries: 1000 };

/// A tar in the making; names are taken as they are.
#[derive(Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn entry(mut self, kind: EntryType, name: &[u8], content: &[u8]) -> Self {
        let header = header(kind, name, content.len() as u64);
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), content.as_bytes())
    }

    fn link(mut self, kind: EntryType, name: &str, target: &str) -> Self {
        let mut header = header(kind, name.as_bytes(), 0);
        header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        let record = |(key, value): &(&str, &str)| {
            let rest = format!(" {key}={value}\n");
            let mut length = rest.len();
            while length.to_string().len() + rest.len() != length {
                length = length.to_string().len() + rest.len();
            }
            format!("{length}{rest}")
        };
        let text: String = records.iter().map(record).collect();
        self.entry(EntryType::XHeader, b"pax", text.as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

fn header(kind: EntryType, name: &[u8], size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o6777);
    header.set_size(size);
    header.set_cksum();
    header
}

/// What came out: files by path, links and the like by path, and what the layer's form is refused for.
struct Out {
    files: BTreeMap<String, Vec<u8>>,
    left: Vec<(String, LeftOutKind, Option<String>)>,
    refused: Option<String>,
}

fn unpacked(layer: &[u8]) -> Out {
    unpacked_within(layer, BOUNDS).unwrap()
}

fn unpacked_within(layer: &[u8], bounds: Bounds) -> Result<Out, UnpackError> {
    let around = tempfile::tempdir().unwrap();
    let root = around.path().join("dir");
    std::fs::create_dir(&root).unwrap();
    let mut tree = Tree::new(&root, bounds);
    let mut left = Vec::new();
    let refused = match lay_out(&mut &layer[..], Path::new("l"), &mut tree, &mut left) {
        Ok(()) => None,
        Err(LayerError::Form(reason)) => Some(reason),
        Err(LayerError::Tree(error)) => return Err(error),
    };
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(around.path()).min_depth(1) {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(around.path()).unwrap().display().to_string();
        assert!(path == "dir" || path.starts_with("dir/"), "{path} lies outside");
        assert!(entry.file_type().is_dir() || entry.file_type().is_file(), "{path} is neither file nor folder");
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7000, 0, "{path} keeps a mode");
        if entry.file_type().is_file() {
            files.insert(path["dir/".len()..].to_owned(), std::fs::read(entry.path()).unwrap());
        }
    }
    let left = left.into_iter().map(|left| (left.at, left.kind, left.target)).collect();
    Ok(Out { files, left, refused })
}

impl Out {
    fn names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_compression_comes_out_the_same() {
    let plain = Layer::default().entry(EntryType::Directory, b"a/", b"").file("a/b", "content").end();
    let (first, second) = plain.split_at(600);
    let members = [gzip(first), gzip(second)].concat();
    for layer in [plain.clone(), gzip(&plain), members, zstd::bulk::compress(&plain, 3).unwrap()] {
        let out = unpacked(&layer);
        assert_eq!((out.refused, out.files), (None, BTreeMap::from([("l/a/b".to_owned(), b"content".to_vec())])));
    }
}

#[test]
fn nothing_is_written_outside_and_nothing_is_followed() {
    let layer = Layer::default()
        .file("../../../evil", "1")
        .file("/etc/cron.d/evil", "2")
        .link(EntryType::Symlink, "out", "/")
        .file("out/evil", "3")
        .link(EntryType::Link, "passwd", "/etc/passwd")
        .entry(EntryType::Char, b"zero", b"")
        .entry(EntryType::Block, b"disk", b"")
        .entry(EntryType::Fifo, b"pipe", b"")
        .end();
    let out = unpacked(&layer);
    assert_eq!(out.names(), ["l/%2E%2E/%2E%2E/%2E%2E/evil", "l/etc/cron.d/evil", "l/out/evil"]);
    use LeftOutKind::{Device, HardLink, Pipe, SymbolicLink};
    let left: Vec<_> = out.left.iter().map(|(at, kind, target)| (at.as_str(), *kind, target.as_deref())).collect();
    assert_eq!(
        left,
        [
            ("l/out", SymbolicLink, Some("/")),
            ("l/passwd", HardLink, Some("/etc/passwd")),
            ("l/zero", Device, None),
            ("l/disk", Device, None),
            ("l/pipe", Pipe, None),
        ]
    );
    assert_eq!(out.refused, None);
}

#[test]
fn a_name_that_is_taken_hides_nothing() {
    let layer = Layer::default().file("a", "1").file("a", "2").file("a/b", "3").file("c/d", "4").file("c", "5").end();
    let out = unpacked(&layer);
    let mut contents: Vec<&[u8]> = out.files.values().map(Vec::as_slice).collect();
    contents.sort();
    assert_eq!(contents, [b"1", b"2", b"3", b"4", b"5"], "{:?}", out.names());
}

#[test]
fn long_names_come_from_headers_of_their_own() {
    let long = "d/".repeat(80) + "file";
    let layer = Layer::default()
        .entry(EntryType::GNULongName, b"././@LongLink", format!("{long}\0").as_bytes())
        .file("short", "1")
        .pax(&[("path", "pax/../name"), ("mtime", "1.5")])
        .file("short", "2")
        .file("short", "3")
        .end();
    let out = unpacked(&layer);
    let expected: Vec<&[u8]> = vec![b"2", b"3", b"1"];
    assert_eq!(out.files.get("l/pax/%2E%2E/name").map(Vec::as_slice), Some(expected[0]));
    assert_eq!(out.files.get("l/short").map(Vec::as_slice), Some(expected[1]), "a long name counts once");
    assert!(out.names()[0].starts_with("l/%deep/"), "{:?}", out.names());
}

/// The header says nothing and the record says 600: readers that believe the header take content for headers.
#[test]
fn a_size_in_a_pax_record_counts() {
    let content = "x".repeat(600);
    let mut layer = Layer::default().pax(&[("size", "600")]).entry(EntryType::Regular, b"big", b"");
    layer.0.extend(content.as_bytes());
    layer.0.resize(layer.0.len().next_multiple_of(512), 0);
    let out = unpacked(&layer.file("after", "1").end());
    assert_eq!(out.files["l/big"], content.as_bytes());
    assert_eq!((out.names().len(), out.refused), (2, None));
}

/// Go's archive/tar keeps the records of the last header alone, and none across a global one; long names of GNU win.
#[test]
fn a_pax_header_replaces_what_the_one_before_it_said() {
    let global = |layer: Layer| layer.entry(EntryType::XGlobalHeader, b"pax", b"");
    let sized = || Layer::default().pax(&[("size", "512"), ("path", "other")]);
    for layer in [sized().pax(&[("mtime", "1")]), global(sized())] {
        let out = unpacked(&layer.file("a", "1").file("b", "2").end());
        assert_eq!((out.names(), out.refused.as_deref()), (vec!["l/a", "l/b"], None));
    }
    let named = Layer::default().entry(EntryType::GNULongName, b"n", b"long\0").pax(&[("path", "pax")]);
    assert_eq!(unpacked(&named.file("a", "1").file("b", "2").end()).names(), ["l/b", "l/long"]);
    let empty = Layer::default().pax(&[("path", ""), ("size", "")]).entry(EntryType::GNULongName, b"n", b"\0");
    assert_eq!(unpacked(&empty.file("a", "1").end()).names(), ["l/a"]);
}

#[test]
fn a_sparse_file_of_the_pax_form_is_said_not_to_be_unpacked() {
    for key in ["GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.name", "GNU.sparse.realsize"] {
        let out = unpacked(&Layer::default().file("a", "1").pax(&[(key, "1")]).file("b", "2").end());
        assert_eq!((out.refused.as_deref(), out.files.len()), (Some("it holds a sparse file of the pax form"), 1));
    }
}

/// Its size is a claim: what follows is the next header.
#[test]
fn a_folder_of_an_old_archive_has_no_content() {
    let mut header = header(EntryType::Regular, b"folder/", 512);
    header.as_old_mut().linkflag = [0];
    header.set_cksum();
    let layer = Layer(header.as_bytes().to_vec()).file("seen", "1");
    assert_eq!(unpacked(&layer.end()).names(), ["l/seen"]);
    // With the flag `0` it is a file to Go, and a name that is written without its slash.
    let named = Layer::default().file("folder/", "content").end();
    assert_eq!(unpacked(&named).files["l/folder"], b"content");
}

#[test]
fn a_link_that_claims_to_have_content_hides_none() {
    let mut header = header(EntryType::Symlink, b"link", 512);
    header.set_cksum();
    let mut layer = Layer(header.as_bytes().to_vec());
    layer = layer.file("seen", "1");
    assert_eq!(unpacked(&layer.end()).names(), ["l/seen"]);
}

#[test]
fn what_lies_behind_the_end_is_seen() {
    let mut layer = Layer::default().file("a", "1").end();
    layer.extend([0; 9000]);
    assert_eq!(unpacked(&layer).names(), ["l/a"]);
    layer.extend(b"hidden");
    layer.extend([7; 5000]);
    let out = unpacked(&layer);
    assert_eq!(out.names(), ["l/%behind-the-end", "l/a"]);
    assert!(out.files["l/%behind-the-end"].windows(6).any(|part| part == b"hidden"));
}

#[test]
fn a_layer_that_is_none_says_so_and_keeps_what_came_out() {
    let whole = Layer::default().file("a", "1").file("b", "2").end();
    let mut damaged = whole.clone();
    damaged[1024 + 3] ^= 1;
    let zipped = gzip(&whole);
    let mut flipped = zipped.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let giant = Layer::default().entry(EntryType::GNULongName, b"n", &[b'x'; (1 << 20) + 1]).file("a", "1").end();
    for (layer, files) in [
        (&b"no tar at all, and shorter than a block"[..], 0),
        (&[b'x'; 2000], 0),
        (&damaged, 1),
        (&whole[..1024 + 100], 1),
        (&whole[..512], 1),
        (&zipped[..zipped.len() / 2], 0),
        (&flipped, 0),
        (&giant, 0),
        (&[0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3][..], 0),
    ] {
        let out = unpacked(layer);
        assert!(out.refused.is_some(), "{:?}", out.names());
        assert!(out.names().len() <= files + 1, "{:?}", out.names());
    }
}

#[test]
fn bombs_end_the_run() {
    let zeros = vec![0; 20 << 20];
    let big = Layer::default().entry(EntryType::Regular, b"zeros", &zeros).end();
    // Also behind the end, where nothing is written.
    let mut behind = Layer::default().end();
    behind.extend(&zeros);
    for layer in [gzip(&big), zstd::bulk::compress(&big, 3).unwrap(), gzip(&behind)] {
        let error = unpacked_within(&layer, BOUNDS).err();
        assert!(matches!(error, Some(UnpackError::OverLimit { what: "bytes", .. })), "{error:?}");
    }
    let many = (0..1001).fold(Layer::default(), |layer, n| layer.link(EntryType::Symlink, &n.to_string(), "x"));
    let error = unpacked_within(&gzip(&many.end()), BOUNDS).err();
    assert!(matches!(error, Some(UnpackError::OverLimit { what: "entries", .. })), "{error:?}");
}
