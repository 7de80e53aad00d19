//! `consign keys rotate`.

use consign_format::Name;
use consign_format::error::Failure;
use consign_format::trust::document::{Floor, Root};
use consign_format::trust::keys::{SignError, key_id};
use consign_format::trust::root_author::{Change, Part, next};
use consign_terminal::Usage;

use super::super::World;
use super::super::signing::KeyArgs;
use super::super::statement::RootsArgs;
use super::status_text;
use crate::{root_files, sign};

/// Write the next root: other keys, other thresholds, a floor
///
/// A key that a root no longer names is revoked: sites take the root from any medium and refuse what that key signs from
/// then on. The new root is signed by the keys that --key names, and by others with `consign keys sign-root`, until the
/// threshold of the old root and its own both hold.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    roots: RootsArgs,
    /// Give a key a say, such as approver=alice.pub; ROLE is root, approver, publisher or scanner
    #[arg(long, value_name = "ROLE=KEY", value_parser = in_role)]
    add: Vec<(Part, String)>,
    /// Take a key's say in one role, by the key or the beginning of its id
    #[arg(long, value_name = "ROLE=KEY", value_parser = in_role)]
    remove: Vec<(Part, String)>,
    /// Take a key's say in every role, by the key or the beginning of its id
    #[arg(long, value_name = "KEY")]
    revoke: Vec<String>,
    /// How many keys of a role must sign, such as approver=2
    #[arg(long, value_name = "ROLE=N", value_parser = threshold)]
    threshold: Vec<(Part, u64)>,
    /// The lowest sequence of a product that sites still take
    #[arg(long, value_name = "PRODUCT=SEQUENCE", value_parser = floor)]
    floor: Vec<(Name, u64)>,
    /// The same, and sites set their own count back to it: after a sequence that was far too high
    #[arg(long, value_name = "PRODUCT=SEQUENCE", value_parser = floor)]
    reset_floor: Vec<(Name, u64)>,
    /// Turn a development root into one for production
    #[arg(long)]
    production: bool,
    #[command(flatten)]
    keys: KeyArgs,
}

fn in_role(text: &str) -> Result<(Part, String), String> {
    let (role, value) = text.split_once('=').ok_or("write ROLE=VALUE, such as approver=alice.pub")?;
    let part = match role {
        "root" => Part::Root,
        "approver" => Part::Approver,
        "publisher" => Part::Publisher,
        "scanner" => Part::Scanner,
        other => return Err(format!("`{other}` is no role; they are root, approver, publisher, scanner")),
    };
    Ok((part, value.to_owned()))
}

fn threshold(text: &str) -> Result<(Part, u64), String> {
    let (part, value) = in_role(text)?;
    Ok((part, value.parse().map_err(|_| format!("`{value}` is no number"))?))
}

fn floor(text: &str) -> Result<(Name, u64), String> {
    let (product, value) = text.split_once('=').ok_or("write PRODUCT=SEQUENCE")?;
    let product = product.parse().map_err(|error| format!("{error}"))?;
    Ok((product, value.parse().map_err(|_| format!("`{value}` is no number"))?))
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let chain = args.roots.read()?;
    let changes = changes(args, chain.root(), world)?;
    if changes.is_empty() {
        let hint = Some("say it with --add, --remove, --revoke, --threshold or --floor".to_owned());
        return Err(Usage { message: "nothing is to be changed".to_owned(), hint }.into());
    }
    let root = next(chain.root(), &changes, &sign::expires(world.now)?).map_err(SignError::from)?;
    let status = root_files::begin(args.roots.folder(), &root, &args.keys.open(world, None)?)?;
    world.terminal.result(&status, status_text(&status));
    Ok(())
}

fn changes(args: &Args, root: &Root, world: &World<'_>) -> Result<Vec<Change>, Failure> {
    let mut changes = Vec::new();
    for (part, key) in &args.add {
        changes.push(Change::Add(*part, args.keys.public(key, world)?));
    }
    for (part, key) in &args.remove {
        changes.push(Change::Remove(*part, known(key, root, args, world)?));
    }
    for key in &args.revoke {
        let id = known(key, root, args, world)?;
        let every = [Part::Root, Part::Approver, Part::Publisher, Part::Scanner];
        // A role that nobody has is not made by taking a key out of it.
        let every = every.into_iter().filter(|part| *part != Part::Scanner || root.scan.is_some());
        changes.extend(every.map(|part| Change::Remove(part, id.clone())));
    }
    changes.extend(args.threshold.iter().map(|(part, n)| Change::Threshold(*part, *n)));
    for (list, reset) in [(&args.floor, false), (&args.reset_floor, true)] {
        let floors = list.iter().map(|(product, sequence)| (product.clone(), Floor { sequence: *sequence, reset }));
        changes.extend(floors.map(|(product, floor)| Change::Floor(product, floor)));
    }
    changes.extend(args.production.then_some(Change::Production));
    Ok(changes)
}

/// A key of the root, by the beginning of its id or by itself.
fn known(text: &str, root: &Root, args: &Args, world: &World<'_>) -> Result<String, Failure> {
    let begins: Vec<&String> = root.keys.keys().filter(|id| text.len() >= 8 && id.starts_with(text)).collect();
    if let [id] = begins.as_slice() {
        return Ok((*id).clone());
    }
    let id = key_id(&args.keys.public(text, world)?).map_err(SignError::from)?;
    if root.keys.contains_key(&id) {
        return Ok(id);
    }
    Err(Usage {
        message: format!("root {} has no key `{text}`", root.version),
        hint: Some("`consign keys show` lists the keys".to_owned()),
    }
    .into())
}
