//! What a failure of oci-client means: wait and try again, or say it.

use std::time::Duration;

use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};

/// The kinds of failure that are acted on differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Transport, 408, 429, 5xx: may be gone in a moment.
    Passing,
    NotFound,
    Unauthorized,
    Mismatch {
        expected: String,
        actual: String,
    },
    /// An answer no registry may give.
    Other,
}

pub(super) fn of(error: &OciDistributionError) -> Fault {
    match error {
        OciDistributionError::RequestError(error) => match error.status() {
            Some(status) => of_status(status.as_u16()),
            None if error.is_builder() || error.is_redirect() => Fault::Other,
            None => Fault::Passing,
        },
        OciDistributionError::IoError(_) => Fault::Passing,
        OciDistributionError::ServerError { code, .. } => of_status(*code),
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.first().map_or(Fault::Other, |first| of_code(&first.code))
        }
        OciDistributionError::ImageManifestNotFoundError(_) => Fault::NotFound,
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            Fault::Unauthorized
        }
        OciDistributionError::DigestError(DigestError::VerificationError { expected, actual }) => {
            Fault::Mismatch { expected: expected.clone(), actual: actual.clone() }
        }
        _ => Fault::Other,
    }
}

fn of_status(status: u16) -> Fault {
    match status {
        401 | 403 => Fault::Unauthorized,
        404 | 410 => Fault::NotFound,
        408 | 425 | 429 | 500..=599 => Fault::Passing,
        _ => Fault::Other,
    }
}

fn of_code(code: &OciErrorCode) -> Fault {
    match code {
        OciErrorCode::BlobUnknown
        | OciErrorCode::ManifestBlobUnknown
        | OciErrorCode::ManifestUnknown
        | OciErrorCode::NameUnknown
        | OciErrorCode::NotFound => Fault::NotFound,
        OciErrorCode::Unauthorized | OciErrorCode::Denied => Fault::Unauthorized,
        OciErrorCode::Toomanyrequests => Fault::Passing,
        _ => Fault::Other,
    }
}

/// Counts tries and doubles pauses. No randomness: one client does not run in step with itself.
#[derive(Debug)]
pub(crate) struct Attempt {
    made: u32,
    tries: u32,
    pause: Duration,
    longest: Duration,
    renewed: bool,
}

impl Attempt {
    pub(crate) fn new(tries: u32, first_pause: Duration, longest: Duration) -> Self {
        Attempt { made: 1, tries: tries.max(1), pause: first_pause, longest, renewed: false }
    }

    /// The pause before the next try, or `None` when there is none.
    pub(crate) fn next_pause(&mut self) -> Option<Duration> {
        if self.made >= self.tries {
            return None;
        }
        self.made += 1;
        let pause = self.pause.min(self.longest);
        self.pause = pause.saturating_mul(2);
        Some(pause)
    }

    /// Whether a token may be renewed: once.
    pub(crate) fn may_renew(&mut self) -> bool {
        !std::mem::replace(&mut self.renewed, true)
    }

    /// How many tries were made.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let mut attempt = Attempt::new(5, Duration::from_secs(1), Duration::from_secs(3));
        let pauses: Vec<_> = std::iter::from_fn(|| attempt.next_pause()).map(|pause| pause.as_secs()).collect();
        assert_eq!((pauses, attempt.made()), (vec![1, 2, 3, 3], 5));
        assert_eq!(Attempt::new(0, Duration::ZERO, Duration::ZERO).next_pause(), None);
    }

    #[test]
    fn statuses_are_sorted() {
        for (status, fault) in [
            (401, Fault::Unauthorized),
            (403, Fault::Unauthorized),
            (404, Fault::NotFound),
            (429, Fault::Passing),
            (503, Fault::Passing),
            (400, Fault::Other),
            (418, Fault::Other),
        ] {
            let error = OciDistributionError::ServerError { code: status, url: String::new(), message: String::new() };
            assert_eq!(of(&error), fault, "{status}");
        }
    }
}
