//! Generations of rows: a digest of what a row says, so that a change by any program shows at the next lookup.
//!
//! Runs in the checker. The digest covers stored hashes; it stays in the checker's memory and is never logged.

use credentials::Generation;
use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};

/// Takes values one by one; each with its type and length, so that no two rows read alike.
pub(crate) struct RowDigest(Sha256);

impl RowDigest {
    /// `origin` keeps the rows of different kinds of tables apart.
    pub(crate) fn new(origin: &'static [u8]) -> Self {
        let mut digest = Self(Sha256::new());
        digest.tagged(b'o', origin);
        digest
    }

    pub(crate) fn value(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.tagged(b'n', b""),
            ValueRef::Integer(number) => self.tagged(b'i', &number.to_le_bytes()),
            ValueRef::Real(number) => self.tagged(b'r', &number.to_bits().to_le_bytes()),
            ValueRef::Text(bytes) => self.tagged(b't', bytes),
            ValueRef::Blob(bytes) => self.tagged(b'b', bytes),
        }
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.0.update([tag]);
        // A usize is never longer than 64 bits where this runs.
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The first half of the digest.
    pub(crate) fn finish(self) -> Generation {
        let mut half = [0; 16];
        half.iter_mut().zip(self.0.finalize()).for_each(|(to, from)| *to = from);
        Generation(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[ValueRef<'_>]) -> Generation {
        let mut digest = RowDigest::new(b"test");
        values.iter().for_each(|value| digest.value(*value));
        digest.finish()
    }

    #[test]
    fn rows_that_differ_have_other_generations() {
        use ValueRef::{Blob, Integer, Null, Text};
        let rows: [&[ValueRef<'_>]; 8] = [
            &[Text(b"ab"), Text(b"c")],
            &[Text(b"a"), Text(b"bc")],
            &[Text(b"abc")],
            &[Text(b"ab"), Text(b"c"), Null],
            &[Text(b"ab"), Null, Text(b"c")],
            &[Blob(b"ab"), Text(b"c")],
            &[Integer(1), Null],
            &[Null, Integer(1)],
        ];
        for (at, row) in rows.iter().enumerate() {
            assert_eq!(of(row), of(row));
            assert!(rows[at + 1..].iter().all(|other| of(other) != of(row)));
        }
        assert_ne!(of(&[]), RowDigest::new(b"other").finish());
    }
}
