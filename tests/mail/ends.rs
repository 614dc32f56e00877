//! H7 and I7: what becomes of a message whose client, or whose next hop, is gone when nobody knows whether it was taken.
//!
//! At least once: nothing that had its 250 is lost; and what had none arrives at most as often as it was sent.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::mta::client::Client;
use harness::mta::sink::{Act, Heard, Manner, Sink};
use harness::mta::{House, Place, Plan, ready, transact};
use nix::sys::socket::{setsockopt, sockopt::Linger};

const MAIL: &[u8] = b"MAIL FROM:<joe@example.org>\r\nRCPT TO:<ann@next.example>\r\nDATA\r\n";

fn house(place: Place, sink: &Sink) -> House {
    let to: SocketAddr = (place.address(), sink.port()).into();
    let plan = Plan::new().map("Connect:127\tRELAY").everything_to(to);
    plan.sections("[delivery]\nretry = [\"200ms\"]\n").start_at(place).unwrap()
}

fn subject(text: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or("none").to_owned()
}

/// How a client goes away.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    /// It says that nothing more comes, and waits.
    HalfCloses,
    /// It closes.
    Closes,
    /// It resets the connection.
    Resets,
}

/// Ends a connection with a reset, whatever is still to be read.
fn reset(stream: TcpStream) {
    let now = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, Linger, &now).unwrap();
    drop(stream);
}

/// Sends up to some point of a message and goes away; whether a 250 for it was read.
fn visit(house: &House, name: &str, upto: &[u8], leaves: Leaves) -> bool {
    let stream = TcpStream::connect(house.relay()).unwrap();
    let mut client = Client::over(stream.try_clone().unwrap()).unwrap();
    client.reply().unwrap();
    client.say("EHLO client.example").unwrap();
    client.send(MAIL).unwrap();
    for _ in 0..3 {
        client.reply().unwrap();
    }
    client.send(format!("Subject: {name}\r\n\r\nhi").as_bytes()).unwrap();
    client.send(upto).unwrap();
    match leaves {
        Leaves::HalfCloses => {
            client.half_close().unwrap();
            client.rest().unwrap().contains("250 2.0.0")
        }
        Leaves::Closes => false,
        Leaves::Resets => {
            drop(client);
            reset(stream);
            false
        }
    }
}

#[test]
fn h7_who_leaves_before_the_dot_sent_nothing_and_who_leaves_behind_it_sent_one() {
    const ROUNDS: usize = 10;
    if !ready() {
        return;
    }
    let place = Place::take().unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let house = house(place, &sink);
    let (mut none, mut at_most_one, mut one) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for (upto, what) in [
            (&b""[..], "amid a line"),
            (b"\r\n", "before the dot"),
            (b"\r\n.", "behind the dot"),
            (b"\r\n.\r", "amid the end"),
            (b"\r\n.\r\n", "behind the end"),
        ] {
            for leaves in [Leaves::HalfCloses, Leaves::Closes, Leaves::Resets] {
                let name = format!("{round} {what} {leaves:?}");
                let told = visit(&house, &name, upto, leaves);
                match upto {
                    b"\r\n.\r\n" if told => one.push(name),
                    b"\r\n.\r\n" => at_most_one.push(name),
                    _ => {
                        assert!(!told, "{name}");
                        none.push(name);
                    }
                }
            }
        }
    }
    assert_eq!(one.len(), ROUNDS, "whoever waits hears what became of it");
    // The last one comes after all that was kept before it.
    let (mut client, _) = house.visit(house.relay()).unwrap();
    transact(&mut client, "joe@example.org", &["ann@next.example"], "Subject: last\r\n\r\nx\r\n")
        .unwrap();
    let heard =
        || -> Vec<String> { sink.messages().iter().map(|it| subject(&it.text())).collect() };
    let all = |names: &[String]| names.iter().all(|name| heard().contains(name));
    assert!(
        harness::wait_until(|| all(&one) && heard().contains(&"last".into())),
        "{}",
        house.log()
    );
    assert!(harness::wait_until(|| house.kept() == 0), "{}", house.log());
    let heard = heard();
    let times = |name: &String| heard.iter().filter(|one| *one == name).count();
    assert!(none.iter().all(|name| times(name) == 0), "{heard:?}");
    assert!(at_most_one.iter().all(|name| times(name) <= 1), "{heard:?}");
    assert!(one.iter().all(|name| times(name) == 1), "{heard:?}");
    let left = std::fs::read_dir(house.spool().join("incoming")).unwrap().count();
    assert_eq!(left, 0, "drafts of clients that left");
}

/// Takes each message that is new with `first`, and all others as servers do; how often each message came.
fn dies(address: IpAddr, first: fn() -> Act) -> (Sink, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let manner = Manner::smtp().script(move |heard| match heard {
        Heard::Message(_) if seen.fetch_add(1, Ordering::SeqCst) == 0 => first(),
        _ => Act::Usual,
    });
    (Sink::listen(address, 0, manner).unwrap(), count)
}

#[test]
fn i7_a_next_hop_that_dies_behind_the_dot_gets_it_again() {
    if !ready() {
        return;
    }
    for (first, what) in [
        ((|| Act::Close) as fn() -> Act, "closed"),
        (|| Act::SayAndClose(b"250-2.0.0 kep".to_vec()), "amid the reply"),
        (|| Act::SayAndClose(b"250 2.0.0 kept\r".to_vec()), "amid its end"),
        (|| Act::SayAndClose(b"451 4.3.0 not now\r\n".to_vec()), "refused for now"),
    ] {
        let place = Place::take().unwrap();
        let (sink, count) = dies(place.address(), first);
        let house = house(place, &sink);
        let (mut client, _) = house.visit(house.relay()).unwrap();
        let text = "Subject: once more\r\n\r\nx\r\n";
        transact(&mut client, "joe@example.org", &["ann@next.example"], text).unwrap();
        assert!(harness::wait_until(|| house.kept() == 0), "{what}: {}", house.log());
        // Sent twice, since nobody knew; and told, but where it was refused.
        assert_eq!(count.load(Ordering::SeqCst), 2, "{what}");
        let in_doubt = house.log().contains("may get it twice");
        assert_eq!(in_doubt, what != "refused for now", "{what}: {}", house.log());
    }
}

#[test]
fn i7_a_next_hop_that_dies_behind_its_250_has_it() {
    if !ready() {
        return;
    }
    for first in [(|| Act::SayAndClose(b"250 2.0.0 kept\r\n".to_vec())) as fn() -> Act, || {
        Act::SayAndReset(b"250 2.0.0 kept\r\n".to_vec())
    }] {
        let place = Place::take().unwrap();
        let (sink, count) = dies(place.address(), first);
        let house = house(place, &sink);
        for number in 0..3 {
            let (mut client, _) = house.visit(house.relay()).unwrap();
            let text = format!("Subject: {number}\r\n\r\nx\r\n");
            transact(&mut client, "joe@example.org", &["ann@next.example"], &text).unwrap();
            assert!(harness::wait_until(|| house.kept() == 0), "{}", house.log());
        }
        // A reset may overtake the reply, and only then it is sent again.
        let in_doubt = house.log().matches("may get it twice").count();
        assert_eq!(count.load(Ordering::SeqCst), 3 + in_doubt, "{}", house.log());
        assert!(in_doubt <= 1, "{}", house.log());
        let reset = matches!(first(), Act::SayAndReset(_));
        assert!(reset || in_doubt == 0, "{}", house.log());
    }
}
