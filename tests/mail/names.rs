//! I6: what the DNS says of a domain. It leads nobody's mail to this host, and no mail goes round for ever.

use harness::mta::names::Names;
use harness::mta::sink::{Manner, Sink};
use harness::mta::{House, Place, Plan, ready, transact};

/// Where reports go.
const SENDER: &str = "bob@here.example";

fn send(house: &House, to: &str) {
    let (mut client, _) = house.visit(house.relay()).unwrap();
    let replies = transact(&mut client, SENDER, &[to], "Subject: out\r\n\r\nx\r\n").unwrap();
    assert_eq!(replies.last().unwrap().code(), 250, "{to}: {replies:?}");
}

/// The status of the report about a recipient.
fn status(reports: &[String], to: &str) -> String {
    let about = |report: &&String| report.contains(&format!("rfc822; {to}\n"));
    let Some(report) = reports.iter().find(about) else { return "no report".into() };
    let status = report.lines().find_map(|line| line.strip_prefix("Status: "));
    status.unwrap_or("no status").to_owned()
}

#[test]
fn i6_the_dns_leads_nobody_to_this_host() {
    if !ready() {
        return;
    }
    let place = Place::take().unwrap();
    // Whatever is let through would come here.
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let everywhere = Sink::listen([127, 0, 0, 1].into(), sink.port(), Manner::smtp());
    let own = format!("own.test A {}", place.address());
    let names = Names::listen(
        place.address(),
        &[
            "null.test MX 0 .",
            "self.test MX 10 mail.here.example",
            "self.test MX 20 behind.test",
            "behind.test A 192.0.2.1",
            "mx.test MX 10 lo.test",
            "lo.test A 127.0.0.1",
            "link.test A 169.254.169.254",
            "six.test AAAA ::1",
            "mapped.test AAAA ::ffff:127.0.0.1",
            "mapped-link.test AAAA ::ffff:169.254.169.254",
            "compatible.test AAAA ::127.0.0.1",
            "translated.test AAAA 64:ff9b::7f00:1",
            "zero.test A 0.0.0.0",
            "zero6.test AAAA ::",
            "local.test AAAA fe80::1",
            "broadcast.test A 255.255.255.255",
            "alias.test CNAME lo.test",
            &own,
            "routed.test MX 10 lo.test",
        ],
    )
    .unwrap();
    let plan = Plan::new().map("Connect:127\tRELAY").sections(&format!(
        "[delivery]\nname_servers = [\"{}\"]\nport = {}\nretry = [\"200ms\"]\n\
         [[route]]\nto = \"routed.test\"\nvia = \"smtp\"\nhost = \"{}\"\nport = {}\n",
        names.address(),
        sink.port(),
        place.address(),
        sink.port()
    ));
    let house = plan.start_at(place).unwrap();
    let mut expected = vec![("ann@null.test".to_owned(), "5.1.10")];
    for domain in [
        "self",
        "mx",
        "link",
        "six",
        "mapped",
        "mapped-link",
        "compatible",
        "translated",
        "zero",
        "zero6",
        "local",
        "broadcast",
        "alias",
        "own",
    ] {
        expected.push((format!("ann@{domain}.test"), "5.4.6"));
    }
    for literal in ["127.0.0.1", "169.254.169.254", "IPv6:::1", "IPv6:::ffff:127.0.0.1", "0.0.0.0"]
    {
        expected.push((format!("ann@[{literal}]"), "5.4.6"));
    }
    expected.push(("ann@nobody-has-this.test".to_owned(), "5.1.2"));
    for (to, _) in &expected {
        send(&house, to);
    }
    let reports = house.await_mail(SENDER, expected.len());
    for (to, code) in &expected {
        assert_eq!(status(&reports, to), *code, "{to}: {}", house.log());
    }
    assert!(sink.wire().is_empty(), "{:?}", sink.wire());
    assert!(everywhere.is_ok_and(|sink| sink.wire().is_empty()));
    // The administrator may lead mail to this host.
    send(&house, "ann@routed.test");
    assert_eq!(sink.await_messages(1).len(), 1, "{}", house.log());
}

#[test]
fn i6_what_nobody_tells_waits_and_what_goes_round_ends() {
    if !ready() {
        return;
    }
    let place = Place::take().unwrap();
    let own = format!("round.test A {}", place.address());
    let zone = [
        own.as_str(),
        "silent.test FAIL",
        "half.test MX 10 silent.test",
        "one.test CNAME two.test",
        "two.test CNAME one.test",
    ];
    let names = Names::listen(place.address(), &zone).unwrap();
    // What comes back to the port for servers comes from us: it goes round by what the settings permit.
    let plan = Plan::new().map("Connect:127\tRELAY").sections(&format!(
        "[delivery]\nname_servers = [\"{}\"]\nport = 2525\nown_addresses = \"permitted\"\nretry = [\"1s\"]\n",
        names.address()
    ));
    let house = plan.start_at(place).unwrap();
    for domain in ["silent.test", "half.test", "one.test"] {
        send(&house, &format!("ann@{domain}"));
    }
    send(&house, "ann@round.test");
    // A name that leads to itself has no server, and whoever made it so hears of it.
    let reports = house.await_mail(SENDER, 2);
    assert_eq!(status(&reports, "ann@one.test"), "5.4.4", "{}", house.log());
    assert_eq!(status(&reports, "ann@round.test"), "5.4.6", "{reports:?} {}", house.log());
    for domain in ["silent.test", "half.test"] {
        assert!(house.logged(&[domain, "stat=Deferred", "4.4.3"]), "{}", house.log());
    }
    // They wait until somebody tells.
    names.tell(&["*.test MX 0 ."]);
    assert_eq!(house.await_mail(SENDER, 4).len(), 4, "{}", house.log());
    assert!(harness::wait_until(|| house.kept() == 0), "{}", house.log());
}
