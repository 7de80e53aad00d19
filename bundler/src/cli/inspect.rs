//! `consign inspect`.

use std::path::PathBuf;

use consign_format::error::Failure;
use consign_format::release::{ReleaseManifest, SourceSignature};
use consign_format::{Digest, reference::Reference};
use consign_terminal::bytes;
use serde::Serialize;

use super::World;
use super::identity::IdentityArgs;
use super::verify::RootShown;
use crate::bundle::{self, Trust};

/// Shows what is in a bundle: product, version, source, images, files, sizes. It reads the signed head and passes the
/// rest by, so it is fast on any bundle.
///
/// Whether the bundle is whole, and made by whom you think, is what `consign verify` tells.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle, any one of its volumes, or a folder with its volumes
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    /// Show the objects too
    #[arg(long)]
    objects: bool,
    #[command(flatten)]
    identity: IdentityArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done<'a> {
    release_digest: Digest,
    bundle_id: Digest,
    bytes: u64,
    payload: u64,
    root: RootShown,
    release: &'a ReleaseManifest,
    objects: Vec<String>,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let silent = consign_terminal::Silent;
    let key = args.identity.key()?;
    let open = bundle::open_as(&args.bundle, &Trust::Own, key.as_ref(), &silent)?;
    let objects = bundle::objects_as(&args.bundle, &Trust::Own, key.as_ref())?;
    let name = |object: &serde_json::Value| {
        let text = |pointer| object.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
        let (kind, namespace, name) = (text("/kind"), text("/metadata/namespace"), text("/metadata/name"));
        if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
    };
    let vouched = &open.verified.vouched;
    let done = Done {
        release_digest: vouched.release_digest,
        bundle_id: vouched.bundle_id,
        bytes: bundle::length(&args.bundle)?,
        payload: vouched.release.blobs.iter().map(|blob| blob.size).sum(),
        root: RootShown::of(open.roots.root(), open.roots.fingerprint()),
        release: &vouched.release,
        objects: objects.iter().map(name).collect(),
    };
    world.terminal.result(&done, text(&done, args.objects));
    Ok(())
}

fn text(done: &Done<'_>, objects: bool) -> String {
    let release = done.release;
    let source = &release.source;
    let mut lines = vec![format!("{} {}  sequence {}", release.product, release.version, release.sequence)];
    lines.push(format!("  release  {}", done.release_digest));
    lines.push(format!("  bundle   {}  {}", done.bundle_id, bytes(done.bytes)));
    lines.push(format!("  root     {} (not checked here)", done.root.text()));
    let at = source.url.as_deref().map(|url| format!(" of {url}")).unwrap_or_default();
    lines.push(format!("  source   {} at {}{at}", source.reference, source.commit));
    lines.push(format!("           {}", signature(&source.signature)));
    lines.push(format!("  for      Kubernetes {}", release.kubernetes.version));
    lines.push(format!("  objects  {}", done.objects.len()));
    if objects {
        lines.extend(done.objects.iter().map(|object| format!("           {object}")));
    }
    lines.push(format!("  blobs    {}, {}", release.blobs.len(), bytes(done.payload)));
    lines.push(format!("  images   {}", release.images.len()));
    for image in &release.images {
        let named = image.reference.parse::<Reference>().map(|r| Reference { digest: None, ..r }.to_string());
        lines.push(format!("           {}", named.unwrap_or_else(|_| image.reference.clone())));
        let extra = match (image.platforms.is_empty(), image.referrers.len()) {
            (true, 0) => String::new(),
            (true, n) => format!("  {n} referrers"),
            (false, 0) => format!("  {}", image.platforms.join(", ")),
            (false, n) => format!("  {}; {n} referrers", image.platforms.join(", ")),
        };
        lines.push(format!("             {}{extra}", image.digest));
    }
    for file in &release.files {
        lines.push(format!("  file     {} {} {}", file.to, file.mode, file.digest));
    }
    lines.join("\n")
}

pub(super) fn signature(signature: &SourceSignature) -> String {
    match signature {
        SourceSignature::Absent => "neither tag nor commit is signed".to_owned(),
        SourceSignature::Unverified { on, kind } => format!("the {on} has a {kind} signature that nobody checked"),
        SourceSignature::Verified { on, kind, signer } => format!("the {on} is signed ({kind}) by {signer}"),
    }
}
