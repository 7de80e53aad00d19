//! What the machine and the site's own files say.

use std::io::{self, Write};

use serde_json::json;

use super::archive::Archive;
use super::scrub::Scrubber;
use super::{Asked, RECEIPTS};
use crate::ask_program::ask;
use crate::nodes::{Place, detect};
use crate::store::state_file::read_bytes;

/// How much of the journal and of the registry's log is taken: the end.
const TAIL: usize = 1 << 20;
/// Longer no file of ours is that is read here.
const LIMIT: u64 = 16 << 20;

pub(super) fn add<W: Write>(asked: &Asked<'_>, scrubber: &Scrubber, archive: &mut Archive<W>) -> io::Result<()> {
    match &asked.status {
        Ok(status) => archive.add("status.json", "consign-site status", scrubber.known(&pretty(status)).as_bytes())?,
        Err(why) => archive.missing("status.json", scrubber.text(why)),
    }
    archive.add("doctor.json", "consign-site doctor", scrubber.known(&pretty(&asked.doctor)).as_bytes())?;
    archive.add_json("versions.json", "of programs and systems", &versions(asked))?;
    config(asked, scrubber, archive)?;
    journal(asked, scrubber, archive)?;
    receipts(asked, scrubber, archive)?;
    log(asked, scrubber, archive)
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

fn versions(asked: &Asked<'_>) -> serde_json::Value {
    let place = Place::at(asked.store.root()).ok();
    let read = |path: &str| place.as_ref().and_then(|place| place.look(path).ok().flatten());
    let runtimes = place.as_ref().map(detect::runtimes).unwrap_or_default();
    json!({
        "consignSite": env!("CARGO_PKG_VERSION"),
        "architecture": std::env::consts::ARCH,
        "osRelease": read("/etc/os-release"),
        "kernel": read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
        "uptime": read("/proc/uptime").map(|text| text.trim().to_owned()),
        "runtimes": runtimes,
    })
}

/// What was read is written anew: comments may hold anything.
fn config<W: Write>(asked: &Asked<'_>, scrubber: &Scrubber, archive: &mut Archive<W>) -> io::Result<()> {
    let written = asked.config.map(|config| toml::to_string(config).map_err(io::Error::other)).transpose()?;
    match written {
        Some(text) => {
            archive.add("site.toml", "as it was understood, without comments", scrubber.known(&text).as_bytes())
        }
        None => match read_bytes(&asked.store.config_file(), LIMIT) {
            Ok(Some(bytes)) => {
                let text = scrubber.text(&String::from_utf8_lossy(&bytes));
                archive.add("site.toml", "it cannot be used; masked", text.as_bytes())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                archive.missing("site.toml", error.to_string());
                Ok(())
            }
        },
    }
}

fn journal<W: Write>(asked: &Asked<'_>, scrubber: &Scrubber, archive: &mut Archive<W>) -> io::Result<()> {
    match read_bytes(&asked.store.journal_dir().join("journal"), LIMIT) {
        Ok(Some(bytes)) => {
            let text = scrubber.text(&String::from_utf8_lossy(end_of(&bytes, TAIL)));
            archive.add("journal.jsonl", "the steps of the last runs", text.as_bytes())
        }
        Ok(None) => {
            archive.missing("journal.jsonl", "there is none");
            Ok(())
        }
        Err(error) => {
            archive.missing("journal.jsonl", error.to_string());
            Ok(())
        }
    }
}

/// Byte for byte, or their signatures would not hold; one that a known secret stands in stays here.
fn receipts<W: Write>(asked: &Asked<'_>, scrubber: &Scrubber, archive: &mut Archive<W>) -> io::Result<()> {
    let last = match asked.store.last_receipt_number() {
        Ok(last) => last,
        Err(error) => {
            archive.missing("receipts/", error.to_string());
            return Ok(());
        }
    };
    for n in last.saturating_sub(RECEIPTS) + 1..=last {
        let name = format!("receipts/{n:06}.json");
        match read_bytes(&asked.store.receipts_dir().join(format!("{n:06}.json")), LIMIT) {
            Ok(Some(bytes)) if scrubber.known(&String::from_utf8_lossy(&bytes)).as_bytes() != bytes => {
                archive.missing(name, "what is secret at this site stands in it");
            }
            Ok(Some(bytes)) => archive.add(&name, "signed", &bytes)?,
            Ok(None) => archive.missing(name, "there is none"),
            Err(error) => archive.missing(name, error.to_string()),
        }
    }
    Ok(())
}

/// systemd keeps what programs of this name have said.
fn log<W: Write>(asked: &Asked<'_>, scrubber: &Scrubber, archive: &mut Archive<W>) -> io::Result<()> {
    const NAME: &str = "registry/log.txt";
    if !Place::at(asked.store.root()).is_ok_and(|place| place.is_machine()) {
        archive.missing(NAME, "this site lies below a folder of its own; what it logs is not the machine's to know");
        return Ok(());
    }
    let arguments = ["--no-pager", "--output=short-iso", "--lines=5000", "_COMM=consign-site"];
    match ask("journalctl", &arguments, crate::doctor::PATIENCE) {
        Ok(said) => {
            let text = scrubber.text(&String::from_utf8_lossy(end_of(&said, TAIL)));
            archive.add(NAME, "what consign-site has logged", text.as_bytes())
        }
        Err(why) => {
            archive.missing(NAME, why);
            Ok(())
        }
    }
}

/// The end, from the beginning of a line on.
pub(super) fn end_of(bytes: &[u8], most: usize) -> &[u8] {
    let from = bytes.len().saturating_sub(most);
    let Some(tail) = bytes.get(from..).filter(|_| from > 0) else { return bytes };
    let line = tail.iter().position(|&b| b == b'\n').map_or(0, |at| at + 1);
    tail.get(line..).unwrap_or(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_begins_with_a_line() {
        assert_eq!(end_of(b"one\ntwo\nthree\n", 100), b"one\ntwo\nthree\n");
        assert_eq!(end_of(b"one\ntwo\nthree\n", 9), b"three\n");
        assert_eq!(end_of(b"0123456789", 4), b"6789");
    }
}
