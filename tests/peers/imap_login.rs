//! Dovecot's imap-login, whose auth socket is the daemon's under test instead of that of its own auth process.
//!
//! What comes after the login, finding the user's mail, is answered by a stand-in at Dovecot's fixed place for it,
//! so that only the login depends on the daemon.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use super::auth_wire::{self, AuthWire};
use super::dialogue::{Dialogue, heard, plain};
use super::namespace::Namespace;
use super::tls::{self, Wire};
use super::{Heard, Manner, Outage, Peer, Question, Result, Socket, Verdict, WRONG};

/// imap-login of Debian.
pub(crate) struct ImapLogin;

const IMAP: u16 = 143;
const IMAPS: u16 = 993;

/// Where imap asks whose mail it is.
const MASTER: &str = "/run/dovecot/auth-master";

/// The number and group of `mail`.
const MAIL: u32 = 8;

const SETTINGS: &str = "\
base_dir = /run/dovecot
state_dir = /run/dovecot
protocols = imap
listen = 127.0.0.2
ssl = yes
ssl_cert = </etc/tls/cert.pem
ssl_key = </etc/tls/key.pem
disable_plaintext_auth = no
log_path = /dev/stderr
mail_location = maildir:~/mail
first_valid_uid = 1
service imap-login {
  executable = imap-login /run/auth/auth-login
  chroot =
}
service auth {
  executable = /bin/false
  unix_listener auth-master {
    mode = 0
  }
  unix_listener auth-client {
    mode = 0
  }
  unix_listener auth-userdb {
    mode = 0
  }
  unix_listener auth-login {
    mode = 0
  }
  unix_listener login/login {
    mode = 0
  }
  unix_listener token-login/tokenlogin {
    mode = 0
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
";

const MEANINGS: [(&str, Verdict); 4] = [
    ("a OK", Verdict::Accepted),
    ("a NO [AUTHENTICATIONFAILED]", Verdict::Refused),
    ("a NO [UNAVAILABLE]", Verdict::Temporary),
    ("* BYE Temporary authentication failure", Verdict::Temporary),
];

impl Peer for ImapLogin {
    fn name(&self) -> &'static str {
        "dovecot imap-login"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["dovecot-core", "dovecot-imapd"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/sbin/dovecot", "/usr/lib/dovecot/imap-login", "/usr/lib/dovecot/imap"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["PLAIN", "IMAP LOGIN"]
    }

    fn tells_outage(&self, _route: &str) -> bool {
        true
    }

    /// It takes a closed connection for a refusal and knows one word for an outage; before it has a daemon it
    /// lets its clients wait.
    fn outage(&self, _route: &str, outage: Outage) -> Verdict {
        match outage {
            Outage::Absent => Verdict::Silent,
            Outage::Closed => Verdict::Refused,
            Outage::Word | Outage::Told => Verdict::Temporary,
        }
    }

    fn service(&self, _route: &str) -> &'static str {
        "imap"
    }

    fn socket(&self) -> Socket {
        Socket::Auth
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        tls::make_certificate(world)?;
        world.write("/etc/dovecot-imap.conf", SETTINGS)?;
        world.directory("/var/mail", MAIL)?;
        world.spawn("imap", "dovecot", &["-F", "-c", "/etc/dovecot-imap.conf"])?;
        world.await_port_of(tls::SERVER, IMAP, "imap")?;
        stand_in(world)
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        let mut dialogue = Dialogue::over(Wire::open(world, question.manner, IMAPS, IMAP)?);
        dialogue.patience(question.patience);
        if let Err(why) = dialogue.hear() {
            return heard(Err(why), &MEANINGS);
        }
        match question.manner {
            Manner::Plainly | Manner::WithoutTls => {}
            Manner::AfterRefusal => {
                log_in(&mut dialogue, Question { password: WRONG, ..question })?;
                let refused = heard(answer(&mut dialogue), &MEANINGS)?;
                if refused.verdict != Verdict::Refused {
                    return Ok(Heard::new(Verdict::Strange, format!("wrong: {}", refused.words)));
                }
            }
            Manner::AfterCancel => {
                dialogue.say("a AUTHENTICATE PLAIN")?;
                dialogue.hear_until(|line| line.starts_with('+'))?;
                dialogue.say("*")?;
                answer(&mut dialogue)?;
            }
        }
        log_in(&mut dialogue, question)?;
        dialogue.patience(question.patience);
        let answer = answer(&mut dialogue);
        let _ = dialogue.say("b LOGOUT");
        heard(answer, &MEANINGS)
    }
}

fn log_in(dialogue: &mut Dialogue, question: Question<'_>) -> io::Result<()> {
    let Question { login, password, .. } = question;
    match question.route {
        "PLAIN" => dialogue.say(&format!("a AUTHENTICATE PLAIN {}", plain(question))),
        // A quoted string is ASCII (RFC 3501 §4.3); a literal is not.
        _ => dialogue.say(&format!(
            "a LOGIN {{{}+}}\r\n{login} {{{}+}}\r\n{password}",
            login.len(),
            password.len()
        )),
    }
}

fn answer(dialogue: &mut Dialogue) -> io::Result<String> {
    dialogue.hear_until(|line| line.starts_with("a ") || line.starts_with("* BYE"))
}

/// Answers every question for a user's mail with that of `mail`. Ends with the test process.
fn stand_in(world: &Namespace) -> Result<()> {
    let listener = UnixListener::bind(world.path(MASTER))?;
    world.shell(&format!("chmod 666 {MASTER}"))?;
    let daemon = world.path(auth_wire::PATH);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let daemon = daemon.clone();
            thread::spawn(move || serve(stream, &daemon));
        }
    });
    Ok(())
}

/// The number of the server must be that of the one who let the user in.
fn serve(mut stream: UnixStream, daemon: &Path) -> io::Result<()> {
    let mut wire = AuthWire::open(daemon, harness::PATIENCE)?;
    wire.say("VERSION\t1\t2\n")?;
    wire.version()?;
    wire.mechanisms()?;
    stream.write_all(format!("VERSION\t1\t2\nSPID\t{}\n", wire.server()).as_bytes())?;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        let mut fields = line.split('\t');
        if let (Some("REQUEST"), Some(id)) = (fields.next(), fields.next()) {
            let user = format!("USER\t{id}\tmail\tuid={MAIL}\tgid={MAIL}\thome=/var/mail\n");
            stream.write_all(user.as_bytes())?;
        }
    }
    Ok(())
}
