//! The pod by which a node is asked to pull, and what its status says of that. Pure.
//!
//! Nothing of ours is an image at a site, so the release's own images are named, with a command that no image has: the
//! kubelet pulls, then finds nothing to start. It satisfies the `restricted` Pod Security Standard and asks for next to
//! nothing. It carries no mark by which Argo CD, Flux or a prune would take it for theirs.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

/// The label by which leftovers are found; its value is the product.
pub(super) const LABEL: &str = "consign.dev/pre-pull";
/// How many images one pod asks for.
pub(super) const AT_MOST: usize = 12;
/// What the server makes the pod's name of, and how much it adds.
const NAME: &str = "consign-pre-pull-";
const ADDED: usize = 5;
/// No image has it.
const COMMAND: &str = "/nonexistent/consign-pre-pull";
/// How much longer than anybody waits for it the kubelet lets a pod live that a power cut left behind.
const GRACE: Duration = Duration::from_secs(60);

/// What one pod is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) node: String,
    pub(super) namespace: String,
    pub(super) images: Vec<String>,
    /// The pull Secrets of the release's pods.
    pub(super) secrets: BTreeSet<String>,
}

/// The pod.
pub(super) fn of(ask: &Ask, product: &str, within: Duration) -> Value {
    let little = json!({"cpu": "1m", "memory": "1Mi"});
    let container = |(index, image): (usize, &String)| {
        json!({
            "name": name(index), "image": image, "imagePullPolicy": "IfNotPresent", "command": [COMMAND],
            "resources": {"requests": little, "limits": little},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        })
    };
    let secrets: Vec<_> = ask.secrets.iter().map(|name| json!({"name": name})).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": NAME, "namespace": ask.namespace,
            "labels": {LABEL: product, "app.kubernetes.io/managed-by": "consign"},
        },
        "spec": {
            "nodeName": ask.node,
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": within.saturating_add(GRACE).as_secs(),
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "imagePullSecrets": secrets,
            "containers": ask.images.iter().enumerate().map(container).collect::<Vec<_>>(),
        },
    })
}

/// What the server says of a pod without the part of its name that is another one each time: what it says of all nodes
/// is then the same.
pub(super) fn unnamed(said: &str) -> String {
    match said.split_once(NAME) {
        Some((before, after)) => format!("{before}{NAME}{}", after.get(ADDED..).unwrap_or(after)),
        None => said.to_owned(),
    }
}

fn name(index: usize) -> String {
    format!("image-{index}")
}

/// How a pull stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The image is on the node.
    Pulled,
    /// Not yet.
    Waits,
    /// The node has tried and could not, in the kubelet's words.
    Fails(String),
}

/// What a pod's status says of all its images, in their order.
pub(super) fn states(pod: &Value, images: usize) -> Vec<State> {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let of = |index| {
        let name = name(index);
        let status = statuses.into_iter().flatten().find(|status| status["name"] == *name);
        status.map_or(State::Waits, state)
    };
    (0..images).map(of).collect()
}

/// Reasons that the kubelet gives before there is an image, and after: it pulls first of all.
const BEFORE: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];
const AFTER: [&str; 7] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
    "CrashLoopBackOff",
    "PreStartHookError",
    "PostStartHookError",
];

fn state(status: &Value) -> State {
    let (running, ended) = (&status["state"]["running"], &status["state"]["terminated"]);
    // What was lost with its node says nothing of its image.
    let ended = ended.is_object() && ended["reason"] != "ContainerStatusUnknown";
    let has_image = status["imageID"].as_str().is_some_and(|id| !id.is_empty());
    let waiting = &status["state"]["waiting"];
    let reason = waiting["reason"].as_str().unwrap_or_default();
    if has_image || running.is_object() || ended || AFTER.contains(&reason) {
        return State::Pulled;
    }
    if !BEFORE.contains(&reason) {
        return State::Waits;
    }
    match waiting["message"].as_str().filter(|message| !message.is_empty()) {
        Some(message) => State::Fails(format!("{reason}: {message}")),
        None => State::Fails(reason.to_owned()),
    }
}

/// Why a node does not take the pod at all, or took it out again; `None` where it has it.
pub(super) fn turned_away(pod: &Value) -> Option<(String, bool)> {
    let status = &pod["status"];
    if status["phase"] != "Failed" {
        return None;
    }
    let reason = status["reason"].as_str().unwrap_or("it failed");
    let message = status["message"].as_str().unwrap_or_default();
    let words = if message.is_empty() { reason.to_owned() } else { format!("{reason}: {message}") };
    // A node that is short of room for images takes no pod, or puts out what it has.
    Some((words, reason == "Evicted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(images: usize) -> Ask {
        let images = (0..images).map(|index| format!("registry.example/{index}:1")).collect();
        Ask { node: "a".into(), namespace: "n".into(), images, secrets: ["login".to_owned()].into() }
    }

    #[test]
    fn it_names_the_images_and_asks_for_nothing_else() {
        let pod = of(&ask(2), "lamp", Duration::from_secs(600));
        assert_eq!(pod["metadata"]["labels"][LABEL], "lamp");
        assert_eq!(pod["spec"]["nodeName"], "a");
        assert_eq!(pod["spec"]["activeDeadlineSeconds"], 660);
        assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "login"}]));
        assert_eq!(pod["spec"]["containers"][1]["image"], "registry.example/1:1");
        assert!(pod["spec"].get("serviceAccountName").is_none() && pod["spec"].get("volumes").is_none());
    }

    #[test]
    fn what_is_said_of_every_node_is_said_once() {
        assert_eq!(unnamed("pods \"consign-pre-pull-x7k2p\" is forbidden"), "pods \"consign-pre-pull-\" is forbidden");
        assert_eq!(unnamed("consign-pre-pull-"), "consign-pre-pull-");
        assert_eq!(unnamed("no"), "no");
    }

    #[test]
    fn what_comes_after_a_pull_is_told_from_what_comes_before() {
        let waiting = |reason: &str| json!({"state": {"waiting": {"reason": reason, "message": "m"}}, "imageID": ""});
        let fails = |reason: &str| State::Fails(format!("{reason}: m"));
        for (status, expected) in [
            (waiting("ContainerCreating"), State::Waits),
            (waiting("PodInitializing"), State::Waits),
            (waiting("SomethingNew"), State::Waits),
            (waiting("CreateContainerConfigError"), State::Pulled),
            (waiting("CreateContainerError"), State::Pulled),
            (waiting("RunContainerError"), State::Pulled),
            (waiting("ErrImagePull"), fails("ErrImagePull")),
            (waiting("ImagePullBackOff"), fails("ImagePullBackOff")),
            (waiting("InvalidImageName"), fails("InvalidImageName")),
            (json!({"state": {"waiting": {"reason": "ErrImagePull"}}}), State::Fails("ErrImagePull".into())),
            (json!({"state": {"running": {}}}), State::Pulled),
            (json!({"state": {"terminated": {"reason": "StartError", "exitCode": 128}}}), State::Pulled),
            (json!({"state": {"terminated": {"reason": "ContainerStatusUnknown", "exitCode": 137}}}), State::Waits),
            (json!({"state": {"waiting": {"reason": "ContainerCreating"}}, "imageID": "sha256:1"}), State::Pulled),
            (json!({}), State::Waits),
        ] {
            assert_eq!(state(&status), expected, "{status}");
        }
    }

    #[test]
    fn containers_of_others_are_not_read() {
        let mut mine = json!({"name": "image-0", "state": {"running": {}}});
        let pod = |statuses: Value| json!({"status": {"containerStatuses": statuses}});
        let sidecar = json!({"name": "proxy", "state": {"waiting": {"reason": "ErrImagePull"}}});
        assert_eq!(states(&pod(json!([sidecar, mine])), 2), [State::Pulled, State::Waits]);
        mine["name"] = json!("image-1");
        assert_eq!(states(&pod(json!([mine])), 2), [State::Waits, State::Pulled]);
        assert_eq!(states(&json!({}), 1), [State::Waits]);
    }

    #[test]
    fn a_node_without_room_is_told_from_one_that_takes_no_pod() {
        let failed = |reason: &str| json!({"status": {"phase": "Failed", "reason": reason, "message": "The node had condition: [DiskPressure]."}});
        assert!(turned_away(&failed("Evicted")).unwrap().1);
        assert_eq!(
            turned_away(&failed("OutOfpods")).unwrap(),
            ("OutOfpods: The node had condition: [DiskPressure].".into(), false)
        );
        assert_eq!(turned_away(&json!({"status": {"phase": "Pending"}})), None);
    }
}
