//! Charts, rendered by `helm template`: in the tree, or packaged as `.tgz`.
//!
//! Each chart is rendered twice, in different homes and time zones and not in the same second. What differs
//! was made up by a template (a password, a certificate, a date), would change at every build, and is
//! refused. Hooks stay, annotated, for the site to run; hooks that are only tests are left out.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use walkdir::WalkDir;

use super::sandbox::{Home, Sandbox};
use super::{RenderError, Work};
use crate::object::{Object, ObjectRef};
use crate::secrets::SecretSource;
use crate::tool::ToolError;
use crate::yaml::{YamlLimits, parse_one};

pub(super) fn render(work: &Work<'_>, sandbox: &mut Sandbox<'_>) -> Result<Vec<Object>, RenderError> {
    if work.path.is_dir() {
        check_dependencies(work)?;
    }
    let missing = || {
        work.tool(ToolError::Missing {
            program: "helm",
            remedy: "install Helm 3.8 or newer (https://helm.sh/docs/intro/install/)",
        })
    };
    let program = sandbox.find("helm").ok_or_else(missing)?;
    record_version(work, sandbox, &program)?;
    let arguments = arguments(work)?;
    let first = run(work, sandbox, &program, &arguments, "UTC")?;
    if speaks_of_now(work.path) {
        // `now` in whole seconds is the one thing that two quick runs would not tell apart.
        std::thread::sleep(Duration::from_millis(1100));
    }
    // Fourteen hours ahead: what writes the local date or hour differs as well.
    let second = run(work, sandbox, &program, &arguments, "Pacific/Kiritimati")?;
    match difference(&carried(work, &first), &carried(work, &second)) {
        None => Ok(first),
        Some((object, field)) => {
            Err(RenderError::NotDeterministic { entry: work.entry.path.clone(), object: object.to_string(), field })
        }
    }
}

fn record_version(work: &Work<'_>, sandbox: &mut Sandbox<'_>, program: &Path) -> Result<(), RenderError> {
    if sandbox.is_recorded("helm") {
        return Ok(());
    }
    let home = home(work, "UTC")?;
    let words = ["version", "--template", "{{.Version}}"].map(OsString::from);
    let said = sandbox.run(program, &words, &home).map_err(|error| work.tool(error))?;
    sandbox.record("helm", String::from_utf8_lossy(&said.stdout).trim().to_owned());
    Ok(())
}

fn home(work: &Work<'_>, zone: &'static str) -> Result<Home, RenderError> {
    Home::new(zone).map_err(|source| RenderError::Read { path: work.path.to_owned(), source })
}

fn run(
    work: &Work<'_>,
    sandbox: &mut Sandbox<'_>,
    program: &Path,
    arguments: &[OsString],
    zone: &'static str,
) -> Result<Vec<Object>, RenderError> {
    let output = sandbox.run(program, arguments, &home(work, zone)?).map_err(|error| failed(work, error))?;
    work.objects(&output.stdout)
}

/// Helm's own words for a dependency that a packaged chart lacks (pkg/action, CheckDependencies).
const LACKS: &str = "missing in charts/ directory: ";

fn failed(work: &Work<'_>, error: ToolError) -> RenderError {
    if let ToolError::Failed { source, .. } = &error
        && let Some((_, names)) = source.0.split_once(LACKS)
    {
        let dependency = names.lines().next().unwrap_or_default().trim().to_owned();
        return RenderError::Dependency { entry: work.entry.path.clone(), dependency };
    }
    work.tool(error)
}

fn arguments(work: &Work<'_>) -> Result<Vec<OsString>, RenderError> {
    let options = work.entry.helm.clone().unwrap_or_default();
    let release = match options.release {
        Some(release) => release,
        None => default_release(work),
    };
    if !is_release_name(&release) {
        return Err(work.unclear("a Helm release name has at most 53 lower-case letters, digits, `-` and `.`"));
    }
    let namespace = options.namespace.as_deref().or(work.target.namespace).unwrap_or("default");
    let mut words: Vec<OsString> = vec!["template".into(), release.into(), work.path.into()];
    words.extend(["--namespace".into(), namespace.into(), "--include-crds".into()]);
    words.extend(["--kube-version".into(), full_version(&work.target.kubernetes.version).into()]);
    for api in &work.target.kubernetes.apis {
        words.extend(["--api-versions".into(), api.into()]);
    }
    for values in &options.values {
        words.extend(["--values".into(), work.checkout.find(values)?.into()]);
    }
    Ok(words)
}

/// Helm 3 makes `v1.33.0` of `1.33`, Helm 4 keeps `v1.33`: written out, templates see the same in both.
fn full_version(version: &str) -> String {
    if version.split('.').count() == 2 { format!("{version}.0") } else { version.to_owned() }
}

/// The folder's or package's name, as people name the Helm release after the chart.
fn default_release(work: &Work<'_>) -> String {
    let name = work.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.trim_end_matches(".tgz").trim_end_matches(".tar.gz");
    // `viewer-1.2.3.tgz` is the chart `viewer`: a version begins with a digit behind a `-`.
    let version = name.match_indices('-').find(|(at, _)| name[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    let packaged = work.path.is_file();
    version.filter(|_| packaged).map_or(name, |(at, _)| &name[..at]).to_owned()
}

/// Helm's rule (pkg/chartutil, ValidateReleaseName). It also keeps an option from being smuggled in.
fn is_release_name(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=53).contains(&name.len())
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|c| edge(c) || c == '-' || c == '.')
}

/// Sees that every dependency of a chart is in its `charts/` folder; Helm would say so too, without a way out.
fn check_dependencies(work: &Work<'_>) -> Result<(), RenderError> {
    let vendored = vendored(&work.path.join("charts"));
    for name in ["Chart.yaml", "requirements.yaml"] {
        let file = work.path.join(name);
        let Ok(text) = fs::read(&file) else { continue };
        let document = parse_one(&text, &work.shown(&file), &YamlLimits::default())?;
        for dependency in document["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let Some(name) = dependency["name"].as_str() else { continue };
            if !vendored.iter().any(|have| have == name || is_package_of(have, name)) {
                let (entry, dependency) = (work.entry.path.clone(), name.to_owned());
                return Err(RenderError::Dependency { entry, dependency });
            }
        }
    }
    Ok(())
}

/// The names in a `charts/` folder; a folder goes by the name in its Chart.yaml.
fn vendored(charts: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(charts) else { return Vec::new() };
    let mut names = Vec::new();
    for entry in entries.flatten() {
        let file = entry.path().join("Chart.yaml");
        if let Ok(text) = fs::read(&file)
            && let Ok(chart) = parse_one(&text, &file, &YamlLimits::default())
        {
            names.extend(chart["name"].as_str().map(str::to_owned));
        }
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names
}

fn is_package_of(file: &str, name: &str) -> bool {
    let version = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    file.ends_with(".tgz")
        && version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit() || c == 'v'))
}

/// Tells whether a chart may ask for the time. A packaged chart is not opened: it may.
fn speaks_of_now(chart: &Path) -> bool {
    if chart.is_file() {
        return true;
    }
    let files = WalkDir::new(chart).follow_links(true).into_iter().flatten().filter(|e| e.file_type().is_file());
    files.map(|file| file.into_path()).any(|path| {
        let packaged = path.extension().is_some_and(|ending| ending == "tgz");
        packaged || fs::read(&path).is_ok_and(|text| mentions_now(&text))
    })
}

fn mentions_now(text: &[u8]) -> bool {
    let word = |at: Option<&u8>| at.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let hits = text.windows(3).enumerate().filter(|(_, three)| *three == b"now");
    hits.into_iter().any(|(at, _)| !word(at.checked_sub(1).and_then(|b| text.get(b))) && !word(text.get(at + 3)))
}

/// The objects that a site will get: without tests, and without Secrets whose data comes from the site, which
/// charts like to fill with fresh passwords.
fn carried(work: &Work<'_>, objects: &[Object]) -> BTreeMap<ObjectRef, Value> {
    let stays = |object: &&Object| !is_test(object) && !from_site(work, object);
    objects.iter().filter(stays).map(|object| (object.reference(), object.value.clone())).collect()
}

fn from_site(work: &Work<'_>, object: &Object) -> bool {
    let release = work.target.namespace.unwrap_or_default();
    let namespace = if object.namespace().is_empty() { release } else { object.namespace() };
    object.kind() == "Secret"
        && object.group().is_empty()
        && work.target.secrets.iter().any(|entry| {
            entry.name == object.name()
                && entry.namespace.as_deref().unwrap_or(release) == namespace
                && matches!(entry.mode, SecretSource::Generate | SecretSource::Existing)
        })
}

/// Finds the first object, and the first field in it, in which two renderings differ.
fn difference(one: &BTreeMap<ObjectRef, Value>, other: &BTreeMap<ObjectRef, Value>) -> Option<(ObjectRef, String)> {
    let names = one.keys().chain(other.keys());
    let differing = names.filter(|name| one.get(*name) != other.get(*name)).min()?;
    let field = match (one.get(differing), other.get(differing)) {
        (Some(one), Some(other)) => first_difference(one, other, String::new()),
        _ => String::new(),
    };
    Some((differing.clone(), field))
}

fn first_difference(one: &Value, other: &Value, pointer: String) -> String {
    let next = match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let key = a.keys().chain(b.keys()).find(|key| a.get(*key) != b.get(*key));
            key.and_then(|key| Some((crate::discover::field::escape(key), a.get(key)?, b.get(key)?)))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let at = (0..a.len()).find(|at| a[*at] != b[*at]);
            at.map(|at| (at.to_string(), &a[at], &b[at]))
        }
        _ => None,
    };
    match next {
        Some((segment, one, other)) => first_difference(one, other, format!("{pointer}/{segment}")),
        None => pointer,
    }
}

/// Tells whether an object is a hook of Helm's that only `helm test` runs.
pub(super) fn is_test(object: &Object) -> bool {
    object.annotation("helm.sh/hook").is_some_and(|hooks| {
        hooks.split(',').map(str::trim).all(|hook| matches!(hook, "test" | "test-success" | "test-failure"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tests::object;
    use serde_json::json;

    #[test]
    fn only_pure_tests_are_left_out() {
        let hook = |hooks: &str| {
            is_test(&object(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "p", "annotations": {"helm.sh/hook": hooks}}
            })))
        };
        assert!(hook("test") && hook("test-success, test-failure"));
        assert!(!hook("post-install,test") && !hook("pre-install"));
        assert!(!is_test(&object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}))));
    }

    #[test]
    fn differences_name_object_and_field() {
        let secret = |value: &str| {
            let secret = object(json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a/b": ["x", value]}
            }));
            BTreeMap::from([(secret.reference(), secret.value)])
        };
        assert_eq!(difference(&secret("1"), &secret("1")), None);
        let (object, field) = difference(&secret("1"), &secret("2")).unwrap();
        assert_eq!((object.to_string().as_str(), field.as_str()), ("Secret s", "/data/a~1b/1"));
        let (_, field) = difference(&secret("1"), &BTreeMap::new()).unwrap();
        assert_eq!(field, "");
    }

    #[test]
    fn release_names_are_helms() {
        for good in ["viewer", "a", "a-1.b"] {
            assert!(is_release_name(good), "{good}");
        }
        for bad in ["", "-x", "--post-renderer=x", "A", "a_b", "a-", &"a".repeat(54)] {
            assert!(!is_release_name(bad), "{bad}");
        }
    }

    #[test]
    fn packages_and_the_word_now_are_recognised() {
        assert!(is_package_of("redis-18.1.0.tgz", "redis") && is_package_of("redis-v1.tgz", "redis"));
        assert!(!is_package_of("redis-cluster-1.tgz", "redis") && !is_package_of("redis-1", "redis"));
        assert!(mentions_now(b"{{ now | date }}") && mentions_now(b"now"));
        assert!(!mentions_now(b"known snow nowhere x_now") && !mentions_now(b""));
    }
}
