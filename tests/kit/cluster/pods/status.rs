//! What the kubelet would say about a pod: pure, from the pod and what is to become of it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

use super::{Behaviour, NODE, NOWHERE};

/// Stands where a time goes, until [`stamped`]: a status that is compared must not hold the present.
const NOW: &str = "now";

/// The images of all containers of a pod.
pub(super) fn images(pod: &Pod) -> impl Iterator<Item = &str> {
    let spec = pod.spec.as_ref();
    let main = spec.into_iter().flat_map(|spec| &spec.containers);
    let init = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
    main.chain(init).filter_map(|container| container.image.as_deref())
}

/// Whether a container's command is one that no image has.
fn has_no_command(container: &Container) -> bool {
    container.command.iter().flatten().next().is_some_and(|program| program.starts_with(NOWHERE))
}

/// Whether no container of the pod has anything to start.
pub(super) fn starts_nothing(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| !spec.containers.is_empty() && spec.containers.iter().all(has_no_command))
}

/// The node that a DaemonSet's controller means a pod for.
pub(super) fn meant_for(pod: &Pod) -> Option<&str> {
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let mut fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let name = fields.find(|field| field.key == "metadata.name")?;
    name.values.as_ref()?.first().map(String::as_str)
}

/// Whether the pod has succeeded or failed: then no status of it changes any more.
pub(super) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The status that the pod should have, its times left open.
pub(super) fn of(pod: &Pod, behaviour: &Behaviour) -> Value {
    match behaviour {
        Behaviour::Unschedulable { message } => json!({
            "phase": "Pending",
            "conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": message, "lastTransitionTime": NOW,
            }],
        }),
        Behaviour::Ready => status(pod, "Running", "True", "True", &running(true)),
        Behaviour::NotReady => status(pod, "Running", "True", "False", &running(false)),
        Behaviour::Exits(0) => status(pod, "Succeeded", "True", "False", &ended(0)),
        Behaviour::Exits(code) => status(pod, "Failed", "True", "False", &ended(*code)),
        Behaviour::NothingToStart => status(pod, "Failed", "True", "False", &not_started()),
        Behaviour::CannotPull { image, message } => {
            let rest = if starts_nothing(pod) { not_started() } else { running(true) };
            let mut status = status(pod, "Pending", "True", "False", &rest);
            for container in status["containerStatuses"].as_array_mut().into_iter().flatten() {
                if container["image"].as_str().is_some_and(|one| one.contains(image)) {
                    let (name, image) = (container["name"].take(), container["image"].take());
                    *container = json!({
                        "name": name, "image": image, "imageID": "",
                        "ready": false, "started": false, "restartCount": 0,
                        "state": {"waiting": {"reason": "ErrImagePull", "message": message}},
                    });
                }
            }
            status
        }
        Behaviour::Waiting { reason, message } => {
            let mut container = json!({
                "ready": false, "started": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": message}},
            });
            // A container that waits between crashes has run; its pod counts as running.
            let crashed = reason == "CrashLoopBackOff";
            if crashed {
                container["restartCount"] = json!(3);
                container["lastState"] = json!({"terminated": terminated(1)});
            }
            status(pod, if crashed { "Running" } else { "Pending" }, "True", "False", &container)
        }
    }
}

fn status(pod: &Pod, phase: &str, initialized: &str, ready: &str, container: &Value) -> Value {
    let spec = pod.spec.as_ref();
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": NOW});
    let main: Vec<Value> =
        spec.into_iter().flat_map(|spec| &spec.containers).map(|one| merged(one, container)).collect();
    let init: Vec<Value> = spec
        .into_iter()
        .flat_map(|spec| spec.init_containers.iter().flatten())
        .map(|one| {
            // With `restartPolicy: Always` it is a sidecar, which lives as long as the others.
            let sidecar = one.restart_policy.as_deref() == Some("Always") && phase == "Running";
            merged(one, &if sidecar { running(true) } else { ended(0) })
        })
        .collect();
    let mut status = json!({
        "phase": phase,
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "startTime": NOW,
        "conditions": [
            condition("PodScheduled", "True"),
            condition("Initialized", initialized),
            condition("ContainersReady", ready),
            condition("Ready", ready),
        ],
        "containerStatuses": main,
    });
    if !init.is_empty() {
        status["initContainerStatuses"] = json!(init);
    }
    if phase != "Pending" {
        let ip = address(pod);
        status["podIP"] = json!(ip);
        status["podIPs"] = json!([{"ip": ip}]);
    }
    status
}

fn running(ready: bool) -> Value {
    json!({"ready": ready, "started": true, "restartCount": 0, "state": {"running": {"startedAt": NOW}}})
}

fn ended(code: i32) -> Value {
    json!({"ready": false, "started": false, "restartCount": 0, "state": {"terminated": terminated(code)}})
}

/// Pulled, and nothing there to run: 128, as containerd has it.
fn not_started() -> Value {
    let mut container = ended(128);
    container["state"]["terminated"]["reason"] = json!("StartError");
    container
}

fn terminated(code: i32) -> Value {
    let reason = if code == 0 { "Completed" } else { "Error" };
    json!({"exitCode": code, "reason": reason, "startedAt": NOW, "finishedAt": NOW})
}

/// The status of one container. Nothing is pulled: its image ID is the reference as the pod has it.
fn merged(container: &Container, rest: &Value) -> Value {
    let image = container.image.as_deref().unwrap_or_default();
    let mut status = rest.clone();
    let started = status["state"].get("waiting").is_none();
    status["name"] = json!(container.name);
    status["image"] = json!(image);
    status["imageID"] = json!(if started { image } else { "" });
    if started {
        status["containerID"] = json!(format!("{NODE}://{}", container.name));
    }
    status
}

/// An address of the pod's own, from its UID: never dialled, only listed.
fn address(pod: &Pod) -> String {
    // FNV-1a, folded to the 22 bits of 10.64.0.0/10 that follow the prefix.
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let hash = uid.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [_, b, c, d] = (hash ^ (hash >> 22)).to_be_bytes();
    format!("10.{}.{c}.{}", 64 + (b & 63), d.clamp(1, 254))
}

/// Whether the pod's status says all of `wanted` already, whatever the times.
pub(super) fn is_told(pod: &Pod, wanted: &Value) -> bool {
    serde_json::to_value(pod.status.as_ref()).is_ok_and(|told| says(&told, wanted))
}

fn says(told: &Value, wanted: &Value) -> bool {
    match (told, wanted) {
        (_, Value::String(text)) if text == NOW => !told.is_null(),
        (Value::Object(told), Value::Object(wanted)) => wanted.iter().all(|(key, value)| match told.get(key) {
            Some(told) => says(told, value),
            // An empty text comes back as no text at all.
            None => value.as_str() == Some(""),
        }),
        (Value::Array(told), Value::Array(wanted)) => {
            told.len() == wanted.len() && told.iter().zip(wanted).all(|(told, wanted)| says(told, wanted))
        }
        _ => told == wanted,
    }
}

/// `wanted` with every open time set to `now`.
pub(super) fn stamped(mut wanted: Value, now: Timestamp) -> Value {
    stamp(&mut wanted, &json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
    wanted
}

fn stamp(value: &mut Value, now: &Value) {
    match value {
        Value::String(text) if text == NOW => *value = now.clone(),
        Value::Array(items) => items.iter_mut().for_each(|item| stamp(item, now)),
        Value::Object(fields) => fields.values_mut().for_each(|field| stamp(field, now)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "uid": "6b5e"},
            "spec": {
                "initContainers": [
                    {"name": "migrate", "image": "registry.test/migrate:1"},
                    {"name": "proxy", "image": "registry.test/proxy:1", "restartPolicy": "Always"},
                ],
                "containers": [{"name": "web", "image": "registry.test/web:1"}],
            },
        }))
        .unwrap()
    }

    fn told(pod: &Pod, status: &Value) -> Pod {
        let mut pod = pod.clone();
        pod.status = Some(serde_json::from_value(stamped(status.clone(), Timestamp::UNIX_EPOCH)).unwrap());
        pod
    }

    #[test]
    fn what_is_told_is_told_once_and_a_change_again() {
        let all = [
            Behaviour::Ready,
            Behaviour::NotReady,
            Behaviour::Exits(0),
            Behaviour::Exits(2),
            Behaviour::image_pull_back_off(),
            Behaviour::crash_loop(),
            Behaviour::NothingToStart,
            Behaviour::CannotPull { image: "web".into(), message: "x509".into() },
            Behaviour::Unschedulable { message: String::new() },
        ];
        for before in &all {
            let pod = told(&pod(), &of(&pod(), before));
            for after in &all {
                assert_eq!(is_told(&pod, &of(&pod, after)), before == after, "{before:?} then {after:?}");
            }
        }
        assert!(!is_told(&pod(), &of(&pod(), &Behaviour::Ready)));
    }

    #[test]
    fn init_containers_have_ended_and_sidecars_run() {
        let status = of(&pod(), &Behaviour::Ready);
        assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
        assert_eq!(status["initContainerStatuses"][1]["ready"], true);
        assert_eq!(status["containerStatuses"][0]["imageID"], "registry.test/web:1");
    }

    #[test]
    fn a_pull_fails_for_the_containers_of_its_image_alone() {
        let mut pod = pod();
        let spec = pod.spec.as_mut().unwrap();
        spec.containers.push(Container {
            name: "log".into(),
            image: Some("registry.test/log:1".into()),
            ..Default::default()
        });
        let status = |pod: &Pod| of(pod, &Behaviour::CannotPull { image: "web".into(), message: "x509".into() });
        let seen = status(&pod);
        assert_eq!(
            seen["containerStatuses"][0]["state"],
            json!({"waiting": {"reason": "ErrImagePull", "message": "x509"}})
        );
        assert_eq!(seen["containerStatuses"][1]["ready"], true);
        for container in &mut pod.spec.as_mut().unwrap().containers {
            container.command = Some(vec![format!("{NOWHERE}x")]);
        }
        assert!(starts_nothing(&pod));
        assert_eq!(status(&pod)["containerStatuses"][1]["state"]["terminated"]["reason"], "StartError");
    }

    #[test]
    fn a_time_is_set_everywhere() {
        let text = stamped(of(&pod(), &Behaviour::crash_loop()), Timestamp::UNIX_EPOCH).to_string();
        assert!(text.contains("1970-01-01T00:00:00Z") && !text.contains("\"now\""), "{text}");
    }
}
