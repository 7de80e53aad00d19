//! One measured run of one program: seconds and peak memory, as GNU time saw them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::step::Failed;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) seconds: f64,
    /// Largest resident set, in KiB.
    pub(super) peak_kib: u64,
}

/// Runs a program under GNU time; its failure ends the bench.
pub(super) fn run(program: &Path, arguments: &[&Path], folder: &Path) -> Result<Run, Failed> {
    let report = folder.join("time");
    let mut command = Command::new("/usr/bin/time");
    command.args(["-f", "%M", "-o"]).arg(&report).arg(program).args(arguments).stdout(Stdio::null());
    let begun = Instant::now();
    let status = command
        .status()
        .map_err(|error| Failed::new(format!("cannot run /usr/bin/time (apt-get install time): {error}")))?;
    let seconds = begun.elapsed().as_secs_f64();
    if !status.success() {
        return Err(Failed::new(format!("{} failed ({status})", program.display())));
    }
    let text = std::fs::read_to_string(&report).unwrap_or_default();
    let peak = text.lines().last().and_then(|line| line.trim().parse().ok());
    let peak_kib = peak.ok_or_else(|| Failed::new(format!("GNU time reported `{text}`, no memory")))?;
    Ok(Run { seconds, peak_kib })
}

/// The median time of one set over the median time of another.
pub(super) fn ratio(ours: &[Run], yardstick: &[Run]) -> f64 {
    median(ours) / median(yardstick)
}

fn median(runs: &[Run]) -> f64 {
    let mut seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_round_does_not_move_the_ratio() {
        let runs = |seconds: &[f64]| seconds.iter().map(|s| Run { seconds: *s, peak_kib: 0 }).collect::<Vec<_>>();
        assert_eq!(ratio(&runs(&[2.0, 90.0, 2.0]), &runs(&[1.0, 1.0, 40.0])), 2.0);
    }
}
