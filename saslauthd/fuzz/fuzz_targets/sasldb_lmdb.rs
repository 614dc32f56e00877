//! `harness::sasldb_lmdb` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::sasldb_lmdb(bytes));
