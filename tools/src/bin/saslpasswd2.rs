//! `saslpasswd2`: sets, changes and deletes passwords in a sasldb.
//!
//! Run by the operator. It trusts its command line; the file is checked whole before a byte of it is written again,
//! in the format that it has. The password comes from the terminal or stdin, never from the command line, and is
//! wiped. Options, prompts, output and exit statuses are those of Cyrus's program of the same name, except:
//!
//! - without `-c` an unknown user is `user not found`, exit status 20, as the manual says (Cyrus creates it);
//! - `-d` of an unknown user is the same error (Cyrus: silence, exit status 0, and an empty file if there was none);
//! - a password or a deletion drops `authPassword` and every `cmusaslsecret*` of the user (Cyrus leaves SCRAM and
//!   OTP secrets, with which a deleted user still logs in);
//! - deleted and replaced secrets are gone from the file (Cyrus: readable in the slack of its pages);
//! - the file is locked, rebuilt beside and renamed into place, so that it needs a writable directory and programs that run at
//!   once all count (Cyrus: of 60 at once a third survives); a file with several hard links is refused;
//! - a password longer than 2048 bytes or with a NUL inside is an invalid parameter, exit status 7 (Cyrus cuts it);
//! - on a pipe the password is all input up to its end, without one last newline (Cyrus: what one read returns);
//! - `-p` at a terminal does not echo;
//! - `-n` is `no mechanism available`, exit status 4: there is no secret other than `userPassword` that we make
//!   (Cyrus without such a plug-in stores nothing and exits 0); with `-d` it has no meaning in either;
//! - `-a` is checked for `/` and otherwise ignored: no libsasl2 configuration is read;
//! - what fails says why after Cyrus's words, the text of usage and version is our own, and `--help` and
//!   `--version` exist.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use credentials::sasldb::{self, Edit, Format};
use lexopt::Arg;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

const USAGE: &str = "\
usage: saslpasswd2 [-v] [-c [-p] [-n]] [-d] [-a appname] [-f sasldb] [-u DOM] userid
\t-p\tread the password from standard input, without a prompt
\t-c\tcreate the user if there is none
\t-d\tdelete the user's secrets
\t-n\tset no userPassword (nothing else can be set)
\t-f sasldb\tuse this file instead of /etc/sasldb2
\t-a appname\taccepted and ignored
\t-u DOM\trealm of a userid without @, instead of the host's name
\t-v, --version\tprint the version and exit
\t--help\tthis text
";

/// The longest password, in bytes: Cyrus's buffer.
const LONGEST: usize = 2048;

/// Why it ends otherwise than well: Cyrus's words for a status of libsasl2, and what is to be added.
struct Failure {
    status: Status,
    detail: Option<String>,
}

/// Statuses of libsasl2.
#[derive(Clone, Copy)]
enum Status {
    Fail,
    NoMechanism,
    BadParameter,
    /// libsasl2 has no status for it; Cyrus's program ends as with a bad parameter.
    Mismatch,
    NoUser,
}

impl Status {
    /// libsasl2's number without its sign.
    fn exit(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Fail => 1,
            Self::NoMechanism => 4,
            Self::BadParameter | Self::Mismatch => 7,
            Self::NoUser => 20,
        })
    }

    fn words(self) -> &'static str {
        match self {
            Self::Fail => "generic failure",
            Self::NoMechanism => "no mechanism available",
            Self::BadParameter => "invalid parameter supplied",
            Self::Mismatch => "passwords don't match; aborting",
            Self::NoUser => "user not found",
        }
    }

    fn because(self, detail: impl Into<String>) -> Failure {
        Failure { status: self, detail: Some(detail.into()) }
    }

    fn alone(self) -> Failure {
        Failure { status: self, detail: None }
    }
}

/// How the command line ends before any work is done.
enum Early {
    Help,
    Version,
    /// `-a` with a `/`.
    Name,
    Usage(String),
}

#[derive(Default)]
struct Asked {
    pipe: bool,
    create: bool,
    delete: bool,
    no_plain: bool,
    path: Option<OsString>,
    domain: Option<OsString>,
    userid: OsString,
}

fn main() -> ExitCode {
    let asked = match parse(lexopt::Parser::from_env()) {
        Ok(asked) => asked,
        Err(early) => return early.exit(),
    };
    match run(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, detail }) => {
            match detail {
                Some(detail) => eprintln!("saslpasswd2: {}: {detail}", status.words()),
                None => eprintln!("saslpasswd2: {}", status.words()),
            }
            status.exit()
        }
    }
}

impl Early {
    fn exit(self) -> ExitCode {
        match self {
            Self::Help => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            Self::Version => {
                eprintln!("saslpasswd2 {}", env!("CARGO_PKG_VERSION"));
                return ExitCode::SUCCESS;
            }
            Self::Name => eprintln!("appname must not contain /"),
            Self::Usage(complaint) => eprintln!("saslpasswd2: {complaint}\n{USAGE}"),
        }
        Status::Fail.exit()
    }
}

impl From<lexopt::Error> for Early {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

fn parse(mut arguments: lexopt::Parser) -> Result<Asked, Early> {
    let mut asked = Asked::default();
    let mut operands = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Short('p') => asked.pipe = true,
            Arg::Short('c') => asked.create = true,
            Arg::Short('d') => asked.delete = true,
            Arg::Short('n') => asked.no_plain = true,
            Arg::Short('u') => asked.domain = Some(arguments.value()?),
            Arg::Short('f') => asked.path = Some(arguments.value()?),
            Arg::Short('a') => {
                if arguments.value()?.as_bytes().contains(&b'/') {
                    return Err(Early::Name);
                }
            }
            Arg::Short('v') | Arg::Long("version") => return Err(Early::Version),
            Arg::Long("help") => return Err(Early::Help),
            Arg::Value(operand) => operands.push(operand),
            other => return Err(other.unexpected().into()),
        }
    }
    if asked.create && asked.delete {
        return Err(Early::Usage("-c and -d exclude each other".into()));
    }
    match (operands.pop(), operands.is_empty()) {
        (Some(userid), true) => Ok(Asked { userid, ..asked }),
        _ => Err(Early::Usage("exactly one userid is needed".into())),
    }
}

fn run(asked: &Asked) -> Result<(), Failure> {
    let (user, realm) = identity(asked)?;
    let path = asked.path.clone().unwrap_or_else(|| sasldb::DEFAULT_PATH.into());
    let path = PathBuf::from(path);
    if asked.delete {
        return delete(&path, &user, &realm);
    }
    if asked.no_plain {
        return Err(Status::NoMechanism.because("only userPassword can be set; leave out -n"));
    }
    let password = password(asked)?;
    set(asked, &path, &user, &realm, &password)
}

/// User and realm: split at the first `@`, else `-u`, else the host's name in lower case, as libsasl2 does it.
fn identity(asked: &Asked) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let userid = asked.userid.as_bytes();
    if let Some(at) = userid.iter().position(|byte| *byte == b'@') {
        let (user, realm) = userid.split_at(at);
        return Ok((user.to_vec(), realm.get(1..).unwrap_or_default().to_vec()));
    }
    let realm = match &asked.domain {
        Some(domain) if !domain.is_empty() => domain.as_bytes().to_vec(),
        _ => nix::unistd::gethostname()
            .map_err(|error| Status::Fail.because(format!("gethostname: {error}")))?
            .into_vec()
            .to_ascii_lowercase(),
    };
    Ok((userid.to_vec(), realm))
}

fn set(
    asked: &Asked,
    path: &Path,
    user: &[u8],
    realm: &[u8],
    password: &[u8],
) -> Result<(), Failure> {
    let changed = sasldb::change(path, Format::berkeley(), |records| {
        if !asked.create && !records.knows(user, realm) {
            return Edit::Leave(Err(Status::NoUser.alone()));
        }
        if records.set_password(user, realm, password) {
            Edit::Save(Ok(()))
        } else {
            Edit::Leave(Err(Status::BadParameter.because("a name must not contain NUL")))
        }
    });
    changed.unwrap_or_else(|error| Err(Status::Fail.because(error.to_string())))
}

fn delete(path: &Path, user: &[u8], realm: &[u8]) -> Result<(), Failure> {
    let changed = sasldb::change(path, Format::berkeley(), |records| {
        if records.remove_user(user, realm) {
            Edit::Save(Ok(()))
        } else {
            Edit::Leave(Err(Status::NoUser.alone()))
        }
    });
    changed.unwrap_or_else(|error| Err(Status::Fail.because(error.to_string())))
}

/// From the terminal twice, from anything else once.
fn password(asked: &Asked) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let stdin = io::stdin();
    let terminal = stdin.is_terminal();
    let read = |prompt: &str| {
        // A descriptor of our own: the standard library's buffer would keep the password.
        let source = stdin.as_fd().try_clone_to_owned().map(File::from)?;
        if terminal { from_terminal(source, prompt) } else { to_the_end(source, LONGEST + 2) }
    };
    let failed =
        |error: io::Error| Status::Fail.because(format!("cannot read the password: {error}"));
    let asks = terminal && !asked.pipe;
    let mut password = read(if asks { "Password: " } else { "" }).map_err(failed)?;
    if asks {
        let again = read("Again (for verification): ").map_err(failed)?;
        if *again != *password {
            return Err(Status::Mismatch.alone());
        }
    }
    if password.last() == Some(&b'\n') {
        password.pop();
    }
    if password.is_empty() {
        return Err(Status::BadParameter.alone());
    }
    if password.len() > LONGEST {
        let line = format!("the password is longer than {LONGEST} bytes");
        return Err(Status::BadParameter.because(line));
    }
    if password.contains(&0) {
        return Err(Status::BadParameter.because("the password contains a NUL byte"));
    }
    Ok(password)
}

/// Reads up to `most` bytes until the input ends, into a buffer that never moves.
fn to_the_end(source: File, most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 64));
    source.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One line, without echo; a terminal hands over a line at a time.
fn from_terminal(mut terminal: File, prompt: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(prompt.as_bytes())?;
    stdout.flush()?;
    let quiet = Quiet::begin(&terminal)?;
    // 4096 bytes is the longest line of a Linux terminal.
    let mut line = Zeroizing::new(vec![0; 4096]);
    let read = terminal.read(&mut line);
    drop(quiet);
    line.truncate(read?);
    if line.last().is_some_and(|last| *last != b'\n') {
        stdout.write_all(b"\n")?;
        stdout.flush()?;
    }
    Ok(line)
}

/// The time in which a terminal does not echo; its settings come back at the end.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn begin(terminal: &File) -> io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_flags &= !(LocalFlags::ECHO
            | LocalFlags::ECHOE
            | LocalFlags::ECHOK
            | LocalFlags::ECHOCTL
            | LocalFlags::ECHOPRT
            | LocalFlags::ECHOKE);
        quiet.local_flags |= LocalFlags::ICANON | LocalFlags::ECHONL;
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing left to restore.
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
    }
}
