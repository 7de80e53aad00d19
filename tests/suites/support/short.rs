//! Receipts on a phone, over the telephone, and on a stick; checked at headquarters.

use std::fs;
use std::path::{Path, PathBuf};

use consign_sealed::SiteKey;
use consign_tests::command::Invocation;
use consign_tests::site::Site;
use serde_json::Value;

use crate::ward::configure;
use crate::workshop::{FOR_ALL, Workshop, words_of};

/// Headquarters with its age key, and a site that it knows, with two receipts.
struct Office {
    workshop: Workshop,
    site: Site,
    key: SiteKey,
}

impl Office {
    fn new() -> Self {
        let office = Office { workshop: Workshop::new(), site: Site::bare(), key: SiteKey::generate() };
        office.enrol(&office.site, "ward-7");
        fs::write(office.at("office.key"), office.key.to_text()).unwrap();
        let bundles = ["1.0.0", "1.1.0"].map(|version| office.workshop.build(version, FOR_ALL));
        bundles.iter().for_each(|bundle| drop(office.site.export(bundle).succeeds()));
        office
    }

    fn at(&self, name: &str) -> PathBuf {
        self.workshop.at(name)
    }

    /// Enrols a site, whose record is then in `NAME.record`.
    fn enrol(&self, site: &Site, name: &str) {
        let request = self.at(&format!("{name}.request"));
        let enrol =
            site.invoke(["enrol", "--site", name]).option("--root", self.workshop.root()).option("-o", &request);
        enrol.option("--root-words", self.workshop.root_words()).succeeds();
        let make = self.workshop.consign(["site", "record"]).arg(&request).option("--fingerprint", words_of(&request));
        make.option("--output", self.at(&format!("{name}.record"))).succeeds();
    }

    fn check(&self, record: &str) -> Invocation {
        self.workshop.consign(["site", "receipts", "--json"]).option("--record", self.at(record))
    }

    fn show(&self, n: &str) -> Invocation {
        self.site.invoke(["receipts", "show"]).arg(n)
    }
}

/// What a reader of QR codes sees in a square picture: `dark` by x and y.
fn scanned(side: usize, dark: impl Fn(usize, usize) -> bool) -> String {
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| if dark(x, y) { 0 } else { 255 });
    let grids = picture.detect_grids();
    assert_eq!(grids.len(), 1, "one code");
    grids[0].decode().unwrap().1
}

fn of_png(path: &Path) -> String {
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.width, frame.bit_depth), (frame.height, png::BitDepth::One));
    scanned(frame.width as usize, |x, y| pixels[y * frame.line_size + x / 8] >> (7 - x % 8) & 1 == 0)
}

/// The half blocks of a terminal, eight pixels to a module.
fn of_terminal(text: &str) -> String {
    let rows: Vec<Vec<char>> =
        text.lines().take_while(|line| line.starts_with('█')).map(|line| line.chars().collect()).collect();
    let width = rows[0].len();
    assert!(width <= 100, "{width} columns");
    scanned(width * 8, |x, y| {
        let (x, y) = (x / 8, y / 8);
        let cell = rows.get(y / 2).and_then(|row| row.get(x)).copied().unwrap_or('█');
        if y % 2 == 0 { matches!(cell, ' ' | '▄') } else { matches!(cell, ' ' | '▀') }
    })
}

#[test]
fn a_phone_carries_a_receipt_home() {
    let office = Office::new();
    let picture = office.at("receipt.png");
    let said = office.show("2").arg("--qr").option("--png", &picture).succeeds();
    let text = of_png(&picture);
    assert_eq!(of_terminal(&said.stdout), text, "terminal and picture are one");
    assert!(said.stdout.contains(&text));
    office.show("2").option("--png", &picture).fails("already-exists", 1);

    let slip = office.check("ward-7.record").option("--qr", &text).succeeds().json();
    assert_eq!(
        (&slip["site"], slip["n"].as_u64(), &slip["outcome"]),
        (&Value::from("ward-7"), Some(2), &Value::from("applied"))
    );
    assert_eq!(slip["release"]["version"], "1.1.0");
    assert!(slip.get("file").is_none(), "it is not here yet");
    office.site.invoke(["receipts", "export"]).arg(office.at("back")).succeeds();
    let slip = office.check("ward-7.record").option("--qr", &text).arg(office.at("back")).succeeds().json();
    assert!(slip["file"].as_str().unwrap().ends_with("000002.json"), "{slip}");

    // Another site's key, a character that was changed, and what is no slip at all.
    let other = Site::bare();
    office.enrol(&other, "ward-8");
    office.check("ward-8.record").option("--qr", &text).exits(12);
    let last = if text.ends_with('0') { "1" } else { "0" };
    let middle = text.len() / 2;
    let changed =
        format!("{}{}{}", &text[..middle], if &text[middle..=middle] == "7" { "8" } else { "7" }, &text[middle + 1..]);
    office.check("ward-7.record").option("--qr", &changed).exits(12);
    office.check("ward-7.record").option("--qr", format!("{}{last}", &text[..text.len() - 4])).exits(12);
    office.check("ward-7.record").option("--qr", "https://example.org").exits(11);
    office.check("ward-7.record").exits(2);
}

#[test]
fn a_code_is_read_out_by_telephone() {
    let office = Office::new();
    let recipient = office.key.recipient().to_string();
    office.show("1").arg("--code").fails("usage", 2).says("--to");
    let code = |show: Invocation| show.arg("--json").succeeds().json()["code"].as_str().unwrap().to_owned();
    let first = code(office.show("1").arg("--code").option("--to", &recipient));
    configure(&office.site, &format!("handoff = \"export\"\n[diagnose]\nrecipient = \"{recipient}\"\n"));
    assert_eq!(code(office.show("1").arg("--code")), first, "the same receipt has the same code");
    let second = code(office.show("2").arg("--code"));
    assert_ne!(first, second);

    let hear = |record: &str, code: &str, key: &str| {
        office.check(record).option("--code", code).option("--identity", office.at(key))
    };
    let said = hear("ward-7.record", &second.to_lowercase().replace('-', " "), "office.key").succeeds().json();
    assert_eq!((said["n"].as_u64(), &said["outcome"]), (Some(2), &Value::from("applied")));
    let receipt = office.show("2").arg("--json").succeeds().json();
    let digest = receipt["release"]["digest"].as_str().unwrap();
    assert!(digest.trim_start_matches("sha256:").starts_with(said["release"].as_str().unwrap()), "{digest}");

    // Another site, another key at headquarters, a character misheard.
    let other = Site::bare();
    office.enrol(&other, "ward-8");
    hear("ward-8.record", &second, "office.key").exits(12);
    fs::write(office.at("other.key"), SiteKey::generate().to_text()).unwrap();
    hear("ward-7.record", &second, "other.key").exits(12);
    let misheard = format!("{}{}", if second.starts_with('2') { "3" } else { "2" }, &second[1..]);
    hear("ward-7.record", &misheard, "office.key").exits(2);
    hear("ward-7.record", "HELLO", "office.key").exits(2);
    office.check("ward-7.record").option("--code", &second).exits(2);
}

#[test]
fn an_export_adds_and_never_overwrites() {
    let office = Office::new();
    let back = office.at("back");
    let export = || office.site.invoke(["receipts", "export", "--json"]).arg(&back);
    let said = export().succeeds().json();
    assert_eq!((said["receipts"].as_u64(), said["written"].as_u64()), (Some(2), Some(2)));
    let names: Vec<PathBuf> = fs::read_dir(&back).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 2, "no draft is left");
    let times = |names: &[PathBuf]| {
        names.iter().map(|name| fs::metadata(name).unwrap().modified().unwrap()).collect::<Vec<_>>()
    };
    let before = times(&names);
    assert_eq!(export().succeeds().json()["written"].as_u64(), Some(0));
    assert_eq!(times(&names), before, "what is there is not touched");
    fs::remove_file(&names[0]).unwrap();
    assert_eq!(export().succeeds().json()["written"].as_u64(), Some(1), "what is missing comes again");

    // Somebody else's file under the name of a receipt, which sorts last: nothing is written beside it.
    let mut names = names;
    names.sort();
    fs::write(&names[1], "another").unwrap();
    fs::remove_file(&names[0]).unwrap();
    office.site.invoke(["receipts", "export"]).arg(&back).fails("already-exists", 1).says("another file");
    assert_eq!(fs::read(&names[1]).unwrap(), b"another");
    assert!(!names[0].exists(), "refused before the first write");
    fs::remove_file(&names[1]).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &names[1]).unwrap();
    office.site.invoke(["receipts", "export"]).arg(&back).fails("already-exists", 1);
    // A medium that cannot be written to: here a file in the place of the folder.
    let file = office.at("file");
    fs::write(&file, "").unwrap();
    assert_eq!(office.site.invoke(["receipts", "export"]).arg(file.join("below")).run().exit, Some(1));
}
