//! `consign diff`.

use std::path::{Path, PathBuf};

use consign_format::Digest;
use consign_format::error::Failure;
use consign_terminal::bytes;
use serde::Serialize;

use super::World;
use super::one_line::one_line;
use crate::bundle::{self, Trust};
use crate::difference::{Change, Difference, ObjectChange, Side, compare};

/// Shows what differs between two bundles: objects field by field, images, files. Values of Secrets are never shown.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The older bundle
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The newer bundle
    #[arg(value_name = "NEW")]
    new: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    from: Digest,
    to: Digest,
    #[serde(flatten)]
    difference: Difference,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let (from, old) = side(&args.old)?;
    let (to, new) = side(&args.new)?;
    let difference = compare(&old, &new);
    let text = text(&old, &new, &difference);
    world.terminal.result(&Done { from, to, difference }, text);
    Ok(())
}

fn side(path: &Path) -> Result<(Digest, Side), Failure> {
    let open = bundle::open(path, &Trust::Own, &consign_terminal::Silent)?;
    let vouched = open.verified.vouched;
    let objects = bundle::objects(path, &Trust::Own)?;
    Ok((vouched.release_digest, Side { release: vouched.release, objects }))
}

fn text(old: &Side, new: &Side, difference: &Difference) -> String {
    let title = |side: &Side| format!("{} {}", side.release.product, side.release.version);
    let mut lines = vec![format!("{} -> {}", title(old), title(new))];
    if difference.is_empty() {
        lines.push("  the same objects, images and files".to_owned());
    }
    lines.extend(lines_of(difference));
    lines.push(format!("{} that the older one does not have", bytes(difference.new_bytes)));
    lines.join("\n")
}

/// One line for each thing that differs, and one for each field.
pub(super) fn lines_of(difference: &Difference) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, change) in &difference.objects {
        match change {
            ObjectChange::Added => lines.push(format!("+ {name}")),
            ObjectChange::Removed => lines.push(format!("- {name}")),
            ObjectChange::Changed { fields } => {
                lines.push(format!("~ {name}"));
                lines.extend(fields.iter().map(|(field, change)| format!("    {field}: {}", shown(change))));
            }
        }
    }
    let named = |what: &str, name: &String, change: &Change| format!("{what} {name}: {}", shown(change));
    lines.extend(difference.images.iter().map(|(name, change)| named("image", name, change)));
    lines.extend(difference.files.iter().map(|(name, change)| named("file", name, change)));
    if !difference.fields.is_empty() {
        let fields: Vec<&str> = difference.fields.iter().map(String::as_str).collect();
        lines.push(format!("fields of the release that differ: {}", fields.join(", ")));
    }
    lines.iter().map(|line| one_line(line)).collect()
}

fn shown(change: &Change) -> String {
    let side = |value: &Option<String>| match value {
        Some(text) if text.chars().count() > 120 => format!("{}...", text.chars().take(117).collect::<String>()),
        Some(text) => text.clone(),
        None => "nothing".to_owned(),
    };
    format!("{} -> {}", side(&change.from), side(&change.to))
}
