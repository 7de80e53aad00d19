//! Receipts: whether the chain holds, and whether the last one was ever handed out.

use super::{Check, Finding, NO_SITE, Patient};

const RECEIPTS: Check = Check { id: "receipts", why: "receipts are all that headquarters ever learns of this site" };

pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(site) = patient.site else { return vec![RECEIPTS.skipped(NO_SITE)] };
    let last = match site.store.read_receipts(&site.identity.public_key) {
        Ok(chain) => chain.len() as u64,
        Err(error) => return vec![RECEIPTS.failed(&error)],
    };
    vec![match site.store.exported(&site.identity.enrolment) {
        Ok(exported) => judge(last, exported),
        Err(error) => RECEIPTS.failed(&error),
    }]
}

fn judge(last: u64, exported: u64) -> Finding {
    let left = last.saturating_sub(exported);
    if left == 0 {
        let what = if last == 0 { "there are none yet".to_owned() } else { format!("all {last} were handed out") };
        return RECEIPTS.ok(what);
    }
    RECEIPTS.warn(
        format!("{left} of {last} were never handed out"),
        "run consign-site receipts export DIR with the next medium that goes back; or consign-site receipts show --qr for a phone",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn receipts_that_never_left_are_counted() {
        assert_eq!(judge(0, 0).level, Level::Ok);
        assert_eq!(judge(3, 3).level, Level::Ok);
        let finding = judge(3, 1);
        assert!(finding.level == Level::Warn && finding.what.starts_with("2 of 3"), "{}", finding.what);
    }
}
