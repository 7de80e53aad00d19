//! The order that `config.kubernetes.io/depends-on` asks for, on top of stages and waves: what is needed comes in a batch
//! before those who need it, and must be healthy by then. Pure.

use std::collections::BTreeSet;

use consign_format::depends::{self, DEPENDS_ON, Fault, ObjectId};
use serde_json::Value;

use super::ApplyError;
use super::members::{self, Member};
use super::stage::Position;
use crate::handoff::ObjectKey;

/// How the annotation names an object.
pub(super) fn id(key: &ObjectKey) -> ObjectId {
    ObjectId {
        group: key.kind.group.clone(),
        namespace: key.namespace.clone(),
        kind: key.kind.kind.clone(),
        name: key.name.clone(),
    }
}

/// Moves every member behind what it depends on, and says which ones others wait for. `standing` is what is there
/// before all members.
///
/// # Errors
/// [`ApplyError::ObjectInvalid`] for the first that depends on what is not there, on itself, or on a later stage.
pub(super) fn arrange(
    members: &mut [Member],
    standing: &BTreeSet<ObjectId>,
) -> Result<BTreeSet<ObjectKey>, ApplyError> {
    let mut listed = Vec::with_capacity(members.len());
    for member in members.iter() {
        let named = named(&member.object["metadata"]["annotations"]);
        listed.push((id(&member.key), named.map_err(|fault| members::invalid(&member.key, fault.to_string()))?));
    }
    let order = depends::order(&listed, standing).map_err(|unmet| {
        let member = members.iter().find(|member| id(&member.key) == unmet.object);
        let object = member.map_or(unmet.object.to_string(), |member| member.key.to_string());
        members::invalid(object, unmet.fault.to_string())
    })?;
    let mut awaited = BTreeSet::new();
    for (at, needs) in order {
        for need in needs {
            let (needed, behind) = (&members[need], members[need].position);
            if behind.stage > members[at].position.stage {
                let stages = (behind.stage.name(), members[at].position.stage.name());
                let problem =
                    format!("it depends on {}, which is one of the {}, after the {}", needed.key, stages.0, stages.1);
                return Err(members::invalid(&members[at].key, problem));
            }
            awaited.insert(needed.key.clone());
            members[at].position = members[at].position.behind(behind);
        }
    }
    Ok(awaited)
}

/// The same for what is live: whatever cannot be understood asks for no order.
pub(super) fn arrange_live(found: &mut [(ObjectId, Vec<ObjectId>, Position)]) {
    let here: BTreeSet<ObjectId> = found.iter().map(|(id, _, _)| id.clone()).collect();
    let among = |named: &[ObjectId]| named.iter().filter(|one| here.contains(one)).cloned().collect::<Vec<_>>();
    let listed: Vec<_> = found.iter().map(|(id, named, _)| (id.clone(), among(named))).collect();
    for (at, needs) in depends::order(&listed, &BTreeSet::new()).unwrap_or_default() {
        for need in needs {
            found[at].2 = found[at].2.behind(found[need].2);
        }
    }
}

/// What an object's annotations name; nothing where they do not.
pub(super) fn named(annotations: &Value) -> Result<Vec<ObjectId>, Fault> {
    annotations[DEPENDS_ON].as_str().map_or(Ok(Vec::new()), depends::read)
}
