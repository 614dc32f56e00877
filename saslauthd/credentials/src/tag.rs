//! Tags of remembered logins, and short digests of wrong passwords, under a key that lives as long as the process.
//!
//! Runs in the checker. Besides a verifier's comparison this is the only place that makes a [`Verified`], and only
//! for the very tuple of user, realm, service, password, backend and generation that a comparison agreed to
//! before: each part is length-prefixed, so that no two tuples run together. A tag is not a hash to keep: without the
//! key of this boot it means nothing, and with it it would be guessed as fast as HMAC runs.

use protocol::{Name, Password};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::digests::Function;
use crate::scram::ScramHash;
use crate::verdict::{Generation, Trouble, Verified};

/// What a remembered login was about; names are prepared ones.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The user.
    pub user: &'a Name,
    /// The realm.
    pub realm: &'a Name,
    /// The service, since an account may be allowed one and not another.
    pub service: &'a Name,
    /// Which backend agreed: its name in the config.
    pub backend: &'a str,
    /// The stored record's state at that time.
    pub generation: Generation,
}

/// A remembered login. No `Debug`, no `Clone`, wiped when dropped.
pub struct Tag([u8; 32]);

impl Drop for Tag {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Sixteen bits of a keyed digest of a user and a wrong password.
///
/// Enough to see the same wrong password again, too few to find out which one it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guess(pub u16);

/// The key of one boot. No `Debug`, no `Clone`, wiped when dropped.
pub struct TagKey(Zeroizing<[u8; 32]>);

/// What a digest is for, so that one kind is never taken for another.
#[derive(Clone, Copy)]
enum Purpose {
    Login = 1,
    Guess = 2,
    Salt = 3,
}

impl TagKey {
    /// A fresh random key.
    pub fn random() -> Result<Self, Trouble> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice())
            .map_err(|error| Trouble::new(format!("random bytes: {error}")))?;
        Ok(Self(key))
    }

    /// A given key, for tests and for whoever keeps one over a restart.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The tag of a login that a comparison just agreed to.
    pub fn remember(&self, _proof: &Verified, parts: &Parts<'_>, password: &Password) -> Tag {
        self.tag(parts, password)
    }

    /// Agrees when the remembered login was this very one. Constant time, about two microseconds.
    pub fn compare(
        &self,
        remembered: &Tag,
        parts: &Parts<'_>,
        password: &Password,
    ) -> Option<Verified> {
        let tag = self.tag(parts, password);
        bool::from(tag.0.ct_eq(&remembered.0)).then(Verified::by_comparison)
    }

    /// To see whether a user sends the same wrong password again.
    pub fn guess(&self, user: &Name, realm: &Name, password: &Password) -> Guess {
        let digest =
            self.digest(Purpose::Guess, &[user.as_bytes(), realm.as_bytes(), password.reveal()]);
        Guess(digest.iter().take(2).fold(0, |guess, byte| guess << 8 | u16::from(*byte)))
    }

    /// A salt for SCRAM that looks random and is always the same for the same name and hash function: for names that
    /// have no keys, and for passwords in the clear. With another key it is another, so keep the key as long as clients
    /// may compare.
    pub fn salt(&self, user: &Name, realm: &Name, hash: ScramHash) -> [u8; 16] {
        let parts = [user.as_bytes(), realm.as_bytes(), hash.mechanism().as_bytes()];
        let digest = self.digest(Purpose::Salt, &parts);
        let mut salt = [0; 16];
        salt.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        salt
    }

    fn tag(&self, parts: &Parts<'_>, password: &Password) -> Tag {
        let digest = self.digest(
            Purpose::Login,
            &[
                parts.user.as_bytes(),
                parts.realm.as_bytes(),
                parts.service.as_bytes(),
                password.reveal(),
                parts.backend.as_bytes(),
                &parts.generation.0,
            ],
        );
        let mut tag = Tag([0; 32]);
        tag.0.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        tag
    }

    fn digest(&self, purpose: Purpose, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        let room = parts.iter().map(|part| part.len() + 8).sum::<usize>() + 1;
        let mut message = Zeroizing::new(Vec::with_capacity(room));
        message.push(purpose as u8);
        for part in parts {
            message.extend_from_slice(&(part.len() as u64).to_le_bytes());
            message.extend_from_slice(part);
        }
        Function::Sha256.mac(self.0.as_slice(), &[&message])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Login {
        user: Name,
        realm: Name,
        service: Name,
        password: Password,
        backend: &'static str,
        generation: Generation,
    }

    fn login(fields: [&str; 5], generation: u8) -> Login {
        let [user, realm, service, password, backend] = fields;
        let name = |text: &str| Name::new(text.as_bytes()).expect("a name");
        Login {
            user: name(user),
            realm: name(realm),
            service: name(service),
            password: Password::new(password.as_bytes()).expect("a password"),
            backend: Box::leak(backend.to_owned().into_boxed_str()),
            generation: Generation([generation; 16]),
        }
    }

    impl Login {
        fn parts(&self) -> Parts<'_> {
            Parts {
                user: &self.user,
                realm: &self.realm,
                service: &self.service,
                backend: self.backend,
                generation: self.generation,
            }
        }
    }

    fn agrees(key: &TagKey, remembered: &Login, asked: &Login) -> bool {
        let proof = Verified::by_comparison();
        let tag = key.remember(&proof, &remembered.parts(), &remembered.password);
        key.compare(&tag, &asked.parts(), &asked.password).is_some()
    }

    /// C5: a hit only on the very same tuple.
    #[test]
    fn c5_each_part_counts() {
        let key = TagKey::from_bytes([7; 32]);
        let same = login(["ann", "example.org", "smtp", "pencil", "shadow"], 1);
        assert!(agrees(&key, &same, &same));
        for other in [
            login(["bob", "example.org", "smtp", "pencil", "shadow"], 1),
            login(["ann", "example.com", "smtp", "pencil", "shadow"], 1),
            login(["ann", "example.org", "imap", "pencil", "shadow"], 1),
            login(["ann", "example.org", "smtp", "Pencil", "shadow"], 1),
            login(["ann", "example.org", "smtp", "pencil", "sasldb"], 1),
            login(["ann", "example.org", "smtp", "pencil", "shadow"], 2),
        ] {
            assert!(!agrees(&key, &same, &other));
            assert!(!agrees(&key, &other, &same));
        }
    }

    #[test]
    fn c5_parts_never_run_together() {
        let key = TagKey::from_bytes([7; 32]);
        let split = |user, realm, password| login([user, realm, "smtp", password, "shadow"], 1);
        assert!(!agrees(&key, &split("ab", "c", "x"), &split("a", "bc", "x")));
        assert!(!agrees(&key, &split("a", "", "bx"), &split("a", "b", "x")));
        // Names of any length: nothing of the password is ever cut off.
        let long = "n".repeat(Name::MAX);
        let one = login([&long, &long, "smtp", &"p".repeat(200), "shadow"], 1);
        let two = login([&long, &long, "smtp", &format!("{}q", "p".repeat(199)), "shadow"], 1);
        assert!(agrees(&key, &one, &one));
        assert!(!agrees(&key, &one, &two));
    }

    #[test]
    fn another_boot_remembers_nothing() {
        let same = login(["ann", "", "smtp", "pencil", "shadow"], 1);
        let (one, two) = (TagKey::random().expect("a key"), TagKey::random().expect("a key"));
        let tag = one.remember(&Verified::by_comparison(), &same.parts(), &same.password);
        assert!(one.compare(&tag, &same.parts(), &same.password).is_some());
        assert!(two.compare(&tag, &same.parts(), &same.password).is_none());
    }

    #[test]
    fn a_name_has_its_own_salt_for_each_hash() {
        let (key, other) = (TagKey::from_bytes([1; 32]), TagKey::from_bytes([2; 32]));
        let name = |text: &str| Name::new(text.as_bytes()).expect("a name");
        let salt = |key: &TagKey, user, realm, hash| key.salt(&name(user), &name(realm), hash);
        let one = salt(&key, "ann", "example.org", ScramHash::Sha256);
        assert_eq!(one, salt(&key, "ann", "example.org", ScramHash::Sha256));
        assert_ne!(one, salt(&other, "ann", "example.org", ScramHash::Sha256));
        assert_ne!(one, salt(&key, "ann", "example.org", ScramHash::Sha1));
        assert_ne!(one, salt(&key, "anne", "xample.org", ScramHash::Sha256));
        assert_ne!(one, salt(&key, "ann", "", ScramHash::Sha256));
    }

    #[test]
    fn the_same_guess_is_seen_again() {
        let key = TagKey::from_bytes([1; 32]);
        let one = login(["ann", "", "smtp", "pencil", "shadow"], 1);
        let other = login(["ann", "", "smtp", "pencils", "shadow"], 1);
        let guess = |login: &Login| key.guess(&login.user, &login.realm, &login.password);
        assert_eq!(guess(&one), guess(&one));
        assert_ne!(guess(&one), guess(&other));
    }
}
