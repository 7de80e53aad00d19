//! Where the signed copy of a site's state lies in the cluster: a Secret per domain, beside those of the ApplySets.
//!
//! It holds nothing secret. It is a Secret because there it needs no right that applying does not need as well, and
//! because workloads are seldom given other namespaces' Secrets. What it says is judged by who reads it.

use consign_format::Name;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::cluster::CallError;
use super::{ApplyError, Cluster};

/// The field manager of the copy.
const COPY_MANAGER: &str = "consign-state";
/// The key of the copy in its Secret.
const KEY: &str = "state.json";
/// What an API server stores in one object, less room for what stands around it and for base64.
const LIMIT: usize = 700_000;

fn name(domain: &Name) -> String {
    format!("consign-state-{domain}")
}

impl Cluster {
    /// Reads the copy of one domain; `None` where there is none.
    ///
    /// # Errors
    /// The cluster's.
    pub async fn read_state_copy(&self, domain: &Name) -> Result<Option<Vec<u8>>, ApplyError> {
        let secrets: Api<Secret> = Api::namespaced(self.client().clone(), self.home());
        let secret = self.within(secrets.get_opt(&name(domain))).await.map_err(|error| self.failed(error))?;
        let data = secret.and_then(|secret| secret.data);
        Ok(data.and_then(|mut data| data.remove(KEY)).map(|ByteString(bytes)| bytes))
    }

    /// Keeps the copy of one domain in the place of an older one; what is there already is not written again.
    ///
    /// # Errors
    /// The cluster's. A copy that no API server would store is left out.
    pub async fn write_state_copy(&self, domain: &Name, copy: Vec<u8>) -> Result<(), ApplyError> {
        if copy.len() > LIMIT || self.read_state_copy(domain).await?.as_deref() == Some(&copy) {
            return Ok(());
        }
        let copy = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": name(domain), "namespace": self.home()},
            "data": {KEY: ByteString(copy)},
        });
        match self.apply_copy(domain, &copy).await {
            // The namespace is made by the first release that is applied; a copy may come before it.
            Err(error) if error.is_not_found() && !self.is_tenant() => {
                self.make_home().await.map_err(|error| self.failed(error))?;
                self.apply_copy(domain, &copy).await.map_err(|error| self.failed(error))
            }
            other => other.map_err(|error| self.failed(error)),
        }
    }

    async fn apply_copy(&self, domain: &Name, copy: &serde_json::Value) -> Result<(), CallError> {
        let secrets: Api<Secret> = Api::namespaced(self.client().clone(), self.home());
        let params = PatchParams::apply(COPY_MANAGER).force();
        self.within(secrets.patch(&name(domain), &params, &Patch::Apply(copy))).await.map(|_| ())
    }

    async fn make_home(&self) -> Result<(), CallError> {
        let namespaces: Api<Namespace> = Api::all(self.client().clone());
        let home = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.home()}});
        let params = PatchParams::apply(COPY_MANAGER);
        self.within(namespaces.patch(self.home(), &params, &Patch::Apply(&home))).await.map(|_| ())
    }
}
