//! `consign encrypt`.

use std::path::{Path, PathBuf};

use consign_format::error::{Failure, codes};
use consign_sealed::Recipient;
use consign_terminal::{Amount, bytes};

use super::trust::TrustArgs;
use super::{IoError, World};
use crate::bundle;
use crate::encrypt::{To, encrypt};

/// Encrypts a finished bundle to sites, so that nobody on the way can tell what is in it.
///
/// The bundle is checked as `consign verify` checks it. Approve it first: an encrypted bundle is not approved or changed
/// any more, only split. A site that it is encrypted to installs it as it is; for everybody else it is noise, of which the
/// size and the number of recipients show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    /// Whom to encrypt it to: a recipient age1…, a file of recipients (one a line, # for remarks), a signed site record,
    /// or a folder of site records, of which the newest of each site counts; may be repeated
    #[arg(long, value_name = "SITES", required = true)]
    to: Vec<PathBuf>,
    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let trust = args.trust.trust()?;
    let mut to = Vec::new();
    for named in &args.to {
        to.extend(read(named)?);
    }
    let progress = world.terminal.progress();
    progress.phase("encrypting", Amount::Bytes(bundle::length(&args.bundle)?));
    let done = encrypt(&args.bundle, &trust, &to, &args.output, progress)?;
    progress.done();
    let text = format!(
        "{}  {}\n  holds    {} {}, encrypted to {} recipients",
        done.path.display(),
        bytes(done.bytes),
        done.product,
        done.version,
        done.recipients
    );
    world.terminal.result(&done, text);
    Ok(())
}

/// What one `--to` stands for.
pub(super) fn read(named: &Path) -> Result<Vec<To>, Failure> {
    if let Some(text) = named.to_str().filter(|text| text.starts_with("age1") && !named.exists()) {
        return Ok(vec![To::Recipient(text.parse()?)]);
    }
    let failed = |source| IoError::new(codes::IO, format!("{} cannot be read", named.display()), source);
    if named.is_dir() {
        let mut records = Vec::new();
        for entry in std::fs::read_dir(named).map_err(failed)? {
            records.push(entry.map_err(failed)?.path());
        }
        records.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        records.sort();
        return Ok(records.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?.concat());
    }
    let bytes = std::fs::read(named).map_err(failed)?;
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Ok(vec![To::Record { path: named.to_owned(), bytes }]);
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(|line| line.parse::<Recipient>().map(To::Recipient)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_sealed::SiteKey;

    #[test]
    fn recipients_files_records_and_folders_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let recipient = SiteKey::generate().recipient().to_string();
        assert!(matches!(read(Path::new(&recipient)).unwrap()[..], [To::Recipient(_)]));
        let list = dir.path().join("sites.txt");
        std::fs::write(&list, format!("# ward 7\n{recipient}\n\n{}\n", SiteKey::generate().recipient())).unwrap();
        assert_eq!(read(&list).unwrap().len(), 2);
        std::fs::create_dir(dir.path().join("records")).unwrap();
        for name in ["a.json", "b.json", "notes.txt"] {
            std::fs::write(dir.path().join("records").join(name), "{}").unwrap();
        }
        assert!(matches!(read(&dir.path().join("records")).unwrap()[..], [To::Record { .. }, To::Record { .. }]));
        std::fs::write(&list, "not a recipient\n").unwrap();
        assert_eq!(read(&list).unwrap_err().code(), codes::RECIPIENT_INVALID);
        assert_eq!(read(Path::new("age1nonsense")).unwrap_err().code(), codes::RECIPIENT_INVALID);
        assert_eq!(read(Path::new("no-such-file")).unwrap_err().code(), codes::IO);
    }
}
