//! Dovecot's userdb protocol, major 1, from both ends: is there such a user, and where does the mail go.
//!
//! The listener decodes [`Request`]s and writes [`Reply`]s; chasquid, Dovecot's LMTP and doveadm do the reverse. No I/O.
//! Nothing is trusted: lines have at most [`MAX_LINE`] bytes, and a flaw in one request is told apart from one of the
//! connection. No reply has room for a secret. Sources: Dovecot's `auth-master-connection.c` and `lib-auth`'s
//! `auth-master.c`; chasquid `internal/dovecot`.

use std::num::NonZeroU32;

use crate::Name;
use crate::auth::{Unspeakable, Version, is_speakable};
use crate::lines::{escape, fields, id, number, push, unescape};

/// The version of both ends.
pub const VERSION: Version = Version { major: 1, minor: 1 };
/// Longest line of a client, in bytes without its line feed.
pub const MAX_LINE: usize = 1024;
/// Longest line of a server.
pub const MAX_REPLY: usize = 8192;

/// A request's number.
pub type Id = NonZeroU32;

/// One line of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Its version, before anything else.
    Version(Version),
    /// Whether there is this user.
    User(Lookup),
    /// The same with its password, which nobody gets.
    Pass(Lookup),
    /// All users that a mask matches.
    List {
        /// Its number.
        id: Id,
        /// With `*` and `?`; `*` when the client gave none.
        mask: Name,
    },
    /// Forget remembered successes.
    Flush {
        /// Its number.
        id: Id,
        /// Masks of users; none for all.
        masks: Vec<Name>,
    },
}

/// Who is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Its number.
    pub id: Id,
    /// The user; never empty.
    pub user: Name,
    /// For what service; must be there.
    pub service: Name,
}

/// Whom a flawed line concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// One request, which fails; all others go on.
    Request(Id),
    /// Nobody can be told.
    Connection,
}

/// One line of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Its version.
    Version(Version),
    /// Its process.
    Spid(u32),
    /// There is this user.
    User {
        /// Whose lookup.
        id: Id,
        /// By the name that it has here.
        user: Name,
        /// `uid`, `gid`, `home` and the like, with their values.
        fields: Vec<(Name, Name)>,
    },
    /// There is none.
    NotFound(Id),
    /// Nobody knows, or the peer may not ask.
    Failed(Id),
    /// One user of a list.
    Listed {
        /// Whose list.
        id: Id,
        /// The user.
        user: Name,
    },
    /// The end of a list.
    ListDone {
        /// Whose list.
        id: Id,
        /// Whether it is whole.
        end: ListEnd,
    },
    /// What a flush removed.
    Flushed {
        /// Whose flush.
        id: Id,
        /// How many entries.
        count: u32,
    },
}

/// How a list ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListEnd {
    /// That was all.
    Whole,
    /// There may be more users.
    Failed,
}

impl Request {
    /// Reads a line without its line feed.
    ///
    /// # Errors
    /// A [`Mistake`]; it names the request where the line has its number.
    pub fn decode(line: &[u8]) -> Result<Self, Mistake> {
        let mut parts = fields(line);
        let verb = parts.next().unwrap_or_default();
        if verb == b"VERSION" {
            return version(parts).map(Self::Version).ok_or(Mistake::Connection);
        }
        if !matches!(verb, b"USER" | b"PASS" | b"LIST" | b"CACHE-FLUSH") {
            return Err(Mistake::Connection);
        }
        let id = parts.next().and_then(id).ok_or(Mistake::Connection)?;
        let request = match verb {
            b"USER" => lookup(id, parts).map(Self::User),
            b"PASS" => lookup(id, parts).map(Self::Pass),
            b"LIST" => list(id, parts),
            _ => parts.map(mask).collect::<Option<_>>().map(|masks| Self::Flush { id, masks }),
        };
        request.ok_or(Mistake::Request(id))
    }

    /// Appends the line with its line feed.
    ///
    /// # Errors
    /// [`Unspeakable`] when it is longer than [`MAX_LINE`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Unspeakable> {
        let mut line = Vec::new();
        match self {
            Self::Version(stated) => write_version(*stated, &mut line),
            Self::User(lookup) => lookup.encode("USER", &mut line),
            Self::Pass(lookup) => lookup.encode("PASS", &mut line),
            Self::List { id, mask } => {
                line.extend_from_slice(format!("LIST\t{id}").as_bytes());
                push(&mut line, b"user=", mask.as_bytes());
            }
            Self::Flush { id, masks } => {
                line.extend_from_slice(format!("CACHE-FLUSH\t{id}").as_bytes());
                masks.iter().for_each(|mask| push(&mut line, b"", mask.as_bytes()));
            }
        }
        finish(line, MAX_LINE, out)
    }
}

impl Lookup {
    fn encode(&self, verb: &str, line: &mut Vec<u8>) {
        line.extend_from_slice(format!("{verb}\t{}", self.id).as_bytes());
        push(line, b"", self.user.as_bytes());
        push(line, b"service=", self.service.as_bytes());
    }
}

impl Reply {
    /// Appends the line with its line feed.
    ///
    /// # Errors
    /// [`Unspeakable`] for a user or a value that clients can't read, and for a line over [`MAX_REPLY`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Unspeakable> {
        let mut line = Vec::new();
        let speakable = |user: &Name| is_speakable(user).then_some(()).ok_or(Unspeakable);
        match self {
            Self::Version(stated) => write_version(*stated, &mut line),
            Self::Spid(pid) => line.extend_from_slice(format!("SPID\t{pid}").as_bytes()),
            Self::User { id, user, fields } => {
                speakable(user)?;
                line.extend_from_slice(format!("USER\t{id}").as_bytes());
                push(&mut line, b"", user.as_bytes());
                for (key, value) in fields {
                    speakable(key)?;
                    push(&mut line, key.as_bytes(), b"");
                    line.push(b'=');
                    escape(value.as_bytes(), &mut line);
                }
            }
            Self::NotFound(id) => line.extend_from_slice(format!("NOTFOUND\t{id}").as_bytes()),
            Self::Failed(id) => line.extend_from_slice(format!("FAIL\t{id}").as_bytes()),
            Self::Listed { id, user } => {
                speakable(user)?;
                line.extend_from_slice(format!("LIST\t{id}").as_bytes());
                push(&mut line, b"", user.as_bytes());
            }
            Self::ListDone { id, end } => {
                // The tab at the end of a whole list is Dovecot's.
                let end = if *end == ListEnd::Whole { "" } else { "fail" };
                line.extend_from_slice(format!("DONE\t{id}\t{end}").as_bytes());
            }
            Self::Flushed { id, count } => {
                line.extend_from_slice(format!("OK\t{id}\t{count}").as_bytes());
            }
        }
        finish(line, MAX_REPLY, out)
    }

    /// Reads a line without its line feed. `None` for what is no reply.
    pub fn decode(line: &[u8]) -> Option<Self> {
        let mut parts = fields(line);
        let verb = parts.next()?;
        match verb {
            b"VERSION" => return version(parts).map(Self::Version),
            b"SPID" => return number(parts.next()?).map(Self::Spid),
            _ => {}
        }
        let id = id(parts.next()?)?;
        Some(match verb {
            b"USER" => {
                let user = name(parts.next()?)?;
                Self::User { id, user, fields: parts.filter_map(field).collect() }
            }
            b"NOTFOUND" => Self::NotFound(id),
            b"FAIL" => Self::Failed(id),
            b"LIST" => Self::Listed { id, user: name(parts.next()?)? },
            b"DONE" => {
                let failed = parts.next() == Some(b"fail");
                Self::ListDone { id, end: if failed { ListEnd::Failed } else { ListEnd::Whole } }
            }
            b"OK" => Self::Flushed { id, count: number(parts.next()?)? },
            _ => return None,
        })
    }
}

fn version<'a>(mut parts: impl Iterator<Item = &'a [u8]>) -> Option<Version> {
    Some(Version { major: number(parts.next()?)?, minor: number(parts.next()?)? })
}

fn write_version(stated: Version, line: &mut Vec<u8>) {
    line.extend_from_slice(format!("VERSION\t{}\t{}", stated.major, stated.minor).as_bytes());
}

fn lookup<'a>(id: Id, mut parts: impl Iterator<Item = &'a [u8]>) -> Option<Lookup> {
    let user = name(parts.next()?)?;
    let service = parts.filter_map(service).last()?;
    Some(Lookup { id, user, service: Name::new(&unescape(service)).ok()? })
}

fn service(field: &[u8]) -> Option<&[u8]> {
    field.strip_prefix(b"service=").or_else(|| field.strip_prefix(b"protocol="))
}

fn list<'a>(id: Id, parts: impl Iterator<Item = &'a [u8]>) -> Option<Request> {
    let stated = parts.filter_map(|field| field.strip_prefix(b"user=")).last();
    Some(Request::List { id, mask: mask(stated.unwrap_or(b"*"))? })
}

fn mask(field: &[u8]) -> Option<Name> {
    Name::new(&unescape(field)).ok()
}

fn name(field: &[u8]) -> Option<Name> {
    mask(field).filter(|name| !name.is_empty())
}

/// `key=value`; a bare word has an empty value. What can't be a name is left out.
fn field(field: &[u8]) -> Option<(Name, Name)> {
    let mut halves = field.splitn(2, |byte| *byte == b'=');
    let key = Name::new(halves.next()?).ok().filter(is_speakable)?;
    Some((key, mask(halves.next().unwrap_or_default())?))
}

fn finish(mut line: Vec<u8>, most: usize, out: &mut Vec<u8>) -> Result<(), Unspeakable> {
    if line.len() > most {
        return Err(Unspeakable);
    }
    line.push(b'\n');
    out.extend_from_slice(&line);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(line: &str) -> Result<Request, Mistake> {
        Request::decode(line.as_bytes())
    }

    fn id(number: u32) -> Id {
        Id::new(number).unwrap()
    }

    fn of(bytes: &[u8]) -> Name {
        Name::new(bytes).unwrap()
    }

    #[test]
    fn chasquid_asks_whether_there_is_a_user() {
        let lookup = Lookup { id: id(1), user: of(b"alice"), service: of(b"smtp") };
        assert_eq!(request("USER\t1\talice\tservice=smtp"), Ok(Request::User(lookup.clone())));
        let line = "PASS\t1\talice\tlip=::1\tprotocol=smtp";
        assert_eq!(request(line), Ok(Request::Pass(lookup)));
        for flawed in
            ["USER\t1", "USER\t1\talice", "USER\t1\t\tservice=smtp", "USER\t1\ta\x01r\tservice=x"]
        {
            assert_eq!(request(flawed), Err(Mistake::Request(id(1))), "{flawed}");
        }
        for lost in [
            "",
            "USER",
            "USER\t0\ta\tservice=x",
            "REQUEST\t1\t2\t3\tcookie",
            "user\t1\ta\tservice=x",
        ] {
            assert_eq!(request(lost), Err(Mistake::Connection), "{lost}");
        }
    }

    #[test]
    fn lists_and_flushes_have_masks() {
        let all = Request::List { id: id(2), mask: of(b"*") };
        assert_eq!(request("LIST\t2\tservice=doveadm"), Ok(all));
        let some = Request::List { id: id(2), mask: of(b"a?*") };
        assert_eq!(request("LIST\t2\tuser=a?*\tservice=doveadm"), Ok(some));
        let masks = vec![of(b"alice"), of(b"b*")];
        assert_eq!(request("CACHE-FLUSH\t3\talice\tb*"), Ok(Request::Flush { id: id(3), masks }));
        let all = Request::Flush { id: id(3), masks: Vec::new() };
        assert_eq!(request("CACHE-FLUSH\t3"), Ok(all));
    }

    #[test]
    fn replies_are_dovecots_bytes() {
        let pair = |key: &[u8], value: &[u8]| (of(key), of(value));
        let fields = vec![pair(b"uid", b"8"), pair(b"home", b"/srv/a\tb")];
        let mut out = Vec::new();
        for reply in [
            Reply::Version(VERSION),
            Reply::Spid(7),
            Reply::User { id: id(1), user: of(b"alice"), fields },
            Reply::NotFound(id(2)),
            Reply::Failed(id(3)),
            Reply::Listed { id: id(4), user: of(b"bob") },
            Reply::ListDone { id: id(4), end: ListEnd::Whole },
            Reply::ListDone { id: id(5), end: ListEnd::Failed },
            Reply::Flushed { id: id(6), count: 9 },
        ] {
            let start = out.len();
            reply.encode(&mut out).unwrap();
            let line = out.get(start..).unwrap().strip_suffix(b"\n").unwrap();
            assert_eq!(Reply::decode(line), Some(reply));
        }
        let wanted = "VERSION\t1\t1\nSPID\t7\nUSER\t1\talice\tuid=8\thome=/srv/a\x01tb\nNOTFOUND\t2\nFAIL\t3\n\
                      LIST\t4\tbob\nDONE\t4\t\nDONE\t5\tfail\nOK\t6\t9\n";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
        let hostile = Reply::Listed { id: id(1), user: of(b"a\tb") };
        assert_eq!(hostile.encode(&mut Vec::new()), Err(Unspeakable));
    }

    proptest! {
        #[test]
        fn any_line_is_a_request_or_none(line in "(USER|PASS|LIST|CACHE-FLUSH|VERSION)?(\t(1|x|a=b|service=|user=|[\\x00-\\x7f]{0,6})){0,5}") {
            if let Ok(request) = Request::decode(line.as_bytes()) {
                let mut out = Vec::new();
                request.encode(&mut out).unwrap();
                prop_assert_eq!(Request::decode(out.strip_suffix(b"\n").unwrap()), Ok(request));
            }
            if let Some(reply) = Reply::decode(line.as_bytes()) {
                let mut out = Vec::new();
                if reply.encode(&mut out).is_ok() {
                    prop_assert_eq!(Reply::decode(out.strip_suffix(b"\n").unwrap()), Some(reply));
                }
            }
        }
    }
}
