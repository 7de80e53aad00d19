//! The site's registry: the pull and discovery side of the OCI distribution API, v1.1, over a store.
//!
//! Reads only; what may be read is decided by [`Content`], request by request. The lookup rule is in
//! [`lookup`], and docs/registry.md tells it to people. Nothing is printed: what happens is told to
//! [`ServeOptions::on_event`].

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use consign_format::{Descriptor, Digest};
use tokio::net::TcpListener;

mod answer;
mod body;
mod connection;
mod conversation;
mod head;
pub mod lookup;
mod metrics;
mod pace;
mod places;
mod range;
mod refusal;
mod route;
pub mod shelf;
mod users;
mod wire;

pub use shelf::{Shelf, ShelfError};
pub use users::{Users, UsersError};

/// What a store must be able to answer. Called on threads that may block; `host` and `repository` have already been
/// held against the grammar of the distribution specification.
///
/// - `host` is the upstream host: `docker.io`, `quay.io:443`, `consign.internal`.
/// - `repository` is the path under it: `library/nginx`.
pub trait Content: Send + Sync + 'static {
    /// What a tag stands for; `None` if there is no such tag, or no such repository.
    fn resolve_tag(&self, host: &str, repository: &str, tag: &str) -> Result<Option<Descriptor>, ContentError>;

    /// Media type and size of a manifest or index of this repository. Its bytes are asked for by [`Content::blob`].
    fn manifest(&self, host: &str, repository: &str, digest: &Digest) -> Result<Option<Descriptor>, ContentError>;

    /// The file that holds a blob, and its size. Only blobs (and manifests) that this repository refers to.
    fn blob(&self, host: &str, repository: &str, digest: &Digest) -> Result<Option<(PathBuf, u64)>, ContentError>;

    /// Every tag of a repository, in any order; `None` if there is no such repository.
    fn tags(&self, host: &str, repository: &str) -> Result<Option<Vec<String>>, ContentError>;

    /// The manifests of this repository whose `subject` is this digest, with `artifactType` and annotations.
    fn referrers(&self, host: &str, repository: &str, digest: &Digest) -> Result<Vec<Descriptor>, ContentError>;
}

/// A store that could not answer. The client is told "500" and no more; the event has the reason.
#[derive(Debug)]
pub struct ContentError(Box<dyn std::error::Error + Send + Sync>);

impl ContentError {
    /// Wraps whatever went wrong.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        ContentError(error.into())
    }
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for ContentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<io::Error> for ContentError {
    fn from(error: io::Error) -> Self {
        ContentError::new(error)
    }
}

/// One thing that happened while serving.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A request has its answer, and the answer is about to be sent.
    Answered(Request),
    /// The answer ended, whole or not.
    Ended {
        /// What was asked and answered.
        request: Request,
        /// Bytes of the body that were handed to the network.
        sent: u64,
        /// From the request's last byte to the answer's.
        took: Duration,
        /// Whether that was all; otherwise the client left, was too slow, or the file was not what it was.
        whole: bool,
    },
    /// A connection could not be taken (out of file descriptors, a failed handshake, too many from one address).
    NotAccepted {
        /// Who it was, if it is known.
        peer: Option<SocketAddr>,
        /// Why.
        error: String,
    },
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who asked.
    pub peer: SocketAddr,
    /// `GET`, `HEAD`, …
    pub method: String,
    /// Path and query as they came. From outside: escape it before you show it on a terminal.
    pub target: String,
    /// What the client calls itself; from outside as well.
    pub agent: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// The length of the body that was announced.
    pub length: u64,
    /// Why, when the store could not answer.
    pub error: Option<String>,
}

/// Receives the events. Must not block.
pub type OnEvent = Arc<dyn Fn(&Event) + Send + Sync>;

/// How to serve.
#[derive(Clone)]
pub struct ServeOptions {
    /// TLS; without it, plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Who is let in (basic authentication, RFC 7617); without it, everybody.
    pub users: Option<Arc<Users>>,
    /// Who is told what happens.
    pub on_event: Option<OnEvent>,
    /// Connections at the same time. Further ones wait in the operating system's queue.
    pub connections: usize,
    /// Of these, so many from one address. Further ones are told 503.
    pub connections_per_address: usize,
    /// How long a client may take to send a request's head, and to keep an idle connection open.
    pub head_timeout: Duration,
    /// A client that takes less than 64 KiB of an answer in this time is cut, unless that was its end.
    pub pace_window: Duration,
    /// How long answers that are under way may go on after the stop.
    pub grace: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        ServeOptions {
            tls: None,
            users: None,
            on_event: None,
            // A node opens a handful of connections, a file each; the usual limit of 1024 open files holds this twice.
            connections: 384,
            connections_per_address: 128,
            head_timeout: Duration::from_secs(30),
            pace_window: Duration::from_secs(60),
            grace: Duration::from_secs(10),
        }
    }
}

/// Serves until `shutdown` is ready, then lets what is under way end, with the default options.
pub async fn serve(
    listener: TcpListener,
    content: Arc<dyn Content>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_with(listener, content, ServeOptions::default(), shutdown).await
}

/// Like [`serve`], with options.
pub async fn serve_with(
    listener: TcpListener,
    content: Arc<dyn Content>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    connection::accept_until(listener, content, options, shutdown).await
}
