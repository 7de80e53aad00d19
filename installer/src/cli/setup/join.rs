//! `consign-site setup --join`: a further node of a site, which pulls from the registry that another machine serves.

use consign_format::Digest;
use consign_format::error::Failure;
use consign_registry::durable::{create_dir, write_file};
use consign_terminal::Usage;

use super::{Arguments, Context, State, Steps, answers};
use crate::cli::enrol::read;
use crate::cli::nodes;
use crate::nodes::{Place, authority};
use crate::tls::Authority;

pub(super) fn run(
    context: &Context<'_>,
    arguments: &Arguments,
    server: &str,
    steps: &mut Steps<'_>,
) -> Result<(), Failure> {
    let missing = || Usage { message: "name the certificate with --ca".to_owned(), hint: None };
    if Authority::read(&context.store)?.is_some() {
        let hint = Some("run setup without --join here".to_owned());
        return Err(Usage { message: "this machine has an authority of its own".to_owned(), hint }.into());
    }
    let bytes = read(arguments.ca.as_deref().ok_or_else(missing)?)?;
    authority_file(context, arguments, &bytes, steps)?;
    let servers = vec![server.to_owned()];
    match nodes::set_up(context, servers, arguments.credentials_file.clone(), steps.dry_run)? {
        Some(text) => steps.tell("node", State::Done, text),
        None => steps.tell("node", State::ToDo, "no container runtime is here yet; run it again when there is one"),
    }
    Ok(())
}

/// Puts the certificate where `nodes write` looks for it, once somebody has vouched for it.
fn authority_file(
    context: &Context<'_>,
    arguments: &Arguments,
    bytes: &[u8],
    steps: &mut Steps<'_>,
) -> Result<(), Failure> {
    let file = context.store.authority_bundle_file();
    let name = file.display().to_string();
    let here = authority::read(&Place::at(context.store.root())?)?;
    if here.as_deref().map(str::as_bytes) == Some(bytes) {
        steps.tell("authority", State::Found, name);
        return Ok(());
    }
    // Another one that is here gives way too: after a rotation the new one comes this way, vouched for like the first.
    answers::authority(context, arguments, &Digest::of(bytes))?;
    if !steps.dry_run {
        if let Some(folder) = file.parent() {
            create_dir(folder, 0o755)?;
        }
        write_file(&file, bytes, 0o644)?;
    }
    steps.tell("authority", State::Done, name);
    Ok(())
}
