//! How many processors a child's event loop works on.
//!
//! Runs in receiver and sender.

use std::num::NonZero;
use std::thread::available_parallelism;

/// Half of them, and one at least. The other half is for what each message needs besides: the threads that wait for the
/// disk, the other child, the daemon. Where they all compete, an event loop on more threads spends its time waking them.
pub fn half() -> usize {
    available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}
