//! To whom this site speaks: the age recipient of headquarters, by a flag or by site.toml.

use std::path::Path;

use consign_format::error::Failure;
use consign_sealed::Recipient;
use consign_terminal::Usage;

use crate::config::SiteConfig;
use crate::store::state_file::read_bytes;

/// A recipient is one line.
const LIMIT: u64 = 64 << 10;

/// The flag (a recipient, or a file with one), then the configuration. One that cannot be read says nothing, so it is
/// refused: somebody may have said there that nothing leaves in the open.
pub(super) fn recipient(flag: Option<&str>, config: Option<&SiteConfig>) -> Result<Option<Recipient>, Failure> {
    let Some(said) = flag else {
        let config = config.ok_or_else(|| Usage {
            message: "site.toml cannot be read, so it is not known who headquarters is".to_owned(),
            hint: Some(
                "consign-site doctor says what is wrong with it; or name the recipient, age1…, by the flag".to_owned(),
            ),
        })?;
        return Ok(config.diagnose.recipient.as_deref().map(str::parse).transpose()?);
    };
    if said.starts_with("age1") {
        return Ok(Some(said.parse()?));
    }
    let missing = || Usage {
        message: format!("{said} is neither an age recipient nor a file with one"),
        hint: Some("a recipient is one word that begins with age1".to_owned()),
    };
    let bytes = read_bytes(Path::new(said), LIMIT)?.ok_or_else(missing)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(Some(line.parse()?)),
        _ => Err(missing().into()),
    }
}
