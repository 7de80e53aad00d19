//! Errors that a person can act on.
//!
//! Every error of this project is a typed enum with fields (`thiserror`), and implements [`Coded`]:
//! what happened is its `Display`, why is its `source` chain, what to do next is its hint.
//! The stable name and the exit code come from one table, [`codes`], so that neither drifts.
//! Printing is not done here; see the `terminal` crate.

use std::error::Error;
use std::fmt;

pub mod codes;

/// The exit codes of both programs. The table only grows; an unknown code means failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed, nothing changed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Stopped midway; run again to resume.
    Stopped = 3,
    /// The medium is damaged or incomplete: a hash does not hold.
    Damaged = 10,
    /// Malformed or unsafe: the form does not hold.
    Malformed = 11,
    /// Not trusted: signature, key or threshold.
    Untrusted = 12,
    /// Older than allowed, or the same sequence with other content.
    Older = 13,
    /// Not for this site or domain.
    NotForSite = 14,
    /// Expired, where expiry is enforced.
    Expired = 15,
    /// Over limits, or no room on disk.
    Limits = 16,
    /// Site not enrolled, or its state damaged.
    NotEnrolled = 17,
    /// Cannot decrypt.
    CannotDecrypt = 18,
    /// Not upgradable from what is installed.
    NotUpgradable = 19,
    /// Registry trouble.
    Registry = 20,
    /// Cluster trouble.
    Cluster = 21,
    /// Not healthy in time; rolled back or halted.
    Unhealthy = 22,
    /// A base or a required product is missing.
    Missing = 23,
    /// Busy, held, or outside the window.
    Busy = 24,
    /// Refused by the site's policy.
    Policy = 25,
    /// Interrupted by the person at the keyboard.
    Interrupted = 130,
}

impl Exit {
    /// The number handed to the operating system.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// A stable error code: a kebab-case name that `explain` knows, and the exit code it ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    /// The kebab-case name, as printed in `error[NAME]`.
    pub name: &'static str,
    /// The exit code a run that ends in this error returns.
    pub exit: Exit,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// An error that carries a stable code and, where there is one, the next thing to do.
pub trait Coded: Error {
    /// The stable code, from [`codes`].
    fn code(&self) -> Code;
    /// What to do next, in one sentence; `None` where there is nothing sensible to say.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Any coded error, as it travels from a stage to `main`.
///
/// Stages return their own enums; only the two main paths and the mains speak of `Failure`.
pub struct Failure(Box<dyn Coded + Send + Sync + 'static>);

impl Failure {
    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code()
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    /// The chain of causes, outermost first, without the error itself.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = self.0.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl<E: Coded + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(Box::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code(), self.0)
    }
}
