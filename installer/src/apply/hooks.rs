//! Hooks of Helm and Argo CD: when an object runs relative to the rest, and whether an installation runs it at all.
//!
//! They are ordinary members otherwise, so that a second install of the same release does not run them again (Argo CD
//! would, at every sync). Going back neither runs nor removes them: nobody can tell what a migration run twice does.

use serde_json::Value;

/// When an object is applied, relative to the ordinary ones of its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before: `PreSync`, `pre-install`, `pre-upgrade`.
    Before,
    /// With everything else: what is no hook, and `Sync`.
    With,
    /// After: `PostSync`, `post-install`, `post-upgrade`.
    After,
}

/// What an object's annotations make of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// It is no hook.
    None,
    /// It runs in an installation.
    Runs(Phase),
    /// It belongs to a phase that an installation never reaches (deleting, testing, rolling back); the phase.
    LeftOut(String),
}

/// The annotation of each tool, and its phases that belong to an installation.
const ARGO: (&str, [(&str, Phase); 3]) =
    ("argocd.argoproj.io/hook", [("PreSync", Phase::Before), ("Sync", Phase::With), ("PostSync", Phase::After)]);
const HELM: (&str, [(&str, Phase); 5]) = (
    "helm.sh/hook",
    [
        ("pre-install", Phase::Before),
        ("pre-upgrade", Phase::Before),
        ("crd-install", Phase::With),
        ("post-install", Phase::After),
        ("post-upgrade", Phase::After),
    ],
);

/// Reads an object's annotations; Argo CD's come first where both are there, as with Argo CD itself.
pub fn read(annotations: &Value) -> Hook {
    let text = |name: &str| annotations[name].as_str();
    if let Some(said) = text(ARGO.0) {
        return of(said, &ARGO.1);
    }
    text(HELM.0).map_or(Hook::None, |said| of(said, &HELM.1))
}

fn of(said: &str, phases: &[(&str, Phase)]) -> Hook {
    let named: Vec<_> = said.split(',').map(str::trim).collect();
    match phases.iter().find(|(name, _)| named.contains(name)) {
        Some((_, phase)) => Hook::Runs(*phase),
        None => Hook::LeftOut(said.to_owned()),
    }
}

/// When a hook asks to be deleted; before the next of its name is made, every one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deletion {
    /// Once it is done: `HookSucceeded`, `hook-succeeded`.
    pub succeeded: bool,
    /// Once it has failed: `HookFailed`, `hook-failed`.
    pub failed: bool,
}

/// Reads when a hook asks to be deleted.
pub fn deletion(annotations: &Value) -> Deletion {
    let texts = ["argocd.argoproj.io/hook-delete-policy", "helm.sh/hook-delete-policy"].map(|name| &annotations[name]);
    let said = |words: [&str; 2]| {
        let parts = texts.iter().filter_map(|text| text.as_str()).flat_map(|text| text.split(',').map(str::trim));
        parts.into_iter().any(|part| words.contains(&part))
    };
    Deletion { succeeded: said(["HookSucceeded", "hook-succeeded"]), failed: said(["HookFailed", "hook-failed"]) }
}

/// The order inside a phase: a sync wave, or a hook's weight; 0 where neither is a number.
pub fn wave(annotations: &Value) -> i64 {
    let number = |name: &str| annotations[name].as_str().and_then(|text| text.trim().parse().ok());
    let weight = || annotations[HELM.0].is_string().then(|| number("helm.sh/hook-weight")).flatten();
    number("argocd.argoproj.io/sync-wave").or_else(weight).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn phases_of_both_tools() {
        for (name, said, expected) in [
            ("helm.sh/hook", "pre-install,pre-upgrade", Hook::Runs(Phase::Before)),
            ("helm.sh/hook", "pre-upgrade", Hook::Runs(Phase::Before)),
            ("helm.sh/hook", "post-install, post-upgrade", Hook::Runs(Phase::After)),
            ("helm.sh/hook", "test", Hook::LeftOut("test".into())),
            ("helm.sh/hook", "pre-delete", Hook::LeftOut("pre-delete".into())),
            ("helm.sh/hook", "post-rollback", Hook::LeftOut("post-rollback".into())),
            ("argocd.argoproj.io/hook", "PreSync", Hook::Runs(Phase::Before)),
            ("argocd.argoproj.io/hook", "Sync,PostSync", Hook::Runs(Phase::With)),
            ("argocd.argoproj.io/hook", "SyncFail", Hook::LeftOut("SyncFail".into())),
            ("argocd.argoproj.io/hook", "Skip", Hook::LeftOut("Skip".into())),
            ("example.dev/hook", "pre-install", Hook::None),
        ] {
            assert_eq!(read(&json!({name: said})), expected, "{name}: {said}");
        }
        assert_eq!(read(&Value::Null), Hook::None);
        let both = json!({"helm.sh/hook": "test", "argocd.argoproj.io/hook": "PostSync"});
        assert_eq!(read(&both), Hook::Runs(Phase::After));
    }

    #[test]
    fn deleting_in_both_tongues() {
        for (name, said, succeeded, failed) in [
            ("helm.sh/hook-delete-policy", "before-hook-creation, hook-succeeded", true, false),
            ("helm.sh/hook-delete-policy", "hook-failed", false, true),
            ("argocd.argoproj.io/hook-delete-policy", "HookSucceeded,HookFailed", true, true),
            ("argocd.argoproj.io/hook-delete-policy", "BeforeHookCreation", false, false),
        ] {
            assert_eq!(deletion(&json!({name: said})), Deletion { succeeded, failed }, "{said}");
        }
        assert_eq!(deletion(&Value::Null), Deletion::default());
    }

    #[test]
    fn waves_and_weights() {
        assert_eq!(wave(&json!({"argocd.argoproj.io/sync-wave": " -3 "})), -3);
        assert_eq!(wave(&json!({"helm.sh/hook": "pre-install", "helm.sh/hook-weight": "5"})), 5);
        assert_eq!(wave(&json!({"helm.sh/hook-weight": "5"})), 0, "a weight without a hook says nothing");
        assert_eq!(wave(&json!({"argocd.argoproj.io/sync-wave": "first"})), 0);
    }
}
