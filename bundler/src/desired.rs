//! From `release.yaml` and a commit to the desired state: source, render, normalise, secrets, images found.
//!
//! Everything here is a function of the commit's tree, the tools and `release.yaml`; no registry is asked.

use std::collections::BTreeMap;
use std::path::Path;

use consign_format::Digest;
use consign_format::depends::Unmet;
use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::release::{OnFailure, Provenance, SecretRule};
use serde_json::Value;

use crate::config::Config;
use crate::depends;
use crate::discover::{self, Found};
use crate::normalise::normalise;
use crate::object::{Object, ObjectRef};
use crate::render::{Isolation, Target, render};
use crate::secrets;
use crate::source::{self, Checkout, ExportLimits, SourceRequest};
use crate::tool::Environment;

/// The desired state before its images are pinned.
#[derive(Debug)]
pub struct Desired {
    /// The commit's tree, as long as this lives; files are read from it.
    pub checkout: Checkout,
    /// Where the tree came from.
    pub provenance: Provenance,
    /// The objects, in the order in which they are carried.
    pub objects: Vec<Object>,
    /// The images of the objects.
    pub found: Vec<Found>,
    /// How Secrets come by their data.
    pub secrets: Vec<SecretRule>,
    /// The tools that rendered, and their versions.
    pub tools: BTreeMap<String, String>,
    /// Packaged charts and their digests.
    pub charts: BTreeMap<String, Digest>,
    /// What happens at a site when the release is not healthy in time.
    pub on_failure: OnFailure,
    /// What the person who builds should know.
    pub warnings: Vec<String>,
}

/// Why the desired state cannot stand as it is.
#[derive(Debug, thiserror::Error)]
pub enum DesiredError {
    /// Going back may lose data, and nobody has said what is to happen.
    #[error("`rollout.onFailure` must be said: {object} keeps data that going back may lose")]
    Undecided {
        /// The first object that makes it so.
        object: ObjectRef,
    },
    /// An object depends on what the release does not hold, or on itself.
    #[error("object {0}")]
    Depends(Unmet),
    /// A packaged chart cannot be read.
    #[error("{path} cannot be read")]
    Chart {
        /// The path in the tree.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Coded for DesiredError {
    fn code(&self) -> Code {
        match self {
            DesiredError::Undecided { .. } => codes::ROLLOUT_UNDECIDED,
            DesiredError::Depends(_) => codes::OBJECT_INVALID,
            DesiredError::Chart { .. } => codes::IO,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            DesiredError::Undecided { .. } => {
                "write `rollout: {onFailure: rollback}` if the previous version can run on the new one's data, else \
                 `{onFailure: halt}`"
            }
            DesiredError::Depends(_) => {
                "correct its annotation config.kubernetes.io/depends-on; it may name objects of this release and \
                 Secrets that the site makes"
            }
            DesiredError::Chart { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// Makes the desired state of the commit that `source.ref` names now.
///
/// # Errors
/// The errors of the stages, each naming the file, the object or the field.
pub fn make(config: &Config, base: &Path, environment: &Environment) -> Result<Desired, Failure> {
    let entry = &config.file.source;
    let (location, reference) = (entry.git.as_str(), entry.reference.as_deref());
    let request = SourceRequest { location, reference, base, verify: entry.verify.as_ref() };
    let checkout = source::open(&request, environment, &ExportLimits::default())?;
    let namespace = config.file.namespace.as_deref();
    let target = Target { kubernetes: &config.file.kubernetes, namespace, secrets: &config.file.secrets };
    let rendered = render(&checkout, &config.file.render, &target, environment)?;
    let objects = normalise(rendered.objects, namespace)?;
    let settled = secrets::settle(objects, &config.file.secrets, namespace)?;
    depends::check(&settled.objects, &settled.rules).map_err(DesiredError::Depends)?;
    let found = discover::discover(&settled.objects, &config.fields)?;
    let on_failure = on_failure(config, &settled.objects)?;
    let charts = charts(config, &checkout)?;
    let provenance = checkout.provenance().clone();
    let warnings = warnings(&rendered.left_out, rendered.isolation, &settled.objects, &found, config);
    Ok(Desired {
        checkout,
        provenance,
        objects: settled.objects,
        found,
        secrets: settled.rules,
        tools: rendered.tools,
        charts,
        on_failure,
        warnings,
    })
}

/// What the build went past without being sure.
fn warnings(
    left_out: &[String],
    isolation: Option<Isolation>,
    objects: &[Object],
    found: &[Found],
    config: &Config,
) -> Vec<String> {
    let included = &config.file.images.include;
    let suspects = discover::suspects(objects, found).into_iter().filter(|s| !included.contains(&s.reference));
    let missing = suspects.map(|s| {
        format!("{} at {} looks like an image and is not carried: `{}`; if it is one, name it in images.fields or images.include", s.object, s.field, s.reference)
    });
    let tests = left_out.iter().map(|hook| format!("left out the chart's test hook {hook}"));
    let open = (isolation == Some(Isolation::Proxies)).then(|| {
        "no network namespace can be made here: renderers were kept from the network by proxy settings only".to_owned()
    });
    tests.chain(open).chain(missing).collect()
}

impl Desired {
    /// Returns the digest of each object as rendered, before pinning: what a lock is held against.
    pub fn digests(&self) -> BTreeMap<String, Digest> {
        let digest = |object: &Object| Digest::of(sorted(&object.value).to_string().as_bytes());
        self.objects.iter().map(|object| (object.reference().to_string(), digest(object))).collect()
    }
}

/// The value with keys in order, whatever map serde_json was built with.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(map) => {
            let map: BTreeMap<_, _> = map.iter().map(|(key, item)| (key.clone(), sorted(item))).collect();
            Value::Object(map.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// DESIGN §6: a release with hook Jobs or a StatefulSet must say what happens; whether a StatefulSet has changed is
/// known at the site only, so any of them counts.
fn on_failure(config: &Config, objects: &[Object]) -> Result<OnFailure, DesiredError> {
    if config.file.rollout.irreversible {
        return Ok(OnFailure::Halt);
    }
    if let Some(said) = config.file.rollout.on_failure {
        return Ok(said);
    }
    let keeps = |object: &&Object| (object.kind() == "StatefulSet" && object.group() == "apps") || object.is_hook();
    match objects.iter().find(keeps) {
        Some(object) => Err(DesiredError::Undecided { object: object.reference() }),
        None => Ok(OnFailure::Rollback),
    }
}

fn charts(config: &Config, checkout: &Checkout) -> Result<BTreeMap<String, Digest>, Failure> {
    let mut charts = BTreeMap::new();
    for entry in config.file.render.iter().filter(|entry| entry.path.ends_with(".tgz")) {
        let read = |source| DesiredError::Chart { path: entry.path.clone(), source };
        let bytes = std::fs::read(checkout.find(&entry.path)?).map_err(read)?;
        charts.insert(entry.path.clone(), Digest::of(&bytes));
    }
    Ok(charts)
}
