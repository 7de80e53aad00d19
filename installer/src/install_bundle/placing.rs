//! The files of a release, within a run: placed before its objects are applied, and taken back with it.

use consign_format::error::Failure;

use super::run::Run;
use crate::files::{self, FilesPlan};
use crate::store::products::{ProductState, ReleaseRef};

/// Plans the files of the release, with everything that may refuse them.
pub(super) fn plan(run: &mut Run<'_>) -> Result<FilesPlan, Failure> {
    let plan = files::plan(run.site, &run.domain, &run.vouched.release, 0)?;
    run.warnings.extend(plan.warnings.iter().cloned());
    Ok(plan)
}

/// Places them. Where that fails midway, the files before come back, and with them the state before.
pub(super) fn place(run: &mut Run<'_>, plan: FilesPlan, before: &ProductState) -> Result<(), Failure> {
    if plan.is_empty() {
        return Ok(());
    }
    run.steps.begin("files")?;
    if let Err(error) = files::carry_out(run.site, &plan) {
        run.steps.failed(&error.to_string())?;
        return Err(take_back(run, before, error.into()));
    }
    plan.changes.iter().for_each(|change| run.progress.note(&change.to_string()));
    run.files = plan.changes;
    Ok(run.steps.end()?)
}

/// The release was not activated after all: its files go, the product is what it was. Returns why.
pub(super) fn take_back(run: &mut Run<'_>, before: &ProductState, why: Failure) -> Failure {
    let current = before.current.as_ref().map(|current| current.release.clone());
    match bring_back(run, current.as_ref()) {
        Ok(()) => {
            run.product = before.clone();
            match run.write_product() {
                Ok(()) => why,
                Err(error) => error.into(),
            }
        }
        // The release stays current and unconfirmed, and running again goes on from there.
        Err(failure) => {
            run.progress.note(&format!("the files before could not be brought back: {failure}"));
            why
        }
    }
}

/// Puts the files of an earlier release back into their places, out of the store; without one, takes all away.
pub(super) fn bring_back(run: &mut Run<'_>, release: Option<&ReleaseRef>) -> Result<(), Failure> {
    let plan = match release {
        Some(release) => files::plan(run.site, &run.domain, &run.site.store.read_release(&release.digest)?, 0)?,
        None => files::plan_none(run.site, &run.domain, &run.product.product)?,
    };
    files::carry_out(run.site, &plan)?;
    plan.changes.iter().for_each(|change| run.progress.note(&change.to_string()));
    run.warnings.extend(plan.warnings);
    Ok(())
}
