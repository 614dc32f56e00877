//! `--demo`: a login answered with one command, without a configuration and without root.
//!
//! Runs in the parent, in the foreground. Sockets and accounts live in directories of their own, made anew each
//! time. The account is made by `mailauth`, since the parent opens no accounts; its password is random, goes there by a
//! pipe, and is shown once. As root the host's sasldb and shadow accounts are served, too.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sys::dir::Directory;
use sys::identity::{self, AccountFiles, Identity};

use crate::command_line::Options;
use crate::config::Config;
use crate::config::plan::{Foreground, Plan};
use crate::failure::Failure;
use crate::serve::{Start, host};
use crate::supervision::identities::{self, Identities};
use crate::supervision::limiter;
use crate::supervision::process::{Programs, Role, find};
use sys::start::Handed;

const USER: &str = "demo";
/// Mail for it stays at home: an mta that is tried out beside us delivers it.
const DOMAIN: &str = "demo.example";
/// What the map says at first.
const MAP: &str = "# The demo's access map; saslauthd-policy(7). It is read again within a second when it changes.\n";
/// 32 characters that nobody takes for others, and no quote among them.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Five bits each.
const LENGTH: usize = 20;

/// Serves until a signal ends it.
pub fn demo(options: &Options, handed: &Handed) -> Result<(), Failure> {
    let base = base(handed)?;
    make_base(&base)?;
    let plan = plan(&base, options)?;
    if UnixStream::connect(plan.run_dir.join("mux")).is_ok() {
        return Err(Failure::new(format!("a demo is running in {}; end it first", base.display())));
    }
    let programs = Programs::find().map_err(Failure::new)?;
    let identities = Identities::of(&plan, &AccountFiles::default())?;
    make_directories(&plan, &identities)?;
    let password = random_password()?;
    add_account(&plan, identities.of_role(Role::Checker).map(|role| &role.identity), &password)?;
    let welcome = welcome(&plan, &password);
    let replan = {
        let (base, options) = (base.clone(), options.clone());
        move || self::plan(&base, &options)
    };
    let start =
        Start { first: plan, programs, notices: Vec::new(), with_pid_file: true, errors: None };
    start.run(handed, Box::new(replan), |_| {
        std::io::stdout().write_all(welcome.as_bytes()).map_err(Failure::new)
    })
}

/// Where everything is: nobody else may be able to put anything there.
fn base(handed: &Handed) -> Result<PathBuf, Failure> {
    if identity::is_root() {
        return Ok("/run/saslauthd-demo".into());
    }
    let uid = identity::current()?.uid;
    let own = handed.runtime_dir.as_ref().map(PathBuf::from);
    let own = own.filter(|path| path.is_absolute() && Directory::open(path).is_ok());
    Ok(own.map_or_else(
        || PathBuf::from(format!("/tmp/saslauthd-demo-{uid}")),
        |path| path.join("saslauthd-demo"),
    ))
}

fn plan(base: &Path, options: &Options) -> Result<Plan, crate::config::complaint::Report> {
    let there = |path: &str| identity::is_root() && Path::new(path).exists();
    let chain: Vec<&str> =
        [("sqlite", true), ("sasldb", there("/etc/sasldb2")), ("shadow", there("/etc/shadow"))]
            .into_iter()
            .filter_map(|(name, there)| there.then_some(name))
            .collect();
    // Whoever runs the demo states addresses and certificates of clients.
    let uid = identity::current().map_or(0, |identity| identity.uid);
    let text = format!(
        "run_dir = {:?}\nrun_dir_mode = {:?}\nstate_dir = {:?}\nchain = {chain:?}\n\
         [[socket]]\nprotocol = \"mux\"\n[[socket]]\nprotocol = \"pwcheck\"\n\
         [[socket]]\nprotocol = \"auth\"\naddress_uids = [{uid}]\ncertificate_uids = [{uid}]\n\
         [[socket]]\nprotocol = \"policy\"\n\
         [access]\nmap = {:?}\nlocal_domains = [\"{DOMAIN}\", \"mail.{DOMAIN}\"]\n",
        base.join("run"),
        if identity::is_root() { "0711" } else { "0700" },
        base.join("state"),
        base.join("access"),
    );
    let mut config = Config::parse("the demo's configuration", &text)?;
    options.apply(&mut config);
    config.plan(&host(Foreground::Yes))
}

/// The directory of everything, and an empty access map unless there is one.
fn make_base(base: &Path) -> Result<(), Failure> {
    // The checker has to pass through, as another user when we are root.
    let mode = if identity::is_root() { 0o711 } else { 0o700 };
    let directory = Directory::open_or_create(base, mode, None)?;
    if !base.join("access").exists() {
        directory.write_durably("access", MAP.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// New ones each time: the last demo's account has a password that nobody knows any more.
fn make_directories(plan: &Plan, identities: &Identities) -> Result<(), Failure> {
    match std::fs::remove_dir_all(&plan.state_dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            let path = plan.state_dir.display();
            return Err(Failure::new(format!("cannot remove the last demo's {path}: {e}")));
        }
        _ => {}
    }
    limiter::prepare(&plan.state_dir)?;
    identities::prepare_accounts(plan, identities)?;
    Ok(())
}

fn random_password() -> Result<String, Failure> {
    let mut bytes = [0; LENGTH];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|e| Failure::new(format!("cannot read /dev/urandom: {e}")))?;
    let letter = |byte: u8| LETTERS.get(usize::from(byte % 32)).copied().map(char::from);
    Ok(bytes.into_iter().filter_map(letter).collect())
}

/// As the checker's user, so that the files are the checker's.
fn add_account(plan: &Plan, who: Option<&Identity>, password: &str) -> Result<(), Failure> {
    let program = find(&directory(), "mailauth").map_err(Failure::new)?;
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(format!("{} could not make the account: {why}", program.display()))
    };
    let mut command = Command::new(&program);
    command
        .args(["user", "add", "--database"])
        .arg(plan.state_dir.join("accounts/accounts.sqlite"))
        .args([USER, "--password-fd", "0"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(who) = who {
        // Leaving root for another uid makes std drop the supplementary groups, too.
        command.uid(who.uid).gid(who.gid);
    }
    let mut child = command.spawn().map_err(|e| failed(&e))?;
    let written = child.stdin.take().map_or(Ok(()), |mut pipe| writeln!(pipe, "{password}"));
    let output = child.wait_with_output().map_err(|e| failed(&e))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match written {
        _ if !output.status.success() => {
            Err(failed(&format!("{} ({})", said.trim(), output.status)))
        }
        Err(e) => Err(failed(&e)),
        Ok(()) => Ok(()),
    }
}

/// Where our own executable is.
fn directory() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().unwrap_or(Path::new("/")).to_owned()
}

fn welcome(plan: &Plan, password: &str) -> String {
    let sockets: String =
        plan.listener.sockets.iter().map(|socket| format!("    {}\n", socket.path)).collect();
    let mux = plan.run_dir.join("mux");
    let backends: Vec<&str> =
        plan.checker.backends.iter().map(|backend| backend.name.as_str()).collect();
    format!(
        "\nServing {} accounts on\n{sockets}\
         Test account: {USER}\n    password: {password}\n\n\
         Log in from another terminal:\n\n    {} -u {USER} -p '{password}' -f {}\n\n\
         Ctrl-C ends the demo.\n\n",
        backends.join(", "),
        quoted(&tester()),
        quoted(&mux.display().to_string()),
    )
}

/// For a shell, as it is where nothing in it needs quotes.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Our testsaslauthd if it is beside us, as short as it can be pasted here; otherwise the host's.
fn tester() -> String {
    let Ok(program) = find(&directory(), "testsaslauthd") else { return "testsaslauthd".into() };
    let here = std::env::current_dir().unwrap_or_default();
    program.strip_prefix(&here).unwrap_or(&program).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_differ() {
        let (one, two) = (random_password().unwrap(), random_password().unwrap());
        assert_eq!(one.len(), LENGTH);
        assert_ne!(one, two);
        assert!(one.bytes().all(|byte| LETTERS.contains(&byte)));
    }

    #[test]
    fn the_demos_configuration_is_sound_and_its_login_can_be_pasted() {
        let directory = tempfile::Builder::new().prefix("a b").tempdir().unwrap();
        make_base(directory.path()).unwrap();
        let plan = plan(directory.path(), &Options::default()).unwrap();
        assert_eq!(plan.sockets.len(), 4);
        assert_eq!(plan.checker.backends.first().unwrap().name, "sqlite");
        let text = welcome(&plan, "secret");
        let mux = directory.path().join("run/mux");
        assert!(text.contains(&format!("-u demo -p 'secret' -f '{}'\n", mux.display())), "{text}");
        assert_eq!(quoted("/a'b"), "'/a'\\''b'");
    }
}
