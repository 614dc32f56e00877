//! I: next hops that lie, stall or inject; and what is kept while they are away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::mta::sink::{Act, Heard, Manner, Sink};
use harness::mta::{House, Place, Plan, ready, tls, transact};

const TEXT: &str = "Subject: on its way\r\n\r\nhi\r\n";

fn house(place: Place, port: u16, map: &str, more: &str) -> House {
    let to: SocketAddr = (place.address(), port).into();
    let plan = Plan::new().map("Connect:127\tRELAY").map(map).everything_to(to);
    // Each try soon after the one before: a test is not to wait for minutes.
    plan.sections(&format!("[delivery]\nretry = [\"200ms\"]\n{more}")).start_at(place).unwrap()
}

#[track_caller]
fn send(house: &House, text: &str) {
    let (mut client, _) = house.visit(house.relay()).unwrap();
    let replies = transact(&mut client, "joe@example.org", &["ann@next.example"], text).unwrap();
    assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
}

#[test]
fn i1_what_a_next_hop_says_behind_its_220_is_not_heard_inside_tls() {
    if !ready() {
        return;
    }
    let (place, certificates) = (Place::take().unwrap(), tempfile::tempdir().unwrap());
    let identity = identity(certificates.path(), place.address());
    let injects = |heard: Heard<'_>| match heard {
        Heard::Line("STARTTLS") => {
            Act::Say(b"220 go\r\n250-evil.example\r\n250 AUTH PLAIN\r\n".to_vec())
        }
        _ => Act::Usual,
    };
    let manner =
        Manner::smtp().starttls(tls::server(identity, None, tls::ANY).unwrap()).script(injects);
    let sink = Sink::listen(place.address(), 0, manner).unwrap();
    let house = house(place, sink.port(), "", "");
    send(&house, TEXT);
    assert!(
        harness::wait_until(|| sink.wire().iter().any(|line| line == "STARTTLS")),
        "{}",
        house.log()
    );
    // It is not sent over a connection that was tampered with, and it waits.
    assert!(
        harness::wait_until(|| sink.wire().iter().filter(|line| *line == "STARTTLS").count() >= 2),
        "{:?}",
        sink.wire()
    );
    assert!(
        sink.messages().is_empty() && !sink.wire().iter().any(|line| line.starts_with("MAIL")),
        "{:?}",
        sink.wire()
    );
}

#[test]
fn i1_a_policy_that_wants_tls_is_never_met_in_the_clear() {
    if !ready() {
        return;
    }
    let place = Place::take().unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let house =
        house(place, sink.port(), "TLS_Srv:\tVERIFY", "clear_after_failed_handshake = \"once\"\n");
    send(&house, TEXT);
    assert!(
        harness::wait_until(|| sink.wire().iter().filter(|line| *line == "<connect>").count() >= 2),
        "{}",
        house.log()
    );
    assert!(!sink.wire().iter().any(|line| line.starts_with("MAIL")), "{:?}", sink.wire());
}

#[test]
fn i1_what_is_offered_in_the_clear_is_forgotten_and_no_password_is_said() {
    const SECRET: &str = "Sentinel-of-the-hop-9917";
    if !ready() {
        return;
    }
    // AUTH in the clear alone; no STARTTLS at all; 454; and a certificate that nobody knows, which offers it inside.
    let mut houses = Vec::new();
    for case in 0..4 {
        let place = Place::take().unwrap();
        let certificates = tempfile::tempdir().unwrap();
        let identity = identity(certificates.path(), place.address());
        let offers = if case == 3 { &["AUTH PLAIN LOGIN"][..] } else { &["PIPELINING"] };
        let mut manner = Manner::smtp().offers(offers).script(move |heard| match (case, heard) {
            (0, Heard::Line(line)) if line.starts_with("EHLO") => {
                static TIMES: AtomicUsize = AtomicUsize::new(0);
                match TIMES.fetch_add(1, Ordering::SeqCst) % 2 {
                    0 => Act::Say(b"250-sink.test\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n".to_vec()),
                    _ => Act::Usual,
                }
            }
            (1, Heard::Line(line)) if line.starts_with("EHLO") => {
                Act::Say(b"250-sink.test\r\n250 AUTH PLAIN LOGIN\r\n".to_vec())
            }
            (2, Heard::Line("STARTTLS")) => Act::line("454 4.7.0 not now"),
            _ => Act::Usual,
        });
        manner = manner.starttls(tls::server(identity, None, tls::ANY).unwrap());
        let sink = Sink::listen(place.address(), 0, manner).unwrap();
        let plan = Plan::new()
            .map("Connect:127\tRELAY")
            .before(&format!("umask 077; echo '{SECRET}' > /etc/mta/password"))
            .sections(&format!(
                "[smarthost]\nhost = \"{}\"\nport = {}\ntls = \"starttls\"\nuser = \"us\"\n\
                 password_file = \"/etc/mta/password\"\n[delivery]\nretry = [\"200ms\"]\n",
                place.address(),
                sink.port()
            ));
        let house = plan.start_at(place).unwrap();
        send(&house, TEXT);
        houses.push((house, sink));
    }
    for (case, (house, sink)) in houses.iter().enumerate() {
        let connects = || sink.wire().iter().filter(|line| *line == "<connect>").count();
        assert!(harness::wait_until(|| connects() >= 2), "{case}: {}", house.log());
        let wire = sink.wire();
        assert!(!wire.iter().any(|line| line.contains("AUTH")), "{case}: {wire:?}");
        assert!(!wire.iter().any(|line| line.contains("MAIL")), "{case}: {wire:?}");
        assert!(!house.log().contains(SECRET) && house.kept() == 1, "{case}: {}", house.log());
    }
}

#[test]
fn i2_lies_of_seven_kinds_in_a_row_and_the_message_arrives() {
    if !ready() {
        return;
    }
    let place = Place::take().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let turn = count.clone();
    // Each trouble makes way for the next by itself: a connection may be kept for the next try.
    let manner = Manner::smtp().script(move |heard| {
        let bytes = |bytes: &[u8]| Act::SayAndClose(bytes.to_vec());
        let act = match (heard, turn.load(Ordering::SeqCst)) {
            (Heard::Connected, 0) => bytes(b"220-no last line\r\n"),
            (Heard::Connected, 1) => Act::SayAndClose(b"220-more\r\n".repeat(200_000)),
            (Heard::Connected, 2) => Act::SayAndClose(vec![b'2'; 1 << 20]),
            (Heard::Connected, 3) => bytes(b"220-a\r\n250 b\r\n"),
            (Heard::Line(line), 4) if line.starts_with("EHLO") => bytes(b"\0\xFF\x1B[31m\r\n"),
            (Heard::Line(line), 5) if line.starts_with("EHLO") => {
                bytes(b"250-a\0\x1B\r\n250 b\r\n")
            }
            (Heard::Line(line), 6) if line.starts_with("MAIL") => bytes(b"999 x\r\n"),
            (Heard::Line(line), 7) if line.starts_with("MAIL") => Act::Close,
            (Heard::Line(line), 8) if line.starts_with("RCPT") => bytes(b"250 a\rb\r\n"),
            (Heard::Line(line), 9) if line.starts_with("RCPT") => bytes(b"250 a\nRCPT TO:<b>\r\n"),
            (Heard::Line("DATA"), 10) => bytes(b"250 what?\r\n"),
            (Heard::Message(_), 11) => bytes(b"250-kept\r\n550 2.0.0 not\r\n"),
            (Heard::Message(_), 12) => Act::line("451 4.3.0 not now"),
            _ => return Act::Usual,
        };
        turn.fetch_add(1, Ordering::SeqCst);
        act
    });
    let sink = Sink::listen(place.address(), 0, manner).unwrap();
    let house = house(place, sink.port(), "", "");
    send(&house, TEXT);
    assert!(harness::wait_until(|| house.kept() == 0), "{:?} {}", count, house.log());
    assert_eq!(count.load(Ordering::SeqCst), 13);
    // One that nobody knew of, whose replies contradict each other; and the last one.
    let messages = sink.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages.iter().all(|message| message.recipients == ["RCPT TO:<ann@next.example>"]));
    assert!(!house.log().contains(|c: char| c.is_control() && c != '\n'), "{}", house.log());
}

#[test]
fn i2_a_reply_cannot_forge_a_line_of_the_log_or_a_field_of_the_report() {
    if !ready() {
        return;
    }
    let place = Place::take().unwrap();
    let manner = Manner::smtp().script(|heard| match heard {
        Heard::Line(line) if line.starts_with("RCPT") => Act::Say(
            b"550-5.1.1 no\x1b[2J\r\n550-5.1.1 Subject: forged\r\n550 5.1.1 such user\r\n".to_vec(),
        ),
        _ => Act::Usual,
    });
    let sink = Sink::listen(place.address(), 0, manner).unwrap();
    let house = house(place, sink.port(), "", "");
    let (mut client, _) = house.visit(house.relay()).unwrap();
    let replies = transact(&mut client, "bob@here.example", &["ann@next.example"], TEXT).unwrap();
    assert_eq!(replies.last().unwrap().code(), 250);
    let report = house.await_mail("bob@here.example", 1);
    assert_eq!(report.len(), 1, "{}", house.log());
    assert!(
        report[0].contains("Status: 5.1.1") && report[0].contains("Action: failed"),
        "{}",
        report[0]
    );
    assert!(!report[0].lines().any(|line| line.starts_with("Subject: forged")), "{}", report[0]);
    assert!(!report[0].contains(['\u{1b}', '\0']) && !house.log().contains('\u{1b}'));
    assert_eq!(sink.messages().len(), 0);
}

#[test]
fn j_each_message_arrives_once_over_restarts_of_the_next_hop() {
    const MESSAGES: usize = 60;
    if !ready() {
        return;
    }
    let place = Place::take().unwrap();
    let address = place.address();
    let sink = Sink::listen(address, 0, Manner::smtp()).unwrap();
    let port = sink.port();
    let house = house(place, port, "", "");
    let mut heard = Vec::new();
    let mut sink = Some(sink);
    for number in 0..MESSAGES {
        send(&house, &format!("Subject: number {number}.\r\n\r\nx\r\n"));
        if number % 20 == 10 {
            heard.extend(sink.take().map(Sink::stop).unwrap_or_default());
        }
        if number % 20 == 19 {
            // The port is free when the thread that listened has heard of its end.
            harness::wait_until(|| {
                sink = Sink::listen(address, port, Manner::smtp()).ok();
                sink.is_some()
            });
        }
    }
    let last = sink.unwrap();
    let all =
        || heard.iter().chain(&last.messages()).map(|message| message.text()).collect::<Vec<_>>();
    let times = |number: usize| {
        all().iter().filter(|text| text.contains(&format!("Subject: number {number}."))).count()
    };
    assert!(
        harness::wait_until(|| (0..MESSAGES).all(|number| times(number) > 0)),
        "lost: {}",
        house.log()
    );
    let doubled: Vec<usize> = (0..MESSAGES).filter(|number| times(*number) > 1).collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
}

#[test]
fn j_a_full_disk_is_told_and_costs_nothing_that_was_accepted() {
    if !ready() {
        return;
    }
    let place = Place::take().unwrap();
    let sink =
        Sink::listen(place.address(), 0, Manner::smtp().script(|_| Act::line("421 4.3.2 later")))
            .unwrap();
    let (address, port) = (place.address(), sink.port());
    let plan = Plan::new()
        .map("Connect:127\tRELAY")
        .before("mkdir /var/lib/mta; mount -t tmpfs -o size=3m,mode=755 tmpfs /var/lib/mta")
        .everything_to((address, port).into())
        .sections("[delivery]\nretry = [\"300ms\"]\n[keep]\nreserve = \"100KiB\"\n");
    let house = plan.start_at(place).unwrap();
    let body = format!("{}\r\n", "x".repeat(500)).repeat(400);
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for number in 0..40 {
        let (mut client, _) = house.visit(house.relay()).unwrap();
        let text = format!("Subject: number {number}.\r\n\r\n{body}");
        let replies =
            transact(&mut client, "joe@example.org", &["ann@next.example"], &text).unwrap();
        match replies.last().unwrap() {
            last if last.code() == 250 => accepted.push(number),
            last => refused.push(last.to_string()),
        }
    }
    assert!(!accepted.is_empty() && !refused.is_empty(), "{accepted:?} {refused:?}");
    assert!(refused.iter().all(|said| said.starts_with("452 4.3.1")), "{refused:?}");
    assert!(sink.stop().is_empty());
    let mut sink = None;
    assert!(harness::wait_until(|| {
        sink = Sink::listen(address, port, Manner::smtp()).ok();
        sink.is_some()
    }));
    let messages = sink.as_ref().unwrap().await_messages(accepted.len());
    let mut numbers: Vec<usize> =
        messages.iter().filter_map(|message| number_of(&message.text())).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, accepted, "{}", house.log());
    send(&house, TEXT);
}

fn number_of(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("Subject: number ")?;
    rest.split_once('.')?.0.parse().ok()
}

/// A certificate for a sink.
fn identity(directory: &std::path::Path, address: std::net::IpAddr) -> tls::Identity {
    let made = std::process::Command::new(harness::subject::built("mailauth"))
        .args([
            "cert",
            "init",
            "--name",
            "sink.test",
            "--name",
            &address.to_string(),
            "--directory",
        ])
        .arg(directory)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    tls::Identity::named(directory, "sink.test").unwrap()
}
