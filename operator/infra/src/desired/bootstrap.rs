//! The file with which a proxy starts.

use std::{collections::BTreeMap, net::SocketAddr};

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::{TierScope, deployment};

/// Key of the `ConfigMap`.
pub const BOOTSTRAP_KEY: &str = "bootstrap.json";

/// The name in the operator's channel certificate, whatever its address is.
const SERVER_NAME: &str = "gatefleet.channel";

/// The `ConfigMap` that is mounted at `/etc/gatefleet`.
pub(super) fn desired_bootstrap(scope: &TierScope<'_>, servers: &[SocketAddr]) -> ConfigMap {
    let servers: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
    let bootstrap = json!({
        "servers": servers,
        "serverName": SERVER_NAME,
        "namespace": scope.namespace,
        "fleet": scope.fleet,
        "tier": scope.tier,
        "channelDir": deployment::CHANNEL_DIR,
        "stateDir": deployment::STATE_DIR,
        "stateBytes": deployment::state_bytes(scope.spec),
    });
    ConfigMap {
        data: Some(BTreeMap::from([(BOOTSTRAP_KEY.to_owned(), format!("{bootstrap:#}\n"))])),
        metadata: scope.metadata(&scope.names.bootstrap),
        ..ConfigMap::default()
    }
}
