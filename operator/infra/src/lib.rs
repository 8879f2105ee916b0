//! GatewayConfig to desired objects and status.
