//! Settings files: TOML into final types at once, complaints with carets, and the manual from the same source.
//!
//! Used by whoever reads such a file: the parents, as root, and children that read the same text again. The text is the
//! administrator's as far as [`file`] could see; all that is wrong with it is said together. Only [`file`] opens anything.

pub mod complaint;
pub mod file;
pub mod manual;
pub mod setting;
pub mod tables;
pub mod values;

/// What the macros name.
#[doc(hidden)]
pub use toml;
