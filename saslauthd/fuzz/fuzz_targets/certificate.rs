//! `harness::policy::certificate` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::policy::certificate(bytes));
