//! How long to wait, and how often: growing pauses with some chance in them, and what the registry itself asks for.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::client::fault::Attempt;

/// Time and chance, as pushing needs them; a test's does not wait.
pub trait Patience: Send + Sync {
    /// Waits.
    fn pause(&self, pause: Duration) -> BoxFuture<'_, ()>;
    /// Seconds since 1970: some registries name a moment.
    fn now(&self) -> u64;
    /// A random number, so that sites that were all refused at once do not all come back at once.
    fn random(&self) -> u64;
}

/// The longest pause of our own between two tries.
const LONGEST: Duration = Duration::from_secs(30);
/// A registry may ask for more, up to this; beyond it is as good as down.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// The tries of one thing.
pub(super) struct Tries<'a> {
    patience: &'a dyn Patience,
    tries: u32,
    first_pause: Duration,
    attempt: Attempt,
}

impl<'a> Tries<'a> {
    pub(super) fn new(patience: &'a dyn Patience, tries: u32, first_pause: Duration) -> Self {
        Tries { patience, tries, first_pause, attempt: Attempt::new(tries, first_pause, LONGEST) }
    }

    /// Something went forward: what is limited is trying in vain.
    pub(super) fn went_forward(&mut self) {
        self.attempt = Attempt::new(self.tries, self.first_pause, LONGEST);
    }

    /// Waits for the next try; `false` when there is none. `asked` is what the registry wants, at the least.
    pub(super) async fn wait(&mut self, asked: Option<Duration>) -> bool {
        let Some(pause) = self.attempt.next_pause() else { return false };
        let half = pause / 2;
        let span = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let spread = half + Duration::from_millis(self.patience.random() % span);
        match asked {
            Some(asked) if asked > LONGEST_ASKED => return false,
            // Never earlier than asked; the spread on top keeps four workers from coming back as one.
            Some(asked) => self.patience.pause(asked + spread.min(Duration::from_secs(1))).await,
            None => self.patience.pause(spread).await,
        }
        true
    }

    /// How often it was tried.
    pub(super) fn made(&self) -> u32 {
        self.attempt.made()
    }
}

/// What a registry asks for in `Retry-After`: seconds, or a moment.
pub(super) fn asked(headers: &HeaderMap, now: u64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(moment.saturating_sub(Duration::from_secs(now)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Recorded(Mutex<Vec<u128>>, u64);

    impl Patience for Recorded {
        fn pause(&self, pause: Duration) -> BoxFuture<'_, ()> {
            self.0.lock().unwrap().push(pause.as_millis());
            Box::pin(async {})
        }
        fn now(&self) -> u64 {
            784_111_777
        }
        fn random(&self) -> u64 {
            self.1
        }
    }

    #[tokio::test]
    async fn pauses_grow_between_half_and_whole() {
        for random in [0, 77_777, u64::MAX] {
            let patience = Recorded(Mutex::default(), random);
            let mut tries = Tries::new(&patience, 5, Duration::from_secs(1));
            while tries.wait(None).await {}
            let pauses = patience.0.into_inner().unwrap();
            assert_eq!(pauses.len(), 4);
            for (n, pause) in (0..).zip(&pauses) {
                assert!((500 << n..=1000 << n).contains(pause), "{pauses:?}");
            }
            assert!(random != 0 || pauses == [500, 1000, 2000, 4000], "{pauses:?}");
        }
    }

    #[tokio::test]
    async fn a_registry_that_names_a_time_gets_it() {
        let patience = Recorded(Mutex::default(), 0);
        let mut tries = Tries::new(&patience, 3, Duration::from_secs(1));
        assert!(tries.wait(Some(Duration::from_secs(7))).await);
        assert!(!tries.wait(Some(Duration::from_secs(86_400))).await, "a day is as good as down");
        assert_eq!(*patience.0.lock().unwrap(), [7500]);
        let mut headers = HeaderMap::new();
        for (text, seconds) in [("120", Some(120)), ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)), ("soon", None)] {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(asked(&headers, patience.now()), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
