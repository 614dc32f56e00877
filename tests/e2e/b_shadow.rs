//! B4, B11 and B12: what dates say of an account, and a shadow file that changes, breaks or goes away.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::accounts::{quick_hash, today};
use harness::{Account, wait_until};

use crate::events::{Ear, Try, ask_all};
use crate::house::{House, LOGIN, PASSWORD, Plan, replace};

/// Last change to expiry, days relative to today; then the answer in each of the two modes.
struct Dates {
    text: String,
    strict: &'static str,
    cyrus: &'static str,
}

fn dates() -> Vec<Dates> {
    let day = |offset: i64| (today() + offset).to_string();
    let row = |text: String, strict, cyrus| Dates { text, strict, cyrus };
    let past = day(-9);
    vec![
        row(format!("{past}:0:99999:7:::"), "-", "-"),
        row(format!("{past}:0:99999:7::{}:", day(-1)), "account-expired", "account-expired"),
        row(format!("{past}:0:99999:7::{}:", day(0)), "account-expired", "-"),
        row(format!("{past}:0:99999:7::{}:", day(1)), "-", "-"),
        row(format!("{past}:0:99999:7::0:"), "account-expired", "account-expired"),
        row("0:0:99999:7:::".into(), "must-change", "-"),
        row("0:0::7:::".into(), "must-change", "-"),
        row(format!("{}:0:30:7:::", day(-31)), "password-expired", "password-expired"),
        row(format!("{}:0:30:7:::", day(-30)), "-", "-"),
        row(format!("{}:0:30:7:20::", day(-31)), "password-expired", "password-expired"),
        row(format!("{}:0:30:7:20::", day(-61)), "password-expired", "password-expired"),
        row(format!("{}:10:99999:7:::", day(-1)), "-", "-"),
        row(format!("{}:0:30:7:::", day(5)), "-", "-"),
        row("::::::".into(), "-", "-"),
        row(format!("{past}:0:99999:7:::x"), "malformed-hash", "malformed-hash"),
        row(format!("{past}:0:99999:7:: :"), "malformed-hash", "malformed-hash"),
    ]
}

#[test]
fn b4_dates_decide_as_the_table_says_in_both_modes() {
    let hash = quick_hash("pencil").unwrap();
    let rows = dates();
    let accounts: Vec<Account> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| Account::with(&format!("u{at}"), &hash).aged(&row.text))
        .collect();
    let Some(strict) = Plan::new().accounts(&accounts).start() else { return };
    let lenient = "[backend.shadow]\nstates = \"cyrus\"";
    let cyrus = Plan::new().accounts(&accounts).sections(lenient).start().unwrap();
    for (house, mode) in [(&strict, 0), (&cyrus, 1)] {
        for (at, row) in rows.iter().enumerate() {
            let wanted = [row.strict, row.cyrus][mode];
            let name = format!("u{at}");
            let mut ear = Ear::at(house);
            let reply = house.ask(&name, "pencil");
            assert_eq!(reply, if wanted == "-" { "OK" } else { "NO" }, "{} in {mode}", row.text);
            assert_eq!(ear.next(house).get("reason"), wanted, "{} in {mode}", row.text);
            assert_eq!(house.ask(&name, "Pencil"), "NO", "{} in {mode}", row.text);
            // What is wrong with the account is nobody's business who doesn't know the password.
            let reason = ear.next(house).get("reason").to_owned();
            assert!(
                ["wrong-password", "malformed-hash"].contains(&&*reason),
                "{}: {reason}",
                row.text
            );
        }
        house.await_log(&format!("day {}, which is to come", today() + 5));
    }
}

fn hashes() -> [String; 2] {
    ["first", "second"].map(|password| quick_hash(password).unwrap())
}

fn shadow(house: &House) -> std::path::PathBuf {
    house.at("/etc/shadow")
}

/// Puts a shadow file there as passwd(1) does, readable for its group.
fn put(house: &House, text: &str) {
    let new = house.at("/etc/nshadow");
    fs::write(&new, text).unwrap();
    own(&new);
    fs::rename(&new, shadow(house)).unwrap();
}

fn own(path: &std::path::Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    nix::unistd::chown(path, None, Some(42.into())).unwrap();
}

fn line(name: &str, hash: &str) -> String {
    format!("{name}:{hash}:19000:0:99999:7:::\n")
}

#[test]
fn b11_a_file_that_was_replaced_counts_at_the_very_next_request() {
    let Some(house) = Plan::new().start() else { return };
    let hashes = hashes();
    for round in 0..100 {
        let (now, before) = if round % 2 == 0 { ("first", "second") } else { ("second", "first") };
        put(&house, &line("ann", &hashes[round % 2]));
        assert_eq!(house.ask("ann", before), "NO", "round {round}, the old password");
        assert_eq!(house.ask("ann", now), "OK", "round {round}, the new password");
    }
    put(&house, &line("bob", &hashes[0]));
    assert_eq!(house.ask("ann", "first"), "NO");
}

#[test]
fn b11_replacing_all_the_time_confuses_nobody() {
    let Some(house) = Plan::new().start() else { return };
    let hashes = hashes();
    // The name is old in both files, and each file is long enough to be read in more than one piece.
    let filler: String = (0..3000).map(|at| line(&format!("other{at}"), &hashes[0])).collect();
    let files = hashes.map(|hash| format!("{filler}{}", line("ann", &hash)));
    put(&house, &files[0]);
    let stop = AtomicBool::new(false);
    let tries: Vec<Try> =
        (0..1500).map(|at| Try::new("ann", ["first", "second", "neither"][at % 3])).collect();
    let replies = thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                put(&house, &files[round % 2]);
                thread::sleep(Duration::from_millis(2));
            }
        });
        let replies = ask_all(house.mux(), &tries);
        stop.store(true, Ordering::Relaxed);
        replies
    });
    let mut accepted = [0; 3];
    for (at, reply) in replies.iter().enumerate() {
        assert!(reply == "OK" || reply == "NO", "{reply}:\n{}", house.daemon.log());
        accepted[at % 3] += usize::from(reply == "OK");
    }
    assert_eq!(accepted[2], 0, "a password that nobody has");
    assert!(accepted[0] > 50 && accepted[1] > 50, "{accepted:?} of 500 each");
}

#[test]
fn b11_part_of_a_file_is_never_taken_for_the_file() {
    let Some(house) = Plan::new().start() else { return };
    let hash = quick_hash("first").unwrap();
    let whole = [line("ann", &hash), line("bob", &hash)].concat();
    let ann = line("ann", &hash).len();
    for cut in (0..whole.len()).step_by(3) {
        put(&house, &whole);
        assert_eq!(house.ask("ann", "first"), "OK", "before the cut at {cut}");
        // In place, as a program that doesn't know better would write.
        fs::File::options().write(true).open(shadow(&house)).unwrap().set_len(cut as u64).unwrap();
        assert_eq!(house.ask("bob", "first"), "(closed)", "bob's line is cut at {cut}");
        let reply = house.ask("ann", "first");
        assert!(reply == "(closed)" || (cut >= ann && reply == "OK"), "cut at {cut}: {reply}");
        assert_ne!(house.ask("ann", "second"), "OK");
    }
    // A file that was put there cut, all at once, says so itself unless it ends with a line.
    for cut in [1, ann - 20, ann - 3, ann + 1, ann + 40, whole.len() - 20, whole.len() - 3] {
        put(&house, &whole[..cut]);
        assert_eq!(house.ask("ann", "first"), "(closed)", "put there with {cut} bytes");
    }
    house.await_log("backend shadow is unavailable: /etc/shadow: ");
    put(&house, &whole);
    assert_eq!(house.ask("bob", "first"), "OK");
    house.await_log("backend shadow works again");
}

#[test]
fn b11_odd_lines_name_nobody_else() {
    let Some(house) = Plan::new().start() else { return };
    let hashes = hashes();
    let text = [
        "+::::::::\n".to_owned(),
        "+@netgroup::::::::\n".into(),
        "-::::::::\n".into(),
        "\n\n".into(),
        format!("::{}\n", "0:0:99999:7:::"),
        format!("long:{}:19000:0:99999:7:::\n", "x".repeat(100 * 1024)),
        format!("{}:{}:19000:0:99999:7:::\n", "n".repeat(100 * 1024), hashes[0]),
        line("twice", &hashes[0]),
        line("twice", &hashes[1]),
        "open::19000:0:99999:7:::\n".into(),
        line("open", &hashes[0]),
        format!("last:{}:19000:0:99999:7:::", hashes[0]),
    ]
    .concat();
    put(&house, &text);
    for (login, password, reply) in [
        ("twice", "first", "OK"),
        ("twice", "second", "NO"),
        ("open", "first", "NO"),
        ("last", "first", "OK"),
        ("long", "first", "NO"),
        ("long", "x", "NO"),
        ("+", "first", "NO"),
        ("+", "x", "NO"),
        ("+@netgroup", "x", "NO"),
        ("-", "x", "NO"),
        ("ann", "x", "NO"),
        ("nnnn", "first", "NO"),
    ] {
        assert_eq!(house.ask(login, password), reply, "{login} with {password}");
    }
}

#[test]
fn b12_a_file_that_cannot_be_read_is_nobodys_wrong_password() {
    let Some(house) = Plan::new().start() else { return };
    let path = shadow(&house);
    let whole = fs::read(&path).unwrap();
    let restore = |why: &str| {
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        replace(&path, &whole);
        own(&path);
        assert_eq!(house.visit(), "OK", "after {why}");
    };
    type Breakage<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let breakages: Vec<Breakage<'_>> = vec![
        ("missing", Box::new(|| fs::remove_file(&path).unwrap())),
        (
            "permissions",
            Box::new(|| {
                nix::unistd::chown(&path, Some(0.into()), Some(0.into())).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
            }),
        ),
        (
            "a directory",
            Box::new(|| {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
            }),
        ),
        ("empty", Box::new(|| replace(&path, b""))),
        (
            "a loop",
            Box::new(|| {
                fs::remove_file(&path).unwrap();
                symlink("/etc/shadow", &path).unwrap();
            }),
        ),
        (
            "a fifo",
            Box::new(|| {
                fs::remove_file(&path).unwrap();
                nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o644))
                    .unwrap();
            }),
        ),
    ];
    for (why, break_it) in breakages {
        break_it();
        for (login, password) in [(LOGIN, PASSWORD), (LOGIN, "wrong"), ("nobody-here", "x")] {
            let began = Instant::now();
            let reply = house.ask(login, password);
            assert_eq!(reply, "(closed)", "{login} while the file is {why}");
            assert!(began.elapsed() < Duration::from_secs(3), "{why}: {:?}", began.elapsed());
        }
        let status = house.operator(&protocol::control::Request::Status);
        let trouble = status.pointer("/backends/0/trouble").unwrap().as_str();
        assert!(trouble.is_some_and(|text| text.contains("/etc/shadow")), "{why}: {trouble:?}");
        restore(why);
    }
    assert!(wait_until(|| house.daemon.log().matches("works again").count() >= 6));
}

#[test]
fn b12_one_broken_backend_hides_nobody_whom_another_knows() {
    let plan = Plan::new().chain("\"shadow\", \"sasldb\"");
    if !crate::house::ready() {
        return;
    }
    let sandbox = plan.furnish();
    sandbox.load_sasldb(&[(b"bob\0mailhost\0userPassword", b"builder")]).unwrap();
    let house = plan.start_in(sandbox);
    let asked = |login: &str, password: &str| house.ask(login, password);
    assert_eq!([asked("bob", "builder"), asked("bob", "x")], ["OK", "NO"]);
    fs::rename(shadow(&house), house.at("/etc/away")).unwrap();
    assert_eq!(asked("bob", "builder"), "OK");
    assert_eq!(asked("bob", "x"), "(closed)", "shadow might have known that password");
    assert_eq!(house.visit(), "(closed)");
    fs::rename(house.at("/etc/away"), shadow(&house)).unwrap();
    fs::write(house.at("/etc/sasldb2"), b"no database at all").unwrap();
    assert_eq!(house.visit(), "OK");
    assert_eq!(asked("bob", "builder"), "(closed)");
}
