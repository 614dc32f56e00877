//! Files that are read as they were written, and files that are damaged.

use std::io::Cursor;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use smtp::command::Command;
use smtp::reply::{Code, Status};

use super::*;
use crate::delivery::transport::{Reply, Source};
use crate::spool::envelope::{Addressee, Envelope, Origin};
use crate::spool::id::Id;
use crate::spool::samples;
use crate::spool::state::{Fate, Standing, State, Told};

fn file(envelope: &Envelope, text: &[u8]) -> Vec<u8> {
    write_message(envelope, text).unwrap()
}

fn text(file: &[u8]) -> Result<Vec<u8>, Damage> {
    let mut records = Records::new(Cursor::new(file), MESSAGE)?;
    let mut walk = Walk::begin(&mut records)?;
    let mut text = Vec::new();
    while let Some(piece) = walk.next(&mut records)? {
        text.extend_from_slice(piece);
    }
    Ok(text)
}

fn id() -> Id {
    Id::parse(b"0123456789ABCDEF").unwrap()
}

#[test]
fn every_truncation_and_every_flipped_bit_is_seen() {
    let whole = file(&samples::envelope(id(), 3), b"Subject: a\r\n\r\nb\r\n");
    assert_eq!(text(&whole).unwrap(), b"Subject: a\r\n\r\nb\r\n");
    for at in 0..whole.len() {
        assert!(matches!(text(&whole[..at]), Err(Damage::Damaged(_))));
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            assert!(matches!(text(&flipped), Err(Damage::Damaged(_))), "{at} {bit}");
        }
    }
    assert!(text(&[whole.as_slice(), b"x"].concat()).is_err());
}

/// Each record good, and none where it belongs.
#[test]
fn records_stand_in_their_order() {
    let build = |kinds: &[(Kind, &[u8])]| {
        let mut out = Vec::new();
        let mut sum = Sum::begin(MESSAGE, &mut out);
        kinds.iter().for_each(|(kind, payload)| sum.put(*kind, payload, &mut out));
        sum.end(&mut out);
        text(&out)
    };
    let head = [b"0123456789ABCDEF".as_slice(), &[0; 8], &1_u32.to_le_bytes()].concat();
    let begin: [(Kind, &[u8]); 3] =
        [(Kind::Head, &head), (Kind::Mail, b"MAIL FROM:<>"), (Kind::Origin, &[0])];
    let rcpt: (Kind, &[u8]) = (Kind::Rcpt, b"RCPT TO:<a@b>");
    let (padding, piece): (_, (Kind, &[u8])) =
        ((Kind::Padding, [0; 3].as_slice()), (Kind::Text, b"x"));
    let build = |rest: &[(Kind, &[u8])]| build(&[begin.as_slice(), rest].concat());
    assert_eq!(build(&[rcpt, padding, piece]).unwrap(), b"x");
    assert_eq!(build(&[padding, piece, piece, rcpt]).unwrap(), b"xx");
    assert_eq!(build(&[rcpt]).unwrap(), b"");
    let wrong: [&[(Kind, &[u8])]; 11] = [
        &[],
        &[piece],
        &[rcpt, rcpt],
        &[rcpt, piece, rcpt],
        &[piece, rcpt, piece],
        &[rcpt, piece, padding],
        &[rcpt, padding, padding],
        &[rcpt, (Kind::Padding, b"x")],
        &[rcpt, (Kind::Text, b"")],
        &[rcpt, (Kind::Mail, b"MAIL FROM:<>")],
        &[(Kind::Rcpt, b"RCPT TO:<a@b>\n")],
    ];
    for rest in wrong {
        assert!(build(rest).is_err(), "{rest:?}");
    }
}

#[test]
fn a_stated_length_allocates_nothing() {
    let mut bytes = MESSAGE.to_vec();
    bytes.push(0x01);
    bytes.extend_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(text(&bytes), Err(Damage::Damaged("a record is too long"))));
}

fn addressees() -> impl Strategy<Value = Vec<Addressee>> {
    let line = ("[a-z]{1,9}", "(| NOTIFY=NEVER| NOTIFY=SUCCESS,FAILURE| ORCPT=rfc822;a\\+2Bb@c)");
    let addressee = line.prop_map(|(local, parameters)| {
        match Command::parse(format!("RCPT TO:<{local}@example.net>{parameters}").as_bytes()) {
            Ok(Command::Rcpt(recipient, parameters)) => Addressee { recipient, parameters },
            other => panic!("{other:?}"),
        }
    });
    vec(addressee, 1..300)
}

fn envelopes() -> impl Strategy<Value = Envelope> {
    let mail = "MAIL FROM:(<>|<[a-z]{1,20}@example\\.org>|<\"[a-z ]{1,9}\"@\\[192\\.0\\.2\\.1\\]>)( SIZE=[0-9]{1,9})?( BODY=8BITMIME)?( SMTPUTF8)?( RET=FULL)?( ENVID=[a-z]{1,9})?( AUTH=<>)?";
    let client = any::<std::net::SocketAddr>();
    let some = || prop::option::of("(?s).{0,40}");
    let received = (client, ".{0,40}", ".{0,40}", "[A-Z]{4,8}", some(), some());
    let origin = prop_oneof![
        Just(Origin::Own),
        received.prop_map(|(client, name, helo, with, user, held)| Origin::Received {
            client,
            name,
            helo,
            with,
            user,
            held
        }),
    ];
    (mail, any::<u64>(), addressees(), origin).prop_map(|(mail, arrived, recipients, origin)| {
        match Command::parse(mail.as_bytes()) {
            Ok(Command::Mail(sender, parameters)) => {
                Envelope { id: id(), arrived, sender, parameters, recipients, origin }
            }
            other => panic!("{mail} {other:?}"),
        }
    })
}

fn standings() -> impl Strategy<Value = Standing> {
    let told = prop_oneof![Just(Told::No), Just(Told::Yes)];
    let fate = (0..5, told).prop_map(|(fate, told)| match fate {
        0 => Fate::Waiting,
        1 => Fate::Delivered(told),
        2 => Fate::Relayed(told),
        3 => Fate::HandedOver,
        _ => Fate::Failed(told),
    });
    let source = prop::option::of(".{0,40}");
    let reply = (200_u16..600, any::<u16>(), any::<u16>(), ".{0,80}", source);
    let reply = reply.prop_map(|(code, subject, detail, text, source)| Reply {
        code: Code::new(code).unwrap(),
        status: Status { subject, detail },
        text,
        source: source.map_or(Source::Local, Source::Server),
    });
    (fate, prop::option::of(reply)).prop_map(|(fate, reply)| Standing { fate, reply })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_again(envelope in envelopes(), content in vec(any::<u8>(), 0..150_000)) {
        let whole = file(&envelope, &content);
        prop_assert_eq!(read_envelope(whole.as_slice()).unwrap(), envelope);
        prop_assert!(text(&whole).unwrap() == content);
    }

    #[test]
    fn recipients_without_room_stand_behind_the_text(envelope in envelopes(), content in vec(any::<u8>(), 0..9000)) {
        let written = Written::new(&envelope, 4096).unwrap();
        prop_assert!(written.before.0.len() <= 4096);
        let (mut out, mut sum) = written.before;
        sum.put(Kind::Padding, &[0; 7], &mut out);
        sum.put_text(&content, &mut out);
        out.extend_from_slice(&written.behind.0);
        sum.join(&written.behind.1);
        sum.end(&mut out);
        prop_assert_eq!(read_envelope(out.as_slice()).unwrap(), envelope);
        prop_assert!(text(&out).unwrap() == content);
    }

    #[test]
    fn a_state_is_read_again(
        times in any::<(u64, u32, u64, u64, u32)>(), held in prop::option::of(".{0,40}"), recipients in vec(standings(), 1..20),
    ) {
        let (seconds, nanoseconds, noted, next, attempts) = times;
        let watched = Duration::new(seconds, nanoseconds % 1_000_000_000);
        let state = State { watched, noted, next, attempts, held, warned: Told::Yes, recipients };
        let written = write_state(id(), &state);
        prop_assert_eq!(read_state(written.as_slice()).unwrap(), (id(), state));
    }

    #[test]
    fn noise_is_damage(noise in vec(any::<u8>(), 0..500)) {
        prop_assert!(text(&noise).is_err());
        prop_assert!(text(&[MESSAGE.as_slice(), &noise].concat()).is_err());
        prop_assert!(read_state([STATE.as_slice(), &noise].concat().as_slice()).is_err());
    }
}
