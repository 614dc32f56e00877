//! `sasldblistusers2`: who is in a sasldb, and with which properties; never a value.
//!
//! Run by the operator. It trusts its command line and nothing in the file, which it only reads, in any of the
//! formats that libsasl2 is built with. Takes the options of Cyrus's program of the same name and prints what that
//! prints, `user@realm: property` in the file's own order, except:
//!
//! - a file that cannot be read is exit status 1, with the reason (Cyrus: `listusers failed`, exit status 0);
//! - a key without exactly two NULs is skipped and counted on stderr (Cyrus 2.1.28 spins for ever);
//! - control characters of a name are shown as `\xHH` (Cyrus: raw, so that a name can forge lines);
//! - nothing is logged to syslog (Cyrus: `DB failure in _sasldb_getnextkey` at each normal end);
//! - the text of usage and version is our own, and `--help` and `--version` exist.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use credentials::sasldb::{self, Records};
use lexopt::Arg;

const USAGE: &str = "\
usage: sasldblistusers2 [-v] [[-f] sasldb]
\t-f sasldb\tlist this file instead of /etc/sasldb2
\t-v, --version\tprint the version and exit
\t--help\tthis text
";

/// `-SASL_FAIL`, Cyrus's exit status for whatever goes wrong.
const FAILURE: u8 = 1;

enum Asked {
    List(PathBuf),
    Version,
    Help,
}

fn main() -> ExitCode {
    let path = match parse(lexopt::Parser::from_env()) {
        Ok(Asked::List(path)) => path,
        Ok(Asked::Version) => {
            eprintln!("sasldblistusers2 {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Help) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(complaint) => {
            eprintln!("sasldblistusers2: {complaint}\n{USAGE}");
            return ExitCode::from(FAILURE);
        }
    };
    let records = match sasldb::read(&path) {
        Ok(records) => records,
        Err(error) => {
            eprintln!("sasldblistusers2: {error}\nlistusers failed");
            return ExitCode::from(FAILURE);
        }
    };
    if let Err(error) = list(&records, &mut io::stdout().lock()) {
        // Whoever closed the pipe has seen enough.
        if error.kind() != io::ErrorKind::BrokenPipe {
            eprintln!("sasldblistusers2: cannot write: {error}");
        }
        return ExitCode::from(FAILURE);
    }
    match records.bad_keys() {
        0 => {}
        bad => eprintln!("sasldblistusers2: {bad} keys skipped that are not user, realm, property"),
    }
    ExitCode::SUCCESS
}

fn parse(mut arguments: lexopt::Parser) -> Result<Asked, lexopt::Error> {
    let mut option = None;
    let mut operand: Option<OsString> = None;
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Short('f') => option = Some(arguments.value()?),
            Arg::Short('v') | Arg::Long("version") => return Ok(Asked::Version),
            Arg::Long("help") => return Ok(Asked::Help),
            Arg::Value(path) if operand.is_none() && option.is_none() => operand = Some(path),
            other => return Err(other.unexpected()),
        }
    }
    let path = option.or(operand).unwrap_or_else(|| sasldb::DEFAULT_PATH.into());
    Ok(Asked::List(path.into()))
}

fn list(records: &Records, to: &mut impl Write) -> io::Result<()> {
    let mut to = io::BufWriter::new(to);
    for key in records.iter().filter_map(sasldb::Record::key) {
        shown(key.user, &mut to)?;
        to.write_all(b"@")?;
        shown(key.realm, &mut to)?;
        to.write_all(b": ")?;
        shown(key.property, &mut to)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}

/// The bytes as they are, whatever their character set, but for control characters.
fn shown(bytes: &[u8], to: &mut impl Write) -> io::Result<()> {
    for byte in bytes {
        if byte.is_ascii_control() {
            write!(to, "\\x{byte:02x}")?;
        } else {
            to.write_all(&[*byte])?;
        }
    }
    Ok(())
}
