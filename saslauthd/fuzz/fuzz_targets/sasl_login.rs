//! `harness::sasl::login` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::sasl::login(bytes));
