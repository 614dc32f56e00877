//! From a line to what is to be done about it, in the order that keeps secrets unread: verb, session, arguments.
//!
//! Runs in the receiver. Nothing is trusted. No I/O and no policy: what may come when is the session's to say.

use smtp::command::{self, Command, Fault, Verb};
use smtp::line;
use smtp::reply::{Code, Reply};
use smtp::session::{Judgement, Session, Step};

use smtp::bdat::Chunk;

/// What is to be done about a line.
pub(super) enum Todo {
    /// This command, which is allowed now.
    Command(Command),
    /// Say this; nothing was done.
    Say(Reply),
    /// Say this, after so many bytes that belong to no message.
    Swallow(Chunk, Reply),
    /// Say this and close.
    Close(Reply),
    /// Close.
    Drop,
}

/// Reads a line. `refusal` is what a client is told that may do nothing any more.
pub(super) fn read(session: &mut Session, refusal: Option<&Reply>, line: &[u8]) -> Todo {
    // From somebody who may not say whose connection it is.
    if line.starts_with(b"PROXY ") {
        return Todo::Close(Reply::new(Code::UNAVAILABLE, 7, 0, "No proxy is expected from you"));
    }
    let verb = match command::verb(line) {
        Ok(verb) => verb,
        Err(fault @ Fault::Http) => return Todo::Close(fault.reply()),
        Err(fault) => return unknown(session, fault),
    };
    if let Some(refusal) = refusal.filter(|_| !is_harmless(verb)) {
        return refused(session, refusal, verb, line);
    }
    match verb {
        Verb::Bdat => chunk(session, line),
        _ => match session.judge(Step::Command(verb)) {
            Judgement::Allowed => parse(session, line),
            Judgement::Reply(reply) => Todo::Say(reply),
            Judgement::Close(reply) => Todo::Close(reply),
        },
    }
}

/// A line that is none.
pub(super) fn unreadable(session: &mut Session, fault: line::Fault) -> Todo {
    if fault.is_fatal() {
        let text = "Lines end with CR LF, and no CR or LF stands alone";
        return Todo::Close(Reply::new(Code::UNRECOGNIZED, 5, 2, text));
    }
    let too_long = Reply::new(Code::UNRECOGNIZED, 5, 6, "The line is too long");
    session.malformed().map_or(Todo::Say(too_long), Todo::Close)
}

fn is_harmless(verb: Verb) -> bool {
    matches!(verb, Verb::Helo | Verb::Ehlo | Verb::Noop | Verb::Rset | Verb::Quit)
}

/// A refused client may try for ever what it may not, as with sendmail; but its mistakes are counted.
fn refused(session: &mut Session, refusal: &Reply, verb: Verb, line: &[u8]) -> Todo {
    if let Some(end) = session.malformed() {
        return Todo::Close(end);
    }
    // Nothing else is read: what stands behind AUTH may be a password in the clear.
    if verb != Verb::Bdat {
        return Todo::Say(refusal.clone());
    }
    match Command::parse(line) {
        Ok(Command::Bdat(chunk)) => Todo::Swallow(chunk, refusal.clone()),
        _ => Todo::Close(refusal.clone()),
    }
}

fn unknown(session: &mut Session, fault: Fault) -> Todo {
    match session.judge(Step::Unknown) {
        Judgement::Close(reply) => Todo::Close(reply),
        Judgement::Allowed | Judgement::Reply(_) => Todo::Say(fault.reply()),
    }
}

fn parse(session: &mut Session, line: &[u8]) -> Todo {
    match Command::parse(line) {
        Ok(command) => Todo::Command(command),
        Err(fault) if fault.ends_connection() => Todo::Close(fault.reply()),
        Err(fault) => session.malformed().map_or_else(|| Todo::Say(fault.reply()), Todo::Close),
    }
}

/// The bytes of a chunk come whether it is allowed or not, so that its size is read first.
fn chunk(session: &mut Session, line: &[u8]) -> Todo {
    let chunk = match Command::parse(line) {
        Ok(Command::Bdat(chunk)) => chunk,
        Ok(_) => return Todo::Drop,
        Err(fault) => return Todo::Close(fault.reply()),
    };
    match session.judge(Step::Chunk(chunk.position)) {
        Judgement::Allowed => Todo::Command(Command::Bdat(chunk)),
        Judgement::Reply(reply) => Todo::Swallow(chunk, reply),
        Judgement::Close(reply) => Todo::Close(reply),
    }
}
