//! The one place that starts an asynchronous runtime.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use consign_format::error::{Code, Coded, Failure, codes};
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// The runtime could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the asynchronous runtime")]
struct NoRuntime(#[source] std::io::Error);

impl Coded for NoRuntime {
    fn code(&self) -> Code {
        codes::IO
    }
}

/// Runs one thing to its end on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(NoRuntime)?;
    runtime.block_on(work)
}

/// More than a server has connections: each waits for at most one thing that blocks (a disk, the hash of a password), and
/// those that guess passwords must not keep the others from their files.
const BLOCKING_THREADS: usize = 2048;

/// Runs a server to its end, on as many threads as there are processors.
pub(super) fn block_on_threads<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(NoRuntime)?;
    runtime.block_on(work)
}

/// Whether somebody asked this program to end (SIGTERM, SIGINT). It is heard whenever it is said, also in the middle of
/// work that must not be left half done: a thread of its own listens.
pub(super) struct Ending(Receiver<()>);

impl Ending {
    /// Begins to listen.
    pub(super) fn heard() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(NoRuntime)?;
        let (mut terminate, mut interrupt) = {
            let _inside = runtime.enter();
            let listen = |kind| signal(kind).map_err(NoRuntime);
            (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?)
        };
        let (say, asked) = std::sync::mpsc::channel();
        let listen = async move {
            for asked in [1, 2] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if asked == 1 && say.send(()).is_err() {
                    return;
                }
            }
            // Whoever does not want to wait for the end of the work gets what a power cut leaves: all of it resumable.
            let _ = kill_process(getpid(), Signal::KILL);
        };
        std::thread::Builder::new().spawn(move || runtime.block_on(listen)).map_err(NoRuntime)?;
        Ok(Self(asked))
    }

    /// Waits that long; at once `true` if it is asked meanwhile, or was before.
    pub(super) fn within(&self, wait: Duration) -> bool {
        !matches!(self.0.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }
}
