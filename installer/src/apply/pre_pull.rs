//! Lets every node pull what the release's pods need there, before anything is applied: activating then waits for no
//! pull, and a node that cannot pull is found while nothing has changed.
//!
//! A node is asked by a pod whose containers name the release's images and start nothing. Every such pod is deleted
//! again; those that a power cut left are found by their label and deleted first.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use serde_json::Value;

use super::api_table::ApiTable;
use super::applyset;
use super::cluster::CallError;
use super::members::{self, Member};
use super::verbs::Selector;
use super::{ApplyError, Cluster, Direct, inventory, tenant};
use crate::handoff::{Desired, Event, GroupKind, ObjectKey, OnEvent, Policy};

mod asking;
mod credentials;
mod need;
mod pod;

use asking::{Asking, Outcome};
use credentials::{Credentials, Found};
use pod::Ask;

/// How many nodes pull at once: the registry may be one small machine.
const AT_ONCE: usize = 8;

/// An image that a node cannot pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotPulled {
    /// The node.
    pub node: String,
    /// The image, as the release names it.
    pub image: String,
    /// Why, in plain words and then in the kubelet's.
    pub reason: String,
}

/// What is known before a node is asked.
struct Ahead<'a> {
    cluster: &'a Cluster,
    api: &'a ApiTable,
    policy: &'a Policy,
}

/// Pulls, if the policy says so.
pub(super) async fn pre_pull(
    direct: &Direct,
    desired: &Desired,
    policy: &Policy,
    on: &mut OnEvent<'_>,
) -> Result<(), ApplyError> {
    let Some(within) = policy.pre_pull else { return Ok(()) };
    let cluster = &direct.cluster;
    let api = ApiTable::discover(cluster).await?;
    let set_id = applyset::id(&applyset::parent_key(cluster.home(), &desired.product));
    let mut members = members::read(desired, &api, &set_id)?;
    tenant::confine(cluster, desired, &mut members)?;
    let ahead = Ahead { cluster, api: &api, policy };
    let Some(nodes) = ahead.nodes(on).await? else { return Ok(()) };
    let asks = ahead.asks(desired, &members.list, &nodes, on).await?;
    let pods = inventory::served(&api, "Pod")?;
    let asking = Asking { cluster, api: &api, pods, product: &desired.product, within };
    let namespaces: BTreeSet<_> =
        members.list.iter().map(|one| one.key.namespace.as_str()).chain([cluster.home()]).collect();
    asking.clear(&namespaces).await?;
    ahead.all(&asking, asks, on).await
}

impl Ahead<'_> {
    /// The nodes that pods come to; `None` where they cannot be seen.
    async fn nodes(&self, on: &mut OnEvent<'_>) -> Result<Option<Vec<Value>>, ApplyError> {
        match self.cluster.list(inventory::served(self.api, "Node")?, "", &Selector::default()).await {
            Ok(mut nodes) => {
                nodes.retain(|node| match need::out_of_use(node) {
                    Some(why) => {
                        on(Event::Note(format!("node {} pulls nothing ahead: {why}", name(node))));
                        false
                    }
                    None => true,
                });
                Ok(Some(nodes))
            }
            Err(CallError::Said(status)) if status.code == 403 => {
                self.cannot_ask("nodes may not be listed".to_owned(), on)?;
                Ok(None)
            }
            Err(error) => Err(self.cluster.failed(error)),
        }
    }

    /// What each node is asked for, pod by pod.
    async fn asks(
        &self,
        desired: &Desired,
        members: &[Member],
        nodes: &[Value],
        on: &mut OnEvent<'_>,
    ) -> Result<BTreeMap<String, Vec<Ask>>, ApplyError> {
        let (wanted, floating) = need::wanted(members, &desired.needs.images);
        for image in floating {
            on(Event::Note(format!("{image} is not pulled ahead: its tag is moved when the release is activated")));
        }
        let nodes: Vec<&Value> = nodes.iter().collect();
        let alike = need::alike(&nodes);
        let mut credentials = Credentials::new(self.cluster, self.api, desired, members)?;
        let mut grouped = Grouped::new();
        let mut there = BTreeMap::new();
        for one in &wanted {
            if !there.contains_key(one.namespace) {
                there.insert(one.namespace, self.has_namespace(one.namespace).await?);
            }
            let has_namespace = there[one.namespace];
            let secrets = match credentials.of(one, has_namespace).await? {
                Found::There(secrets) => secrets,
                Found::YetToCome(key) => {
                    on(Event::Note(format!("{} is not pulled ahead: {key} comes with the release", one.image)));
                    continue;
                }
            };
            let namespace = if has_namespace { one.namespace } else { self.cluster.home() };
            for node in nodes.iter().filter(|node| one.is_for(node, alike)) {
                let group = grouped.entry((name(node), namespace)).or_default();
                group.images.insert(one.image);
                group.secrets.extend(secrets.iter().cloned());
            }
        }
        if grouped.keys().any(|(_, namespace)| *namespace == self.cluster.home()) {
            self.home(on).await?;
        }
        Ok(in_pods(grouped))
    }

    async fn has_namespace(&self, name: &str) -> Result<bool, ApplyError> {
        if self.cluster.is_tenant() {
            return Ok(true);
        }
        let key = ObjectKey::new(GroupKind::new("", "Namespace"), "", name);
        let live = self.cluster.get(inventory::served(self.api, "Namespace")?, &key).await;
        Ok(live.map_err(|error| self.cluster.failed(error))?.is_some())
    }

    /// The namespace of our own things; where it may not be made, the pods are refused and that is told.
    async fn home(&self, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
        match inventory::ensure_home(self.cluster, self.api).await {
            Err(ApplyError::Refused { refusals }) => {
                refusals.into_iter().for_each(|one| on(Event::Note(format!("{}: {}", one.key, one.reason))));
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// Asks all nodes, and tells what comes of it.
    async fn all(
        &self,
        asking: &Asking<'_>,
        asks: BTreeMap<String, Vec<Ask>>,
        on: &mut OnEvent<'_>,
    ) -> Result<(), ApplyError> {
        let nodes = asks.len();
        let questions: Vec<_> =
            asks.into_iter().map(|(node, asks)| async move { (node, asking.node(&asks).await) }).collect();
        let mut answers = futures_util::stream::iter(questions).buffer_unordered(AT_ONCE);
        let (mut not_pulled, mut reasons, mut failed) = (Vec::new(), BTreeMap::<String, Vec<String>>::new(), None);
        while let Some((node, answer)) = answers.next().await {
            let said = match answer {
                Ok(Outcome { images, troubles, unasked }) => {
                    let said = match (&unasked, troubles.len()) {
                        (Some(why), _) => format!("was not asked: {why}"),
                        (None, 0) => format!("has the images that it needs ({images})"),
                        (None, count) => format!("cannot pull {count} of the {images} images that it needs"),
                    };
                    not_pulled.extend(troubles);
                    unasked.into_iter().for_each(|why| reasons.entry(why).or_default().push(node.clone()));
                    said
                }
                // The others go on to their end, so that their pods are deleted.
                Err(error) => {
                    let said = error.to_string();
                    failed.get_or_insert(error);
                    said
                }
            };
            on(Event::Pulled { node, said, nodes });
        }
        if let Some(error) = failed {
            return Err(error);
        }
        not_pulled.sort_by(|a, b| (&a.node, &a.image).cmp(&(&b.node, &b.image)));
        if !not_pulled.is_empty() {
            return Err(ApplyError::NodePull { images: not_pulled });
        }
        reasons.into_iter().try_for_each(|(why, nodes)| self.cannot_ask(format!("{why} ({})", nodes.join(", ")), on))
    }

    /// What keeps nodes from being asked is a note, unless the site demands an update without an interruption.
    fn cannot_ask(&self, why: String, on: &mut OnEvent<'_>) -> Result<(), ApplyError> {
        if self.policy.require_zero_downtime {
            return Err(ApplyError::PullNotAsked { reason: why });
        }
        on(Event::Note(format!("images are not pulled ahead: {why}")));
        Ok(())
    }
}

fn name(node: &Value) -> String {
    node["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// What a node pulls in one namespace.
#[derive(Default)]
struct Group<'a> {
    images: BTreeSet<&'a str>,
    secrets: BTreeSet<String>,
}

/// By node and namespace.
type Grouped<'a> = BTreeMap<(String, &'a str), Group<'a>>;

/// Groups of images as pods, no more than so many images each.
fn in_pods(grouped: Grouped<'_>) -> BTreeMap<String, Vec<Ask>> {
    let mut asks = BTreeMap::<String, Vec<Ask>>::new();
    for ((node, namespace), Group { images, secrets }) in grouped {
        let images: Vec<String> = images.into_iter().map(str::to_owned).collect();
        let pods = images.chunks(pod::AT_MOST).map(|images| Ask {
            node: node.clone(),
            namespace: namespace.to_owned(),
            images: images.to_vec(),
            secrets: secrets.clone(),
        });
        asks.entry(node.clone()).or_default().extend(pods);
    }
    asks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_images_are_several_pods_of_the_same_node() {
        let names: Vec<String> = (0..30).map(|index| format!("image:{index:02}")).collect();
        let images: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let asks = in_pods(BTreeMap::from([(("a".to_owned(), "n"), Group { images, ..Group::default() })]));
        assert_eq!(asks["a"].iter().map(|ask| ask.images.len()).collect::<Vec<_>>(), [12, 12, 6]);
    }
}
