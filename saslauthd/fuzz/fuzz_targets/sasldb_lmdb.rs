//! `saslauthd_fuzz::sasldb_lmdb` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| saslauthd_fuzz::sasldb_lmdb(bytes));
