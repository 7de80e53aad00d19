//! Whom to trust: the one pair of options of every command that verifies a bundle.

use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_format::trust::roots::RootChain;
use consign_format::trust::{Fingerprint, TrustError};
use consign_terminal::Usage;

use crate::bundle::Trust;
use crate::{root_files, sign};

/// Which root to trust.
#[derive(Debug, clap::Args)]
pub(super) struct TrustArgs {
    /// The root to trust: a file N.root.json, or a folder of them such as trust/; given several times, ascending, the last
    /// one decides
    #[arg(long, value_name = "PATH")]
    root: Vec<PathBuf>,
    /// The fingerprint of the first root, as it came on paper: the sha256 of the file 1.root.json in hexadecimal, or its
    /// 12 words. With --root the first of those must have it; alone, only the roots inside the bundle count, and what a
    /// later one revokes is not seen
    #[arg(long, value_name = "HEX")]
    root_sha256: Option<String>,
}

impl TrustArgs {
    /// The roots that were named, or all of `trust/`: what a later one revokes is refused, even of a bundle that does
    /// not carry it.
    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        let pin = self.root_sha256.as_deref().map(str::parse::<Fingerprint>).transpose()?;
        let folder = Path::new(sign::TRUST_FOLDER);
        let roots = match (self.root.as_slice(), pin) {
            ([], Some(pin)) => return Ok(Trust::Fingerprint(pin)),
            ([], None) if folder.join("1.root.json").is_file() => sign::read_roots(folder)?,
            ([], None) => {
                return Err(Usage {
                    message: "no root to trust was named, and there is none in trust/".to_owned(),
                    hint: Some(
                        "name it with --root FILE, or its fingerprint with --root-sha256, in digits or in words"
                            .to_owned(),
                    ),
                }
                .into());
            }
            (named, _) => read(named)?,
        };
        if let Some(pin) = pin {
            check_first(&roots, &pin)?;
        }
        Ok(Trust::Chain(Box::new(roots)))
    }
}

fn read(named: &[PathBuf]) -> Result<RootChain, Failure> {
    let mut files = Vec::new();
    for path in named {
        match path.is_dir() {
            true => files.extend_from_slice(sign::read_roots(path)?.files()),
            false => files.push(root_files::read(path)?),
        }
    }
    RootChain::restore(&files).map_err(of_roots)
}

/// What is wrong with the order is not the bundle's fault.
fn of_roots(error: TrustError) -> Failure {
    match error {
        TrustError::RootGap { from, to } => Usage {
            message: format!("--root names root {to} after root {from}"),
            hint: Some("name every root once, the lowest first".to_owned()),
        }
        .into(),
        other => other.into(),
    }
}

/// A fingerprint is that of root 1, so root 1 must be there to have it.
fn check_first(roots: &RootChain, pin: &Fingerprint) -> Result<(), Failure> {
    let first = (roots.root().version + 1).saturating_sub(roots.files().len() as u64);
    if first != 1 {
        return Err(Usage {
            message: format!("--root-sha256 speaks of root 1, and --root begins with root {first}"),
            hint: Some("name every root from 1.root.json on, or their folder".to_owned()),
        }
        .into());
    }
    match roots.fingerprint() {
        found if pin.is_of(&found) => Ok(()),
        found => Err(TrustError::Fingerprint { given: *pin, found }.into()),
    }
}
