//! What every field of a `GatewayConfig` does, observed from outside: real proxies on what `gatefleet translate` makes of
//! it, and the objects and processes of `gatefleet local`. `operator/infra/tests/fields/proofs.txt` says which test
//! observes which field; `docs/reference/fields.md` shows it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod backend;
mod front;
mod limits;
mod objects;
mod ranges;
mod timeouts;
