//! D4 and D5: what a hostile name makes of the log (nothing), and what a log never has (a secret).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use harness::accounts::{crypt, quick_hash};
use harness::subject::{Subject, built};
use harness::{Daemon, PATIENCE, Ran, Syslog, wait_until};
use protocol::control::{Login, Request};

use crate::accounts::{add_rows, database, mailauth, sasldb, sqlite, user};
use crate::events::{Ear, Event, Try, ask_all, events};
use crate::house::{House, LOGIN, PASSWORD, Plan, ready};

const STATING: &str = "[[socket]]\npath = \"/run/saslauthd/mux\"\naddress_uids = [\"root\"]";
const FORGED: &str = "login id=00000000-1 outcome=refuse reason=wrong-password user=\"x\" realm=\"\" \
    service=\"\" backend=shadow scheme=- cache=off peer_uid=0 peer_pid=1 rip=1.2.3.4 \
    rip_source=stated throttled=- ms=0.001";

/// Names that would be structure to a careless log or its reader. None is a name of anybody.
fn hostile() -> Vec<Vec<u8>> {
    let text: [&str; 22] = [
        "eve\nsaslauthd[1]: login id=0-0 outcome=accept",
        "eve\r\nNov 22 10:00:00 mailhost saslauthd[1]: forged",
        "\x1b[2J\x1b[31meve",
        "eve\x07\x08\x7f",
        "eve from 1.2.3.4",
        "eve] [remote=1.2.3.4;25] [x=y",
        "eve\" realm=\"\" rip=1.2.3.4 rip_source=stated x=\"",
        "\" rip=1.2.3.4 rip_source=stated throttled=- ms=1.000",
        FORGED,
        "eve\\",
        "eve\\\" rip=1.2.3.4",
        "eve\u{2028}login id=0-0",
        "eve\u{202e}evil",
        "eve\u{85}x",
        "eve\u{a0}\u{200b}\u{feff}",
        "%n%s%n%s",
        "user=root",
        "1.2.3.4",
        "rip=1.2.3.4",
        "\t\x0b\x0c",
        "<13>Nov 22 10:00:00 su: root",
        "MESSAGE=forged PRIORITY=0",
    ];
    let mut all: Vec<Vec<u8>> = text.iter().map(|name| name.as_bytes().to_vec()).collect();
    all.extend([b"\xff\xfe\xfd".to_vec(), b"\xc0\xaf\xed\xa0\x80".to_vec(), b"\xe2\x80".to_vec()]);
    all.extend([vec![b'A'; 256], vec![b'"'; 1024], "\u{2028}".repeat(300).into_bytes()]);
    let forged = format!("x saslauthd[1]: {FORGED}");
    all.push(forged.into_bytes());
    all
}

/// The bytes behind `\xHH`.
fn unquoted(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).expect("two digits"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// Each hostile text in each field that a client names; how many are logins, and not cut short by the listener.
fn attack(house: &House) -> Vec<Try> {
    let mut tries = Vec::new();
    for name in hostile() {
        tries.push(Try::new(&name, "guess"));
        tries.push(Try::new(LOGIN, "guess").realm(&name));
        tries.push(Try::new(LOGIN, "guess").service(&name));
        tries.push(Try::new(&name, "guess").realm(&name).service(&name));
    }
    let replies = ask_all(house.mux(), &tries);
    for (one, reply) in tries.iter().zip(replies) {
        assert_eq!(reply, "NO", "{one:?}");
    }
    let breaks = |bytes: &[u8]| bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    tries.retain(|one| {
        ![&one.login, &one.realm, &one.service].into_iter().any(|field| breaks(field))
    });
    tries
}

/// One record for each login, with its own fields, and nothing else that came from them.
fn hold(records: &[String], logins: &[Try]) {
    for record in records {
        let odd = record.chars().find(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}'));
        assert_eq!(odd, None, "{record:?}");
    }
    let text = records.join("\n");
    let events = events(&text);
    let mut wanted: Vec<[Vec<u8>; 3]> = logins
        .iter()
        .map(|one| [one.login.clone(), one.realm.clone(), one.service.clone()])
        .collect();
    let fields =
        |event: &Event| ["user", "realm", "service"].map(|field| unquoted(event.get(field)));
    let mut got: Vec<[Vec<u8>; 3]> = events.iter().map(fields).collect();
    wanted.sort();
    got.sort();
    assert_eq!(got.len(), wanted.len(), "records and logins");
    for (got, wanted) in got.iter().zip(&wanted) {
        assert_eq!(got, wanted);
    }
    for event in &events {
        assert_eq!([event.get("outcome"), event.get("rip")], ["refuse", "-"]);
        assert_eq!(event.get("rip_source"), "none");
    }
    // Cyrus's line as well, once a refusal; without names where those could not be read.
    let (nameless, refusals): (Vec<&String>, Vec<&String>) = records
        .iter()
        .filter(|record| record.contains(": auth failure: [user="))
        .partition(|record| record.contains("[user=] [service=] [realm=] [mech=-]"));
    let unread = |record: &&String| {
        ["reason=line-break ", "reason=nul-byte "].iter().any(|why| record.contains(why))
    };
    assert_eq!(nameless.len(), records.iter().filter(unread).count());
    assert_eq!(refusals.len(), logins.len());
    for line in refusals {
        let (_, line) = line.split_once(": auth failure: ").unwrap();
        let fields = line.matches('[').count();
        assert_eq!([fields, line.matches(']').count()], [5, 5], "{line}");
        assert!(!line.contains("[remote="), "{line}");
    }
}

fn hostile_house(to: &str, names: &str) -> (Plan, usize) {
    let plan = Plan::new()
        .sections(&format!("[log]\nto = \"{to}\"\nlevel = \"debug\""))
        .sections(&format!("[realms]\nnames = \"{names}\""));
    (plan, hostile().len() * 4)
}

#[test]
fn d4_standard_error_has_one_record_a_login() {
    for names in ["raw", "precis"] {
        let (plan, most) = hostile_house("stderr", names);
        let Some(house) = plan.start() else { return };
        let mut ear = Ear::at(&house);
        let before = house.daemon.log().lines().count();
        let logins = attack(&house);
        assert!(logins.len() > most / 2 && logins.len() < most, "{} of {most}", logins.len());
        ear.several(&house, logins.len());
        house.figure("/logins/refused");
        let log = house.daemon.log();
        let records: Vec<String> = log.lines().skip(before).map(ToOwned::to_owned).collect();
        let cut = records.iter().filter(|line| line.contains("]: request outcome=refuse ")).count();
        assert_eq!(cut, most - logins.len(), "names with line breaks");
        if names == "raw" {
            hold(&records, &logins);
        } else {
            // Prepared names are shown as prepared; nothing else may be different.
            assert_eq!(events(&log).len(), logins.len());
        }
    }
}

/// A log socket that is there before the daemon is.
fn collect(house: &harness::Sandbox, socket: &str) -> Syslog {
    let path = house.outside(Path::new(socket));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::set_permissions(path.parent().unwrap(), PermissionsExt::from_mode(0o755)).unwrap();
    Syslog::listen(&path).unwrap()
}

#[test]
fn d4_syslog_has_one_datagram_a_record() {
    if !ready() {
        return;
    }
    let (plan, _) = hostile_house("syslog", "raw");
    let house = plan.start_in(plan.furnish());
    let before = house.sandbox.syslog().lines().len();
    let logins = attack(&house);
    let records = || house.sandbox.syslog().lines().split_off(before);
    let complete = || records().iter().filter(|line| line.contains("auth failure")).count();
    let all = wait_until(|| complete() >= logins.len());
    assert!(all, "{} of {}, lost {}", complete(), logins.len(), house.figure("/log/lost"));
    hold(&records(), &logins);
    for record in records() {
        assert!(record.starts_with("<3") && record.contains(" saslauthd["), "{record}");
    }
}

#[test]
fn d4_the_journal_has_one_entry_a_record() {
    if !ready() {
        return;
    }
    let (plan, _) = hostile_house("journal", "raw");
    let sandbox = plan.furnish();
    let journal = collect(&sandbox, "/run/systemd/journal/socket");
    let house = plan.start_in(sandbox);
    let before = journal.lines().len();
    let logins = attack(&house);
    let entries = || journal.lines().split_off(before);
    let complete = || entries().iter().filter(|entry| entry.contains("auth failure")).count();
    let all = wait_until(|| complete() >= logins.len());
    assert!(all, "{} of {}, lost {}", complete(), logins.len(), house.figure("/log/lost"));
    let mut messages = Vec::new();
    for entry in entries() {
        let mut names = Vec::new();
        for line in entry.lines() {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{entry:?}"));
            assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{line}");
            assert!(!names.contains(&name), "{name} twice in {entry:?}");
            names.push(name);
            if name == "MESSAGE" {
                messages.push(format!("saslauthd[1]: {value}"));
            }
            assert!(name != "SASLAUTHD_RIP" || value == "-", "{line}");
        }
    }
    hold(&messages, &logins);
}

#[test]
fn d4_fail2ban_bans_who_fails_and_never_whom_a_name_says() {
    if !ready() || !harness::require("fail2ban-regex", "fail2ban") {
        return;
    }
    let plan = Plan::new()
        .sections(STATING)
        .sections("[log]\nto = \"syslog\"\n[realms]\nnames = \"raw\"")
        .limits("pair = { burst = 2, count = 1, every = \"1h\" }");
    let house = plan.start_in(plan.furnish());
    let failing = ["192.0.2.1", "192.0.2.2", "2001:db8::7", "203.0.113.9"];
    for address in failing {
        let stated = format!("{address};4242");
        assert_eq!(
            Try::new(LOGIN, format!("guess from {address}")).ask_from(house.mux(), &stated),
            "NO"
        );
        assert_eq!(Try::new("nobody-here", "x").ask_from(house.mux(), &stated), "NO");
    }
    // One who is throttled, too; and nobody who succeeds, or whose address nobody stated.
    for number in 0..3 {
        let guess = Try::new(LOGIN, format!("more {number}"));
        assert_eq!(guess.ask_from(house.mux(), "192.0.2.1;1"), "NO");
    }
    assert_eq!(Try::new(LOGIN, PASSWORD).ask_from(house.mux(), "198.51.100.1;1"), "OK");
    for address in ["", "unknown;unknown", "1.2.3.4.5;1", "host 1.2.3.4;1", "rip=1.2.3.4;1"] {
        assert_eq!(Try::new("nobody-here", "x").ask_from(house.mux(), address), "NO", "{address}");
    }
    let hostile = hostile();
    for name in &hostile {
        for one in
            [Try::new(name, "x"), Try::new("x", "x").realm(name), Try::new("x", "x").service(name)]
        {
            assert_eq!(one.ask(house.mux()), "NO");
        }
        Try::new(name, "x").realm(name).service(name).ask_from(house.mux(), "198.51.100.77;1");
    }
    let whole = || house.sandbox.syslog().lines();
    assert!(wait_until(|| {
        let status = house.operator(&Request::Status);
        let figure = |name: &str| status.pointer(name).and_then(serde_json::Value::as_u64).unwrap();
        let logins = figure("/logins/accepted") + figure("/logins/refused");
        whole().iter().filter(|line| line.contains("]: login id=")).count() as u64 == logins
    }));
    // As rsyslogd writes it.
    let file = house.sandbox.path().join("tmp/auth.log");
    let lines = whole().into_iter().map(|line| {
        let (_, line) = line.split_once('>').expect("a priority");
        let (stamp, rest) = line.split_at(15);
        format!("{stamp} mailhost{rest}\n")
    });
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let mut banned = fail2ban(&file);
    let of = |address: &str| banned.iter().filter(|ip| *ip == address).count();
    let counts: Vec<usize> = failing.iter().map(|address| of(address)).collect();
    assert_eq!(counts, [5, 2, 2, 2], "{banned:?}");
    // What a client names can't carry a line break, so those never were logins; all others count, for their address.
    let breaks =
        hostile.iter().filter(|name| name.iter().any(|byte| matches!(byte, b'\r' | b'\n'))).count();
    assert_eq!(of("198.51.100.77"), hostile.len() - breaks, "{banned:?}");
    banned.retain(|ip| !failing.contains(&&**ip) && ip != "198.51.100.77");
    assert_eq!(banned, [""; 0], "nobody else");
}

/// The addresses that the shipped filter finds, one for each line that it matches.
fn fail2ban(log: &Path) -> Vec<String> {
    let filter =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../saslauthd/man/fail2ban-saslauthd.conf");
    // Filters include what Debian's package has beside its own.
    let place = log.with_file_name("filter.d");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::copy("/etc/fail2ban/filter.d/common.conf", place.join("common.conf")).unwrap();
    let own = place.join("saslauthd.conf");
    std::fs::copy(filter, &own).unwrap();
    let mut command = Command::new("fail2ban-regex");
    command.args(["--encoding", "utf-8", "--usedns", "no", "--out", "ip"]).arg(log).arg(&own);
    let ran = Ran::of(&mut command, b"", PATIENCE * 3).unwrap();
    assert_eq!(ran.code, Some(0), "{} {}", ran.out(), ran.err());
    ran.out().lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
}

/// Everything that must not be found anywhere: passwords, hashes, and both in other clothes.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn password(&mut self, text: &str) -> String {
        use base64::Engine;
        let bytes = text.as_bytes();
        self.0.push(text.to_owned());
        self.0.push(base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes));
        self.0.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        self.0.push(format!("{bytes:?}"));
        text.to_owned()
    }

    fn hash(&mut self, text: &str) -> String {
        // Its end is the hash proper: twenty letters of it are no accident.
        self.0.push(text[text.len() - 20..].to_owned());
        text.to_owned()
    }

    fn assert_absent(&self, place: &str, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret), "{place} has {secret:?}:\n{text}");
        }
    }
}

#[test]
fn d5_no_secret_is_in_any_log_status_or_figure() {
    if !ready() || !harness::require("sqlite3", "sqlite3") {
        return;
    }
    let mut secrets = Secrets::default();
    let plan = Plan::new()
        .chain("\"shadow\", \"sasldb\", \"sqlite\", \"table\"")
        .sections(STATING)
        .sections("[hashing]\nargon2_memory = \"8MiB\"\nargon2_passes = 1\n[cache]\nmode = \"all\"")
        .sections("[log]\nto = \"stderr\"\nlevel = \"debug\"")
        .sections(
            "[backend.table]\ntype = \"sqlite-query\"\npath = \"/etc/table.sqlite\"\n\
             query = \"SELECT pw, off AS disabled, services FROM users WHERE name = %u\"",
        )
        .limits("pair = { burst = 3, count = 1, every = \"1h\" }");
    let sandbox = plan.furnish();
    let right = secrets.password("Right-Sentinel-1f0e");
    let wrong = secrets.password("Wrong-Sentinel-99ab");
    let fields = [
        "$6$rounds=1000$Sentinel$",
        "$y$j75$Sentinel$",
        "$1$Sentinel$",
        "$2b$04$abcdefghijklmnopqrstuu",
    ]
    .map(|setting| secrets.hash(&crypt(&right, setting).unwrap()));
    let broken =
        secrets.hash("$6$rounds=999999999$Sentinel$BrokenBrokenBrokenBroken-Sentinel-hash");
    let odd = secrets.hash("{NO-SUCH}OddOddOddOddOddOddOdd-Sentinel-hash");
    let mut rows: Vec<(String, Vec<u8>)> = fields
        .iter()
        .enumerate()
        .map(|(at, hash)| (format!("s{at}"), hash.clone().into_bytes()))
        .collect();
    rows.push(("locked".into(), format!("!{}", fields[0]).into_bytes()));
    rows.push(("broken".into(), broken.clone().into_bytes()));
    rows.push(("odd".into(), odd.into_bytes()));
    add_rows(&sandbox, &rows);
    sasldb(&sandbox, &[("d0", "mailhost", &right)]);
    let table = sandbox.path().join("etc/table.sqlite");
    let (hash, blob) =
        (&fields[0], fields[1].bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
    sqlite(&table, &format!("CREATE TABLE users (name TEXT, pw, off, services);
        INSERT INTO users VALUES ('t0', '{hash}', 0, NULL), ('t1', X'{blob}', 0, NULL), ('t2', '{hash}', '{hash}', NULL),
            ('t3', '{hash}', 0, X'00'), ('t4', '{hash}', 0, NULL), ('t4', '{broken}', 0, NULL)"));
    let house = plan.start_in(sandbox);
    user(&house, "add", "q0", "", &["--hash-stdin"], &fields[0]);
    user(&house, "add", "q1", "", &["--password-stdin"], &right);
    let names = [
        "s0", "s1", "s2", "s3", "locked", "broken", "odd", "d0", "q0", "q1", "t0", "t1", "t2",
        "t3", "t4", "nobody",
    ];
    for address in ["192.0.2.1;1", "192.0.2.2;1"] {
        for name in names {
            for password in [&right, &wrong, &right, &wrong, &wrong, &broken] {
                Try::new(name, password).ask_from(house.mux(), address);
            }
        }
    }
    let upgraded = || sqlite(&database(&house), "SELECT password FROM account WHERE user = 'q0'");
    assert!(wait_until(|| upgraded().starts_with("$argon2id$")));
    for secret in
        sqlite(&database(&house), "SELECT password, scram_sha_256, scram_sha_512 FROM account")
            .split(['|', '\n'])
    {
        secrets.hash(secret);
    }
    // Trouble says what is wrong with a store, and not what is in it.
    std::fs::write(house.at("/etc/sasldb2"), format!("{right} {}", fields[1]).repeat(200)).unwrap();
    std::fs::write(house.at("/etc/table.sqlite"), format!("{right} {}", fields[1]).repeat(200))
        .unwrap();
    std::fs::write(house.at("/etc/shadow"), format!("s0:{}:1", fields[0])).unwrap();
    for name in names {
        Try::new(name, &right).ask(house.mux());
    }
    // A request that breaks off, too long a one, and one with the password where the name belongs.
    drop(house.send(&harness::probe::counted(&[b"s0", right.as_bytes()])));
    Try::new("s0", right.repeat(1000)).ask(house.mux());
    let status = house.operator(&Request::Status).to_string();
    let limits = house.operator(&Request::Limits).to_string();
    let of = Request::LimitsOf(Login::new(b"s0", b"").unwrap());
    // With broken backends its exit code is not 0.
    let ran = house.sandbox.run(built("mailauth"), ["status"]).unwrap();
    assert!(ran.out().contains("table"), "{}", ran.err());
    let told =
        [house.operator(&of).to_string(), ran.out(), mailauth(&house, &["limits", "show"], "")];
    let shown = mailauth(
        &house,
        &["user", "show", "--database", &database(&house).display().to_string(), "q0"],
        "",
    );
    let log = house.daemon.log();
    assert!(
        events(&log).len() > 200 && log.contains("unavailable"),
        "the log is what it should be"
    );
    secrets.assert_absent("the log", &log);
    secrets.assert_absent("syslog", &house.sandbox.syslog().lines().join("\n"));
    secrets.assert_absent("the status", &status);
    secrets.assert_absent("the limits", &limits);
    secrets.assert_absent("what is told", &told.concat());
    secrets.assert_absent("mailauth user show", &shown);
    for pid in house.daemon.pids() {
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            secrets.assert_absent(file, &String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn d5_cyruss_debug_flags_tell_no_secret_either() {
    if !ready() {
        return;
    }
    let plan = Plan::new();
    let sandbox = plan.furnish();
    let mut secrets = Secrets::default();
    secrets.hash(&quick_hash(PASSWORD).unwrap());
    secrets.password(PASSWORD);
    let wrong = secrets.password("Wrong-Sentinel-99ab");
    let mut daemon = Daemon::cyrus(&sandbox, Subject::Ours, "shadow", &["-d", "-V", "-c"]).unwrap();
    for password in [PASSWORD, &wrong, PASSWORD, &wrong] {
        for login in [LOGIN, "nobody-here"] {
            daemon.ask(login, password, "smtp", "");
        }
    }
    let said = || [daemon.log(), sandbox.syslog().lines().join("\n")].concat();
    assert!(wait_until(|| said().matches("login id=").count() >= 8), "{}", said());
    secrets.assert_absent("the log", &said());
    assert!(daemon.stop());
}
