//! `pam_saslauthd.so`: a PAM module that asks a saslauthd socket.
//!
//! Runs inside the program that logs somebody in (Dovecot, Perdition, Courier), as whoever that runs as. It trusts that
//! program, libpam and the line of its service file; from the daemon it takes one of three answers. It starts no thread,
//! has no state of its own and keeps no password; it must never let a panic or a signal out into its host, nor
//! say "wrong password" when nobody knows.
//!
//! What each entry point returns, and why, is at it; pam_saslauthd(8) says the same to operators. The constants are those of
//! Linux-PAM's `_pam_types.h`, the entry points those of its `pam_modules.h`.

use std::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use protocol::{Address, Answer};

use crate::arguments::Arguments;
use crate::host::{Code, Host, Opaque};

mod arguments;
mod ask;
#[path = "../../src/connect.rs"]
#[expect(unreachable_pub, reason = "the tools' library has it too, and shows it")]
mod connect;
mod host;

/// Asks the daemon: accepted is `PAM_SUCCESS`, refused `PAM_AUTH_ERR`, and `PAM_AUTHINFO_UNAVAIL` when nobody knows.
/// An argument that this module doesn't know is `PAM_SERVICE_ERR`, and a name that the host doesn't say, `PAM_USER_UNKNOWN`;
/// a conversation that fails returns what libpam returned.
///
/// # Safety
/// `handle` is libpam's, and `argv` has `argc` strings, for as long as the call takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_authenticate(
    handle: *mut Opaque,
    _flags: c_int,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    guarded(|| {
        // SAFETY: the caller's promise about both is ours.
        let (host, words) = unsafe { (Host::new(handle), host::words(argc, argv)) };
        let Some(host) = host else { return Code::SYSTEM_ERR };
        let code = authenticate(&host, &words).unwrap_or_else(|code| code);
        match host.mark_accepted(code == Code::SUCCESS) {
            Ok(()) => code,
            Err(failed) => failed,
        }
    })
}

/// There are no credentials to set, and `PAM_IGNORE` would deny a stack of this module alone: `PAM_SUCCESS`.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_setcred(
    _handle: *mut Opaque,
    _flags: c_int,
    _argc: c_int,
    _argv: *const *const c_char,
) -> c_int {
    Code::SUCCESS.0
}

/// The daemon looks at locks and expiry together with the password, and answers no question about an account alone. So this
/// is `PAM_SUCCESS` when this module accepted the password in the same transaction, and otherwise `PAM_IGNORE`: a
/// stack of this module alone then denies whoever came in by a key.
///
/// # Safety
/// `handle` is libpam's, for as long as the call takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_acct_mgmt(
    handle: *mut Opaque,
    _flags: c_int,
    _argc: c_int,
    _argv: *const *const c_char,
) -> c_int {
    guarded(|| {
        // SAFETY: the caller's promise is ours.
        match unsafe { Host::new(handle) } {
            Some(host) if host.was_accepted() => Code::SUCCESS,
            Some(_) => Code::IGNORE,
            None => Code::SYSTEM_ERR,
        }
    })
}

/// Passwords are changed by saslpasswd2, mailauth or passwd: `PAM_SERVICE_ERR`, so that nobody believes it was done.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_chauthtok(
    _handle: *mut Opaque,
    _flags: c_int,
    _argc: c_int,
    _argv: *const *const c_char,
) -> c_int {
    Code::SERVICE_ERR.0
}

/// Sessions are no concern of the daemon's: `PAM_IGNORE`.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_open_session(
    _handle: *mut Opaque,
    _flags: c_int,
    _argc: c_int,
    _argv: *const *const c_char,
) -> c_int {
    Code::IGNORE.0
}

/// As [`pam_sm_open_session`].
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_close_session(
    _handle: *mut Opaque,
    _flags: c_int,
    _argc: c_int,
    _argv: *const *const c_char,
) -> c_int {
    Code::IGNORE.0
}

/// A panic that crossed into C would end the host program.
fn guarded(entry: impl FnOnce() -> Code) -> c_int {
    catch_unwind(AssertUnwindSafe(entry)).unwrap_or(Code::SERVICE_ERR).0
}

fn authenticate(host: &Host<'_>, words: &[&[u8]]) -> Result<Code, Code> {
    let arguments = Arguments::parse(words).map_err(|wrong| {
        host.log(&wrong.to_string());
        Code::SERVICE_ERR
    })?;
    let login = host.user()?;
    let password = host.token(arguments.token)?;
    let service = match &arguments.service {
        Some(service) => service.clone(),
        None => host.service()?,
    };
    // Host names are not looked up: what the daemon counts by must not wait for a name server.
    let address = host.remote_host()?.as_deref().and_then(Address::parse);
    let question = ask::Question { login: &login, password: &password, service: &service, address };
    Ok(match ask::ask(&arguments, &question) {
        Ok(Answer::Accept) => Code::SUCCESS,
        Ok(Answer::Refuse) => Code::AUTH_ERR,
        Ok(Answer::Unavailable) => {
            host.log(&format!("{}: nobody can tell now", arguments.socket.display()));
            Code::AUTHINFO_UNAVAIL
        }
        Err(error) => {
            host.log(&format!("{}: {error}", arguments.socket.display()));
            Code::AUTHINFO_UNAVAIL
        }
    })
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn a_panic_ends_at_the_entry_point() {
        assert_eq!(guarded(|| panic!("of the test")), Code::SERVICE_ERR.0);
    }

    #[test]
    fn no_handle_is_an_error_and_no_crash() {
        let (handle, argv) = (ptr::null_mut(), ptr::null());
        // SAFETY: a null handle is not used, and there are no arguments.
        let authenticated = unsafe { pam_sm_authenticate(handle, 0, 0, argv) };
        // SAFETY: the same.
        let managed = unsafe { pam_sm_acct_mgmt(handle, 0, 0, argv) };
        assert_eq!((authenticated, managed), (Code::SYSTEM_ERR.0, Code::SYSTEM_ERR.0));
    }
}
