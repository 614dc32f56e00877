//! How the bytes of a mux request may arrive, and what a daemon does when they stop.

use std::io;
use std::time::Duration;

use harness::probe::counted;
use harness::{Daemon, PATIENCE, Probe, Sandbox, Subject};

use crate::suite::{Case, Listed, case, compare, listed};

/// What libsasl2 2.1.28 sends for alice, secret1, smtp and no realm.
const REQUEST: &[u8] = b"\x00\x05alice\x00\x07secret1\x00\x04smtp\x00\x00";
/// Long enough to tell silence from slowness, when nothing needs computing.
const SILENCE: Duration = Duration::from_millis(120);

/// How the client ends its side.
#[derive(Clone, Copy)]
enum Then {
    /// Waits for the answer as long as it takes.
    Waits,
    /// Says that nothing more comes.
    HalfCloses,
    /// Waits only a moment.
    Looks,
    /// Goes away at once; the daemon's next client is asked for.
    Leaves,
}

struct Wire {
    pieces: Vec<Vec<u8>>,
    then: Then,
}

fn wire(pieces: &[&[u8]], then: Then) -> Wire {
    Wire { pieces: pieces.iter().map(|piece| piece.to_vec()).collect(), then }
}

fn with_tail(tail: &[u8]) -> Wire {
    wire(&[&[REQUEST, tail].concat()], Then::Waits)
}

fn cases() -> Vec<Case<Wire>> {
    let mut cases = vec![case("mux-whole", wire(&[REQUEST], Then::Waits), "OK")];
    for at in 1..REQUEST.len() {
        let (head, tail) = REQUEST.split_at(at);
        let pieces: &[&[u8]] = &[head, tail];
        cases.push(case(format!("mux-split-at-{at:02}"), wire(pieces, Then::Waits), "OK"));
    }
    for at in 0..REQUEST.len() {
        let act = wire(&[&REQUEST[..at]], Then::HalfCloses);
        cases.push(case(format!("mux-half-close-after-{at:02}"), act, "(closed)"));
    }
    for at in [0, 1, 2, 6, 7, 8, 16, 22, 23] {
        let act = wire(&[&REQUEST[..at]], Then::Looks);
        cases.push(case(format!("mux-stops-after-{at:02}"), act, "(waiting)"));
        let act = wire(&[&REQUEST[..at]], Then::Leaves);
        cases.push(case(format!("mux-leaves-after-{at:02}"), act, "next client: OK"));
    }
    cases.extend(written_by_others());
    cases.extend(fifth_fields());
    cases.extend(surplus());
    cases
}

fn written_by_others() -> Vec<Case<Wire>> {
    let bytes: Vec<&[u8]> = REQUEST.chunks(1).collect();
    let fields: Vec<Vec<u8>> =
        [&b"alice"[..], b"secret1", b"smtp", b""].map(|f| counted(&[f])).into();
    let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    let halves: Vec<&[u8]> = fields.iter().flat_map(|f| [&f[..2], &f[2..]]).collect();
    vec![
        case("mux-byte-by-byte", wire(&bytes, Then::Waits), "OK"),
        case("mux-four-writes-like-exim", wire(&fields, Then::Waits), "OK"),
        case("mux-lengths-apart-from-text", wire(&halves, Then::Waits), "OK"),
        case("mux-whole-then-half-close", wire(&[REQUEST], Then::HalfCloses), "OK"),
        case("mux-whole-then-leaves", wire(&[REQUEST], Then::Leaves), "next client: OK"),
        case(
            "mux-split-then-half-close",
            wire(&[&REQUEST[..9], &REQUEST[9..]], Then::HalfCloses),
            "OK",
        ),
        case("mux-nothing-then-leaves", wire(&[], Then::Leaves), "next client: OK"),
        case(
            "mux-wrong-password",
            wire(&[b"\x00\x05alice\x00\x01x\x00\x00\x00\x00"], Then::Waits),
            "NO",
        ),
    ]
}

/// cyrus-sasl's development branch sends the client's address behind the realm; 2.1.28 doesn't look at it.
fn fifth_fields() -> Vec<Case<Wire>> {
    let address = counted(&[b"192.0.2.7;4242"]);
    let five = [REQUEST, &address].concat();
    let mut cases = vec![
        case("mux-fifth-whole", wire(&[&five], Then::Waits), "OK"),
        case("mux-fifth-whole-half-close", wire(&[&five], Then::HalfCloses), "OK"),
        case("mux-fifth-empty", with_tail(b"\x00\x00"), "OK"),
        case("mux-fifth-ipv6", with_tail(&counted(&[b"2001:db8::7;4242"])), "OK"),
        case("mux-fifth-address-alone", with_tail(&counted(&[b"192.0.2.7"])), "OK"),
        case("mux-fifth-unknown", with_tail(&counted(&[b"unknown;unknown"])), "OK"),
        case("mux-fifth-no-address", with_tail(&counted(&[b"what is this"])), "OK"),
        case("mux-fifth-with-nul", with_tail(&counted(&[b"192.0.2.7\x00;1"])), "OK"),
        case("mux-fifth-with-newline", with_tail(&counted(&[b"192.0.2.7\n;1"])), "OK"),
        case("mux-fifth-257-bytes", with_tail(&counted(&[&[b'1'; 257]])), "OK"),
        case("mux-fifth-length-without-text", with_tail(b"\x00\x0e"), "OK"),
        case("mux-fifth-length-65535", with_tail(b"\xff\xff"), "OK"),
        case("mux-fifth-then-a-sixth", with_tail(&[&address[..], b"\x00\x01x"].concat()), "OK"),
    ];
    for at in REQUEST.len()..five.len() {
        let (head, tail) = five.split_at(at);
        let act = wire(&[head, tail], Then::Waits);
        cases.push(case(format!("mux-fifth-split-at-{at:02}"), act, "OK"));
    }
    cases
}

fn surplus() -> Vec<Case<Wire>> {
    let wrong = counted(&[&b"alice"[..], b"wrong", b"smtp", b""]);
    let twice = [REQUEST, REQUEST].concat();
    let wrong_first = [&wrong[..], REQUEST].concat();
    vec![
        case("mux-stray-nul", with_tail(b"\x00"), "OK"),
        case("mux-stray-ff", with_tail(b"\xff"), "OK"),
        case("mux-stray-newline", with_tail(b"\n"), "OK"),
        case("mux-surplus-4k", with_tail(&[b'x'; 4096]), "OK"),
        case("mux-surplus-60k", with_tail(&[0; 60_000]), "OK"),
        case("mux-pipelined-twice", wire(&[&twice], Then::Waits), "OK"),
        case("mux-pipelined-wrong-behind", with_tail(&wrong), "OK"),
        case("mux-pipelined-right-behind-wrong", wire(&[&wrong_first], Then::Waits), "NO"),
        case("mux-second-request-later", wire(&[REQUEST, &wrong], Then::Waits), "OK"),
        case("mux-second-request-half-close", wire(&[&twice], Then::HalfCloses), "OK"),
    ]
}

fn set_up(subject: Subject) -> io::Result<(Daemon, Sandbox)> {
    let house = Sandbox::with(&[])?;
    house.add_sasldb_user("alice", "", "secret1")?;
    Ok((Daemon::cyrus(&house, subject, "sasldb", &[])?, house))
}

fn act((daemon, _house): &(Daemon, Sandbox), wire: &Wire) -> io::Result<String> {
    let mut probe = Probe::connect(daemon.socket())?;
    probe.send_pieces(wire.pieces.iter().map(Vec::as_slice))?;
    match wire.then {
        Then::Waits => Ok(probe.hear(PATIENCE)?.mux()),
        Then::Looks => Ok(probe.hear(SILENCE)?.mux()),
        Then::HalfCloses => {
            probe.half_close()?;
            Ok(probe.hear(PATIENCE)?.mux())
        }
        Then::Leaves => {
            drop(probe);
            Ok(format!("next client: {}", daemon.ask("alice", "secret1", "smtp", "")))
        }
    }
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn mux_framing() {
    compare("mux framing", &cases(), set_up, act);
}
