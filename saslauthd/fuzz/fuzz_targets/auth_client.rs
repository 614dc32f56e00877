//! `saslauthd_fuzz::dovecot::auth_client` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| saslauthd_fuzz::dovecot::auth_client(bytes));
