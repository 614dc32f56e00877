//! From the command line to a task, or to a complaint that names what is wrong.
//!
//! A surplus word is never repeated in a complaint: it may be a password that somebody thought belongs there.

mod access_map;
mod certificates;
mod queue;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use accounts::{Kind, NetworkList, ServiceList, UnixTime};
use lexopt::Arg;
use protocol::control::{Login, Request, Reset};
use protocol::{Address, Senders};

use crate::access_map::Task as AccessTask;
use crate::certificates::Task as CertificateTask;
use crate::failure::Failure;
use crate::help::{self, CHOICES, COMMANDS, Command, Value};
use crate::queue::Task as QueueTask;
use crate::secret::Secret;
use crate::{moment, version};

/// Where the daemon keeps its SQLite accounts unless it is configured otherwise.
const DATABASE: &str = "/var/lib/saslauthd/accounts/accounts.sqlite";
const SOCKET: &str = "/run/saslauthd/mux";
const CONTROL: &str = "/run/saslauthd/control";

/// What is to be done.
pub(crate) enum Task {
    Print(String),
    Accounts(Place, Action),
    Test(Test),
    Ask(Ask),
    Access(AccessTask),
    Certificates(CertificateTask),
    Queue(QueueTask),
}

/// The store of accounts.
pub(crate) enum Place {
    Database(PathBuf),
    Sasldb(PathBuf),
}

/// What is done with accounts.
pub(crate) enum Action {
    Add(Who, Secret, Details, Option<UnixTime>),
    Passwd(Who, Secret),
    List(Option<String>, Form),
    Show(Who, Form),
    Lock(Who),
    Unlock(Who),
    Expire(Who, Option<UnixTime>),
    Change(Who, Details),
    /// `None` shows them.
    Senders(Who, Option<Senders>),
    Delete(Who),
}

/// A name of the command line; no realm was given when there is none.
pub(crate) struct Who {
    pub(crate) user: String,
    pub(crate) realm: Option<String>,
}

/// What of an account was given.
#[derive(Default)]
pub(crate) struct Details {
    pub(crate) kind: Option<Kind>,
    pub(crate) services: Option<ServiceList>,
    pub(crate) networks: Option<NetworkList>,
}

/// For whom the output is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
}

/// A login to try.
pub(crate) struct Test {
    pub(crate) socket: PathBuf,
    pub(crate) who: Who,
    pub(crate) service: String,
    pub(crate) address: Option<Address>,
    pub(crate) secret: Secret,
}

/// A question for the control socket.
pub(crate) struct Ask {
    pub(crate) control: PathBuf,
    pub(crate) request: Request,
    pub(crate) form: Form,
}

/// Reads all arguments after the program's name.
pub(crate) fn parse(arguments: &[OsString], now: UnixTime) -> Result<Task, Failure> {
    let given = Given::read(arguments)?;
    if given.version {
        return Ok(Task::Print(version::long()));
    }
    let Some((command, operands)) = command(&given.words) else {
        return if given.help {
            Ok(Task::Print(help::whole()))
        } else {
            Err(unknown(&given.words))
        };
    };
    if given.help {
        return Ok(Task::Print(help::of(command)));
    }
    let stranger = given.options.iter().find(|(name, _)| !command.options.contains(name));
    if let Some((name, _)) = stranger {
        return Err(Failure::usage(format!("--{name} does not go with {}", command.words)));
    }
    Reader { command, given: &given, now }.task(operands)
}

fn command(words: &[OsString]) -> Option<(&'static Command, &[OsString])> {
    COMMANDS.iter().find_map(|command| {
        let count = command.words.split(' ').count();
        let (head, operands) = words.split_at_checked(count)?;
        let same = head.iter().zip(command.words.split(' ')).all(|(word, own)| word == own);
        same.then_some((command, operands))
    })
}

fn unknown(words: &[OsString]) -> Failure {
    let Some(first) = words.first() else { return Failure::usage("a command is needed") };
    let mut below: Vec<&str> = COMMANDS
        .iter()
        .filter_map(|command| command.words.split_once(' '))
        .filter_map(|(word, rest)| (first == word).then_some(rest))
        .collect();
    below.dedup();
    if below.is_empty() {
        return Failure::usage("there is no such command");
    }
    let first = first.display();
    Failure::usage(format!("after {first} comes one of: {}", below.join(", ")))
}

/// The command line taken apart, before anything is known of its meaning.
#[derive(Default)]
struct Given {
    words: Vec<OsString>,
    options: Vec<(&'static str, Option<OsString>)>,
    help: bool,
    version: bool,
}

impl Given {
    fn read(arguments: &[OsString]) -> Result<Self, Failure> {
        let mut given = Self::default();
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next().map_err(complaint)? {
            match argument {
                Arg::Long("help") | Arg::Short('h') => given.help = true,
                Arg::Long("version") | Arg::Short('V') => given.version = true,
                Arg::Value(word) => given.words.push(word),
                Arg::Long(name) => match CHOICES.iter().find(|choice| choice.name == name) {
                    Some(choice) => {
                        let value = match choice.value {
                            Value::None => None,
                            Value::Needed(_) => Some(parser.value().map_err(complaint)?),
                            Value::Optional(_) => parser.optional_value(),
                        };
                        given.options.push((choice.name, value));
                    }
                    None => return Err(Failure::usage(format!("there is no option --{name}"))),
                },
                Arg::Short(letter) => {
                    return Err(Failure::usage(format!("there is no option -{letter}")));
                }
            }
        }
        Ok(given)
    }
}

/// Without the value that an option got and does not take.
fn complaint(error: lexopt::Error) -> Failure {
    match error {
        lexopt::Error::UnexpectedValue { option, .. } => {
            Failure::usage(format!("{option} takes no value"))
        }
        other => Failure::usage(other),
    }
}

/// Reads values of options into what a command needs.
struct Reader<'a> {
    command: &'static Command,
    given: &'a Given,
    now: UnixTime,
}

impl Reader<'_> {
    fn task(&self, operands: &[OsString]) -> Result<Task, Failure> {
        let words = self.command.words;
        Ok(match words {
            "test" => Task::Test(Test {
                socket: self.path("socket", SOCKET)?,
                who: self.who(operands)?,
                service: self.text("service")?.unwrap_or_else(|| "smtp".into()),
                address: self.address()?,
                secret: self.secret()?,
            }),
            "status" | "cache flush" | "limits show" | "limits reset" => Task::Ask(Ask {
                control: self.path("control", CONTROL)?,
                request: self.request(operands)?,
                form: self.form(),
            }),
            _ if words.starts_with("access ") => Task::Access(self.access(operands)?),
            _ if words.starts_with("queue ") => Task::Queue(self.queue(operands)?),
            _ if words.starts_with("cert ") => Task::Certificates(self.certificates(operands)?),
            _ => Task::Accounts(self.place()?, self.action(operands)?),
        })
    }

    fn action(&self, operands: &[OsString]) -> Result<Action, Failure> {
        Ok(match self.command.words {
            "user add" => {
                let end = match self.text("expires")? {
                    Some(date) => self.end(&date)?,
                    None => None,
                };
                Action::Add(self.who(operands)?, self.secret()?, self.details()?, end)
            }
            "user passwd" => Action::Passwd(self.who(operands)?, self.secret()?),
            "user list" => {
                self.none(operands)?;
                Action::List(self.text("realm")?, self.form())
            }
            "user show" => Action::Show(self.who(operands)?, self.form()),
            "user lock" => Action::Lock(self.who(operands)?),
            "user unlock" => Action::Unlock(self.who(operands)?),
            "user expire" => {
                let [name, date] = operands else { return Err(self.operands()) };
                let who = self.who(std::slice::from_ref(name))?;
                Action::Expire(who, self.end(&text("DATE", date)?)?)
            }
            "user senders" => self.senders(operands)?,
            "user change" => Action::Change(self.who(operands)?, self.details()?),
            // All others were told apart before.
            _ => Action::Delete(self.who(operands)?),
        })
    }

    fn request(&self, operands: &[OsString]) -> Result<Request, Failure> {
        let login = |name: &OsString| {
            let Who { user, realm } = self.who(std::slice::from_ref(name))?;
            Login::new(user.as_bytes(), realm.unwrap_or_default().as_bytes())
                .map_err(|why| Failure::usage(format!("this is no login: {why}")))
        };
        Ok(match (self.command.words, operands) {
            ("status", []) => Request::Status,
            ("cache flush", []) => Request::CacheFlush,
            ("limits show", []) => Request::Limits,
            ("limits show", [name]) => Request::LimitsOf(login(name)?),
            ("limits reset", [what]) if what == "all" => Request::Reset(Reset::All),
            ("limits reset", [what, name]) if what == "user" => {
                Request::Reset(Reset::User(login(name)?))
            }
            ("limits reset", [what, address]) if what == "source" => {
                let address = text("IP", address)?;
                let address: IpAddr = address
                    .parse()
                    .map_err(|_| Failure::usage("source takes an IPv4 or IPv6 address"))?;
                Request::Reset(Reset::Source(address.to_canonical()))
            }
            _ => return Err(self.operands()),
        })
    }

    /// What was given of an option; the last counts.
    fn value(&self, name: &str) -> Option<&Option<OsString>> {
        let mut options = self.given.options.iter().rev();
        options.find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    fn is_given(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, Failure> {
        self.value(name).and_then(Option::as_ref).map(|value| text(name, value)).transpose()
    }

    /// All values that were given of an option, in their order.
    fn texts(&self, name: &'static str) -> Result<Vec<String>, Failure> {
        let of_it = self.given.options.iter().filter(|(given, _)| *given == name);
        of_it.filter_map(|(_, value)| value.as_ref()).map(|value| text(name, value)).collect()
    }

    fn path(&self, name: &str, default: &str) -> Result<PathBuf, Failure> {
        match self.value(name) {
            Some(Some(path)) if path.is_empty() => {
                Err(Failure::usage(format!("the path after --{name} is empty")))
            }
            Some(Some(path)) => Ok(path.into()),
            _ => Ok(default.into()),
        }
    }

    fn place(&self) -> Result<Place, Failure> {
        match (self.is_given("database"), self.is_given("sasldb")) {
            (true, true) => Err(Failure::usage("--database and --sasldb exclude each other")),
            (_, true) => self.path("sasldb", credentials::sasldb::DEFAULT_PATH).map(Place::Sasldb),
            _ => self.path("database", DATABASE).map(Place::Database),
        }
    }

    /// One name. `--realm` takes it whole; otherwise it is split at the last `@`, as libsasl2's client does.
    fn who(&self, operands: &[OsString]) -> Result<Who, Failure> {
        let [name] = operands else { return Err(self.operands()) };
        let name = text("NAME", name)?;
        if let Some(realm) = self.text("realm")? {
            return Ok(Who { user: name, realm: Some(realm) });
        }
        Ok(match name.rsplit_once('@') {
            Some((user, realm)) if !user.is_empty() && !realm.is_empty() => {
                Who { user: user.into(), realm: Some(realm.into()) }
            }
            _ => Who { user: name, realm: None },
        })
    }

    fn none(&self, operands: &[OsString]) -> Result<(), Failure> {
        if operands.is_empty() { Ok(()) } else { Err(self.operands()) }
    }

    /// Without repeating what was given.
    fn operands(&self) -> Failure {
        let Command { words, operands, .. } = self.command;
        match *operands {
            "" => Failure::usage(format!("{words} takes nothing but options")),
            operands => Failure::usage(format!(
                "{words} takes {operands} and options; a password never stands on the command \
                 line, and the path of a sasldb is given as --sasldb=PATH"
            )),
        }
    }

    fn secret(&self) -> Result<Secret, Failure> {
        const SOURCES: [&str; 4] = ["random", "password-stdin", "password-fd", "hash-stdin"];
        let mut sources = SOURCES.into_iter().filter(|name| self.is_given(name));
        let (source, more) = (sources.next(), sources.next());
        if let (Some(one), Some(two)) = (source, more) {
            return Err(Failure::usage(format!("--{one} and --{two} exclude each other")));
        }
        Ok(match source {
            None => Secret::Terminal,
            Some("random") => Secret::Random,
            Some("hash-stdin") => Secret::Hash,
            Some("password-stdin") => Secret::Descriptor(0),
            Some(_) => {
                let number = self.text("password-fd")?.unwrap_or_default();
                let number = number.parse().map_err(|_| {
                    Failure::usage("--password-fd takes the number of an open descriptor")
                })?;
                Secret::Descriptor(number)
            }
        })
    }

    fn details(&self) -> Result<Details, Failure> {
        let kind = self.text("kind")?.map(|word| {
            Kind::from_word(&word).ok_or_else(|| Failure::usage("--kind takes person or machine"))
        });
        let services = self.text("service")?.map(|list| match list.as_str() {
            "any" => Ok(ServiceList::ANY),
            list => list.parse().map_err(Failure::usage),
        });
        let networks = self.text("network")?.map(|list| match list.as_str() {
            "any" => Ok(NetworkList::ANY),
            list => list.parse().map_err(Failure::usage),
        });
        Ok(Details {
            kind: kind.transpose()?,
            services: services.transpose()?,
            networks: networks.transpose()?,
        })
    }

    fn senders(&self, operands: &[OsString]) -> Result<Action, Failure> {
        let Some((name, words)) = operands.split_first() else { return Err(self.operands()) };
        let who = self.who(std::slice::from_ref(name))?;
        let senders = match (self.is_given("any"), self.is_given("own"), words) {
            (false, false, []) => None,
            (true, false, []) => Some(Senders::Any),
            (false, true, []) => Some(Senders::Own),
            (false, false, words) => {
                let words: Result<Vec<String>, Failure> =
                    words.iter().map(|word| text("ADDRESS", word)).collect();
                Some(Senders::parse(&words?.join(" ")).map_err(Failure::usage)?)
            }
            _ => return Err(Failure::usage("addresses, --any and --own exclude each other")),
        };
        Ok(Action::Senders(who, senders))
    }

    fn end(&self, date: &str) -> Result<Option<UnixTime>, Failure> {
        if date == "never" {
            return Ok(None);
        }
        moment::parse(date, self.now).map(Some).ok_or_else(|| {
            Failure::usage(
                "this is no date; write 2027-01-31, 2027-01-31T18:00Z (UTC), +30d, +12h or never",
            )
        })
    }

    fn address(&self) -> Result<Option<Address>, Failure> {
        let Some(stated) = self.text("address")? else { return Ok(None) };
        let address = Address::parse(stated.as_bytes());
        address.map(Some).ok_or_else(|| {
            Failure::usage("--address takes an IPv4 or IPv6 address, or one as ip;port")
        })
    }

    fn form(&self) -> Form {
        if self.is_given("json") { Form::Json } else { Form::Text }
    }
}

fn text(what: &str, value: &OsString) -> Result<String, Failure> {
    let value = value.clone().into_string();
    value.map_err(|_| Failure::usage(format!("{what} is not UTF-8")))
}

#[cfg(test)]
mod tests;
