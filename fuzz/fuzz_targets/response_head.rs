//! Response heads from backends.
#![no_main]

use gatefleet_http::fuzzing;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzing::response_head(input));
