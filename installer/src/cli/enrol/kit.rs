//! Reading the folder that a depot has prepared.

use std::path::Path;

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::kit::{self, Kit as Folder};
use consign_format::trust::keys::SecretKey;
use consign_sealed::SiteKey;

use super::{Wanted, read};
use crate::site::enrol::Kit;

/// The folder is no kit.
#[derive(Debug, thiserror::Error)]
#[error("{} is no kit of a site: {reason}", path.display())]
struct NoKit {
    path: std::path::PathBuf,
    reason: String,
}

impl Coded for NoKit {
    fn code(&self) -> Code {
        codes::DOCUMENT_MALFORMED
    }

    fn hint(&self) -> Option<String> {
        Some("have headquarters prepare it again: consign site kit".to_owned())
    }
}

/// Reads a kit. The fingerprint of its root is checked like that of any other root.
pub(in crate::cli) fn read_folder(folder: &Path) -> Result<Wanted, Failure> {
    let no_kit = |file: &str, reason: String| NoKit { path: folder.join(file), reason };
    let kit: Folder =
        serde_json::from_slice(&read(&folder.join(kit::KIT))?).map_err(|error| no_kit(kit::KIT, error.to_string()))?;
    if kit.kind != kit::TYPE {
        return Err(no_kit(kit::KIT, "its `_type` is another".to_owned()).into());
    }
    let root = read(&folder.join(kit::ROOT))?;
    let made = if kit.keys {
        let pem = String::from_utf8_lossy(&read(&folder.join(kit::KEY))?).into_owned();
        let key = SecretKey::from_pem(&pem).map_err(|reason| no_kit(kit::KEY, reason))?;
        let text = String::from_utf8_lossy(&read(&folder.join(kit::AGE_KEY))?).into_owned();
        let age_key = SiteKey::from_text(&text).map_err(|error| no_kit(kit::AGE_KEY, error.to_string()))?;
        Some(Kit { key, age_key, record: read(&folder.join(kit::RECORD))? })
    } else {
        None
    };
    Ok(Wanted { root, site: kit.site, production: kit.production, kit: made })
}
