//! I3: a connection that waits for another message is used again for what it was made for, and for nothing else.

use harness::mta::names::Names;
use harness::mta::sink::{Manner, Sink};
use harness::mta::tls;
use harness::mta::{House, Place, Plan, ready, transact};

use crate::mint::{Mint, server};

/// A next hop with a certificate that nobody believes, which every domain leads to.
fn house(map: &str) -> (House, Sink, Names) {
    let (place, mint) = (Place::take().unwrap(), Mint::open());
    let root = mint.authority("nobodys", None);
    let names = ["mx.test".to_owned()];
    let identity = mint.issue(&server(&names), &root, &[]);
    let config = tls::server(identity, None, tls::ANY).unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp().starttls(config)).unwrap();
    let zone = format!("*.test A {}", place.address());
    let names = Names::listen(place.address(), &[&zone]).unwrap();
    let plan = Plan::new().map("Connect:127\tRELAY").map(map).sections(&format!(
        "[delivery]\nname_servers = [\"{}\"]\nport = {}\nretry = [\"1h\"]\n\
         [[route]]\nto = \"*\"\nvia = \"smtp\"\nhost = \"mx.test\"\nport = {}\n",
        names.address(),
        sink.port(),
        sink.port()
    ));
    (plan.start_at(place).unwrap(), sink, names)
}

fn send(house: &House, to: &[&str]) {
    let (mut client, _) = house.visit(house.relay()).unwrap();
    let replies = transact(&mut client, "joe@example.org", to, "A: b\r\n\r\nx\r\n").unwrap();
    assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
}

fn connections(sink: &Sink) -> usize {
    sink.wire().iter().filter(|line| *line == "<connect>").count()
}

#[test]
fn i3_a_connection_is_used_again_while_nothing_else_is_wanted() {
    if !ready() {
        return;
    }
    let (house, sink, _names) = house("");
    for number in 1..=4 {
        send(&house, &["ann@one.example"]);
        assert_eq!(sink.await_messages(number).len(), number, "{}", house.log());
        assert!(harness::wait_until(|| house.kept() == 0));
    }
    // The test has a use only if one waits. It waits for some seconds, which a busy machine may need.
    assert!(connections(&sink) < 4, "{:?}", sink.wire());
}

#[test]
fn i3_what_waits_in_the_clear_is_not_used_where_tls_is_wanted() {
    if !ready() {
        return;
    }
    let (house, sink, _names) = house("Try_TLS:mx.test\tNO");
    send(&house, &["ann@one.example"]);
    assert!(!sink.await_messages(1)[0].tls);
    // While that one waits the map changes its mind: first TLS, then a certificate.
    house.write_map("Connect:127\tRELAY\n").unwrap();
    let inside = || {
        let before = sink.messages().len();
        send(&house, &["ann@two.example"]);
        sink.await_messages(before + 1).last().unwrap().tls
    };
    assert!(harness::wait_until(inside), "{}", house.log());
    let clear = || sink.messages().iter().filter(|message| !message.tls).count();
    let before = clear();
    house.write_map("Connect:127\tRELAY\nTLS_Srv:mx.test\tVERIFY\n").unwrap();
    // The daemon reads it within a second; what is sent until then goes by the old one.
    let said = |stat: &str| {
        let of_it = |line: &&str| line.contains("to=<ann@three.example>") && line.contains(stat);
        house.log().lines().filter(of_it).count()
    };
    let refused = || {
        let before = said("stat=");
        send(&house, &["ann@three.example"]);
        harness::wait_until(|| said("stat=") > before) && said("stat=Deferred") > 0
    };
    assert!(harness::wait_until(refused), "{}", house.log());
    assert_eq!(clear(), before, "{}", house.log());
}

#[test]
fn i3_a_recipient_that_wants_more_gets_no_ride_with_others() {
    if !ready() {
        return;
    }
    let (house, sink, _names) = house("TLS_Rcpt:strict.example\tVERIFY");
    send(&house, &["ann@loose.example"]);
    assert_eq!(sink.await_messages(1).len(), 1, "{}", house.log());
    // Over the connection that waits, and in one message with somebody who wants nothing.
    send(&house, &["ann@strict.example"]);
    assert!(house.logged(&["to=<ann@strict.example>", "stat=Deferred"]), "{}", house.log());
    send(&house, &["bob@strict.example", "bob@loose.example"]);
    assert!(house.logged(&["bob@strict.example", "stat=Deferred"]), "{}", house.log());
    let messages = sink.await_messages(2);
    assert_eq!(messages.len(), 2, "{}", house.log());
    assert!(messages.iter().all(|message| message.recipients.len() == 1), "{messages:?}");
    assert!(!sink.wire().iter().any(|line| line.contains("strict")), "{:?}", sink.wire());
}
