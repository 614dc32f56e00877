//! `checkpassword`: lets programs that know Bernstein's checkpassword interface ask a saslauthd socket.
//!
//! Run by a mail server (Dovecot 2.3's `passdb checkpassword`, qmail-popup) as whoever that runs as. It reads
//! `login NUL password NUL timestamp NUL` from descriptor 3, asks the daemon, and becomes the program on its command line
//! when the daemon accepts. It trusts its command line and its environment, in which the mail server states the client's
//! address; it must never run the program on anything but an accepted password, nor print to standard output, where the
//! mail client listens. Interface and exit statuses (1 refused, 2 misused, 111 try again later) are those of
//! <https://cr.yp.to/checkpwd/interface.html>, except:
//!
//! - whose home, shell, uid and gid the program gets is asked for with `-u`; without it USER is set, and HOME and SHELL, which
//!   are the mail server's own, are taken away (the original always becomes the user);
//! - a daemon that is away, or closes without an answer, or says nothing for 30 seconds, is 111 and never 1;
//! - Dovecot's lookups without a password (AUTHORIZED, CREDENTIALS_LOOKUP) are 111: the socket answers only passwords;
//! - `--help` and `--version` exist.
//!
//! The original has the same name and often the same place. Install this one where your mail server is told to look, such as
//! /usr/lib/saslauthd/checkpassword, or under another name; it makes nothing of what it is called.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use lexopt::Arg;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::User;
use protocol::{Address, Answer, client, mux};
use tools::connect;
use zeroize::Zeroizing;

const USAGE: &str = "\
usage: checkpassword [-f socket] [-s service] [-r realm] [-t seconds] [-u] program [argument ...]
\t-f socket\tthe socket, /var/run/saslauthd/mux by default
\t-s service\tthe service; by default what SERVICE in the environment says, or checkpassword
\t-r realm\tthe realm of a login without @, empty by default
\t-t seconds\thow long to wait for the daemon, 1 to 3600, 30 by default
\t-u\t\tbecome the login's user of /etc/passwd, with its HOME and SHELL, before the program runs
\t--help\t\tthis text
\t--version\tthe version
";
const DEFAULT_SOCKET: &str = "/var/run/saslauthd/mux";
const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);
const LONGEST_PATIENCE: u64 = 3600;
/// Where the interface puts login and password.
const DESCRIPTOR: i32 = 3;
/// The most bytes that the interface puts there.
const MOST: usize = 512;

/// What the command line says.
struct Options {
    socket: PathBuf,
    service: OsString,
    realm: OsString,
    patience: Duration,
    account: Account,
    program: OsString,
    arguments: Vec<OsString>,
}

/// Whose environment and identity the program gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Account {
    /// The mail server's, which knows better.
    Inherited,
    /// Those of /etc/passwd.
    System,
}

/// How it ends without becoming the program.
enum Early {
    Print(String),
    /// Called wrongly, or too little on descriptor 3: 2.
    Misused(String),
    /// The login or the password is wrong: 1.
    Refused,
    /// Nobody knows: 111.
    Later(String),
}

fn main() -> ExitCode {
    let Err(early) = options(lexopt::Parser::from_env()).and_then(|options| run(&options));
    match early {
        Early::Print(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Early::Misused(wrong) => {
            eprintln!("checkpassword: {wrong}\n{USAGE}");
            ExitCode::from(2)
        }
        Early::Refused => ExitCode::from(1),
        Early::Later(why) => {
            eprintln!("checkpassword: {why}");
            ExitCode::from(111)
        }
    }
}

impl From<lexopt::Error> for Early {
    fn from(error: lexopt::Error) -> Self {
        Self::Misused(error.to_string())
    }
}

fn options(mut arguments: lexopt::Parser) -> Result<Options, Early> {
    let mut options = Options {
        socket: DEFAULT_SOCKET.into(),
        service: env::var_os("SERVICE").unwrap_or_else(|| "checkpassword".into()),
        realm: OsString::new(),
        patience: DEFAULT_PATIENCE,
        account: Account::Inherited,
        program: OsString::new(),
        arguments: Vec::new(),
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Short('f') => options.socket = arguments.value()?.into(),
            Arg::Short('s') => options.service = arguments.value()?,
            Arg::Short('r') => options.realm = arguments.value()?,
            Arg::Short('t') => options.patience = patience(&arguments.value()?)?,
            Arg::Short('u') => options.account = Account::System,
            Arg::Long("help") => return Err(Early::Print(USAGE.into())),
            Arg::Long("version") => {
                let version = concat!("checkpassword ", env!("CARGO_PKG_VERSION"), "\n");
                return Err(Early::Print(version.into()));
            }
            // All that follows is the program's, options too.
            Arg::Value(program) => {
                options.program = program;
                options.arguments = arguments.raw_args()?.collect();
                return Ok(options);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Err(Early::Misused("the program to run is missing".into()))
}

fn patience(text: &OsStr) -> Result<Duration, Early> {
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    let seconds = seconds.filter(|seconds| (1..=LONGEST_PATIENCE).contains(seconds));
    let wrong = || Early::Misused(format!("-t takes seconds, 1 to {LONGEST_PATIENCE}"));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// Returns only when the program does not run.
fn run(options: &Options) -> Result<std::convert::Infallible, Early> {
    // Dovecot wants to know of an account without a password, and takes the program's run for "it exists".
    if env::var_os("AUTHORIZED").is_some() || env::var_os("CREDENTIALS_LOOKUP").is_some() {
        return Err(Early::Later(
            "lookups without a password are not answered; use another userdb (passwd, static, prefetch)".into(),
        ));
    }
    let received = receive()?;
    let (login, password) = split(&received)?;
    match ask(options, login, password)? {
        Answer::Accept => Err(become_program(options, OsStr::from_bytes(login))),
        Answer::Refuse => Err(Early::Refused),
        Answer::Unavailable => Err(Early::Later("the daemon closed without an answer".into())),
    }
}

/// All that is on descriptor 3, which is closed then: the program must not get the password.
fn receive() -> Result<Zeroizing<Vec<u8>>, Early> {
    // One byte more than there may be, and never moved, so that no copy stays behind.
    let mut bytes = Zeroizing::new(vec![0; MOST + 1]);
    let mut length = 0;
    let mut source = Source::open().map_err(unreadable)?;
    while let Some(room) = bytes.get_mut(length..).filter(|room| !room.is_empty()) {
        match source.read(room) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    nix::unistd::close(DESCRIPTOR).map_err(|error| unreadable(error.into()))?;
    if length > MOST {
        return Err(Early::Refused);
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn unreadable(error: io::Error) -> Early {
    Early::Later(format!("cannot read descriptor {DESCRIPTOR}: {error}"))
}

/// Descriptor 3, read without owning it.
enum Source {
    /// A pipe or a file, opened once more.
    File(File),
    /// A socket, which cannot be.
    Socket,
}

impl Source {
    fn open() -> io::Result<Self> {
        match File::open(format!("/dev/fd/{DESCRIPTOR}")) {
            Ok(file) => Ok(Self::File(file)),
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => Ok(Self::Socket),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(room),
            Self::Socket => Ok(recv(DESCRIPTOR, room, MsgFlags::empty())?),
        }
    }
}

/// Login and password; the timestamp, and whatever follows, is for schemes that send no password.
fn split(received: &[u8]) -> Result<(&[u8], &[u8]), Early> {
    let mut fields = received.split(|byte| *byte == 0);
    match (fields.next(), fields.next(), fields.next()) {
        (Some(login), Some(password), Some(_)) => Ok((login, password)),
        _ => Err(Early::Misused(format!("no login and password on descriptor {DESCRIPTOR}"))),
    }
}

fn ask(options: &Options, login: &[u8], password: &[u8]) -> Result<Answer, Early> {
    let Options { socket, service, realm, patience, .. } = options;
    // At the last @, as libsasl2 does, so that Cyrus's daemon understands it too.
    let at = login.iter().rposition(|byte| *byte == b'@').and_then(|at| login.split_at_checked(at));
    let (user, realm) = at.map_or((login, realm.as_bytes()), |(user, realm)| {
        (user, realm.get(1..).unwrap_or_default())
    });
    let fields = [user, password, service.as_bytes(), realm];
    let request = mux::encode_fields(fields, address())
        .map_err(|why| Early::Misused(format!("-s or -r cannot be sent: {why}")))?;
    let began = Instant::now();
    connect::within(socket, *patience)
        .and_then(|stream| {
            let left = patience.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
            client::ask_mux_over(stream, &request, left)
        })
        .map_err(|error| Early::Later(format!("{}: {}", socket.display(), in_words(&error))))
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".into(),
        _ => error.to_string(),
    }
}

/// The mail client's, as tcpserver and Dovecot state it; its port only when it is one.
fn address() -> Option<Address> {
    let ip = env::var_os("TCPREMOTEIP")?;
    let address = Address::parse(ip.as_bytes())?;
    let port = env::var("TCPREMOTEPORT").ok().and_then(|port| port.parse().ok());
    Some(Address { port, ..address })
}

/// Returns only when the program cannot be executed.
fn become_program(options: &Options, login: &OsStr) -> Early {
    let mut command = Command::new(&options.program);
    command.args(&options.arguments).env("USER", login).env_remove("HOME").env_remove("SHELL");
    if options.account == Account::System {
        match login.to_str().map(User::from_name) {
            Some(Ok(Some(user))) => {
                // As root this drops every other group too.
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
                command.current_dir(&user.dir).env("HOME", &user.dir).env("SHELL", &user.shell);
            }
            Some(Err(error)) => return Early::Later(format!("cannot look up the user: {error}")),
            _ => return Early::Later("the login is no user of this system".into()),
        }
    }
    let error = command.exec();
    Early::Later(format!("cannot become {}: {error}", options.program.display()))
}
