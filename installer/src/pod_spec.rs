//! Where the pods of an object are described: Kubernetes' own kinds, a release's hooks among them. Pure.

use serde_json::Value;

use crate::handoff::ObjectKey;

/// The pod that an object is, or that its controller makes of it: metadata and spec. `None` for all other kinds.
pub fn pod_of<'a>(key: &ObjectKey, object: &'a Value) -> Option<&'a Value> {
    let template = match (key.kind.group.as_str(), key.kind.kind.as_str()) {
        ("", "Pod") => Some(object),
        ("", "ReplicationController") => object.pointer("/spec/template"),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => object.pointer("/spec/template"),
        ("batch", "Job") => object.pointer("/spec/template"),
        ("batch", "CronJob") => object.pointer("/spec/jobTemplate/spec/template"),
        _ => None,
    };
    template.filter(|template| template["spec"].is_object())
}

/// The containers of a pod, those that come first among them.
pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
}

/// Every image that a pod needs on its node: of its containers, and of volumes that are images.
pub fn images(pod: &Value) -> impl Iterator<Item = &str> {
    named_images(pod).map(|(_, _, image)| image)
}

/// The same, each with what names it: whether a container or a volume, and its name there.
pub fn named_images(pod: &Value) -> impl Iterator<Item = (&'static str, &str, &str)> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let mounted = volumes.map(|one| ("volume", &one["name"], one.pointer("/image/reference")));
    let run = containers(pod).map(|one| ("container", &one["name"], one.get("image")));
    run.chain(mounted)
        .filter_map(|(place, name, image)| Some((place, name.as_str().unwrap_or_default(), image?.as_str()?)))
}
