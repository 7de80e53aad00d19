//! Whether an apply may go on: asked between its stages, because a site can come into use while one is under way.
//!
//! The handoff asks and obeys; why it may not go on is known to who gave it the question, such as a hold or an interlock.

use consign_format::error::Failure;
use futures_util::future::BoxFuture;

/// Asked before each stage, each wave and the removing that follow the first writes of an apply. The first is not
/// asked about: the caller has looked just before.
pub trait GoAhead: Send + Sync {
    /// An `Err` stops the apply there, with this failure. What was applied stays; running again finishes.
    fn may_go_on(&self) -> BoxFuture<'_, Result<(), Failure>>;
}

/// Nothing stands in the way, ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Always;

impl GoAhead for Always {
    fn may_go_on(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
