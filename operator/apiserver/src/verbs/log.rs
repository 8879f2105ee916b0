//! `pods/log`.

use std::sync::Arc;

use futures::{StreamExt, stream};

use super::Call;
use crate::{
    body::{self, Reply},
    error::{Answer, Failure},
    object,
    server::{LogRequest, Shared},
};

/// Opens the log of a container.
pub(super) async fn open(shared: &Arc<Shared>, call: &Call) -> Answer<Reply> {
    let request = {
        let state = shared.lock();
        let resource =
            state.registry.find(&call.target).cloned().ok_or_else(Failure::no_such_path)?;
        let pod = state.find(&resource, &call.key())?;
        let containers: Vec<&str> = object::list(&pod, &["spec", "containers"])
            .iter()
            .map(|c| object::text(c, &["name"]))
            .collect();
        let asked = call.params.get("container");
        if !asked.is_empty() && !containers.contains(&asked) {
            let pod = &call.target.name;
            return Err(Failure::bad_request(format!(
                "container {asked} is not valid for pod {pod}"
            )));
        }
        let container = if asked.is_empty() { containers.first().copied() } else { Some(asked) };
        LogRequest {
            namespace: call.target.namespace.clone(),
            pod: call.target.name.clone(),
            container: container.map(str::to_owned),
            follow: call.params.flag("follow"),
            previous: call.params.flag("previous"),
            timestamps: call.params.flag("timestamps"),
            tail_lines: call.params.number("tailLines")?,
            since_seconds: call.params.number("sinceSeconds")?,
            limit_bytes: call.params.number("limitBytes")?,
        }
    };
    let log = match &shared.options.pod_logs {
        Some(logs) => logs.open(request).await.map_err(Failure::bad_request)?,
        None => stream::empty().boxed(),
    };
    Ok(body::stream("text/plain", log))
}
