//! B8: thousands of stored hashes, whole, damaged and odd, with crypt(3) of this system as the judge.
//!
//! A stored hash and a password agree for libxcrypt when the password's hash under the stored one, taken as a
//! setting, is the stored one. The daemon has to say the same through its socket; where it is stricter on purpose,
//! the rule stands here.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::accounts::add_rows;
use crate::events::{Try, ask_all};
use crate::house::{Plan, ready};

/// A stored field and a password.
struct Vector {
    stored: Vec<u8>,
    password: Vec<u8>,
}

/// Answers each line of `stored password` in hexadecimal: the hash in hexadecimal, `-` for none.
const JUDGE: &str = r#"while (<STDIN>) { my ($s, $p) = map { pack 'H*', $_ } /^([0-9a-f]*) ([0-9a-f]*)$/;
    my $h = crypt($p, $s); print defined $h ? unpack('H*', $h) : '-', "\n" }"#;

/// What crypt(3) makes of each pair of setting and password.
fn crypt_all<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<Vec<u8>> {
    let mut perl = Command::new("perl")
        .args(["-e", JUDGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = perl.stdin.take().unwrap();
    let text: String =
        pairs.map(|(setting, password)| format!("{} {}\n", hex(setting), hex(password))).collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = perl.wait_with_output().unwrap();
    writer.join().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(unhex).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    if text == "-" { Vec::new() } else { (0..text.len()).step_by(2).map(digit).collect() }
}

/// Pseudo-random numbers, the same each time: a failure can be looked at again.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.throw(from.len())]
    }

    /// Of 8-bit and odd bytes as well, but no NUL, which no field carries.
    fn password(&mut self) -> Vec<u8> {
        let most = *self.pick(&[3, 9, 12, 73, 80, 200]);
        let eight_bit = self.throw(3) == 0;
        (0..1 + self.throw(most))
            .map(|_| if eight_bit { 1 + self.throw(255) } else { 33 + self.throw(94) } as u8)
            .collect()
    }

    fn salt(&mut self, most: usize) -> String {
        let letters: Vec<char> = ('.'..='9').chain('A'..='Z').chain('a'..='z').collect();
        (0..self.throw(most + 1)).map(|_| *self.pick(&letters)).collect()
    }
}

/// Settings of each scheme that is quick, their numbers as nobody writes them among them.
fn setting(dice: &mut Dice) -> String {
    let rounds = *dice.pick(&[
        "",
        "rounds=1000$",
        "rounds=1001$",
        "rounds=01000$",
        "rounds=999$",
        "rounds=10$",
        "rounds=0$",
        "rounds=-1$",
        "rounds=+1000$",
        "rounds=1000000001$",
        "rounds=4294967297$",
        "rounds=18446744073709552616$",
        "rounds=\u{661}000$",
        "rounds= 1000$",
        "rounds=1000",
        "rounds=0x3e8$",
        "rounds=1e3$",
        "rounds=$",
        "Rounds=1000$",
        "rounds=1000$rounds=1000$",
    ]);
    match dice.throw(10) {
        0 => format!("$1${}", dice.salt(12)),
        1 => format!("$5${rounds}{}", dice.salt(20)),
        2 => format!("$6${rounds}{}$", dice.salt(20)),
        3 => format!(
            "$sha1${}${}",
            dice.pick(&["1", "4", "040", "0", "-1", "+4", "4294967297"]),
            dice.salt(70)
        ),
        4 => format!("_{}", dice.pick(&["J9..abcd", "....abcd", "0...abcd", "J9..ab", "J9.$abcd"])),
        5 => dice.salt(4),
        6 => "$3$".into(),
        7 => {
            let kind = dice.pick(&["2a", "2b", "2x", "2y", "2", "2c"]);
            let cost = dice.pick(&["04", "03", "4", "00", "-4", "32"]);
            format!(
                "${kind}${cost}${}",
                dice.pick(&["abcdefghijklmnopqrstuu", "abcdefghijklmnopqrstuv", "abc"])
            )
        }
        8 => format!("$y${}${}", dice.pick(&["j75", "j65", "j", "jz"]), dice.salt(20)),
        // The slowest of them at its cheapest.
        _ if dice.throw(20) == 0 => {
            format!("$md5${}", dice.pick(&["", "abcdefgh", "rounds=1$abcdefgh"]))
        }
        _ => format!("$1${}$", dice.salt(8)),
    }
}

/// As it is, or as a slip of an editor would leave it.
fn damaged(dice: &mut Dice, stored: &[u8]) -> Vec<u8> {
    let mut stored = stored.to_vec();
    let at = dice.throw(stored.len().max(1));
    let byte = *dice.pick(b"$./09azAZ,=-+ *!x\x80\xff");
    match dice.throw(9) {
        0..=3 => {}
        4 if !stored.is_empty() => stored[at] = byte,
        5 => stored.insert(at.min(stored.len()), byte),
        6 if !stored.is_empty() => drop(stored.remove(at)),
        7 => stored.truncate(at),
        _ => stored.push(byte),
    }
    stored
}

/// A field of shadow, with work that is no bomb: those are refused by their price, which is B7.
fn is_fit(stored: &[u8]) -> bool {
    let text = String::from_utf8_lossy(stored);
    let numbers = text.split(['=', '$', ',']).filter_map(|part| part.parse::<u64>().ok());
    let most = match stored {
        [b'$', b'm', ..] => 2,
        _ => 20_000,
    };
    let is_quick = match stored {
        [b'_', _, _, count @ .., _, _, _, _] => count.get(..2).is_none_or(|count| count == b".."),
        [b'$', b'2', ..] => ["$03$", "$04$", "$00$"].iter().any(|cost| text.contains(cost)),
        [b'$', b'y', ..] => text.starts_with("$y$j65$") || text.starts_with("$y$j75$"),
        _ => !text.starts_with("$sha1$-"),
    };
    let is_field = |byte: &u8| !matches!(byte, 0 | b':' | b'\n');
    is_quick && stored.iter().all(is_field) && numbers.max().unwrap_or(0) <= most
}

/// Stricter than libxcrypt on purpose: what no program writes, and the broken bcrypt of old, which mixes passwords up.
fn is_strict_on_purpose(stored: &[u8]) -> bool {
    if stored.starts_with(b"$2x$") {
        return true;
    }
    let fields: Vec<&[u8]> = stored.split(|byte| *byte == b'$').collect();
    match fields.as_slice() {
        [_, b"sha1", iterations, salt, _] => *iterations == b"0" || salt.len() > 64,
        // More than eight letters of a password in one field, 24 letters and so on: bigcrypt.
        [traditional] => !traditional.starts_with(b"_") && traditional.len() != 13,
        _ => false,
    }
}

const VECTORS: usize = 3000;

fn vectors() -> Vec<Vector> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut made: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    while made.len() < VECTORS {
        let setting = setting(&mut dice).into_bytes();
        if is_fit(&setting) {
            made.push((setting, dice.password()));
        }
    }
    let hashes = crypt_all(made.iter().map(|(setting, password)| (&**setting, &**password)));
    let mut vectors = Vec::new();
    for ((setting, password), hash) in made.into_iter().zip(hashes) {
        let whole = if hash.is_empty() || hash.starts_with(b"*") { setting } else { hash };
        let stored = damaged(&mut dice, &whole);
        let mut password = password;
        match dice.throw(8) {
            0 => password.push(b'x'),
            1 => password[0] ^= 0x80,
            2 => password.truncate(1),
            _ => {}
        }
        password.retain(|byte| *byte != 0);
        if is_fit(&stored) && !stored.is_empty() && !password.is_empty() {
            vectors.push(Vector { stored, password });
        }
    }
    vectors
}

#[test]
fn b8_every_verdict_is_that_of_crypt_3() {
    if !ready() {
        return;
    }
    let vectors = vectors();
    let pairs = vectors.iter().map(|vector| (&*vector.stored, &*vector.password));
    let judged: Vec<bool> = crypt_all(pairs)
        .into_iter()
        .zip(&vectors)
        .map(|(hash, vector)| hash == vector.stored && !hash.starts_with(b"*"))
        .collect();
    let plan = Plan::new().sections(
        "[hashing]\nweak = [\"des\", \"bsdi\", \"nt\"]\ntruncate = true\n[log]\nlevel = \"warning\"",
    );
    let sandbox = plan.furnish();
    let rows: Vec<(String, Vec<u8>)> = vectors
        .iter()
        .enumerate()
        .map(|(at, vector)| (format!("v{at}"), vector.stored.clone()))
        .collect();
    add_rows(&sandbox, &rows);
    let house = plan.start_in(sandbox);
    let tries: Vec<Try> = rows
        .iter()
        .zip(&vectors)
        .map(|((name, _), vector)| Try::new(name, &vector.password))
        .collect();
    let (mut right, mut wrong, mut strict, mut differ) = (0, 0, 0, Vec::new());
    for ((vector, agrees), reply) in vectors.iter().zip(judged).zip(ask_all(house.mux(), &tries)) {
        match (agrees, &*reply) {
            (true, "OK") => right += 1,
            (false, "NO") => wrong += 1,
            (true, "NO") if is_strict_on_purpose(&vector.stored) => strict += 1,
            _ => differ.push(format!(
                "{} with {}: crypt(3) {agrees}, ours {reply}",
                vector.stored.escape_ascii(),
                vector.password.escape_ascii()
            )),
        }
    }
    eprintln!("{right} agree, {wrong} do not, {strict} refused on purpose");
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    assert!(right > 400 && wrong > 1000 && right + wrong > 2000, "{right} and {wrong}");
    assert_eq!(house.visit(), "OK");
}
