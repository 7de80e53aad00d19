//! What can be wrong with the nodes' configuration; each says what was found and how to go on.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, codes};
use consign_registry::durable::DurableError;

use super::{OWN_FOLDER, Runtime};
use crate::store::StoreError;

/// The configuration of a node cannot be written, removed or checked.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody said where the registry is.
    #[error("nobody said where the nodes find the registry")]
    NoServer,
    /// A server that cannot be meant.
    #[error("`{text}` is no server: {reason}")]
    Server {
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A server on another machine without TLS, and nobody said that the network is trusted.
    #[error("{server} is another machine, and would be asked without TLS")]
    PlainHttp {
        /// The server.
        server: String,
    },
    /// A file with the site's authority or with credentials cannot be used.
    #[error("{} cannot be used: {reason}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No container runtime is here.
    #[error("no container runtime was found under {}", root.display())]
    NoRuntime {
        /// Where it was looked for.
        root: PathBuf,
    },
    /// Files of somebody else stand where ours would.
    #[error("{} is there, and consign-site did not write it{}", first(paths), others(paths))]
    Foreign {
        /// The files, at least one.
        paths: Vec<PathBuf>,
    },
    /// Files of ours are not what was written.
    #[error("{} was changed since consign-site wrote it{}", first(paths), others(paths))]
    Changed {
        /// The files, at least one.
        paths: Vec<PathBuf>,
    },
    /// The runtime's own configuration is in the way.
    #[error("{runtime}: {message}")]
    Conflict {
        /// The runtime.
        runtime: Runtime,
        /// What was found, and in which file.
        message: String,
        /// What to do about it.
        fix: String,
    },
    /// A path leads out of the root folder, or through something that is no folder.
    #[error("{} leads out of the root folder", path.display())]
    LeadsOut {
        /// The path.
        path: PathBuf,
    },
    /// A restart or reload failed.
    #[error("`{command}` failed: {said}")]
    Restart {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
    /// The machine's own services are not those of a root folder.
    #[error("--restart restarts the services of this machine, and --root-dir names a folder")]
    RestartElsewhere,
    /// The check found something.
    #[error("{} of {} checks failed; the first: {first}", failed, of)]
    Check {
        /// How many failed.
        failed: usize,
        /// How many there were.
        of: usize,
        /// The first that failed, in words.
        first: String,
        /// What to do about it.
        fix: Option<String>,
    },
    /// An image that cannot be meant.
    #[error(transparent)]
    Image(#[from] consign_format::reference::ReferenceError),
}

/// Whether a file of state is one of ours, and not of the site's store: another remedy helps.
fn is_ours(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with(OWN_FOLDER.trim_start_matches('/')))
}

fn first(paths: &[PathBuf]) -> String {
    paths.first().map(|path| path.display().to_string()).unwrap_or_default()
}

fn others(paths: &[PathBuf]) -> String {
    match paths.len() {
        0 | 1 => String::new(),
        _ => {
            let rest: Vec<String> = paths[1..].iter().map(|path| path.display().to_string()).collect();
            format!("; nor {}", rest.join(", "))
        }
    }
}

impl From<DurableError> for NodesError {
    fn from(error: DurableError) -> Self {
        NodesError::Store(error.into())
    }
}

impl Coded for NodesError {
    fn code(&self) -> Code {
        match self {
            NodesError::Store(error) => error.code(),
            NodesError::NoServer | NodesError::Server { .. } => codes::NODE_SERVERS,
            NodesError::PlainHttp { .. } => codes::PLAIN_HTTP,
            NodesError::Input { .. } | NodesError::RestartElsewhere => codes::USAGE,
            NodesError::NoRuntime { .. } => codes::NO_RUNTIME,
            NodesError::Foreign { .. } => codes::NODE_FILE_FOREIGN,
            NodesError::Changed { .. } => codes::NODE_FILE_CHANGED,
            NodesError::Conflict { .. } => codes::NODE_CONFLICT,
            NodesError::LeadsOut { .. } => codes::UNSAFE_FILE,
            NodesError::Restart { .. } => codes::NODE_RESTART,
            NodesError::Check { .. } => codes::NODE_CHECK,
            NodesError::Image(_) => codes::REFERENCE_INVALID,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            NodesError::Store(StoreError::Damaged { path, .. } | StoreError::Missing { path }) if is_ours(path) => {
                "take away by hand what begins with `Written by consign-site`, then the folder, and write again"
                    .to_owned()
            }
            NodesError::Store(StoreError::Durable(DurableError::Io { source, .. }))
                if source.kind() == ErrorKind::PermissionDenied =>
            {
                "run it as root".to_owned()
            }
            NodesError::Store(error) => return error.hint(),
            NodesError::NoServer => {
                "say --server https://HOST:PORT, or servers = […] under [nodes] in site.toml".to_owned()
            }
            NodesError::Server { .. } => "a server is https://HOST:PORT, without a path".to_owned(),
            NodesError::PlainHttp { .. } => "use https://, or say --plain-http where the network is trusted".to_owned(),
            NodesError::Input { .. } => "docs/nodes.md says what the file must hold".to_owned(),
            NodesError::NoRuntime { .. } => "name it with --runtime".to_owned(),
            NodesError::Foreign { .. } => {
                "nothing was changed; move the file away, or let --force put ours in its place: what it held is kept, \
                 and `nodes remove` brings it back"
                    .to_owned()
            }
            NodesError::Changed { .. } => {
                "nothing was changed; look at the file, then say --force if what is in it may go".to_owned()
            }
            NodesError::Conflict { fix, .. } => format!("nothing was changed; {fix}"),
            NodesError::LeadsOut { .. } => "nothing was changed; find out who put the link there".to_owned(),
            NodesError::Restart { .. } => {
                "the files are written; see why with `systemctl status` and run it by hand".to_owned()
            }
            NodesError::RestartElsewhere => "leave --restart out".to_owned(),
            NodesError::Check { fix, .. } => return fix.clone(),
            NodesError::Image(_) => return None,
        })
    }
}
