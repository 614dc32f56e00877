//! What libpam tells a module, in safe words.
//!
//! Run in the host program. Every string is copied at once, since libpam frees its own when somebody sets it anew; the copy
//! of a password is wiped. Nothing here may be kept beyond the call of the entry point that made it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use zeroize::Zeroizing;

use crate::arguments::Token;

/// `pam_handle_t`.
#[repr(C)]
pub struct Opaque {
    _private: [u8; 0],
}

// By its name at run time, so that no development package is needed to build; and linked, so that a host that loaded
// libpam for itself alone (RTLD_LOCAL) can load this module too.
#[link(name = "libpam.so.0", kind = "dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    /// pam_get_user(3): asks for the name if there is none.
    fn pam_get_user(handle: *mut Opaque, user: *mut *const c_char, prompt: *const c_char) -> c_int;
    /// pam_get_item(3): the value stays libpam's.
    fn pam_get_item(handle: *const Opaque, item: c_int, value: *mut *const c_void) -> c_int;
    /// pam_get_authtok(3), of Linux-PAM: asks for the password if there is none, and keeps it for the modules below.
    fn pam_get_authtok(
        handle: *mut Opaque,
        item: c_int,
        token: *mut *const c_char,
        prompt: *const c_char,
    ) -> c_int;
    /// pam_set_data(3): libpam keeps the pointer until `pam_end`.
    fn pam_set_data(
        handle: *mut Opaque,
        name: *const c_char,
        data: *mut c_void,
        cleanup: Option<unsafe extern "C" fn(*mut Opaque, *mut c_void, c_int)>,
    ) -> c_int;
    /// pam_get_data(3).
    fn pam_get_data(handle: *const Opaque, name: *const c_char, data: *mut *const c_void) -> c_int;
    /// pam_syslog(3), of Linux-PAM.
    fn pam_syslog(handle: *const Opaque, priority: c_int, format: *const c_char, ...);
}

/// What an entry point returns (`_pam_types.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) c_int);

impl Code {
    pub(crate) const SUCCESS: Self = Self(0);
    pub(crate) const SERVICE_ERR: Self = Self(3);
    pub(crate) const SYSTEM_ERR: Self = Self(4);
    pub(crate) const AUTH_ERR: Self = Self(7);
    pub(crate) const AUTHINFO_UNAVAIL: Self = Self(9);
    pub(crate) const USER_UNKNOWN: Self = Self(10);
    pub(crate) const AUTHTOK_RECOVERY_ERR: Self = Self(21);
    pub(crate) const IGNORE: Self = Self(25);
    const CONV_AGAIN: Self = Self(30);
    const INCOMPLETE: Self = Self(31);

    /// The failure of a call that may have asked the user: a host that wants to be called again is told so.
    fn of_call(code: c_int) -> Result<(), Self> {
        match Self(code) {
            Self::SUCCESS => Ok(()),
            Self::CONV_AGAIN => Err(Self::INCOMPLETE),
            other => Err(other),
        }
    }
}

const PAM_SERVICE: c_int = 1;
const PAM_RHOST: c_int = 4;
const PAM_AUTHTOK: c_int = 6;
const LOG_ERR: c_int = 3;

/// Under this name libpam keeps that a password was accepted.
const ACCEPTED: &CStr = c"pam_saslauthd_accepted";
/// What is kept there; only its not being null counts.
static MARK: u8 = 1;

/// One transaction of the host program, for as long as an entry point runs.
pub(crate) struct Host<'a> {
    handle: NonNull<Opaque>,
    _call: PhantomData<&'a Opaque>,
}

impl Host<'_> {
    /// None for a null handle.
    ///
    /// # Safety
    /// `handle` is null or libpam's, and the `Host` is gone before the entry point returns.
    pub(crate) unsafe fn new(handle: *mut Opaque) -> Option<Self> {
        NonNull::new(handle).map(|handle| Self { handle, _call: PhantomData })
    }

    /// Who logs in.
    pub(crate) fn user(&self) -> Result<Vec<u8>, Code> {
        let mut user = ptr::null();
        // SAFETY: the handle is libpam's, `user` outlives the call, and a null prompt means the usual one.
        let code = unsafe { pam_get_user(self.handle.as_ptr(), &raw mut user, ptr::null()) };
        Code::of_call(code)?;
        // SAFETY: libpam keeps the string at least until the next call.
        let user = unsafe { bytes(user) };
        user.map(<[u8]>::to_vec).ok_or(Code::USER_UNKNOWN)
    }

    /// The password.
    pub(crate) fn token(&self, token: Token) -> Result<Zeroizing<Vec<u8>>, Code> {
        let password = match token {
            Token::Stacked => self.item(PAM_AUTHTOK)?,
            Token::StackedOrAsked => {
                let mut password = ptr::null();
                let (handle, result) = (self.handle.as_ptr(), &raw mut password);
                // SAFETY: as of `user`.
                let code = unsafe { pam_get_authtok(handle, PAM_AUTHTOK, result, ptr::null()) };
                Code::of_call(code)?;
                password
            }
        };
        // SAFETY: as of `user`; this item is a string.
        let password = unsafe { bytes(password) };
        password.map(|bytes| Zeroizing::new(bytes.to_vec())).ok_or(Code::AUTHTOK_RECOVERY_ERR)
    }

    /// The name of the service file; empty if the host said none.
    pub(crate) fn service(&self) -> Result<Vec<u8>, Code> {
        // SAFETY: as of `user`; this item is a string.
        let service = unsafe { bytes(self.item(PAM_SERVICE)?) };
        Ok(service.unwrap_or_default().to_vec())
    }

    /// Where the user is, if the host said it.
    pub(crate) fn remote_host(&self) -> Result<Option<Vec<u8>>, Code> {
        // SAFETY: as of `user`; this item is a string.
        let host = unsafe { bytes(self.item(PAM_RHOST)?) };
        Ok(host.map(<[u8]>::to_vec))
    }

    fn item(&self, item: c_int) -> Result<*const c_char, Code> {
        let mut value = ptr::null();
        // SAFETY: the handle is libpam's, and `value` outlives the call.
        let code = unsafe { pam_get_item(self.handle.as_ptr(), item, &raw mut value) };
        Code::of_call(code).map(|()| value.cast())
    }

    /// Notes for [`Host::was_accepted`] how the password fared.
    pub(crate) fn mark_accepted(&self, accepted: bool) -> Result<(), Code> {
        let mark = if accepted { (&raw const MARK).cast_mut().cast() } else { ptr::null_mut() };
        // SAFETY: the handle is libpam's, the name is a string, and nobody ever looks behind the pointer.
        let code = unsafe { pam_set_data(self.handle.as_ptr(), ACCEPTED.as_ptr(), mark, None) };
        Code::of_call(code)
    }

    /// Whether the last password of this transaction was accepted by this module.
    pub(crate) fn was_accepted(&self) -> bool {
        let mut mark = ptr::null();
        let (handle, result) = (self.handle.as_ptr(), &raw mut mark);
        // SAFETY: the handle is libpam's, the name is a string, and `mark` outlives the call.
        let code = unsafe { pam_get_data(handle, ACCEPTED.as_ptr(), result) };
        Code(code) == Code::SUCCESS && !mark.is_null()
    }

    /// A line for the operator, in the host's own name.
    pub(crate) fn log(&self, line: &str) {
        let line = CString::new(line).unwrap_or_default();
        // SAFETY: the handle is libpam's, and the format takes the one string that follows it.
        unsafe { pam_syslog(self.handle.as_ptr(), LOG_ERR, c"%s".as_ptr(), line.as_ptr()) };
    }
}

/// The words of a service file's line.
///
/// # Safety
/// `argv` has `argc` strings, which stay for as long as the result is used.
pub(crate) unsafe fn words<'a>(argc: c_int, argv: *const *const c_char) -> Vec<&'a [u8]> {
    let count = if argv.is_null() { 0 } else { usize::try_from(argc).unwrap_or_default() };
    let word = |at| {
        // SAFETY: `at` is below `argc`, so that there is a string.
        unsafe { bytes(*argv.add(at)) }
    };
    (0..count).filter_map(word).collect()
}

/// The bytes of a C string, without its NUL.
///
/// # Safety
/// `text` is null or a string, which stays for as long as the result is used.
unsafe fn bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}
