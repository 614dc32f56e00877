//! Whose connection a proxy passes on: the PROXY header, read before anything else and not a byte beyond it.
//!
//! Runs in the receiver, for peers that the configuration names and for nobody else. What follows the header may be a
//! TLS handshake, so that it must stay unread.

use std::io;

use smtp::proxy::{self, Source};

use super::wire::{Carrier, Wire};

/// Shortest header of version 1, `PROXY UNKNOWN` with its end; version 2 has 16 bytes and more.
const SHORTEST: usize = 15;
/// The fixed part of version 2.
const FIXED: usize = 16;

/// Reads the header.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what is none, and those of the connection.
pub(super) async fn read<S: Carrier>(wire: &mut Wire<S>) -> io::Result<Source> {
    let mut header = Vec::with_capacity(proxy::MAX_V1);
    loop {
        wire.read_exactly(missing(&header), &mut header).await?;
        let malformed = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        if let Some((source, _)) = proxy::decode(&header).map_err(malformed)? {
            return Ok(source);
        }
    }
}

/// How much more there is at least.
fn missing(header: &[u8]) -> usize {
    match header {
        short if short.len() < SHORTEST => SHORTEST - short.len(),
        // A line ends where it ends.
        [b'P', ..] => 1,
        short if short.len() < FIXED => FIXED - short.len(),
        [fixed @ .., high, low] if fixed.len() + 2 == FIXED => {
            usize::from(u16::from_be_bytes([*high, *low])).max(1)
        }
        _ => 1,
    }
}
