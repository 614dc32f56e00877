//! What command lines mean, and what is said of those that mean nothing.

use super::*;

const NOW: UnixTime = UnixTime(1_000_000_000);

fn parsed(line: &str) -> Result<Task, Failure> {
    let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    parse(&words, NOW)
}

fn who(line: &str) -> (String, Option<String>) {
    let Ok(Task::Accounts(_, Action::Lock(Who { user, realm }))) = parsed(line) else {
        panic!("{line}")
    };
    (user, realm)
}

fn complaint(line: &str) -> String {
    match parsed(line) {
        Ok(_) => panic!("{line}"),
        Err(failure) => {
            assert_eq!(failure.exit(), 64, "{line}");
            failure.to_string()
        }
    }
}

#[test]
fn names_are_split_at_the_last_at_unless_the_realm_is_given() {
    let realm = |text: &str| Some(text.to_owned());
    assert_eq!(who("user lock a"), ("a".into(), None));
    assert_eq!(who("user lock a@b"), ("a".into(), realm("b")));
    assert_eq!(who("user lock a@b@c"), ("a@b".into(), realm("c")));
    assert_eq!(who("user lock a@b --realm c"), ("a@b".into(), realm("c")));
    assert_eq!(who("user lock a@b --realm="), ("a@b".into(), realm("")));
    assert_eq!(who("user lock a@"), ("a@".into(), None));
    assert_eq!(who("user lock @b"), ("@b".into(), None));
}

#[test]
fn options_may_stand_anywhere_and_the_last_counts() {
    let line = "--database /a user add --database /b demo --password-fd 0 --kind machine";
    let Ok(Task::Accounts(Place::Database(path), Action::Add(who, secret, details, end))) =
        parsed(line)
    else {
        panic!("{line}")
    };
    assert_eq!(path, PathBuf::from("/b"));
    assert_eq!((who.user.as_str(), secret, end), ("demo", Secret::Descriptor(0), None));
    assert_eq!(details.kind, Some(Kind::Machine));
}

#[test]
fn a_sasldb_has_a_default_path() {
    for (line, expected) in
        [("user list --sasldb", "/etc/sasldb2"), ("user list --sasldb=/x", "/x")]
    {
        let Ok(Task::Accounts(Place::Sasldb(path), Action::List(None, Form::Text))) = parsed(line)
        else {
            panic!("{line}")
        };
        assert_eq!(path, PathBuf::from(expected));
    }
}

#[test]
fn requests_are_those_of_the_control_socket() {
    let line = |text: &str| match parsed(text) {
        Ok(Task::Ask(ask)) => String::from_utf8(ask.request.encode().unwrap()).unwrap(),
        _ => panic!("{text}"),
    };
    assert_eq!(line("status"), "status\n");
    assert_eq!(line("cache flush --control /x"), "cache flush\n");
    assert_eq!(line("limits show"), "limits show\n");
    assert_eq!(line("limits show a@b"), "limits show a\tb\n");
    assert_eq!(line("limits reset all"), "limits reset all\n");
    assert_eq!(line("limits reset user a --realm b"), "limits reset user a\tb\n");
    assert_eq!(line("limits reset source ::ffff:192.0.2.1"), "limits reset source 192.0.2.1\n");
}

#[test]
fn dates_end_accounts() {
    let end = |date: &str| match parsed(&format!("user expire a {date}")) {
        Ok(Task::Accounts(_, Action::Expire(_, end))) => end,
        _ => panic!("{date}"),
    };
    assert_eq!(end("never"), None);
    assert_eq!(end("1970-01-02"), Some(UnixTime(86_400)));
    assert_eq!(end("+1d"), Some(UnixTime(1_000_086_400)));
}

#[test]
fn complaints_name_what_is_wrong_and_never_a_surplus_word() {
    for (line, part) in [
        ("", "a command is needed"),
        ("frob", "no such command"),
        ("user", "after user comes one of: add, passwd, list"),
        ("limits frob", "after limits comes one of: show, reset"),
        ("user add", "user add takes NAME"),
        ("user list surplus", "takes nothing but options"),
        ("user lock a --json", "--json does not go with user lock"),
        ("user lock a --frob", "no option --frob"),
        ("user lock a -x", "no option -x"),
        ("user lock a --database", "missing argument"),
        ("user add a --kind robot", "person or machine"),
        ("user add a --service \u{7}", "list of services"),
        ("user add a --network 1.2.3.4/33", "list of networks"),
        ("user add a --expires soon", "no date"),
        ("user add a --random --password-stdin", "exclude each other"),
        ("user add a --password-fd x", "number of an open descriptor"),
        ("user add a --database /x --sasldb", "exclude each other"),
        ("user list --database=", "is empty"),
        ("user expire a", "user expire takes NAME DATE|never"),
        ("limits reset", "all | user NAME | source IP"),
        ("limits reset source example.com", "IPv4 or IPv6"),
        ("test a --address nowhere", "--address takes"),
    ] {
        let said = complaint(line);
        assert!(said.contains(part), "{line}: {said}");
        assert!(said.contains("--help"), "{line}: {said}");
    }
    for line in ["user passwd alice hunter2", "test alice hunter2", "user add a --random=hunter2"] {
        assert!(!complaint(line).contains("hunter2"), "{line}");
    }
}

#[test]
fn help_is_of_the_command_or_of_all() {
    let text = |line: &str| match parsed(line) {
        Ok(Task::Print(text)) => text,
        _ => panic!("{line}"),
    };
    assert!(text("--help").contains("limits reset all | user NAME | source IP"));
    assert!(text("user add -h").starts_with("usage: mailauth user add NAME [OPTION…]"));
    assert!(text("user --help").starts_with("usage: mailauth COMMAND"));
    assert!(text("--version").starts_with("mailauth version "));
}
