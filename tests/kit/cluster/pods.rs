//! The scheduler and the kubelets of a test's cluster, simulated: pods are bound to the one node that every cluster has,
//! those of a DaemonSet and those that name their node excepted, and their status is told.
//!
//! Every pod succeeds in what it is for, unless the test wants otherwise: by a rule ([`Pods::when`]), or by what
//! the pod itself carries ([`WAITING`], [`MESSAGE`], [`NOT_READY`], [`EXIT_CODE`], [`UNSCHEDULABLE`]). No container
//! runs, no probe is asked, no volume is mounted, node selectors and taints are ignored. What a kubelet does first of all,
//! pulling, fails where [`Pods::cannot_pull`] says so; a command below [`NOWHERE`] is one that no image has.

mod node;
mod status;

pub use node::Machine;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::sync::Notify;

/// Name of the node that every cluster has.
pub const NODE: &str = "sim";
/// No image has anything below this folder: a container whose command lies there is pulled for and never starts.
pub const NOWHERE: &str = "/nonexistent/";
/// Annotation: the pod's containers wait for ever, for this reason (such as `ImagePullBackOff`).
pub const WAITING: &str = "sim.consign.dev/waiting";
/// Annotation: the message beside the reason of [`WAITING`] or [`UNSCHEDULABLE`].
pub const MESSAGE: &str = "sim.consign.dev/message";
/// Annotation, any value: the containers run and never get ready.
pub const NOT_READY: &str = "sim.consign.dev/not-ready";
/// Annotation: the containers end with this code, and the pod with them (0 succeeds).
pub const EXIT_CODE: &str = "sim.consign.dev/exit-code";
/// Annotation, any value: no node takes the pod.
pub const UNSCHEDULABLE: &str = "sim.consign.dev/unschedulable";

/// What becomes of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Running and ready.
    Ready,
    /// Running, never ready.
    NotReady,
    /// Its containers end with this code: the pod succeeds (0) or fails.
    Exits(i32),
    /// Its containers never start.
    Waiting {
        /// As the kubelet words it, such as `ImagePullBackOff`. `CrashLoopBackOff` comes with a container that ended before.
        reason: String,
        /// What is said beside it.
        message: String,
    },
    /// Containers of one image wait for a pull that fails; the others are as they would be.
    CannotPull {
        /// A part of the image's reference.
        image: String,
        /// As the runtime words it.
        message: String,
    },
    /// There is nothing to start in any of its images.
    NothingToStart,
    /// No node takes it.
    Unschedulable {
        /// What the scheduler says.
        message: String,
    },
}

impl Behaviour {
    /// The image of the pod can't be pulled.
    pub fn image_pull_back_off() -> Self {
        Self::Waiting { reason: "ImagePullBackOff".into(), message: "Back-off pulling image".into() }
    }

    /// Its containers end soon after every start.
    pub fn crash_loop() -> Self {
        let message = "back-off 40s restarting failed container".into();
        Self::Waiting { reason: "CrashLoopBackOff".into(), message }
    }

    /// What the pod's annotations ask for, or else what it is for: one that may end (`restartPolicy` other than
    /// `Always`, as in a Job) succeeds, any other gets ready.
    fn of(pod: &Pod) -> Self {
        let annotation = |name| pod.annotations().get(name).cloned();
        let message = annotation(MESSAGE).unwrap_or_default();
        if let Some(reason) = annotation(WAITING) {
            return Self::Waiting { reason, message };
        }
        if annotation(UNSCHEDULABLE).is_some() {
            return Self::Unschedulable { message };
        }
        if annotation(NOT_READY).is_some() {
            return Self::NotReady;
        }
        if let Some(code) = annotation(EXIT_CODE) {
            return Self::Exits(code.parse().unwrap_or_else(|_| panic!("{EXIT_CODE}: {code:?} is no number")));
        }
        if status::starts_nothing(pod) {
            return Self::NothingToStart;
        }
        let restarts = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        if restarts.is_none_or(|policy| policy == "Always") { Self::Ready } else { Self::Exits(0) }
    }
}

type Rule = Box<dyn Fn(&Pod) -> Option<Behaviour> + Send>;

/// The rules of the simulation that runs beside a cluster.
#[derive(Clone)]
pub struct Pods {
    rules: Arc<Mutex<Vec<Rule>>>,
    /// The nodes whose kubelet is simulated.
    nodes: Arc<Mutex<BTreeSet<String>>>,
    changed: Arc<Notify>,
}

impl Pods {
    /// Creates the node and lets the simulation run on the current runtime, until that ends.
    pub(super) async fn start(client: Client) -> Self {
        let pods = Self { rules: Arc::default(), nodes: Arc::default(), changed: Arc::default() };
        pods.add_node(&client, Machine::FIRST).await;
        tokio::spawn(Simulation { client, pods: pods.clone(), known: BTreeMap::new() }.run());
        pods
    }

    /// Adds a node. One that is not ready has no kubelet: nobody tells the status of its pods.
    pub async fn add_node(&self, client: &Client, machine: Machine<'_>) {
        node::create(client, machine).await;
        if machine.ready {
            self.nodes.lock().expect("no test panicked in it").insert(machine.name.to_owned());
        }
    }

    /// On this node, or on all, images whose reference contains `part` cannot be pulled.
    pub fn cannot_pull(&self, node: Option<&str>, part: &str, message: &str) {
        let (node, image, message) = (node.map(str::to_owned), part.to_owned(), message.to_owned());
        self.when(move |pod| {
            let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            let here = node.is_none() || node.as_deref() == on;
            let fails = here && status::images(pod).any(|one| one.contains(&image));
            fails.then(|| Behaviour::CannotPull { image: image.clone(), message: message.clone() })
        });
    }

    /// Adds a rule, for pods there are and pods to come. The newest rule that says something about a pod holds;
    /// where none does, its annotations and its purpose do. A pod that has ended stays ended.
    pub fn when(&self, rule: impl Fn(&Pod) -> Option<Behaviour> + Send + 'static) {
        self.rules.lock().expect("no rule panicked").push(Box::new(rule));
        self.changed.notify_one();
    }

    /// Adds a rule for the pods that use an image whose reference contains `part`.
    pub fn when_image(&self, part: &str, behaviour: Behaviour) {
        let part = part.to_owned();
        self.when(move |pod| status::images(pod).any(|image| image.contains(&part)).then(|| behaviour.clone()));
    }

    /// Drops every rule: what was broken by one gets well.
    pub fn forget_rules(&self) {
        self.rules.lock().expect("no rule panicked").clear();
        self.changed.notify_one();
    }

    fn has_kubelet(&self, node: &str) -> bool {
        self.nodes.lock().expect("no test panicked in it").contains(node)
    }

    fn behaviour(&self, pod: &Pod) -> Behaviour {
        let rules = self.rules.lock().expect("no rule panicked");
        rules.iter().rev().find_map(|rule| rule(pod)).unwrap_or_else(|| Behaviour::of(pod))
    }
}

struct Simulation {
    client: Client,
    pods: Pods,
    /// Every pod as last seen, by UID.
    known: BTreeMap<String, Pod>,
}

impl Simulation {
    async fn run(mut self) {
        let api: Api<Pod> = Api::all(self.client.clone());
        let mut events = watcher::watcher(api, watcher::Config::default()).default_backoff().boxed();
        // What another writer got ahead of, or the API server refused for now, is tried again.
        let mut again = tokio::time::interval(Duration::from_secs(1));
        let mut failed = false;
        loop {
            let one = tokio::select! {
                event = events.next() => match event {
                    None => return,
                    Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => Some(pod),
                    Some(Ok(Event::Delete(pod))) => {
                        self.known.remove(&pod.uid().unwrap_or_default());
                        continue;
                    }
                    // The watcher backs off and starts again by itself.
                    Some(Ok(Event::Init | Event::InitDone) | Err(_)) => continue,
                },
                () = self.pods.changed.notified() => None,
                _ = again.tick(), if failed => None,
            };
            match one {
                Some(pod) => {
                    failed |= self.act(&pod).await.is_err();
                    self.known.insert(pod.uid().unwrap_or_default(), pod);
                }
                None => failed = self.act_on_all().await.is_err(),
            }
        }
    }

    async fn act_on_all(&self) -> kube::Result<()> {
        let mut outcome = Ok(());
        for pod in self.known.values() {
            outcome = outcome.and(self.act(pod).await);
        }
        outcome
    }

    /// Takes the pod one step on: each step is seen as an event, which brings the next.
    async fn act(&self, pod: &Pod) -> kube::Result<()> {
        let namespace = pod.namespace().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let step = if pod.metadata.deletion_timestamp.is_some() {
            end(&api, pod).await
        } else if status::has_ended(pod) {
            return Ok(());
        } else {
            let behaviour = self.pods.behaviour(pod);
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            match node {
                None if !matches!(behaviour, Behaviour::Unschedulable { .. }) => bind(&api, pod).await,
                Some(node) if !self.pods.has_kubelet(node) => return Ok(()),
                _ => tell(&api, pod, &behaviour).await,
            }
        };
        match step {
            // Gone meanwhile: nothing left to do.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            step => step,
        }
    }
}

async fn bind(api: &Api<Pod>, pod: &Pod) -> kube::Result<()> {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.name_any(), "uid": pod.uid()},
        "target": {"apiVersion": "v1", "kind": "Node", "name": status::meant_for(pod).unwrap_or(NODE)},
    });
    let _: serde_json::Value =
        api.create_subresource("binding", &pod.name_any(), &PostParams::default(), &binding).await?;
    Ok(())
}

async fn tell(api: &Api<Pod>, pod: &Pod, behaviour: &Behaviour) -> kube::Result<()> {
    let wanted = status::of(pod, behaviour);
    if status::is_told(pod, &wanted) {
        return Ok(());
    }
    // With the UID, so that a namesake which came after it is left alone.
    let patch = json!({"metadata": {"uid": pod.uid()}, "status": status::stamped(wanted, jiff::Timestamp::now())});
    api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

async fn end(api: &Api<Pod>, pod: &Pod) -> kube::Result<()> {
    if pod.metadata.deletion_grace_period_seconds == Some(0) {
        // The containers have ended; what is left is up to whoever set a finalizer.
        return Ok(());
    }
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
        ..DeleteParams::default()
    };
    api.delete(&pod.name_any(), &params).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_does_what_it_says_or_what_it_is_for() {
        let pod = |annotations: serde_json::Value, policy: &str| -> Pod {
            let value =
                json!({"metadata": {"annotations": annotations}, "spec": {"restartPolicy": policy, "containers": []}});
            serde_json::from_value(value).unwrap()
        };
        let waiting = Behaviour::Waiting { reason: "ErrImagePull".into(), message: "no".into() };
        for (annotations, policy, expected) in [
            (json!({}), "Always", Behaviour::Ready),
            (json!({}), "Never", Behaviour::Exits(0)),
            (json!({}), "OnFailure", Behaviour::Exits(0)),
            (json!({EXIT_CODE: "3"}), "Never", Behaviour::Exits(3)),
            (json!({NOT_READY: ""}), "Always", Behaviour::NotReady),
            (json!({WAITING: "ErrImagePull", MESSAGE: "no"}), "Always", waiting),
            (json!({UNSCHEDULABLE: ""}), "Always", Behaviour::Unschedulable { message: String::new() }),
        ] {
            assert_eq!(Behaviour::of(&pod(annotations.clone(), policy)), expected, "{annotations} {policy}");
        }
    }
}
