//! What can be said of all accounts of a sasldb at once: their names, and whether a SCRAM mechanism serves them all.
//!
//! Runs in the checker. Both look at every account in memory, so neither is for each login.

use std::time::SystemTime;

use super::{Database, Index, Loaded, Source};
use crate::scram::{ScramHash, ScramKeys};
use crate::verdict::Trouble;

/// User and realm.
type Both = (Vec<u8>, Vec<u8>);

impl Database {
    /// User and realm of each account, in their order.
    ///
    /// # Errors
    /// Why the file cannot be used at present.
    pub fn names(&mut self) -> Result<Vec<Both>, Trouble> {
        let mut names: Vec<_> = self
            .index_now()?
            .accounts
            .keys()
            .filter_map(|name| {
                let at = name.iter().position(|byte| *byte == 0)?;
                let (user, realm) = name.split_at_checked(at)?;
                Some((user.to_vec(), realm.get(1..)?.to_vec()))
            })
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Whether an account has neither a password in the clear nor keys for this mechanism.
    ///
    /// # Errors
    /// Why the file cannot be used at present.
    pub fn lacks_keys(&mut self, hash: ScramHash) -> Result<bool, Trouble> {
        let serves = |account: &super::Account| match account.source {
            Source::UserPassword => true,
            Source::AuthPassword => ScramKeys::parse_auth_password(&account.secret)
                .is_ok_and(|keys| keys.hash() == hash),
            Source::PlainSecret => false,
        };
        Ok(!self.index_now()?.accounts.values().all(serves))
    }

    fn index_now(&mut self) -> Result<&Index, Trouble> {
        self.refresh(SystemTime::now)?;
        match &self.loaded {
            Some(Loaded { content: Ok(index), .. }) => Ok(index),
            _ => Err(Trouble::new("the sasldb is not loaded")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn sample(name: &str) -> Database {
        let path = format!("{}/tests-data/sasldb/{name}", env!("CARGO_MANIFEST_DIR"));
        Database::new(path, Policy::default()).unwrap()
    }

    #[test]
    fn names_are_in_their_order_and_none_comes_twice() {
        for file in ["scram.sasldb2", "many150.sasldb2", "allprops.lmdb"] {
            let names = sample(file).names().unwrap();
            assert!(!names.is_empty() && names.windows(2).all(|pair| pair[0] < pair[1]), "{file}");
        }
        assert!(sample("no such file").names().is_err());
    }

    #[test]
    fn a_password_in_the_clear_serves_every_mechanism() {
        let mut plain = sample("many150.sasldb2");
        assert!(ScramHash::ALL.into_iter().all(|hash| plain.lacks_keys(hash) == Ok(false)));
        let mut keys = sample("scram.sasldb2");
        let lacking: Vec<_> =
            ScramHash::ALL.into_iter().filter(|hash| keys.lacks_keys(*hash) == Ok(true)).collect();
        assert!(!lacking.is_empty(), "no account of the sample has authPassword alone");
    }
}
