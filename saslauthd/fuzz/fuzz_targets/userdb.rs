//! `harness::dovecot::userdb` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::dovecot::userdb(bytes));
