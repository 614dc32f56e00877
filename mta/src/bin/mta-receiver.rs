//! mta-receiver: hears strangers, and can only append to the spool.

fn main() {}
