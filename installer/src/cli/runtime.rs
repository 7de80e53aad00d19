//! The one place that starts an asynchronous runtime.

use consign_format::error::{Code, Coded, Failure, codes};

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
