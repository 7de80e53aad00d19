//! `consign approve`.

use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_registry::durable;
use consign_terminal::{Usage, bytes};
use serde::Serialize;

use super::World;
use super::keys::count;
use super::signing::KeyArgs;
use crate::approval::request::{self, Request};
use crate::approval::{merge, statement};
use crate::{root_files, sign};

mod shown;

use shown::Shown;

/// Approves a release by kilobytes: a small request goes to where the approvers' keys are, not the bundle.
///
///   consign approve --request BUNDLE --against LAST -o request.json
///   consign approve request.json                 shows what is asked, worked out from what is to be signed
///   consign approve request.json --key KEY       shows it and signs it; the file goes on to the next approver, or back
///   consign approve --merge BUNDLE request.json  puts the signatures into the bundle, in place
///
/// It signs statements too: site records, downgrade grants and secrets of a site, given as their files. Approve before a
/// bundle is split or encrypted.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// A request or a statement; with --request the bundle; with --merge the bundle, then requests
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Write the request for a bundle
    #[arg(long, conflicts_with_all = ["merge", "key", "sign_command"], requires = "output")]
    request: bool,
    /// Put the signatures of requests into a bundle
    #[arg(long, conflicts_with_all = ["key", "sign_command"])]
    merge: bool,
    /// With --request: the bundle of the last approved release, to show what differs
    #[arg(long, value_name = "BUNDLE", requires = "request")]
    against: Option<PathBuf>,
    /// With --request: what you want to say to the approvers
    #[arg(long, value_name = "TEXT", requires = "request")]
    note: Option<String>,
    /// With --request: the file to write
    #[arg(long, short, value_name = "FILE", requires = "request")]
    output: Option<PathBuf>,
    /// The folder of the roots, to hold those of the request against
    #[arg(long, default_value = sign::TRUST_FOLDER, value_name = "DIR")]
    trust: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    match args.files.as_slice() {
        [bundle] if args.request => request(args, bundle, world),
        [bundle, requests @ ..] if args.merge && !requests.is_empty() => merge_all(args, bundle, requests, world),
        [file] if !args.merge => approve(args, file, world),
        _ => Err(Usage {
            message: "these files and options do not go together".to_owned(),
            hint: Some("--request BUNDLE -o FILE; or FILE; or --merge BUNDLE REQUEST…".to_owned()),
        }
        .into()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Requested {
    path: PathBuf,
    bytes: u64,
    approval: consign_format::trust::keys::Progress,
}

fn request(args: &Args, bundle: &Path, world: &World<'_>) -> Result<(), Failure> {
    let Some(output) = &args.output else { return Ok(()) };
    let roots = root_files::chain(&args.trust)?;
    let made = request::make(bundle, args.against.as_deref(), args.note.clone(), roots.as_ref())?;
    let examined = made.examine(roots.as_ref())?;
    let text = made.to_text();
    durable::write_file(output, text.as_bytes(), 0o644)?;
    let said = format!(
        "{}  {}\n  asks for  {} {}, {}\n  next: `consign approve {}` where the approvers' keys are",
        output.display(),
        bytes(text.len() as u64),
        examined.asked.approval.product,
        examined.asked.approval.version,
        count(&examined.asked.progress),
        output.display()
    );
    let done = Requested { path: output.clone(), bytes: text.len() as u64, approval: examined.asked.progress };
    world.terminal.result(&done, said);
    Ok(())
}

fn merge_all(args: &Args, bundle: &Path, requests: &[PathBuf], world: &World<'_>) -> Result<(), Failure> {
    let roots = root_files::chain(&args.trust)?;
    let merged = merge::merge(bundle, requests, roots.as_ref())?;
    let verdict = if merged.approval.is_complete() { "approved" } else { "waits for more" };
    let text = format!(
        "{}  {verdict}\n  approval  {}, {} new\n  release   {}",
        bundle.display(),
        count(&merged.approval),
        merged.added,
        merged.release
    );
    world.terminal.result(&merged, text);
    Ok(())
}

/// Shows what is asked before it signs: who reads the terminal sees what the signature is about.
fn approve(args: &Args, file: &Path, world: &World<'_>) -> Result<(), Failure> {
    let roots = root_files::chain(&args.trust)?;
    let Some(mut request) = Request::read(file)? else {
        return approve_statement(args, file, world);
    };
    let examined = request.examine(roots.as_ref())?;
    if roots.is_none() {
        world.terminal.warn("the request's root is not held against one of yours; compare its fingerprint");
    }
    let mut shown = Shown::of(&examined, roots.is_some());
    if !args.keys.are_given() {
        let next = format!("next: `consign approve {} --key KEY` signs this", file.display());
        world.terminal.result(&shown, format!("{}\n{next}", shown.text()));
        return Ok(());
    }
    world.terminal.say(shown.text());
    request.sign(&examined.roots, &args.keys.open(world, None)?)?;
    shown.approval = request.examine(roots.as_ref())?.asked.progress;
    durable::write_file(file, request.to_text().as_bytes(), 0o644)?;
    let next = match shown.approval.is_complete() {
        true => format!("next: `consign approve --merge BUNDLE {}`", file.display()),
        false => "next: the file goes to another approver".to_owned(),
    };
    world.terminal.result(&shown, format!("signed: {}\n  {next}", count(&shown.approval)));
    Ok(())
}

fn approve_statement(args: &Args, file: &Path, world: &World<'_>) -> Result<(), Failure> {
    let roots = sign::read_roots(&args.trust)?;
    let stated = statement::read(file, &roots)?;
    let shown = shown::statement(&stated.statement);
    let said = |stated: &statement::Stated, next: &str| format!("approval: {}\nnext: {next}", count(&stated.approval));
    let carry = format!("`consign carry {}` makes a bundle of it", file.display());
    if !args.keys.are_given() {
        let sign = format!("`consign approve {} --key KEY` signs this", file.display());
        let next = if stated.approval.is_complete() { &carry } else { &sign };
        world.terminal.result(&stated, format!("{shown}\n{}", said(&stated, next)));
        return Ok(());
    }
    world.terminal.say(shown);
    let stated = stated.sign(&roots, &args.keys.open(world, None)?)?;
    let next = if stated.approval.is_complete() { &carry } else { "the file goes to another approver" };
    world.terminal.result(&stated, format!("signed: {}", said(&stated, next)));
    Ok(())
}
