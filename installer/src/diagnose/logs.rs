//! What containers have said: the end of each log, of the container before too, of pods that are not ready first.

use std::collections::BTreeSet;
use std::io::{self, Write};

use futures_util::AsyncReadExt as _;
use serde_json::Value;

use super::archive::Archive;
use super::machine::end_of;
use super::scrub::Scrubber;
use super::{LINES, LOG, LOGS};
use crate::apply::Cluster;
use crate::apply::cluster::CallError;
use crate::apply::reasons::not_ready;
use crate::doctor::PATIENCE;

/// More of one log is never read: lines may be of any length.
const READ: u64 = 8 << 20;
/// The longest part of a name in the archive that comes from a name in the cluster.
const NAME: usize = 21;

/// One log that there may be.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    namespace: String,
    pod: String,
    container: String,
    previous: bool,
}

pub(super) async fn add<W: Write>(
    cluster: &Cluster,
    pods: Vec<Value>,
    scrubber: &Scrubber,
    archive: &mut Archive<W>,
) -> io::Result<()> {
    let wanted = wanted(&pods);
    if wanted.len() > LOGS {
        archive.missing("logs/", format!("{} of {} logs: more are not taken", wanted.len() - LOGS, wanted.len()));
    }
    for (n, log) in wanted.iter().take(LOGS).enumerate() {
        let name = name(n + 1, log);
        let Wanted { namespace, pod, container, previous } = log;
        let about = format!("{namespace}/{pod} {container}{}", if *previous { ", the one before" } else { "" });
        match read(cluster, log).await {
            Ok(bytes) => {
                let text = scrubber.text(&String::from_utf8_lossy(end_of(&bytes, LOG)));
                archive.add(&name, about, text.as_bytes())?;
            }
            Err(why) => archive.missing(format!("{name} ({about})"), scrubber.text(&why)),
        }
    }
    Ok(())
}

/// Names in a cluster are longer than those in an archive; the number tells them apart, the manifest has them whole.
fn name(n: usize, log: &Wanted) -> String {
    let part = |text: &str| text.chars().take(NAME).collect::<String>().trim_end_matches('.').to_owned();
    let previous = if log.previous { ".previous" } else { "" };
    format!("logs/{}/{n:03}-{}.{}{previous}.log", part(&log.namespace), part(&log.pod), part(&log.container))
}

/// Pods that are not ready first; of each container its log, and that of the one before if there was one.
fn wanted(pods: &[Value]) -> Vec<Wanted> {
    let uid = |pod: &Value| pod["metadata"]["uid"].to_string();
    let ill: BTreeSet<String> = not_ready(pods).into_iter().map(uid).collect();
    let (first, then): (Vec<&Value>, Vec<&Value>) = pods.iter().partition(|pod| ill.contains(&uid(pod)));
    let mut wanted = Vec::new();
    for pod in first.into_iter().chain(then) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for statuses in ["initContainerStatuses", "containerStatuses"] {
            for status in pod["status"][statuses].as_array().into_iter().flatten() {
                let of = |previous| Wanted {
                    namespace: text(&pod["metadata"]["namespace"]),
                    pod: text(&pod["metadata"]["name"]),
                    container: text(&status["name"]),
                    previous,
                };
                wanted.push(of(false));
                if status["restartCount"].as_u64().is_some_and(|count| count > 0) {
                    wanted.push(of(true));
                }
            }
        }
    }
    wanted
}

async fn read(cluster: &Cluster, log: &Wanted) -> Result<Vec<u8>, String> {
    let Wanted { namespace, pod, container, previous } = log;
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}&tailLines={LINES}&limitBytes={READ}&timestamps=true&previous={previous}"
    );
    let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    let conversation = async {
        let stream = cluster.client().request_stream(request).await?;
        let mut bytes = Vec::new();
        let read = stream.take(READ).read_to_end(&mut bytes).await;
        Ok(read.map(|_| bytes).map_err(|error| error.to_string()))
    };
    match tokio::time::timeout(PATIENCE, cluster.within(conversation)).await {
        Ok(Ok(read)) => read,
        Ok(Err(CallError::Said(status))) => Err(status.message.clone()),
        Ok(Err(CallError::Unreachable(reason))) => Err(reason),
        Err(_) => Err(format!("no answer in {} seconds", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_ill_come_first_and_what_restarted_has_two_logs() {
        let pod = |name: &str, ready: &str, restarts: u64| {
            json!({"metadata": {"name": name, "namespace": "n", "uid": name},
                   "status": {"conditions": [{"type": "Ready", "status": ready}],
                              "containerStatuses": [{"name": "app", "restartCount": restarts}]}})
        };
        let found = wanted(&[pod("well", "True", 0), pod("ill", "False", 3)]);
        let names: Vec<(&str, bool)> = found.iter().map(|log| (log.pod.as_str(), log.previous)).collect();
        assert_eq!(names, [("ill", false), ("ill", true), ("well", false)]);
    }

    #[test]
    fn names_fit_into_an_archive() {
        let long = "a".repeat(63);
        let log = Wanted { namespace: long.clone(), pod: format!("{long}.b"), container: long, previous: true };
        let name = format!("diagnosis/{}", name(300, &log));
        assert!(consign_format::archive::header::canonical(&name, 1).is_ok(), "{name}");
    }
}
