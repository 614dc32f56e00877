//! `testsaslauthd`: asks a saslauthd socket whether it accepts a name and a password.
//!
//! Run by anybody who may connect to the socket; what it sends is whatever it is given, since it is there to try things
//! out. Options, output and exit statuses are those of Cyrus's program of the same name (0 accepted, 255 refused or
//! no answer, 1 usage), except:
//!
//! - without `-p` the password is asked for on the terminal, or read as the first line of standard input (Cyrus:
//!   usage, as ours if there is nothing to read); with `-p` a warning says that every user of the machine sees it;
//! - with `-R` every answer counts, so that one that is not OK makes the status 255 (Cyrus: the last one);
//! - a daemon that says nothing is given up after 30 seconds (Cyrus waits for ever);
//! - fields may have up to 65535 bytes, and longer ones are an error (Cyrus overruns a buffer of 8162 bytes);
//! - `-a` states a client address, as in Cyrus's development branch;
//! - the text of usage is our own, and `--help` and `--version` exist.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lexopt::Arg;
use protocol::{Address, Password, Rejected, client, mux};
use tools::connect;
use tools::terminal::Terminal;
use zeroize::Zeroizing;

const USAGE: &str = "\
usage: testsaslauthd -u username [-p password] [-r realm] [-s service] [-f socket] [-R count] [-a address]
\t-u username\tthe login to try
\t-p password\tits password, for everybody to see; otherwise it is asked for or read from standard input
\t-r realm\tthe realm, empty by default
\t-s service\tthe service, imap by default
\t-f socket\tthe socket, /var/run/saslauthd/mux by default
\t-R count\task so often
\t-a address\tstate the client's address, as ip;port
\t--help\t\tthis text
\t--version\tthe version
";
const DEFAULT_SOCKET: &str = "/var/run/saslauthd/mux";
/// Cyrus's `-1`.
const REFUSED: u8 = 255;
const PATIENCE: Duration = Duration::from_secs(30);

struct Options {
    user: OsString,
    password: Option<Zeroizing<Vec<u8>>>,
    realm: OsString,
    service: OsString,
    socket: PathBuf,
    count: i64,
    address: Option<Address>,
}

/// How it ends without asking.
enum Early {
    Print(String),
    Usage(String),
    Failed(String),
}

fn main() -> ExitCode {
    let asked = options(lexopt::Parser::from_env()).and_then(ask);
    match asked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(REFUSED),
        Err(Early::Print(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(Early::Usage(wrong)) => {
            eprintln!("testsaslauthd: {wrong}\n{USAGE}");
            ExitCode::from(1)
        }
        Err(Early::Failed(wrong)) => {
            eprintln!("testsaslauthd: {wrong}");
            ExitCode::from(1)
        }
    }
}

impl From<lexopt::Error> for Early {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

fn options(mut arguments: lexopt::Parser) -> Result<Options, Early> {
    let mut user = None;
    let mut options = Options {
        user: OsString::new(),
        password: None,
        realm: OsString::new(),
        service: "imap".into(),
        socket: DEFAULT_SOCKET.into(),
        count: 1,
        address: None,
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Short('u') => user = Some(arguments.value()?),
            Arg::Short('p') => {
                options.password = Some(Zeroizing::new(arguments.value()?.into_vec()));
            }
            Arg::Short('r') => options.realm = arguments.value()?,
            Arg::Short('s') => options.service = arguments.value()?,
            Arg::Short('f') => options.socket = arguments.value()?.into(),
            Arg::Short('R') => options.count = count(&arguments.value()?),
            Arg::Short('a') => {
                let stated = Address::parse(arguments.value()?.as_bytes());
                let wrong = || Early::Usage("-a takes an address as ip;port".into());
                options.address = Some(stated.ok_or_else(wrong)?);
            }
            Arg::Long("help") => return Err(Early::Print(USAGE.into())),
            Arg::Long("version") => {
                let version = concat!("testsaslauthd ", env!("CARGO_PKG_VERSION"), "\n");
                return Err(Early::Print(version.into()));
            }
            // Cyrus looks at no word that is not an option's.
            Arg::Value(_) => {}
            other => return Err(other.unexpected().into()),
        }
    }
    options.user = user.ok_or_else(|| Early::Usage("-u is missing".into()))?;
    Ok(options)
}

/// As atoi(3), and 0 is 1: scripts of Cyrus's days say `-R ""`.
fn count(text: &OsString) -> i64 {
    let text = text.to_string_lossy();
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    match digits.get(..end).unwrap_or_default().parse::<u32>() {
        Ok(0) | Err(_) => 1,
        Ok(number) => sign * i64::from(number),
    }
}

/// Asks as often as wanted, and prints each answer as Cyrus's program does; whether all were OK.
fn ask(options: Options) -> Result<bool, Early> {
    let Options { user, password, realm, service, socket, count, address } = options;
    let password = match password {
        Some(password) => {
            eprintln!(
                "testsaslauthd: warning: everybody on this machine can see a password after -p"
            );
            password
        }
        None => typed()?,
    };
    let fields = [user.as_bytes(), &password, service.as_bytes(), realm.as_bytes()];
    let request = mux::encode_fields(fields, address).map_err(|why: Rejected| {
        Early::Failed(format!("a field cannot be sent: {why}, at most 65535 bytes"))
    })?;
    let mut accepted = true;
    for turn in 0..count {
        print!("{turn}: ");
        let shown = io::stdout().flush();
        shown.map_err(|error| Early::Failed(format!("cannot write: {error}")))?;
        accepted &= ask_once(&socket, &request);
    }
    Ok(accepted)
}

fn ask_once(socket: &Path, request: &[u8]) -> bool {
    let answer = connect::within(socket, PATIENCE)
        .and_then(|stream| client::mux_reply(stream, request, PATIENCE))
        .map(|reply| meaning(&reply));
    match &answer {
        Ok(Ok(true)) => println!("OK \"Success.\""),
        Ok(Ok(false)) => println!("NO \"authentication failed\""),
        Ok(Err(wrong)) => eprintln!("{wrong}"),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
        {
            eprintln!("no answer for {} seconds", PATIENCE.as_secs());
        }
        Err(error) => eprintln!("connect() : {}", without_number(error)),
    }
    matches!(answer, Ok(Ok(true)))
}

/// What Cyrus's program makes of a reply: it reads at most 1023 bytes of text, of which two count.
fn meaning(reply: &[u8]) -> Result<bool, &'static str> {
    let Some((length, text)) = reply.split_first_chunk() else { return Err("size read failed") };
    let length = usize::from(u16::from_be_bytes(*length)).min(1023);
    match text.get(..2) {
        _ if length < 2 => Err("bad response from saslauthd"),
        Some(word) if text.len() >= length => Ok(word == b"OK"),
        _ => Err("read failed"),
    }
}

/// The system's own words, as perror(3) prints them.
fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// From the terminal, or the first line of standard input.
fn typed() -> Result<Zeroizing<Vec<u8>>, Early> {
    let failed = |error: io::Error| Early::Failed(format!("cannot read the password: {error}"));
    if io::stdin().is_terminal() {
        return Terminal::quiet()
            .and_then(|mut terminal| terminal.ask("Password: "))
            .map_err(failed);
    }
    // A descriptor of our own: the standard library's buffer would keep the password.
    let input = io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(failed)?;
    let mut line = Zeroizing::new(Vec::with_capacity(Password::MAX + 64));
    input.take(Password::MAX as u64 + 1).read_to_end(&mut line).map_err(failed)?;
    if line.is_empty() {
        return Err(Early::Usage("-p is missing, and there is nothing on standard input".into()));
    }
    if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
        line.truncate(end);
    }
    Ok(line)
}
