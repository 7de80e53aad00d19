//! `consign-site registry`: who may pull, and by what nodes know that it is this registry.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use consign_format::Digest;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::fingerprint::words;
use consign_registry::durable::{create_dir, write_file};
use consign_registry::serve::{Users, UsersError};
use serde::Serialize;

use super::Context;
use crate::serve::{certify, users_text};
use crate::site::Site;
use crate::store::StoreError;
use crate::tls::Authority;

/// Users and the authority of the registry that `consign-site serve` serves.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lets a user in. The password is asked for, or is the first line of standard input; its hash (bcrypt) is written
    /// into the file that `users` under [registry] names. A user who is there already gets the new password. Restart
    /// `consign-site serve` after it.
    User {
        /// The user's name.
        name: String,
        /// Take the user out instead.
        #[arg(long)]
        remove: bool,
    },
    /// The authority that signs the registry's certificate.
    #[command(subcommand)]
    Ca(CaCommand),
}

#[derive(Debug, clap::Subcommand)]
enum CaCommand {
    /// Prints what nodes must trust: the certificate of the authority, and of the one before if there was a rotation.
    Show,
    /// Makes a new authority. Nothing is interrupted: the registry goes on, with a certificate that nodes take which
    /// trust either. Run `consign-site nodes write` on every node before the next rotation.
    Rotate,
}

/// No file of users is named.
#[derive(Debug, thiserror::Error)]
enum UserError {
    #[error("site.toml names no file of users")]
    NoFile,
    #[error("the user cannot be written down")]
    User(#[from] UsersError),
    #[error("there is no user `{0}`")]
    Unknown(String),
    #[error("the password cannot be read")]
    Password(#[source] std::io::Error),
}

impl Coded for UserError {
    fn code(&self) -> Code {
        match self {
            UserError::NoFile => codes::SITE_CONFIG,
            _ => codes::USAGE,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            UserError::NoFile => "write users = \"/etc/consign/registry-users\" under [registry]",
            UserError::Password(_) => "echo PASSWORD | consign-site registry user NAME",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

#[derive(Debug, Serialize)]
struct Shown {
    file: PathBuf,
    generation: u64,
    /// Of the file, as `sha256sum` prints it: what a further node is told (setup --join).
    fingerprint: Digest,
    certificates: String,
}

#[derive(Debug, Serialize)]
struct Written {
    file: PathBuf,
    user: String,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::User { name, remove } => user(context, name, *remove),
        Command::Ca(CaCommand::Show) => {
            let site = Site::open(context.store.clone())?;
            certify(&site, &context.config()?)?;
            shown(context, &site)
        }
        Command::Ca(CaCommand::Rotate) => {
            let site = Site::open_exclusive(context.store.clone())?;
            let old = Authority::read_or_make(&site.store, site.identity.site.as_str())?;
            old.rotate(&site.store)?.certify_again(&site.store)?;
            shown(context, &site)
        }
    }
}

fn shown(context: &Context<'_>, site: &Site) -> Result<(), Failure> {
    let file = site.store.authority_bundle_file();
    let authority = Authority::read(&site.store)?.ok_or_else(|| StoreError::Missing { path: file.clone() })?;
    let certificates = authority.bundle();
    let (generation, fingerprint) = (authority.generation, Digest::of(certificates.as_bytes()));
    let human = format!(
        "# {}, generation {generation}\n# fingerprint {}\n# in words    {}\n{}",
        file.display(),
        fingerprint.hex(),
        words(&fingerprint),
        certificates.trim_end()
    );
    context.terminal.result(&Shown { file, generation, fingerprint, certificates }, human);
    Ok(())
}

fn user(context: &Context<'_>, name: &str, remove: bool) -> Result<(), Failure> {
    let site = Site::open_exclusive(context.store.clone())?;
    let file = context.config()?.registry.users.ok_or(UserError::NoFile)?;
    let text = users_text(&file)?.unwrap_or_default();
    let is_other = |line: &&str| line.split_once(':').is_none_or(|(user, _)| user != name);
    let mut lines: Vec<String> = text.lines().filter(is_other).map(str::to_owned).collect();
    let known = lines.len() < text.lines().count();
    if remove && !known {
        return Err(UserError::Unknown(name.to_owned()).into());
    }
    if !remove {
        lines.push(Users::line(name, &password()?).map_err(UserError::User)?);
    }
    // What is written must be what can be read, or the registry would not start again.
    let text = lines.join("\n") + "\n";
    Users::parse(&text).map_err(UserError::User)?;
    if let Some(folder) = file.parent() {
        create_dir(folder, 0o755)?;
    }
    write_file(&file, text.as_bytes(), 0o600)?;
    drop(site);
    let human = format!("{}: {name} {}", file.display(), if remove { "taken out" } else { "let in" });
    context.terminal.result(&Written { file, user: name.to_owned() }, human);
    Ok(())
}

/// What the person at the terminal types, or the first line of standard input.
fn password() -> Result<String, UserError> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password("password: ").map_err(UserError::Password);
    }
    let mut text = String::new();
    std::io::stdin().lock().take(4096).read_to_string(&mut text).map_err(UserError::Password)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
