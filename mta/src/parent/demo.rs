//! `--demo`: a message sent with one command, without a configuration and without root.

use super::failure::Failure;
use super::start::Handed;

/// Serves until a signal ends it.
///
/// # Errors
/// Why it doesn't.
pub fn demo(_handed: &Handed) -> Result<(), Failure> {
    Err(Failure::new("--demo is not there yet"))
}
