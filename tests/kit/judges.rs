//! Programs by others that judge a bundle: an auditor's shell script, python-tuf and tuf-js.
//!
//! The two TUF clients are kept out of the product's tree: their packages come, by pin and hash, from the registries of
//! their languages into the cache folder of [`crate::tools`], complete or absent. `tough` is no judge here: it brings
//! aws-lc, a C library that takes cmake and minutes to build.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use consign_format::Digest;

use crate::tools;

/// Somebody who says whether a bundle is to be trusted, and has no line of code in common with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judge {
    /// `docs/verify.sh`: looks at the whole file, remembers nothing.
    VerifySh,
    /// The Python client of the TUF project: looks at the signed documents and the release manifest, remembers versions.
    PythonTuf,
    /// The JavaScript client of npm and sigstore: as python-tuf.
    TufJs,
}

/// What a judge said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The bundle is good, as far as this judge can see.
    Accepts,
    /// It is not, and why.
    Refuses(String),
}

impl Verdict {
    /// Whether it is [`Verdict::Accepts`].
    pub fn is_good(&self) -> bool {
        *self == Verdict::Accepts
    }
}

impl Judge {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::VerifySh, Self::PythonTuf, Self::TufJs];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerifySh => "verify.sh",
            Self::PythonTuf => "python-tuf",
            Self::TufJs => "tuf-js",
        }
    }

    /// How to get what [`Judge::seat`] misses, for `skip::unless`.
    pub const HOW: &str =
        "on Debian: apt-get install openssl jq python3-pip nodejs npm; and a way to PyPI and npm, once";

    /// Gets what the judge needs, once per machine; the error says what is missing.
    ///
    /// # Errors
    /// What could not be run or fetched, in words.
    pub fn seat(self) -> Result<Seat, String> {
        let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/judges"));
        let packages = match self {
            Self::VerifySh => {
                let needed = ["openssl", "jq", "basenc", "zstd"];
                let lacking = |name: &&&str| Command::new(name).arg("--version").output().is_err();
                let missing: Vec<&str> = needed.iter().filter(lacking).copied().collect();
                return match missing.as_slice() {
                    [] => Ok(Seat { judge: self, packages: PathBuf::new() }),
                    _ => Err(format!("not installed: {}", missing.join(", "))),
                };
            }
            Self::PythonTuf => fetched("python-tuf", &[here.join("requirements.txt")], |folder| {
                let mut pip = Command::new("python3");
                pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
                pip.args(["--require-hashes", "--no-deps", "--only-binary", ":all:", "--target"]).arg(folder);
                pip.arg("--requirement").arg(here.join("requirements.txt"));
                pip
            }),
            Self::TufJs => fetched("tuf-js", &[here.join("package-lock.json"), here.join("package.json")], |folder| {
                let mut npm = Command::new("npm");
                npm.args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
                npm
            }),
        };
        packages.map(|packages| Seat { judge: self, packages })
    }
}

/// A judge that is ready to be asked.
#[derive(Debug, Clone)]
pub struct Seat {
    judge: Judge,
    packages: PathBuf,
}

impl Seat {
    /// Who sits here.
    pub fn judge(&self) -> Judge {
        self.judge
    }

    /// Asks about a bundle, given the fingerprint of its first root. A TUF client remembers in `state` what it has seen.
    ///
    /// # Panics
    /// If the judge fails instead of judging.
    pub fn ask(&self, bundle: &Path, fingerprint: &str, state: &Path) -> Verdict {
        let head = match self.judge {
            Judge::VerifySh => return read_exit(&verify_sh().arg(bundle).arg(fingerprint).output().expect("sh runs")),
            Judge::PythonTuf | Judge::TufJs => unpack_head(bundle),
        };
        let scripts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/judges"));
        let mut command = if self.judge == Judge::PythonTuf {
            let mut command = Command::new("python3");
            command.arg(scripts.join("judge.py")).env("PYTHONPATH", &self.packages).env("PYTHONDONTWRITEBYTECODE", "1");
            command
        } else {
            let mut command = Command::new("node");
            command.arg(scripts.join("judge.mjs")).current_dir(&self.packages);
            command
        };
        let said = command.arg(head.path()).arg(fingerprint).arg(state).output().expect("the judge's language");
        let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        match text.strip_prefix("refuse: ") {
            Some(why) => Verdict::Refuses(why.to_owned()),
            None if text == "accept" => Verdict::Accepts,
            None => panic!("{} did not judge: {said:?}", self.judge.name()),
        }
    }
}

/// `docs/verify.sh`, as an auditor starts it.
pub fn verify_sh() -> Command {
    let mut command = Command::new("sh");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/verify.sh"));
    command
}

fn read_exit(said: &Output) -> Verdict {
    let text = String::from_utf8_lossy(&said.stdout);
    match (said.status.code(), text.lines().find_map(|line| line.strip_prefix("REFUSED  "))) {
        (Some(0), None) => Verdict::Accepts,
        (Some(1), Some(why)) => Verdict::Refuses(why.to_owned()),
        _ => panic!("verify.sh did not judge: {said:?}"),
    }
}

/// Lays out what a TUF client looks at as a folder. A bundle that tar can't read to its end is laid out as far as it goes.
fn unpack_head(bundle: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(bundle).arg("-C").arg(folder.path()).args(["metadata", "release.json"]);
    let said = tar.output().expect("tar runs");
    assert!(folder.path().join("metadata/1.root.json").is_file(), "no head in {}: {said:?}", bundle.display());
    folder
}

/// Where the packages of these pins are, after `fetch`ing them if they are not there: its command fills the folder that
/// it is given, in which copies of the pins lie.
fn fetched(name: &str, pins: &[PathBuf], fetch: impl Fn(&Path) -> Command) -> Result<PathBuf, String> {
    let mut bytes = Vec::new();
    for pin in pins {
        bytes.extend(fs::read(pin).map_err(|error| format!("{}: {error}", pin.display()))?);
    }
    let cache = tools::cache().map_err(|error| error.to_string())?;
    let folder = cache.join(format!("judge-{name}-{}", &Digest::of(&bytes).hex()[..16]));
    if folder.exists() {
        return Ok(folder);
    }
    let io = |error: std::io::Error| format!("no cache for {name}: {error}");
    fs::create_dir_all(&cache).map_err(io)?;
    let lock = File::create(cache.join("judges.lock")).map_err(io)?;
    lock.lock().map_err(io)?;
    if folder.exists() {
        return Ok(folder);
    }
    let scratch = tempfile::tempdir_in(&cache).map_err(io)?;
    for pin in pins {
        fs::copy(pin, scratch.path().join(pin.file_name().expect("a file"))).map_err(io)?;
    }
    // Past the test harness's capture: a registry that does not answer looks like a hang.
    let _ = writeln!(std::io::stderr().lock(), "fetching {name} (once; seconds)");
    let mut command = fetch(scratch.path());
    let said = command.output().map_err(|error| format!("{name} cannot be had: {command:?}: {error}"))?;
    if !said.status.success() {
        return Err(format!("{name} cannot be had: {}", String::from_utf8_lossy(&said.stderr).trim()));
    }
    fs::rename(scratch.keep(), &folder).map_err(io)?;
    Ok(folder)
}
