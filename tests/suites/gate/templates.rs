//! The templates for CI systems and Git servers, run as they are: their scripts are taken out of their files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use consign_tests::generated::root;
use consign_tests::{command, images};
use serde_json::Value;

use crate::workshop::{Signer, Workshop, fingerprint, revoke_approver};

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

/// A script of a template, in a folder, with nothing in its environment but what the template gives it.
fn script(shell: &[&str], text: &str, folder: &Path, environment: &BTreeMap<String, String>) -> Output {
    let mut run = Command::new(shell[0]);
    run.args(&shell[1..]).arg(text).current_dir(folder).env_clear();
    run.env("PATH", command::search_path()).env("LANG", "C.UTF-8").envs(environment).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A workshop with one good and one spoiled bundle.
fn bundles() -> (Workshop, PathBuf, PathBuf) {
    let workshop = Workshop::new();
    let signer = Signer::new(&workshop.folder, "signer", "P-256");
    workshop.sign(crate::workshop::AGENT, &signer);
    let rules = "apiVersion: consign.dev/v1\nrules:\n  - {images: ['registry.example/lumen/agent'], keys: [signer.pub]}\n\
                 allowUnsigned: ['registry.example/lumen/tool']\n";
    fs::write(workshop.folder.join("verify-policy.yaml"), rules).unwrap();
    let good = workshop.build();
    let bad = workshop.folder.join("bad.consign");
    let mut bytes = fs::read(&good).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bad, bytes).unwrap();
    (workshop, good, bad)
}

#[test]
fn the_github_action_lets_good_bundles_pass_and_fails_on_others() {
    if !Workshop::is_possible() {
        return;
    }
    let (workshop, good, bad) = bundles();
    let action = yaml("docs/ci/github/verify/action.yml");
    let steps = action["runs"]["steps"].as_array().unwrap();
    let [step] = steps.as_slice() else { panic!("{steps:#?}") };
    let text = step["run"].as_str().unwrap();
    assert!(!text.contains("${{"), "an input inside the script would be executed");
    let run = |given: &[(&str, &str)]| {
        let mut environment = BTreeMap::new();
        for (name, value) in step["env"].as_object().unwrap() {
            let input = value.as_str().unwrap().trim_start_matches("${{ inputs.").trim_end_matches(" }}");
            let declared = &action["inputs"][input];
            assert!(declared.is_object(), "{name} comes from no input: {value}");
            let given = given.iter().find(|(given, _)| *given == input).map(|(_, value)| *value);
            let value = given.or(declared["default"].as_str()).unwrap_or_default();
            environment.insert(name.clone(), value.to_owned());
        }
        for file in ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"] {
            fs::write(workshop.folder.join(file), "").unwrap();
            environment.insert(file.to_owned(), workshop.folder.join(file).display().to_string());
        }
        // As runners start `shell: bash`.
        script(&["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"], text, &workshop.folder, &environment)
    };
    let (good, bad) = (good.display().to_string(), bad.display().to_string());
    let root = ("root", "trust/1.root.json");
    let fits = [("bundle", good.as_str()), root, ("policy", "verify-policy.yaml"), ("domain", "lumen")];
    let passed = run(&fits);
    assert!(passed.status.success(), "{}", said(&passed));
    let read = |name: &str| fs::read_to_string(workshop.folder.join(name)).unwrap();
    assert_eq!(read("GITHUB_OUTPUT"), "exit-code=0\n");
    assert!(read("GITHUB_STEP_SUMMARY").contains("is whole and signed"));
    let sarif: Value = serde_json::from_str(&read("consign-verify.sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");

    let failed = run(&[("bundle", bad.as_str()), root]);
    assert_eq!(failed.status.code(), Some(10), "{}", said(&failed));
    assert_eq!(read("GITHUB_OUTPUT"), "exit-code=10\n");
    assert!(read("consign-verify.sarif").contains("digest-mismatch"));
    assert_eq!(run(&[("bundle", good.as_str())]).status.code(), Some(2), "no root was named");
    assert_eq!(run(&[("bundle", good.as_str()), root, ("domain", "other")]).status.code(), Some(14));
    for (enforce, code) in [("True", 0), ("TRUE", 0), ("false", 0), ("yes", 2), ("", 2)] {
        let output = run(&[("bundle", good.as_str()), root, ("enforce-expiry", enforce)]);
        assert_eq!(output.status.code(), Some(code), "{enforce}: {}", said(&output));
    }
    // What is no option of ours is none, whatever it looks like.
    assert_ne!(run(&[("bundle", "--help"), root]).status.code(), Some(0));
    let injected = run(&[("bundle", "$(touch injected); x.consign"), root]);
    assert!(!injected.status.success() && !workshop.folder.join("injected").exists(), "{}", said(&injected));

    let pin = fingerprint(&workshop.folder);
    let (bundle, pin) = (("bundle", good.as_str()), ("root-sha256", pin.as_str()));
    later_roots_count(&workshop.folder, "consign-verify.sarif", &|| run(&[bundle, pin]));
    assert_eq!(run(&[bundle, root]).status.code(), Some(0), "root 1 alone was named, and nothing else");
}

/// What must hold of a template that has the fingerprint alone, with `trust/` in its folder and without, before and after a
/// key was revoked.
fn later_roots_count(folder: &Path, report: &str, run: &dyn Fn() -> Output) {
    const UNSEEN: &str = "a key that was revoked";
    let (trust, away) = (folder.join("trust"), folder.join("away"));
    let report = || fs::read_to_string(folder.join(report)).unwrap();
    let ends = |code: i32, why: &str| {
        let output = run();
        assert_eq!(output.status.code(), Some(code), "{why}: {}", said(&output));
        said(&output)
    };
    assert!(!ends(0, "nothing is revoked").contains(UNSEEN) && !report().contains(UNSEEN));
    fs::rename(&trust, &away).unwrap();
    assert!(ends(0, "the fingerprint alone").contains(UNSEEN) && report().contains(UNSEEN), "{}", report());
    fs::rename(&away, &trust).unwrap();
    revoke_approver(folder);
    assert!(ends(12, "its key is revoked").contains("signature-invalid"), "{}", report());
    // Somebody else's roots, and one that nobody signed.
    fs::rename(trust.join("2.root.json"), folder.join("2.root.json")).unwrap();
    let forged = fs::read_to_string(folder.join("2.root.json")).unwrap().replacen("T", "U", 1);
    fs::write(trust.join("2.root.json"), forged).unwrap();
    ends(12, "root 2 is not what was signed");
    fs::remove_file(trust.join("2.root.json")).unwrap();
    let first = fs::read(trust.join("1.root.json")).unwrap();
    fs::copy(folder.join("2.root.json"), trust.join("1.root.json")).unwrap();
    ends(2, "root 2 under the name of root 1");
    fs::write(trust.join("1.root.json"), first).unwrap();
    ends(0, "root 2 was left out of the tree");
}

#[test]
fn the_gitlab_job_does_the_same() {
    if !Workshop::is_possible() {
        return;
    }
    let (workshop, good, bad) = bundles();
    let job = &yaml("docs/ci/gitlab/consign-verify.yml")[".consign-verify"];
    let text = job["script"][0].as_str().unwrap();
    let run = |given: &[(&str, &str)]| {
        let defaults = job["variables"].as_object().unwrap().iter();
        let mut environment: BTreeMap<String, String> =
            defaults.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        environment.extend(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        script(&["sh", "-c"], text, &workshop.folder, &environment)
    };
    let (good, bad) = (good.display().to_string(), bad.display().to_string());
    let report = job["artifacts"]["reports"]["junit"].as_str().unwrap();
    let root = ("CONSIGN_ROOT", "trust/1.root.json");
    let passed = run(&[("CONSIGN_BUNDLE", &good), root, ("CONSIGN_POLICY", "verify-policy.yaml")]);
    assert!(passed.status.success(), "{}", said(&passed));
    let xml = fs::read_to_string(workshop.folder.join(report)).unwrap();
    assert!(xml.contains("failures=\"0\"") && xml.contains("image-signature"), "{xml}");
    let failed = run(&[("CONSIGN_BUNDLE", &bad), root]);
    assert_eq!(failed.status.code(), Some(10), "{}", said(&failed));
    assert!(fs::read_to_string(workshop.folder.join(report)).unwrap().contains("<failure"));
    assert_eq!(run(&[("CONSIGN_BUNDLE", &good)]).status.code(), Some(2), "no root was named");
    let pin = fingerprint(&workshop.folder);
    let given = [("CONSIGN_BUNDLE", good.as_str()), ("CONSIGN_ROOT_SHA256", pin.as_str())];
    later_roots_count(&workshop.folder, report, &|| run(&given));
    for (enforce, code) in [("True", 0), ("TRUE", 0), ("false", 0), ("yes", 2), ("", 2)] {
        let output = run(&[("CONSIGN_BUNDLE", &good), root, ("CONSIGN_ENFORCE_EXPIRY", enforce)]);
        assert_eq!(output.status.code(), Some(code), "{enforce}: {}", said(&output));
    }
}

/// A server's bare repository with the hook, and somebody's clone.
struct Server {
    workshop: Workshop,
    bare: PathBuf,
    clone: PathBuf,
}

impl Server {
    fn new(workshop: Workshop) -> Self {
        let (bare, clone) = (workshop.folder.join("server.git"), workshop.folder.join("clone"));
        images::run(Command::new("git").args(["init", "-q", "--bare", "-b", "main"]).arg(&bare));
        images::run(Command::new("git").args(["init", "-q", "-b", "main"]).arg(&clone));
        let hook = bare.join("hooks/pre-receive");
        fs::copy(root().join("docs/ci/git/pre-receive"), &hook).unwrap();
        let mode = fs::metadata(&hook).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "the hook is executable as it is checked in");
        Server { workshop, bare, clone }
    }

    fn trust(&self) {
        fs::create_dir(self.bare.join("consign")).unwrap();
        fs::copy(self.workshop.folder.join("trust/1.root.json"), self.bare.join("consign/1.root.json")).unwrap();
    }

    /// Commits what lies in the clone and pushes it as a branch; says whether the server took it, and what it said.
    fn push(&self, branch: &str) -> (bool, String) {
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.args(["-c", "user.name=Ada", "-c", "user.email=ada@lumen.example", "-c", "commit.gpgsign=false"]);
            git.args(arguments).current_dir(&self.clone).env_clear().env("PATH", command::search_path());
            git.env("HOME", &self.clone).output().unwrap()
        };
        assert!(git(&["add", "--all"]).status.success());
        git(&["commit", "-q", "-m", "a change"]);
        let bare = self.bare.display().to_string();
        let pushed = git(&["push", "-q", "--force", &bare, &format!("HEAD:refs/heads/{branch}")]);
        (pushed.status.success(), said(&pushed))
    }

    fn put(&self, name: &str, from: &Path) {
        let to = self.clone.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }

    fn refuses(&self, branch: &str, why: &str) {
        let (taken, said) = self.push(branch);
        assert!(!taken && said.contains(why), "`{why}` was to be refused: {said}");
    }

    fn takes(&self, branch: &str) {
        let (taken, said) = self.push(branch);
        assert!(taken, "{said}");
    }
}

#[test]
fn the_pre_receive_hook_keeps_out_what_does_not_verify() {
    if !Workshop::is_possible() {
        return;
    }
    let (workshop, good, bad) = bundles();
    let lock = workshop.folder.join("release.lock");
    let server = Server::new(workshop);
    fs::write(server.clone.join("readme"), "text").unwrap();
    server.refuses("main", "no ");
    server.trust();
    server.takes("main");

    server.put("carry/agent.consign", &bad);
    server.refuses("main", "refused: carry/agent.consign");
    server.put("carry/agent.consign", &good);
    server.takes("main");
    // A new branch is looked at as a whole, a later push for what it changes.
    server.takes("feature");
    fs::write(server.clone.join("readme"), "more text").unwrap();
    server.takes("main");

    // A lock without its bundle, beside another one's, beside its own, and beside metadata alone.
    server.put("release.lock", &lock);
    server.refuses("main", "no bundle beside it");
    let text = fs::read_to_string(&lock).unwrap();
    let sequence = serde_json::from_str::<Value>(&text).unwrap()["sequence"].as_u64().unwrap();
    let newer = text.replace(&format!("\"sequence\": {sequence}"), &format!("\"sequence\": {}", sequence + 1));
    assert_ne!(newer, text);
    fs::remove_file(server.clone.join("release.lock")).unwrap();
    fs::write(server.clone.join("carry/release.lock"), &newer).unwrap();
    server.refuses("main", "older-release");
    server.put("carry/release.lock", &lock);
    server.takes("main");
    let alone = server.workshop.folder.join("alone.consign");
    server.workshop.consign(["carry", "--output"]).arg(&alone).succeeds();
    server.put("alone/alone.consign", &alone);
    server.takes("main");
    server.put("alone/release.lock", &lock);
    server.refuses("main", "no-release");
    fs::remove_dir_all(server.clone.join("alone")).unwrap();

    // Names that break out of a line, a link instead of a bundle, and a policy of the server's own.
    fs::write(server.clone.join("odd\nname.consign"), "x").unwrap();
    server.refuses("main", "a name that this hook does not read");
    fs::remove_file(server.clone.join("odd\nname.consign")).unwrap();
    std::os::unix::fs::symlink("carry/agent.consign", server.clone.join("link.consign")).unwrap();
    server.refuses("main", "refused: link.consign");
    fs::remove_file(server.clone.join("link.consign")).unwrap();
    let policy = "apiVersion: consign.dev/v1\nallowUnsigned: ['registry.example/lumen/tool']\n";
    fs::write(server.bare.join("consign/verify-policy.yaml"), policy).unwrap();
    server.put("again.consign", &good);
    server.refuses("main", "image-without-rule");
    // A later root is looked at as well: this one is none.
    fs::remove_file(server.bare.join("consign/verify-policy.yaml")).unwrap();
    fs::write(server.bare.join("consign/2.root.json"), "{}").unwrap();
    server.refuses("main", "2.root.json");
    assert!(images::run(Command::new("git").arg("-C").arg(&server.bare).args(["rev-parse", "main"])).len() > 20);
}
