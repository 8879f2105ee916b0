//! Listeners, TLS, pools.
