//! What stands between a staged release and its activation: windows, holds, and the interlock of a device in use.
//!
//! Asked before anything is activated and again between the stages of an apply. Where it cannot be said whether a gate is
//! open (the clock is wrong, a probe does not run, the cluster does not answer) it is closed. What waits stays staged; a
//! gate never changes anything.

use std::time::Duration;

use consign_format::Name;
use consign_format::error::{Code, Coded, codes};
use jiff::Timestamp;

use crate::apply::Lookup;
use crate::config::{InterlockConfig, WindowConfig};
use crate::store::holds::{Hold, Holds};
use crate::store::{Store, StoreError};

mod interlock;
pub mod window;

pub use interlock::Taken;
use window::Verdict;

/// The gates of a site, as its administrator has set them.
#[derive(Debug)]
pub struct Gates {
    store: Store,
    windows: Vec<WindowConfig>,
    interlock: InterlockConfig,
    /// Where the cluster is that has the interlock's Lease.
    lookup: Lookup,
    /// Why the windows do not count this time, where a person said so.
    overridden: Option<String>,
}

/// A gate that is closed. Exit 24.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    /// No window is open.
    #[error("{product} is outside its windows{}", opens.map_or(String::new(), |at| format!(", the next one opens {at}")))]
    Outside {
        /// The product.
        product: Name,
        /// When the next one opens, as far as the schedules say.
        opens: Option<Timestamp>,
    },
    /// A window that forbids is open.
    #[error("a window forbids to change {product} until {until}")]
    Denied {
        /// The product.
        product: Name,
        /// When it ends.
        until: Timestamp,
    },
    /// There are windows, and nobody knows the time.
    #[error("the clock says {now}, and {product} may be changed only in windows")]
    Clock {
        /// The product.
        product: Name,
        /// What the clock says.
        now: Timestamp,
    },
    /// What is driven by this cluster is in use.
    #[error("the interlock is taken")]
    Interlock(#[from] Taken),
    /// Somebody holds the product.
    #[error("{what} is held{}: {}", hold.until.map_or(String::new(), until), hold.reason)]
    Held {
        /// The product, or all of them.
        what: String,
        /// Why, and until when.
        hold: Hold,
    },
    /// The holds cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn until(seconds: u64) -> String {
    format!(" until {}", timestamp(seconds))
}

/// The moment that many seconds after 1970; the end of time where there is no such moment.
pub(crate) fn timestamp(seconds: u64) -> Timestamp {
    i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
}

impl Closed {
    /// When it may be worth looking again, if that is known.
    pub fn opens(&self) -> Option<Timestamp> {
        match self {
            Closed::Outside { opens, .. } => *opens,
            Closed::Denied { until, .. } => Some(*until),
            Closed::Held { hold, .. } => hold.until.map(timestamp),
            Closed::Clock { .. } | Closed::Interlock(_) | Closed::Store(_) => None,
        }
    }
}

impl Coded for Closed {
    fn code(&self) -> Code {
        match self {
            Closed::Outside { .. } | Closed::Denied { .. } | Closed::Clock { .. } => codes::OUTSIDE_WINDOW,
            Closed::Interlock(_) => codes::INTERLOCKED,
            Closed::Held { .. } => codes::HELD,
            Closed::Store(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Closed::Outside { .. } | Closed::Denied { .. } => {
                "it is staged and waits: run `consign-site activate` when the window is open, or leave it to \
                 `consign-site watch`; in an emergency --outside-window REASON goes on, and the receipt says why"
                    .to_owned()
            }
            Closed::Clock { .. } => {
                "set this machine's clock; or go on with --outside-window REASON, and the receipt says why".to_owned()
            }
            Closed::Interlock(_) => {
                "it is staged and waits: run `consign-site activate` when the device is free, or leave it to \
                 `consign-site watch`"
                    .to_owned()
            }
            Closed::Held { .. } => "`consign-site hold list` says who holds what; `hold lift` ends it".to_owned(),
            Closed::Store(error) => return error.hint(),
        })
    }
}

impl Gates {
    /// The gates that a configuration sets. `overridden`: why the windows do not count this time.
    pub fn new(
        store: Store,
        (windows, interlock): (Vec<WindowConfig>, InterlockConfig),
        lookup: Lookup,
        overridden: Option<String>,
    ) -> Self {
        Gates { store, windows, interlock, lookup, overridden }
    }

    /// A site without windows and without an interlock. Its holds count.
    pub fn open(store: Store) -> Self {
        Gates::new(store, (Vec::new(), InterlockConfig::default()), Lookup::default(), None)
    }

    /// Why the windows do not count this time.
    pub fn overridden(&self) -> Option<&str> {
        self.overridden.as_deref()
    }

    /// Demands that a product may be changed now. `floor`: the latest signed time that the site has seen; a clock before
    /// it is wrong. `running`: its activation is under way.
    ///
    /// # Errors
    /// [`Closed`], for the first gate that is.
    pub async fn check(&self, product: &Name, now: u64, floor: u64, running: bool) -> Result<(), Closed> {
        self.check_holds(product, now)?;
        self.check_windows(product, now, floor, running)?;
        self.check_interlock(now).await
    }

    /// Demands that what is driven by this cluster is not in use.
    ///
    /// # Errors
    /// [`Closed::Interlock`]
    pub async fn check_interlock(&self, now: u64) -> Result<(), Closed> {
        Ok(interlock::check(&self.interlock, &self.lookup, timestamp(now)).await?)
    }

    fn check_holds(&self, product: &Name, now: u64) -> Result<(), Closed> {
        match Holds::read(&self.store)?.on(product, now) {
            Some((what, hold)) => Err(Closed::Held { what, hold: hold.clone() }),
            None => Ok(()),
        }
    }

    fn check_windows(&self, product: &Name, now: u64, floor: u64, running: bool) -> Result<(), Closed> {
        let product = product.clone();
        let windows: Vec<_> = self.windows.iter().filter(|window| window.speaks_of(&product)).collect();
        if windows.is_empty() || self.overridden.is_some() {
            return Ok(());
        }
        let at = timestamp(now);
        if now < floor || at > window::BELIEVABLE {
            return Err(Closed::Clock { product, now: at });
        }
        match window::judge(&windows, at, running) {
            Verdict::Open => Ok(()),
            Verdict::Outside { opens } => Err(Closed::Outside { product, opens }),
            Verdict::Denied { until } => Err(Closed::Denied { product, until }),
        }
    }
}

/// How long a probe or the cluster may take to answer, where nothing else is said.
pub(crate) const PROBE: Duration = Duration::from_secs(10);
