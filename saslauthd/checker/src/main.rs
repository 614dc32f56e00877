//! saslauthd-checker
mod cache;
mod limiter;
mod log;
mod mapping;
fn main() {}
