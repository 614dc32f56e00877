//! `saslauthd_fuzz::requests` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| saslauthd_fuzz::requests(bytes));
