//! What became of a bundle, in words for people.

use std::fmt::Write as _;

use crate::files::FileChange;
use crate::handoff::Plan;
use crate::install_bundle::{Finished, Installed, Metadata, Planned, StagedRelease};

/// Says how a run ended.
pub(super) fn finished(finished: &Finished) -> String {
    match finished {
        Finished::Installed(one) => installed(one),
        Finished::Informed(metadata) => informed(metadata),
        Finished::Staged(one) => staged(one),
        Finished::Planned(one) => planned(one),
    }
}

fn installed(installed: &Installed) -> String {
    let health = match (installed.handoff, installed.health.objects) {
        ("export", _) => "not known: the objects are in a folder for somebody else to apply".to_owned(),
        (_, objects) => format!("{objects} objects healthy"),
    };
    let already = if installed.already_current {
        format!(
            "already at sequence {}: {} {} was installed before",
            installed.sequence, installed.product, installed.version
        )
    } else {
        format!("{} {} is installed", installed.product, installed.version)
    };
    let human = format!(
        "{already}\nsequence  {}\nrelease   {}\nloaded    {}\nobjects   {}\nhealth    {health}\nreceipt   {}",
        installed.sequence,
        installed.release,
        consign_terminal::bytes(installed.loaded.written),
        installed.changes.counts(),
        installed.receipt,
    );
    let files: String = installed.files.iter().map(|change| format!("\n{change}")).collect();
    format!("{human}{files}")
}

fn informed(metadata: &Metadata) -> String {
    let mut human = format!("the bundle holds metadata alone; root {} of domain {}", metadata.root, metadata.domain);
    metadata.taken.iter().for_each(|words| human.push_str(&format!("\ntaken     {words}")));
    human
}

fn staged(staged: &StagedRelease) -> String {
    let mut human = match staged.is_current {
        true => format!("{} {} is the current release already; nothing waits", staged.product, staged.version),
        false => format!("{} {} is staged; nothing that runs was touched", staged.product, staged.version),
    };
    let _ = write!(human, "\nsequence  {}\nrelease   {}", staged.sequence, staged.release);
    let _ = write!(human, "\nloaded    {}\nactivating it would change", consign_terminal::bytes(staged.loaded.written));
    changes(&mut human, &staged.plan, &staged.files, &staged.restarts);
    match &staged.waits {
        Some(why) => drop(write!(human, "\nwaits     {why}")),
        None if staged.is_current => {}
        None => human.push_str("\nnext      consign-site activate"),
    }
    human
}

fn planned(planned: &Planned) -> String {
    let mut human = format!("{} {} would be installed; nothing was changed", planned.product, planned.version);
    changes(&mut human, &planned.plan, &planned.files, &planned.restarts);
    human
}

fn changes(human: &mut String, plan: &Plan, files: &[FileChange], restarts: &[String]) {
    files.iter().for_each(|change| human.push_str(&format!("\n  {change}")));
    restarts.iter().for_each(|unit| human.push_str(&format!("\n  service {unit}: restarted")));
    for entry in &plan.changes.entries {
        let predicted = if plan.predicted.contains(&entry.key) { " (predicted)" } else { "" };
        human.push_str(&format!("\n  {entry}{predicted}"));
        let diff = plan.fields.iter().find(|diff| diff.key == entry.key);
        for line in diff.iter().flat_map(|diff| diff.lines()) {
            human.push_str(&format!("\n      {line}"));
        }
    }
    human.push_str(&format!("\n{}", plan.changes.counts()));
}
