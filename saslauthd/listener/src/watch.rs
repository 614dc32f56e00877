//! Registering a descriptor with the reactor.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a nonblocking descriptor for `interest`.
///
/// tokio deprecates its safe constructor because a type's `AsRawFd` could name a descriptor that the type does not
/// own, and replaces it by an unsafe one; an `OwnedFd` owns its descriptor, and this crate forbids unsafe code.
#[expect(deprecated, reason = "sound for an OwnedFd")]
pub(crate) fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}
