//! `consign demo`: the whole journey on this machine, played with the programs' own command lines.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::{Digest, Reference};
use consign_registry::durable;
use consign_registry::{ImageSource, RegistryOptions, RemoteRegistry};
use serde_json::{Value, json};

use super::{IoError, World};
use crate::{demo, lock};

/// Plays the whole journey on this machine: a small repository becomes a bundle, the bundle is verified, a temporary
/// site takes it and serves its images, and a receipt comes back.
///
/// Nothing outside one temporary folder is touched, and nothing is fetched. With KUBECONFIG set, the demo is applied
/// to that cluster; without, the desired state is left in a folder.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder to play in; it must not be there yet. Without it a new one among the temporary files
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The consign-site to call; without it the one beside this program
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
}

/// Why the demo stopped.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("there is no consign-site at {path}")]
    NoSite { path: String },
    #[error("`{command}` failed ({status})")]
    Step { command: String, status: String },
    #[error("the site's registry gives {reference} as {served}, and {locked} was locked")]
    Other { reference: String, served: Digest, locked: Digest },
    #[error("the site's registry did not say where it serves")]
    Silent,
}

impl Coded for DemoError {
    fn code(&self) -> Code {
        match self {
            DemoError::NoSite { .. } => codes::TOOL_MISSING,
            DemoError::Step { .. } | DemoError::Silent => codes::TOOL_FAILED,
            DemoError::Other { .. } => codes::REGISTRY_DIGEST_MISMATCH,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DemoError::NoSite { .. } => {
                Some("build both programs (`cargo xtask demo` does), or name it with --site".to_owned())
            }
            DemoError::Step { .. } => Some("what it said stands above".to_owned()),
            _ => None,
        }
    }
}

pub(super) async fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let play = Play::prepare(args, world)?;
    play.tell(format!("Everything happens in {}", play.folder.display()));
    let mut steps = play.connected_side()?;
    steps.extend(play.site()?);
    let served = play.look_up().await?;
    let command = play.shown(&play.site, &["serve"]);
    world.terminal.say(format!(
        "\nThe whole journey is done.\n  bundle     {}\n  registry   {command}\n  state      {}\n  receipts   {}\n\
         Remove the folder when you have seen enough: rm -r {}",
        play.bundle().display(),
        play.state_shown(),
        play.shown(&play.site, &["receipts", "list"]),
        play.folder.display()
    ));
    let document = json!({"folder": play.folder.display().to_string(), "steps": steps, "served": served});
    world.terminal.result(&document, "");
    Ok(())
}

/// One run of the demo.
struct Play<'a> {
    world: &'a World<'a>,
    folder: PathBuf,
    consign: PathBuf,
    site: PathBuf,
    /// The cluster to apply to, if there is one.
    kubeconfig: Option<OsString>,
}

impl<'a> Play<'a> {
    fn prepare(args: &Args, world: &'a World<'a>) -> Result<Self, Failure> {
        let io = |what: &str, source| IoError::new(codes::IO, what, source);
        let consign = std::env::current_exe().map_err(|e| io("this program cannot find itself", e))?;
        let site = args.site.clone().unwrap_or_else(|| consign.with_file_name("consign-site"));
        if !site.is_file() {
            return Err(DemoError::NoSite { path: site.display().to_string() }.into());
        }
        let folder = match &args.folder {
            Some(folder) if folder.exists() => {
                let source = std::io::ErrorKind::AlreadyExists.into();
                let what = format!("{} is already there", folder.display());
                return Err(IoError::new(codes::ALREADY_EXISTS, what, source).into());
            }
            Some(folder) => folder.clone(),
            None => {
                let made = tempfile::Builder::new().prefix("consign-demo-").tempdir();
                made.map_err(|e| io("a temporary folder cannot be made", e))?.keep()
            }
        };
        durable::create_dir(&folder, 0o755)?;
        let folder = folder.canonicalize().map_err(|e| io("the folder cannot be entered", e))?;
        demo::write(&folder.join("repository"))?;
        // The site runs in another folder; a list of files stays as it is.
        let kubeconfig = world.environment.get("KUBECONFIG").filter(|path| !path.is_empty());
        let kubeconfig = kubeconfig.map(|path| Path::new(path).canonicalize().map_or(path.to_owned(), OsString::from));
        Ok(Play { world, folder, consign, site, kubeconfig })
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    fn bundle(&self) -> PathBuf {
        self.folder.join(format!("{}-1.0.0.consign", demo::PRODUCT))
    }

    /// A repository with one commit, `init`, `build`, `verify`.
    fn connected_side(&self) -> Result<Vec<Value>, Failure> {
        self.tell("\nThe connected side: a repository with three workloads, and their images in a folder.");
        let git = PathBuf::from("git");
        let author = ["-c", "user.name=Demo", "-c", "user.email=demo@example.invalid", "-c", "commit.gpgsign=false"];
        self.quietly(&git, &["init", "--quiet", "--initial-branch=main"])?;
        self.quietly(&git, &["add", "--all"])?;
        self.quietly(&git, &[&author[..], &["commit", "--quiet", "--no-verify", "--message=Demo"]].concat())?;
        let images = demo::IMAGES;
        let output = self.folder.display().to_string();
        let bundle = self.bundle().display().to_string();
        Ok(vec![
            self.step(
                &self.consign,
                &["init", "--product", demo::PRODUCT, "--release", "1.0.0", "--images-from", images],
            )?,
            self.step(&self.consign, &["build", "--output", &output])?,
            self.step(&self.consign, &["verify", &bundle])?,
        ])
    }

    /// A site that has never heard of anybody: enrol, install, what it keeps.
    fn site(&self) -> Result<Vec<Value>, Failure> {
        self.tell("\nThe site: it enrols the root by its fingerprint, which came on paper, and takes the bundle.");
        let root = self.repository().join("trust/1.root.json");
        let read = std::fs::read(&root);
        let bytes = read.map_err(|e| IoError::new(codes::IO, format!("{} cannot be read", root.display()), e))?;
        let (root, fingerprint) = (root.display().to_string(), Digest::of(&bytes).hex());
        let bundle = self.bundle().display().to_string();
        let state = self.folder.join("state").display().to_string();
        let install = match &self.kubeconfig {
            Some(_) => vec!["install", &bundle, "--handoff", "direct"],
            None => vec!["install", &bundle, "--handoff", "export", "--export-dir", &state],
        };
        let enrol = ["enrol", "--root", &root, "--root-sha256", &fingerprint, "--site", "demo-site"];
        let mut steps = Vec::new();
        for arguments in [&enrol[..], &install, &["status"], &["receipts", "list"]] {
            steps.push(self.step(&self.site, arguments)?);
        }
        Ok(steps)
    }

    /// Starts the site's registry, asks it for an image, and holds the answer against the lock.
    async fn look_up(&self) -> Result<Value, Failure> {
        let mut child = self.command(&self.site, &["serve", "--listen", "127.0.0.1:0"]);
        let spawned = child.arg("--json").stdout(Stdio::piped()).spawn();
        let mut serving = Serving(spawned.map_err(|e| IoError::new(codes::IO, "consign-site cannot be started", e))?);
        let address = serving.address().ok_or(DemoError::Silent)?;
        // What nodes are told to trust, and no other authority.
        let ca_files = vec![self.folder.join("site/etc/consign/ca.crt")];
        let options = RegistryOptions { ca_files, tries: 2, ..RegistryOptions::default() };
        let registry = RemoteRegistry::new(options)?;
        let reference: Reference = format!("{address}/{}", demo::REFERENCE).parse().map_err(|_| DemoError::Silent)?;
        let served = registry.resolve(&reference).await?.digest;
        let lock = lock::Lock::read(&self.repository().join(lock::FILE))?;
        let images = lock.map(|lock| lock.images).unwrap_or_default();
        let locked =
            images.iter().find(|image| image.reference == demo::REFERENCE).map_or(served, |image| image.digest);
        let shown = demo::REFERENCE.to_owned();
        if served != locked {
            return Err(DemoError::Other { reference: shown, served, locked }.into());
        }
        self.tell(format!(
            "\nThe registry served at https://{address}: {shown} is {served}, as it was pinned at build."
        ));
        Ok(json!({"reference": shown, "digest": served, "address": address}))
    }

    fn tell(&self, text: impl std::fmt::Display) {
        self.world.terminal.say(text);
    }

    fn state_shown(&self) -> String {
        match &self.kubeconfig {
            Some(path) => format!("kubectl --kubeconfig {} get all -n {}", Path::new(path).display(), demo::PRODUCT),
            None => self.folder.join("state").display().to_string(),
        }
    }

    /// The command as a person would type it.
    fn shown(&self, program: &Path, arguments: &[&str]) -> String {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
        let root = if program == self.site {
            format!(" --root-dir {}", self.folder.join("site").display())
        } else {
            String::new()
        };
        format!("{name}{root} {}", arguments.join(" "))
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.repository()).stdin(Stdio::null());
        if program == self.site {
            command.arg("--root-dir").arg(self.folder.join("site"));
            command.envs(self.kubeconfig.iter().map(|path| ("KUBECONFIG", path)));
        }
        command.args(arguments);
        command
    }

    /// Runs one command, shows it, and gives its document where documents are asked for.
    fn step(&self, program: &Path, arguments: &[&str]) -> Result<Value, Failure> {
        let shown = self.shown(program, arguments);
        self.tell(format!("\n$ {shown}"));
        let mut command = self.command(program, arguments);
        let json = self.world.terminal.is_json();
        if json {
            command.arg("--json").stdout(Stdio::piped());
        }
        let output = command.spawn().and_then(Child::wait_with_output);
        let output = output.map_err(|e| IoError::new(codes::IO, format!("`{shown}` cannot be started"), e))?;
        if !output.status.success() {
            return Err(DemoError::Step { command: shown, status: output.status.to_string() }.into());
        }
        let result = serde_json::from_slice::<Value>(&output.stdout).unwrap_or(Value::Null);
        Ok(json!({"command": shown, "result": result}))
    }

    /// Runs a command that is not shown.
    fn quietly(&self, program: &Path, arguments: &[&str]) -> Result<(), Failure> {
        let shown = self.shown(program, arguments);
        let mut command = Command::new(program);
        command.current_dir(self.repository()).args(arguments).stdin(Stdio::null());
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        let status = command.status();
        let status =
            status.map_err(|e| IoError::new(codes::TOOL_MISSING, format!("`{shown}` cannot be started"), e))?;
        match status.success() {
            true => Ok(()),
            false => Err(DemoError::Step { command: shown, status: status.to_string() }.into()),
        }
    }
}

/// The site's registry, as long as it is looked at.
struct Serving(Child);

impl Serving {
    /// Waits for the one line that says where it serves.
    fn address(&mut self) -> Option<String> {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take()?).read_line(&mut line).ok()?;
        let said: Value = serde_json::from_str(&line).ok()?;
        Some(said["listen"].as_str()?.to_owned())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It only reads; nothing is lost with it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
