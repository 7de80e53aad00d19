//! What `consign` says when something is wrong: code, message, hint and exit code, from the program itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A repository with the demo's manifests and images, initialised.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let project = Project(tempfile::tempdir().unwrap());
        consign_bundler::demo::write(project.path()).unwrap();
        project.git(&["init", "--quiet", "--initial-branch=main"]);
        project.commit();
        let init = ["init", "--product", "demo", "--release", "1.0.0", "--images-from", "images"];
        assert_eq!(project.run(&init)["root"]["domain"], "demo");
        project
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn git(&self, arguments: &[&str]) {
        let author = ["-c", "user.name=A", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false"];
        let mut git = Command::new("git");
        git.args(author).args(arguments).current_dir(self.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        assert!(git.status().unwrap().success());
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=x"]);
    }

    /// Runs the program and returns its document; an error has the exit code it claims.
    fn run(&self, arguments: &[&str]) -> Value {
        let mut consign = Command::new(env!("CARGO_BIN_EXE_consign"));
        consign.current_dir(self.path()).args(arguments).args(["--json", "--quiet"]).env_remove("CONSIGN_KEY_FILE");
        let output = consign.output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
        let claimed = said["error"]["exit"].as_i64().unwrap_or(0);
        assert_eq!(output.status.code().map(i64::from), Some(claimed), "{said}");
        said
    }

    /// Writes a file of the tree and commits.
    fn with(&self, path: &str, text: &str) {
        fs::write(self.path().join(path), text).unwrap();
        self.commit();
    }

    fn edit(&self, path: &str, from: &str, to: &str) {
        let path = self.path().join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "no `{from}` in {}", path.display());
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

type Case = (&'static str, fn(&Project), &'static [&'static str]);

const BUILD: &[&str] = &["build"];
const OBJECT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
const DEPENDS: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: a, annotations: {config.kubernetes.io/depends-on: apps/namespaces/other/Deployment/db}}
";

const CASES: &[Case] = &[
    ("no release.yaml", |p| fs::remove_file(p.path().join("release.yaml")).unwrap(), BUILD),
    ("an unknown field", |p| p.edit("release.yaml", "namespace:", "namespaze:"), BUILD),
    ("a field that cannot be meant", |p| p.edit("release.yaml", "10m", "soon"), BUILD),
    ("release.yaml is there", |_| (), &["init"]),
    ("no manifests", |p| fs::create_dir(p.path().join("empty")).unwrap(), &["init", "empty"]),
    ("no root", |p| fs::remove_dir_all(p.path().join("trust")).unwrap(), BUILD),
    ("no key", |p| fs::remove_file(p.path().join("trust/dev.key")).unwrap(), BUILD),
    ("no such key", |_| (), &["build", "--key", "absent.key"]),
    ("a key that is none", |p| fs::write(p.path().join("trust/dev.key"), "x").unwrap(), BUILD),
    ("a key of another root", other_key, &["build", "--key", "other/dev.key"]),
    ("a root is there", |_| (), &["keys", "new", "--domain", "demo"]),
    ("no such ref", |p| p.edit("release.yaml", "ref: HEAD", "ref: v9"), BUILD),
    ("no such path", |p| p.edit("release.yaml", "path: deploy", "path: elsewhere"), BUILD),
    ("YAML that is none", |p| p.with("deploy/x.yaml", "a: [b\n"), BUILD),
    ("an object without kind", |p| p.with("deploy/x.yaml", "apiVersion: v1\nmetadata: {name: a}\n"), BUILD),
    ("an object without name", |p| p.with("deploy/x.yaml", "apiVersion: v1\nkind: ConfigMap\n"), BUILD),
    ("depends on what is not there", |p| p.with("deploy/x.yaml", DEPENDS), BUILD),
    ("an object twice", |p| p.with("deploy/x.yaml", &format!("{OBJECT}---\n{OBJECT}")), BUILD),
    ("no namespace", |p| p.edit("release.yaml", "namespace: demo\n", ""), BUILD),
    (
        "a Secret with data",
        |p| p.with("deploy/x.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n"),
        BUILD,
    ),
    ("a StatefulSet and no decision", undecided, BUILD),
    ("a reference that is none", |p| committed(p, "demo/web:1.0", "Demo/Web"), BUILD),
    ("an image that is nowhere", nowhere, BUILD),
    ("a platform that is missing", |p| p.edit("release.yaml", "linux/amd64", "linux/s390x"), BUILD),
    (
        "a field of no object",
        |p| p.edit("release.yaml", "  platforms:", "  fields: [Farm.spec.image]\n  platforms:"),
        BUILD,
    ),
    ("another file than declared", other_file, BUILD),
    ("no lock", |_| (), &["build", "--locked"]),
    ("no lock to check", |_| (), &["lock", "--check"]),
    ("a lock that is none", |p| fs::write(p.path().join("release.lock"), "{}").unwrap(), BUILD),
    ("an object has changed since the lock", |p| locked(p, |p| committed(p, "replicas: 2", "replicas: 3")), BUILD),
    ("an image was added since the lock", |p| locked(p, |p| committed(p, "demo/web:1.0", "demo/worker:1.0")), BUILD),
    (
        "release.yaml has changed since the lock",
        |p| locked(p, |p| p.edit("release.yaml", "10m", "5m")),
        &["lock", "--check"],
    ),
    ("nobody to trust", |p| built(p, |p| fs::remove_dir_all(p.path().join("trust")).unwrap()), VERIFY),
    ("a fingerprint that is none", |p| built(p, |_| ()), &["verify", BUNDLE, "--root-sha256", "12"]),
    (
        "another fingerprint",
        |p| built(p, |_| ()),
        &["verify", BUNDLE, "--root-sha256", "0000000000000000000000000000000000000000000000000000000000000000"],
    ),
    ("a bundle cut short", |p| built(p, |p| alter(p, BUNDLE, |bytes| bytes.truncate(140_000))), VERIFY),
    ("a bundle with a byte more", |p| built(p, |p| alter(p, BUNDLE, |bytes| bytes.push(0))), VERIFY),
    ("a bundle with another byte", |p| built(p, |p| alter(p, BUNDLE, |bytes| bytes[133_000] ^= 1)), VERIFY),
    ("no bundle", |_| (), &["verify", "release.yaml"]),
    ("no such file", |_| (), &["verify", "absent.consign"]),
    ("an encrypted bundle and no key", encrypted, &["verify", "sealed.consign"]),
    ("an encrypted bundle and another key", encrypted, &["verify", "sealed.consign", "--identity", "other.age"]),
    ("a key that is no age key", encrypted, &["inspect", "sealed.consign", "--identity", "trust/dev.key"]),
    ("an encrypted bundle, encrypted again", encrypted, &["encrypt", "sealed.consign", "--to", A_RECIPIENT, "-o", "x"]),
    ("an encrypted bundle, to be approved", encrypted, &["approve", "--request", "sealed.consign", "-o", "x"]),
    ("an encrypted bundle, to be signed", encrypted, &["approve", "--merge", "sealed.consign", "trust/1.root.json"]),
    (
        "an encrypted bundle, changed",
        |p| {
            encrypted(p);
            alter(p, "sealed.consign", |bytes| {
                let last = bytes.len() - 2048;
                bytes[last] ^= 1;
            });
        },
        &["verify", "sealed.consign", "--identity", "site.age"],
    ),
    ("a recipient that is none", |p| built(p, |_| ()), &["encrypt", BUNDLE, "--to", "age1x", "-o", "sealed.consign"]),
    (
        "a site record that nobody signed",
        |p| built(p, |p| fs::write(p.path().join("record.json"), "{}").unwrap()),
        &["encrypt", BUNDLE, "--to", "record.json", "-o", "sealed.consign"],
    ),
    (
        "a bundle with another byte, to be encrypted",
        |p| built(p, |p| alter(p, BUNDLE, |bytes| bytes[133_000] ^= 1)),
        &["encrypt", BUNDLE, "--to", A_RECIPIENT, "-o", "sealed.consign"],
    ),
    ("a size that is none", |_| (), &["split", BUNDLE, "--size", "big"]),
    ("a size that is too small", |p| built(p, |_| ()), &["split", BUNDLE, "--size", "100K"]),
    ("volumes that are there already", in_volumes, &["split", BUNDLE, "--size", "138K", "-o", "discs"]),
    ("a bundle, to be joined", in_volumes, &["join", BUNDLE, "-o", "x.consign"]),
    ("volumes, to be joined over a bundle", in_volumes, &["join", "discs", "-o", BUNDLE]),
    ("no volumes, to be joined", in_volumes, &["join", "trust", "-o", "x.consign"]),
    ("a volume, to be approved", in_volumes, &["approve", "--request", VOLUME, "-o", "x"]),
    ("a volume, to be signed", in_volumes, &["approve", "--merge", VOLUME, "trust/1.root.json"]),
    (
        "a volume is missing",
        |p| {
            in_volumes(p);
            fs::remove_file(p.path().join(VOLUME)).unwrap();
        },
        &["verify", "discs"],
    ),
    ("no such code", |_| (), &["explain", "digest-mismatched"]),
    ("nothing to export to", |_| (), &["export", "x.consign"]),
];

const BUNDLE: &str = "demo-1.0.0.consign";
/// The first of its volumes.
const VOLUME: &str = "discs/demo-1.0.0.consign.1-of-4";
const VERIFY: &[&str] = &["verify", BUNDLE];

fn committed(project: &Project, from: &str, to: &str) {
    project.edit("deploy/web.yaml", from, to);
    project.commit();
}

fn locked(project: &Project, then: fn(&Project)) {
    assert!(project.run(&["lock"])["sequence"].is_u64());
    then(project);
}

/// Builds the bundle and cuts it.
fn in_volumes(project: &Project) {
    built(project, |_| ());
    let done = project.run(&["split", BUNDLE, "--size", "138K", "-o", "discs"]);
    assert_eq!(done["volumes"][0]["path"], VOLUME, "{done}");
}

fn built(project: &Project, then: fn(&Project)) {
    assert!(project.run(BUILD)["bundle"]["bytes"].is_u64());
    then(project);
}

fn alter(project: &Project, file: &str, change: fn(&mut Vec<u8>)) {
    let path = project.path().join(file);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// The key of [`A_RECIPIENT`], from the age specification.
const A_KEY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n";
const A_RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const ANOTHER_KEY: &str = "AGE-SECRET-KEY-1XMWWC06LY3EE5RYTXM9MFLAZ2U56JJJ36S0MYPDRWSVLUL66MV4QX3S7F6\n";

/// The bundle, encrypted to the key in `site.age` and not to the one in `other.age`.
fn encrypted(project: &Project) {
    built(project, |project| {
        for (name, key) in [("site.age", A_KEY), ("other.age", ANOTHER_KEY)] {
            fs::write(project.path().join(name), key).unwrap();
        }
        let done = project.run(&["encrypt", BUNDLE, "--to", A_RECIPIENT, "-o", "sealed.consign"]);
        assert_eq!(done["recipients"], 1, "{done}");
    });
}

fn other_key(project: &Project) {
    assert_eq!(project.run(&["keys", "new", "--trust", "other", "--domain", "other"])["domain"], "other");
}

fn undecided(project: &Project) {
    project.edit("release.yaml", "rollout: {onFailure: rollback, ", "rollout: {");
    project.with("deploy/x.yaml", "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec: {}\n");
}

fn nowhere(project: &Project) {
    committed(project, "demo/web:1.0", "demo/none:1.0");
    let mapped = "path: images\n      references: {\"registry.example/demo/none:1.0\": \"registry.example/demo/absent:1.0\"}\n    \
                  - path: images";
    project.edit("release.yaml", "path: images", mapped);
}

fn other_file(project: &Project) {
    let digest = "0".repeat(64);
    let files = format!("files: [{{local: release.yaml, to: /etc/x, sha256: \"sha256:{digest}\"}}]\nrollout:");
    project.edit("release.yaml", "rollout:", &files);
}

#[test]
fn what_was_encrypted_is_read_with_the_key() {
    let project = Project::new();
    encrypted(&project);
    let with_key = ["--identity", "site.age"];
    let read = |command: &str, file: &str, more: &[&str]| project.run(&[&[command, file], more].concat());
    for field in ["release", "bundleId", "members", "objects"] {
        let (plain, sealed) =
            (&read("verify", BUNDLE, &[])[field], &read("verify", "sealed.consign", &with_key)[field]);
        assert!(!plain.is_null() && plain == sealed, "{field}: {plain} and {sealed}");
    }
    assert_eq!(read("inspect", BUNDLE, &[])["release"], read("inspect", "sealed.consign", &with_key)["release"]);
    let exported = read("export", "sealed.consign", &["--state", "out", "--identity", "site.age"]);
    assert_eq!(exported["state"], "out", "{exported}");
    // What could not be encrypted leaves no file behind.
    let failed = project.run(&["encrypt", "absent.consign", "--to", A_RECIPIENT, "-o", "x.consign"]);
    assert_eq!(failed["error"]["code"], "io", "{failed}");
    alter(&project, BUNDLE, |bytes| bytes.truncate(140_000));
    let failed = project.run(&["encrypt", BUNDLE, "--to", A_RECIPIENT, "-o", "x.consign"]);
    assert_eq!(failed["error"]["code"], "truncated", "{failed}");
    let names = fs::read_dir(project.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.contains("draft") || name.starts_with('x')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn every_error_says_what_and_what_next() {
    let mut text = String::new();
    for (name, prepare, arguments) in CASES {
        let project = Project::new();
        prepare(&project);
        let error = &project.run(arguments)["error"];
        let said =
            |field: &str| error[field].as_str().unwrap_or("-").replace(&project.path().display().to_string(), "DIR");
        text += &format!("{name}\n  {} {}\n  {}\n", said("code"), error["exit"], said("message"));
        for cause in error["causes"].as_array().into_iter().flatten() {
            text += &format!("  because {}\n", cause.as_str().unwrap_or_default());
        }
        text += &format!("  hint {}\n\n", said("hint"));
    }
    // How long the bundle is depends a little on how well its random keys compress.
    let length = ("(bytes 131072 to) [0-9]{6} (of the bundle)", "$1 [LENGTH] $2");
    insta::with_settings!({filters => vec![("[0-9a-f]{64}", "[DIGEST]"), ("[0-9a-f]{40}", "[COMMIT]"), length]}, {
        insta::assert_snapshot!(text);
    });
}
