//! `mta_fuzz::proxy_header` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mta_fuzz::proxy_header(bytes));
