//! `consign keys new`.

use std::path::{Path, PathBuf};

use consign_format::Name;
use consign_format::error::Failure;
use consign_format::trust::keys::{SecretKey, Signer};
use consign_format::trust::root_author::{FirstRoot, Part, Team, first};
use consign_registry::durable;
use consign_terminal::Usage;
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::World;
use super::super::signing::KeyArgs;
use super::super::statement::RootsArgs;
use super::{made_text, status_text};
use crate::signer::{SignerError, key_file};
use crate::{development, root_files, sign};

/// Make a root of trust, or a key
///
/// With nothing but --domain: a development root and its key, as `consign init` makes them. One key in every role, and
/// sites set up for production refuse it.
///
/// With --root, --approver and --publisher: a root for production, of public keys. It is signed by the keys that --key
/// names; where that is not enough, the others add theirs with `consign keys sign-root`.
///
/// With --key-only: a key file and nothing else, and its public key beside it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    roots: RootsArgs,
    /// The domain: one root of trust, such as a team or a customer
    #[arg(long, value_name = "NAME", required_unless_present = "key_only")]
    domain: Option<Name>,
    /// A public key that signs roots: 64 hexadecimal digits, a file, ssh-agent:… or pkcs11:…; may be given several times
    #[arg(long, value_name = "KEY", requires = "approver")]
    root: Vec<String>,
    /// How many of them must sign
    #[arg(long, value_name = "N", default_value_t = 1, requires = "root")]
    root_threshold: u64,
    /// A public key that says what a release is; may be given several times
    #[arg(long, value_name = "KEY", requires = "publisher")]
    approver: Vec<String>,
    /// How many of them must sign
    #[arg(long, value_name = "N", default_value_t = 1, requires = "root")]
    approvers_threshold: u64,
    /// The public key that says how a release is carried: the one of CI
    #[arg(long, value_name = "KEY", requires = "root")]
    publisher: Option<String>,
    /// A public key that attests a scan for malware; may be given several times
    #[arg(long, value_name = "KEY", requires = "root")]
    scanner: Vec<String>,
    /// Write a key to this file, and its public key to FILE.pub, and no root
    #[arg(long, value_name = "FILE", conflicts_with_all = ["domain", "root", "key"])]
    key_only: Option<PathBuf>,
    /// Encrypt that key by a passphrase; --passphrase-file implies it
    #[arg(long, requires = "key_only")]
    encrypt: bool,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    if let Some(path) = &args.key_only {
        return key_only(args, path, world);
    }
    let Some(domain) = &args.domain else { return Ok(()) };
    if args.root.is_empty() {
        let made = development::make(args.roots.folder(), domain, world.now, &development::seed()?)?;
        world.terminal.result(&made, made_text(&made));
        return Ok(());
    }
    if root_files::chain(args.roots.folder())?.is_some() {
        let path = args.roots.folder().join("1.root.json").display().to_string();
        return Err(development::DevelopmentError::Exists { path }.into());
    }
    let team = |keys: &[String], threshold| -> Result<Team, Failure> {
        let keys = keys.iter().map(|key| args.keys.public(key, world)).collect::<Result<_, _>>()?;
        Ok(Team { keys, threshold })
    };
    let publisher = args.publisher.clone().into_iter().collect::<Vec<_>>();
    let mut teams = vec![
        (Part::Root, team(&args.root, args.root_threshold)?),
        (Part::Approver, team(&args.approver, args.approvers_threshold)?),
        (Part::Publisher, team(&publisher, 1)?),
    ];
    if !args.scanner.is_empty() {
        teams.push((Part::Scanner, team(&args.scanner, 1)?));
    }
    let expires = sign::expires(world.now)?;
    let plan = FirstRoot { domain: domain.clone(), development: false, expires, teams };
    let root = first(&plan).map_err(consign_format::trust::keys::SignError::from)?;
    let status = root_files::begin(args.roots.folder(), &root, &args.keys.open(world, None)?)?;
    world.terminal.result(&status, status_text(&status));
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyMade {
    key: PathBuf,
    public: PathBuf,
    public_key: String,
    encrypted: bool,
}

fn key_only(args: &Args, path: &Path, world: &World<'_>) -> Result<(), Failure> {
    let ask = &args.keys.passphrase;
    let encrypted = args.encrypt || ask.passphrase_file.is_some();
    let passphrase = match encrypted {
        false => None,
        true => {
            let what = format!("a passphrase for {}", path.display());
            let first = ask.ask(&what)?.ok_or(SignerError::NoSecret { what })?;
            if ask.passphrase_file.is_none() && ask.ask("the same again")?.as_ref() != Some(&first) {
                return Err(Usage { message: "the two passphrases differ".to_owned(), hint: None }.into());
            }
            Some(first)
        }
    };
    if passphrase.as_ref().is_some_and(|passphrase| passphrase.is_empty()) {
        return Err(Usage { message: "the passphrase is empty".to_owned(), hint: None }.into());
    }
    let seed = Zeroizing::new(development::seed()?);
    let key = SecretKey::from_seed(&seed);
    let pem = key_file::to_pem(&key, passphrase.as_ref().map(|passphrase| passphrase.as_str()))?;
    let public_key = hex::encode(key.public());
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    durable::write_new_file(path, pem.as_bytes(), 0o600)?;
    durable::write_new_file(&public, format!("{public_key}\n").as_bytes(), 0o644)?;
    let how = if encrypted { "encrypted by the passphrase" } else { "not encrypted" };
    let text = format!("{}  {how}\n  public key  {public_key}, also in {}", path.display(), public.display());
    world.terminal.result(&KeyMade { key: path.to_owned(), public, public_key, encrypted }, text);
    Ok(())
}
