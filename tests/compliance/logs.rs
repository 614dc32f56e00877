//! What stands in the log of a login: the line that log readers know, and never a secret.

use std::io;

use harness::accounts::quick_hash;
use harness::{Account, Daemon, Sandbox, Subject, wait_until};

use crate::suite::{Case, Listed, case, compare, listed};

struct Login {
    mech: &'static str,
    flags: &'static [&'static str],
    login: &'static str,
    password: &'static str,
    service: &'static str,
    realm: &'static str,
}

fn plain(mech: &'static str, login: &'static str, password: &'static str) -> Login {
    Login { mech, flags: &[], login, password, service: "smtp", realm: "" }
}

fn verbose(mech: &'static str, login: &'static str, password: &'static str) -> Login {
    Login { flags: &["-V"], ..plain(mech, login, password) }
}

const GUESS: &str = "my-wrong-guess";
/// Who fails last.
const LAST: &str = "last-of-all";

fn cases() -> Vec<Case<Login>> {
    let realm = Login { realm: "example.com", ..plain("sasldb", "alice", GUESS) };
    let joined = Login { flags: &["-r"], realm: "example.com", ..plain("sasldb", "alice", GUESS) };
    let service = Login { service: "", ..plain("sasldb", "alice", GUESS) };
    let brackets = Login { service: "x] [realm=y", ..plain("sasldb", "alice", GUESS) };
    let long = Box::leak("n".repeat(257).into_boxed_str());
    vec![
        case(
            "log-sasldb-wrong",
            plain("sasldb", "alice", GUESS),
            "auth failure: [user=alice] [service=smtp] [realm=] [mech=sasldb] [reason=Unknown]",
        ),
        case(
            "log-sasldb-unknown",
            plain("sasldb", "nobody-here", GUESS),
            "auth failure: [user=nobody-here] [service=smtp] [realm=] [mech=sasldb] [reason=Unknown]",
        ),
        case(
            "log-sasldb-realm",
            realm,
            "auth failure: [user=alice] [service=smtp] [realm=example.com] [mech=sasldb] [reason=Unknown]",
        ),
        case(
            "log-sasldb-joined-realm",
            joined,
            "auth failure: [user=alice@example.com] [service=smtp] [realm=example.com] [mech=sasldb] [reason=Unknown]",
        ),
        case(
            "log-sasldb-service-empty",
            service,
            "auth failure: [user=alice] [service=] [realm=] [mech=sasldb] [reason=Unknown]",
        ),
        case(
            "log-sasldb-service-brackets",
            brackets,
            "auth failure: [user=alice] [service=x] [realm=y] [realm=] [mech=sasldb] [reason=Unknown]",
        ),
        case(
            "log-shadow-wrong",
            plain("shadow", "alice", GUESS),
            "auth failure: [user=alice] [service=smtp] [realm=] [mech=shadow] [reason=Incorrect password]",
        ),
        case(
            "log-shadow-unknown",
            plain("shadow", "nobody-here", GUESS),
            "auth failure: [user=nobody-here] [service=smtp] [realm=] [mech=shadow] [reason=Invalid username]",
        ),
        case(
            "log-shadow-locked",
            plain("shadow", "locked", GUESS),
            "auth failure: [user=locked] [service=smtp] [realm=] [mech=shadow] [reason=Incorrect password]",
        ),
        case(
            "log-shadow-expired",
            plain("shadow", "expired", "secret1"),
            "auth failure: [user=expired] [service=smtp] [realm=] [mech=shadow] [reason=Account expired]",
        ),
        case("log-shadow-right", plain("shadow", "alice", "secret1"), "no event"),
        case("log-sasldb-right", plain("sasldb", "alice", "secret1"), "no event"),
        case(
            "log-shadow-verbose-right",
            verbose("shadow", "alice", "secret1"),
            "auth success: [user=alice] [service=smtp] [realm=] [mech=shadow]",
        ),
        case(
            "log-sasldb-verbose-right",
            verbose("sasldb", "alice", "secret1"),
            "auth success: [user=alice] [service=smtp] [realm=] [mech=sasldb]",
        ),
        case(
            "log-shadow-verbose-wrong",
            verbose("shadow", "alice", GUESS),
            "auth failure: [user=alice] [service=smtp] [realm=] [mech=shadow] [reason=Incorrect password]; LEAKS the hash",
        ),
        case(
            "log-sasldb-verbose-wrong",
            verbose("sasldb", "alice", GUESS),
            "auth failure: [user=alice] [service=smtp] [realm=] [mech=sasldb] [reason=Unknown]",
        ),
        case(
            "log-newline-in-login",
            plain("sasldb", "eve\nsaslauthd: auth success: [user=root]", GUESS),
            "auth failure: [user=eve; auth success: [user=root]] [service=smtp] [realm=] [mech=sasldb] [reason=Unknown]",
        ),
        case(
            "log-escape-in-login",
            plain("sasldb", "eve\x1b[2J", GUESS),
            r#"auth failure: [user=eve\u{1b}[2J] [service=smtp] [realm=] [mech=sasldb] [reason=Unknown]"#,
        ),
        case(
            "log-bracket-in-login",
            plain("sasldb", "eve] [service=imap", GUESS),
            "auth failure: [user=eve] [service=imap] [service=smtp] [realm=] [mech=sasldb] [reason=Unknown]",
        ),
        case(
            "log-quote-in-login",
            plain("sasldb", "eve\"\\", GUESS),
            r#"auth failure: [user=eve\"\\] [service=smtp] [realm=] [mech=sasldb] [reason=Unknown]"#,
        ),
        case(
            "log-percent-in-login",
            plain("sasldb", "%n%s", GUESS),
            "auth failure: [user=%n%s] [service=smtp] [realm=] [mech=sasldb] [reason=Unknown]",
        ),
        case("log-empty-login", plain("sasldb", "", GUESS), "no event"),
        case("log-empty-password", plain("sasldb", "alice", ""), "no event"),
        case("log-login-too-long", plain("sasldb", long, GUESS), "no event"),
        case(
            "log-password-as-login",
            plain("sasldb", "secret1", "alice"),
            "auth failure: [user=secret1] [service=smtp] [realm=] [mech=sasldb] [reason=Unknown]",
        ),
    ]
}

fn act(subject: &Subject, login: &Login) -> io::Result<String> {
    let hash = quick_hash("secret1")?;
    let house = Sandbox::with(&[
        Account::with("alice", &hash),
        Account::with("locked", &format!("!{hash}")),
        Account::with("expired", &hash).aged("19000:0:99999:7::19001:"),
    ])?;
    house.load_sasldb(&[(b"alice\0mailhost\0userPassword", b"secret1")])?;
    let daemon = Daemon::cyrus(&house, *subject, login.mech, login.flags)?;
    daemon.ask(login.login, login.password, login.service, login.realm);
    // Not every login is logged, so a failure behind it tells when its line would have come.
    daemon.ask(LAST, GUESS, "smtp", "");
    let logged = || [house.syslog().lines().join("\n"), daemon.log()].join("\n");
    wait_until(|| logged().contains(LAST));
    let all = logged();
    let events = all.match_indices("auth ").filter_map(|(at, _)| event(&all[at..]));
    let mut told: Vec<String> = events.filter(|event| !event.contains(LAST)).collect();
    told.dedup();
    if told.is_empty() {
        told.push("no event".to_owned());
    }
    told.extend(secrets(&all, login.login, &hash));
    Ok(told.join("; "))
}

/// `auth failure: [user=…] …` to the end of its line, escaped.
fn event(text: &str) -> Option<String> {
    let line = text.lines().next()?;
    let known = line.starts_with("auth failure") || line.starts_with("auth success");
    known.then(|| line.escape_debug().to_string())
}

/// What should never be there.
fn secrets(log: &str, login: &str, hash: &str) -> Vec<String> {
    let secret1 = if login == "secret1" { "(not looked for)" } else { "secret1" };
    let table = [("the guess", GUESS), ("the password", secret1), ("the hash", hash)];
    let found = table.iter().filter(|(_, secret)| log.contains(secret));
    found.map(|(what, _)| format!("LEAKS {what}")).collect()
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn logs() {
    compare("logs", &cases(), Ok, act);
}
