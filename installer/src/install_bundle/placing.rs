//! The files of a release, within a run: placed before its objects are applied, and taken back with it.

use consign_format::error::Failure;
use consign_format::release::Service;

use super::run::Run;
use crate::files::{self, FilesPlan};
use crate::services;
use crate::store::products::{ProductState, ReleaseRef};

/// Plans the files of the release, with everything that may refuse them.
pub(super) fn plan(run: &mut Run<'_>) -> Result<FilesPlan, Failure> {
    let plan = files::plan(run.site, &run.domain, &run.vouched.release, 0)?;
    run.warnings.extend(plan.warnings.iter().cloned());
    Ok(plan)
}

/// Places them, and looks after the services that depend on them. Where that fails midway, what was before comes back.
pub(super) fn place(run: &mut Run<'_>, plan: FilesPlan, before: &ProductState) -> Result<(), Failure> {
    let services = run.vouched.release.services.clone();
    if plan.is_empty() && services::is_idle(run.site, (&run.domain, &run.product.product), &services)? {
        return Ok(());
    }
    run.steps.begin("files")?;
    if let Err(failure) = put(run, &plan, &services) {
        run.steps.failed(&failure.to_string())?;
        return Err(take_back(run, before, failure));
    }
    run.files = plan.changes;
    Ok(run.steps.end()?)
}

fn put(run: &Run<'_>, plan: &FilesPlan, services: &[Service]) -> Result<(), Failure> {
    let whose = (&run.domain, &run.product.product);
    services::before_files(run.site, whose, services, &plan.changes)?;
    files::carry_out(run.site, plan)?;
    plan.changes.iter().for_each(|change| run.progress.note(&change.to_string()));
    services::after_files(run.site, whose, services)?.iter().for_each(|done| run.progress.note(done));
    Ok(())
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

/// Puts the files of an earlier release back into their places, out of the store; without one, takes all away. Services
/// are again what they were then.
pub(super) fn bring_back(run: &mut Run<'_>, release: Option<&ReleaseRef>) -> Result<(), Failure> {
    let (plan, services) = match release {
        Some(release) => {
            let release = run.site.store.read_release(&release.digest)?;
            (files::plan(run.site, &run.domain, &release, 0)?, release.services)
        }
        None => (files::plan_none(run.site, &run.domain, &run.product.product)?, Vec::new()),
    };
    put(run, &plan, &services)?;
    run.warnings.extend(plan.warnings);
    Ok(())
}
