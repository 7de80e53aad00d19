//! What `watch` activates by itself: pure, over what is on record of a product.

use crate::config::WatchMode;
use crate::store::products::ProductState;

/// What was begun is always gone on with; what is staged, as the mode says; what failed, never.
pub fn is_wanted(product: &ProductState, mode: WatchMode) -> bool {
    if product.returning.is_some() {
        return true;
    }
    let Some(waiting) = product.waiting().filter(|waiting| Some(*waiting) != product.failed.as_ref()) else {
        return false;
    };
    match &product.staged {
        Some(staged) if staged.release == *waiting => match mode {
            WatchMode::Stage => false,
            WatchMode::Confirm => staged.agreed,
            WatchMode::Window => true,
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::products::{ReleaseRef, Returning, Staged};
    use consign_format::Digest;
    use consign_format::receipt::ByteCounts;

    fn staged(sequence: u64, agreed: bool) -> Staged {
        let digest = Digest::of(&sequence.to_le_bytes());
        let release = ReleaseRef { digest, version: sequence.to_string(), sequence, line: None, bundle: digest };
        let (phases, bytes, warnings) = (Vec::new(), ByteCounts::default(), Vec::new());
        Staged { release, root: 1, agreed, at: 0, phases, bytes, warnings }
    }

    /// In the modes `stage`, `confirm`, `window`.
    fn wanted(product: &ProductState) -> [bool; 3] {
        [WatchMode::Stage, WatchMode::Confirm, WatchMode::Window].map(|mode| is_wanted(product, mode))
    }

    #[test]
    fn what_is_staged_as_the_mode_says_what_was_begun_always_what_failed_never() {
        let mut product = ProductState::new("d".parse().unwrap(), "p".parse().unwrap());
        assert_eq!(wanted(&product), [false; 3], "nothing is here");
        product.stage(staged(1, false));
        assert_eq!(wanted(&product), [false, false, true]);
        product.stage(staged(1, true));
        assert_eq!(wanted(&product), [false, true, true]);
        product.activate();
        assert_eq!(wanted(&product), [true; 3], "begun, and cut off");
        product.confirm();
        assert_eq!(wanted(&product), [false; 3]);
        product.stage(staged(2, true));
        product.activate();
        product.turn_back(Returning { reasons: vec![], by_hand: false });
        assert_eq!(wanted(&product), [true; 3], "on the way back");
        product.halt();
        assert_eq!(wanted(&product), [false; 3], "halted");
    }
}
