//! `consign-site enrol`

use std::path::PathBuf;

use consign_format::error::Failure;
use consign_format::{Digest, Name};
use consign_registry::durable::{DurableError, Step};
use consign_terminal::Usage;

use super::Context;
use crate::config::{HandoffKind, SiteConfig};
use crate::site::{Enrolment, enrol};

/// The largest root file that is read.
const LIMIT: u64 = 1 << 20;

/// Enrols this site: takes the root of trust and makes the site's own keys.
///
/// The fingerprint must come by another path than the file, on paper or by telephone: whoever could exchange the file
/// could exchange a fingerprint beside it. Later roots come with the bundles and must be signed by the earlier ones;
/// a root is never replaced by enrolling again. A further root of another domain is added with the same --site.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The root of trust, such as `1.root.json`.
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The root's fingerprint as it came by another path: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    root_sha256: Option<String>,
    /// The name of this site, as bundles address it.
    #[arg(long, value_name = "NAME")]
    site: Name,
    /// Refuse development roots, now and later.
    #[arg(long)]
    production: bool,
    /// Who brings the desired state into the cluster; written to site.toml.
    #[arg(long, value_enum, default_value_t = HandoffKind::Direct)]
    handoff: HandoffKind,
    /// The kubeconfig for the handoff `direct`; written to site.toml.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

pub(super) fn run(context: &Context<'_>, arguments: Arguments) -> Result<(), Failure> {
    let fingerprint = arguments.root_sha256.as_deref().map(parse_fingerprint).transpose()?;
    let root = read_root(&arguments.root)?;
    let enrolment = Enrolment {
        root: &root,
        fingerprint,
        site: arguments.site,
        production: arguments.production,
        random: &context.machine.random,
    };
    let enrolled = enrol(&context.store, &enrolment)?;
    let config = SiteConfig { handoff: arguments.handoff, kubeconfig: arguments.kubeconfig, ..SiteConfig::default() };
    let config_file = context.store.config_file();
    if !config.write_new(&config_file)? {
        context.terminal.warn(format!("{} is there already and was left as it is", config_file.display()));
    }
    if fingerprint.is_none() {
        context.terminal.warn(format!(
            "the root's fingerprint was not given; compare {} with the one on paper before you install anything",
            enrolled.fingerprint.hex()
        ));
    }
    if enrolled.development {
        context.terminal.warn("this is a development root: one key in every role; for production use another");
    }
    let human = format!(
        "site {} is enrolled in domain {}\nroot fingerprint  {}\nreceipt key       {}\nage recipient     {}\nenrolment         {}",
        enrolled.site,
        enrolled.domain,
        enrolled.fingerprint.hex(),
        enrolled.public_key.0,
        enrolled.recipient.as_deref().unwrap_or("none"),
        enrolled.enrolment
    );
    context.terminal.result(&enrolled, human);
    Ok(())
}

/// With or without `sha256:`, in upper or lower case, with the blanks and dashes that paper has.
fn parse_fingerprint(text: &str) -> Result<Digest, Usage> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | ':')).collect();
    let plain = plain.to_lowercase();
    Digest::from_hex(plain.strip_prefix("sha256").unwrap_or(&plain)).map_err(|_| Usage {
        message: format!("`{text}` is not a fingerprint"),
        hint: Some("it has 64 hexadecimal digits".to_owned()),
    })
}

fn read_root(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let unreadable = |source| DurableError::io(Step::Read, path, source);
    let file = std::fs::File::open(path).map_err(|source| DurableError::io(Step::Read, path, source))?;
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_typed_from_paper() {
        let digest = Digest::of(b"root");
        let hex = digest.hex();
        let spaced: String = hex.as_bytes().chunks(4).map(|c| format!("{} ", String::from_utf8_lossy(c))).collect();
        for text in [hex.clone(), digest.to_string(), hex.to_uppercase(), spaced] {
            assert_eq!(parse_fingerprint(&text), Ok(digest), "{text}");
        }
        assert!(parse_fingerprint(&hex[1..]).is_err());
    }
}
