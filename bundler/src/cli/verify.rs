//! `consign verify`.

use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_format::error::{Failure, codes};
use consign_format::trust::document::Root;
use consign_terminal::{Amount, bytes};
use serde::Serialize;

use super::identity::IdentityArgs;
use super::{IoError, World};
use crate::bundle::{self, Trust};
use crate::sign;

/// Which root to trust.
#[derive(Debug, clap::Args)]
pub(super) struct TrustArgs {
    /// The root to trust: a file N.root.json
    #[arg(long, value_name = "FILE", conflicts_with = "root_sha256")]
    root: Option<PathBuf>,
    /// The fingerprint of the bundle's first root, as it came on paper: the sha256 of the file 1.root.json
    #[arg(long, value_name = "HEX")]
    root_sha256: Option<String>,
}

/// Checks every byte of a bundle as a site would: roots, signatures, the release, every blob. Nothing is unpacked, and
/// memory does not grow with the bundle.
///
/// Without --root or --root-sha256 the root in trust/ of this folder is trusted.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    identity: IdentityArgs,
}

impl TrustArgs {
    /// The root that was named, or the one in `trust/`.
    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        if let Some(text) = &self.root_sha256 {
            let hex = text.trim().trim_start_matches("sha256:").to_ascii_lowercase().replace([' ', ':'], "");
            let usage = |_| consign_terminal::Usage {
                message: format!("`{text}` is no fingerprint"),
                hint: Some("it is 64 hexadecimal digits: the sha256 of 1.root.json".to_owned()),
            };
            return Ok(Trust::Fingerprint(Digest::from_hex(&hex).map_err(usage)?));
        }
        let beside = Path::new(sign::TRUST_FOLDER).join("1.root.json");
        let path = match &self.root {
            Some(path) => path.clone(),
            None if beside.is_file() => beside,
            None => {
                return Err(consign_terminal::Usage {
                    message: "no root to trust was named, and there is none in trust/".to_owned(),
                    hint: Some("name it with --root FILE, or its fingerprint with --root-sha256 HEX".to_owned()),
                }
                .into());
            }
        };
        let read = std::fs::read(&path);
        let failed = |source| IoError::new(codes::IO, format!("{} cannot be read", path.display()), source);
        Ok(Trust::Root(read.map_err(failed)?))
    }
}

/// Who vouches.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RootShown {
    domain: String,
    version: u64,
    fingerprint: String,
    development: bool,
    approvers: usize,
    threshold: u64,
}

impl RootShown {
    pub(super) fn of(root: &Root, fingerprint: Digest) -> Self {
        let role = root.roles.get("targets");
        RootShown {
            domain: root.domain.to_string(),
            version: root.version,
            fingerprint: fingerprint.hex(),
            development: root.development,
            approvers: role.map_or(0, |role| role.keyids.len()),
            threshold: role.map_or(0, |role| role.threshold),
        }
    }

    pub(super) fn text(&self) -> String {
        let development = if self.development { ", a development root" } else { "" };
        format!(
            "root {} of domain {}{development}; {} of {} approvers",
            self.version, self.domain, self.threshold, self.approvers
        )
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    product: String,
    version: String,
    sequence: u64,
    release: Digest,
    bundle_id: Digest,
    root: RootShown,
    expires: String,
    members: u64,
    bytes: u64,
    objects: usize,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let (trust, key) = (args.trust.trust()?, args.identity.key()?);
    let length = bundle::length(&args.bundle)?;
    let progress = world.terminal.progress();
    progress.phase("verifying", Amount::Bytes(length));
    let open = bundle::open_as(&args.bundle, &trust, key.as_ref(), progress)?;
    let vouched = &open.verified.vouched;
    let root = RootShown::of(open.roots.root(), open.roots.fingerprint());
    let mut done = Done {
        product: vouched.release.product.to_string(),
        version: vouched.release.version.clone(),
        sequence: vouched.release.sequence,
        release: vouched.release_digest,
        bundle_id: vouched.bundle_id,
        root,
        expires: vouched.expires.0.clone(),
        members: 0,
        bytes: length,
        objects: 0,
    };
    done.members = open.read_all()?;
    progress.done();
    done.objects = bundle::objects_as(&args.bundle, &trust, key.as_ref())?.len();
    let text = format!(
        "{} {} is whole and signed\n  vouched  {}\n  release  {}\n  read     {} members, {}\n  holds    {} objects",
        done.product,
        done.version,
        done.root.text(),
        done.release,
        done.members,
        bytes(done.bytes),
        done.objects
    );
    world.terminal.result(&done, text);
    Ok(())
}
