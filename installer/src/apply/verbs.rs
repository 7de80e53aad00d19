//! The few requests that applying makes: get, list, server-side apply, merge patch, create, ask, delete. One request each.

use kube::api::{DeleteParams, DynamicObject, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Cluster;
use super::api_table::Served;
use super::cluster::CallError;
use crate::handoff::ObjectKey;

/// How many objects one page of a list holds.
const PAGE: u32 = 250;

fn at(served: &Served, namespace: &str) -> Request {
    let namespace = (served.namespaced && !namespace.is_empty()).then_some(namespace);
    Request::new(<DynamicObject as kube::Resource>::url_path(&served.resource, namespace))
}

fn built<E: std::fmt::Display>(
    request: Result<http::Request<Vec<u8>>, E>,
) -> Result<http::Request<Vec<u8>>, CallError> {
    request.map_err(|error| CallError::Unreachable(format!("the request cannot be made: {error}")))
}

/// Makes one of kube's list requests.
type ListRequest = fn(&Request, &ListParams) -> Result<http::Request<Vec<u8>>, kube::core::request::Error>;

/// How to apply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How<'a> {
    /// The field manager.
    pub(crate) manager: &'a str,
    /// Take fields that others hold.
    pub(crate) force: bool,
    /// Let the server answer without keeping anything.
    pub(crate) dry_run: bool,
}

impl Cluster {
    /// Reads an object; `None` where there is none.
    pub(crate) async fn get(&self, served: &Served, key: &ObjectKey) -> Result<Option<Value>, CallError> {
        let request = built(at(served, &key.namespace).get(&key.name, &GetParams::default()))?;
        match self.call(request).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Applies an object on the server's side, strictly: an unknown field is refused, as kubectl does.
    pub(crate) async fn apply(
        &self,
        served: &Served,
        key: &ObjectKey,
        object: &Value,
        how: How<'_>,
    ) -> Result<Value, CallError> {
        let mut params = PatchParams::apply(how.manager).validation_strict();
        params.force = how.force;
        params.dry_run = how.dry_run;
        self.call(built(at(served, &key.namespace).patch(&key.name, &params, &Patch::Apply(object)))?).await
    }

    /// Changes single fields.
    pub(crate) async fn merge(
        &self,
        served: &Served,
        key: &ObjectKey,
        patch: &Value,
        manager: &str,
    ) -> Result<Value, CallError> {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        self.call(built(at(served, &key.namespace).patch(&key.name, &params, &Patch::Merge(patch)))?).await
    }

    /// Creates an object that must not be there yet.
    pub(crate) async fn create(
        &self,
        served: &Served,
        namespace: &str,
        object: &Value,
        manager: &str,
    ) -> Result<Value, CallError> {
        let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        let body = serde_json::to_vec(object).map_err(|error| CallError::Unreachable(error.to_string()))?;
        self.call(built(at(served, namespace).create(&params, body))?).await
    }

    /// Asks something by posting a document: a review, or an object as a dry run.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, document: &Value) -> Result<T, CallError> {
        let request = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
        let body = serde_json::to_vec(document).map_err(|error| CallError::Unreachable(error.to_string()))?;
        self.call(built(request.body(body))?).await
    }

    /// Deletes exactly the object with this uid; what is gone already, or is another one by now, is left alone.
    /// Returns whether there was something to delete.
    pub(crate) async fn delete(&self, served: &Served, key: &ObjectKey, uid: &str) -> Result<bool, CallError> {
        let precondition = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams::background().preconditions(precondition);
        match self.call::<Value>(built(at(served, &key.namespace).delete(&key.name, &params))?).await {
            Ok(_) => Ok(true),
            Err(CallError::Said(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lists whole objects; an empty namespace means all.
    pub(crate) async fn list(
        &self,
        served: &Served,
        namespace: &str,
        selector: &Selector<'_>,
    ) -> Result<Vec<Value>, CallError> {
        self.pages(served, namespace, selector, Request::list).await
    }

    /// Lists metadata only; an empty namespace means all.
    pub(crate) async fn list_metadata(
        &self,
        served: &Served,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<Value>, CallError> {
        self.pages(served, namespace, &Selector { labels, fields: "" }, Request::list_metadata).await
    }

    async fn pages(
        &self,
        served: &Served,
        namespace: &str,
        selector: &Selector<'_>,
        list: ListRequest,
    ) -> Result<Vec<Value>, CallError> {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = (!selector.labels.is_empty()).then(|| selector.labels.to_owned());
        params.field_selector = (!selector.fields.is_empty()).then(|| selector.fields.to_owned());
        let mut items = Vec::new();
        loop {
            let mut page: Value = self.call(built(list(&at(served, namespace), &params))?).await?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            match page["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => params.continue_token = Some(token.to_owned()),
                _ => return Ok(items),
            }
        }
    }
}

/// What a list is limited to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Selector<'a> {
    /// Label selector.
    pub(crate) labels: &'a str,
    /// Field selector.
    pub(crate) fields: &'a str,
}
