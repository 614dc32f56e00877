//! Every decoder of bytes that a stranger may have written, each behind one function of bytes.
//!
//! libFuzzer calls them from fuzz_targets/, and the tests below call them on stable. A function ends with every input:
//! it neither panics nor hangs, and what it could read it can write and read again as the same.

// A fuzz target reports by panicking.
#![allow(clippy::panic, clippy::expect_used)]

pub mod dovecot;
pub mod policy;
pub mod sasl;

use std::path::Path;

use accounts::query::Template;
use credentials::names::Preparation;
use credentials::sasldb;
use credentials::shadow::{Line, Rules, name_of};
use credentials::{Policy, Scratch, Verifier, WeakSchemes};
use ipc::control::{self, FromChild, Message, ToChecker, ToListener};
use ipc::requests::{Answers, FromChecker, Incoming, Outgoing, Requests};
use protocol::control::Request;
use protocol::mux::{self, FieldLimits};
use protocol::{Name, Password, pwcheck};

/// A client's request on the mux socket, and a daemon's reply.
pub fn mux(bytes: &[u8]) {
    let limits = FieldLimits::default();
    let _ = mux::decode_reply(bytes);
    let mux::Decoded::Request(request) = mux::decode(bytes, &limits) else { return };
    let written = mux::encode(&request).expect("what was read fits");
    let mux::Decoded::Request(again) = mux::decode(&written, &limits) else {
        panic!("what was written is no request")
    };
    assert!(again.login == request.login && again.service == request.service);
    assert!(again.realm == request.realm && again.address == request.address);
    assert!(again.password.reveal() == request.password.reveal());
}

/// A client's request on the pwcheck socket.
pub fn pwcheck(bytes: &[u8]) {
    if let pwcheck::Decoded::Request(request) = pwcheck::decode(bytes) {
        let written = pwcheck::encode(&request).expect("what was read fits");
        assert_eq!(written.as_slice(), bytes);
    }
}

/// An operator's line on the control socket.
pub fn operator(bytes: &[u8]) {
    let Some(request) = Request::decode(bytes) else { return };
    // A line that only just fits may be longer in its one spelling.
    let Ok(written) = request.encode() else { return };
    let line = written.strip_suffix(b"\n").expect("a line ends");
    assert_eq!(Request::decode(line), Some(request));
}

/// What listener and checker send each other: a stream of frames, in both directions.
pub fn requests(bytes: &[u8]) {
    let (mut reader, mut rest) = (Requests::default(), bytes);
    while let Ok(Some((incoming, used))) = reader.next(rest) {
        let mut outgoing = Outgoing::default();
        match &incoming {
            Incoming::Verify(verify) => outgoing.verify(verify),
            Incoming::Unreadable(note) => outgoing.unreadable(note),
            Incoming::Decided(note) => outgoing.decided(note),
            Incoming::Begin(begin) => outgoing.begin(begin),
            Incoming::Respond(respond) => outgoing.respond(respond),
            Incoming::Cancel(id) => outgoing.cancel(*id),
            Incoming::Find(find) => outgoing.find(find),
        }
        let again = Requests::default().next(outgoing.as_bytes());
        assert!(matches!(again, Ok(Some((_, all))) if all == outgoing.as_bytes().len()));
        rest = rest.get(used..).expect("a frame is part of what came");
        assert_ne!(used, 0);
    }
    let (mut reader, mut rest) = (Answers::default(), bytes);
    while let Ok(Some((message, used))) = reader.next(rest) {
        let mut outgoing = Outgoing::default();
        match &message {
            FromChecker::Answered(answered) => outgoing.answer(*answered),
            FromChecker::Reply(reply) => outgoing.reply(reply),
        }
        let again = Answers::default().next(outgoing.as_bytes());
        assert!(matches!(again, Ok(Some((_, all))) if all == outgoing.as_bytes().len()));
        rest = rest.get(used..).expect("a frame is part of what came");
        assert_ne!(used, 0);
    }
}

/// What parent and children send each other, one message a packet.
pub fn messages(bytes: &[u8]) {
    message::<ToListener>(bytes);
    message::<ToChecker>(bytes);
    message::<FromChild>(bytes);
}

fn message<M: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(message) = control::decode::<M>(bytes, &mut control::gate::<M>()) else { return };
    if let Some(packet) = control::encode(&message) {
        assert_eq!(control::decode::<M>(&packet, &mut control::gate::<M>()), Ok(message));
    }
}

/// A line of a shadow file.
pub fn shadow(bytes: &[u8]) {
    let _ = name_of(bytes);
    if let Ok(line) = Line::parse(bytes) {
        for today in [i64::MIN, -1, 0, 20_000, i64::MAX] {
            let _ = line.standing(today, Rules::Strict);
            let _ = line.standing(today, Rules::Cyrus);
        }
    }
}

/// A sasldb in the format of Berkeley DB, whose magic is put in its place in either byte order.
pub fn sasldb_berkeley(bytes: &[u8]) {
    sasldb(bytes);
    sasldb(&with(bytes, 12, &0x0006_1561_u32.to_le_bytes()));
    sasldb(&with(bytes, 12, &0x0006_1561_u32.to_be_bytes()));
}

/// The same of GDBM, with its two magics.
pub fn sasldb_gdbm(bytes: &[u8]) {
    sasldb(&with(bytes, 0, &0x1357_9acf_u32.to_le_bytes()));
    sasldb(&with(bytes, 0, &0x1357_9ad1_u32.to_le_bytes()));
}

/// The same of LMDB.
pub fn sasldb_lmdb(bytes: &[u8]) {
    sasldb(&with(bytes, 16, &0xbeef_c0de_u32.to_le_bytes()));
}

fn with(bytes: &[u8], at: usize, magic: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(place) = bytes.get_mut(at..at + magic.len()) {
        place.copy_from_slice(magic);
    }
    bytes
}

/// Every record of any sasldb.
pub fn sasldb(bytes: &[u8]) {
    let records = match sasldb::decode(bytes, Path::new("fuzzed")) {
        Ok(records) => records,
        Err(error) => {
            assert!(error.to_string().starts_with("fuzzed"));
            return;
        }
    };
    let named = records.iter().filter_map(sasldb::Record::key).count();
    assert_eq!(named + records.bad_keys(), records.iter().count());
    for key in records.iter().filter_map(sasldb::Record::key).filter(|key| key.is_secret()) {
        assert!(records.knows(key.user, key.realm));
    }
}

/// The administrator's configuration: read whole, or complained of with places.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(report) = saslauthd::config::Config::parse("fuzzed", text) {
        assert!(report.to_string().contains("fuzzed"));
    }
}

/// A stored hash, compared with a password when that is quick.
pub fn hash(bytes: &[u8]) {
    let open = Policy { weak: WeakSchemes::allow_all(), ..Policy::default() };
    let _ = Verifier::parse(bytes, &Policy::default());
    let password = Password::new(b"password").expect("a password");
    let mut scratch = Scratch::new();
    let verifiers = [
        Verifier::parse(bytes, &open),
        Verifier::cyrus_plain(bytes, &open),
        Verifier::plaintext(bytes),
    ];
    for verifier in verifiers.into_iter().flatten() {
        assert!(verifier.cost().micros <= open.max_millis * 1000);
        let _ = Verifier::stand_in(&verifier.shape());
        if verifier.is_cheap() && verifier.cost().memory_kib <= 1024 {
            let _ = verifier.compare(&password, &mut scratch);
        }
    }
}

/// A configured query.
pub fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Template::compile(text) {
        Ok(template) => assert!(template.slots().len() <= 4),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A name on its way to its one spelling, which stays as it is when it is prepared again.
pub fn names(bytes: &[u8]) {
    let Ok(name) = Name::new(bytes) else { return };
    for preparation in [Preparation::Raw, Preparation::Utf8, Preparation::Precis] {
        if let Ok(prepared) = preparation.prepare(&name) {
            assert_eq!(preparation.prepare(&prepared), Ok(prepared));
        }
    }
}

#[cfg(test)]
mod tests;
