//! What the limits promise, tried as an attacker would.

use proptest::prelude::*;

use super::*;

const NOW: Reading = Reading { boot_ns: 1_000_000_000_000, wall_s: 1_700_000_000, boot: 1 };
const SECOND: u64 = 1_000_000_000;

fn rate(burst: u32, count: u32, seconds: u32) -> ipc::config::Rate {
    ipc::config::Rate { burst, count, seconds }
}

pub(crate) fn limits() -> Limits {
    Limits {
        on: true,
        pair: rate(5, 1, 60),
        source: rate(20, 10, 60),
        source_day: rate(150, 150, 86_400),
        network: rate(60, 30, 60),
        network_wide: rate(180, 90, 60),
        user: rate(10, 6, 60),
        user_day: rate(100, 100, 86_400),
        known_good: rate(10, 6, 60),
        peer: rate(100, 50, 1),
        repeats: rate(60, 60, 3600),
        hashing_percent: 70,
        known_good_days: 30,
        entries: 1024,
    }
}

pub(crate) fn words(limits: &Limits) -> &'static [AtomicU64] {
    Vec::leak((0..limits.table_words()).map(|_| AtomicU64::new(0)).collect())
}

fn limiter() -> Limiter {
    let limits = limits();
    Limiter::open(words(&limits), &limits, NOW, [5, 6]).unwrap().0
}

/// Guesses once with a password of its own; whether it was tried.
fn guess(limiter: &mut Limiter, user: &str, source: Option<&str>, number: u64) -> bool {
    attempt(limiter, user, source, &number.to_le_bytes(), Limiter::refused)
}

fn attempt(
    limiter: &mut Limiter,
    user: &str,
    source: Option<&str>,
    password: &[u8],
    end: fn(&Limiter, Reservation),
) -> bool {
    let name = limiter.name(user.as_bytes(), b"");
    let user = limiter.user(user.as_bytes(), b"");
    let source = source.map(|ip| ip.parse().unwrap());
    match limiter.reserve(Ask { user, name, source, peer_uid: 101, password }) {
        Reserved::Taken(reservation) => {
            end(limiter, reservation);
            true
        }
        Reserved::Throttled(busy) => {
            limiter.note_throttled(busy);
            false
        }
    }
}

#[test]
fn m2_a_thousand_guesses_at_once_try_no_more_than_the_burst() {
    let mut limiter = limiter();
    let user = limiter.user(b"victim", b"");
    let mut held = Vec::new();
    for number in 0..1000u64 {
        let password = &number.to_le_bytes();
        let source = "192.0.2.1".parse().ok();
        let ask = Ask { user, name: 1, source, peer_uid: 1, password };
        if let Reserved::Taken(reservation) = limiter.reserve(ask) {
            held.push(reservation);
        }
    }
    assert_eq!(held.len(), 5);
    held.into_iter().for_each(|reservation| limiter.refused(reservation));
    assert!(!guess(&mut limiter, "victim", Some("192.0.2.1"), 5000));
}

#[test]
fn success_gives_back_and_refusal_keeps() {
    let mut limiter = limiter();
    for number in 0..200u64 {
        let password = number.to_le_bytes();
        assert!(attempt(&mut limiter, "a", None, &password, Limiter::accepted));
        assert!(attempt(&mut limiter, "b", Some("192.0.2.1"), &password, Limiter::unknown));
    }
    assert_eq!((0..99).filter(|number| guess(&mut limiter, "a", None, *number)).count(), 10);
    assert_eq!(limiter.throttled_by(Class::User), 89);
}

#[test]
fn the_same_wrong_password_again_is_free_within_a_bound() {
    let mut limiter = limiter();
    let same = |limiter: &mut Limiter| attempt(limiter, "a", None, b"stale", Limiter::refused);
    assert_eq!((0..500).filter(|_| same(&mut limiter)).count(), 1 + 60 + 9);
    // And no free try while the user is out of tokens.
    limiter.at(NOW.boot_ns + 3600 * SECOND);
    assert_eq!((0..99).filter(|number| guess(&mut limiter, "a", None, *number)).count(), 10);
    assert!(!same(&mut limiter));
}

#[test]
fn m4_a_known_good_source_is_never_locked_out_by_others() {
    let mut limiter = limiter();
    assert!(attempt(&mut limiter, "a", Some("198.51.100.7"), b"right", Limiter::accepted));
    let mut tried = 0;
    for number in 0..20_000u64 {
        let source = format!("10.{}.{}.1", number / 250 % 250, number % 250);
        tried += usize::from(guess(&mut limiter, "a", Some(&source), number));
    }
    assert_eq!(tried, 10, "a user's budget holds however many sources guess");
    // The same network, since phones move within it; and another source is locked out as the attackers are.
    assert!(attempt(&mut limiter, "a", Some("198.51.100.200"), b"right", Limiter::accepted));
    assert!(!attempt(&mut limiter, "a", Some("203.0.113.1"), b"right", Limiter::accepted));
    // Who guesses from there has a bucket of its own, whatever address of the network it takes.
    let near = |number| format!("198.51.100.{number}");
    let tried = (0..200).filter(|n| guess(&mut limiter, "a", Some(&near(*n)), *n + 50_000)).count();
    assert_eq!(tried, 10);
    // It ends with its days.
    limiter.at(NOW.boot_ns + 31 * DAY);
    assert!(
        (0..99).filter(|n| guess(&mut limiter, "a", Some("203.0.113.1"), *n + 90_000)).count() <= 5
    );
    assert!(
        (0..99).filter(|n| guess(&mut limiter, "a", Some("203.0.114.1"), *n + 70_000)).count() <= 5
    );
    assert!(!attempt(&mut limiter, "a", Some("198.51.100.7"), b"right", Limiter::accepted));
}

#[test]
fn m5_a_64_is_one_source_and_its_neighbours_share_networks() {
    let mut limiter = limiter();
    let mut tried = 0;
    for number in 0..10_000u64 {
        let source = format!("2001:db8:1:1::{:x}:{:x}", number >> 8, number & 255);
        tried += usize::from(guess(&mut limiter, &format!("u{number}"), Some(&source), number));
    }
    assert_eq!(tried, 20);
    let mut tried = 0;
    for number in 0..10_000u64 {
        let source = format!("2001:db8:2:{:x}::1", number & 255);
        tried += usize::from(guess(&mut limiter, &format!("v{number}"), Some(&source), number));
    }
    assert_eq!(tried, 60, "all of a /56");
}

#[test]
fn one_attacker_through_one_mail_server_stops_nobody_who_logged_in_there() {
    let mut limiter = limiter();
    assert!(attempt(&mut limiter, "a", None, b"right", Limiter::accepted));
    let tried = (0..5000).filter(|n| guess(&mut limiter, &format!("x{n}"), None, *n)).count();
    assert_eq!(tried, 100, "the peer's burst");
    assert!(!attempt(&mut limiter, "stranger", None, b"right", Limiter::accepted));
    assert!(attempt(&mut limiter, "a", None, b"right", Limiter::accepted));
    limiter.at(NOW.boot_ns + SECOND);
    assert!(attempt(&mut limiter, "stranger", None, b"right", Limiter::accepted));
}

#[test]
fn a_lying_mail_server_guesses_no_faster_than_the_user_allows() {
    let mut limiter = limiter();
    let mut tried = 0;
    for hour in 0..24u64 {
        limiter.at(NOW.boot_ns + hour * 3600 * SECOND);
        for number in 0..500u64 {
            let number = hour * 500 + number;
            let source = format!("{}.{}.1.1", number % 200 + 1, number / 200);
            tried += usize::from(guess(&mut limiter, "victim", Some(&source), number));
        }
    }
    assert!((100..=196).contains(&tried), "{tried}: a day's burst and a day's rate");
}

#[test]
fn a_lying_mail_server_that_knows_the_good_addresses_has_a_days_bound_for_each() {
    let mut limiter = limiter();
    assert!(attempt(&mut limiter, "a", Some("198.51.100.7"), b"right", Limiter::accepted));
    let mut tried = 0;
    for minute in 0..1440u64 {
        limiter.at(NOW.boot_ns + minute * 60 * SECOND);
        for number in 0..20u64 {
            let number = minute * 20 + number;
            tried += usize::from(guess(&mut limiter, "a", Some("198.51.100.7"), number));
        }
    }
    assert!((190..=200).contains(&tried), "{tried}: a day's burst and a day's rate");
}

#[test]
fn who_is_counted_together_with_a_user_makes_no_source_known_good_for_him() {
    let mut limiter = limiter();
    let source = Some("192.0.2.1");
    let own = |limiter: &mut Limiter| attempt(limiter, "ALICE", source, b"own", Limiter::accepted);
    assert!(own(&mut limiter));
    let mut tried = 0;
    for number in 0..200u64 {
        tried += usize::from(guess(&mut limiter, "alice", source, number));
        assert!(own(&mut limiter), "and no failure of another's counts against one who is known");
    }
    assert_eq!(tried, 5, "the pair's burst, which no success fills again");
}

#[test]
fn without_an_address_nobody_goes_first_against_whom_a_failure_counts() {
    let mut limiter = limiter();
    let goes_first = |limiter: &mut Limiter, user: &str| {
        let (name, user) = (limiter.name(user.as_bytes(), b""), limiter.user(user.as_bytes(), b""));
        let ask = Ask { user, name, source: None, peer_uid: 101, password: b"right" };
        let Reserved::Taken(reservation) = limiter.reserve(ask) else { panic!("throttled") };
        let first = reservation.known_good();
        limiter.accepted(reservation);
        first
    };
    assert!(!goes_first(&mut limiter, "a") && !goes_first(&mut limiter, "b"));
    assert!(goes_first(&mut limiter, "a"));
    assert!(guess(&mut limiter, "a", None, 1));
    assert!(!goes_first(&mut limiter, "a") && goes_first(&mut limiter, "b"));
    limiter.at(NOW.boot_ns + 10 * SECOND);
    assert!(goes_first(&mut limiter, "a"), "until the failure is forgotten");
}

#[test]
fn success_fills_the_pair_and_neither_source_nor_user() {
    let mut limiter = limiter();
    // An attacker with an account of its own in between.
    let mut tried = 0;
    for number in 0..200u64 {
        tried += usize::from(guess(&mut limiter, &format!("v{number}"), Some("192.0.2.1"), number));
        attempt(&mut limiter, "own", Some("192.0.2.1"), b"right", Limiter::accepted);
    }
    assert_eq!(tried, 20);
}

#[test]
fn m7_counts_outlive_a_checker_and_a_boot() {
    let limits = limits();
    let words = words(&limits);
    let open = |reading| Limiter::open(words, &limits, reading, [1, 2]).unwrap();
    let (mut limiter, found) = open(NOW);
    assert_eq!(found, Found::Fresh);
    let mut tried = (0..3).filter(|n| guess(&mut limiter, "a", Some("192.0.2.1"), *n)).count();
    for restart in 0..50u64 {
        let (mut limiter, found) = open(NOW);
        assert_eq!(found, Found::Kept);
        tried += usize::from(guess(&mut limiter, "a", Some("192.0.2.1"), 100 + restart));
    }
    assert_eq!(tried, 5);
    limiter.touch(NOW.boot_ns, NOW.wall_s);
    let boot = Reading { boot_ns: SECOND, wall_s: NOW.wall_s + 61, boot: 2 };
    let (mut limiter, found) = open(boot);
    assert_eq!(found, Found::Carried);
    assert!(guess(&mut limiter, "a", Some("192.0.2.1"), 1000), "one came back in a minute");
    assert!(!guess(&mut limiter, "a", Some("192.0.2.1"), 1001));
}

#[test]
fn c10_damage_locks_nobody_out_for_long() {
    let limits = limits();
    let words = words(&limits);
    Limiter::open(words, &limits, NOW, [1, 2]).unwrap();
    for (place, word) in words.iter().enumerate().skip(Limits::HEADER_WORDS) {
        word.store(
            (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            std::sync::atomic::Ordering::Relaxed,
        );
    }
    let (mut limiter, found) = Limiter::open(words, &limits, NOW, [1, 2]).unwrap();
    assert_eq!(found, Found::Kept);
    for number in 0..2000 {
        attempt(&mut limiter, &format!("u{number}"), None, b"x", Limiter::refused);
    }
    limiter.at(NOW.boot_ns + 2 * DAY);
    assert!(attempt(&mut limiter, "a", None, b"x", Limiter::refused));
}

#[test]
fn an_operator_can_reset() {
    let mut limiter = limiter();
    let tries = |limiter: &mut Limiter, source| {
        (0..99).filter(|n| guess(limiter, "a", source, *n + 1000)).count()
    };
    assert_eq!(tries(&mut limiter, None), 10);
    let user = limiter.user(b"A", b"");
    assert_eq!(
        limiter.of_user(user, 1).left,
        [(Class::User, 0), (Class::UserDay, 90), (Class::Repeats, 60)]
    );
    limiter.reset_user(user, 1);
    assert_eq!(limiter.of_user(user, 1).digests, 0);
    assert_eq!(tries(&mut limiter, None), 10);
    limiter.reset_user(user, 1);
    let place = Some("198.51.100.1");
    let before = tries(&mut limiter, place);
    assert!(before < 10, "the pair's own limit");
    limiter.reset_source("198.51.100.1".parse().unwrap());
    assert_eq!(tries(&mut limiter, place), 0);
    limiter.reset_user(user, 1);
    assert_eq!(tries(&mut limiter, place), before);
    limiter.reset_all();
    let spray = |limiter: &mut Limiter| {
        (0..99).filter(|n| guess(limiter, &format!("u{n}"), Some("192.0.2.1"), *n)).count()
    };
    assert_eq!(spray(&mut limiter), 20);
    limiter.reset_source("192.0.2.1".parse().unwrap());
    limiter.reset_user(limiter.user(b"u0", b""), 1);
    assert!(guess(&mut limiter, "other", Some("192.0.2.1"), 7));
}

#[test]
fn off_is_off() {
    let limits = Limits { on: false, ..limits() };
    let (mut limiter, _) = Limiter::open(words(&limits), &limits, NOW, [5, 6]).unwrap();
    assert!((0..500).all(|number| guess(&mut limiter, "a", None, number)));
    assert!(Limiter::open(Vec::leak(Vec::new()), &limits, NOW, [5, 6]).is_none());
}

#[test]
fn r10_a_spray_of_users_and_addresses_evicts_no_hot_row_and_stays_in_its_memory() {
    let mut limiter = limiter();
    assert_eq!((0..99).filter(|n| guess(&mut limiter, "hot", None, *n)).count(), 10);
    for number in 0..200_000u64 {
        // Time passes so that the peer's bucket isn't what stops the spray.
        limiter.at(NOW.boot_ns + number * 20_000);
        let source = format!("{}.{}.{}.9", number % 223 + 1, number / 223 % 256, number / 57_088);
        guess(&mut limiter, &format!("s{number}"), Some(&source), number);
    }
    assert!(!guess(&mut limiter, "hot", None, 7777));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn m9_no_order_of_ends_makes_tokens(ends in proptest::collection::vec((0u8..3, 0u64..4, 0u64..20), 1..300)) {
        let mut limiter = limiter();
        let (mut time, mut failures) = (NOW.boot_ns, 0u64);
        for (number, (end, user, wait)) in ends.into_iter().enumerate() {
            time += wait * SECOND;
            limiter.at(time);
            let refused = end == 1;
            let end = [Limiter::accepted, Limiter::refused, Limiter::unknown][usize::from(end)];
            let user = format!("u{user}");
            let tried = attempt(&mut limiter, &user, Some("192.0.2.1"), &number.to_le_bytes(), end);
            failures += u64::from(tried && refused);
            let allowed = 4 * (10 + (time - NOW.boot_ns) / (10 * SECOND)) + 20;
            prop_assert!(failures <= allowed);
        }
    }
}
