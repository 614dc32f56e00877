//! mta-sender: reads the spool and speaks to other servers.

fn main() {}
