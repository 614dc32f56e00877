//! mta: the parent of receiver and sender, started by an administrator or a service manager.

fn main() {}
