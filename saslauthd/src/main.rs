//! saslauthd.
fn main() {
    print!("{}", saslauthd::config::manual::page());
}
