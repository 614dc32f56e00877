//! `harness::sasldb_berkeley` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::sasldb_berkeley(bytes));
