//! How much of a client is put up with.
//!
//! Runs in the receiver of the mta. Numbers only.

/// Bounds of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Recipients of a message; those beyond are told to come later (452 4.5.3).
    pub recipients: u32,
    /// Refused logins; the last one is followed by 421.
    pub failures: u32,
    /// Lines that are no command; the last one is answered with 421.
    pub unknown: u32,
    /// Commands that were refused for their order or syntax; the last one is answered with 421.
    pub errors: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { recipients: 1000, failures: 3, unknown: 3, errors: 20 }
    }
}
