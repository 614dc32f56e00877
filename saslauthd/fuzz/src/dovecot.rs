//! Dovecot's protocols, line by line as they are framed, both ends of each.

use protocol::auth::{Command, MAX_LINE, Message, ServerLine};
use protocol::lines::{self, Framed};
use protocol::userdb::{self, Reply, Request};

/// Every whole line of the bytes, and the last one that is none.
fn each_line(mut bytes: &[u8], most: usize, mut act: impl FnMut(&[u8])) {
    while let Framed::Line(line, used) = lines::first(bytes, most) {
        act(line);
        bytes = bytes.get(used..).expect("a line is part of what came");
    }
    act(bytes);
}

fn written(command: &Command) -> Message {
    let mut out = Message::default();
    // What just fits may be longer in its one spelling.
    if command.encode(&mut out).is_err() {
        assert!(out.is_empty());
    }
    out
}

/// What clients of the auth socket say.
pub fn auth_server(bytes: &[u8]) {
    each_line(bytes, MAX_LINE, |line| {
        let Ok(command) = Command::decode(line) else { return };
        let out = written(&command);
        let Some(again) = out.strip_suffix(b"\n") else { return };
        let Ok(again) = Command::decode(again) else { panic!("what was written is no command") };
        assert_eq!(written(&again), out);
    });
}

/// What servers of the auth socket say.
pub fn auth_client(bytes: &[u8]) {
    each_line(bytes, MAX_LINE, |line| {
        let Some(said) = ServerLine::decode(line) else { return };
        let mut out = Message::default();
        if said.encode(&mut out).is_err() {
            return assert!(out.is_empty());
        }
        let again = out.strip_suffix(b"\n").expect("a line ends");
        let again = ServerLine::decode(again).expect("own words");
        let mut twice = Message::default();
        again.encode(&mut twice).expect("what was written can be written");
        assert_eq!(twice, out);
    });
}

/// What both ends of the userdb socket say.
pub fn userdb(bytes: &[u8]) {
    each_line(bytes, userdb::MAX_REPLY, |line| {
        let mut out = Vec::new();
        if let Ok(request) = Request::decode(line)
            && request.encode(&mut out).is_ok()
        {
            let again = out.strip_suffix(b"\n").expect("a line ends");
            assert_eq!(Request::decode(again), Ok(request));
        }
        out.clear();
        if let Some(reply) = Reply::decode(line)
            && reply.encode(&mut out).is_ok()
        {
            let again = out.strip_suffix(b"\n").expect("a line ends");
            assert_eq!(Reply::decode(again), Some(reply));
        }
    });
}
