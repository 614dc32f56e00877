//! `harness::sasldb_gdbm` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::sasldb_gdbm(bytes));
