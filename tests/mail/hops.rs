//! I: next hops that lie, stall or inject; and what is kept while they are away.

use std::net::SocketAddr;

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
fn i2_a_policy_that_wants_tls_is_never_met_in_the_clear() {
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
fn i6_a_reply_cannot_forge_a_line_of_the_log_or_a_field_of_the_report() {
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
