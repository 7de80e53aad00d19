//! The report as people read it: what is good in a few lines, everything else line by line.

use std::fmt::Write as _;

use super::report::{Check, Kind, Outcome, Report, RootShown, Verdict};

impl RootShown {
    /// Says it in one line.
    pub fn text(&self) -> String {
        let development = if self.development { ", a development root" } else { "" };
        format!(
            "root {} of domain {}{development}; {} of {} approvers",
            self.version, self.domain, self.threshold, self.approvers
        )
    }
}

impl Check {
    /// How it ended, as people read it.
    fn text(&self) -> String {
        let outcome = match self.outcome {
            Outcome::Passed => "passed",
            Outcome::Refused => "REFUSED",
            Outcome::Unchecked => "unchecked",
        };
        let mut lines = self.lines().into_iter();
        let first = lines.next().map(|line| format!(": {line}")).unwrap_or_default();
        let mut text = format!("\n  {outcome:9}  {}{first}", self.name());
        lines.for_each(|line| text.push_str(&format!("\n             {line}")));
        text
    }

    /// Everything it has to say, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.note.iter().cloned().collect();
        for finding in &self.findings {
            let mut line = format!("error[{}]: {}", finding.code, finding.message);
            finding.causes.iter().for_each(|cause| line.push_str(&format!(": {cause}")));
            lines.push(line);
        }
        lines
    }
}

impl Report {
    /// The report as people read it.
    pub fn text(&self) -> String {
        let mut text = match self.verdict {
            Verdict::Accepted => self.accepted(),
            Verdict::Unchecked => format!("{} could not be checked in full", self.bundle),
            Verdict::Refused => format!("{} is refused", self.bundle),
        };
        for check in &self.checks {
            let told = matches!(check.check, Kind::Trust | Kind::Content | Kind::State);
            if self.verdict != Verdict::Accepted || !told {
                text.push_str(&check.text());
            }
            check.warnings.iter().for_each(|warning| {
                let _ = write!(text, "\n  warning    {}: {warning}", check.name());
            });
        }
        text
    }
    /// What an accepted bundle is, and what was read of it.
    fn accepted(&self) -> String {
        let vouched = self.root.as_ref().map(RootShown::text).unwrap_or_default();
        let bytes = consign_terminal::bytes(self.bytes.unwrap_or_default());
        let Some(head) = &self.head else {
            let (roots, statements) = (self.roots.len(), self.statements.len());
            return format!(
                "{} is whole and signed: metadata alone, no release\n  vouched  {vouched}\n  carries  roots 1 to {roots}, \
                 {statements} statements\n  read     {bytes}",
                self.bundle
            );
        };
        format!(
            "{} {} is whole and signed\n  vouched  {vouched}\n  release  {}\n  read     {} members, {bytes}\n  holds    {} \
             objects",
            head.product,
            head.version,
            head.release,
            self.members.unwrap_or_default(),
            self.objects.unwrap_or_default()
        )
    }
}
