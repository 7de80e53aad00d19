//! Who holds a Lease: how software at the site says that what it drives is in use.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;

use super::{ApplyError, Cluster};

impl Cluster {
    /// Names who holds a Lease at a moment; `None` where nobody does, or where there is no such Lease.
    ///
    /// # Errors
    /// The cluster's.
    pub async fn lease_holder(
        &self,
        namespace: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<String>, ApplyError> {
        let leases: Api<Lease> = Api::namespaced(self.client().clone(), namespace);
        let lease = self.within(leases.get_opt(name)).await.map_err(|error| self.failed(error))?;
        Ok(lease.and_then(|lease| lease.spec).and_then(|spec| holder(spec, now)))
    }
}

/// A Lease without an end is held until its holder lets go of it.
fn holder(spec: LeaseSpec, now: Timestamp) -> Option<String> {
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty())?;
    let ends = spec
        .renew_time
        .zip(spec.lease_duration_seconds)
        .and_then(|(renewed, seconds)| renewed.0.checked_add(SignedDuration::from_secs(i64::from(seconds))).ok());
    ends.is_none_or(|ends| now < ends).then_some(holder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    #[test]
    fn a_lease_is_held_until_it_is_let_go_of_or_runs_out() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let spec = |holder: Option<&str>, renewed: Option<&str>, seconds: Option<i32>| LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            renew_time: renewed.map(|text| MicroTime(at(text))),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        };
        let now = at("2026-11-25T12:00:00Z");
        let scanner = Some("scanner-2".to_owned());
        for (spec, expected) in [
            (spec(None, Some("2026-11-25T11:59:59Z"), Some(15)), None),
            (spec(Some(""), None, None), None),
            (spec(Some("scanner-2"), None, None), scanner.clone()),
            (spec(Some("scanner-2"), Some("2020-01-01T00:00:00Z"), None), scanner.clone()),
            (spec(Some("scanner-2"), Some("2026-11-25T11:59:50Z"), Some(15)), scanner.clone()),
            (spec(Some("scanner-2"), Some("2026-11-25T11:59:45Z"), Some(15)), None),
            (spec(Some("scanner-2"), Some("2026-11-25T12:30:00Z"), Some(15)), scanner),
        ] {
            assert_eq!(holder(spec.clone(), now), expected, "{spec:?}");
        }
    }
}
