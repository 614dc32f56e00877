//! C5: what the cache remembers is one login of one account as it was; any change ends it at the very next request.

use std::fs;
use std::path::Path;

use harness::accounts::quick_hash;
use harness::subject::Subject;
use harness::{PATIENCE, Ran};
use protocol::control::Request;

use crate::accounts::{add_rows, database, sasldb, sqlite, user};
use crate::events::{Ear, Try};
use crate::house::{House, LOGIN, PASSWORD, Plan, ready};

const CACHE: &str = "[cache]\nmode = \"all\"";

/// Logs in twice, so that the second answer is a remembered one.
fn remembered(house: &House, right: &Try) {
    house.operator(&Request::CacheFlush);
    let mut ear = Ear::at(house);
    for expected in ["miss", "hit"] {
        assert_eq!(right.ask(house.mux()), "OK", "{right:?}");
        assert_eq!(ear.next(house).get("cache"), expected, "{right:?}");
    }
}

/// The old password is dead at once, and the new one, if there is any, lives.
fn changed(house: &House, old: &Try, new: Option<&str>, how: &str) {
    assert_eq!(old.ask(house.mux()), "NO", "after {how}");
    if let Some(new) = new {
        let new = Try { password: new.into(), ..old.clone() };
        assert_eq!(new.ask(house.mux()), "OK", "after {how}");
        assert_eq!(old.ask(house.mux()), "NO", "after {how}, and once more");
    }
}

#[test]
fn c5_a_hit_needs_the_very_same_user_realm_service_and_password() {
    if !ready() {
        return;
    }
    let plan = Plan::new()
        .chain("\"sasldb\"")
        .sections(CACHE)
        .sections("[realm.\"shadow\"]\nchain = [\"shadow\"]");
    let sandbox = plan.furnish();
    let (long, longer) = ("l".repeat(60), "l".repeat(200));
    let other = format!("{long}m");
    let accounts = [
        ("ann", "mailhost", "anns"),
        ("bob", "mailhost", "bobs"),
        ("ann", "lab", "anns in the lab"),
        ("annb", "mailhost", "x"),
        ("an", "mailhost", "nanns"),
        (&long, "mailhost", "sixty"),
        (&longer, "mailhost", "two hundred"),
        (&other, "mailhost", "another"),
    ];
    sasldb(&sandbox, &accounts);
    add_rows(&sandbox, &[("ann".into(), quick_hash("anns in shadow").unwrap().into_bytes())]);
    let house = plan.start_in(sandbox);
    let realm = |realm: &'static str| if realm == "mailhost" { "" } else { realm };
    for (user, its, password) in accounts {
        let one = Try::new(user, password).realm(realm(its));
        assert_eq!([one.ask(house.mux()), one.ask(house.mux())], ["OK"; 2]);
    }
    assert_eq!(Try::new("ann", "anns in shadow").realm("shadow").ask(house.mux()), "OK");
    for (user, its, _) in accounts {
        for (.., password) in accounts.iter().filter(|other| (other.0, other.1) != (user, its)) {
            let one = Try::new(user, password).realm(realm(its));
            assert_eq!(one.ask(house.mux()), "NO", "{one:?}");
        }
        for wrong in ["", "\0", "anns\0", "anns ", "Anns", "ann", "anns in shadow"] {
            let one = Try::new(user, wrong).realm(realm(its));
            assert_eq!(one.ask(house.mux()), "NO", "{one:?}");
        }
    }
    // Another service is another entry, which the account may not have.
    let mut ear = Ear::at(&house);
    let elsewhere = Try::new("ann", "anns").service("imap");
    assert_eq!(elsewhere.ask(house.mux()), "OK");
    assert_eq!(ear.next(&house).get("cache"), "miss");
    // A wrong password never ends what is remembered, and is never remembered.
    assert_eq!(Try::new("ann", "wrong").ask(house.mux()), "NO");
    assert_eq!(Try::new("ann", "anns").ask(house.mux()), "OK");
    let cache = [ear.next(&house), ear.next(&house)].map(|event| event.get("cache").to_owned());
    assert_eq!(cache, ["miss", "hit"]);
}

/// Writes shadow as passwd(1) and vipw(8) do.
fn rewrite_shadow(house: &House, change: impl Fn(&str) -> String) {
    let path = house.at("/etc/shadow");
    let new = house.at("/etc/nshadow");
    fs::write(&new, change(&fs::read_to_string(&path).unwrap())).unwrap();
    nix::unistd::chown(&new, None, Some(42.into())).unwrap();
    fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    fs::rename(&new, &path).unwrap();
}

#[test]
fn c5_shadow_changes_end_the_entry() {
    let Some(house) = Plan::new().sections(CACHE).start() else { return };
    let old = Try::new(LOGIN, PASSWORD);
    let first = quick_hash(PASSWORD).unwrap();
    let second = quick_hash("another").unwrap();
    type Change<'a> = (&'a str, Option<&'a str>, Box<dyn Fn(&str) -> String + 'a>);
    let changes: Vec<Change<'_>> = vec![
        ("a new password", Some("another"), Box::new(|text| text.replace(&first, &second))),
        ("a lock", None, Box::new(|text| text.replace(":$6", ":!$6"))),
        ("an expiry", None, Box::new(|text| text.replace(":7:::\n", ":7::19001:\n"))),
        (
            "a forced change",
            None,
            Box::new(|text| {
                let at = text.find("alice:").unwrap();
                let (head, line) = text.split_at(at);
                let mut fields: Vec<&str> = line.split(':').collect();
                fields[2] = "0";
                format!("{head}{}", fields.join(":"))
            }),
        ),
        ("a deletion", None, Box::new(|text| text.split("alice:").next().unwrap().to_owned())),
        ("an empty hash", None, Box::new(|text| text.replace(&first, ""))),
    ];
    let whole = fs::read_to_string(house.at("/etc/shadow")).unwrap();
    for (how, new, change) in changes {
        rewrite_shadow(&house, |_| whole.clone());
        remembered(&house, &old);
        rewrite_shadow(&house, change);
        changed(&house, &old, new, how);
    }
    // The same line again is the same account: nothing says that it was away.
    rewrite_shadow(&house, |_| whole.clone());
    assert_eq!(old.ask(house.mux()), "OK");
    remembered(&house, &old);
    // In place, without a new inode and without another length.
    let mut bytes = whole.into_bytes();
    let at = bytes.windows(first.len()).position(|window| window == first.as_bytes()).unwrap();
    bytes[at + 30] = if bytes[at + 30] == b'a' { b'b' } else { b'a' };
    fs::write(house.at("/etc/shadow"), bytes).unwrap();
    assert_ne!(old.ask(house.mux()), "OK", "after a change in place");
}

fn saslpasswd2(house: &House, subject: Subject, args: &[&str], input: &str) {
    let mut command = house.sandbox.command(subject.program("saslpasswd2"));
    let ran = Ran::of(command.args(args), input.as_bytes(), PATIENCE).unwrap();
    assert_eq!(ran.code, Some(0), "{subject} saslpasswd2 {args:?}: {}", ran.err());
}

#[test]
fn c5_saslpasswd2_ends_the_entry_theirs_and_ours() {
    if !ready() || !harness::require("/usr/sbin/saslpasswd2", "sasl2-bin") {
        return;
    }
    for subject in [Subject::Theirs, Subject::Ours] {
        let plan = Plan::new().chain("\"sasldb\"").sections(CACHE);
        let sandbox = plan.furnish();
        sandbox.add_sasldb_user("ann", "", "first").unwrap();
        sandbox.add_sasldb_user("bob", "", "bobs").unwrap();
        readable(&sandbox.path().join("etc/sasldb2"));
        let house = plan.start_in(sandbox);
        remembered(&house, &Try::new("bob", "bobs"));
        for round in 0..5 {
            let (old, new) = (format!("password {round}"), format!("password {}", round + 1));
            saslpasswd2(&house, subject, &["-p", "-c", "ann"], &old);
            let old = Try::new("ann", old);
            remembered(&house, &old);
            saslpasswd2(&house, subject, &["-p", "ann"], &new);
            changed(&house, &old, Some(&new), &format!("{subject} saslpasswd2"));
        }
        let last = Try::new("ann", "password 5");
        saslpasswd2(&house, subject, &["-d", "ann"], "");
        changed(&house, &last, None, &format!("{subject} saslpasswd2 -d"));
        assert_eq!(house.ask("bob", "bobs"), "OK");
    }
}

fn readable(path: &Path) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
}

/// Runs statements with Python's SQLite: another program with another library.
fn python(path: &Path, sql: &str) {
    let script =
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()";
    let ran =
        std::process::Command::new("python3").args(["-c", script]).arg(path).arg(sql).output();
    let ran = ran.expect("python3");
    assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn c5_sql_changes_end_the_entry_whatever_program_makes_them() {
    if !ready()
        || !harness::require("sqlite3", "sqlite3")
        || !harness::require("python3", "python3")
    {
        return;
    }
    let plan = Plan::new()
        .chain("\"table\"")
        .sections(CACHE)
        .sections("[hashing]\nargon2_memory = \"8MiB\"\nargon2_passes = 1")
        .sections(
            "[backend.table]\ntype = \"sqlite-query\"\npath = \"/etc/table.sqlite\"\n\
             query = \"SELECT pw, off AS disabled FROM users WHERE name = %u\"",
        );
    let sandbox = plan.furnish();
    let table = sandbox.path().join("etc/table.sqlite");
    let (first, second) = (quick_hash("first").unwrap(), quick_hash("second").unwrap());
    let begin = format!(
        "DROP TABLE IF EXISTS users; CREATE TABLE users (name TEXT, pw TEXT, off INTEGER);
         INSERT INTO users VALUES ('ann', '{first}', 0)"
    );
    sqlite(&table, &begin);
    let house = plan.start_in(sandbox);
    let old = Try::new("ann", "first");
    let update = format!("UPDATE users SET pw = '{second}'");
    type Program = fn(&Path, &str);
    let shell: Program = |path, sql| drop(sqlite(path, sql));
    for (how, new, sql, program) in [
        ("sqlite3", Some("second"), &*update, shell),
        ("python", Some("second"), &update, python),
        ("disabled", None, "UPDATE users SET off = 1", python),
        ("deleted", None, "DELETE FROM users", shell),
        ("a NULL", None, "UPDATE users SET pw = NULL", shell),
        ("a second row", None, "INSERT INTO users SELECT * FROM users", python),
    ] {
        sqlite(&table, &begin);
        remembered(&house, &old);
        program(&table, sql);
        changed(&house, &old, new, how);
    }
}

#[test]
fn c5_mailauth_changes_end_the_entry() {
    let plan = Plan::new()
        .chain("\"sqlite\"")
        .sections(CACHE)
        .sections("[hashing]\nargon2_memory = \"8MiB\"\nargon2_passes = 1\nupgrade = false")
        // Keys that are derived at the first login make another record of it, and end what was remembered.
        .sections("[sasl]\nderive = []");
    let Some(house) = plan_without_shadow(&plan) else { return };
    let hash = quick_hash("first").unwrap();
    let old = Try::new("ann", "first");
    let changes: [(&str, Option<&str>, &[&str], &str); 6] = [
        ("passwd", Some("second"), &["--password-stdin"], "second"),
        ("lock", None, &[], ""),
        ("expire", None, &["2020-01-01"], ""),
        ("change", None, &["--service", "imap"], ""),
        ("change", None, &["--network", "192.0.2.0/24"], ""),
        ("delete", None, &[], ""),
    ];
    for (at, (verb, new, args, input)) in changes.into_iter().enumerate() {
        if at > 0 {
            sqlite(&database(&house), "DELETE FROM account");
        }
        user(&house, "add", "ann", "", &["--hash-stdin"], &hash);
        remembered(&house, &old);
        if verb == "expire" {
            let path = database(&house).display().to_string();
            let args = ["user", "expire", "--database", &path, "ann", args[0]];
            crate::accounts::mailauth(&house, &args, "");
        } else {
            user(&house, verb, "ann", "", args, input);
        }
        changed(&house, &old, new, &format!("mailauth user {verb}"));
    }
}

fn plan_without_shadow(plan: &Plan) -> Option<House> {
    let house = plan.start()?;
    // The database is made by its first account.
    user(&house, "add", "somebody", "", &["--password-stdin"], "else");
    Some(house)
}

#[test]
fn c5_the_command_lines_c_remembers_as_well_and_forgets_as_quickly() {
    if !ready() {
        return;
    }
    let plan = Plan::new();
    let sandbox = plan.furnish();
    let mut daemon =
        harness::Daemon::cyrus(&sandbox, Subject::Ours, "shadow", &["-c", "-t", "3600"]).unwrap();
    for _ in 0..2 {
        assert_eq!(daemon.ask(LOGIN, PASSWORD, "smtp", ""), "OK");
    }
    assert_eq!(daemon.ask("bob", PASSWORD, "smtp", ""), "NO");
    assert!(harness::wait_until(|| sandbox
        .syslog()
        .lines()
        .iter()
        .any(|line| line.contains("cache=hit"))));
    let text = fs::read_to_string(sandbox.path().join("etc/shadow")).unwrap();
    let new = sandbox.path().join("etc/nshadow");
    let other = quick_hash("another").unwrap();
    fs::write(&new, text.replace(&quick_hash(PASSWORD).unwrap(), &other)).unwrap();
    nix::unistd::chown(&new, None, Some(42.into())).unwrap();
    fs::rename(&new, sandbox.path().join("etc/shadow")).unwrap();
    assert_eq!(daemon.ask(LOGIN, PASSWORD, "smtp", ""), "NO");
    assert_eq!(daemon.ask(LOGIN, "another", "smtp", ""), "OK");
    assert!(daemon.stop());
}
