//! Opens SQLite files and keeps them open: flags, limits, deadlines, and the return of a file that went away.
//!
//! Used in the checker and in the operator's tools. The file is not trusted: it may be missing, locked, damaged,
//! replaced by another, or be no database at all. Each of these is a [`Trouble`], and is over when the file is
//! right again, without a restart.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use credentials::Trouble;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// How long one statement may compute; a lookup needs a few microseconds.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1);

/// SQLite asks about the deadline after so many of its instructions, some tens of microseconds.
const INSTRUCTIONS_BETWEEN_LOOKS: i32 = 1000;

/// No row of ours is near this, and a query may not build more in memory.
const LONGEST_VALUE: i32 = 1 << 20;

/// Why work on a database did not come to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite said so.
    Sqlite(rusqlite::Error),
    /// We say so: the words after the path in the log line.
    Said(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    /// The line for the log. SQLite's own messages name tables and columns, never values.
    pub(crate) fn at(&self, path: &Path) -> Trouble {
        let path = path.display();
        let text = match self {
            Self::Said(text) => return Trouble::new(format!("{path}: {text}")),
            Self::Sqlite(error) => error,
        };
        match text.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::new(format!(
                "{path}: it is locked by another program; see what holds it open"
            )),
            Some(ErrorCode::OperationInterrupted) => Trouble::new(format!(
                "{path}: the query took longer than {} s; give it an index",
                DEADLINE.as_secs()
            ))
            .with_one_name(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Trouble::new(format!("{path}: it is damaged ({text}); restore it from a backup"))
            }
            _ => Trouble::new(format!("{path}: {text}")),
        }
    }

    /// Whether the connection is as good as before.
    fn passes(&self) -> bool {
        let Self::Sqlite(error) = self else { return false };
        matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::OperationInterrupted
            )
        )
    }
}

/// Which file a path leads to, and in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Identity {
    /// Follows the path as opening it would.
    pub(crate) fn of(path: &Path) -> Result<Self, Fault> {
        match fs::metadata(path) {
            Ok(found) if found.is_file() => Ok(Self::from(&found)),
            // Opening a named pipe would wait until somebody writes into it.
            Ok(_) => Err(Fault::Said("it is not a regular file".into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Fault::Said("there is no such file".into()))
            }
            Err(error) => Err(Fault::Said(error.to_string())),
        }
    }

    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

impl From<&Metadata> for Identity {
    fn from(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        }
    }
}

/// Ends statements that take longer than [`DEADLINE`].
#[derive(Clone)]
pub(crate) struct Deadline {
    base: Instant,
    /// Nanoseconds after `base`.
    end: Arc<AtomicU64>,
}

impl Deadline {
    /// Gives each statement of `connection` its deadline; before the first [`Self::start`] there is none.
    fn install(connection: &mut Connection) -> rusqlite::Result<Self> {
        let deadline = Self { base: Instant::now(), end: Arc::new(AtomicU64::new(u64::MAX)) };
        let watched = deadline.clone();
        connection
            .progress_handler(INSTRUCTIONS_BETWEEN_LOOKS, Some(move || watched.has_passed()))?;
        Ok(deadline)
    }

    fn start(&self, span: Duration) {
        self.end.store(self.after_base().saturating_add(nanoseconds(span)), Ordering::Relaxed);
    }

    fn has_passed(&self) -> bool {
        self.after_base() > self.end.load(Ordering::Relaxed)
    }

    fn after_base(&self) -> u64 {
        nanoseconds(self.base.elapsed())
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// How a kind of database is opened, and when its file counts as another.
pub(crate) trait Opener {
    /// Opens, sets and checks the database.
    fn open(&self, path: &Path) -> Result<Connection, Fault>;

    /// Whether a connection that was opened at `before` may go on at `now`.
    fn may_go_on(&self, before: &Identity, now: &Identity) -> bool;
}

/// A connection that is opened when it is first needed, and again when the path leads to another file or when the
/// last work on it failed.
pub(crate) struct Reopening<O> {
    path: PathBuf,
    opener: O,
    current: Option<Current>,
}

struct Current {
    connection: Connection,
    identity: Identity,
    deadline: Deadline,
}

impl<O: Opener> Reopening<O> {
    pub(crate) fn new(path: &Path, opener: O) -> Self {
        Self { path: path.to_owned(), opener, current: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Does `work` within [`DEADLINE`], on a connection to the file that is there now.
    pub(crate) fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, Trouble> {
        let outcome = self.ready().and_then(|current| {
            current.deadline.start(DEADLINE);
            work(&mut current.connection)
        });
        outcome.map_err(|fault| {
            if !fault.passes() {
                self.current = None;
            }
            fault.at(&self.path)
        })
    }

    fn ready(&mut self) -> Result<&mut Current, Fault> {
        let identity = Identity::of(&self.path)?;
        let goes_on = self
            .current
            .take()
            .filter(|current| self.opener.may_go_on(&current.identity, &identity));
        let current = match goes_on {
            Some(current) => current,
            None => {
                let mut connection = self.opener.open(&self.path)?;
                let deadline = Deadline::install(&mut connection)?;
                Current { connection, identity, deadline }
            }
        };
        Ok(self.current.insert(current))
    }
}

/// What every connection gets, whosever database it is.
fn set_up(connection: &Connection, busy: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(busy)?;
    // Views, triggers and defaults of a foreign file must not call functions with side effects.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Plans that depend on bound values would be made anew for each name, which takes ten times as long as the lookup.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.set_prepared_statement_cache_capacity(8);
    Ok(())
}

/// Opens the account database for writing; it must be there.
///
/// The directory is resolved first and the file itself may not be a symbolic link: a tool of root's opens a path
/// in a directory that belongs to the checker.
pub(crate) fn open_accounts(path: &Path, busy: Duration) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let path = resolve(path)?;
    if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.mode() & 0o002 != 0) {
        return Err(Fault::Said("anybody may write to it; take that away with chmod o-w".into()));
    }
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection, busy)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Deleted and replaced hashes are overwritten and not only unlinked.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    Ok(connection)
}

/// Opens somebody else's database for reading alone.
pub(crate) fn open_foreign(path: &Path, busy: Duration) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // Absolute, since SQLite would take `file:…` for an address with options.
    let path = std::path::absolute(path).map_err(|error| Fault::Said(error.to_string()))?;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection, busy)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// The path with its directory resolved and its last part as it stands.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, Fault> {
    let name = path.file_name().ok_or_else(|| Fault::Said("this is no name of a file".into()))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = fs::canonicalize(directory)
        .map_err(|error| Fault::Said(format!("its directory cannot be used: {error}")))?;
    Ok(directory.join(name))
}
