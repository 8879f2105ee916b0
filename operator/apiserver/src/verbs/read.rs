//! `get` and `list`.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, partial, present};
use crate::{
    body::{self, Reply},
    error::{Answer, Failure},
    object,
    request::Form,
    resource::Resource,
    selector::Selector,
    server::{Shared, State},
    store::Key,
};

/// One object, or one of its subresources.
pub(super) fn get(shared: &Shared, resource: &Resource, call: &Call) -> Answer<Reply> {
    let object = shared.lock().find(resource, &call.key())?;
    if call.target.subresource == "scale" {
        return Ok(body::json(StatusCode::OK, &super::scale::read(resource, &object)));
    }
    Ok(body::json(StatusCode::OK, &present(resource, call, &object)))
}

impl State {
    /// An object in the store, or 404.
    pub(crate) fn find(&self, resource: &Resource, key: &Key) -> Answer<Arc<Value>> {
        let found = self.store.get(&resource.collection(), key).cloned();
        found.ok_or_else(|| Failure::not_found(resource, &key.name))
    }
}

/// One page of a list.
struct Page {
    revision: u64,
    items: Vec<Arc<Value>>,
    next: Option<String>,
    remaining: Option<usize>,
}

/// A collection, or a page of it.
pub(super) fn list(shared: &Shared, resource: &Resource, call: &Call) -> Answer<Reply> {
    let selector = selector(resource, call)?;
    let page = page(&shared.lock(), resource, call, &selector)?;
    Ok(body::json(StatusCode::OK, &render(resource, call, &page)))
}

/// The selectors of a request.
pub(super) fn selector(resource: &Resource, call: &Call) -> Answer<Selector> {
    Selector::parse(resource, call.params.get("labelSelector"), call.params.get("fieldSelector"))
}

/// Is the object in the namespace that the request is about?
pub(super) fn in_scope(call: &Call, key: &Key) -> bool {
    call.target.namespace.is_empty() || call.target.namespace == key.namespace
}

fn page(state: &State, resource: &Resource, call: &Call, selector: &Selector) -> Answer<Page> {
    let token = match call.params.get("continue") {
        "" => None,
        token => Some(parse_token(token)?),
    };
    let revision = match &token {
        Some((revision, _)) => *revision,
        None => list_revision(state, call)?,
    };
    let collection = state.store.collection(&resource.collection());
    let past;
    let objects: &BTreeMap<Key, Arc<Value>> = if revision == state.store.revision() {
        &collection.objects
    } else {
        past = collection.at(revision).map_err(|gone| {
            Failure::expired(format!(
                "The provided continue parameter is too old: revision {revision} is gone, history begins at {}. You must start a new list without the continue parameter.",
                gone.floor
            ))
        })?;
        &past
    };
    let after = |key: &Key| token.as_ref().is_none_or(|(_, last)| key > last);
    let mut items: Vec<(&Key, &Arc<Value>)> = objects
        .iter()
        .filter(|(key, object)| after(key) && in_scope(call, key) && selector.matches(object))
        .collect();
    let limit = call.params.number("limit")?.unwrap_or_default();
    let limit = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
    let (mut next, mut remaining) = (None, None);
    if items.len() > limit {
        remaining = selector.is_empty().then_some(items.len() - limit);
        items.truncate(limit);
        next = items.last().map(|(key, _)| make_token(revision, key));
    }
    let items = items.into_iter().map(|(_, object)| Arc::clone(object)).collect();
    Ok(Page { revision, items, next, remaining })
}

/// The revision that a list without a token reads: now, unless exactly another is asked for.
fn list_revision(state: &State, call: &Call) -> Answer<u64> {
    let now = state.store.revision();
    let asked = call.params.number("resourceVersion")?.unwrap_or_default();
    let matching = call.params.get("resourceVersionMatch");
    if !matches!(matching, "" | "Exact" | "NotOlderThan") {
        return Err(Failure::bad_request(format!(
            "resourceVersionMatch: Unsupported value: {matching:?}: supported values: \"Exact\", \"NotOlderThan\""
        )));
    }
    if asked > now {
        return Err(Failure::too_large_version(asked, now));
    }
    Ok(if matching == "Exact" && asked > 0 { asked } else { now })
}

fn make_token(revision: u64, key: &Key) -> String {
    URL_SAFE_NO_PAD.encode(json!([revision, key.namespace, key.name]).to_string())
}

fn parse_token(token: &str) -> Answer<(u64, Key)> {
    let parsed = URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<(u64, String, String)>(&bytes).ok());
    match parsed {
        Some((revision, namespace, name)) => Ok((revision, Key { namespace, name })),
        None => Err(Failure::bad_request("continue key is not valid: not a token of this server")),
    }
}

fn render(resource: &Resource, call: &Call, page: &Page) -> Value {
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some(next) = &page.next {
        metadata["continue"] = json!(next);
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    match call.form {
        Form::Table => {
            let objects: Vec<&Value> = page.items.iter().map(Arc::as_ref).collect();
            let mut table = crate::table::render(resource, &objects, &call.params);
            table["metadata"] = metadata;
            table
        }
        Form::Metadata => {
            let items: Vec<Value> = page.items.iter().map(|o| partial(o)).collect();
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items})
        }
        Form::Object | Form::Discovery => {
            let items: Vec<Value> = page.items.iter().map(|o| listed(resource, o)).collect();
            json!({"kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata, "items": items})
        }
    }
}

/// An item of a list: built-in kinds do not repeat their type there, custom ones do.
fn listed(resource: &Resource, object: &Value) -> Value {
    let mut item = resource.to_served(object);
    if resource.custom.is_none() {
        let map = object::as_map(&mut item);
        map.remove("apiVersion");
        map.remove("kind");
    }
    item
}
