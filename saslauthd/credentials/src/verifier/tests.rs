//! The catalogue's cases B1 to B8, D1 and D3, and libxcrypt itself as the judge of crypt(3)'s forms.

use proptest::prelude::*;
use protocol::Password;

use super::*;
use crate::policy::WeakSchemes;
use crate::stand_in::Census;

mod differential;
mod schemes;

/// Everything allowed, ceilings as they are.
pub(super) fn open() -> Policy {
    Policy { weak: WeakSchemes::allow_all(), ..Policy::default() }
}

pub(super) fn password(bytes: impl AsRef<[u8]>) -> Password {
    Password::new(bytes.as_ref()).expect("a password")
}

pub(super) fn parse(stored: impl AsRef<[u8]>) -> Result<Verifier, Reason> {
    Verifier::parse(stored.as_ref(), &open())
}

pub(super) fn compare(stored: impl AsRef<[u8]>, candidate: impl AsRef<[u8]>) -> Verdict {
    match parse(stored) {
        Ok(verifier) => verifier.compare(&password(candidate), &mut Scratch::new()),
        Err(reason) => Verdict::Refuse(reason),
    }
}

pub(super) fn accepts(stored: impl AsRef<[u8]>, candidate: impl AsRef<[u8]>) -> bool {
    matches!(compare(stored, candidate), Verdict::Accept(_))
}

/// One complete hash of `pencil` for each form that libxcrypt writes quickly.
pub(super) fn hashes_of_pencil() -> Vec<(Scheme, Vec<u8>)> {
    let settings: [(Scheme, &[u8]); 15] = [
        (Scheme::Yescrypt, b"$y$j0.$saltsalt"),
        (Scheme::GostYescrypt, b"$gy$j0.$saltsalt"),
        (Scheme::Scrypt, b"$7$2/..../....saltsalt"),
        (Scheme::Bcrypt, b"$2b$04$CCCCCCCCCCCCCCCCCCCCC."),
        (Scheme::Bcrypt, b"$2y$04$CCCCCCCCCCCCCCCCCCCCC."),
        (Scheme::Bcrypt, b"$2a$04$CCCCCCCCCCCCCCCCCCCCC."),
        (Scheme::BcryptX, b"$2x$04$CCCCCCCCCCCCCCCCCCCCC."),
        (Scheme::Sha512Crypt, b"$6$rounds=1000$saltstring"),
        (Scheme::Sha256Crypt, b"$5$rounds=1000$saltstring"),
        (Scheme::Sha1Crypt, b"$sha1$20$saltsalt"),
        (Scheme::SunMd5, b"$md5,rounds=1$saltsalt$"),
        (Scheme::Md5Crypt, b"$1$saltsalt"),
        (Scheme::NtHash, b"$3$"),
        (Scheme::BsdiCrypt, b"_/...salt"),
        (Scheme::DesCrypt, b"ab"),
    ];
    let hash =
        |setting: &[u8]| Scratch::new().crypt().hash(b"pencil", setting).expect("a hash").to_vec();
    settings.into_iter().map(|(scheme, setting)| (scheme, hash(setting))).collect()
}

#[test]
fn b1_what_is_no_hash_is_refused_with_its_reason() {
    for (stored, reason) in [
        ("", Reason::NoPassword),
        ("!", Reason::Locked),
        ("!!", Reason::Locked),
        ("*", Reason::Locked),
        ("*0", Reason::Locked),
        ("*1", Reason::Locked),
        ("*LK*", Reason::Locked),
        ("x", Reason::SchemeNotAllowed),
        ("NP", Reason::SchemeNotAllowed),
        ("..", Reason::SchemeNotAllowed),
        ("ab", Reason::SchemeNotAllowed),
        ("hunter2", Reason::SchemeNotAllowed),
        ("$6$", Reason::Malformed),
        ("$9$..", Reason::SchemeNotAllowed),
        ("$argon2d$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", Reason::SchemeNotAllowed),
        ("$argon2id$garbage", Reason::Malformed),
        ("$2y$10$short", Reason::Malformed),
        ("$y$", Reason::Malformed),
        ("{", Reason::Malformed),
        ("{SSHA", Reason::Malformed),
        ("{ROT13}cnffjbeq", Reason::SchemeNotAllowed),
        ("{SSHA}", Reason::NoPassword),
        ("{CRYPT}!", Reason::Locked),
        ("SCRAM-SHA-256$", Reason::Malformed),
        ("SCRAM-SHA3-512$4096:c2FsdA==$AA==:AA==", Reason::SchemeNotAllowed),
    ] {
        assert_eq!(parse(stored).err(), Some(reason), "{stored:?}");
    }
    for bytes in [b"\xff\xfe".as_slice(), b"$6$\xff", b"{\xff}x", b"$argon2id$\xff", b"\0"] {
        assert!(parse(bytes).is_err(), "{bytes:?}");
    }
}

/// RUSTSEC-2026-0199: sixty bytes, with letters of two bytes where a careless parser slices text.
#[test]
fn b1_letters_of_several_bytes_split_nothing() {
    for at in [1, 4, 7, 22] {
        let mut stored = b"$2b$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_vec();
        stored.splice(at..at + 2, "é".bytes());
        assert_eq!(stored.len(), 60);
        assert!(parse(&stored).is_err(), "{at}");
    }
}

#[test]
fn b2_empty_and_blank_log_nobody_in() {
    for blank in ["", " ", "\n", "\t \r\n"] {
        assert_eq!(parse(blank).err(), Some(Reason::NoPassword));
    }
    assert_eq!(Verifier::plaintext(b"").err(), Some(Reason::NoPassword));
    assert_eq!(Verifier::cyrus_plain(b"", &open()).err(), Some(Reason::NoPassword));
    assert_eq!(parse("{PLAIN}").err(), Some(Reason::NoPassword));
    assert_eq!(parse("{PLAIN.B64}").err(), Some(Reason::NoPassword));
    assert!(Agreement::of(b"", b"") == Agreement::Differs);
    assert!(digest::same_text(b"", b"") == Agreement::Differs);
}

#[test]
fn b3_locked_cut_and_extended_hashes_log_nobody_in() {
    for (scheme, stored) in hashes_of_pencil() {
        assert!(accepts(&stored, "pencil"), "{scheme}");
        assert_eq!(parse(&stored).ok().map(|verifier| verifier.scheme()), Some(scheme));
        for lock in [b"!".as_slice(), b"!!", b"*", b"*LK*"] {
            assert_eq!(parse([lock, &stored].concat()).err(), Some(Reason::Locked), "{scheme}");
        }
        for length in 0..stored.len() {
            let cut = stored.get(..length).expect("in range");
            assert!(!accepts(cut, "pencil"), "{scheme} cut to {length}");
            // DES has no mark of its own: two letters and eleven are a DES hash whatever they were.
            assert!(parse(cut).is_err(), "{scheme} cut to {length}");
        }
        for extra in [b"x".as_slice(), b".", b"$", b"\n", b"\0", b" ", b":"] {
            assert!(parse([&stored, extra].concat()).is_err(), "{scheme} with {extra:?}");
        }
    }
}

#[test]
fn b5_weak_schemes_need_the_config() {
    let closed = Policy::default();
    let denied = [Scheme::DesCrypt, Scheme::BsdiCrypt, Scheme::NtHash, Scheme::BcryptX];
    for (scheme, stored) in hashes_of_pencil() {
        let expected = denied.contains(&scheme).then_some(Reason::SchemeNotAllowed);
        assert_eq!(Verifier::parse(&stored, &closed).err(), expected, "{scheme}");
    }
    for stored in
        ["{PLAIN}pencil", "{CLEARTEXT}pencil", "{PLAIN-MD5}2e4db22e7a9e29b26d0d8d5d1e9f1f7a"]
    {
        let refused = Verifier::parse(stored.as_bytes(), &closed).err();
        assert_eq!(refused, Some(Reason::SchemeNotAllowed), "{stored}");
    }
    // A sasldb holds passwords by design.
    assert!(Verifier::plaintext(b"pencil").is_ok());
}

#[test]
fn b6_what_a_scheme_would_cut_is_refused() {
    let stored = |setting: &[u8], length: usize| {
        Scratch::new().crypt().hash(&vec![b'A'; length], setting).expect("a hash").to_vec()
    };
    let bcrypt = stored(b"$2b$04$CCCCCCCCCCCCCCCCCCCCC.", 80);
    assert!(accepts(&bcrypt, [b'A'; 72]));
    assert_eq!(compare(&bcrypt, [b'A'; 73]), Verdict::Refuse(Reason::PasswordTooLong));
    assert_eq!(compare(&bcrypt, [b'A'; 80]), Verdict::Refuse(Reason::PasswordTooLong));
    let des = stored(b"ab", 9);
    assert!(accepts(&des, [b'A'; 8]));
    assert_eq!(compare(&des, [b'A'; 9]), Verdict::Refuse(Reason::PasswordTooLong));
    for setting in [b"$1$salt".as_slice(), b"$6$rounds=1000$salt", b"$y$j0.$salt"] {
        let sha = stored(setting, 511);
        assert!(accepts(&sha, [b'A'; 511]));
        assert_eq!(compare(&sha, [b'A'; 512]), Verdict::Refuse(Reason::PasswordTooLong));
        assert_eq!(compare(&sha, [b'A'; 8192]), Verdict::Refuse(Reason::PasswordTooLong));
    }
    let truncate = Policy { long_passwords: LongPasswords::Truncate, ..open() };
    let compat = |stored: &[u8], length| {
        let verifier = Verifier::parse(stored, &truncate).expect("parses");
        verifier.compare(&password(vec![b'A'; length]), &mut Scratch::new())
    };
    assert!(matches!(compat(&bcrypt, 80), Verdict::Accept(_)));
    assert!(matches!(compat(&des, 80), Verdict::Accept(_)));
    for (policy, length, whole) in [(&open(), 8, true), (&truncate, 7, true), (&truncate, 8, false)]
    {
        let verifier = Verifier::parse(&des, policy).expect("parses");
        assert_eq!(verifier.compares_all_of(&password(vec![b'A'; length])), whole, "{length}");
    }
    let sha = stored(b"$1$salt", 511);
    assert_eq!(compat(&sha, 512), Verdict::Refuse(Reason::PasswordTooLong));
}

#[test]
fn b7_cost_bombs_are_refused_before_anything_is_allocated() {
    let hash86 = ".".repeat(86);
    let hash43 = ".".repeat(43);
    let tag = "c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    for bomb in [
        format!("$6$rounds=999999999$salt${hash86}"),
        format!("$5$rounds=999999999$salt${hash43}"),
        format!("$argon2id$v=19$m=4194304,t=1000,p=64${tag}"),
        format!("$argon2id$v=19$m=524289,t=1,p=1${tag}"),
        format!("$argon2id$v=19$m=4294967295,t=4294967295,p=16777215${tag}"),
        format!("$argon2id$v=19$m=8,t=4294967295,p=1${tag}"),
        // N = 2^30, r = 8 and r = 32; the largest p there is.
        format!("$y$jR5$saltsalt${hash43}"),
        format!("$y$jRT$saltsalt${hash43}"),
        format!("$gy$jRT$saltsalt${hash43}"),
        format!("$7$S6..../....saltsalt${hash43}"),
        format!("$7$2/....zzzzFsaltsalt${hash43}"),
        format!("$2b$31$CCCCCCCCCCCCCCCCCCCCC.{}", ".".repeat(31)),
        format!("$2b$16$CCCCCCCCCCCCCCCCCCCCC.{}", ".".repeat(31)),
        format!("$sha1$4294967295$salt${}", ".".repeat(28)),
        format!("$sha1$18446744073709551615$salt${}", ".".repeat(28)),
        format!("$md5,rounds=4294900000$salt${}", ".".repeat(22)),
        format!("_zzzzsalt{}", ".".repeat(11)),
        format!("{{PBKDF2}}$1$salt$4294967295${}", "0".repeat(40)),
        format!("SCRAM-SHA-256$4294967295:c2FsdA==${0}=:{0}=", "A".repeat(43)),
        format!("{{SCRAM-SHA-256}}99999999999,c2FsdA==,{0}=,{0}=", "A".repeat(43)),
    ] {
        assert_eq!(parse(&bomb).err(), Some(Reason::TooExpensive), "{bomb}");
    }
    assert!(parse(format!("$2b$15$CCCCCCCCCCCCCCCCCCCCC.{}", ".".repeat(31))).is_ok());
    assert!(parse(format!("$argon2id$v=19$m=524288,t=4,p=1${tag}")).is_ok());
}

#[test]
fn b8_parameters_count_only_as_libxcrypt_writes_them() {
    let hash = ".".repeat(86);
    for rounds in [
        "10",
        "999",
        "1000000000",
        "4294967297",
        "18446744073709552616",
        "-1",
        "+1000",
        " 1000",
        "01000",
        "1000 ",
        "0x3e8",
        "",
        "١٠٠٠",
        "1e4",
    ] {
        let stored = format!("$6$rounds={rounds}$salt${hash}");
        assert_eq!(parse(&stored).err(), Some(Reason::Malformed), "{rounds:?}");
    }
    assert!(parse(format!("$6$rounds=1000$salt${hash}")).is_ok());
    assert!(parse(format!("$6$rounds=5000$salt${hash}")).is_ok());
    for iterations in ["-1", "+20", " 20", "020", "0", ""] {
        let stored = format!("$sha1${iterations}$saltsalt${}", ".".repeat(28));
        assert_eq!(parse(&stored).err(), Some(Reason::Malformed), "{iterations:?}");
    }
    for cost in ["03", "32", "1", "001", "-4", " 4", "4.", "٠٤"] {
        let stored = format!("$2b${cost}$CCCCCCCCCCCCCCCCCCCCC.{}", ".".repeat(31));
        assert!(parse(&stored).is_err(), "{cost:?}");
    }
    // The bug that `$2x$` keeps, and `$2a$`'s guard against it, are libxcrypt's; eight bits must tell them apart.
    let hash =
        |setting: &[u8]| Scratch::new().crypt().hash(b"\xff\xa3345", setting).expect("a hash");
    let (x, y) = (hash(b"$2x$05$/OK.fbVrR/bpIqNJ5ianF."), hash(b"$2y$05$/OK.fbVrR/bpIqNJ5ianF."));
    assert!(accepts(&*x, b"\xff\xa3345") && accepts(&*y, b"\xff\xa3345"));
    assert!(x.get(29..) != y.get(29..));
}

#[test]
fn d1_a_stand_in_costs_the_same_and_never_agrees() {
    let mut all: Vec<Vec<u8>> = hashes_of_pencil().into_iter().map(|(_, stored)| stored).collect();
    all.extend(schemes::of_pencil().into_iter().map(|(_, stored)| stored.into_bytes()));
    for stored in all {
        let verifier = parse(&stored).expect("parses");
        let stand_in = Verifier::stand_in(&verifier.shape());
        assert_eq!(stand_in.scheme(), verifier.scheme());
        assert_eq!(stand_in.cost(), verifier.cost());
        assert!(stand_in.is_stand_in() && !verifier.is_stand_in());
        for candidate in ["pencil", "x", "................", &"y".repeat(600)] {
            let verdict = stand_in.compare(&password(candidate), &mut Scratch::new());
            let refused =
                matches!(verdict, Verdict::Refuse(Reason::WrongPassword | Reason::PasswordTooLong));
            assert!(refused, "{verdict:?} of {}", verifier.scheme());
        }
        // A stand-in made of a stand-in is the same again.
        assert_eq!(stand_in.shape(), verifier.shape());
    }
    // Not even when the comparison itself agrees.
    let mut agreeing = Verifier::plaintext(b"pencil").expect("a verifier");
    agreeing.kind = Kind::StandIn;
    let verdict = agreeing.compare(&password("pencil"), &mut Scratch::new());
    assert_eq!(verdict, Verdict::Refuse(Reason::WrongPassword));
}

#[test]
fn d1_the_majority_is_the_most_frequent_and_then_the_costliest() {
    let mut census = Census::new();
    assert!(census.majority().is_none());
    let hashes = hashes_of_pencil();
    let of = |scheme: Scheme| {
        let (_, stored) = hashes.iter().find(|(found, _)| *found == scheme).expect("there");
        parse(stored).expect("parses")
    };
    let majority =
        |census: &Census| census.majority().map(|shape| Verifier::stand_in(shape).scheme());
    census.count(&of(Scheme::Md5Crypt));
    census.count(&of(Scheme::Bcrypt));
    assert_eq!(majority(&census), Some(Scheme::Bcrypt));
    census.count(&of(Scheme::Md5Crypt));
    assert_eq!(majority(&census), Some(Scheme::Md5Crypt));
}

#[test]
fn d3_the_whole_secret_is_compared() {
    let secret = vec![b'a'; 300];
    let stored = Verifier::plaintext(&secret).expect("a verifier");
    let agrees = |candidate: &[u8]| {
        matches!(stored.compare(&password(candidate), &mut Scratch::new()), Verdict::Accept(_))
    };
    assert!(agrees(&secret));
    for length in 1..secret.len() {
        assert!(!agrees(secret.get(..length).expect("in range")), "{length}");
    }
    for at in 0..secret.len() {
        let mut other = secret.clone();
        other.splice(at..=at, [b'b']);
        assert!(!agrees(&other), "{at}");
    }
    assert!(!agrees(&[secret.as_slice(), b"a"].concat()));
}

#[test]
fn costs_are_those_of_the_parameters() {
    let cost = |stored: &str| parse(stored).expect(stored).cost();
    let yescrypt = cost("$y$j9T$saltsalt$M8B9s7Va8RYZhmIp6UymHdZUGBExDfYb1/xqutXpI52");
    assert_eq!(yescrypt.memory_kib / 1024, 16);
    assert!((10..100).contains(&yescrypt.millis()), "{yescrypt:?}");
    let scrypt = cost("$7$CU..../....saltsalt$zJ8oNJwp8XuKtKj/XE3hdiy3qpprJZxdtFvHNtoHA89");
    assert_eq!(scrypt.memory_kib / 1024, 64);
    let argon = cost(
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    );
    assert_eq!(argon.memory_kib / 1024, 64);
    assert!(cost("$1$salt$UsdFqFVB.FsuinRDK5eE..").is_cheap());
    assert!(!cost(&format!("$6$salt${}", ".".repeat(86))).is_cheap());
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_answer(stored in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&stored);
        let _ = Verifier::cyrus_plain(&stored, &open());
        let _ = Verifier::plaintext(&stored);
    }

    #[test]
    fn any_text_behind_a_mark_ends_in_an_answer(
        mark in prop::sample::select(vec![
            "$6$", "$5$rounds=", "$y$", "$gy$", "$7$", "$2b$", "$1$", "$md5", "$md5,rounds=", "$sha1$", "$3$",
            "_", "{", "{SSHA}", "{SHA256.HEX}", "{PBKDF2}$1$", "{CRYPT}", "{PLAIN.B64}", "$argon2id$v=19$",
            "$argon2id$v=19$m=8,t=1,p=1$", "SCRAM-SHA-256$4096:", "{SCRAM-SHA-1}4096,", "",
        ]),
        rest in "[ -~]{0,100}",
    ) {
        let _ = parse(format!("{mark}{rest}"));
    }
}
