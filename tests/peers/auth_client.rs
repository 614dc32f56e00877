//! Clients of Dovecot's protocol that Debian doesn't bring in the version that matters, byte by byte as they speak.
//!
//! Runs in the test process. What they say is in their sources: chasquid's `internal/dovecot`, go-dovecot-sasl
//! (maddy), Exim's `src/auths/dovecot.c` from 4.99 on, Dovecot's `lib-auth-client` of 2.4.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::auth_wire::{AuthWire, ending};
use super::namespace::Namespace;
use super::{Heard, Manner, Outage, Peer, Question, Result, Socket, Verdict, WRONG};

/// All of them; each route is one.
pub(crate) struct AuthClient;

/// The whole of chasquid's call has this long.
const BUDGET: Duration = Duration::from_secs(5);

/// When the client sends its own version.
#[derive(Clone, Copy)]
enum Hello {
    /// Before it reads anything, together with its process id.
    First,
    /// When it has the daemon's version; its process id after `DONE`.
    AfterVersion,
    /// After `DONE`, which an older maddy and Exim wait for.
    AfterDone,
}

/// How one of them speaks.
struct Shape {
    hello: Hello,
    minor: u8,
    /// The fields between mechanism and response.
    fields: &'static str,
    /// Of these what is only said inside TLS.
    secured: &'static str,
    repeats_login: Authzid,
}

/// What stands before the first NUL of PLAIN.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Authzid {
    Empty,
    Login,
}

fn shape(route: &str) -> Shape {
    match route {
        "chasquid" => Shape {
            hello: Hello::First,
            minor: 1,
            fields: "\tservice=smtp",
            secured: "\tsecured\tno-penalty\tnologin",
            repeats_login: Authzid::Login,
        },
        "maddy 0.8" => Shape {
            hello: Hello::AfterDone,
            minor: 2,
            fields: "\tservice=SMTP",
            secured: "\tsecured=tls",
            repeats_login: Authzid::Empty,
        },
        "maddy 0.9" => Shape {
            hello: Hello::AfterVersion,
            minor: 2,
            fields: "\tservice=SMTP",
            secured: "\tsecured=tls",
            repeats_login: Authzid::Empty,
        },
        "exim 4.99" => Shape {
            hello: Hello::AfterVersion,
            minor: 0,
            fields: "\tservice=smtp\trip=192.0.2.7\tlip=192.0.2.1\tnologin",
            secured: "\tsecured",
            repeats_login: Authzid::Empty,
        },
        _ => Shape {
            hello: Hello::First,
            minor: 4,
            fields: "\tprotocol=imap\tfinal-resp-ok\tsession=a8GvN3cTYMMKAAAB\
                     \tlip=192.0.2.1\trip=192.0.2.7\tlport=993\trport=50112",
            secured: "\tsecured=tls",
            repeats_login: Authzid::Empty,
        },
    }
}

impl Peer for AuthClient {
    fn name(&self) -> &'static str {
        "clients by the byte"
    }

    fn programs(&self) -> &'static [&'static str] {
        &[]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["chasquid", "maddy 0.8", "maddy 0.9", "exim 4.99", "dovecot 2.4"]
    }

    /// Dovecot 2.3 asks for `service=`, which a client of 2.4 no longer says.
    fn known_to_original(&self, route: &str) -> bool {
        route != "dovecot 2.4"
    }

    fn tells_outage(&self, _route: &str) -> bool {
        true
    }

    fn outage(&self, route: &str, outage: Outage) -> Verdict {
        match outage {
            Outage::Word if shape(route).minor < 2 => Verdict::Refused,
            _ => Verdict::Temporary,
        }
    }

    fn gives_up(&self, route: &str) -> bool {
        route == "chasquid"
    }

    fn service(&self, route: &str) -> &'static str {
        match route {
            "dovecot 2.4" => "imap",
            route if route.starts_with("maddy") => "SMTP",
            _ => "smtp",
        }
    }

    fn socket(&self) -> Socket {
        Socket::Auth
    }

    fn start(&self, _world: &Namespace) -> Result<()> {
        Ok(())
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        let patience = if self.gives_up(question.route) { BUDGET } else { question.patience };
        let asked = converse(world, Question { patience, ..question }).or_else(ending);
        match asked {
            Ok(heard) if heard.verdict == Verdict::Silent && self.gives_up(question.route) => {
                Ok(Heard::new(Verdict::Temporary, "gives up"))
            }
            Ok(heard) => Ok(heard),
            Err(why) => Ok(Heard::new(Verdict::Strange, why.to_string())),
        }
    }
}

fn converse(world: &Namespace, question: Question<'_>) -> io::Result<Heard> {
    let shape = shape(question.route);
    let mut wire = AuthWire::connect(world, question.patience)?;
    greet(&mut wire, &shape)?;
    let request = |id: &str| {
        let secured = if question.manner == Manner::WithoutTls { "" } else { shape.secured };
        format!("AUTH\t{id}\tPLAIN{}{secured}", shape.fields)
    };
    let response = |password: &str| {
        let login = question.login;
        let authzid = if shape.repeats_login == Authzid::Login { login } else { "" };
        BASE64.encode(format!("{authzid}\0{login}\0{password}"))
    };
    match question.manner {
        Manner::Plainly | Manner::WithoutTls => {}
        Manner::AfterRefusal => {
            wire.say(&format!("{}\tresp={}\n", request("1"), response(WRONG)))?;
            let refused = wire.outcome("1", question.login)?;
            if refused.verdict != Verdict::Refused {
                return Err(io::Error::other(format!("wrong: {}", refused.words)));
            }
        }
        Manner::AfterCancel => {
            wire.say(&format!("{}\n", request("1")))?;
            let challenge = wire.hear()?;
            if (challenge.command(), challenge.field(1)) != ("CONT", "1") {
                return Err(io::Error::other(format!("not a challenge: {challenge:?}")));
            }
            wire.say("CANCEL\t1\n")?;
            if shape.minor >= 4 {
                let cancelled = wire.hear()?;
                if (cancelled.command(), cancelled.field(1)) != ("CANCELLED", "1") {
                    return Err(io::Error::other(format!("not cancelled: {cancelled:?}")));
                }
            }
        }
    }
    wire.say(&format!("{}\tresp={}\n", request("2"), response(question.password)))?;
    let heard = wire.outcome("2", question.login)?;
    // The word came with Dovecot 2.3.
    let knows_word = shape.minor >= 2;
    if heard.verdict == Verdict::Temporary && heard.words.starts_with("FAIL") && !knows_word {
        return Ok(Heard::new(Verdict::Refused, heard.words));
    }
    Ok(heard)
}

fn greet(wire: &mut AuthWire, shape: &Shape) -> io::Result<()> {
    let version = format!("VERSION\t1\t{}\n", shape.minor);
    let cpid = format!("CPID\t{}\n", process_id());
    if let Hello::First = shape.hello {
        wire.say(&format!("{version}{cpid}"))?;
    }
    wire.version()?;
    if let Hello::AfterVersion = shape.hello {
        wire.say(&version)?;
    }
    let names = wire.mechanisms()?;
    if !names.iter().any(|name| name == "PLAIN") {
        return Err(io::Error::other(format!("no PLAIN among {names:?}")));
    }
    match shape.hello {
        Hello::First => Ok(()),
        Hello::AfterVersion => wire.say(&cpid),
        Hello::AfterDone => wire.say(&format!("{version}{cpid}")),
    }
}

/// A number that no other connection says: Dovecot takes the second for a mistake.
fn process_id() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(1_000_000);
    LAST.fetch_add(1, Ordering::Relaxed)
}
