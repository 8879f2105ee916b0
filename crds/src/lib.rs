//! `GatewayConfig`: the types of the API.
