//! Accounts in SQLite: each command, and what the daemon's own backend makes of what was stored.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use accounts::{AccountName, Backend, Store, UnixTime};
use credentials::{Argon2Settings, Lookup, Policy, ScramHash, Scratch, Shape, Verdict};
use protocol::Password;
use serde_json::Value;

use super::{PROGRAM, Ran, fed, is_root, text, user};

/// A directory with the database of one account, alice@example.com with the password `secret`.
fn alice() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("accounts.sqlite");
    let ran = user(&database, "add alice@example.com --password-stdin", "secret\n");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert_eq!(ran.err, "added alice@example.com\n");
    (directory, database)
}

fn json(database: &Path, words: &str) -> Value {
    serde_json::from_str(&user(database, words, "").good()).unwrap()
}

/// What the daemon would say to a password.
fn accepts(database: &Path, login: &str, realm: &str, password: &str) -> bool {
    let shape = Shape::argon2id(&Argon2Settings::default());
    let mut backend = Backend::new(database, Policy::default(), shape);
    let found = backend.lookup(login.as_bytes(), realm.as_bytes(), UnixTime(1_800_000_000));
    let Lookup::Found(found) = found else { return false };
    let password = Password::new(password.as_bytes()).unwrap();
    matches!(found.entry.judge(&password, &mut Scratch::new()), Verdict::Accept(_))
}

#[test]
fn an_account_that_was_added_logs_in_with_its_password_alone() {
    let (_directory, database) = alice();
    assert!(accepts(&database, "alice", "example.com", "secret"));
    assert!(!accepts(&database, "alice", "example.com", "secret\n"));
    assert!(!accepts(&database, "alice", "", "secret"));
    assert_eq!(fs::metadata(&database).unwrap().permissions().mode() & 0o777, 0o600);
    let account = Store::open(&database)
        .unwrap()
        .show(&AccountName::new("alice", "example.com").unwrap())
        .unwrap();
    let hash = account.secrets.password().unwrap().reveal();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    for hash in [ScramHash::Sha256, ScramHash::Sha512] {
        assert_eq!(account.secrets.scram(hash).unwrap().iterations(), 4096);
    }
}

#[test]
fn the_options_of_an_account_are_stored_and_shown() {
    let (_directory, database) = alice();
    let line = "add printer --kind machine --service smtp,imap --network 192.0.2.0/24,::1 \
                --expires 2030-01-02 --random";
    let password = user(&database, line, "").good();
    let password = password.strip_suffix('\n').unwrap();
    assert_eq!(password.len(), 23, "{password}");
    assert!(accepts(&database, "printer", "", password));

    let shown = user(&database, "show printer", "").good();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines[..9],
        [
            "user:      printer",
            "realm:     -",
            "kind:      machine",
            "state:     open",
            "secrets:   argon2id SCRAM-SHA-256 SCRAM-SHA-512",
            "services:  smtp imap",
            "networks:  192.0.2.0/24 ::1/128",
            "senders:   own name",
            "expires:   2030-01-02T00:00:00Z",
        ]
    );
    assert!(lines[9].starts_with("created:   20") && lines[10].starts_with("changed:   20"));
    assert_eq!(lines[11..], ["last used: never"]);

    let shown = json(&database, "show printer --json");
    assert_eq!(shown["kind"], "machine");
    assert_eq!(shown["expires"], 1_893_542_400);
    assert_eq!(shown["services"], serde_json::json!(["smtp", "imap"]));
    assert_eq!(shown["networks"], serde_json::json!(["192.0.2.0/24", "::1/128"]));
}

#[test]
fn as_whom_an_account_may_send_is_set_and_shown() {
    let (_directory, database) = alice();
    let shown = |expected: &str| {
        assert_eq!(user(&database, "senders alice@example.com", "").good(), expected);
    };
    shown("own name\n");
    user(&database, "senders alice@example.com a@b.example @c.example", "").good();
    shown("a@b.example @c.example\n");
    let account = json(&database, "show alice@example.com --json");
    assert_eq!(account["senders"], serde_json::json!(["a@b.example", "@c.example"]));
    user(&database, "senders alice@example.com --any", "").good();
    shown("any\n");
    user(&database, "senders alice@example.com --own", "").good();
    shown("own name\n");
    for (line, why) in [
        ("senders alice@example.com bob", "a sender is an address"),
        ("senders alice@example.com --any --own", "exclude each other"),
        ("senders alice@example.com --any a@b", "exclude each other"),
        ("senders", "takes NAME"),
    ] {
        user(&database, line, "").bad(64, why);
    }
    user(&database, "senders nobody --any", "").bad(1, "no such account");
}

#[test]
fn lists_are_by_realm_and_user_as_a_table_and_as_json() {
    let (_directory, database) = alice();
    user(&database, "add zoe --hash-stdin", "$6$salt$\n").bad(1, "no whole hash");
    user(&database, "add zoe --password-stdin --kind machine --expires 2001-01-01", "x").good();
    user(&database, "add bob --realm example.com --password-stdin", "x").good();
    user(&database, "lock bob@example.com", "").good();
    let table = user(&database, "list", "").good();
    let expected = "\
USER   REALM        KIND     STATE    EXPIRES               LAST-USED
zoe    -            machine  expired  2001-01-01T00:00:00Z  -
alice  example.com  person   open     never                 -
bob    example.com  person   locked   never                 -
";
    assert_eq!(table, expected);
    let table = user(&database, "list --realm example.com", "").good();
    assert_eq!(table.lines().count(), 3, "{table}");
    let all = json(&database, "list --json");
    let names: Vec<_> = all.as_array().unwrap().iter().map(|one| &one["user"]).collect();
    assert_eq!(names, ["zoe", "alice", "bob"]);
    assert_eq!(all[2]["locked"], true);
    assert_eq!(all[0]["secrets"][0], "argon2id");
    for hidden in ["$argon2", "$4096:"] {
        assert!(!all.to_string().contains(hidden), "a secret is printed");
    }
    let none = user(&database, "list --realm nowhere", "");
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "", "no accounts\n"));
    assert_eq!(json(&database, "list --realm nowhere --json"), serde_json::json!([]));
}

#[test]
fn a_new_password_ends_the_old_one() {
    let (_directory, database) = alice();
    user(&database, "passwd alice@example.com --password-stdin", "other").good();
    assert!(!accepts(&database, "alice", "example.com", "secret"));
    assert!(accepts(&database, "alice", "example.com", "other"));
}

#[test]
fn a_hash_from_elsewhere_is_taken_when_it_can_be_verified() {
    let (_directory, database) = alice();
    // The first vector of the specification of SHA-crypt.
    let hash = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJu\
                esI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
    user(&database, "passwd alice@example.com --hash-stdin", hash).good();
    assert!(accepts(&database, "alice", "example.com", "Hello world!"));
    let shown = json(&database, "show alice@example.com --json");
    assert_eq!(
        shown["secrets"],
        serde_json::json!(["sha512crypt"]),
        "SCRAM keys of the old one are gone"
    );
    for (bad, part) in [
        ("", "hash is empty"),
        ("\n", "hash is empty"),
        ("!$6$saltsalt$x", "locked"),
        ("no hash at all", "unknown or too weak"),
        ("$6$saltsalt$short", "no whole hash"),
        ("{PLAIN}x", "too weak"),
        (
            "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g",
            "memory",
        ),
        ("$6$a$b\n$6$a$b", "one line"),
    ] {
        user(&database, "passwd alice@example.com --hash-stdin", bad).bad(1, part);
    }
    assert!(
        accepts(&database, "alice", "example.com", "Hello world!"),
        "a refused hash changes nothing"
    );
}

#[test]
fn a_lock_keeps_the_password_and_an_end_can_be_moved() {
    let (_directory, database) = alice();
    let state = || json(&database, "show alice@example.com --json");
    for (words, locked, expires) in [
        ("lock alice@example.com", true, Value::Null),
        ("lock alice@example.com", true, Value::Null),
        ("expire alice@example.com 2027-03-01T12:30Z", true, 1_803_904_200.into()),
        ("unlock alice@example.com", false, 1_803_904_200.into()),
        ("expire alice@example.com never", false, Value::Null),
    ] {
        user(&database, words, "").good();
        assert_eq!(
            (&state()["locked"], &state()["expires"]),
            (&locked.into(), &expires),
            "{words}"
        );
        assert_eq!(accepts(&database, "alice", "example.com", "secret"), !locked, "{words}");
    }
    user(&database, "expire alice@example.com 2001-01-01", "").good();
    assert!(!accepts(&database, "alice", "example.com", "secret"));
}

#[test]
fn kind_services_and_networks_change_apart_from_each_other() {
    let (_directory, database) = alice();
    let name = "alice@example.com";
    let state = || json(&database, "show alice@example.com --json");
    user(&database, &format!("change {name} --service smtp"), "").good();
    user(&database, &format!("change {name} --network 192.0.2.1 --kind machine"), "").good();
    assert_eq!(state()["services"], serde_json::json!(["smtp"]));
    assert_eq!(state()["networks"], serde_json::json!(["192.0.2.1/32"]));
    assert_eq!(state()["kind"], "machine");
    user(&database, &format!("change {name} --service any"), "").good();
    assert_eq!(state()["services"], Value::Null);
    assert_eq!(state()["networks"], serde_json::json!(["192.0.2.1/32"]));
    user(&database, &format!("change {name}"), "").bad(64, "needs --kind");
}

#[test]
fn a_deleted_account_is_gone_and_may_come_again() {
    let (_directory, database) = alice();
    user(&database, "delete alice@example.com", "").good();
    user(&database, "delete alice@example.com", "").bad(1, "no such account");
    assert!(!accepts(&database, "alice", "example.com", "secret"));
    user(&database, "add alice@example.com --password-stdin", "again").good();
    assert!(accepts(&database, "alice", "example.com", "again"));
}

#[test]
fn who_is_not_there_or_there_already_is_said_before_a_password_is_asked_for() {
    let (_directory, database) = alice();
    // Nothing is on standard input and there is no terminal, so that asking would be another failure.
    user(&database, "add alice@example.com", "").bad(1, "exists already");
    user(&database, "passwd bob", "").bad(1, "no such account");
    for words in
        ["show bob", "lock bob", "unlock bob", "expire bob never", "change bob --kind person"]
    {
        user(&database, words, "").bad(1, "no such account");
    }
}

#[test]
fn names_are_those_that_the_daemon_makes_of_a_login() {
    let (_directory, database) = alice();
    let add = |name: &str| {
        fed(&["user", "add", name, "--password-stdin", "--database", text(&database)], b"x")
    };
    add("bu\u{308}cher@example.com").good();
    assert!(accepts(&database, "b\u{fc}cher", "example.com", "x"), "stored in normal form C");
    user(&database, "show b\u{fc}cher@example.com", "").good();
    for (name, part) in [
        ("", "is empty"),
        ("a\nb", "line break"),
        ("a\u{7}b", "not allowed"),
        ("a\u{ff20}b", "not allowed"),
        ("a\u{202e}b", "not allowed"),
    ] {
        add(name).bad(1, part);
    }
    let long = "x".repeat(1025);
    add(&long).bad(1, "too long");
}

#[test]
fn a_mistyped_path_makes_no_database() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("typo.sqlite");
    for words in ["list", "show a", "passwd a --password-stdin", "lock a", "delete a"] {
        user(&database, words, "x").bad(69, "typo.sqlite: not there; add an account first");
    }
    assert!(!database.exists());
    let below = directory.path().join("missing/accounts.sqlite");
    user(&below, "add a --password-stdin", "x").bad(69, "start saslauthd once");
    user(directory.path(), "list", "").bad(69, "directory");
}

#[test]
fn what_is_no_database_of_ours_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("other");
    fs::write(
        &database,
        "no database at all, and long enough to have had a header of SQLite\n".repeat(4),
    )
    .unwrap();
    let before = fs::read(&database).unwrap();
    user(&database, "add a --password-stdin", "x").bad(69, "damaged");
    user(&database, "list", "").bad(69, "damaged");
    assert_eq!(fs::read(&database).unwrap(), before);
}

/// As the numbers of `nobody`'s neighbours, which no program here runs as.
const OWNER: u32 = 64_001;

/// A copy of the program where the owner may run it, run as the owner.
fn as_owner(directory: &Path, line: &[&str]) -> Ran {
    let program = directory.join("mailauth");
    // By another process: what this one writes is open for a moment in children of tests beside, and cannot be executed.
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    let id = OWNER.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(program).args(line);
    Ran::of(command.output().unwrap())
}

#[test]
fn what_root_makes_or_changes_belongs_to_the_owner_of_the_directory() {
    if !is_root() {
        return;
    }
    // Below a directory that others may enter, unlike the temporary one of root's.
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    chown(directory.path(), Some(OWNER), Some(OWNER)).unwrap();
    let database = directory.path().join("accounts.sqlite");
    user(&database, "add alice --password-stdin", "secret").good();
    let owners = || {
        let files = fs::read_dir(directory.path()).unwrap().map(Result::unwrap);
        let files = files.filter(|file| file.file_name().to_str().unwrap().contains("sqlite"));
        files.map(|file| file.metadata().unwrap().uid()).collect::<Vec<_>>()
    };
    assert!(!owners().is_empty() && owners().iter().all(|uid| *uid == OWNER), "{:?}", owners());

    // The daemon has it open meanwhile, with the files that SQLite keeps beside it.
    let store = Store::open(&database).unwrap();
    assert_eq!(store.list(None).unwrap().len(), 1);
    user(&database, "passwd alice --password-stdin", "other").good();
    assert!(owners().len() > 1 && owners().iter().all(|uid| *uid == OWNER), "{:?}", owners());
    drop(store);

    as_owner(directory.path(), &["user", "lock", "alice", "--database", text(&database)]).good();
    assert_eq!(json(&database, "show alice --json")["locked"], true);
}

#[test]
fn whoever_may_not_open_the_database_is_told_so() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let database = directory.path().join("accounts.sqlite");
    user(&database, "add alice --password-stdin", "secret").good();
    as_owner(directory.path(), &["user", "list", "--database", text(&database)])
        .bad(77, "permission denied; do it as root");
    let new = directory.path().join("new.sqlite");
    as_owner(directory.path(), &["user", "add", "a", "--random", "--database", text(&new)])
        .bad(77, "permission denied");
}
