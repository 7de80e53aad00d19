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

/// Runs a server to its end, on as many threads as there are processors.
pub(super) fn block_on_threads<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(NoRuntime)?;
    runtime.block_on(work)
}
