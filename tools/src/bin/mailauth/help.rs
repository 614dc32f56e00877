//! Every command and option there is, once: the command line is held to these tables, and the help is printed from them.

/// A command, its operands, and the options that go with it.
pub(crate) struct Command {
    pub(crate) words: &'static str,
    pub(crate) operands: &'static str,
    pub(crate) options: &'static [&'static str],
    about: &'static str,
}

/// Whether an option has a value, and what help calls it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    None,
    Needed(&'static str),
    Optional(&'static str),
}

/// A long option.
pub(crate) struct Choice {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    about: &'static str,
}

const fn command(
    words: &'static str,
    operands: &'static str,
    options: &'static [&'static str],
    about: &'static str,
) -> Command {
    Command { words, operands, options, about }
}

const fn choice(name: &'static str, value: Value, about: &'static str) -> Choice {
    Choice { name, value, about }
}

/// The store, and how a name is read.
const WHERE: &[&str] = &["database", "sasldb", "realm"];

/// In the order of the help.
pub(crate) const COMMANDS: &[Command] = &[
    command(
        "user add",
        "NAME",
        &[
            "database",
            "sasldb",
            "realm",
            "kind",
            "service",
            "network",
            "expires",
            "random",
            "password-stdin",
            "password-fd",
            "hash-stdin",
        ],
        "add an account; makes the database if there is none",
    ),
    command(
        "user passwd",
        "NAME",
        &["database", "sasldb", "realm", "random", "password-stdin", "password-fd", "hash-stdin"],
        "set a new password; every older secret of the account ends",
    ),
    command("user list", "", &["database", "sasldb", "realm", "json"], "list accounts"),
    command(
        "user show",
        "NAME",
        &["database", "sasldb", "realm", "json"],
        "show one account, without its secrets",
    ),
    command("user lock", "NAME", WHERE, "refuse all logins, keep the password"),
    command("user unlock", "NAME", WHERE, "end a lock"),
    command("user expire", "NAME DATE|never", WHERE, "set or lift the end of an account"),
    command(
        "user change",
        "NAME",
        &["database", "sasldb", "realm", "kind", "service", "network"],
        "change kind, services or networks",
    ),
    command(
        "user senders",
        "NAME [ADDRESS|@DOMAIN …]",
        &["database", "sasldb", "realm", "any", "own"],
        "show or set as whom an account may send",
    ),
    command("user delete", "NAME", WHERE, "delete an account with all its secrets"),
    command(
        "test",
        "NAME",
        &["socket", "service", "realm", "address", "password-stdin", "password-fd"],
        "ask the daemon as a mail server does: accepted, refused or unavailable",
    ),
    command("status", "", &["control", "json"], "processes, confinement, backends, figures"),
    command(
        "limits show",
        "[NAME]",
        &["control", "realm", "json"],
        "the limiter's figures, or what is left to one user",
    ),
    command(
        "limits reset",
        "all | user NAME | source IP",
        &["control", "realm"],
        "forget failed logins",
    ),
    command("cache flush", "", &["control"], "forget remembered successes"),
    command(
        "queue status",
        "",
        &["control", "json"],
        "the mta's queue: counts, destinations, figures",
    ),
    command(
        "queue list",
        "",
        &["control", "json", "state", "sender", "recipient"],
        "list messages that the mta keeps, the oldest first",
    ),
    command(
        "queue show",
        "ID",
        &["control", "json", "header"],
        "show a message's envelope and what became of its recipients",
    ),
    command("queue hold", "ID | all", &["control", "json"], "send it no more until it is released"),
    command("queue release", "ID | all", &["control", "json"], "end a hold, and try at once"),
    command("queue retry", "ID | all", &["control", "json"], "try at once what waits"),
    command("queue delete", "ID | all", &["control", "json"], "delete it; nobody is told"),
    command("access check", "FILE", &[], "show every mistake of an access map"),
    command(
        "access explain",
        "FILE [FACT=VALUE …]",
        &[
            "cert",
            "client",
            "ruleset",
            "generation",
            "features",
            "local-domains",
            "relay-domains",
            "trusted-mechanisms",
        ],
        "show how an access map decides about a session",
    ),
    command("access key", "PEM", &["json"], "print the map keys of a certificate"),
    command("access decide", "[CASES]", &["map", "generation"], "decide cases given as JSON lines"),
    command(
        "cert init",
        "",
        &["directory", "name", "days", "force"],
        "make a private authority and a server's certificate",
    ),
    command(
        "cert issue",
        "",
        &["directory", "client", "san", "server", "name", "days", "force"],
        "make a certificate for a machine or a server",
    ),
    command("cert show", "PEM", &[], "show what is in certificates, and what they count as"),
];

/// In the order of the help.
pub(crate) const CHOICES: &[Choice] = &[
    choice(
        "database",
        Value::Needed("PATH"),
        "the SQLite accounts, /var/lib/saslauthd/accounts/accounts.sqlite by default",
    ),
    choice("sasldb", Value::Optional("PATH"), "a sasldb instead, /etc/sasldb2 by default"),
    choice(
        "realm",
        Value::Needed("REALM"),
        "the realm; NAME is then taken whole, with any @ in it",
    ),
    choice("kind", Value::Needed("KIND"), "who logs in: person (the default) or machine"),
    choice("service", Value::Needed("LIST"), "services it may use, or any: smtp,imap"),
    choice("network", Value::Needed("LIST"), "networks it may come from, or any: 192.0.2.0/24,::1"),
    choice(
        "expires",
        Value::Needed("DATE"),
        "its end: 2027-01-31, 2027-01-31T18:00Z, +30d, +12h or never",
    ),
    choice("any", Value::None, "it may send as anybody"),
    choice("own", Value::None, "it may send as itself, which is the default"),
    choice("random", Value::None, "make a password and print it, once, on standard output"),
    choice("password-stdin", Value::None, "read the password from standard input"),
    choice("password-fd", Value::Needed("N"), "read the password from descriptor N"),
    choice("hash-stdin", Value::None, "read an existing hash from standard input instead"),
    choice(
        "socket",
        Value::Needed("PATH"),
        "the daemon's mux socket, /run/saslauthd/mux by default",
    ),
    choice("address", Value::Needed("IP"), "the address of the mail client, as a server states it"),
    choice(
        "control",
        Value::Needed("PATH"),
        "the control socket: /run/saslauthd/control by default, /run/mta/control for queue",
    ),
    choice("json", Value::None, "print JSON"),
    choice("state", Value::Needed("STATE"), "messages that are waiting, active or held"),
    choice("sender", Value::Needed("TEXT"), "messages whose sender has this in it"),
    choice("recipient", Value::Needed("TEXT"), "messages of whose recipients one has this in it"),
    choice("header", Value::None, "show the message's header, too, which is private"),
    choice("cert", Value::Needed("PEM"), "the client's certificate"),
    choice(
        "client",
        Value::Needed("NAME[,ADDRESS]"),
        "the client's confirmed name and its address; cert issue: the machine's name",
    ),
    choice("ruleset", Value::Needed("NAME"), "one decision only: tls_client, relay, check_rcpt, …"),
    choice("map", Value::Needed("FILE"), "the access map of cases that bring none"),
    choice(
        "generation",
        Value::Needed("VERSION"),
        "whose reply codes: sendmail 8.15, 8.17 or 8.18 (the default)",
    ),
    choice("features", Value::Needed("LIST"), "sendmail's features: delay_checks,skip"),
    choice("local-domains", Value::Needed("LIST"), "names of this host (class w)"),
    choice("relay-domains", Value::Needed("LIST"), "domains and networks relayed for (class R)"),
    choice("trusted-mechanisms", Value::Needed("LIST"), "mechanisms whose users may relay"),
    choice("directory", Value::Needed("DIR"), "where ca.pem, ca.key and what they sign are kept"),
    choice("name", Value::Needed("HOST"), "a name or address of the server; may be repeated"),
    choice("server", Value::Needed("HOST"), "the server that the certificate is for"),
    choice(
        "san",
        Value::Needed("NAME"),
        "one more name of the client: host, address, mailbox or URI; may be repeated",
    ),
    choice("days", Value::Needed("N"), "how long the certificate counts, 825 by default"),
    choice("force", Value::None, "replace files that are there already"),
];

const NAMES: &str = "\
NAME is a user, or user@realm, which is split at the last @ as mail servers do it.
";

const PASSWORDS: &str = "\
Unless an option says where the password comes from, it is asked for on the terminal. The command line takes none.
";

const EXITS: &str = "\
Exit status: 0 done or accepted; 1 refused or failed; 64 wrong usage; 69 no such store or daemon; 75 unavailable for
now, try again; 77 permission denied.
";

/// All commands and all options.
pub(crate) fn whole() -> String {
    let mut text = String::from(
        "usage: mailauth COMMAND [OPTION…]\n\nAccounts, test logins, and the daemon's state.\n\n",
    );
    for command in COMMANDS {
        let line = format!("{} {}", command.words, command.operands);
        text += &format!("  {:<41} {}\n", line.trim_end(), command.about);
    }
    text += "\nOptions, each with the commands whose --help lists it:\n\n";
    CHOICES.iter().for_each(|choice| text += &line(choice));
    text + OF_ITSELF + "\n" + NAMES + PASSWORDS + "\n" + EXITS
}

/// One command with its options.
pub(crate) fn of(command: &Command) -> String {
    let Command { words, operands, about, .. } = command;
    let usage = format!("usage: mailauth {words} {operands}");
    let mut text = format!("{} [OPTION…]\n\n{about}\n\n", usage.trim_end());
    for choice in CHOICES.iter().filter(|choice| command.options.contains(&choice.name)) {
        text += &line(choice);
    }
    text += OF_ITSELF;
    if operands.contains("NAME") {
        text = text + "\n" + NAMES;
    }
    if command.options.contains(&"password-fd") {
        text += PASSWORDS;
    }
    text + "\n" + EXITS
}

const OF_ITSELF: &str = "  --help, -h             this text; after a command, its own
  --version, -V          what was built, from what and when
";

fn line(choice: &Choice) -> String {
    let Choice { name, value, about } = choice;
    let option = match value {
        Value::None => format!("--{name}"),
        Value::Needed(what) => format!("--{name} {what}"),
        Value::Optional(what) => format!("--{name}[={what}]"),
    };
    format!("  {option:<22} {about}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_belongs_to_a_command_and_is_described_once() {
        for choice in CHOICES {
            let users = COMMANDS.iter().filter(|command| command.options.contains(&choice.name));
            assert!(users.count() > 0, "--{} goes with no command", choice.name);
            assert_eq!(CHOICES.iter().filter(|other| other.name == choice.name).count(), 1);
        }
        for name in COMMANDS.iter().flat_map(|command| command.options) {
            assert!(
                CHOICES.iter().any(|choice| choice.name == *name),
                "--{name} has no description"
            );
        }
    }

    #[test]
    fn the_help_of_a_command_lists_its_own_options() {
        let lock = COMMANDS.iter().find(|command| command.words == "user lock").unwrap();
        let text = of(lock);
        assert!(text.starts_with("usage: mailauth user lock NAME [OPTION…]\n"), "{text}");
        assert!(text.contains("--database PATH") && !text.contains("--random "), "{text}");
    }
}
