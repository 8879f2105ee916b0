//! Chunked bodies from either side.
#![no_main]

use gatefleet_http::fuzzing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzing::chunked_body(input));
