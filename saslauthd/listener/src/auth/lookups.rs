//! One client of a userdb socket: whether there is a user, and what is said of each. No I/O here.
//!
//! No reply has a password: PASS always fails. LIST and CACHE-FLUSH are for root and for those whom the configuration
//! names. Every byte is untrusted; a line that names no request ends the connection after the others were answered.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ipc::config::Userdb;
use ipc::exchange::{MAX_MASKS, Message, Search};
use protocol::auth::is_speakable;
use protocol::lines::{self, Framed};
use protocol::userdb::{Id, ListEnd, MAX_LINE, Mistake, Reply, Request, VERSION};
use protocol::{Answer, Name};

/// From the connection until VERSION must be there.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a connection that will end waits for what is under way.
const ENDING: Duration = Duration::from_secs(5);
/// Most requests under way on one connection. The next fails.
const MAX_LIVE: usize = 256;

/// Where the searches go.
pub(crate) trait Desk {
    /// Passes a search on, and gives it a number. `None`: there is no checker.
    fn find(&mut self, id: Id, what: Search) -> Option<u64>;
    /// What comes of that search is not wanted any more.
    fn drop(&mut self, search: u64);
}

/// Whether a peer may list all users and flush the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Root, or named in the configuration.
    Privileged,
    /// Anybody else.
    Ordinary,
}

/// One request.
struct Live {
    search: u64,
    heard: Instant,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    User,
    List,
    Flush,
}

/// A part of what a search found.
pub(crate) struct Part {
    /// Whether it worked and found.
    pub(crate) answer: Answer,
    /// Users.
    pub(crate) users: Vec<Name>,
    /// How many entries a flush removed.
    pub(crate) count: u32,
    /// Whether another part follows.
    pub(crate) more: bool,
}

/// The client; see the module.
pub(crate) struct Lookups {
    began: Instant,
    standing: Standing,
    introduced: bool,
    live: HashMap<Id, Live>,
    ending: Option<Instant>,
    deaf: bool,
    answer_within: Duration,
}

/// Both lines that go out at once, in the order that chasquid insists on.
pub(crate) fn greet(pid: u32, out: &mut Message) {
    let _ = Reply::Version(VERSION).encode(out);
    let _ = Reply::Spid(pid).encode(out);
}

impl Lookups {
    /// A client that just connected.
    pub(crate) fn new(standing: Standing, answer_within: Duration, now: Instant) -> Self {
        Self {
            began: now,
            standing,
            introduced: false,
            live: HashMap::new(),
            ending: None,
            deaf: false,
            answer_within,
        }
    }

    /// Acts on every whole line, and says how many bytes that took.
    pub(crate) fn consume(
        &mut self,
        bytes: &[u8],
        now: Instant,
        desk: &mut impl Desk,
        out: &mut Message,
    ) -> usize {
        let mut used = 0;
        while !self.deaf {
            match lines::first(bytes.get(used..).unwrap_or_default(), MAX_LINE) {
                Framed::Incomplete => return used,
                Framed::TooLong => self.give_up(now),
                Framed::Line(line, length) => {
                    used += length;
                    self.take(line, now, desk, out);
                }
            }
        }
        bytes.len()
    }

    fn take(&mut self, line: &[u8], now: Instant, desk: &mut impl Desk, out: &mut Message) {
        match Request::decode(line) {
            Ok(Request::Version(version)) if !self.introduced && version.major == VERSION.major => {
                self.introduced = true;
            }
            _ if !self.introduced => self.give_up(now),
            Ok(Request::User(lookup)) => {
                if !is_speakable(&lookup.user) {
                    return say(&Reply::NotFound(lookup.id), out);
                }
                let what = Search::User { user: lookup.user, service: lookup.service };
                self.begin(lookup.id, Kind::User, what, now, desk, out);
            }
            Ok(Request::List { id, mask }) => {
                self.begin(id, Kind::List, Search::List { mask }, now, desk, out);
            }
            Ok(Request::Flush { id, masks }) => {
                self.begin(id, Kind::Flush, Search::Flush { masks }, now, desk, out);
            }
            Ok(Request::Pass(lookup)) => say(&Reply::Failed(lookup.id), out),
            Err(Mistake::Request(id)) => say(&Reply::Failed(id), out),
            Ok(Request::Version(_)) | Err(Mistake::Connection) => self.give_up(now),
        }
    }

    fn begin(
        &mut self,
        id: Id,
        kind: Kind,
        what: Search,
        now: Instant,
        desk: &mut impl Desk,
        out: &mut Message,
    ) {
        let fits = !matches!(&what, Search::Flush { masks } if masks.len() > MAX_MASKS);
        let open = matches!(kind, Kind::User) || self.standing == Standing::Privileged;
        // A number that is used already would end the other request for its client.
        let free = !self.live.contains_key(&id) && self.live.len() < MAX_LIVE;
        if !(fits && open && free) || self.ending.is_some() {
            return fail(id, kind, out);
        }
        match desk.find(id, what) {
            Some(search) => {
                self.live.insert(id, Live { search, heard: now, kind });
            }
            None => fail(id, kind, out),
        }
    }

    /// A part of what was found.
    pub(crate) fn found(
        &mut self,
        id: Id,
        part: Part,
        userdb: &Userdb,
        now: Instant,
        out: &mut Message,
    ) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.heard = now;
        let kind = live.kind;
        let last = !part.more || part.answer != Answer::Accept;
        match (kind, part.answer) {
            (Kind::User, Answer::Refuse) => say(&Reply::NotFound(id), out),
            (Kind::User, Answer::Accept) => match part.users.into_iter().next() {
                Some(user) => tell(id, user, userdb, out),
                None => fail(id, kind, out),
            },
            (Kind::List, Answer::Accept) => {
                let users = part.users.into_iter().filter(is_speakable);
                users.for_each(|user| say(&Reply::Listed { id, user }, out));
                if last {
                    say(&Reply::ListDone { id, end: ListEnd::Whole }, out);
                }
            }
            (Kind::Flush, Answer::Accept) => say(&Reply::Flushed { id, count: part.count }, out),
            (_, Answer::Refuse | Answer::Unavailable) => fail(id, kind, out),
        }
        if last || matches!(kind, Kind::User | Kind::Flush) {
            self.live.remove(&id);
        }
    }

    /// The checker that searched is gone.
    pub(crate) fn lost(&mut self, id: Id, out: &mut Message) {
        if let Some(live) = self.live.remove(&id) {
            fail(id, live.kind, out);
        }
    }

    /// Nothing new is taken, and the connection ends when what is under way has ended.
    pub(crate) fn end(&mut self, now: Instant) {
        self.ending.get_or_insert(now + ENDING);
    }

    /// The same, and nothing more is read.
    pub(crate) fn give_up(&mut self, now: Instant) {
        self.deaf = true;
        self.end(now);
    }

    /// The connection is gone.
    pub(crate) fn abandon(&mut self, desk: &mut impl Desk) {
        self.live.drain().for_each(|(_, live)| desk.drop(live.search));
    }

    /// Whether it will end soon.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether the connection has to end now.
    pub(crate) fn is_over(&self) -> bool {
        self.ending.is_some() && self.live.is_empty()
    }

    /// Whether anything more is read.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// When [`Lookups::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let handshake = (!self.introduced).then(|| self.began + HANDSHAKE);
        let live = self.live.values().map(|live| live.heard + self.answer_within).min();
        [handshake, live, self.ending].into_iter().flatten().min()
    }

    /// Ends what took too long.
    pub(crate) fn tick(&mut self, now: Instant, desk: &mut impl Desk, out: &mut Message) {
        let due = now.checked_sub(self.answer_within);
        let late = self.live.iter().filter(|(_, live)| due.is_some_and(|due| live.heard <= due));
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(live) = self.live.remove(&id) {
                desk.drop(live.search);
                fail(id, live.kind, out);
            }
        }
        let unmet = !self.introduced && now >= self.began + HANDSHAKE;
        if unmet || self.ending.is_some_and(|ending| ending <= now) {
            self.give_up(now);
            self.abandon(desk);
        }
    }
}

fn say(reply: &Reply, out: &mut Message) {
    let _ = reply.encode(out);
}

/// Nobody knows, or the peer may not ask: Dovecot has one word for both.
fn fail(id: Id, kind: Kind, out: &mut Message) {
    let reply = match kind {
        Kind::List => Reply::ListDone { id, end: ListEnd::Failed },
        Kind::User | Kind::Flush => Reply::Failed(id),
    };
    say(&reply, out);
}

/// There is this user: with what the configuration says of each.
fn tell(id: Id, user: Name, userdb: &Userdb, out: &mut Message) {
    let number = |key: &str, number: Option<u32>| {
        let value = number.map(|number| number.to_string())?;
        Some((Name::new(key.as_bytes()).ok()?, Name::new(value.as_bytes()).ok()?))
    };
    let mut fields: Vec<(Name, Name)> =
        [number("uid", userdb.uid), number("gid", userdb.gid)].into_iter().flatten().collect();
    if let Some(template) = &userdb.home {
        let (Some(home), Ok(key)) = (home(template, &user), Name::new(b"home")) else {
            return fail(id, Kind::User, out);
        };
        fields.push((key, home));
    }
    if (Reply::User { id, user, fields }).encode(out).is_err() {
        fail(id, Kind::User, out);
    }
}

/// The template with %u, %n and %d filled in. `None` for a user whose name would lead elsewhere.
fn home(template: &str, user: &Name) -> Option<Name> {
    let user = user.as_bytes();
    let at = user.iter().rposition(|byte| *byte == b'@');
    let (local, domain) = match at.and_then(|at| user.split_at_checked(at)) {
        Some((local, domain)) => (local, domain.get(1..).unwrap_or_default()),
        None => (user, &b""[..]),
    };
    let leads_elsewhere = |part: &[u8]| matches!(part, b"." | b"..") || part.contains(&b'/');
    if [user, local, domain].into_iter().any(leads_elsewhere) {
        return None;
    }
    let mut parts = template.split('%');
    let mut path = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (letter, rest) = part.as_bytes().split_first()?;
        path.extend_from_slice(match letter {
            b'u' => user,
            b'n' => local,
            b'd' => domain,
            _ => return None,
        });
        path.extend_from_slice(rest);
    }
    Name::new(&path).ok()
}

#[cfg(test)]
mod tests;
