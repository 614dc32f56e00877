//! The design as tests: who may lean on whom, what a file looks like, and what the running processes may do.
//!
//! Runs on the checkout and on the built executables; needs root only where it says so.

// What is outside the product may end loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod binaries;
mod dependencies;
mod files;

use std::path::{Path, PathBuf};

/// The top of the checkout.
fn top() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ has a parent").to_path_buf()
}
