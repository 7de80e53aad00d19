//! `consign keys show`.

use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_format::trust::document::{Role, Root};
use consign_format::trust::fingerprint;
use consign_format::trust::keys::{SignError, key_id};
use serde::Serialize;

use super::super::World;
use super::super::signing::KeyArgs;
use super::super::statement::RootsArgs;
use super::super::verify::RootShown;
use super::{fingerprint_text, short};
use crate::{root_files, sign};

/// Show the roots of a folder, their fingerprint, who has which say, and what your keys may do
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    roots: RootsArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    root: RootShown,
    /// The fingerprint as twelve words.
    words: String,
    roles: Vec<RoleShown>,
    yours: Vec<Yours>,
    /// The draft of the next root, if there is one.
    draft: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RoleShown {
    role: &'static str,
    threshold: u64,
    keys: Vec<KeyShown>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyShown {
    id: String,
    public_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Yours {
    public_key: String,
    roles: Vec<&'static str>,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let beside = args.roots.folder().join(sign::DEVELOPMENT_KEY);
    let signers = args.keys.open(world, beside.is_file().then_some(beside.as_path()))?;
    let publics: Vec<[u8; 32]> = signers.iter().map(|signer| signer.public()).collect();
    let Some(chain) = root_files::chain(args.roots.folder())? else {
        return without_root(args.roots.folder(), &publics, world);
    };
    let root = chain.root();
    let roles = roles(root);
    let yours = publics.iter().map(|public| yours(public, &roles)).collect::<Result<_, _>>()?;
    let draft = Some(root_files::draft_path(args.roots.folder(), root.version + 1)).filter(|path| path.is_file());
    let words = fingerprint::words(&chain.fingerprint());
    let shown = Shown { root: RootShown::of(root, chain.fingerprint()), words, roles, yours, draft };
    let text = text(&shown, &fingerprint_text(&chain.fingerprint()));
    world.terminal.result(&shown, text);
    Ok(())
}

/// Where there is no root yet, a key can be shown all the same: whoever makes the root needs its public part.
fn without_root(trust: &Path, publics: &[[u8; 32]], world: &World<'_>) -> Result<(), Failure> {
    if publics.is_empty() {
        return Err(sign::KeyError::NoRoot { folder: trust.to_owned() }.into());
    }
    let keys: Vec<String> = publics.iter().map(hex::encode).collect();
    world.terminal.result(&serde_json::json!({"yours": keys}), keys.join("\n"));
    Ok(())
}

/// The roles in people's words. Snapshot and timestamp are the publisher's; ours have the same keys in both.
fn roles(root: &Root) -> Vec<RoleShown> {
    let named = [("root", "root"), ("approver", "targets"), ("publisher", "snapshot")];
    let four = named.into_iter().filter_map(|(name, role)| Some((name, root.roles.get(role)?)));
    let shown = |(role, entry): (&'static str, &Role)| RoleShown {
        role,
        threshold: entry.threshold,
        keys: entry.keyids.iter().map(|id| key(root, id)).collect(),
    };
    four.chain(root.scan.as_ref().map(|role| ("scanner", role))).map(shown).collect()
}

fn key(root: &Root, id: &str) -> KeyShown {
    let public_key = root.keys.get(id).map(|key| key.keyval.public.clone()).unwrap_or_default();
    KeyShown { id: id.to_owned(), public_key }
}

fn yours(public: &[u8; 32], roles: &[RoleShown]) -> Result<Yours, Failure> {
    let id = key_id(public).map_err(SignError::from)?;
    let has_say = |role: &&RoleShown| role.keys.iter().any(|key| key.id == id);
    Ok(Yours { public_key: hex::encode(public), roles: roles.iter().filter(has_say).map(|role| role.role).collect() })
}

fn text(shown: &Shown, fingerprint: &str) -> String {
    let mut lines = vec![shown.root.text(), fingerprint.to_owned()];
    for role in &shown.roles {
        lines.push(format!("  {:11}  {} of {} must sign", role.role, role.threshold, role.keys.len()));
        lines.extend(role.keys.iter().map(|key| format!("    {}  {}", short(&key.id), key.public_key)));
    }
    for yours in &shown.yours {
        let roles = if yours.roles.is_empty() { "no say".to_owned() } else { yours.roles.join(", ") };
        lines.push(format!("  yours        {}: {roles}", yours.public_key));
    }
    lines.extend(shown.draft.iter().map(|path| format!("  on its way   {}", path.display())));
    lines.join("\n")
}
