//! The environment: what of it survives the start of a process.
//!
//! Whoever starts us may be hostile or careless (`LD_*`, `SASL_PATH`, `TZ`, `RUST_LOG`), so the
//! parent keeps a short list and the children get none of the rest.

use std::ffi::OsString;

use crate::{Error, Result, harden};

/// Removes every variable that is not named, and returns those that are, in order of `names`, so that
/// the rest of the program takes values instead of looking things up.
///
/// Refuses once a second thread exists, because other threads may be reading the environment.
pub fn keep_only(names: &[&str]) -> Result<Vec<(String, OsString)>> {
    let alone = harden::is_single_threaded().map_err(Error::system("list /proc/self/task"))?;
    if !alone {
        return Err(Error::HandedOver("the environment is cleaned before threads exist".into()));
    }
    for (name, _) in std::env::vars_os() {
        if !names.iter().any(|kept| name == *kept) {
            // SAFETY: there is one thread, checked above, so nobody reads the environment meanwhile.
            unsafe { std::env::remove_var(name) };
        }
    }
    let kept = names.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var_os(name)?)));
    Ok(kept.collect())
}
