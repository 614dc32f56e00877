//! Many messages for one of Debian's mail servers share connections inside TLS, and each arrives once and as it was.

use std::net::SocketAddr;

use harness::mta::{Place, Plan, ready, transact};
use harness::{PATIENCE, wait_for};

use crate::next_hop::{EXIM, GOOD, NextHop, POSTFIX, SENDMAIL};
use crate::peers::tls::SERVER;
use crate::peers_in::there;
use crate::peers_out::certify;
use crate::tunnel::Tunnel;

const PORT: u16 = 2626;
/// The last is a large one.
const MESSAGES: usize = 40;
const CONNECTIONS: usize = 3;

/// Lines of many kinds and lengths, up to the most that a line may have, and dots before some of them.
fn large() -> String {
    let line = |number: usize| {
        let dots = ".".repeat(number % 3);
        format!("{dots}{number} {}\n", "x.".repeat(number * 7 % 490))
    };
    (0..6000).map(line).collect()
}

fn many_to(server: &NextHop) {
    if !ready() {
        return;
    }
    let Some(world) = there(server.world()) else { return };
    let place = Place::take().unwrap();
    let at = SocketAddr::new(place.address(), PORT);
    let plan = Plan::new().map("Connect:127\tRELAY").everything_to(at);
    let few =
        format!("[delivery]\nretry = [\"1s\"]\nconnections_per_destination = {CONNECTIONS}\n");
    let house = plan.sections(&few).start().unwrap();
    there(certify(&house, &world, "good.test"));
    there(server.begin(&world));
    let way = Tunnel::into_world(&world, at, (SERVER, GOOD)).unwrap();
    let large = large();
    let (mut client, _) = house.visit(house.relay()).unwrap();
    for number in 1..=MESSAGES {
        let body = if number == MESSAGES { &large } else { "hello\n" };
        let text = format!("Subject: number {number}.\n\n{body}end").replace('\n', "\r\n");
        let replies =
            transact(&mut client, "joe@example.org", &["ann@next.example"], &text).unwrap();
        assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
    }
    // A list that is read while files get their names may lack one or have it twice: the first right one counts.
    let mut kept = Vec::new();
    let complete = wait_for(3 * PATIENCE, || {
        kept = server.kept(&world);
        let number =
            |text: &String| text.split_once("Subject: number ")?.1.split_once('.')?.0.parse().ok();
        let mut numbers: Vec<usize> = kept.iter().filter_map(number).collect();
        numbers.sort_unstable();
        let whole = kept.iter().all(|text| text.trim_end().ends_with("\nend"));
        whole && numbers.into_iter().eq(1..=MESSAGES)
    });
    assert!(complete, "{} {} {}", kept.len(), house.log(), server.log(&world));
    for number in 1..=MESSAGES {
        let subject = format!("Subject: number {number}.\n");
        let found: Vec<&String> = kept.iter().filter(|text| text.contains(&subject)).collect();
        assert_eq!(found.len(), 1, "number {number}: {}", house.log());
        if number == MESSAGES {
            assert!(found[0].contains(&format!("\n{large}end")), "the large one is another");
        }
    }
    let connections = way.said().matches("EHLO ").count();
    assert!((1..=CONNECTIONS).contains(&connections), "{connections}: {}", house.log());
}

#[test]
fn postfix_takes_many() {
    many_to(&POSTFIX);
}

#[test]
fn exim_takes_many() {
    many_to(&EXIM);
}

#[test]
fn sendmail_takes_many() {
    many_to(&SENDMAIL);
}
