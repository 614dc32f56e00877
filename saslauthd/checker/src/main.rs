//! saslauthd-checker
mod backends;
mod cache;
mod limiter;
mod log;
mod mapping;
mod pool;
fn main() {}
