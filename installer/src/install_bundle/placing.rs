//! The files of a release, within a run: placed before its objects are applied, and taken back with it.

use consign_format::error::Failure;
use consign_format::release::Service;

use super::run::Run;
use crate::files::{self, FilesPlan};
use crate::services;
use crate::store::products::ReleaseRef;

/// Plans the files of the release, with everything that may refuse them.
pub(super) fn plan(run: &mut Run<'_>) -> Result<FilesPlan, Failure> {
    let plan = files::plan(run.site, &run.domain, &run.manifest, 0)?;
    run.warnings.extend(plan.warnings.iter().cloned());
    Ok(plan)
}

/// Places them, and looks after the services that depend on them.
pub(super) fn place(run: &mut Run<'_>, plan: FilesPlan) -> Result<(), Failure> {
    let services = run.manifest.services.clone();
    if plan.is_empty() && services::is_idle(run.site, (&run.domain, &run.product.product), &services)? {
        return Ok(());
    }
    run.steps.begin("files")?;
    if let Err(failure) = put(run, &plan, &services) {
        run.steps.failed(&failure.to_string())?;
        return Err(failure);
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
