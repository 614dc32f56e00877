//! A1 to A5: bytes that a client of the public sockets should not send.

use std::time::{Duration, Instant};

use harness::probe::{End, counted};
use harness::{PATIENCE, Probe};

use crate::house::{House, LOGIN, PASSWORD, Plan};

const PWCHECK: &str = "/run/saslauthd/pwcheck";
/// Enough for an answer that needs no hash, on a busy machine.
const SOON: Duration = Duration::from_millis(500);

fn with_pwcheck() -> Plan {
    Plan::new()
        .sections("[[socket]]\npath = \"/run/saslauthd/mux\"")
        .sections("[[socket]]\nprotocol = \"pwcheck\"")
}

fn request(fields: [&[u8]; 4]) -> Vec<u8> {
    counted(&fields)
}

fn right() -> [&'static [u8]; 4] {
    [LOGIN.as_bytes(), PASSWORD.as_bytes(), b"smtp", b""]
}

/// The reply, which has to come although the client neither closes nor sends more.
fn reply(house: &House, bytes: &[u8]) -> String {
    house.send(bytes).hear(PATIENCE).expect("a conversation").mux()
}

fn pwcheck(house: &House, bytes: &[u8]) -> Probe {
    let mut probe = Probe::connect(&house.at(PWCHECK)).expect("a connection");
    probe.send(bytes).expect("room for a request");
    probe
}

fn pwcheck_reply(house: &House, bytes: &[u8]) -> String {
    let heard = pwcheck(house, bytes).hear(PATIENCE).expect("a conversation");
    format!("{} {:?}", heard.bytes.escape_ascii(), heard.end)
}

#[test]
fn a1_a_nul_in_any_field_is_refused_before_any_backend_hears_of_it() {
    let Some(house) = with_pwcheck().start() else { return };
    assert_eq!(house.visit(), "OK");
    let asked = house.figure("/backends/0/lookups");
    for field in 0..4 {
        // Its own text around the NUL, so that a C string would end there and be right.
        let text: &[u8] = if right()[field].is_empty() { b"x" } else { right()[field] };
        for at in [0, 1, text.len() / 2, text.len()] {
            let (head, tail) = text.split_at(at);
            let with_nul = [head, b"\0", tail].concat();
            let mut fields = right();
            fields[field] = &with_nul;
            assert_eq!(reply(&house, &request(fields)), "NO", "field {field}, NUL at {at}");
        }
    }
    let mut longer = right();
    let password = [PASSWORD.as_bytes(), b"\0garbage"].concat();
    longer[1] = &password;
    assert_eq!(reply(&house, &request(longer)), "NO");
    assert_eq!(house.figure("/backends/0/lookups"), asked, "a backend was asked");
    // In the optional fifth field, which nobody has to understand, a NUL makes it no address.
    let address = [&request(right())[..], &counted(&[b"192.0.2.7\0;25"])].concat();
    assert_eq!(reply(&house, &address), "OK");
    assert!(house.daemon.log().contains("rip=- rip_source=none"), "{}", house.daemon.log());
    assert!(!house.daemon.log().contains("rip=192.0.2.7"));
}

#[test]
fn a2_four_fields_are_answered_at_once_whatever_becomes_of_a_fifth() {
    let Some(house) = Plan::new().start() else { return };
    let four = request(right());
    let five = [&four[..], &counted(&[b"192.0.2.7;25"])].concat();
    assert_eq!(house.visit(), "OK");
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(reply(&house, &four), "OK");
        times.push(began.elapsed());
    }
    times.sort();
    assert!(times[10] < Duration::from_millis(50), "half took longer than {:?}", times[10]);
    assert_eq!(reply(&house, &five), "OK");
    for at in 1..five.len() {
        let mut probe = house.send(&five[..at]);
        std::thread::sleep(Duration::from_millis(1));
        probe.send(&five[at..]).unwrap();
        assert_eq!(probe.hear(PATIENCE).unwrap().mux(), "OK", "split at {at}");
    }
    let mut half_closed = house.send(&four);
    half_closed.half_close().unwrap();
    assert_eq!(half_closed.hear(PATIENCE).unwrap().mux(), "OK");
    let began = Instant::now();
    assert_eq!(reply(&house, &[&four[..], b"\0"].concat()), "OK");
    assert!(began.elapsed() < SOON, "a stray byte was waited for: {:?}", began.elapsed());
}

/// Lengths that a field may have, and the longest one that is let through to a backend.
fn hold_limits(house: &House, most: [usize; 4]) {
    for (field, most) in most.into_iter().enumerate() {
        for length in [0, 1, 255, 256, 257, 1024, 1025, 8192, 8193, 65_535] {
            let text = vec![b'a'; length];
            let mut fields = right();
            fields[field] = &text;
            let asked = house.figure("/backends/0/lookups");
            let wanted = match field {
                2 | 3 if length <= most => "OK",
                _ => "NO",
            };
            assert_eq!(reply(house, &request(fields)), wanted, "field {field} of {length} bytes");
            let heard = house.figure("/backends/0/lookups") - asked;
            let passes = length <= most && (length > 0 || field > 1);
            assert_eq!(heard, u64::from(passes), "field {field} of {length} bytes, lookups");
        }
        // The length alone is enough to say no: nobody waits for the bytes, or makes room for them.
        let mut before = Vec::new();
        right().into_iter().take(field).for_each(|text| before.extend(counted(&[text])));
        let over = u16::try_from(most + 1).unwrap();
        for length in [over, u16::MAX] {
            let began = Instant::now();
            let bytes = [&before[..], &length.to_be_bytes()].concat();
            assert_eq!(reply(house, &bytes), "NO", "field {field} promised {length} bytes");
            assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        }
    }
}

#[test]
fn a3_lengths_over_the_limit_are_refused_by_their_length_alone() {
    let Some(house) = Plan::new().start() else { return };
    hold_limits(&house, [1024, 8192, 1024, 1024]);
}

#[test]
fn a3_limits_can_be_those_of_cyrus() {
    let cyrus = "[listener]\nlogin = 256\npassword = 256\nservice = 256\nrealm = 256";
    let Some(house) = Plan::new().sections(cyrus).start() else { return };
    hold_limits(&house, [256; 4]);
}

#[test]
fn a3_promised_bytes_cost_no_memory() {
    let Some(house) = Plan::new().start() else { return };
    assert_eq!(house.visit(), "OK");
    let before = house.listener().resident_kib();
    let promise = [&counted(&[LOGIN.as_bytes()])[..], &8192u16.to_be_bytes(), b"x"].concat();
    let clients: Vec<Probe> = (0..2000).map(|_| house.send(&promise)).collect();
    assert_eq!(house.visit(), "OK");
    let after = house.listener().resident_kib();
    // All the promised bytes together are 16 MiB.
    assert!(after - before < 8 * 1024, "{before} KiB became {after} KiB");
    drop(clients);
}

#[test]
fn a4_pwcheck_never_takes_a_password_from_the_request_before() {
    let plan = with_pwcheck().sections("[listener]\nrequest = \"300ms\"");
    let Some(house) = plan.start() else { return };
    let right = format!("{LOGIN}\0{PASSWORD}\0");
    assert_eq!(pwcheck_reply(&house, right.as_bytes()), "OK Closed");
    let name_alone = format!("{LOGIN}\0");
    for _ in 0..50 {
        assert_eq!(pwcheck_reply(&house, right.as_bytes()), "OK Closed");
        let mut finished = pwcheck(&house, name_alone.as_bytes());
        finished.half_close().unwrap();
        let heard = finished.hear(PATIENCE).unwrap();
        assert_eq!((&heard.bytes[..], heard.end), (&b""[..], End::Closed), "with a FIN");
        let empty = format!("{LOGIN}\0\0");
        assert_eq!(pwcheck_reply(&house, empty.as_bytes()), "NO Closed", "an empty password");
    }
    let began = Instant::now();
    assert_eq!(pwcheck_reply(&house, name_alone.as_bytes()), " Closed", "idle");
    assert!(began.elapsed() >= Duration::from_millis(250), "not before the deadline");
}

#[test]
fn a5_pwcheck_takes_whole_requests_of_1023_bytes_and_no_others() {
    let plan = with_pwcheck().sections("[listener]\nrequest = \"300ms\"");
    let Some(house) = plan.start() else { return };
    let unfinished = format!("{LOGIN}\0{PASSWORD}");
    assert_eq!(pwcheck_reply(&house, unfinished.as_bytes()), " Closed", "without the last NUL");
    let surplus = format!("{LOGIN}\0{PASSWORD}\0x");
    assert_eq!(pwcheck_reply(&house, surplus.as_bytes()), "NO Closed", "bytes behind the last NUL");
    let of_length = |length: usize| {
        let password = "p".repeat(length - LOGIN.len() - 2);
        format!("{LOGIN}\0{password}\0").into_bytes()
    };
    let asked = || house.figure("/backends/0/lookups");
    for (length, lookups) in [(1022, 1), (1023, 1), (1024, 0), (4096, 0), (60_000, 0)] {
        let before = asked();
        let reply = pwcheck_reply(&house, &of_length(length));
        assert!(reply.starts_with("NO"), "{length} bytes: {reply}");
        assert_eq!(asked() - before, lookups, "{length} bytes");
    }
    for length in [1024, 4096, 60_000] {
        let before = asked();
        let reply = pwcheck_reply(&house, &vec![b'u'; length]);
        assert!(reply.starts_with("NO"), "{length} bytes without a NUL: {reply}");
        assert_eq!(asked(), before, "{length} bytes without a NUL");
    }
    assert_eq!(house.visit(), "OK");
}
