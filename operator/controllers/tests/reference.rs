//! `docs/reference/events.md` is what the code says: `UPDATE_EXPECT=1 cargo test -p gatefleet-controllers`.

use std::fmt::Write as _;

use expect_test::expect_file;
use gatefleet_controllers::known_events;

const HEAD: &str = "<!-- Generated from operator/controllers/src/events.rs; written by `UPDATE_EXPECT=1 cargo test -p gatefleet-controllers`. -->
# Events

The operator says once what it finds, on the object that must be changed; `kubectl describe` shows it. The message says what is wrong, where, and what to do. An Event of a GatewayConfig tells of
a change of its phase or of the reason of `Ready` ([conditions](conditions.md)): it is a Warning when the fleet failed or lost
its last proxy. The stories of the tests hold every Event that is written against this list.

| reason | about | type | means |
|---|---|---|---|
";

#[test]
fn the_page_lists_every_event() {
    let mut page = HEAD.to_owned();
    for event in known_events() {
        let weight = if event.warning { "Warning" } else { "Normal, Warning" };
        let about = event.about.join(", ");
        let _ = writeln!(page, "| `{}` | {about} | {weight} | {} |", event.reason, event.means);
    }
    expect_file!["../../../docs/reference/events.md"].assert_eq(&page);
}
