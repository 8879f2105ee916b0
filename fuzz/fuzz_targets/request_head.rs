//! Request heads from clients.
#![no_main]

use gatefleet_http::fuzzing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzing::request_head(input));
