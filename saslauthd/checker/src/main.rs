//! saslauthd-checker
mod limiter;
fn main() {}
