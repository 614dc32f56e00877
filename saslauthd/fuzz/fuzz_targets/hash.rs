//! `saslauthd_fuzz::hash` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| saslauthd_fuzz::hash(bytes));
