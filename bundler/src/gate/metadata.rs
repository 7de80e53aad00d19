//! What a bundle carries before its release, or instead of one: roots, and statements of the approvers.
//!
//! Every statement is a check of its own, so that one that does not hold is told by its digest, beside those that do.

use consign_format::Digest;
use consign_format::archive::head::ArchiveError;
use consign_format::trust::roots::RootChain;
use consign_format::trust::site_secrets::SiteSecrets;
use consign_format::trust::statement::{Approved, DowngradeGrant, SiteRecord, Statement};
use consign_terminal::report::escape_controls;

use super::report::{RootCarried, RootShown, StatementShown};
use super::{Asked, Kind, Notes};
use crate::bundle::Announced;

/// Tells what a bundle carries, and checks each statement; returns those that hold.
pub(super) fn examine<R>(announced: &Announced<R>, notes: &mut Notes) -> Vec<Approved> {
    let Announced { roots, carried, statements, .. } = announced;
    notes.report.root = Some(RootShown::of_chain(roots));
    notes.report.roots = (1..).zip(carried).map(|(version, digest)| RootCarried { version, digest: *digest }).collect();
    let mut holding = Vec::new();
    for bytes in statements {
        let digest = Digest::of(bytes);
        match roots.approved_statement(bytes) {
            Ok(statement) => {
                let (shown, words) = (shown(digest, &statement), words(&statement));
                let by = format!("{words}; by the approvers of root {}", roots.root().version);
                notes.passed(Kind::Statement, Some(digest.to_string()), by);
                notes.report.statements.push(shown);
                holding.push(statement);
            }
            Err(error) => notes.failed(Kind::Statement, Some(digest.to_string()), error.into()),
        }
    }
    holding
}

/// Ends the checks of a bundle of metadata alone, which was read to its exact end. What is asked of a release is told to
/// have found none; a sequence that is asked for is refused, for without a release there is none.
pub(super) fn conclude(roots: &RootChain, statements: &[Approved], asked: &Asked<'_>, notes: &mut Notes) {
    let ends = statements.iter().filter_map(|statement| match statement {
        Approved::DowngradeGrant(grant) => Some((grant.expires.clone(), "a downgrade grant")),
        Approved::SiteRecord(_) | Approved::SiteSecrets(_) | Approved::Unknown(_) => None,
    });
    notes.answered(asked.judge_metadata(roots, ends.min()));
    if asked.min_sequence.is_some() {
        notes.failed(Kind::Sequence, None, ArchiveError::NoRelease.into());
    }
    notes.passed(Kind::Content, None, "roots and statements, and nothing behind them".to_owned());
    let nothing = "nothing to check: the bundle carries no release";
    notes.skipped(Kind::State, nothing);
    asked.policy.into_iter().for_each(|_| notes.skipped(Kind::ImageSignature, nothing));
}

fn shown(digest: Digest, statement: &Approved) -> StatementShown {
    let (kind, site) = match statement {
        Approved::SiteRecord(record) => (SiteRecord::TYPE, Some(&record.site)),
        Approved::DowngradeGrant(grant) => (DowngradeGrant::TYPE, Some(&grant.site)),
        Approved::SiteSecrets(secrets) => (SiteSecrets::TYPE, Some(&secrets.site)),
        Approved::Unknown(kind) => (kind.as_str(), None),
    };
    StatementShown { digest, kind: kind.to_owned(), site: site.cloned() }
}

fn words(statement: &Approved) -> String {
    match statement {
        Approved::SiteRecord(record) => format!("a site record of {}, serial {}", record.site, record.serial),
        Approved::DowngradeGrant(grant) => format!(
            "leave for {} to go back from sequence {} of {} to {}, until {}",
            grant.site, grant.from, grant.product, grant.to, grant.expires
        ),
        Approved::SiteSecrets(secrets) => {
            format!("{} secrets of {}, serial {}", secrets.secrets.len(), secrets.site, secrets.serial)
        }
        Approved::Unknown(kind) => format!("of type `{}`, which a newer program reads", escape_controls(kind)),
    }
}
