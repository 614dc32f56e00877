//! Finds libxcrypt before the linker does, so that its absence is one clear sentence and not a page of linker output.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Asks the compiler driver that will link us where it sees the library; it echoes the bare name when nowhere.
fn seen_by_linker(file: &str) -> bool {
    let driver = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let Ok(output) = Command::new(driver).arg(format!("-print-file-name={file}")).output() else {
        return false;
    };
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    path.is_absolute() && path.exists()
}

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CC");
    let native = env::var("HOST").ok() == env::var("TARGET").ok();
    // A cross build's linker is not ours to ask; it complains itself.
    if native && !seen_by_linker("libcrypt.so") && !seen_by_linker("libcrypt.a") {
        println!(
            "cargo::error=libcrypt (libxcrypt) is missing; install it: apt-get install libcrypt-dev"
        );
        return ExitCode::FAILURE;
    }
    println!("cargo::rustc-link-lib=crypt");
    ExitCode::SUCCESS
}
