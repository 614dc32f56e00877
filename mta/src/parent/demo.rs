//! `--demo`: a message sent with one command, without a configuration and without root.
//!
//! Runs in the parent, in the foreground, with `saslauthd --demo` beside it. Certificates are made by `mailauth` on the
//! first start and kept; the account's password is the daemon's to choose, and comes by its standard output.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sys::children::{self, End};
use sys::dir::Directory;
use sys::identity::{self, AccountFiles};

use super::failure::Failure;
use super::identities::Identities;
use super::listeners::Taken;
use super::log::Foreground;
use super::member::find;
use super::serve::{self, Source};
use crate::config::{Config, Role};
use sys::start::Handed;

const USER: &str = "demo";
const DOMAIN: &str = "demo.example";
const HOST: &str = "mail.demo.example";
/// A machine that may relay.
const MACHINE: &str = "machine";
/// The last line of what the daemon's demo says.
const LAST_LINE: &str = "Ctrl-C ends the demo.";

/// Serves until a signal ends it.
///
/// # Errors
/// Why it doesn't.
pub fn demo(handed: &Handed) -> Result<(), Failure> {
    let base = base(handed)?;
    Directory::open_or_create(&base, if identity::is_root() { 0o711 } else { 0o700 }, None)?;
    let tls = base.join("tls");
    let line = certificates(&tls)?;
    let daemon = Daemon::start(handed)?;
    daemon.allow(&line)?;
    let path = base.join("mta.toml");
    let text = configuration(&base, &daemon);
    std::fs::write(&path, &text).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    let operation = Config::parse(&text)?.operation;
    let identities = Identities::of(&operation, &AccountFiles::default())?;
    identities.prepare_for_sender(&base.join("mail"))?;
    let source = Source { path: Some(path), foreground: Foreground::Yes, taken: Taken::AnyPort };
    serve::run(source, handed, |places| {
        let text = welcome(&base, &daemon, places);
        std::io::stdout().write_all(text.as_bytes()).map_err(Failure::new)
    })
}

/// Where everything is: nobody else may be able to put anything there.
fn base(handed: &Handed) -> Result<PathBuf, Failure> {
    if identity::is_root() {
        return Ok("/run/mta-demo".into());
    }
    let own = handed.runtime_dir.as_ref().map(PathBuf::from);
    let own = own.filter(|path| path.is_absolute() && Directory::open(path).is_ok());
    let uid = identity::current()?.uid;
    Ok(own.map_or_else(
        || PathBuf::from(format!("/tmp/mta-demo-{uid}")),
        |path| path.join("mta-demo"),
    ))
}

/// Makes them unless they are there, and says which line of the map lets the machine relay.
fn certificates(tls: &Path) -> Result<String, Failure> {
    if !tls.join(format!("{HOST}.pem")).exists() {
        mailauth(&["cert", "init", "--name", HOST, "--name", "localhost"], Some(tls))?;
    }
    let machine = tls.join(format!("{MACHINE}.pem"));
    if !machine.exists() {
        mailauth(&["cert", "issue", "--client", MACHINE], Some(tls))?;
    }
    let keys = mailauth(&["access", "key", &machine.display().to_string()], None)?;
    let pin = keys.lines().find(|line| line.starts_with("CertKey:"));
    let key = pin.and_then(|line| line.split_whitespace().next());
    Ok(key.map(|key| format!("{key}\tRELAY\n")).unwrap_or_default())
}

fn mailauth(words: &[&str], directory: Option<&Path>) -> Result<String, Failure> {
    let program = find("mailauth").map_err(Failure::new)?;
    let mut command = Command::new(&program);
    command.args(words).env_clear().stdin(Stdio::null());
    if let Some(directory) = directory {
        command.arg("--directory").arg(directory);
    }
    let output = command.output();
    let output = output.map_err(|e| Failure::new(format!("{}: {e}", program.display())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("mailauth {}: {}", words.join(" "), said.trim())))
}

/// `saslauthd --demo`, which ends with this value.
struct Daemon {
    child: Child,
    pidfd: OwnedFd,
    /// Kept open: it may have more to say.
    _output: BufReader<ChildStdout>,
    password: String,
    auth: PathBuf,
}

impl Daemon {
    fn start(handed: &Handed) -> Result<Self, Failure> {
        let program = find("saslauthd").map_err(Failure::new)?;
        let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", program.display()));
        let mut command = Command::new(&program);
        command.arg("--demo").env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(directory) = &handed.runtime_dir {
            command.env(OsStr::new("XDG_RUNTIME_DIR"), directory);
        }
        let mut child = command.spawn().map_err(failed)?;
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let pidfd = children::pidfd(pid).map_err(failed)?;
        let output = child.stdout.take().ok_or_else(|| Failure::new("saslauthd has no output"))?;
        let mut output = BufReader::new(output);
        let (mut password, mut auth) = (String::new(), PathBuf::new());
        loop {
            let mut line = String::new();
            if output.read_line(&mut line).map_err(failed)? == 0 {
                let status = child.wait().map_err(failed)?;
                return Err(Failure::new(format!("saslauthd --demo does not serve: {status}")));
            }
            match line.trim() {
                LAST_LINE => break,
                line if line.ends_with("/auth") => auth = line.into(),
                line => {
                    if let Some(said) = line.strip_prefix("password: ") {
                        password = said.to_owned();
                    }
                }
            }
        }
        Ok(Self { child, pidfd, _output: output, password, auth })
    }

    /// The access map of the daemon's demo.
    fn map(&self) -> PathBuf {
        let base = self.auth.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        base.join("access")
    }

    /// Adds a line to the map unless it is there.
    fn allow(&self, line: &str) -> Result<(), Failure> {
        let path = self.map();
        let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
        if std::fs::read_to_string(&path).map_err(failed)?.contains(line) {
            return Ok(());
        }
        let map = std::fs::OpenOptions::new().append(true).open(&path);
        map.and_then(|mut map| map.write_all(line.as_bytes())).map_err(failed)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).unwrap_or_default();
        if let Ok(pidfd) = self.pidfd.try_clone() {
            let _ = children::Child { pid, pidfd }.end(End::Politely);
        }
        let _ = self.child.wait();
    }
}

fn configuration(base: &Path, daemon: &Daemon) -> String {
    let at = |name: &str| base.join(name);
    let run = daemon.auth.parent().unwrap_or(Path::new("/"));
    let mut text = format!(
        "# Written anew at each start of mta --demo.\n\
         hostname = \"{HOST}\"\nlocal_domains = [\"{DOMAIN}\"]\nspool = {:?}\nrun_dir = {:?}\n\
         [daemon]\nauth = {:?}\npolicy = {:?}\n\
         [[certificate]]\ncertificate = {:?}\nkey = {:?}\n\
         [tls]\nclient_authorities = [{:?}]\n\
         [[route]]\nto = \"local\"\nvia = \"maildir\"\ndirectory = {:?}\n\
         [[route]]\nto = \"*\"\nvia = \"refuse\"\ntext = \"this demonstration sends nothing to other servers\"\n",
        at("spool"),
        at("run"),
        daemon.auth,
        run.join("policy"),
        at("tls").join(format!("{HOST}.pem")),
        at("tls").join(format!("{HOST}.key")),
        at("tls/ca.pem"),
        at("mail"),
    );
    for role in [Role::Submission, Role::Submissions, Role::Relay] {
        let port = 10_000 + role.port();
        text += &format!(
            "[[listener]]\nrole = \"{}\"\naddresses = [\"127.0.0.1:{port}\"]\n",
            role.word()
        );
    }
    text
}

fn welcome(base: &Path, daemon: &Daemon, places: &[(Role, SocketAddr)]) -> String {
    let place = |role: Role| {
        let found = places.iter().find(|(of, _)| *of == role).map(|(_, place)| place.to_string());
        found.unwrap_or_default()
    };
    let (submission, submissions) = (place(Role::Submission), place(Role::Submissions));
    let password = &daemon.password;
    let plain = BASE64_STANDARD.encode(format!("\0{USER}\0{password}"));
    let (mail, ca) = (base.join("mail"), quoted(&base.join("tls/ca.pem")));
    let address = format!("{USER}@{DOMAIN}");
    format!(
        "\nServing on\n    {submission} (submission, STARTTLS)\n    {submissions} (submissions, TLS at once)\n    \
         {} (relay)\nTest account: {USER}\n    password: {password}\n\n\
         Send a message from another terminal, by swaks:\n\n    \
         swaks --server {submission} --tls --auth PLAIN --auth-user {USER} --auth-password '{password}' \
         --from {address} --to {address}\n\n\
         or by openssl alone:\n\n    \
         for line in 'EHLO me.example' 'AUTH PLAIN {plain}' 'MAIL FROM:<{address}>' 'RCPT TO:<{address}>' DATA \
         'Subject: hello\\n\\nIt works.\\n.' QUIT; do sleep 0.5; printf \"$line\\n\"; done | \
         openssl s_client -quiet -crlf -verify_return_error -CAfile {ca} -servername {HOST} -connect {submissions}\n\n\
         It lands in\n\n    {}\n\n\
         A machine with the certificate {} relays without a password, by this map:\n\n    {}\n\n\
         Ctrl-C ends both.\n\n",
        place(Role::Relay),
        mail.join(&address).join("new").display(),
        base.join(format!("tls/{MACHINE}.pem")).display(),
        daemon.map().display(),
    )
}

/// For a shell, as it is where nothing in it needs quotes.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
