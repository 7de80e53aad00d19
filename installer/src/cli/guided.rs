//! `consign-site` alone on a terminal: says how things stand and what to do next, and does it when asked. For somebody who
//! knows Linux, and neither Kubernetes nor this program.
//!
//! It does nothing that a command does not do, and names each command before it runs it.

use std::path::PathBuf;

use clap::Parser as _;
use consign_format::error::{Coded, Failure, codes};
use consign_terminal::Usage;

use super::{Cli, Context, dispatch, status};
use crate::admit::Ask;
use crate::install_bundle::{Order, Until};
use crate::pick::Picking;
use crate::site::{Site, SiteError};
use crate::watch::media;

/// What can be done next: in words, and the command that does it.
#[derive(Debug, PartialEq, Eq)]
struct Next {
    words: String,
    command: Option<Vec<String>>,
}

impl Next {
    fn run(words: impl Into<String>, command: &[&str]) -> Self {
        Next { words: words.into(), command: Some(command.iter().map(|word| (*word).to_owned()).collect()) }
    }

    fn wait(words: impl Into<String>) -> Self {
        Next { words: words.into(), command: None }
    }
}

/// Guides through everything until the person leaves.
///
/// # Errors
/// Nobody is there to be guided.
pub(super) fn run(context: &Context<'_>) -> Result<(), Failure> {
    let terminal = context.terminal;
    loop {
        let next = match look(context) {
            Ok(next) => next,
            Err(failure) => {
                terminal.warn(&failure);
                Next::run("let me look at everything that may be wrong here", &["doctor"])
            }
        };
        terminal.say(format!("\nNext: {}", next.words));
        if let Some(command) = &next.command {
            terminal.say(format!("      (that is: consign-site {})", command.join(" ")));
        }
        let question = match next.command {
            Some(_) => "Enter: do that.  l: look again.  c: a checklist to print.  q: leave.",
            None => "Enter: look again.  c: a checklist to print.  q: leave.",
        };
        let Some(answer) = terminal.ask(question).map_err(unreadable)? else { return Err(nobody().into()) };
        match (answer.as_str(), next.command) {
            ("q", _) => return Ok(()),
            ("c", _) => terminal.say(checklist(context)),
            ("", Some(command)) => {
                if let Err(failure) = carry_out(context, &command) {
                    terminal.warn(&failure);
                    failure.hint().iter().for_each(|hint| terminal.say(format!("hint: {hint}")));
                }
            }
            _ => {}
        }
    }
}

/// Nobody is there who could be asked.
pub(super) fn nobody() -> Usage {
    let hint = "consign-site --help lists the commands; alone, on a terminal, it guides".to_owned();
    Usage { message: "a command is needed".to_owned(), hint: Some(hint) }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read from the terminal")]
struct Unreadable(#[source] std::io::Error);

impl Coded for Unreadable {
    fn code(&self) -> consign_format::error::Code {
        codes::IO
    }
}

fn unreadable(error: std::io::Error) -> Failure {
    Unreadable(error).into()
}

/// Runs one of this program's own commands.
fn carry_out(context: &Context<'_>, command: &[String]) -> Result<(), Failure> {
    let words = std::iter::once("consign-site").chain(command.iter().map(String::as_str));
    match Cli::try_parse_from(words) {
        Ok(Cli { command: Some(command), .. }) => dispatch(context, command),
        _ => Err(nobody().into()),
    }
}

/// Says how things stand, and what is to be done next.
fn look(context: &Context<'_>) -> Result<Next, Failure> {
    let site = match Site::open(context.store.clone()) {
        Err(SiteError::NotEnrolled { .. }) => {
            context.terminal.say("This machine is not set up yet. Put in the medium that came with it.");
            return Ok(Next::run("set this machine up; you will be asked to compare a few words", &["setup"]));
        }
        other => other?,
    };
    context.terminal.say(status::in_short(&site)?);
    if let Some((folder, found)) = news(context, &site)? {
        context.terminal.say(format!("In {}: {}.", folder.display(), found.join(", ")));
        let folder = folder.display().to_string();
        return Ok(Next::run("check and load it; nothing that runs is touched", &["stage", &folder]));
    }
    Ok(match status::what_next(context, &site)? {
        status::Step::Activate => Next::run(
            "activate what is loaded; if it does not become healthy, this site does what the release says",
            &["activate"],
        ),
        status::Step::Wait(words) => Next::wait(words),
        status::Step::Collect => Next::run(
            "collect everything that headquarters needs to help, into one file",
            &["diagnose", "-o", "consign-diagnosis.tar.gz"],
        ),
        status::Step::CarryBack => match writable(context) {
            Some(folder) => Next::run(
                "copy the receipts onto the medium, to be carried back",
                &["receipts", "export", &folder.join("consign-receipts").display().to_string()],
            ),
            None => Next::run("show the last receipt as a picture, to be photographed", &["receipts", "show", "--qr"]),
        },
        status::Step::Nothing => Next::wait("nothing is to be done. Put in a medium to install something"),
    })
}

/// The first medium with something new for this site, and what that is.
fn news(context: &Context<'_>, site: &Site) -> Result<Option<(PathBuf, Vec<String>)>, Failure> {
    let config = context.config()?;
    let ask = Ask { require_scan: config.require_scan, ..Ask::default() };
    let order = Order { ask, until: Until::Staged };
    for medium in media(&config.watch.places(context.store.root())) {
        let found = Picking::of(&medium.folder)?.news(site, order, &context.machine.clocks);
        if !found.is_empty() {
            return Ok(Some((medium.folder, found)));
        }
    }
    Ok(None)
}

/// A medium that can be written.
fn writable(context: &Context<'_>) -> Option<PathBuf> {
    let config = context.config().ok()?;
    media(&config.watch.places(context.store.root()))
        .into_iter()
        .find(|medium| medium.is_writable())
        .map(|medium| medium.folder)
}

fn checklist(context: &Context<'_>) -> String {
    let folders = context.config().map(|config| config.watch.places(context.store.root())).unwrap_or_default();
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    format!(
        "\n[ ] 1. Put the medium in; it is looked for in {}.\n\
         [ ] 2. consign-site stage FOLDER      checks and loads it. Nothing that runs is touched. Read what would change.\n\
         [ ] 3. Ask whether the device is in use, and wait if it is.\n\
         [ ] 4. consign-site activate          brings it to run and waits until it is healthy. If the power goes: run it again.\n\
         [ ] 5. consign-site status            says what runs now. Write the version down: ______________\n\
         [ ] 6. consign-site receipts export FOLDER    what to carry back. Or: consign-site receipts show --qr\n\
         [ ] If anything fails: consign-site diagnose -o FILE, and carry that file back. Nothing is lost by waiting.",
        folders.join(", ")
    )
}
