//! The nodes: ready, with room, with a runtime that knows mirrors, and of a platform that the images have.

use std::collections::BTreeSet;

use serde_json::Value;

use super::cluster::items;
use super::{Check, Finding, Level, Patient};

pub(super) const NODES: Check =
    Check { id: "nodes", why: "pods run on nodes; one that is not ready, or of another platform, runs none of ours" };

/// The oldest containerd whose files of mirrors `nodes write` writes.
const CONTAINERD: (u32, u32) = (1, 6);

pub(super) fn look(patient: &Patient<'_>, nodes: Result<&Value, &String>) -> Vec<Finding> {
    let list = match nodes {
        Ok(list) => items(list),
        Err(reason) => return vec![NODES.skipped(reason.as_str())],
    };
    if list.is_empty() {
        return vec![NODES.fail("the cluster has no node", "let a node join it; a kubelet that runs registers itself")];
    }
    let images = images(patient);
    let found: Vec<Finding> = list.iter().flat_map(|node| judge(node, &images)).collect();
    let names: Vec<&str> = list.iter().map(name).collect();
    match found.as_slice() {
        [] => vec![NODES.ok(format!("ready: {}", names.join(", ")))],
        _ => found,
    }
}

fn name(node: &Value) -> &str {
    node["metadata"]["name"].as_str().unwrap_or("?")
}

/// The images of all releases that run or wait, with the platforms each is carried for; those of one platform say none.
fn images(patient: &Patient<'_>) -> BTreeSet<(String, Vec<String>)> {
    let products = patient.store.products().unwrap_or_default();
    let held = products.iter().flat_map(|product| {
        let current = product.current.as_ref().map(|current| &current.release);
        current.into_iter().chain(product.staged.as_ref().map(|staged| &staged.release))
    });
    let manifests = held.filter_map(|release| patient.store.read_release(&release.digest).ok());
    manifests.flat_map(|manifest| manifest.images).map(|image| (image.reference, image.platforms)).collect()
}

fn judge(node: &Value, images: &BTreeSet<(String, Vec<String>)>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let look = format!("kubectl describe node {}", name(node));
    for condition in node["status"]["conditions"].as_array().into_iter().flatten() {
        let (kind, status) = (condition["type"].as_str().unwrap_or_default(), condition["status"].as_str());
        let said = condition["message"].as_str().unwrap_or_default();
        match (kind, status) {
            ("Ready", Some("True")) => {}
            ("Ready", _) => {
                findings.push(NODES.fail(format!("node {} is not ready: {said}", name(node)), look.clone()))
            }
            ("MemoryPressure" | "DiskPressure" | "PIDPressure" | "NetworkUnavailable", Some("True")) => {
                findings.push(NODES.fail(format!("node {} has {kind}: {said}", name(node)), look.clone()));
            }
            _ => {}
        }
    }
    if node["spec"]["unschedulable"] == true {
        let fix = format!("kubectl uncordon {}", name(node));
        findings.push(NODES.warn(format!("node {} takes no new pods: somebody cordoned it", name(node)), fix));
    }
    findings.extend(runtime(node));
    findings.extend(platform(node, images));
    findings
}

fn runtime(node: &Value) -> Option<Finding> {
    let said = node["status"]["nodeInfo"]["containerRuntimeVersion"].as_str().unwrap_or_default();
    let version = said.strip_prefix("containerd://")?;
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else { return None };
    ((major, minor) < CONTAINERD).then(|| {
        let fix = "upgrade containerd to 1.6 or newer";
        NODES.fail(format!("node {} has {said}, which does not read the files of mirrors", name(node)), fix)
    })
}

fn platform(node: &Value, images: &BTreeSet<(String, Vec<String>)>) -> Option<Finding> {
    let info = &node["status"]["nodeInfo"];
    let platform = format!("{}/{}", info["operatingSystem"].as_str()?, info["architecture"].as_str()?);
    // `linux/arm64/v8` is for a node that says `linux/arm64`.
    let fits = |one: &String| *one == platform || one.starts_with(&format!("{platform}/"));
    let lacking: Vec<&str> = images
        .iter()
        .filter(|(_, platforms)| !platforms.is_empty() && !platforms.iter().any(fits))
        .map(|(reference, _)| reference.as_str())
        .collect();
    let first = lacking.first()?;
    let what = format!(
        "node {} is {platform}, and {} images are not carried for it, such as {first}",
        name(node),
        lacking.len()
    );
    let fix = format!("ask for a release with {platform} under images.platforms, or keep its pods off this node");
    Some(NODES.finding(Level::Warn, what, Some(fix)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(ready: &str, runtime: &str, architecture: &str) -> Value {
        json!({"metadata": {"name": "n"}, "status": {
            "conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": ready}],
            "nodeInfo": {"operatingSystem": "linux", "architecture": architecture, "containerRuntimeVersion": runtime}}})
    }

    fn levels(node: &Value) -> Vec<Level> {
        let images = BTreeSet::from([
            ("quay.io/a:1".to_owned(), vec!["linux/amd64".to_owned(), "linux/arm64/v8".to_owned()]),
            ("quay.io/b:1".to_owned(), vec![]),
        ]);
        judge(node, &images).iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn nodes_are_judged_by_what_they_say() {
        assert_eq!(levels(&node("True", "containerd://1.7.2", "amd64")), []);
        assert_eq!(levels(&node("True", "cri-o://1.33.0", "arm64")), []);
        assert_eq!(levels(&node("Unknown", "containerd://2.0.0", "amd64")), [Level::Fail]);
        assert_eq!(levels(&node("True", "containerd://1.5.18", "amd64")), [Level::Fail]);
        assert_eq!(levels(&node("True", "containerd://2.1.0", "s390x")), [Level::Warn]);
        let mut pressed = node("True", "containerd://2.1.0", "amd64");
        pressed["status"]["conditions"][0]["status"] = json!("True");
        pressed["spec"]["unschedulable"] = json!(true);
        assert_eq!(levels(&pressed), [Level::Fail, Level::Warn]);
    }
}
