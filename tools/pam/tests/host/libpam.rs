//! The application's side of libpam, as far as a login needs it.
//!
//! Linked into the test. `pam_start_confdir` (Linux-PAM 1.4) is what makes it independent of the host.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::path::PathBuf;
use std::ptr;

#[repr(C)]
struct Handle {
    _private: [u8; 0],
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

#[repr(C)]
struct Conversation {
    talk: extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int,
    data: *mut c_void,
}

#[link(name = "libpam.so.0", kind = "dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conversation,
        directory: *const c_char,
        handle: *mut *mut Handle,
    ) -> c_int;
    fn pam_end(handle: *mut Handle, status: c_int) -> c_int;
    fn pam_set_item(handle: *mut Handle, item: c_int, value: *const c_void) -> c_int;
    fn pam_authenticate(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_setcred(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_acct_mgmt(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_chauthtok(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_open_session(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_close_session(handle: *mut Handle, flags: c_int) -> c_int;
}

unsafe extern "C" {
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn strdup(text: *const c_char) -> *mut c_char;
    fn signal(number: c_int, handler: usize) -> usize;
}

const PAM_RHOST: c_int = 4;
const PAM_ESTABLISH_CRED: c_int = 2;
const PAM_PROMPT_ECHO_OFF: c_int = 1;

/// What a stage returned (`_pam_types.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(c_int);

impl Code {
    pub(crate) const SUCCESS: Self = Self(0);
    pub(crate) const SERVICE_ERR: Self = Self(3);
    pub(crate) const PERM_DENIED: Self = Self(6);
    pub(crate) const AUTH_ERR: Self = Self(7);
    pub(crate) const AUTHINFO_UNAVAIL: Self = Self(9);
    pub(crate) const CONV_ERR: Self = Self(19);
    pub(crate) const AUTHTOK_ERR: Self = Self(20);
    pub(crate) const AUTHTOK_RECOVERY_ERR: Self = Self(21);
}

/// The calls of an application.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    Authenticate,
    SetCredentials,
    Account,
    ChangePassword,
    OpenSession,
    CloseSession,
}

/// A service file in a directory of its own.
pub(crate) struct Service {
    name: CString,
    directory: tempfile::TempDir,
}

impl Service {
    /// `MODULE` in the text stands for the module under test.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let module = module();
        assert!(module.exists(), "{} was not built", module.display());
        let directory = tempfile::tempdir().unwrap();
        let text = text.replace("MODULE", module.to_str().unwrap());
        fs::write(directory.path().join(name), format!("{text}\n")).unwrap();
        Self { name: CString::new(name).unwrap(), directory }
    }

    /// Begins a transaction; none for a user or a password is one that the conversation cannot say.
    pub(crate) fn start(&self, user: Option<&str>, password: Option<&str>) -> Transaction {
        let user = user.map(|user| CString::new(user).unwrap());
        let password = password.map(|password| CString::new(password).unwrap());
        let user = user.as_ref().map_or(ptr::null(), |user| user.as_ptr());
        let directory = CString::new(self.directory.path().to_str().unwrap()).unwrap();
        let known = Box::into_raw(Box::new(Known { password, asked: 0 }));
        let conversation = Conversation { talk, data: known.cast() };
        let mut handle = ptr::null_mut();
        let (name, conversation) = (self.name.as_ptr(), &raw const conversation);
        // SAFETY: all strings outlive the call; libpam copies them and the conversation, whose data lives in the result.
        let code = unsafe {
            pam_start_confdir(name, user, conversation, directory.as_ptr(), &raw mut handle)
        };
        assert_eq!(Code(code), Code::SUCCESS);
        Transaction { handle, known }
    }
}

/// Built by cargo beside the test, anew whenever its source changes.
fn module() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("libpam_saslauthd.so")
}

struct Known {
    password: Option<CString>,
    asked: usize,
}

/// One transaction of libpam.
pub(crate) struct Transaction {
    handle: *mut Handle,
    known: *mut Known,
}

impl Transaction {
    pub(crate) fn set_remote_host(&mut self, host: &str) {
        let host = CString::new(host).unwrap();
        // SAFETY: the transaction is open, and libpam copies the string.
        let code = unsafe { pam_set_item(self.handle, PAM_RHOST, host.as_ptr().cast()) };
        assert_eq!(Code(code), Code::SUCCESS);
    }

    pub(crate) fn run(&mut self, stage: Stage) -> Code {
        // SAFETY: the transaction is open.
        Code(unsafe {
            match stage {
                Stage::Authenticate => pam_authenticate(self.handle, 0),
                Stage::SetCredentials => pam_setcred(self.handle, PAM_ESTABLISH_CRED),
                Stage::Account => pam_acct_mgmt(self.handle, 0),
                Stage::ChangePassword => pam_chauthtok(self.handle, 0),
                Stage::OpenSession => pam_open_session(self.handle, 0),
                Stage::CloseSession => pam_close_session(self.handle, 0),
            }
        })
    }

    /// How often the user was asked for something.
    pub(crate) fn asked(&self) -> usize {
        // SAFETY: made by `start`, freed by `drop`, and libpam uses it only while a stage runs.
        unsafe { (*self.known).asked }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // SAFETY: the transaction is open, and nobody uses either afterwards.
        unsafe {
            pam_end(self.handle, 0);
            drop(Box::from_raw(self.known));
        }
    }
}

/// Answers a question for a password with the one that is known, and no other.
extern "C" fn talk(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    // SAFETY: libpam hands over the data of `start` and `count` messages; one is all that modules here send.
    unsafe {
        let known = &mut *data.cast::<Known>();
        known.asked += 1;
        match &known.password {
            Some(password) if count == 1 && (**messages).style == PAM_PROMPT_ECHO_OFF => {
                assert!(CStr::from_ptr((**messages).text).to_bytes().starts_with(b"Password"));
                let response = calloc(1, size_of::<Response>()).cast::<Response>();
                (*response).text = strdup(password.as_ptr());
                *responses = response;
                0
            }
            _ => Code::CONV_ERR.0,
        }
    }
}

/// Has SIGPIPE end this process, as it ends programs that don't care.
pub(crate) fn default_sigpipe() {
    const SIGPIPE: c_int = 13;
    // SAFETY: 0 is SIG_DFL, and no handler is installed.
    unsafe { signal(SIGPIPE, 0) };
}
