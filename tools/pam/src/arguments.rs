//! The words after the module's name in a service file.
//!
//! Run in the host program at each login. Root wrote them; a word that is not known is an error all the same, since one
//! that is passed over leaves the service asking another socket than its line says.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use protocol::Quoted;

const DEFAULT_SOCKET: &str = "/run/saslauthd/mux";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_TIMEOUT: u64 = 300;

/// Where to ask, and what to say there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// `socket=` or `auth=`, an absolute path.
    pub(crate) socket: PathBuf,
    /// What is spoken there.
    pub(crate) language: Language,
    /// `service=`; none for that of PAM.
    pub(crate) service: Option<Vec<u8>>,
    /// `realm=`, of a login without `@`; empty for none.
    pub(crate) realm: Vec<u8>,
    /// `timeout=` in seconds, 1 to 300, for connecting and the answer together.
    pub(crate) timeout: Duration,
    /// `use_first_pass` or not.
    pub(crate) token: Token,
}

/// The languages of the daemon's sockets that a password can be said in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// `socket=`: saslauthd's own.
    Mux,
    /// `auth=`: Dovecot's.
    Auth(Stated),
}

/// What is said of the way that the password came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stated {
    /// Nothing, so that the daemon takes it for one in the clear.
    Nothing,
    /// `secured`: that it was inside TLS, by the word of whoever wrote the line.
    Secured,
}

/// Where the password comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A module above has it, or nobody.
    Stacked,
    /// A module above has it, or the user is asked.
    StackedOrAsked,
}

/// The first word that is wrong, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong<'a> {
    /// No argument of this module.
    Unknown(&'a [u8]),
    /// `socket=` or `auth=` without an absolute path: the host's working directory may be anybody's.
    Relative(&'a [u8]),
    /// `secured` for a socket that can't be told.
    Secured,
    /// `timeout=` without a number of seconds in its range.
    Timeout(&'a [u8]),
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(
                f,
                "unknown argument {}; there are socket=, auth=, secured, service=, realm=, timeout=, use_first_pass, try_first_pass",
                Quoted(word)
            ),
            Self::Relative(path) => write!(f, "{} is no absolute path of a socket", Quoted(path)),
            Self::Secured => f.write_str("secured can be said to the socket of auth= only"),
            Self::Timeout(text) => {
                write!(
                    f,
                    "timeout={} is no number of seconds, 1 to {LONGEST_TIMEOUT}",
                    Quoted(text)
                )
            }
        }
    }
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            socket: DEFAULT_SOCKET.into(),
            language: Language::Mux,
            service: None,
            realm: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            token: Token::StackedOrAsked,
        }
    }
}

impl Arguments {
    /// Reads the words of one line; of a word that comes twice the last counts, as with other modules.
    pub(crate) fn parse<'a>(words: &[&'a [u8]]) -> Result<Self, Wrong<'a>> {
        let mut arguments = Self::default();
        let mut stated = Stated::Nothing;
        for word in words {
            let equals = word.iter().position(|byte| *byte == b'=');
            match equals.and_then(|at| word.split_at_checked(at + 1)) {
                Some((b"socket=", path)) => {
                    (arguments.socket, arguments.language) = (absolute(path)?, Language::Mux);
                }
                Some((b"auth=", path)) => {
                    arguments.socket = absolute(path)?;
                    arguments.language = Language::Auth(Stated::Nothing);
                }
                None if *word == b"secured" => stated = Stated::Secured,
                Some((b"service=", service)) => arguments.service = Some(service.to_vec()),
                Some((b"realm=", realm)) => arguments.realm = realm.to_vec(),
                Some((b"timeout=", text)) => arguments.timeout = seconds(text)?,
                None if *word == b"use_first_pass" => arguments.token = Token::Stacked,
                // What is done anyway. Asking again after a refusal would have a mail server, which asks nobody,
                // send the same wrong password twice.
                None if *word == b"try_first_pass" => arguments.token = Token::StackedOrAsked,
                _ => return Err(Wrong::Unknown(word)),
            }
        }
        match (&mut arguments.language, stated) {
            (Language::Mux, Stated::Secured) => return Err(Wrong::Secured),
            (Language::Mux, Stated::Nothing) => {}
            (Language::Auth(said), _) => *said = stated,
        }
        Ok(arguments)
    }
}

fn absolute(path: &[u8]) -> Result<PathBuf, Wrong<'_>> {
    match path {
        [b'/', ..] => Ok(OsStr::from_bytes(path).into()),
        _ => Err(Wrong::Relative(path)),
    }
}

fn seconds(text: &[u8]) -> Result<Duration, Wrong<'_>> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let number = number.filter(|number| (1..=LONGEST_TIMEOUT).contains(number));
    number.map(Duration::from_secs).ok_or(Wrong::Timeout(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse<'a>(words: &[&'a str]) -> Result<Arguments, Wrong<'a>> {
        Arguments::parse(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn each_argument_has_a_default_and_its_own_meaning() {
        let default = parse(&[]).unwrap();
        assert_eq!(default, Arguments::default());
        assert_eq!(default.socket, PathBuf::from("/run/saslauthd/mux"));
        let all = parse(&[
            "socket=/a=b",
            "service=",
            "realm=example.org",
            "timeout=300",
            "use_first_pass",
        ]);
        let expected = Arguments {
            socket: "/a=b".into(),
            language: Language::Mux,
            service: Some(Vec::new()),
            realm: b"example.org".to_vec(),
            timeout: Duration::from_secs(300),
            token: Token::Stacked,
        };
        assert_eq!(all.unwrap(), expected);
        assert_eq!(parse(&["realm=a", "realm="]).unwrap(), Arguments::default());
        for (words, stated) in [
            (&["auth=/a"][..], Stated::Nothing),
            (&["socket=/b", "auth=/a"], Stated::Nothing),
            (&["auth=/a", "secured"], Stated::Secured),
            (&["secured", "auth=/a"], Stated::Secured),
        ] {
            let read = parse(words).unwrap();
            assert_eq!(read.language, Language::Auth(stated), "{words:?}");
            assert_eq!(read.socket, PathBuf::from("/a"), "{words:?}");
        }
        assert_eq!(parse(&["auth=/a", "socket=/b"]).unwrap().language, Language::Mux);
        let last = parse(&["use_first_pass", "try_first_pass"]).unwrap();
        assert_eq!(last.token, Token::StackedOrAsked);
    }

    #[test]
    fn a_word_that_means_nothing_is_an_error() {
        for word in ["", "=", "socket", "sockets=/a", "Socket=/a", "use_first_pass=", "debug"] {
            assert_eq!(parse(&["timeout=5", word]), Err(Wrong::Unknown(word.as_bytes())), "{word}");
        }
        for path in ["", "mux", "./mux"] {
            let word = format!("socket={path}");
            assert_eq!(parse(&[&word]), Err(Wrong::Relative(path.as_bytes())));
        }
        for text in ["", "0", "-1", "301", "5s", " 5", "99999999999999999999999"] {
            let word = format!("timeout={text}");
            assert_eq!(parse(&[&word]), Err(Wrong::Timeout(text.as_bytes())));
        }
        assert_eq!(parse(&["secured"]), Err(Wrong::Secured));
        assert_eq!(parse(&["auth=/a", "secured", "socket=/b"]), Err(Wrong::Secured));
        assert_eq!(parse(&["auth=a"]), Err(Wrong::Relative(b"a")));
        let said = parse(&["deb\nug"]).unwrap_err().to_string();
        assert!(said.starts_with("unknown argument") && !said.contains('\n'), "{said}");
    }

    /// The terms of the manual's definition list, each followed by a line that begins with a colon.
    #[test]
    fn the_manual_has_every_argument_and_no_other() {
        let manual = include_str!("../../../saslauthd/man/pam_saslauthd.8.md");
        let next = manual.lines().skip(1);
        let terms = manual.lines().zip(next).filter(|(_, next)| next.starts_with(": "));
        let words = terms.flat_map(|(term, _)| term.split('`').skip(1).step_by(2));
        let mut described: Vec<&str> = words.filter(|word| !word.starts_with("PAM_")).collect();
        let said = Wrong::Unknown(b"x").to_string();
        let (_, list) = said.split_once("there are ").unwrap();
        let mut known: Vec<&str> = list.split(", ").collect();
        described.sort_unstable();
        known.sort_unstable();
        assert_eq!(described, known);
        for word in known {
            let value = if word == "timeout=" { "1" } else { "/a" };
            let filled =
                if word.ends_with('=') { format!("{word}{value}") } else { word.to_owned() };
            assert!(parse(&["auth=/a", &filled]).is_ok(), "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_words_panic(words in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "(socket|auth|service|realm|timeout)=[ -~]{0,12}".prop_map(String::into_bytes),
            ],
            0..6,
        )) {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            match Arguments::parse(&words) {
                Ok(arguments) => {
                    prop_assert!(arguments.socket.is_absolute());
                    prop_assert!((1..=300).contains(&arguments.timeout.as_secs()));
                }
                Err(wrong) => prop_assert!(!wrong.to_string().contains(['\n', '\r', '\0'])),
            }
        }

        #[test]
        fn what_is_written_is_read(
            socket in "/[^\0]{0,40}", service in proptest::option::of("[^\0]{0,20}"),
            realm in "[^\0]{0,20}", timeout in 1_u64..=300, stacked in any::<bool>(), auth in any::<bool>(),
        ) {
            let mut words = vec![
                format!("{}={socket}", if auth { "auth" } else { "socket" }), format!("realm={realm}"), format!("timeout={timeout}"),
            ];
            words.extend(service.as_ref().map(|service| format!("service={service}")));
            words.extend(stacked.then(|| "use_first_pass".to_owned()));
            let read = Arguments::parse(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
            let expected = Arguments {
                socket: socket.into(),
                language: if auth { Language::Auth(Stated::Nothing) } else { Language::Mux },
                service: service.map(String::into_bytes),
                realm: realm.into_bytes(),
                timeout: Duration::from_secs(timeout),
                token: if stacked { Token::Stacked } else { Token::StackedOrAsked },
            };
            prop_assert_eq!(read.unwrap(), expected);
        }
    }
}
