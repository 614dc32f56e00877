//! The parent with both children, from outside: start, reload, a child that is killed, a second one, and the end.
//!
//! Waits by reading what it logs. There is no daemon here; that is no reason not to serve.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

/// A running one in a directory of its own.
struct House {
    directory: tempfile::TempDir,
    mta: Child,
    log: BufReader<ChildStderr>,
}

impl House {
    fn start() -> Self {
        let directory = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["mail.test".to_owned()]).unwrap();
        std::fs::write(directory.path().join("c.pem"), made.cert.pem()).unwrap();
        let key = directory.path().join("c.key");
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        configure(directory.path(), "");
        let mut mta = command(directory.path()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(mta.stderr.take().unwrap());
        Self { directory, mta, log }
    }

    /// The next line of the log that has this in it.
    fn line(&mut self, part: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "no {part:?} in\n{seen}");
            if line.contains(part) {
                return line;
            }
            seen += &line;
        }
    }

    fn signal(&self, name: &str) {
        kill(name, &self.mta.id().to_string());
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.mta.kill();
        let _ = self.mta.wait();
    }
}

fn kill(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mta"));
    command.arg("--foreground").arg("--config").arg(directory.join("mta.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn configure(directory: &Path, more: &str) {
    let place = directory.display();
    let text = format!(
        "{more}hostname = \"mail.test\"\nspool = \"{place}/spool\"\nrun_dir = \"{place}/run\"\n\
         [daemon]\nauth = \"{place}/auth\"\npolicy = \"{place}/policy\"\n\
         [[listener]]\nrole = \"submission\"\naddresses = [\"127.0.0.1:0\"]\n\
         [[certificate]]\ncertificate = \"{place}/c.pem\"\nkey = \"{place}/c.key\"\n"
    );
    std::fs::write(directory.join("mta.toml"), text).unwrap();
}

/// Between the brackets after a child's name.
fn pid(line: &str) -> String {
    let (_, rest) = line.rsplit_once("mta-receiver[").unwrap();
    rest.split(']').next().unwrap().to_owned()
}

fn place(line: &str) -> SocketAddr {
    let (_, rest) = line.split_once("listening on ").unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

fn greets(place: SocketAddr) -> bool {
    let mut client = TcpStream::connect(place).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut code = [0; 4];
    client.read_exact(&mut code).is_ok() && &code == b"220 "
}

#[test]
fn a_house_stands_whatever_becomes_of_a_child_or_of_its_configuration() {
    let mut house = House::start();
    let receiver = pid(&house.line("mta-receiver["));
    let place = place(&house.line("listening on"));
    house.line("serving");
    assert!(greets(place));

    kill("-KILL", &receiver);
    house.line("starting it again at once");
    assert_ne!(pid(&house.line("mta-receiver[")), receiver);
    assert!(greets(place), "the socket stayed");

    configure(house.directory.path(), "nonsense = 1\n");
    house.signal("-HUP");
    house.line("unknown key `nonsense`");
    assert!(greets(place));
    configure(house.directory.path(), "");
    let key = house.directory.path().join("c.key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    house.signal("-HUP");
    house.line("chmod o-rwx it");
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    house.signal("-HUP");
    house.line("serving by the new configuration");
    assert!(greets(place));

    let second = command(house.directory.path()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(second.code(), Some(75), "only one at a time");

    house.signal("-TERM");
    assert!(house.mta.wait().unwrap().success());
    assert!(!house.directory.path().join("run/mta.pid").exists());
    assert!(!house.directory.path().join("run/control").exists());
}
