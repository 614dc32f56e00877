//! One spelling for each name: users and realms are prepared once, before anything is keyed by them.
//!
//! Runs in the checker (and in the tools when they store a name). Limiter, cache, backends and log see what comes out
//! here and never what came in, so that no spelling of a name escapes its budget or its lock. It must never widen
//! a name: what would change its meaning for a reader of `user@realm` is refused.

use std::fmt;

use precis_profiles::UsernameCasePreserved;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use protocol::Name;
use unicode_normalization::UnicodeNormalization;

/// How names are prepared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preparation {
    /// The bytes as they came: for stores whose names are Latin-1, or were written by programs that prepare nothing.
    Raw,
    /// UTF-8 in normal form C; control characters are refused.
    Utf8,
    /// UsernameCasePreserved of RFC 8265 §3.4, whose userparts may be separated by single spaces (§3.5.1), since
    /// Cyrus's tools store such names.
    #[default]
    Precis,
}

/// Why a name has no prepared form; the login is refused with [`crate::Reason::NameNotAllowed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unprepared {
    /// It is not UTF-8.
    NotUtf8,
    /// It has a character that names may not have, or puts one where it may not stand.
    NotAllowed,
    /// Its prepared form is longer than [`Name::MAX`].
    TooLong,
}

impl fmt::Display for Unprepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "it is not UTF-8",
            Self::NotAllowed => "it has a character that is not allowed in names",
            Self::TooLong => "it is too long",
        })
    }
}

impl std::error::Error for Unprepared {}

/// The longest name that is prepared, in bytes: a local part and a domain of RFC 5321 §4.5.3.1. Rules that look at
/// the whole name for each of its characters take the square of its length, and names are prepared before any limit.
const LONGEST: usize = 64 + 1 + 255;

/// Rounds after which a spelling must have settled; RFC 8264 §7 asks for no more than this.
const ROUNDS: usize = 4;

impl Preparation {
    /// The one spelling of a name. Preparing it again changes nothing; an empty name stays empty.
    ///
    /// Printable ASCII without spaces passes as it is, in every mode, and quickly.
    pub fn prepare(self, name: &Name) -> Result<Name, Unprepared> {
        let bytes = name.as_bytes();
        if self == Self::Raw || bytes.iter().all(u8::is_ascii_graphic) {
            return Ok(name.clone());
        }
        if bytes.len() > LONGEST {
            return Err(Unprepared::TooLong);
        }
        let before = std::str::from_utf8(bytes).map_err(|_| Unprepared::NotUtf8)?;
        let mut prepared = self.once(before)?;
        for _ in 1..ROUNDS {
            let again = self.once(&prepared)?;
            if again == prepared {
                return finish(before, &prepared);
            }
            prepared = again;
        }
        Err(Unprepared::NotAllowed)
    }

    fn once(self, text: &str) -> Result<String, Unprepared> {
        match self {
            Self::Raw => Ok(text.to_owned()),
            Self::Utf8 if text.chars().any(char::is_control) => Err(Unprepared::NotAllowed),
            Self::Utf8 => Ok(text.nfc().collect()),
            Self::Precis => precis(text),
        }
    }
}

/// Each part between single spaces by the profile, which allows no space itself, and no empty part.
fn precis(text: &str) -> Result<String, Unprepared> {
    let parts: Result<Vec<_>, _> = text.split(' ').map(UsernameCasePreserved::enforce).collect();
    Ok(parts.map_err(|_| Unprepared::NotAllowed)?.join(" "))
}

/// A fullwidth `＠` becomes `@` under width mapping: a name may not grow a realm that way.
fn finish(before: &str, prepared: &str) -> Result<Name, Unprepared> {
    if before.matches('@').count() != prepared.matches('@').count() {
        return Err(Unprepared::NotAllowed);
    }
    Name::new(prepared.as_bytes()).map_err(|why| match why {
        protocol::Rejected::TooLong => Unprepared::TooLong,
        _ => Unprepared::NotAllowed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prepare(mode: Preparation, bytes: &[u8]) -> Result<Vec<u8>, Unprepared> {
        let name = Name::new(bytes).expect("a name");
        mode.prepare(&name).map(|name| name.as_bytes().to_vec())
    }

    fn precis(text: &str) -> Result<String, Unprepared> {
        prepare(Preparation::Precis, text.as_bytes())
            .map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn b9_ascii_passes_unchanged_in_every_mode() {
        for mode in [Preparation::Raw, Preparation::Utf8, Preparation::Precis] {
            for name in ["", "ann", "ann@example.org", "UPPER", "a\"'\\:%u", "with space", "-~!"] {
                assert_eq!(
                    prepare(mode, name.as_bytes()).as_deref(),
                    Ok(name.as_bytes()),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn b9_spellings_of_one_name_are_one_name() {
        assert_eq!(precis("jose\u{301}").as_deref(), Ok("jos\u{e9}"));
        assert_eq!(precis("jos\u{e9}").as_deref(), Ok("jos\u{e9}"));
        // Fullwidth letters are the ASCII ones; case is kept.
        assert_eq!(precis("\u{ff41}nn").as_deref(), Ok("ann"));
        assert_eq!(precis("\u{ff21}nn").as_deref(), Ok("Ann"));
        assert_ne!(precis("stra\u{df}e"), precis("STRA\u{1e9e}E"));
        assert_eq!(precis("иван").as_deref(), Ok("иван"));
        assert_eq!(precis("太郎").as_deref(), Ok("太郎"));
        assert_eq!(precis("שלום").as_deref(), Ok("שלום"));
    }

    #[test]
    fn b9_invisible_and_misleading_characters_are_refused() {
        for name in [
            "an\u{ad}n",
            "an\u{200b}n",
            "ann\u{202e}",
            "\u{2168}",
            "ann\u{feff}",
            "ann\u{2028}",
            "ann\u{7}",
            "ann\t",
            "\u{1f512}",
            "abc\u{5e9}",
            " ann",
            "ann ",
            "ann  b",
            " ",
            "ann\u{a0}b",
            "ann\u{ff20}example.org",
            "ann\u{3000}b",
        ] {
            assert_eq!(precis(name), Err(Unprepared::NotAllowed), "{name:?}");
        }
    }

    #[test]
    fn b9_bytes_that_are_no_utf8_pass_only_as_raw() {
        for bytes in
            [b"latin1-\xe9".as_slice(), b"\xc0\xaf", b"\xed\xa0\x80", b"a\xff", b"\xf0\x9f"]
        {
            assert_eq!(prepare(Preparation::Precis, bytes), Err(Unprepared::NotUtf8));
            assert_eq!(prepare(Preparation::Utf8, bytes), Err(Unprepared::NotUtf8));
            assert_eq!(prepare(Preparation::Raw, bytes).as_deref(), Ok(bytes));
        }
    }

    #[test]
    fn utf8_normalises_and_forbids_only_controls() {
        let utf8 = |text: &str| prepare(Preparation::Utf8, text.as_bytes());
        assert_eq!(utf8("jose\u{301}").as_deref(), Ok("jos\u{e9}".as_bytes()));
        assert_eq!(utf8("\u{1f512} x ").as_deref(), Ok("\u{1f512} x ".as_bytes()));
        assert_eq!(utf8("\u{ff41}").as_deref(), Ok("\u{ff41}".as_bytes()));
        assert_eq!(utf8("a\u{85}").as_deref(), Err(&Unprepared::NotAllowed));
        assert_eq!(utf8("a\u{7f}").as_deref(), Err(&Unprepared::NotAllowed));
    }

    #[test]
    fn a_name_that_grows_stays_within_the_limit() {
        // U+1D160 decomposes and stays so under NFC: four bytes become twelve.
        let name = "\u{1d160}".repeat(80);
        let grown = prepare(Preparation::Utf8, name.as_bytes());
        assert_eq!(grown.map(|name| name.len()), Ok(960));
    }

    #[test]
    fn a_long_name_is_prepared_only_where_that_costs_nothing() {
        let long = "a".repeat(Name::MAX);
        assert_eq!(precis(&long).as_deref(), Ok(long.as_str()));
        assert_eq!(precis(&"\u{e9}".repeat(160)).map(|name| name.len()), Ok(320));
        // Each of these digits has the rule that no other kind of digit stands in the name.
        assert_eq!(precis(&"\u{660}".repeat(161)), Err(Unprepared::TooLong));
        assert!(prepare(Preparation::Raw, &[0xe9; Name::MAX]).is_ok());
    }

    proptest! {
        #[test]
        fn b9_preparing_twice_changes_nothing(text in "\\PC{0,12}") {
            for mode in [Preparation::Utf8, Preparation::Precis] {
                if let Ok(once) = prepare(mode, text.as_bytes()) {
                    prop_assert_eq!(prepare(mode, &once), Ok(once));
                }
            }
        }

        #[test]
        fn any_bytes_end_in_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(name) = Name::new(&bytes) {
                for mode in [Preparation::Raw, Preparation::Utf8, Preparation::Precis] {
                    let _ = mode.prepare(&name);
                }
            }
        }
    }
}
