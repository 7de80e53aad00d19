//! `cargo xtask bench`: how near loading and verifying come to what the machine can do at all.
//!
//! Absolute seconds say more about the disk than about us, so each figure is a ratio to a yardstick run in the same
//! round: load to `cat BUNDLE > FILE; sync`, verify to `openssl dgst -sha256` (coreutils' sha256sum is several times
//! slower and no yardstick). Rounds are interleaved, so that a busy minute hits both sides alike; medians are shown.

mod measure;
mod payload;
mod registry;

use std::path::{Path, PathBuf};

use crate::step::{Failed, Step, target};
use measure::{Run, ratio};
use payload::Payload;

/// Size of the generated bundle unless another is asked for, in MiB.
const SIZE: u64 = 2048;
/// Odd, so that the median is a measurement.
const ROUNDS: usize = 5;

/// `bench [MIB] [ROUNDS]`, `bench registry [MIB] [CLIENTS] [ROUNDS]`.
pub(crate) fn run(arguments: &[&str]) -> Result<(), Failed> {
    if let ["registry", rest @ ..] = arguments {
        return registry::run(rest);
    }
    let number = |text: &&str| text.parse::<u64>().map_err(|_| Failed::usage("bench [MIB] [ROUNDS]"));
    let size = arguments.first().map(number).transpose()?.unwrap_or(SIZE);
    let rounds = arguments.get(1).map(number).transpose()?.map_or(ROUNDS, |rounds| rounds.max(1) as usize);

    Step::cargo(["build", "--release", "-p", "consign-bundler", "-p", "consign-installer", "--bins"]).run()?;
    let folder = target().join("bench");
    let payload = Payload::make(&folder, size, &programs())?;
    let bench = Bench { folder, payload };
    let mut taken = Taken::default();
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        taken.copy.push(bench.copy()?);
        taken.load.push(bench.load(round)?);
        taken.digest.push(bench.digest()?);
        taken.verify.push(bench.verify()?);
    }
    taken.print(bench.payload.bytes);
    Ok(())
}

/// The folder with the release builds of both programs.
fn programs() -> PathBuf {
    target().join("release")
}

struct Bench {
    folder: PathBuf,
    payload: Payload,
}

impl Bench {
    fn copy(&self) -> Result<Run, Failed> {
        let to = self.folder.join("copy");
        let script = "cat \"$0\" > \"$1\"; sync \"$1\"";
        let run = self.measure("sh", &["-c".as_ref(), script.as_ref(), &self.payload.bundle, &to])?;
        remove(&to)?;
        Ok(run)
    }

    /// Loads into a new site, so that every blob is written.
    fn load(&self, round: usize) -> Result<Run, Failed> {
        let site = self.folder.join(format!("site-{round}"));
        self.payload.enrol(&programs(), &site)?;
        let arguments = self.payload.install_arguments(&site);
        let run =
            self.measure(programs().join("consign-site"), &arguments.iter().map(Path::new).collect::<Vec<_>>())?;
        remove(&site)?;
        Ok(run)
    }

    fn digest(&self) -> Result<Run, Failed> {
        self.measure("openssl", &["dgst".as_ref(), "-sha256".as_ref(), &self.payload.bundle])
    }

    fn verify(&self) -> Result<Run, Failed> {
        let arguments = self.payload.verify_arguments();
        self.measure(programs().join("consign"), &arguments.iter().map(Path::new).collect::<Vec<_>>())
    }

    fn measure(&self, program: impl AsRef<Path>, arguments: &[&Path]) -> Result<Run, Failed> {
        measure::run(program.as_ref(), arguments, &self.folder)
    }
}

fn remove(path: &Path) -> Result<(), Failed> {
    let done = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    done.map_err(|error| Failed::new(format!("cannot remove {}: {error}", path.display())))
}

#[derive(Default)]
struct Taken {
    copy: Vec<Run>,
    load: Vec<Run>,
    digest: Vec<Run>,
    verify: Vec<Run>,
}

impl Taken {
    fn print(&self, bytes: u64) {
        let peak = |runs: &[Run]| runs.iter().map(|run| run.peak_kib).max().unwrap_or(0) / 1024;
        println!("\nbundle {} MiB, medians of {} interleaved rounds", bytes >> 20, self.copy.len());
        println!("load / (cat; sync)      {:.2}   peak memory {} MiB", ratio(&self.load, &self.copy), peak(&self.load));
        println!(
            "verify / openssl dgst   {:.2}   peak memory {} MiB",
            ratio(&self.verify, &self.digest),
            peak(&self.verify)
        );
        for (name, runs) in
            [("cat; sync", &self.copy), ("load", &self.load), ("openssl dgst", &self.digest), ("verify", &self.verify)]
        {
            let seconds: Vec<String> = runs.iter().map(|run| format!("{:.2}", run.seconds)).collect();
            println!("  {name:13} {} s", seconds.join(" "));
        }
    }
}
