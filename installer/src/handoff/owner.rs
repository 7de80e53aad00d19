//! Whose objects and fields a site lets this program take over: known tools by their names, anybody by a field manager.
//!
//! A closed list, so that a typing mistake in `site.toml` is an error and not a permission that never applies.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Somebody who answers for objects or fields in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Owner {
    /// Argo CD.
    ArgoCd,
    /// Flux.
    Flux,
    /// Rancher Fleet, and k3s with its own manifests.
    Fleet,
    /// Helm, run by somebody.
    Helm,
    /// kubectl, in any of its ways.
    Kubectl,
    /// Whoever writes under this field manager.
    Manager(String),
}

/// Before the name of a field manager.
const MANAGER: &str = "manager:";

/// The tools, by the names that `site.toml` knows.
const TOOLS: [(&str, Owner); 5] = [
    ("argocd", Owner::ArgoCd),
    ("flux", Owner::Flux),
    ("fleet", Owner::Fleet),
    ("helm", Owner::Helm),
    ("kubectl", Owner::Kubectl),
];

impl Owner {
    /// Who writes under a field manager.
    pub fn of_manager(manager: &str) -> Owner {
        match manager {
            "argocd-controller" | "argocd-application-controller" => Owner::ArgoCd,
            "kustomize-controller" | "helm-controller" | "flux" => Owner::Flux,
            "fleetagent" | "fleet-agent" | "deploy@k3s" => Owner::Fleet,
            "helm" => Owner::Helm,
            _ if manager == "kubectl" || manager.starts_with("kubectl-") => Owner::Kubectl,
            other => Owner::Manager(other.to_owned()),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Manager(name) => write!(f, "{MANAGER}{name}"),
            tool => f.write_str(TOOLS.iter().find(|(_, one)| one == tool).map_or("", |(name, _)| name)),
        }
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.to_string()
    }
}

impl TryFrom<String> for Owner {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some((_, tool)) = TOOLS.iter().find(|(name, _)| *name == text) {
            return Ok(tool.clone());
        }
        match text.strip_prefix(MANAGER) {
            // One that belongs to a known tool is that tool, so that both ways of saying it mean the same.
            Some(name) if !name.is_empty() => Ok(Owner::of_manager(name)),
            _ => {
                let names: Vec<_> = TOOLS.iter().map(|(name, _)| *name).collect();
                Err(format!("`{text}` is none of {}, nor `{MANAGER}NAME`", names.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in ["argocd", "flux", "fleet", "helm", "kubectl", "manager:our-operator"] {
            assert_eq!(Owner::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["", "argo", "manager:", "our-operator"] {
            assert!(Owner::try_from(text.to_owned()).unwrap_err().contains("argocd, flux"), "{text}");
        }
    }

    #[test]
    fn managers_belong_to_tools() {
        for (manager, owner) in [
            ("kubectl-client-side-apply", Owner::Kubectl),
            ("kubectl", Owner::Kubectl),
            ("kubectlish", Owner::Manager("kubectlish".into())),
            ("helm", Owner::Helm),
            ("helm-controller", Owner::Flux),
            ("argocd-controller", Owner::ArgoCd),
        ] {
            assert_eq!(Owner::of_manager(manager), owner, "{manager}");
            assert_eq!(Owner::try_from(format!("manager:{manager}")).unwrap(), owner);
        }
    }
}
