//! `saslauthd_fuzz::sasl::cram_md5` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| saslauthd_fuzz::sasl::cram_md5(bytes));
