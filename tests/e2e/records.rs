//! Our own accounts over the socket: hashes that grow up at a login, and what an account may be used for.

use harness::accounts::{crypt, quick_hash};
use harness::wait_until;
use nix::sys::signal::Signal;

use crate::accounts::{database, mailauth, sqlite, user};
use crate::events::{Ear, Try};
use crate::house::{House, Plan, ready};

fn house(more: &str) -> Option<House> {
    if !ready() || !harness::require("sqlite3", "sqlite3") {
        return None;
    }
    let plan = Plan::new()
        .chain("\"sqlite\"")
        .sections(&format!("[hashing]\nargon2_memory = \"8MiB\"\nargon2_passes = 1\n{more}"))
        .sections("[[socket]]\npath = \"/run/saslauthd/mux\"\naddress_uids = [\"root\"]");
    let house = plan.start()?;
    user(&house, "add", "first", "", &["--password-stdin"], "makes the database");
    Some(house)
}

/// Password, and the two kinds of SCRAM keys that are derived by default, of one account.
fn stored(house: &House, name: &str) -> Vec<String> {
    let columns = "ifnull(password, '-'), ifnull(scram_sha_256, '-'), ifnull(scram_sha_512, '-')";
    let row =
        sqlite(&database(house), &format!("SELECT {columns} FROM account WHERE user = '{name}'"));
    row.split('|').map(ToOwned::to_owned).collect()
}

#[test]
fn an_old_hash_becomes_a_new_one_at_a_login_and_only_then() {
    let Some(house) = house("") else { return };
    let old = [
        ("sha512", crypt("secret12", "$6$rounds=1000$abcdefgh$").unwrap()),
        ("md5crypt", crypt("secret12", "$1$abcdefgh$").unwrap()),
        ("yescrypt", crypt("secret12", "$y$j75$abcdefgh$").unwrap()),
        ("dovecot", format!("{{CRYPT}}{}", crypt("secret12", "$5$rounds=1000$abcdefgh$").unwrap())),
    ];
    for (name, hash) in &old {
        user(&house, "add", name, "", &["--hash-stdin"], hash);
        assert_eq!(house.ask(name, "Secret12"), "NO");
        assert_eq!(stored(&house, name)[0], *hash, "a wrong password changes nothing");
        assert_eq!(house.ask(name, "secret12"), "OK");
        assert!(wait_until(|| stored(&house, name)[0].starts_with("$argon2id$")), "{name}");
        let [new, one, two] = &stored(&house, name)[..] else { panic!("three columns") };
        assert!(new.starts_with("$argon2id$v=19$m=8192,t=1,p=1$"), "{new}");
        assert!(
            one.starts_with("SCRAM-SHA-256$") && two.starts_with("SCRAM-SHA-512$"),
            "{one} {two}"
        );
        let mut ear = Ear::at(&house);
        assert_eq!([house.ask(name, "secret12"), house.ask(name, "Secret12")], ["OK", "NO"]);
        assert_eq!(ear.next(&house).get("scheme"), "argon2id");
        assert_eq!(stored(&house, name)[0], *new, "once is enough");
    }
}

#[test]
fn an_upgrade_that_is_switched_off_or_cut_off_costs_nobody_the_account() {
    let Some(house) = house("") else { return };
    let hash = quick_hash("secret12").unwrap();
    // Whenever the checker dies, the row has the old hash or the new one, and both know the password.
    for round in 0..4 {
        let name = format!("user{round}");
        user(&house, "add", &name, "", &["--hash-stdin"], &hash);
        assert_eq!(house.ask(&name, "secret12"), "OK");
        std::thread::sleep(std::time::Duration::from_millis(round * 5));
        house.checker().signal(Signal::SIGKILL);
        assert!(wait_until(|| house.ask(&name, "secret12") == "OK"), "round {round}");
        assert_eq!(house.ask(&name, "Secret12"), "NO");
    }
    drop(house);
    let Some(house) = self::house("upgrade = false\n[sasl]\nderive = []") else { return };
    user(&house, "add", "ann", "", &["--hash-stdin"], &hash);
    assert_eq!([house.ask("ann", "secret12"), house.ask("ann", "secret12")], ["OK", "OK"]);
    assert_eq!(stored(&house, "ann"), [&*hash, "-", "-"]);
}

/// A login for a service from an address, and why it is refused; `-` when it isn't.
fn admitted(house: &House, name: &str, service: &str, address: Option<&str>, reason: &str) {
    let one = Try::new(name, "pencil").service(service);
    let mut ear = Ear::at(house);
    let reply = match address {
        Some(address) => one.ask_from(house.mux(), address),
        None => one.ask(house.mux()),
    };
    let said = if reason == "-" { "OK" } else { "NO" };
    assert_eq!(reply, said, "{name} for {service} from {address:?}");
    assert_eq!(ear.next(house).get("reason"), reason, "{name} for {service} from {address:?}");
    let wrong = Try { password: b"wrong".to_vec(), ..one };
    assert_eq!(wrong.ask(house.mux()), "NO");
    assert_eq!(
        ear.next(house).get("reason"),
        "wrong-password",
        "what else is wrong is told to nobody"
    );
}

#[test]
fn services_networks_ends_and_locks_hold_over_the_socket() {
    let Some(house) = house("") else { return };
    let add = |name: &str, rest: &[&str]| {
        user(&house, "add", name, "", &[&["--password-stdin"], rest].concat(), "pencil");
    };
    add("any", &[]);
    add("mailer", &["--service", "smtp,submission"]);
    add("office", &["--network", "192.0.2.0/24,2001:db8::/32"]);
    add("both", &["--service", "imap", "--network", "192.0.2.7"]);
    add("past", &["--expires", "2020-01-01"]);
    add("later", &["--expires", "+2d"]);
    add("locked", &[]);
    let path = database(&house).display().to_string();
    mailauth(&house, &["user", "lock", "--database", &path, "locked"], "");
    let near = Some("192.0.2.7;4242");
    let far = Some("198.51.100.1;4242");
    admitted(&house, "any", "smtp", None, "-");
    admitted(&house, "any", "", far, "-");
    admitted(&house, "mailer", "smtp", None, "-");
    admitted(&house, "mailer", "submission", far, "-");
    admitted(&house, "mailer", "imap", None, "service-not-allowed");
    admitted(&house, "mailer", "SMTP", None, "service-not-allowed");
    admitted(&house, "mailer", "smtp,submission", None, "service-not-allowed");
    admitted(&house, "mailer", "", None, "service-not-allowed");
    admitted(&house, "office", "smtp", near, "-");
    admitted(&house, "office", "smtp", Some("::ffff:192.0.2.9;1"), "-");
    admitted(&house, "office", "smtp", Some("2001:db8:1::1;1"), "-");
    admitted(&house, "office", "smtp", far, "network-not-allowed");
    admitted(&house, "office", "smtp", None, "network-not-allowed");
    admitted(&house, "office", "smtp", Some("unknown;unknown"), "network-not-allowed");
    admitted(&house, "both", "imap", near, "-");
    admitted(&house, "both", "smtp", near, "service-not-allowed");
    admitted(&house, "both", "imap", far, "network-not-allowed");
    admitted(&house, "past", "smtp", None, "account-expired");
    admitted(&house, "later", "smtp", None, "-");
    admitted(&house, "locked", "smtp", None, "disabled");
    mailauth(&house, &["user", "unlock", "--database", &path, "locked"], "");
    admitted(&house, "locked", "smtp", None, "-");
}

#[test]
fn an_address_that_its_sender_may_not_state_opens_no_network() {
    let Some(house) = Plan::new().chain("\"sqlite\"").start() else { return };
    let office = ["--password-stdin", "--network", "192.0.2.0/24"];
    user(&house, "add", "office", "", &office, "pencil");
    let mut ear = Ear::at(&house);
    assert_eq!(Try::new("office", "pencil").ask_from(house.mux(), "192.0.2.7;25"), "NO");
    let event = ear.next(&house);
    assert_eq!([event.get("rip"), event.get("rip_source")], ["192.0.2.7", "ignored"]);
    assert_eq!(event.get("reason"), "network-not-allowed");
}
