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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_child;

    #[test]
    fn f5_hostile_variables_are_gone() {
        const NAME: &str = "environment::tests::f5_hostile_variables_are_gone";
        if in_child::am_child() {
            let ended = in_child::alone(|| {
                let kept = keep_only(&["TZ_IS_MISSING", "NOTIFY_SOCKET"]).unwrap();
                assert_eq!(kept, [("NOTIFY_SOCKET".to_owned(), OsString::from("@x"))]);
                let left: Vec<_> = std::env::vars_os().collect();
                assert_eq!(left, [("NOTIFY_SOCKET".into(), "@x".into())]);
            });
            return assert_eq!(ended, crate::children::Exit::Code(0));
        }
        let mut command = in_child::command(NAME);
        command.env("NOTIFY_SOCKET", "@x");
        for name in
            ["SASL_PATH", "SSLKEYLOGFILE", "TZ", "OPENSSL_CONF", "RUST_LOG", "LD_LIBRARY_PATH"]
        {
            command.env(name, "/tmp/evil");
        }
        in_child::wants_success(NAME, &command.output().unwrap());
    }

    #[test]
    fn threads_forbid_it() {
        in_child::in_child("environment::tests::threads_forbid_it", || {
            let (_hold, held) = std::sync::mpsc::channel::<()>();
            std::thread::spawn(move || held.recv());
            assert!(matches!(keep_only(&[]), Err(Error::HandedOver(_))));
        });
    }
}
