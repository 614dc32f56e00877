//! The module in a real libpam: what a host program gets for each answer of a scripted daemon, and what the daemon is sent.
//!
//! Needs neither root nor the host's `/etc/pam.d`: libpam reads service files from a directory of the test's own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod libpam;
mod standin;

use std::os::unix::net::UnixListener;
use std::path::Path;

use libpam::{Code, Service, Stage};
use standin::{Daemon, NO, OK};

const ALICE: (&str, &str) = ("alice", "secret1");

/// One login: authentication alone.
fn login(service: &Service, who: (&str, &str), rhost: Option<&str>) -> Code {
    let mut transaction = service.start(Some(who.0), Some(who.1));
    if let Some(rhost) = rhost {
        transaction.set_remote_host(rhost);
    }
    transaction.run(Stage::Authenticate)
}

#[test]
fn the_daemons_answer_is_the_hosts_code() {
    let table: [(&'static [u8], Code); 8] = [
        (OK, Code::SUCCESS),
        (b"\x00\x0aOK whatever", Code::SUCCESS),
        (NO, Code::AUTH_ERR),
        (b"\x00\x08TEMPFAIL", Code::AUTH_ERR),
        (b"\x00\x02ok", Code::AUTH_ERR),
        (b"", Code::AUTHINFO_UNAVAIL),
        (b"\x00\x02O", Code::AUTHINFO_UNAVAIL),
        (b"\x00\x00", Code::AUTHINFO_UNAVAIL),
    ];
    for (reply, expected) in table {
        let daemon = Daemon::saying(reply, 4);
        let service = Service::new("imap", &daemon.line("auth required", ""));
        assert_eq!(login(&service, ALICE, None), expected, "{reply:?}");
        assert_eq!(daemon.heard(), ["alice", "secret1", "imap", ""]);
    }
}

#[test]
fn a_daemon_that_is_away_or_says_nothing_is_no_wrong_password() {
    let directory = tempfile::tempdir().unwrap();
    let left_over = directory.path().join("left-over");
    drop(UnixListener::bind(&left_over).unwrap());
    let silent = directory.path().join("silent");
    let _listener = UnixListener::bind(&silent).unwrap();
    for socket in [Path::new("/nonexistent/mux"), &left_over, &silent] {
        let line = format!("auth required MODULE socket={} timeout=1", socket.display());
        let service = Service::new("imap", &line);
        assert_eq!(login(&service, ALICE, None), Code::AUTHINFO_UNAVAIL, "{}", socket.display());
    }
}

const PLAIN: &str = "MECH\tPLAIN\tplaintext\n";

#[test]
fn an_auth_sockets_answer_is_the_hosts_code_too() {
    for (mechanisms, reply, expected) in [
        (PLAIN, "OK\t1\tuser=alice\n", Code::SUCCESS),
        (PLAIN, "FAIL\t1\tuser=alice\n", Code::AUTH_ERR),
        (PLAIN, "FAIL\t1\tuser=alice\tcode=user_disabled\n", Code::AUTH_ERR),
        (PLAIN, "FAIL\t1\tuser=alice\tcode=temp_fail\n", Code::AUTHINFO_UNAVAIL),
        (PLAIN, "FAIL\t1\tcode=invalid_base64\n", Code::AUTHINFO_UNAVAIL),
        (PLAIN, "OK\t1\n", Code::AUTHINFO_UNAVAIL),
        (PLAIN, "OK\t2\tuser=alice\n", Code::AUTHINFO_UNAVAIL),
        (PLAIN, "OK\t1\tuser=alice", Code::AUTHINFO_UNAVAIL),
        (PLAIN, "", Code::AUTHINFO_UNAVAIL),
        ("MECH\tSCRAM-SHA-256\tmutual-auth\n", "OK\t1\tuser=alice\n", Code::AUTHINFO_UNAVAIL),
    ] {
        let daemon = Daemon::auth(mechanisms, reply);
        let service = Service::new("imap", &daemon.auth_line(""));
        assert_eq!(login(&service, ALICE, None), expected, "{mechanisms}{reply}");
        let heard = daemon.heard();
        let asked = heard.first().is_some_and(|line| line.starts_with("AUTH\t1\tPLAIN\t"));
        assert_eq!(asked, mechanisms == PLAIN, "{heard:?}");
    }
    let service = Service::new("imap", "auth required MODULE auth=/nonexistent/auth");
    assert_eq!(login(&service, ALICE, None), Code::AUTHINFO_UNAVAIL);
}

#[test]
fn an_auth_socket_is_told_what_the_host_says() {
    // Base64 of NUL, name, NUL, secret1.
    const ALONE: &str = "AGFsaWNlAHNlY3JldDE=";
    const AT_X: &str = "AGFsaWNlQHgAc2VjcmV0MQ==";
    for (arguments, user, rhost, expected) in [
        ("", "alice", None, format!("service=imap\tnologin\tresp={ALONE}")),
        ("secured", "alice", None, format!("service=imap\tnologin\tsecured\tresp={ALONE}")),
        ("realm=x", "alice", None, format!("service=imap\tnologin\tresp={AT_X}")),
        ("realm=y", "alice@x", None, format!("service=imap\tnologin\tresp={AT_X}")),
        (
            "service=pop secured",
            "alice",
            Some("2001:db8::1"),
            format!("service=pop\tnologin\trip=2001:db8::1\tsecured\tresp={ALONE}"),
        ),
    ] {
        let daemon = Daemon::auth(PLAIN, "OK\t1\tuser=alice\n");
        let service = Service::new("imap", &daemon.auth_line(arguments));
        assert_eq!(login(&service, (user, "secret1"), rhost), Code::SUCCESS, "{arguments}");
        assert_eq!(daemon.heard(), [format!("AUTH\t1\tPLAIN\t{expected}")], "{arguments}");
    }
}

#[test]
fn what_the_host_says_becomes_the_fields_of_the_request() {
    let long = "p".repeat(9000);
    type Case<'a> = (&'a str, (&'a str, &'a str), Option<&'a str>, &'a [&'a str]);
    let cases: [Case<'_>; 12] = [
        ("", ALICE, None, &["alice", "secret1", "imap", ""]),
        ("service=pop", ALICE, None, &["alice", "secret1", "pop", ""]),
        ("service=", ALICE, None, &["alice", "secret1", "", ""]),
        ("realm=example.org", ALICE, None, &["alice", "secret1", "imap", "example.org"]),
        ("realm=x", ("a@b@c", " p\u{e4} "), None, &["a@b", " p\u{e4} ", "imap", "c"]),
        ("", ("a", ""), None, &["a", "", "imap", ""]),
        ("", ("a", &long), None, &["a", &long, "imap", ""]),
        ("", ALICE, Some("192.0.2.7"), &["alice", "secret1", "imap", "", "192.0.2.7"]),
        ("", ALICE, Some("2001:db8::1"), &["alice", "secret1", "imap", "", "2001:db8::1"]),
        ("", ALICE, Some("::ffff:192.0.2.7"), &["alice", "secret1", "imap", "", "192.0.2.7"]),
        ("", ALICE, Some("client.example.org"), &["alice", "secret1", "imap", ""]),
        ("", ALICE, Some(""), &["alice", "secret1", "imap", ""]),
    ];
    for (arguments, who, rhost, fields) in cases {
        let daemon = Daemon::saying(OK, fields.len());
        let service = Service::new("imap", &daemon.line("auth required", arguments));
        assert_eq!(login(&service, who, rhost), Code::SUCCESS, "{arguments} {who:?} {rhost:?}");
        assert_eq!(daemon.heard(), fields, "{arguments} {rhost:?}");
    }
}

#[test]
fn what_no_request_can_say_is_refused_and_asks_nobody() {
    let line = "auth required MODULE socket=/nonexistent/mux";
    let huge = "p".repeat(65_536);
    assert_eq!(login(&Service::new("imap", line), ("alice", &huge), None), Code::AUTH_ERR);
    let line = "auth required MODULE auth=/nonexistent/auth";
    for (user, password) in [("alice", ""), ("alice", &huge), ("alice\nroot", "x")] {
        let code = login(&Service::new("imap", line), (user, password), None);
        assert_eq!(code, Code::AUTH_ERR, "{user:?}");
    }
}

#[test]
fn a_wrong_argument_is_an_error_of_the_service_and_asks_nobody() {
    for argument in ["debug", "socket=mux", "timeout=0", "sockets=/run/saslauthd/mux"] {
        let daemon = Daemon::silent();
        let service = Service::new("imap", &daemon.line("auth required", argument));
        assert_eq!(login(&service, ALICE, None), Code::SERVICE_ERR, "{argument}");
        assert!(!daemon.was_asked(), "{argument}");
    }
}

#[test]
fn one_password_serves_every_module_of_a_stack() {
    let (first, second) = (Daemon::saying(NO, 4), Daemon::saying(OK, 4));
    let text = [first.line("auth sufficient", ""), second.line("auth required", "use_first_pass")];
    let service = Service::new("imap", &text.join("\n"));
    let mut transaction = service.start(Some("alice"), Some("secret1"));
    assert_eq!(transaction.run(Stage::Authenticate), Code::SUCCESS);
    assert_eq!(transaction.asked(), 1);
    assert_eq!(first.heard(), ["alice", "secret1", "imap", ""]);
    assert_eq!(second.heard(), ["alice", "secret1", "imap", ""]);

    let (first, second) = (Daemon::saying(NO, 4), Daemon::saying(NO, 4));
    let text = [first.line("auth required", ""), second.line("auth required", "try_first_pass")];
    let service = Service::new("imap", &text.join("\n"));
    let mut transaction = service.start(Some("alice"), Some("secret1"));
    assert_eq!(transaction.run(Stage::Authenticate), Code::AUTH_ERR);
    assert_eq!(transaction.asked(), 1);
    assert_eq!(first.heard(), second.heard());
}

#[test]
fn without_a_password_or_a_name_nobody_is_asked() {
    let daemon = Daemon::silent();
    let stacked = Service::new("imap", &daemon.line("auth required", "use_first_pass"));
    let mut transaction = stacked.start(Some("alice"), Some("secret1"));
    assert_eq!(transaction.run(Stage::Authenticate), Code::AUTHTOK_RECOVERY_ERR);
    assert_eq!(transaction.asked(), 0);
    drop(transaction);
    let service = Service::new("imap", &daemon.line("auth required", ""));
    // The conversation says that it can't: no password, then no name.
    assert_eq!(service.start(Some("alice"), None).run(Stage::Authenticate), Code::AUTHTOK_ERR);
    assert_eq!(service.start(None, None).run(Stage::Authenticate), Code::CONV_ERR);
    assert!(!daemon.was_asked());
}

#[test]
fn an_account_is_what_the_password_was() {
    for (reply, authenticated, account) in [
        (OK, Code::SUCCESS, Code::SUCCESS),
        (NO, Code::AUTH_ERR, Code::PERM_DENIED),
        (b"", Code::AUTHINFO_UNAVAIL, Code::PERM_DENIED),
    ] {
        let daemon = Daemon::saying(reply, 4);
        let text = [daemon.line("auth required", ""), "account required MODULE".to_owned()];
        let service = Service::new("imap", &text.join("\n"));
        let mut transaction = service.start(Some("alice"), Some("secret1"));
        assert_eq!(transaction.run(Stage::Account), Code::PERM_DENIED, "before any password");
        assert_eq!(transaction.run(Stage::Authenticate), authenticated);
        assert_eq!(transaction.run(Stage::Account), account, "{reply:?}");
        daemon.heard();
    }
}

#[test]
fn a_second_password_of_one_transaction_undoes_the_first() {
    let daemon = Daemon::answering(vec![OK, NO], 4);
    let text = [daemon.line("auth required", ""), "account required MODULE".to_owned()];
    let service = Service::new("imap", &text.join("\n"));
    let mut transaction = service.start(Some("alice"), Some("secret1"));
    assert_eq!(transaction.run(Stage::Authenticate), Code::SUCCESS);
    assert_eq!(transaction.run(Stage::Account), Code::SUCCESS);
    assert_eq!(transaction.run(Stage::Authenticate), Code::AUTH_ERR);
    assert_eq!(transaction.run(Stage::Account), Code::PERM_DENIED);
    daemon.heard();
}

#[test]
fn the_other_stages_say_what_the_manual_says() {
    let text = "auth required MODULE\npassword required MODULE\nsession required MODULE\nsession required pam_permit.so";
    let service = Service::new("imap", text);
    let mut transaction = service.start(Some("alice"), Some("secret1"));
    assert_eq!(transaction.run(Stage::SetCredentials), Code::SUCCESS);
    assert_eq!(transaction.run(Stage::ChangePassword), Code::SERVICE_ERR);
    assert_eq!(transaction.run(Stage::OpenSession), Code::SUCCESS);
    assert_eq!(transaction.run(Stage::CloseSession), Code::SUCCESS);
    let alone = Service::new("imap", "session required MODULE");
    let mut transaction = alone.start(Some("alice"), Some("secret1"));
    assert_eq!(transaction.run(Stage::OpenSession), Code::PERM_DENIED);
}

#[test]
fn a_daemon_that_hangs_up_on_a_long_request_kills_no_host() {
    // The test harness ignores SIGPIPE, and mail servers written in C don't all.
    libpam::default_sigpipe();
    let daemon = Daemon::hanging_up();
    let service = Service::new("imap", &daemon.line("auth required", ""));
    // Both fields together are more than a socket holds, and nobody reads them.
    let long = "x".repeat(65_000);
    for _ in 0..50 {
        let code = login(&service, (&long, &long), None);
        assert_eq!(code, Code::AUTHINFO_UNAVAIL);
    }
}
