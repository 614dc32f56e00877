//! Accounts of `/etc/shadow`: schemes, locks, ageing, broken lines, names.

use std::fs::OpenOptions;
use std::io::{self, Write};

use harness::accounts::{crypt, quick_hash, today};
use harness::{Account, Daemon, Sandbox, Subject};

use crate::suite::{Case, Listed, case, compare, listed};

const OK: &str = "OK";
const WRONG: &str = "NO Incorrect password";
const UNKNOWN: &str = "NO Invalid username";
/// The name stands in passwd, but no line that glibc can read stands in shadow.
const NO_LINE: &str = "NO Invalid shadow username";
const ACCOUNT: &str = "NO Account expired";
const PASSWORD: &str = "NO Password expired";

/// A login and a password to try.
struct Try(String, String);

fn attempt(login: &str, password: &str) -> Try {
    Try(login.to_owned(), password.to_owned())
}

/// Every scheme of Debian's crypt(3), with a setting that is cheap to compute.
const SCHEMES: [(&str, &str); 14] = [
    ("yescrypt", "$y$j75$abcdefgh$"),
    ("gost-yescrypt", "$gy$j75$abcdefgh$"),
    ("scrypt", "$7$6U..../....abcdefgh$"),
    ("bcrypt-2b", "$2b$04$abcdefghijklmnopqrstuu"),
    ("bcrypt-2a", "$2a$04$abcdefghijklmnopqrstuu"),
    ("bcrypt-2y", "$2y$04$abcdefghijklmnopqrstuu"),
    ("sha512", "$6$abcdefgh$"),
    ("sha512-rounds", "$6$rounds=1000$abcdefgh$"),
    ("sha256", "$5$rounds=1000$abcdefgh$"),
    ("sha1crypt", "$sha1$1000$abcdefgh$"),
    ("sunmd5", "$md5$rounds=904$abcdefgh$"),
    ("md5crypt", "$1$abcdefgh$"),
    ("bsdicrypt", "_J9..abcd"),
    ("descrypt", "ab"),
];

fn scheme_cases() -> Vec<Case<Try>> {
    let mut cases = Vec::new();
    for (scheme, _) in SCHEMES {
        // descrypt looks at eight bytes only, so its longer password is the same one.
        let longer = if scheme == "descrypt" { OK } else { WRONG };
        for (what, password, expect) in [
            ("right", "secret12", OK),
            ("wrong", "Secret12", WRONG),
            ("shorter", "secret1", WRONG),
            ("longer", "secret12x", longer),
            ("empty", "", "NO NULL password received"),
        ] {
            let id = format!("shadow-{scheme}-{what}");
            cases.push(case(id, attempt(&format!("s-{scheme}"), password), expect));
        }
    }
    cases
}

/// bcrypt looks at 72 bytes, and libxcrypt at 511; the field ends at 256.
fn long_password_cases() -> Vec<Case<Try>> {
    let letters = |count: usize| "a".repeat(count);
    let mut cases = Vec::new();
    for (scheme, right, tries) in [
        ("bcrypt-2b", 80, [(80, OK), (72, OK), (71, WRONG), (81, OK)]),
        ("sha512-rounds", 200, [(200, OK), (199, WRONG), (201, WRONG), (256, WRONG)]),
        ("yescrypt", 256, [(256, OK), (255, WRONG), (1, WRONG), (72, WRONG)]),
    ] {
        for (length, expect) in tries {
            let id = format!("shadow-{scheme}-{right}-bytes-given-{length}");
            let act = attempt(&format!("l-{scheme}"), &letters(length));
            cases.push(case(id, act, expect));
        }
    }
    cases
}

/// Password fields that let nobody in. `$HASH` stands for a good hash of `secret12`.
const CLOSED: [(&str, &str); 34] = [
    ("empty", ""),
    ("exclamation", "!"),
    ("two-exclamations", "!!"),
    ("star", "*"),
    ("x", "x"),
    ("np", "NP"),
    ("lk", "*LK*"),
    ("star-0", "*0"),
    ("star-1", "*1"),
    ("dots", ".."),
    ("space", " "),
    ("locked-hash", "!$HASH"),
    ("twice-locked-hash", "!!$HASH"),
    ("starred-hash", "*$HASH"),
    ("hash-and-a-byte", "$HASHx"),
    ("hash-and-a-space", "$HASH "),
    ("space-and-hash", " $HASH"),
    ("plain-password", "secret12"),
    ("plain-scheme", "{PLAIN}secret12"),
    ("crypt-scheme", "{CRYPT}$HASH"),
    ("only-6", "$6"),
    ("only-6-dollar", "$6$"),
    ("only-salt", "$6$abcdefgh"),
    ("salt-and-dollar", "$6$abcdefgh$"),
    ("unknown-9", "$9$abcdefgh$abcdefghijklmnop"),
    ("short-bcrypt", "$2y$10$short"),
    ("bcrypt-cost-99", "$2b$99$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW"),
    ("argon2id", "$argon2id$v=19$m=16,t=2,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng"),
    ("only-y", "$y$"),
    ("rounds-10", "$6$rounds=10$abcdefgh$xyz"),
    ("rounds-2-to-32", "$6$rounds=4294967297$abcdefgh$xyz"),
    ("rounds-negative", "$6$rounds=-1$abcdefgh$xyz"),
    ("multibyte", "$2b$é04$éabcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si0"),
    ("percent", "%s%n%s%n"),
];

fn closed_cases() -> Vec<Case<Try>> {
    let mut cases = Vec::new();
    for (number, (what, _)) in CLOSED.iter().enumerate() {
        let login = format!("c{number}");
        let id = format!("shadow-field-{what}");
        cases.push(case(id, attempt(&login, "secret12"), WRONG));
    }
    for (what, password) in
        [("exclamation", "!"), ("star", "*"), ("x", "x"), ("np", "NP"), ("dots", "..")]
    {
        let number = CLOSED.iter().position(|(name, _)| *name == what).unwrap();
        let act = attempt(&format!("c{number}"), password);
        cases.push(case(format!("shadow-field-{what}-as-password"), act, WRONG));
    }
    for length in CUTS {
        let act = attempt(&format!("cut{length}"), "secret12");
        cases.push(case(format!("shadow-hash-cut-to-{length}"), act, WRONG));
    }
    cases
}

/// How much of a good hash is left.
const CUTS: [usize; 8] = [1, 2, 3, 16, 30, 60, 100, 112];

/// Ageing: the third to ninth field, days relative to today in `{}`, and what the right password brings.
const AGES: [(&str, &str, &str); 26] = [
    ("expired-yesterday", "{-9}:0:99999:7::{-1}:", ACCOUNT),
    ("expires-today", "{-9}:0:99999:7::{0}:", OK),
    ("expires-tomorrow", "{-9}:0:99999:7::{1}:", OK),
    ("expired-on-day-0", "{-9}:0:99999:7::0:", ACCOUNT),
    ("expired-on-day-1", "{-9}:0:99999:7::1:", ACCOUNT),
    ("expiry-empty", "{-9}:0:99999:7:::", OK),
    ("expiry-minus-1", "{-9}:0:99999:7::-1:", NO_LINE),
    ("must-change", "0:0:99999:7:::", OK),
    ("must-change-with-max", "0:0:30:7:::", PASSWORD),
    ("change-empty", ":0:99999:7:::", OK),
    ("change-empty-with-max", ":0:30:7:::", OK),
    ("changed-in-future", "{5}:0:30:7:::", OK),
    ("max-passed", "{-31}:0:30:7:::", PASSWORD),
    ("max-reached-today", "{-30}:0:30:7:::", OK),
    ("max-reached-tomorrow", "{-29}:0:30:7:::", OK),
    ("max-empty", "{-9999}:0::7:::", OK),
    ("max-0", "{-1}:0:0:7:::", PASSWORD),
    ("max-minus-1", "{-9999}:0:-1:7:::", NO_LINE),
    ("inactive-left", "{-31}:0:30:7:20::", PASSWORD),
    ("inactive-passed", "{-61}:0:30:7:20::", PASSWORD),
    ("inactive-0-in-time", "{-9}:0:30:7:0::", OK),
    ("min-not-reached", "{-1}:10:99999:7:::", OK),
    ("min-over-max", "{-31}:60:30:7:::", PASSWORD),
    ("in-warning", "{-28}:0:30:7:::", OK),
    ("both-expired", "{-31}:0:30:7::{-1}:", ACCOUNT),
    ("all-empty", "::::::", OK),
];

fn age_cases() -> Vec<Case<Try>> {
    let mut cases = Vec::new();
    for (number, (what, _, expect)) in AGES.iter().enumerate() {
        let login = format!("a{number}");
        cases.push(case(format!("shadow-{what}-right"), attempt(&login, "secret12"), *expect));
        let wrong = if *expect == NO_LINE { NO_LINE } else { WRONG };
        cases.push(case(format!("shadow-{what}-wrong"), attempt(&login, "nope"), wrong));
    }
    cases
}

/// Whole lines of `/etc/shadow`, and what `secret12` brings their user.
const LINES: [(&str, &str, &str); 14] = [
    ("two-fields", "l0:$HASH", NO_LINE),
    ("three-fields", "l1:$HASH:19000", NO_LINE),
    ("eight-fields", "l2:$HASH:19000:0:99999:7::", NO_LINE),
    ("ten-fields", "l3:$HASH:19000:0:99999:7::::", NO_LINE),
    ("letters-in-ageing", "l4:$HASH:abc:0:99999:7:::", NO_LINE),
    ("huge-ageing", "l5:$HASH:99999999999999999999:0:99999:7:::", NO_LINE),
    ("space-before-name", " l6:$HASH:19000:0:99999:7:::", OK),
    ("comment", "#l7:$HASH:19000:0:99999:7:::", NO_LINE),
    ("first-line-wins", "l8:*:19000:0:99999:7:::\nl8:$HASH:19000:0:99999:7:::", WRONG),
    ("first-line-wins-open", "l9:$HASH:19000:0:99999:7:::\nl9:*:19000:0:99999:7:::", OK),
    ("behind-an-empty-line", "\nl10:$HASH:19000:0:99999:7:::", OK),
    ("behind-a-nis-line", "+::::::::\nl11:$HASH:19000:0:99999:7:::", OK),
    ("carriage-return", "l12:$HASH:19000:0:99999:7:::\r", NO_LINE),
    ("no-line-feed-at-the-end", "l13:$HASH:19000:0:99999:7:::", OK),
];

fn line_cases() -> Vec<Case<Try>> {
    let lines = LINES.iter().enumerate();
    let mut cases: Vec<_> = lines
        .map(|(number, (what, _, expect))| {
            case(format!("shadow-line-{what}"), attempt(&format!("l{number}"), "secret12"), *expect)
        })
        .collect();
    cases.push(case("shadow-no-line", attempt("passwd-only", "secret12"), NO_LINE));
    cases.push(case("shadow-no-passwd-line", attempt("shadow-only", "secret12"), UNKNOWN));
    cases.push(case("shadow-hash-in-passwd", attempt("hash-in-passwd", "secret12"), NO_LINE));
    cases
}

fn name_cases() -> Vec<Case<Try>> {
    let good = "s-sha512-rounds";
    let with = |login: &str| attempt(login, "secret12");
    vec![
        case("shadow-shell-nologin", with("nologin"), OK),
        case("shadow-shell-false", with("false"), OK),
        case("shadow-shell-empty", with("no-shell"), OK),
        case("shadow-name-unknown", with("nobody-here"), UNKNOWN),
        case("shadow-name-empty", with(""), "NO NULL login received"),
        case("shadow-name-root", with("root"), WRONG),
        case("shadow-name-system", with("daemon"), NO_LINE),
        case("shadow-name-upper-case", with(&good.to_uppercase()), UNKNOWN),
        case("shadow-name-space-behind", with(&format!("{good} ")), UNKNOWN),
        case("shadow-name-space-before", with(&format!(" {good}")), UNKNOWN),
        case("shadow-name-prefix", with("s-sha512-round"), UNKNOWN),
        case("shadow-name-longer", with("s-sha512-roundsx"), UNKNOWN),
        case("shadow-name-colon", with(&format!("{good}:")), UNKNOWN),
        case("shadow-name-with-hash", with(&format!("{good}:x")), UNKNOWN),
        case("shadow-name-plus", with("+"), UNKNOWN),
        case("shadow-name-uid", with("2001"), UNKNOWN),
        case("shadow-name-dot-dot", with("../root"), UNKNOWN),
        case("shadow-name-newline", with(&format!("{good}\n")), UNKNOWN),
        case("shadow-name-utf-8", with("jürgen"), OK),
        case("shadow-name-not-split", with(&format!("{good}@mailhost")), UNKNOWN),
        case("shadow-name-256-bytes", with(&"n".repeat(256)), UNKNOWN),
        case("shadow-name-257-bytes", with(&"n".repeat(257)), "NO "),
        case("shadow-password-257-bytes", attempt(good, &"n".repeat(257)), "NO "),
    ]
}

fn cases() -> Vec<Case<Try>> {
    let groups = [
        scheme_cases(),
        long_password_cases(),
        closed_cases(),
        age_cases(),
        line_cases(),
        name_cases(),
    ];
    groups.into_iter().flatten().collect()
}

fn accounts(hash: &str) -> io::Result<Vec<Account>> {
    let mut accounts = Vec::new();
    for (scheme, setting) in SCHEMES {
        accounts.push(Account::with(&format!("s-{scheme}"), &crypt("secret12", setting)?));
    }
    for (scheme, length) in [("bcrypt-2b", 80), ("sha512-rounds", 200), ("yescrypt", 256)] {
        let (_, setting) = SCHEMES.iter().find(|(name, _)| *name == scheme).unwrap();
        let stored = crypt(&"a".repeat(length), setting)?;
        accounts.push(Account::with(&format!("l-{scheme}"), &stored));
    }
    for (number, (_, field)) in CLOSED.iter().enumerate() {
        accounts.push(Account::with(&format!("c{number}"), &field.replace("$HASH", hash)));
    }
    for length in CUTS {
        accounts.push(Account::with(&format!("cut{length}"), &hash[..length]));
    }
    for (number, (_, fields, _)) in AGES.iter().enumerate() {
        accounts.push(Account::with(&format!("a{number}"), hash).aged(&days(fields)));
    }
    accounts.push(Account::with("nologin", hash).with_shell("/usr/sbin/nologin"));
    accounts.push(Account::with("false", hash).with_shell("/bin/false"));
    accounts.push(Account::with("no-shell", hash).with_shell(""));
    accounts.push(Account::with("jürgen", hash));
    accounts.push(Account::with("passwd-only", hash).in_passwd("x"));
    accounts.push(Account::with("hash-in-passwd", hash).in_passwd(hash));
    accounts.extend(
        (0..LINES.len()).map(|number| Account::with(&format!("l{number}"), "").in_passwd("x")),
    );
    Ok(accounts)
}

/// `{-1}` becomes yesterday's number.
fn days(fields: &str) -> String {
    let mut text = fields.to_owned();
    while let Some((head, rest)) = text.split_once('{') {
        let (days, tail) = rest.split_once('}').unwrap();
        text = format!("{head}{}{tail}", today() + days.parse::<i64>().unwrap());
    }
    text
}

fn set_up(subject: Subject) -> io::Result<(Daemon, Sandbox)> {
    let hash = quick_hash("secret12")?;
    let house = Sandbox::with(&accounts(&hash)?)?;
    let mut lines = vec![format!("shadow-only:{hash}:19000:0:99999:7:::")];
    lines.extend(LINES.iter().map(|(_, line, _)| line.replace("$HASH", &hash)));
    let mut shadow = OpenOptions::new().append(true).open(house.path().join("etc/shadow"))?;
    shadow.write_all(lines.join("\n").as_bytes())?;
    Ok((Daemon::cyrus(&house, subject, "shadow", &[])?, house))
}

fn act((daemon, _house): &(Daemon, Sandbox), Try(login, password): &Try) -> io::Result<String> {
    Ok(daemon.ask(login, password, "smtp", ""))
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn backend_shadow() {
    compare("shadow", &cases(), set_up, act);
}
