//! B8: our recognition of crypt(3)'s hashes against libxcrypt, over generated vectors.
//!
//! libxcrypt takes a setting and ignores what stands behind it, so "it accepts a stored hash" means here: what it
//! makes of any password has the stored one's length and its setting. Such hashes, and only such, we may accept;
//! and where we do, the verdicts are the same.

use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::*;

/// Vectors of each test, by how long libxcrypt works on one.
const QUICK: u32 = 3_000;
const SLOW: u32 = 200;

/// `VECTORS=40` in the environment makes forty times as many.
fn cases(usual: u32) -> u32 {
    let times = std::env::var("VECTORS").ok().and_then(|times| times.parse().ok());
    usual.saturating_mul(times.unwrap_or(1))
}

/// The same vectors each time: a few of all possible settings keep libxcrypt busy for minutes.
fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_260_101),
        max_shrink_time: 20_000,
        ..Config::default()
    }
}

/// Ceilings for vectors: what is dear and within the usual ones would only take time here.
fn parse(stored: &[u8]) -> Result<Verifier, Reason> {
    let ceilings = Policy { max_millis: 8, max_memory_kib: 1024, ..open() };
    Verifier::parse(stored, &ceilings)
}

/// Stricter than libxcrypt on purpose: the comments of the parser say why.
fn is_strict_on_purpose(stored: &[u8]) -> bool {
    let fields: Vec<&[u8]> = stored.split(|byte| *byte == b'$').collect();
    match fields.as_slice() {
        [_, b"sha1", iterations, salt, _] => iterations == b"0" || salt.len() > 64,
        [_, b"7", ..] => {
            stored.iter().any(|byte| !b"$./".contains(byte) && !byte.is_ascii_alphanumeric())
        }
        [bigcrypt] => !bigcrypt.starts_with(b"_") && bigcrypt.len() != 13,
        _ => false,
    }
}

/// Whether libxcrypt could have written this: the hash of some password under this setting looks like it.
///
/// It is not asked about negative iterations, as `quick_form` says.
fn libxcrypt_writes(stored: &[u8], scratch: &mut Scratch) -> bool {
    if stored.starts_with(b"$sha1$-") {
        return false;
    }
    let Ok(hash) = scratch.crypt().hash(b"pencil", stored) else {
        return false;
    };
    let tail = tail_length(stored);
    let setting = stored.len().saturating_sub(tail);
    hash.len() == stored.len()
        && hash.get(..setting) == stored.get(..setting)
        && stored.get(setting..).is_some_and(|tail| {
            tail.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'))
        })
}

/// Letters of hash at the end of a whole one.
fn tail_length(stored: &[u8]) -> usize {
    match stored {
        [b'$', b'6', ..] => 86,
        [b'$', b'5' | b'y' | b'g' | b'7', ..] => 43,
        [b'$', b'2', ..] => 31,
        [b'$', b's', ..] => 28,
        [b'$', b'3', ..] => 32,
        [b'$', ..] => 22,
        _ => 11,
    }
}

/// The last letter's spare bits and the digits of an NT hash are beyond what lengths tell.
fn is_hash_some_password_may_have(stored: &[u8]) -> bool {
    let last = stored.last().copied().unwrap_or_default();
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match stored {
        [b'$', b'2', ..] => b".CGKOSWaeimquy26".contains(&last),
        [b'$', b'3', ..] => stored.get(4..).is_some_and(|digits| digits.iter().all(hex)),
        [b'$', b'6' | b'1' | b'm', ..] => b"./01".contains(&last),
        [b'$', b's', ..] => true,
        [b'$', ..] => b"./0123456789ABCD".contains(&last),
        _ => b".26AEIMQUYcgkosw".contains(&last),
    }
}

fn check(stored: &[u8], scratch: &mut Scratch) -> Result<bool, TestCaseError> {
    match parse(stored) {
        Err(Reason::TooExpensive) => Ok(false),
        Err(reason) => {
            prop_assert!(reason != Reason::NoPassword || stored.is_empty());
            let writes = libxcrypt_writes(stored, scratch);
            let strict = is_strict_on_purpose(stored) || !is_hash_some_password_may_have(stored);
            prop_assert!(!writes || strict, "libxcrypt writes {:?}", Text(stored));
            Ok(false)
        }
        Ok(_) => {
            let writes = libxcrypt_writes(stored, scratch);
            prop_assert!(writes, "libxcrypt does not write {:?}", Text(stored));
            Ok(true)
        }
    }
}

struct Text<'a>(&'a [u8]);

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(self.0))
    }
}

/// Salts that fit some form, and salts that fit none.
fn salt() -> impl Strategy<Value = String> {
    prop_oneof![
        "[./0-9A-Za-z]{0,20}",
        "[!-~]{0,17}",
        "[./0-9A-Za-z]{8}",
        "[./0-9A-Za-z]{22}",
        "[./0-9A-Za-z]{60,90}",
        "C{21}[.Oeu]",
    ]
}

/// Forms that take libxcrypt below a millisecond, with parameters near every edge.
///
/// Not among them: `$sha1$-1$`, which libxcrypt takes for 2^64 - 1 iterations and would not come back from.
fn quick_form() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\$g?y\\$[./0jk][./012]{1,2}[./01256]{0,3}\\$",
        "\\$7\\$[./0123][./01]\\.{4}[./01]\\.{4}",
        "\\$1\\$",
        "\\$sha1\\$(0|1|01|20|\\+2| 3|x|)\\$",
        "\\$3\\$",
        "_[./0][./]\\.\\.",
        "",
        "\\$[0-9a-z]{1,2}\\$",
    ]
}

/// Forms that take libxcrypt a millisecond or more.
fn slow_form() -> impl Strategy<Value = String> {
    let rounds = prop::sample::select(vec![
        "",
        "rounds=",
        "rounds=0$",
        "rounds=10$",
        "rounds=999$",
        "rounds=1000$",
        "rounds=1001$",
        "rounds=01000$",
        "rounds=1000",
        "rounds=-1$",
        "rounds=+1000$",
        "rounds=1000 $",
        "rounds=4294967297$",
        "rounds=1000$$",
        "rounds=1000x$",
        "rounds=18446744073709552616$",
        "rounds$",
        "rounds=1$",
        "rounds=4294967295$",
    ]);
    let mark = prop::sample::select(vec!["$5$", "$6$", "$md5$", "$md5,", "$md5", "$md5x"]);
    prop_oneof![
        3 => (mark, rounds).prop_map(|(mark, rounds)| format!("{mark}{rounds}")),
        1 => "\\$2[abxyc]\\$0[0-5]\\$",
    ]
}

fn setting(form: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (form, salt()).prop_map(|(form, salt)| format!("{form}{salt}"))
}

/// A setting, and behind it a hash, half of one, too much of one, or none.
fn stored(form: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let joint = prop::sample::select(vec!["$", "$", "$", "$", "", "", "$$", ":"]);
    let letters = prop_oneof![
        8 => "[./0-9A-Za-z]{90}",
        2 => "[0-9a-f]{90}",
        1 => "[!-~]{90}",
    ];
    let off = prop::sample::select(vec![0, 0, 0, 0, 0, 0, 0, -1, 1, -20]);
    (setting(form), joint, off, letters, "[./01]").prop_map(
        |(setting, joint, off, letters, last)| {
            let length = tail_length(setting.as_bytes()).saturating_add_signed(off);
            let hash = letters.get(..length.saturating_sub(1)).unwrap_or_default();
            format!("{setting}{joint}{hash}{last}")
        },
    )
}

fn run<S: Strategy<Value = String>>(
    cases: u32,
    strategy: S,
    mut test: impl FnMut(&str, &mut Scratch) -> Result<bool, TestCaseError>,
) -> u32 {
    let config = config(cases);
    let mut scratch = Scratch::new();
    let mut taken = 0;
    let counted = std::cell::RefCell::new((&mut test, &mut scratch, &mut taken));
    let result = TestRunner::new(config).run(&strategy, |stored| {
        let (test, scratch, taken) = &mut *counted.borrow_mut();
        **taken += u32::from(test(&stored, scratch)?);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    taken
}

/// Hashes that nobody made: few are whole, and each of those libxcrypt could have made.
#[test]
fn b8_what_is_taken_is_what_libxcrypt_could_have_written() {
    let check = |stored: &str, scratch: &mut Scratch| check(stored.as_bytes(), scratch);
    let quick = run(cases(QUICK), stored(quick_form()), check);
    let slow = run(cases(SLOW), stored(slow_form()), check);
    assert!(quick > QUICK / 50 && slow > SLOW / 100, "only {quick} and {slow} were whole");
}

/// Hashes that libxcrypt makes: all are taken, and agree with their password and no other.
#[test]
fn b8_what_libxcrypt_writes_is_taken_and_agrees() {
    let quick = run(cases(QUICK), setting(quick_form()), agrees);
    let slow = run(cases(SLOW), setting(slow_form()), agrees);
    assert!(quick > QUICK / 4 && slow > SLOW / 8, "only {quick} and {slow} were taken");
}

fn agrees(setting: &str, scratch: &mut Scratch) -> Result<bool, TestCaseError> {
    let Ok(hash) = scratch.crypt().hash(b"pencil", setting.as_bytes()) else {
        return Ok(false);
    };
    let verifier = match parse(&hash) {
        Ok(verifier) => verifier,
        Err(Reason::TooExpensive) => return Ok(false),
        Err(_) => {
            prop_assert!(is_strict_on_purpose(&hash), "not taken: {:?}", Text(&hash));
            return Ok(false);
        }
    };
    let right = verifier.compare(&password("pencil"), scratch);
    prop_assert!(matches!(right, Verdict::Accept(_)), "{right:?} of {:?}", Text(&hash));
    let wrong = verifier.compare(&password("pencim"), scratch);
    prop_assert_eq!(wrong, Verdict::Refuse(Reason::WrongPassword));
    Ok(true)
}

/// Damaged hashes: one byte changed, removed or added. What is still taken agrees no more, unless nothing changed.
#[test]
fn b8_damaged_hashes_agree_with_nothing() {
    let hashes = hashes_of_pencil();
    let damage = (0..hashes.len(), any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    let damaged = damage.prop_map(move |(which, at, byte, how)| {
        let mut stored = hashes.get(which).map(|(_, stored)| stored.clone()).unwrap_or_default();
        let at = at.index(stored.len());
        match how {
            0 => drop(stored.splice(at..=at, [byte])),
            1 => drop(stored.remove(at)),
            _ => stored.insert(at, byte),
        }
        // Nothing changed, or bcrypt's letter did: its kinds agree on ASCII.
        (!hashes.iter().any(|(_, whole)| *whole == stored)).then_some(stored)
    });
    let mut scratch = Scratch::new();
    let config = config(cases(SLOW * 4));
    let scratch = std::cell::RefCell::new(&mut scratch);
    let result = TestRunner::new(config).run(&damaged, |stored| {
        let Some(stored) = stored else { return Ok(()) };
        let mut scratch = scratch.borrow_mut();
        check(&stored, &mut scratch)?;
        if let Ok(verifier) = parse(&stored) {
            let verdict = verifier.compare(&password("pencil"), &mut scratch);
            prop_assert!(!matches!(verdict, Verdict::Accept(_)), "{:?} agrees", Text(&stored));
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Settings of ordinary cost, with passwords of every kind of byte and length.
#[test]
fn b8_passwords_of_any_bytes_agree_as_libxcrypt_does() {
    let settings: Vec<&[u8]> = vec![
        b"$1$saltsalt",
        b"$2a$04$CCCCCCCCCCCCCCCCCCCCC.",
        b"$2x$04$CCCCCCCCCCCCCCCCCCCCC.",
        b"$2y$04$CCCCCCCCCCCCCCCCCCCCC.",
        b"$sha1$20$saltsalt",
        b"$3$",
        b"_/...salt",
        b"ab",
        b"$y$j0.$saltsalt",
        b"$gy$j0.$saltsalt",
        b"$7$2/..../....saltsalt",
        b"$6$rounds=1000$salt",
        b"$5$rounds=1000$salt",
    ];
    let strategy = (prop::sample::select(settings), prop::collection::vec(1..=255_u8, 1..90));
    let config = config(cases(SLOW * 2));
    let scratch = std::cell::RefCell::new(Scratch::new());
    let result = TestRunner::new(config).run(&strategy, |(setting, bytes)| {
        let mut scratch = scratch.borrow_mut();
        let hash =
            scratch.crypt().hash(&bytes, setting).map_err(|_| TestCaseError::reject("no hash"))?;
        let verifier = parse(&hash).map_err(|reason| TestCaseError::fail(reason.as_str()))?;
        let verdict = verifier.compare(&password(&bytes), &mut scratch);
        if bytes.len() > verifier.compared_bytes() {
            prop_assert_eq!(verdict, Verdict::Refuse(Reason::PasswordTooLong));
        } else {
            prop_assert!(matches!(verdict, Verdict::Accept(_)), "{:?}", verdict);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
