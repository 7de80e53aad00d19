//! Versions that have to fit together: the API server's, the kubelets', and what releases were rendered for.

use serde_json::Value;

use super::cluster::items;
use super::{Check, Finding, Patient};
use crate::apply::Cluster;

pub(super) const VERSIONS: Check = Check {
    id: "kubernetes-version",
    why: "a kubelet newer than its API server, or more than three minor versions older, is not supported; and a server \
          older than what a release was rendered for may not know its objects",
};

/// How far a kubelet may be behind (Kubernetes' version skew policy).
const BEHIND: u32 = 3;

pub(super) fn look(patient: &Patient<'_>, cluster: &Cluster, nodes: Result<&Value, &String>) -> Vec<Finding> {
    let Some(server) = minor(cluster.version()) else {
        return vec![VERSIONS.skipped(format!("the server's version `{}` cannot be read", cluster.version()))];
    };
    let mut findings = match nodes {
        Ok(list) => items(list).iter().filter_map(|node| kubelet(node, server)).collect(),
        Err(reason) => vec![VERSIONS.skipped(format!("the kubelets' versions: {reason}"))],
    };
    findings.extend(releases(patient).iter().filter_map(|(name, version)| release(name, version, server)));
    if findings.is_empty() {
        findings.push(VERSIONS.ok(format!("kubelets and releases fit {}", cluster.version())));
    }
    findings
}

/// `v1.33.2+k3s1` is (1, 33). A version before 1 is nobody's.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else { return None };
    (major > 0).then_some((major, minor))
}

fn kubelet(node: &Value, server: (u32, u32)) -> Option<Finding> {
    let name = node["metadata"]["name"].as_str().unwrap_or("?");
    let said = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default();
    let Some(kubelet) = minor(said) else {
        return Some(VERSIONS.skipped(format!("kubelet of node {name} says `{said}`, which is no version")));
    };
    let what = format!("kubelet of node {name} is {said}, the API server {}.{}", server.0, server.1);
    if kubelet > server {
        Some(VERSIONS.fail(what, "upgrade the control plane first, then the nodes"))
    } else if kubelet.0 == server.0 && server.1 - kubelet.1 > BEHIND {
        Some(VERSIONS.fail(what, "upgrade Kubernetes on this node"))
    } else {
        None
    }
}

/// Product and version, and what each was rendered for, of all that run or wait.
fn releases(patient: &Patient<'_>) -> Vec<(String, String)> {
    let products = patient.store.products().unwrap_or_default();
    let wanted = products.iter().flat_map(|product| {
        let current = product.current.as_ref().map(|current| &current.release);
        current
            .into_iter()
            .chain(product.staged.as_ref().map(|staged| &staged.release))
            .map(|release| (&product.product, release))
    });
    let read = |(product, release): (&consign_format::Name, &crate::store::products::ReleaseRef)| {
        let manifest = patient.store.read_release(&release.digest).ok()?;
        Some((format!("{product} {}", release.version), manifest.kubernetes.version))
    };
    wanted.filter_map(read).collect()
}

fn release(name: &str, rendered_for: &str, server: (u32, u32)) -> Option<Finding> {
    let wanted = minor(rendered_for)?;
    (server < wanted).then(|| {
        let what = format!(
            "{name} was rendered for Kubernetes {rendered_for}, and the API server is {}.{}",
            server.0, server.1
        );
        VERSIONS.warn(what, "upgrade the cluster, or ask for a release that was rendered for this version")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use serde_json::json;

    #[test]
    fn skew_is_what_kubernetes_says_it_is() {
        let node =
            |version: &str| json!({"metadata": {"name": "n"}, "status": {"nodeInfo": {"kubeletVersion": version}}});
        let level = |version: &str| kubelet(&node(version), (1, 33)).map(|finding| finding.level);
        for (version, expected) in [
            ("v1.33.4", None),
            ("v1.30.0+k3s1", None),
            ("v1.29.9", Some(Level::Fail)),
            ("v1.34.0", Some(Level::Fail)),
            ("v0.0.0", Some(Level::Skipped)),
            ("", Some(Level::Skipped)),
        ] {
            assert_eq!(level(version), expected, "{version}");
        }
    }

    #[test]
    fn a_release_may_be_older_than_the_server_and_not_newer() {
        assert_eq!(release("p 1", "1.33", (1, 33)), None);
        assert_eq!(release("p 1", "1.30", (1, 33)), None);
        assert_eq!(release("p 1", "1.34", (1, 33)).unwrap().level, Level::Warn);
    }
}
