//! `saslauthd_fuzz::sasldb_gdbm` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| saslauthd_fuzz::sasldb_gdbm(bytes));
