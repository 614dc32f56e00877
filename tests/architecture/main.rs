//! The design as tests: who may lean on whom, what a file looks like, and what the running processes may do.
//!
//! Runs on the checkout and on the built executables; needs root only where it says so.

// What is outside the product may end loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod binaries;
mod dependencies;
mod files;
mod flags;
// The suite of whole daemons has the same needs; here only a part of them.
#[allow(dead_code)]
#[path = "../e2e/house.rs"]
mod house;
#[allow(dead_code)]
#[path = "../e2e/process.rs"]
mod process;
mod processes;

use std::path::{Path, PathBuf};

/// The top of the checkout.
fn top() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ has a parent").to_path_buf()
}
