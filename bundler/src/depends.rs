//! Whether everything that objects depend on (`config.kubernetes.io/depends-on`) is in the release, and no object waits
//! for itself: the site would refuse it too, a journey later.

use std::collections::BTreeSet;

use consign_format::depends::{self, DEPENDS_ON, ObjectId, Unmet};
use consign_format::release::SecretRule;

use crate::object::Object;

/// Checks all dependencies of a release's objects; Secrets that the site makes are there before them.
///
/// # Errors
/// The first object that depends on what is not there, or on itself, or says so in no form that is known.
pub fn check(objects: &[Object], secrets: &[SecretRule]) -> Result<(), Unmet> {
    let mut listed = Vec::with_capacity(objects.len());
    for object in objects {
        let id = id(object);
        let named = object.annotation(DEPENDS_ON).map_or(Ok(Vec::new()), depends::read);
        listed.push((id.clone(), named.map_err(|fault| Unmet { object: id, fault })?));
    }
    let named: BTreeSet<ObjectId> = listed.iter().flat_map(|(_, named)| named).cloned().collect();
    for (id, _) in &mut listed {
        // A custom kind whose definition is elsewhere is taken for namespaced; those who name it know better.
        let outside = ObjectId { namespace: String::new(), ..id.clone() };
        if id.group.contains('.') && named.contains(&outside) {
            *id = outside;
        }
    }
    let secret = |rule: &SecretRule| ObjectId {
        group: String::new(),
        namespace: rule.namespace.clone(),
        kind: "Secret".to_owned(),
        name: rule.name.clone(),
    };
    depends::order(&listed, &secrets.iter().map(secret).collect()).map(drop)
}

fn id(object: &Object) -> ObjectId {
    let text = str::to_owned;
    ObjectId {
        group: text(object.group()),
        namespace: text(object.namespace()),
        kind: text(object.kind()),
        name: text(object.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Origin;
    use serde_json::json;

    fn object(api: &str, kind: &str, name: &str, on: Option<&str>) -> Object {
        let annotations = json!({DEPENDS_ON: on});
        let value = json!({"apiVersion": api, "kind": kind,
            "metadata": {"name": name, "namespace": "n", "annotations": annotations}});
        Object::new(value, Origin { entry: "a.yaml".into(), file: String::new(), document: 1 })
    }

    #[test]
    fn objects_and_secrets_of_the_release_may_be_named() {
        let web = |on: &str| {
            let objects = [
                object("apps/v1", "Deployment", "web", Some(on)),
                object("v1", "ConfigMap", "settings", None),
                object("example.dev/v1", "Zone", "z", None),
            ];
            let rule = json!({"name": "db", "namespace": "n", "mode": "existing", "keys": ["password"]});
            check(&objects, &[serde_json::from_value(rule).unwrap()]).map_err(|unmet| unmet.to_string())
        };
        for on in ["/namespaces/n/ConfigMap/settings", "/namespaces/n/Secret/db", "example.dev/Zone/z"] {
            assert_eq!(web(on), Ok(()), "{on}");
        }
        assert_eq!(web("example.dev/namespaces/n/Zone/z"), Ok(()));
        for on in ["/ConfigMap/settings", "/namespaces/n/Secret/other", "apps/namespaces/n/Deployment/web", "settings"]
        {
            let said = web(on).unwrap_err();
            assert!(said.starts_with("apps/namespaces/n/Deployment/web: ") && said.contains(on), "{said}");
        }
    }
}
