//! What `config.kubernetes.io/depends-on` says, and the order that follows from it: judged by the same rule where a
//! release is built and where it is applied, since a circle that is found at the site costs a trip.
//!
//! The form of a reference is that of cli-utils: `GROUP/namespaces/NAMESPACE/KIND/NAME`, or `GROUP/KIND/NAME` for what
//! lies in no namespace; the core group is empty, so that such a reference begins with `/`. Several are divided by `,`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;

/// The annotation.
pub const DEPENDS_ON: &str = "config.kubernetes.io/depends-on";

/// An object as the annotation names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The API group; empty for the core group.
    pub group: String,
    /// The namespace; empty for what lies in none.
    pub namespace: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{}/{}/{}", self.group, self.kind, self.name),
            namespace => write!(f, "{}/namespaces/{namespace}/{}/{}", self.group, self.kind, self.name),
        }
    }
}

impl FromStr for ObjectId {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let parts: Vec<&str> = text.split('/').collect();
        let (group, namespace, kind, name) = match parts[..] {
            [group, "namespaces", namespace, kind, name] if !namespace.is_empty() => (group, namespace, kind, name),
            [group, kind, name] => (group, "", kind, name),
            _ => return Err(Fault::Malformed(text.to_owned())),
        };
        if kind.is_empty() || name.is_empty() {
            return Err(Fault::Malformed(text.to_owned()));
        }
        let [group, namespace, kind, name] = [group, namespace, kind, name].map(str::to_owned);
        Ok(ObjectId { group, namespace, kind, name })
    }
}

/// What is wrong with what an object depends on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A reference has not the form of one.
    #[error("`{0}` in {DEPENDS_ON} is neither GROUP/namespaces/NAMESPACE/KIND/NAME nor GROUP/KIND/NAME")]
    Malformed(String),
    /// What it names is not in the release.
    #[error("it depends on `{0}`, which the release does not hold")]
    Absent(ObjectId),
    /// It waits for itself by way of others, or directly.
    #[error("it depends on itself: {}", way(.0))]
    Circle(Vec<ObjectId>),
}

/// How many objects of a circle are named.
const NAMED: usize = 8;

fn way(circle: &[ObjectId]) -> String {
    let named: Vec<_> = circle.iter().take(NAMED).map(ToString::to_string).collect();
    let more = circle.len().saturating_sub(NAMED);
    named.join(" → ") + &if more > 0 { format!(" → and {more} more") } else { String::new() }
}

/// An object whose dependencies cannot be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {fault}")]
pub struct Unmet {
    /// The object.
    pub object: ObjectId,
    /// What is wrong.
    pub fault: Fault,
}

/// Reads the annotation.
///
/// # Errors
/// [`Fault::Malformed`] with the first reference that is none.
pub fn read(annotation: &str) -> Result<Vec<ObjectId>, Fault> {
    annotation.split(',').map(|one| one.trim().parse()).collect()
}

/// What every object depends on directly, dependencies before those who need them.
pub type Order = Vec<(usize, Vec<usize>)>;

/// Puts objects in an order in which each comes after what it depends on; `objects` are named once each, with what
/// their annotations name. What is in `standing` is there before all of them.
///
/// # Errors
/// The first object that depends on what is not there, or on itself.
pub fn order(objects: &[(ObjectId, Vec<ObjectId>)], standing: &BTreeSet<ObjectId>) -> Result<Order, Unmet> {
    let places: BTreeMap<&ObjectId, usize> = objects.iter().enumerate().map(|(at, (id, _))| (id, at)).collect();
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); objects.len()];
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); objects.len()];
    for (at, (id, named)) in objects.iter().enumerate() {
        for one in named.iter().collect::<BTreeSet<_>>() {
            match places.get(one) {
                Some(place) => {
                    needs[at].push(*place);
                    needed_by[*place].push(at);
                }
                None if standing.contains(one) => {}
                None => return Err(Unmet { object: id.clone(), fault: Fault::Absent(one.clone()) }),
            }
        }
    }
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut ready: VecDeque<usize> = (0..objects.len()).filter(|at| open[*at] == 0).collect();
    let mut order = Vec::with_capacity(objects.len());
    while let Some(at) = ready.pop_front() {
        for after in &needed_by[at] {
            open[*after] -= 1;
            if open[*after] == 0 {
                ready.push_back(*after);
            }
        }
        order.push((at, std::mem::take(&mut needs[at])));
    }
    match open.iter().position(|count| *count > 0) {
        None => Ok(order),
        Some(start) => Err(circle(start, &needs, &open, objects)),
    }
}

/// Names one circle. Whatever is still open needs something that is open too, so that going on from one to the next
/// comes back to where it was.
fn circle(start: usize, needs: &[Vec<usize>], open: &[usize], objects: &[(ObjectId, Vec<ObjectId>)]) -> Unmet {
    let (mut path, mut places, mut at) = (Vec::new(), BTreeMap::new(), start);
    while !places.contains_key(&at) {
        places.insert(at, path.len());
        path.push(at);
        at = needs[at].iter().copied().find(|next| open[*next] > 0).unwrap_or(at);
    }
    let begins = places.get(&at).copied().unwrap_or(0);
    let ids = path[begins..].iter().chain([&at]).map(|one| objects[*one].0.clone());
    Unmet { object: objects[at].0.clone(), fault: Fault::Circle(ids.collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ObjectId {
        text.parse().unwrap()
    }

    fn objects(texts: &[(&str, &str)]) -> Vec<(ObjectId, Vec<ObjectId>)> {
        let named = |text: &str| if text.is_empty() { Vec::new() } else { read(text).unwrap() };
        texts.iter().map(|(one, on)| (id(one), named(on))).collect()
    }

    #[test]
    fn references_are_written_as_cli_utils_does() {
        let all =
            "apps/namespaces/n/Deployment/db, rbac.authorization.k8s.io/ClusterRole/r,/namespaces/n/Pod/p,/Namespace/n";
        let written: Vec<_> = read(all).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(written.join(","), all.replace(", ", ","));
        for bad in
            ["", "db", "apps/Deployment", "apps/namespaces//Deployment/db", "apps//db", "a/b/c/d", "a/namespaces/n/K/"]
        {
            assert_eq!(read(bad), Err(Fault::Malformed(bad.to_owned())), "{bad}");
        }
        assert_eq!(read("/Pod/a,").unwrap_err(), Fault::Malformed(String::new()));
    }

    #[test]
    fn what_is_needed_comes_first() {
        let list = objects(&[("/Pod/c", "/Pod/b,/Pod/a,/Pod/b"), ("/Pod/b", "/Pod/a"), ("/Pod/a", "/Namespace/n")]);
        let found = order(&list, &[id("/Namespace/n")].into()).unwrap();
        assert_eq!(found, [(2, vec![]), (1, vec![2]), (0, vec![2, 1])]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let unmet = order(&objects(&[("/Pod/a", "/Pod/b")]), &BTreeSet::new()).unwrap_err();
        assert_eq!(unmet.to_string(), "/Pod/a: it depends on `/Pod/b`, which the release does not hold");
    }

    #[test]
    fn a_circle_is_named_whole_and_alone() {
        let list = objects(&[("/Pod/x", "/Pod/a"), ("/Pod/a", "/Pod/b"), ("/Pod/b", "/Pod/c"), ("/Pod/c", "/Pod/a")]);
        let unmet = order(&list, &BTreeSet::new()).unwrap_err();
        assert_eq!(unmet.to_string(), "/Pod/a: it depends on itself: /Pod/a → /Pod/b → /Pod/c → /Pod/a");
        let all = 0..20;
        let long: Vec<_> =
            all.map(|at| (id(&format!("/Pod/{at}")), vec![id(&format!("/Pod/{}", (at + 1) % 20))])).collect();
        let unmet = order(&long, &BTreeSet::new()).unwrap_err();
        assert!(unmet.to_string().ends_with("/Pod/6 → /Pod/7 → and 13 more"), "{unmet}");
        let unmet = order(&objects(&[("/Pod/a", "/Pod/a")]), &BTreeSet::new()).unwrap_err();
        assert_eq!(unmet.to_string(), "/Pod/a: it depends on itself: /Pod/a → /Pod/a");
    }

    #[test]
    fn a_long_chain_takes_no_stack() {
        let last = 50_000;
        let name = |at: usize| id(&format!("/Pod/p{at}"));
        let list: Vec<_> =
            (0..=last).map(|at| (name(at), if at < last { vec![name(at + 1)] } else { vec![] })).collect();
        let found = order(&list, &BTreeSet::new()).unwrap();
        assert_eq!((found[0].0, found[last].0), (last, 0));
    }
}
