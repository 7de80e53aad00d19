//! An encrypted bundle on its way: what an observer learns, who can read it, what damage does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a suite reports by panicking, and what it writes need not survive a power cut"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use consign_sealed::SiteKey;
use consign_tests::command::{self, Invocation};
use consign_tests::images::run;
use consign_tests::site::Site;
use serde_json::Value;

const BUNDLE: &str = "demo-1.0.0.consign";
/// A name that stands in the tree, in an object and in a file.
const NAME: &str = "ward-seven-oncology";

/// A repository with the demo's manifests and images and a file of some size, and the bundle of it.
struct Demo(tempfile::TempDir);

impl Demo {
    /// Made once: no test changes it.
    fn get() -> &'static Self {
        static DEMO: OnceLock<Demo> = OnceLock::new();
        DEMO.get_or_init(|| {
            let demo = Demo(tempfile::tempdir().unwrap());
            consign_bundler::demo::write(demo.path()).unwrap();
            let object = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {NAME}}}\n");
            fs::write(demo.path().join("deploy/ward.yaml"), object).unwrap();
            // Text that does not pack away: several chunks of it are left.
            let mut random = 1_u64;
            let mut line = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                format!("{NAME} {:x}\n", random >> 8)
            };
            fs::write(demo.path().join("records.txt"), (0..60_000).map(|_| line()).collect::<String>()).unwrap();
            demo.commit();
            demo.consign(["init", "--product", "demo", "--release", "1.0.0", "--images-from", "images"]).succeeds();
            let release = demo.path().join("release.yaml");
            let text = fs::read_to_string(&release).unwrap();
            let files = "files: [{path: records.txt, to: /srv/ward/records.txt}]\nrollout:";
            fs::write(&release, text.replacen("rollout:", files, 1)).unwrap();
            demo.consign(["build"]).succeeds();
            demo
        })
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn bundle(&self) -> PathBuf {
        self.path().join(BUNDLE)
    }

    fn commit(&self) {
        let git = |arguments: &[&str]| {
            let author = ["-c", "user.name=A", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false"];
            run(Command::new("git").args(author).args(arguments).current_dir(self.path()));
        };
        git(&["init", "--quiet", "--initial-branch=main"]);
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--message=x"]);
    }

    fn consign<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        command::consign(arguments).in_folder(self.path()).env("HOME", self.path())
    }

    fn inspect(&self) -> Value {
        self.consign(["inspect", "--json"]).arg(BUNDLE).succeeds().json()
    }

    /// Encrypts the bundle; returns the file's path.
    fn encrypted(&self, to: &str, name: &str) -> PathBuf {
        let output = self.path().join(name);
        self.consign(["encrypt", BUNDLE]).option("--to", to).option("--output", &output).succeeds();
        output
    }

    /// Names that only somebody who knows the release knows.
    fn names(&self) -> BTreeSet<String> {
        let shown = self.inspect();
        let release = &shown["release"];
        let list = |field: &str, key: &str| {
            let list = release[field].as_array().unwrap().iter();
            list.map(|entry| entry[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let mut names: BTreeSet<String> = list("images", "reference")
            .iter()
            .map(|reference| reference.split(':').next().unwrap().to_owned())
            .collect();
        names.extend(list("blobs", "digest").iter().map(|digest| digest.trim_start_matches("sha256:").to_owned()));
        names.extend(list("files", "to"));
        names.insert(release["source"]["commit"].as_str().unwrap().to_owned());
        names
            .extend([NAME, "oci-layout", "index.json", "release.json", "timestamp", "blobs/sha256"].map(str::to_owned));
        names
    }
}

fn site() -> Site {
    Site::enrolled(&Demo::get().path().join("trust"))
}

/// The recipient that enrolment has made.
fn recipient(site: &Site) -> String {
    let text = fs::read_to_string(site.kept().join("trust/site.age")).unwrap();
    SiteKey::from_text(&text).unwrap().recipient().to_string()
}

/// The members of a tar file, read by nobody's code but this test's: name and content.
fn members(bytes: &[u8]) -> Vec<(String, &[u8])> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at + 512 <= bytes.len() && bytes[at] != 0 {
        let text = |from: usize, to: usize| {
            let field = &bytes[at + from..at + to];
            String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap()).trim().to_owned()
        };
        let size = usize::from_str_radix(&text(124, 136), 8).expect("an octal size");
        found.push((text(0, 100), &bytes[at + 512..at + 512 + size]));
        at += 512 + size.div_ceil(512) * 512;
    }
    found
}

/// Bits of information per byte, by how often each value occurs.
fn entropy(block: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    block.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / block.len() as f64);
    shares.map(|share| -share * share.log2()).sum()
}

/// Which of the names occur in a file, by grep.
fn told(names: &BTreeSet<String>, file: &Path) -> BTreeSet<String> {
    let list = file.with_extension("names");
    fs::write(&list, names.iter().map(|name| format!("{name}\n")).collect::<String>()).unwrap();
    let mut grep = Command::new("grep");
    grep.args(["--text", "--only-matching", "--fixed-strings", "--file"]).arg(&list).arg(file).env("LC_ALL", "C");
    let output = grep.output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn an_observer_learns_sizes_and_how_many_recipients_there_are() {
    let demo = Demo::get();
    let sealed = demo.encrypted(SiteKey::generate().recipient().as_str(), "observed.consign");
    let (plain, bytes) = (fs::read(demo.bundle()).unwrap(), fs::read(&sealed).unwrap());
    // strings: no name of the release, of which the plain bundle is full. (Objects and files are packed there.)
    let names = demo.names();
    let open = told(&names, &demo.bundle());
    assert!(open.len() > 15 && open.contains("release.json"), "the plain bundle tells {open:?} of {names:?}");
    assert_eq!(told(&names, &sealed), BTreeSet::new());
    // tar: the four members and nothing else.
    let listed = run(Command::new("tar").arg("-tf").arg(&sealed));
    assert_eq!(listed.trim(), "consign-encrypted\nkeys\nhead.age\npayload.age");
    // entropy: noise from the first block to the last.
    let members = members(&bytes);
    assert_eq!((members[0].1, members[1].1.len()), (&b"1\n"[..], 512));
    for (name, content) in &members[2..] {
        let blocks = content.chunks_exact(64 * 1024);
        assert!(blocks.len() >= 2, "{name} is too small to judge");
        for (n, block) in blocks.enumerate() {
            let found = entropy(block);
            assert!(found > 7.9, "block {n} of {name} has {found} bits per byte");
        }
    }
    let patterned = plain.chunks_exact(64 * 1024).filter(|block| entropy(block) < 7.9).count();
    assert!(patterned > 0, "the plain bundle would pass as noise");
    // sizes: no more than the chunks and the headers add.
    let overhead = bytes.len() - plain.len();
    assert!(overhead < 8192 + plain.len() / 4000, "{overhead} bytes more");
}

#[test]
fn two_encryptions_share_no_key_stream() {
    let to = SiteKey::generate().recipient();
    let files = ["one.consign", "two.consign"].map(|name| fs::read(Demo::get().encrypted(to.as_str(), name)).unwrap());
    let (one, two) = (members(&files[0]), members(&files[1]));
    for n in [2, 3] {
        // The headers differ in length; what they encrypt ends at the same place.
        let length = one[n].1.len().min(two[n].1.len()) - 512;
        let [first, second] = [one[n].1, two[n].1].map(|bytes| &bytes[bytes.len() - length..]);
        let mut blocks = first.chunks_exact(16).zip(second.chunks_exact(16));
        assert!(blocks.all(|(a, b)| a != b), "{}: a block is equal in both", one[n].0);
        // One key stream used twice would leave the difference of two equal texts: zeros.
        let difference: Vec<u8> = first.iter().zip(second).map(|(a, b)| a ^ b).collect();
        for block in difference.chunks_exact(64 * 1024) {
            assert!(entropy(block) > 7.9, "{}: the difference has a pattern", one[n].0);
        }
    }
    let (a, b) = (one[1].1, two[1].1);
    assert_eq!(a[..32], b[..32], "the same recipient has the same id");
    assert_ne!(a[34..], b[34..], "the same key was wrapped twice");
}

/// What refusing may change: the count of refusals.
fn kept(site: &Site) -> BTreeMap<PathBuf, String> {
    let mut all = site.snapshot();
    all.retain(|path, _| !path.to_string_lossy().contains("/journal"));
    all
}

/// The objects that the handoff `export` has left.
fn exported(site: &Site) -> BTreeMap<String, String> {
    let folder = site.exported("demo").read_dir().unwrap().map(|entry| entry.unwrap());
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap_or_default())
    };
    folder.map(read).collect()
}

#[test]
fn the_site_it_is_for_installs_it_and_no_other_can() {
    let demo = Demo::get();
    let (ours, other) = (site(), site());
    let list = demo.path().join("sites.txt");
    fs::write(&list, format!("# ward 7\n{}\n{}\n", recipient(&ours), SiteKey::generate().recipient())).unwrap();
    let sealed = demo.encrypted("sites.txt", "installed.consign");

    let before = kept(&other);
    other.export(&sealed).fails("cannot-decrypt", 18).says(&recipient(&other));
    other.invoke(["verify"]).arg(&sealed).fails("cannot-decrypt", 18);
    assert_eq!(kept(&other), before);

    ours.invoke(["verify"]).arg(&sealed).succeeds();
    let done = ours.export(&sealed).arg("--json").succeeds().json();
    assert_eq!(done["outcome"], "applied", "{done}");
    // The plain bundle leads to the same.
    other.export(&demo.bundle()).succeeds();
    assert!(exported(&ours).keys().any(|name| name.contains(NAME)));
    assert_eq!(exported(&ours), exported(&other));
    // The connected side reads it with the key, too.
    let identity = ours.kept().join("trust/site.age");
    demo.consign(["verify"]).arg(&sealed).option("--identity", &identity).succeeds();
    demo.consign(["verify"]).arg(&sealed).fails("cannot-decrypt", 18).says("--identity");
}

#[test]
fn cut_and_flipped_files_leave_the_site_as_it_was() {
    let site = site();
    let bytes = fs::read(Demo::get().encrypted(&recipient(&site), "damaged.consign")).unwrap();
    let before = kept(&site);
    let file = tempfile::Builder::new().suffix(".consign").tempfile().unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(file.path(), bytes).unwrap();
        site.export(file.path()).fails("cannot-decrypt", 18);
        assert_eq!(kept(&site), before);
    };
    for at in [513, 1024, 1600, 2048, 3000, 200_000, bytes.len() / 2, bytes.len() - 3000, bytes.len() - 1] {
        refused(&bytes[..at]);
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        refused(&flipped);
    }
    refused(&[&bytes[..], b"more"].concat());
    fs::write(file.path(), &bytes).unwrap();
    site.export(file.path()).succeeds();
}

/// Measured and printed, not judged: time depends on the machine. The size is judged.
#[test]
#[expect(clippy::print_stdout, reason = "figures are told, never judged")]
fn twenty_thousand_recipients() {
    let demo = Demo::get();
    let site = site();
    let mut list: Vec<String> = (1..20_000).map(|_| SiteKey::generate().recipient().to_string()).collect();
    list.push(recipient(&site));
    fs::write(demo.path().join("twenty-thousand.txt"), list.join("\n")).unwrap();
    let timed = |what: &dyn Fn()| {
        let begun = Instant::now();
        what();
        begun.elapsed()
    };
    let alone = timed(&|| drop(demo.encrypted(&recipient(&site), "alone.consign")));
    let many = timed(&|| drop(demo.encrypted("twenty-thousand.txt", "many.consign")));
    let [one, all] = ["alone.consign", "many.consign"].map(|name| demo.path().join(name));
    let length = |path: &Path| fs::metadata(path).unwrap().len();
    let more = length(&all) - length(&one);
    let verify = |path: &Path| timed(&|| drop(site.invoke(["verify"]).arg(path).succeeds()));
    let (read_one, read_all) = (verify(&one), verify(&all));
    println!(
        "20 000 recipients: {more} bytes more than one; encrypted in {many:?} (one: {alone:?}), verified at a site in \
         {read_all:?} (one: {read_one:?})"
    );
    // A slot each; the headers of the two parts vary by the grease that age adds.
    assert!(more <= 512 * 20_000 + 2048, "{more} bytes more");
    site.export(&all).succeeds();
}
