//! Proves that a node gets its images from this site: files, servers, then pulls by the runtime itself.
//!
//! A check that could not be made is told as such and never as a success: what is not proven may be wrong.

use std::collections::BTreeSet;

use consign_format::Reference;
use serde::Serialize;

use super::change::{self, Action};
use super::{NodesError, Place, Runtime, Setup, plan};

mod pull;
mod reach;
mod run;
mod trap;

pub(crate) use reach::{Answer, answers};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds.
    Proven,
    /// It does not.
    Failed,
    /// Nobody could look.
    NotProven,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The runtime it is about; none where it is about a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// What was to be proven.
    pub what: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Proof {
    pub(super) fn proven(runtime: Option<Runtime>, what: impl Into<String>) -> Self {
        Proof { runtime, what: what.into(), verdict: Verdict::Proven, seen: None, fix: None }
    }

    pub(super) fn failed(
        runtime: Option<Runtime>,
        what: impl Into<String>,
        seen: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (seen, fix) = (Some(seen.into()), Some(fix.into()));
        Proof { runtime, what: what.into(), verdict: Verdict::Failed, seen, fix }
    }

    pub(super) fn unproven(runtime: Option<Runtime>, what: impl Into<String>, why: impl Into<String>) -> Self {
        Proof { runtime, what: what.into(), verdict: Verdict::NotProven, seen: Some(why.into()), fix: None }
    }
}

/// Makes every check that can be made here. `canary` is the image that is pulled; without one nothing is.
pub async fn check(
    place: &Place,
    setup: &Setup,
    runtimes: &BTreeSet<Runtime>,
    canary: Option<&Reference>,
) -> Result<Vec<Proof>, NodesError> {
    let mut proofs = Vec::new();
    for runtime in runtimes {
        proofs.extend(files(place, setup, *runtime)?);
    }
    for server in &setup.servers {
        proofs.extend(reach::server(setup, server, canary).await);
    }
    for runtime in runtimes {
        match canary {
            Some(canary) => proofs.extend(pull::by_runtime(place, setup, *runtime, canary)),
            None => {
                proofs.push(Proof::unproven(Some(*runtime), "a canary pull", "there is no image to pull; see --image"))
            }
        }
    }
    Ok(proofs)
}

/// Whether the files of a runtime are what `nodes write` would write.
fn files(place: &Place, setup: &Setup, runtime: Runtime) -> Result<Vec<Proof>, NodesError> {
    let only = BTreeSet::from([runtime]);
    let about = Some(runtime);
    let what = "its files say where this site's images are";
    let wanted = match plan::wanted(setup, place, &only) {
        Ok(wanted) => wanted,
        Err(NodesError::Conflict { message, fix, .. }) => return Ok(vec![Proof::failed(about, what, message, fix)]),
        Err(error) => return Err(error),
    };
    let change = change::prepare(place, &only, &wanted.files, None, true)?;
    let wrong = |file: &&change::FileChange| file.action != Action::Unchanged;
    let wrong: Vec<String> =
        change.files().filter(wrong).map(|file| place.name(&file.path).display().to_string()).collect();
    let mut proofs = vec![if wrong.is_empty() {
        Proof::proven(about, what)
    } else {
        let seen = format!("not as `nodes write` would write them: {}", wrong.join(", "));
        Proof::failed(about, what, seen, "run consign-site nodes write")
    }];
    for advice in wanted.advice.into_iter().filter(|advice| advice.needed) {
        proofs.push(match runtime {
            Runtime::Openshift => {
                Proof { fix: Some(advice.fix), ..Proof::unproven(about, "it was applied", advice.message) }
            }
            _ => Proof::failed(about, "its own configuration leads there", advice.message, advice.fix),
        });
    }
    Ok(proofs)
}

/// The error that a run of checks ends in; none where nothing failed.
pub fn verdict(proofs: &[Proof]) -> Result<(), NodesError> {
    let failed: Vec<&Proof> = proofs.iter().filter(|proof| proof.verdict == Verdict::Failed).collect();
    let Some(first) = failed.first() else { return Ok(()) };
    let about = first.runtime.map(|runtime| format!("{runtime}: ")).unwrap_or_default();
    let seen = first.seen.as_deref().unwrap_or_default();
    Err(NodesError::Check {
        failed: failed.len(),
        of: proofs.len(),
        first: format!("{about}{}: {seen}", first.what),
        fix: first.fix.clone(),
    })
}
