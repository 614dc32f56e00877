//! Hashes for new passwords: argon2id in PHC's notation, with memory and time from the config.
//!
//! Runs in the checker, which upgrades a record after a login, and in the tools, which set passwords.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use protocol::Password;
use zeroize::Zeroizing;

use crate::policy::Policy;
use crate::scheme::{Cost, Scheme};
use crate::scratch::Scratch;
use crate::verdict::{Reason, Trouble};
use crate::verifier::{Form, Variant, Verifier};

/// How dear a new hash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Settings {
    /// Memory in KiB, at least 8 for each lane. Default 19456 (19 MiB): OWASP's first choice, small enough that a
    /// host of two cores hashes at its own pace in 40 MB.
    pub memory_kib: u32,
    /// Passes over the memory, at least 1. Default 2.
    pub iterations: u32,
    /// Lanes, at least 1; they are computed one after another. Default 1.
    pub lanes: u32,
}

impl Default for Argon2Settings {
    fn default() -> Self {
        Self { memory_kib: 19456, iterations: 2, lanes: 1 }
    }
}

impl Argon2Settings {
    const SALT: usize = 16;
    const TAG: usize = 32;

    pub(crate) fn variant(&self) -> Variant {
        Variant {
            scheme: Scheme::Argon2id,
            version: 0x13,
            memory_kib: self.memory_kib,
            iterations: self.iterations,
            lanes: self.lanes,
            tag: Self::TAG,
        }
    }

    /// What one comparison of such a hash will cost.
    pub fn cost(&self) -> Cost {
        self.variant().cost()
    }

    /// Whether such a hash could be verified again under this policy; asked when the config is read.
    pub fn admitted_by(&self, policy: &Policy) -> Result<(), Reason> {
        if !self.variant().is_possible() {
            return Err(Reason::Malformed);
        }
        policy.admit(Scheme::Argon2id, self.cost())
    }
}

/// Hashes a new password under a fresh random salt: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
pub fn new_hash(
    password: &Password,
    settings: &Argon2Settings,
    scratch: &mut Scratch,
) -> Result<Zeroizing<String>, Trouble> {
    let mut salt = [0; Argon2Settings::SALT];
    getrandom::fill(&mut salt).map_err(|error| Trouble::new(format!("random bytes: {error}")))?;
    salted_hash(password, settings, &salt, scratch)
}

fn salted_hash(
    password: &Password,
    settings: &Argon2Settings,
    salt: &[u8],
    scratch: &mut Scratch,
) -> Result<Zeroizing<String>, Trouble> {
    let Argon2Settings { memory_kib, iterations, lanes } = settings;
    let tag = settings.variant().compute(password.reveal(), salt, scratch)?;
    let tag = Zeroizing::new(STANDARD_NO_PAD.encode(&tag));
    let salt = STANDARD_NO_PAD.encode(salt);
    Ok(Zeroizing::new(format!(
        "$argon2id$v=19$m={memory_kib},t={iterations},p={lanes}${salt}${}",
        *tag
    )))
}

/// Whether the stored secret is weaker than a new one would be: another scheme, or less memory or fewer passes.
///
/// A dearer one is left alone, so that lowering the settings rehashes nobody.
pub fn needs_upgrade(stored: &Verifier, settings: &Argon2Settings) -> bool {
    match stored.form() {
        Form::Argon(argon) => {
            let (have, want) = (argon.variant, settings.variant());
            have.scheme != want.scheme
                || have.version != want.version
                || have.memory_kib < want.memory_kib
                || have.iterations < want.iterations
        }
        _ => !stored.is_stand_in(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Verdict;

    const SMALL: Argon2Settings = Argon2Settings { memory_kib: 64, iterations: 2, lanes: 1 };

    fn password(text: &str) -> Password {
        Password::new(text.as_bytes()).expect("a password")
    }

    #[test]
    fn a_new_hash_verifies_and_is_never_the_same_twice() {
        let mut scratch = Scratch::new();
        let first = new_hash(&password("pencil"), &SMALL, &mut scratch).expect("a hash");
        let second = new_hash(&password("pencil"), &SMALL, &mut scratch).expect("a hash");
        assert!(first.starts_with("$argon2id$v=19$m=64,t=2,p=1$"), "{}", *first);
        assert_ne!(*first, *second);
        let verifier = Verifier::parse(first.as_bytes(), &Policy::default()).expect("parses");
        assert_eq!(verifier.cost(), SMALL.cost());
        assert!(matches!(verifier.compare(&password("pencil"), &mut scratch), Verdict::Accept(_)));
        assert_eq!(
            verifier.compare(&password("Pencil"), &mut scratch),
            Verdict::Refuse(Reason::WrongPassword)
        );
    }

    /// Computed by the reference implementation's own test suite: `password`, `somesalt`, version 19.
    #[test]
    fn the_reference_implementation_agrees() {
        let settings = Argon2Settings { memory_kib: 256, iterations: 2, lanes: 1 };
        let hash = salted_hash(&password("password"), &settings, b"somesalt", &mut Scratch::new());
        assert_eq!(
            hash.expect("a hash").as_str(),
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
        );
    }

    #[test]
    fn impossible_settings_are_found_when_the_config_is_read() {
        let policy = Policy::default();
        assert_eq!(Argon2Settings::default().admitted_by(&policy), Ok(()));
        let check = |memory_kib, iterations, lanes| {
            Argon2Settings { memory_kib, iterations, lanes }.admitted_by(&policy)
        };
        assert_eq!(check(7, 1, 1), Err(Reason::Malformed));
        assert_eq!(check(64, 0, 1), Err(Reason::Malformed));
        assert_eq!(check(64, 1, 0), Err(Reason::Malformed));
        assert_eq!(check(64, 1, 9), Err(Reason::Malformed));
        assert_eq!(check(1024 * 1024, 1, 1), Err(Reason::TooExpensive));
        assert_eq!(check(64 * 1024, 1000, 1), Err(Reason::TooExpensive));
    }

    #[test]
    fn only_weaker_hashes_are_upgraded() {
        let settings = Argon2Settings { memory_kib: 64, iterations: 2, lanes: 1 };
        let tail = "$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let needs = |stored: &str| {
            let verifier = Verifier::parse(stored.as_bytes(), &Policy::default());
            needs_upgrade(&verifier.expect(stored), &settings)
        };
        assert!(!needs(&format!("$argon2id$v=19$m=64,t=2,p=1{tail}")));
        assert!(!needs(&format!("$argon2id$v=19$m=128,t=3,p=2{tail}")));
        assert!(needs(&format!("$argon2id$v=19$m=63,t=2,p=1{tail}")));
        assert!(needs(&format!("$argon2id$v=19$m=64,t=1,p=1{tail}")));
        assert!(needs(&format!("$argon2id$v=16$m=64,t=2,p=1{tail}")));
        assert!(needs(&format!("$argon2i$v=19$m=64,t=2,p=1{tail}")));
        assert!(needs("$1$salt$UsdFqFVB.FsuinRDK5eE.."));
    }
}
