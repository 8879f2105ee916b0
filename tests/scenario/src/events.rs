//! Whether the reference knows every Event that the operator wrote.

use std::collections::BTreeSet;

use gatefleet_controllers::known_events;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, Client, api::ListParams};

/// The Events of the operator that [`known_events`] does not list, in words.
pub(crate) async fn undocumented(client: &Client) -> Vec<String> {
    let events: Api<Event> = Api::all(client.clone());
    let written = events.list(&ListParams::default()).await.unwrap().items.into_iter();
    let ours = written.filter(|event| {
        let source = event.source.as_ref().and_then(|source| source.component.as_deref());
        source == Some("gatefleet")
    });
    let known = known_events();
    let unknown = ours.filter_map(|event| {
        let kind = event.involved_object.kind.unwrap_or_default();
        let (reason, weight) = (event.reason.unwrap_or_default(), event.type_.unwrap_or_default());
        let is_listed = known.iter().any(|one| {
            one.reason == reason
                && one.about.contains(&kind.as_str())
                && (weight == "Warning" || !one.warning)
        });
        (!is_listed).then(|| format!("{weight} {reason} about a {kind}"))
    });
    unknown.collect::<BTreeSet<_>>().into_iter().collect()
}
