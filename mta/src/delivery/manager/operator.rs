//! The operators' socket: one request a connection, decoded by `protocol::queue`, answered in JSON.
//!
//! Runs in the sender. Who may connect is the socket's owner, group and mode, which the parent has set. Connections are
//! few and have a deadline, and a reply has a limit, since operators make mistakes too. Addresses and replies are
//! strangers' text; JSON escapes what is in them, and whoever prints it escapes it again.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use protocol::queue::{self, Filter, MessageId, Part, Request, Standing, Which};
use serde_json::{Value, json};
use sys::clock::wall_seconds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::agenda::{Entry, Phase};
use super::destination::Destination;
use super::{House, Manager};
use crate::control::Level;
use crate::delivery::route::Hop;
use crate::delivery::transport::Reply;
use crate::spool::id::Id;
use crate::spool::queue::{Message, Trouble};
use crate::spool::state::{Fate, Standing as Stand};

/// Connections served at a time; more are closed unheard.
const MOST: usize = 8;
/// From accept to the last byte of the reply.
const DEADLINE: Duration = Duration::from_secs(30);
/// Longest that envelopes are looked through for a list.
const SEARCH: Duration = Duration::from_secs(10);
/// Most messages of a list, and most destinations of a status.
const ROWS: usize = 1000;
/// Most bytes of a header that are shown.
const HEADER: u64 = 64 * 1024;

impl Manager {
    /// Hears operators there from now on.
    pub fn hear(&self, listener: UnixListener) {
        let manager = self.clone();
        let open = Arc::new(AtomicUsize::new(0));
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // Out of descriptors, say: the connection stays in its line, and so would a loop without a pause.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                };
                if open.fetch_add(1, Ordering::Relaxed) >= MOST {
                    open.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (manager, open) = (manager.clone(), Arc::clone(&open));
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(DEADLINE, manager.converse(stream)).await;
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        if let Some(before) = super::locked(&self.0.operators).replace(accepting) {
            before.abort();
        }
    }

    async fn converse(&self, mut stream: UnixStream) -> std::io::Result<()> {
        let uid = stream.peer_cred()?.uid();
        let mut line = Vec::new();
        let mut buffer = [0; queue::MAX_REQUEST];
        let request = loop {
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                break Request::decode(line.get(..end).unwrap_or_default());
            }
            let count = stream.read(&mut buffer).await?;
            line.extend_from_slice(buffer.get(..count).unwrap_or_default());
            if count == 0 || line.len() > queue::MAX_REQUEST {
                break None;
            }
        };
        let reply = match request {
            Some(request) => self.blocking(move |house| house.answer(&request, uid)).await,
            None => Some(json!({ "error": "no such request; is mailauth of another version?" })),
        };
        let reply = reply.unwrap_or_else(|| json!({ "error": "the answer could not be made" }));
        stream.write_all(format!("{reply}\n").as_bytes()).await
    }
}

impl House {
    fn answer(&self, request: &Request, uid: u32) -> Value {
        match request {
            Request::Status => self.status(),
            Request::List(filter) => self.list(filter),
            Request::Show(id, part) => self.show(*id, *part),
            Request::Hold(which) => self.each(*which, "held", uid, |id| self.hold(id)),
            Request::Release(which) => self.each(*which, "released", uid, |id| self.release(id)),
            Request::Retry(which) => {
                self.agenda().end_pauses();
                // Who says so has looked at the disk.
                self.store.end_trouble();
                self.each(*which, "tried now", uid, |id| Ok(self.retry(id)))
            }
            Request::Delete(which) => self.each(*which, "deleted", uid, |id| self.delete(id)),
        }
    }

    pub(super) fn status(&self) -> Value {
        let now = Instant::now();
        let agenda = self.agenda();
        let (mut waiting, mut active, mut held) = (0_u64, 0_u64, 0_u64);
        let mut oldest = None;
        for (_, entry) in agenda.entries() {
            match standing(entry) {
                Standing::Waiting => waiting += 1,
                Standing::Active => active += 1,
                Standing::Held => held += 1,
            }
            oldest = oldest.min(Some(entry.arrived)).or(Some(entry.arrived));
        }
        let mut destinations: Vec<_> = agenda.destinations().collect();
        destinations.sort_by_key(|destination| std::cmp::Reverse(destination.users));
        let destinations =
            destinations.into_iter().take(ROWS).map(|one| self::destination(one, now));
        let figure = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
        json!({
            "messages": agenda.len(),
            "waiting": waiting,
            "active": active,
            "held": held,
            "unread": figure(&self.unread),
            "oldest": oldest,
            "connections": agenda.active(),
            "destinations": destinations.collect::<Vec<_>>(),
            "since_start": {
                "delivered": figure(&self.figures.delivered),
                "failed": figure(&self.figures.failed),
                "deferred": figure(&self.figures.deferred),
                "reports": figure(&self.figures.reports),
            },
        })
    }

    fn list(&self, filter: &Filter) -> Value {
        let now = Instant::now();
        let mut found: Vec<(Id, Entry)> = {
            let agenda = self.agenda();
            let fits =
                |entry: &Entry| filter.standing.is_none_or(|wanted| standing(entry) == wanted);
            agenda
                .entries()
                .filter(|(_, entry)| fits(entry))
                .map(|(id, entry)| (*id, entry.clone()))
                .collect()
        };
        found.sort_by_key(|(id, entry)| (entry.arrived, *id));
        let total = found.len();
        let (mut rows, mut bytes, mut more) = (Vec::new(), 0, false);
        for (id, entry) in found {
            if rows.len() >= ROWS || bytes > queue::MAX_REPLY || now.elapsed() > SEARCH {
                more = true;
                break;
            }
            let Ok(message) = self.store.read(id) else { continue };
            if fits(filter, &message) {
                let row = row(&message, &entry, now);
                bytes += row.to_string().len();
                rows.push(row);
            }
        }
        json!({ "messages": rows, "more": more, "looked_through": total })
    }

    fn show(&self, id: MessageId, part: Part) -> Value {
        let now = Instant::now();
        let Some((id, message)) = self.find(id) else { return no_such(id.as_str()) };
        let Some(entry) = self.agenda().entry(id).cloned() else { return no_such(id.as_str()) };
        let mut shown = row(&message, &entry, now);
        let state = &message.state;
        let each = message.envelope.recipients.iter().zip(&state.recipients);
        let recipients: Vec<Value> = each
            .take(ROWS)
            .map(|(addressee, stand)| {
                let recipient = addressee.recipient.to_string();
                json!({ "recipient": recipient, "state": word(stand), "reply": said(stand) })
            })
            .collect();
        if let Some(object) = shown.as_object_mut() {
            object.insert("recipients".into(), recipients.into());
            object
                .insert("parameters".into(), message.envelope.parameters.to_string().trim().into());
            object.insert("origin".into(), format!("{:?}", message.envelope.origin).into());
            if part == Part::Header {
                object.insert("header".into(), self.header(id).into());
            }
        }
        shown
    }

    fn header(&self, id: Id) -> Option<String> {
        let text = self.store.queue.open_text(id).ok()?.open().ok()?;
        let mut bytes = Vec::new();
        text.take(HEADER).read_to_end(&mut bytes).ok()?;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(bytes.get(..end)?).into_owned())
    }

    fn find(&self, id: MessageId) -> Option<(Id, Message)> {
        let id = Id::parse(id.as_str().as_bytes())?;
        Some((id, self.store.read(id).ok()?))
    }

    /// Does something with one message or with each.
    fn each(
        &self,
        which: Which,
        done: &str,
        uid: u32,
        act: impl Fn(Id) -> Result<Did, Trouble>,
    ) -> Value {
        let ids: Vec<Id> = match which {
            Which::All => self.agenda().entries().map(|(id, _)| *id).collect(),
            Which::One(id) => {
                let known = Id::parse(id.as_str().as_bytes());
                let known = known.filter(|id| self.agenda().entry(*id).is_some());
                match known {
                    Some(id) => vec![id],
                    None => return no_such(id.as_str()),
                }
            }
        };
        let mut count = 0;
        for id in ids {
            let _guard = self.store.lock(id);
            match act(id) {
                Ok(Did::It) => count += 1,
                Ok(Did::Nothing) | Err(Trouble::Gone) => {}
                Err(trouble) => {
                    return json!({ "error": format!("{id}: {trouble}; {count} messages {done} before") });
                }
            }
        }
        let messages = if count == 1 { "message" } else { "messages" };
        let text = format!("{count} {messages} {done}");
        self.link.log(Level::Notice, format!("queue: {text} for an operator, uid {uid}"));
        json!({ "done": text, "count": count })
    }

    fn hold(&self, id: Id) -> Result<Did, Trouble> {
        let mut message = self.store.read(id)?;
        if message.state.held.is_some() {
            return Ok(Did::Nothing);
        }
        message.state.held = Some("by an operator".into());
        self.rest(id, &mut message)
    }

    fn release(&self, id: Id) -> Result<Did, Trouble> {
        let mut message = self.store.read(id)?;
        if message.state.held.take().is_none() {
            return Ok(Did::Nothing);
        }
        message.state.next = wall_seconds();
        self.rest(id, &mut message)
    }

    /// Writes a changed state; a message that is being sent finds it at the end of the attempt.
    fn rest(&self, id: Id, message: &mut Message) -> Result<Did, Trouble> {
        let entry = self.agenda().entry(id).cloned();
        let Some(entry) = entry else { return Err(Trouble::Gone) };
        message.state.watched = entry.age(Instant::now());
        message.state.noted = wall_seconds();
        self.store.record(id, &message.state)?;
        if matches!(entry.phase, Phase::Until(_) | Phase::Held) {
            let entry = self.entry(message);
            self.agenda().put(id, entry);
        }
        Ok(Did::It)
    }

    fn retry(&self, id: Id) -> Did {
        let mut agenda = self.agenda();
        let waits = agenda.entry(id).is_some_and(|entry| matches!(entry.phase, Phase::Until(_)));
        if !waits {
            return Did::Nothing;
        }
        agenda.wait(id, Instant::now());
        Did::It
    }

    fn delete(&self, id: Id) -> Result<Did, Trouble> {
        // Or it would arrive again, if it was never taken wholly.
        self.store.queue.take(id)?;
        self.store.queue.remove(id)?;
        self.store.forget(id);
        self.agenda().forget(id);
        self.link.log(Level::Notice, format!("{id}: deleted for an operator"));
        Ok(Did::It)
    }
}

/// Whether there was something to do.
enum Did {
    It,
    Nothing,
}

fn no_such(id: &str) -> Value {
    json!({ "error": format!("there is no message {id}; see mailauth queue list") })
}

fn standing(entry: &Entry) -> Standing {
    match entry.phase {
        Phase::Until(_) => Standing::Waiting,
        Phase::Busy | Phase::Sent(_) => Standing::Active,
        Phase::Held => Standing::Held,
    }
}

fn fits(filter: &Filter, message: &Message) -> bool {
    let envelope = &message.envelope;
    let sender = filter.sender.as_ref();
    let recipient = filter.recipient.as_ref();
    sender.is_none_or(|part| part.is_in(&envelope.sender.to_string()))
        && recipient.is_none_or(|part| {
            envelope.recipients.iter().any(|one| part.is_in(&one.recipient.to_string()))
        })
}

fn row(message: &Message, entry: &Entry, now: Instant) -> Value {
    const SHOWN: usize = 5;
    let (envelope, state) = (&message.envelope, &message.state);
    let left = envelope.recipients.iter().zip(&state.recipients);
    let left = left.filter(|(_, stand)| stand.fate == Fate::Waiting);
    let waiting: Vec<String> =
        left.clone().map(|(one, _)| one.recipient.to_string()).take(SHOWN).collect();
    let reply = left.filter_map(|(_, stand)| said(stand)).next();
    let next = match entry.phase {
        Phase::Until(at) => Some(wall_seconds() + at.saturating_duration_since(now).as_secs()),
        _ => None,
    };
    json!({
        "id": envelope.id.as_str(),
        "state": standing(entry).as_str(),
        "held": state.held,
        "size": message.size,
        "arrived": envelope.arrived,
        "sender": envelope.sender.to_string(),
        "waiting": waiting,
        "left": entry.waiting,
        "of": envelope.recipients.len(),
        "attempts": state.attempts,
        "next": next,
        "reply": reply,
    })
}

fn said(stand: &Stand) -> Option<String> {
    stand.reply.as_ref().map(Reply::to_string)
}

fn word(stand: &Stand) -> &'static str {
    match stand.fate {
        Fate::Waiting => "waiting",
        Fate::Delivered(_) => "delivered",
        Fate::Relayed(_) | Fate::HandedOver => "relayed",
        Fate::Failed(_) => "failed",
    }
}

fn destination(one: &Destination, now: Instant) -> Value {
    let paused = one.paused.map(|until| until.saturating_duration_since(now).as_secs());
    json!({
        "destination": place(&one.hop),
        "messages": one.users,
        "in_line": one.line.len(),
        "connections": one.active,
        "failures": one.failures,
        "paused": paused.filter(|seconds| *seconds > 0),
        "reply": one.last.as_ref().map(Reply::to_string),
    })
}

fn place(hop: &Hop) -> String {
    match hop {
        Hop::Mx(domain) => domain.clone(),
        Hop::Literal(address) => format!("[{address}]"),
        Hop::Smtp(server) => format!("smtp:{}:{}", server.host, server.port),
        Hop::LmtpTcp(server) => format!("lmtp:{}:{}", server.host, server.port),
        Hop::LmtpUnix(path) => format!("lmtp:{}", path.display()),
        Hop::Maildir(path) => format!("maildir:{}", path.display()),
        Hop::Refuse(_) => "refused".into(),
        Hop::Unserved(domain) => format!("no route for {domain}"),
    }
}
