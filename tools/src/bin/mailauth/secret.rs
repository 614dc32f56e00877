//! Where a new secret comes from: the terminal, a descriptor, or the kernel's random numbers.
//!
//! What is read stays in one buffer that never moves, and is wiped.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use protocol::Password;
use tools::terminal::Terminal;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// How a secret is handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Secret {
    /// Typed twice without echo.
    Terminal,
    /// All that is read from this descriptor, without one last line feed.
    Descriptor(u32),
    /// Made here.
    Random,
    /// A hash on standard input.
    Hash,
}

/// How often a password is asked for on the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// It exists already.
    Once,
    /// It is new, and a slip would lock its owner out.
    Twice,
}

/// The longest hash that is read, in bytes.
const LONGEST_HASH: usize = accounts::StoredHash::MAX;

impl Secret {
    /// A password. One made here is handed to `show` before it is used.
    pub(crate) fn password(
        self,
        times: Times,
        show: impl FnOnce(&str) -> Result<(), Failure>,
    ) -> Result<Password, Failure> {
        let bytes = match self {
            Self::Terminal => typed(times)?,
            Self::Descriptor(number) => line_of(number, Password::MAX, "password")?,
            Self::Random => {
                let made = random()?;
                show(&made)?;
                Zeroizing::new(made.as_bytes().to_vec())
            }
            Self::Hash => return Err(Failure::usage("a hash cannot be used here")),
        };
        Password::new(&bytes).map_err(|why| Failure::failed(format!("bad password: {why}")))
    }
}

/// A stored hash from standard input.
pub(crate) fn hash() -> Result<Zeroizing<String>, Failure> {
    let bytes = line_of(0, LONGEST_HASH, "hash")?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::failed("the hash on standard input is no text")),
    }
}

fn typed(times: Times) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: io::Error| {
        Failure::failed(format!(
            "cannot ask for the password on a terminal ({error}); give it with --password-stdin \
             or --password-fd"
        ))
    };
    let mut terminal = Terminal::quiet().map_err(failed)?;
    let password = terminal.ask("Password: ").map_err(failed)?;
    if times == Times::Twice && *terminal.ask("Again: ").map_err(failed)? != *password {
        return Err(Failure::failed("the two passwords differ; nothing was changed"));
    }
    Ok(password)
}

/// Everything up to the end of the input, which must be one line.
fn line_of(number: u32, most: usize, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let source = opened(number).map_err(|error| {
        Failure::failed(format!("cannot read the {what} from descriptor {number}: {error}"))
    })?;
    let room = most + 2;
    // Larger than what is read, so that it never moves and leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 64));
    let mut limited = source.take(u64::try_from(room).unwrap_or(u64::MAX));
    limited.read_to_end(&mut bytes).map_err(|error| {
        Failure::failed(format!("cannot read the {what} from descriptor {number}: {error}"))
    })?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.contains(&b'\n') {
        return Err(Failure::failed(format!("the {what} has a line break; give it as one line")));
    }
    if bytes.len() > most {
        return Err(Failure::failed(format!("the {what} is longer than {most} bytes")));
    }
    if bytes.is_empty() {
        return Err(Failure::failed(format!("the {what} is empty")));
    }
    Ok(bytes)
}

/// A descriptor of our own: the standard library's buffer would keep the secret.
fn opened(number: u32) -> io::Result<File> {
    if number == 0 {
        return io::stdin().as_fd().try_clone_to_owned().map(File::from);
    }
    File::open(format!("/dev/fd/{number}"))
}

/// 100 random bits in letters and digits that are not taken for each other: `abcde-fghij-kmnpq-rstuv`.
fn random() -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new([0; 20]);
    getrandom::fill(&mut *bytes)
        .map_err(|error| Failure::failed(format!("cannot get random bytes: {error}")))?;
    Ok(spelt(bytes.as_slice()))
}

fn spelt(bytes: &[u8]) -> Zeroizing<String> {
    const LETTERS: [char; 32] = [
        'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't',
        'u', 'v', 'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7', '8', '9',
    ];
    let mut password = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index % 5 == 0 {
            password.push('-');
        }
        let letter = LETTERS.get(usize::from(byte % 32));
        password.push(letter.copied().unwrap_or('a'));
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_passwords_are_easy_to_read_and_never_the_same() {
        assert_eq!(*spelt(&[0, 1, 31, 32, 33, 63]), "ab9ab-9");
        let (one, two) = (random().ok().unwrap(), random().ok().unwrap());
        assert_eq!(one.len(), 23);
        assert_ne!(*one, *two);
    }
}
