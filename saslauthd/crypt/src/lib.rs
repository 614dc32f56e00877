//! libxcrypt's `crypt_rn`, and nothing else.
//!
//! Runs in the checker, which hashes a candidate with the setting of a stored hash. It trusts libxcrypt with
//! bytes whose length and alphabet were checked here, and nothing about the setting's meaning: whoever calls
//! checks costs first, since a setting may ask for hours. It must never call `crypt_r` or `crypt`, which hand
//! back a "failure token" such as `*0` where `crypt_rn` hands back NULL, so that a stored `*0` could agree.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// `sizeof (struct crypt_data)` in libxcrypt, fixed by its ABI.
const DATA_SIZE: usize = 32768;

/// The longest phrase libxcrypt takes: `CRYPT_MAX_PASSPHRASE_SIZE` less the NUL.
pub const MAX_PHRASE: usize = 511;

/// The longest setting or hash libxcrypt takes: `CRYPT_OUTPUT_SIZE` less the NUL.
///
/// Longer ones are not asked about: libxcrypt 4.4.33 does not bound the salt of `$sha1` by the size of its output.
pub const MAX_SETTING: usize = 383;

unsafe extern "C" {
    /// crypt(3): writes only within `size` bytes at `data`; returns NULL or a string inside `data`.
    fn crypt_rn(
        phrase: *const c_char,
        setting: *const c_char,
        data: *mut c_void,
        size: c_int,
    ) -> *mut c_char;
}

/// Why nothing was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The phrase has more than [`MAX_PHRASE`] bytes, or a NUL.
    Phrase,
    /// The setting has more than [`MAX_SETTING`] bytes, or a byte that no setting has.
    Setting,
    /// libxcrypt declined: it does not know the setting, or found no memory. Some schemes report both alike.
    Declined,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Phrase => "the phrase is longer than libcrypt takes, or has a NUL",
            Self::Setting => {
                "the setting is longer than libcrypt takes, or has a byte no setting has"
            }
            Self::Declined => "libcrypt declined: unknown setting, or out of memory",
        })
    }
}

impl std::error::Error for Error {}

/// The place where libxcrypt works: 32 KiB, reused from call to call and wiped after each.
pub struct Crypt {
    data: Box<[u8]>,
}

impl Default for Crypt {
    fn default() -> Self {
        Self::new()
    }
}

impl Crypt {
    /// A zeroed place to work in.
    pub fn new() -> Self {
        Self { data: vec![0; DATA_SIZE].into_boxed_slice() }
    }

    /// The hash of `phrase` under `setting`, which may be a whole stored hash.
    ///
    /// Takes as long as the setting asks for, and the memory it asks for beside the 32 KiB here.
    pub fn hash(&mut self, phrase: &[u8], setting: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        if phrase.len() > MAX_PHRASE {
            return Err(Error::Phrase);
        }
        if setting.len() > MAX_SETTING || setting.iter().any(|byte| !may_be_in_setting(*byte)) {
            return Err(Error::Setting);
        }
        let phrase = terminated(phrase);
        let setting = terminated(setting);
        let phrase = CStr::from_bytes_with_nul(&phrase).map_err(|_| Error::Phrase)?;
        let setting = CStr::from_bytes_with_nul(&setting).map_err(|_| Error::Setting)?;
        let hash = self.call(phrase, setting);
        self.data.zeroize();
        hash.ok_or(Error::Declined)
    }

    fn call(&mut self, phrase: &CStr, setting: &CStr) -> Option<Zeroizing<Vec<u8>>> {
        let size = c_int::try_from(self.data.len()).ok()?;
        // SAFETY: both strings end in NUL and outlive the call; `data` is ours alone for it, `size` bytes long
        // and zeroed, as crypt_rn(3) wants it. The phrase and setting lengths were bounded above.
        let hash = unsafe {
            crypt_rn(phrase.as_ptr(), setting.as_ptr(), self.data.as_mut_ptr().cast(), size)
        };
        if hash.is_null() {
            return None;
        }
        // SAFETY: crypt_rn returned a NUL-terminated string inside `data`, which nobody writes to meanwhile.
        let hash = unsafe { CStr::from_ptr(hash) };
        Some(Zeroizing::new(hash.to_bytes().to_vec()))
    }
}

impl Drop for Crypt {
    fn drop(&mut self) {
        self.data.zeroize();
    }
}

/// crypt(5): hashes are printable ASCII without space, `:`, `;`, `*`, `!` and `\`.
fn may_be_in_setting(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b':' | b';' | b'*' | b'!' | b'\\')
}

fn terminated(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut string = Vec::with_capacity(bytes.len() + 1);
    string.extend_from_slice(bytes);
    string.push(0);
    Zeroizing::new(string)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA512: &[u8] = b"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";

    fn hash(phrase: &[u8], setting: &[u8]) -> Result<Vec<u8>, Error> {
        Crypt::new().hash(phrase, setting).map(|hash| hash.to_vec())
    }

    #[test]
    fn hashes_as_published() {
        // The first test vector of Drepper's SHA-crypt.
        assert_eq!(hash(b"Hello world!", b"$6$saltstring").as_deref(), Ok(SHA512));
        assert_eq!(hash(b"Hello world!", SHA512).as_deref(), Ok(SHA512));
        // The test vector of the bcrypt that OpenBSD and Openwall publish.
        let bcrypt = b"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        assert_eq!(hash(b"U*U", bcrypt).as_deref(), Ok(bcrypt.as_slice()));
    }

    #[test]
    fn a_failure_is_never_a_token_that_could_agree() {
        for setting in ["", "!", "!!", "*", "*0", "*1", "x", "$9$", "!$6$a$b", "$2b$10$short"] {
            assert!(hash(b"pw", setting.as_bytes()).is_err(), "{setting}");
        }
        assert_eq!(hash(b"pw", b"*0"), Err(Error::Setting));
        assert_eq!(hash(b"pw", b"$6$rounds=10$salt"), Err(Error::Declined));
    }

    #[test]
    fn lengths_and_nul_end_before_libcrypt() {
        assert!(hash(&[b'a'; MAX_PHRASE], b"$1$salt").is_ok());
        assert_eq!(hash(&[b'a'; MAX_PHRASE + 1], b"$1$salt"), Err(Error::Phrase));
        assert_eq!(hash(b"a\0b", b"$1$salt"), Err(Error::Phrase));
        assert_eq!(hash(b"a", b"$1$sa\0lt"), Err(Error::Setting));
        assert_eq!(hash(b"a", b"$1$salt:x"), Err(Error::Setting));
        assert_eq!(hash(b"a", b"$1$salt\n"), Err(Error::Setting));
        let long = [b"$sha1$1$".as_slice(), &[b'a'; MAX_SETTING]].concat();
        assert_eq!(hash(b"a", &long), Err(Error::Setting));
    }

    #[test]
    fn the_scratch_is_clean_after_success_and_after_failure() {
        let mut crypt = Crypt::new();
        assert!(crypt.hash(b"pw", b"$1$salt").is_ok());
        assert!(crypt.data.iter().all(|byte| *byte == 0));
        assert!(crypt.hash(b"pw", b"$9$salt").is_err());
        assert!(crypt.data.iter().all(|byte| *byte == 0));
    }
}
