//! Mail that somebody sent who logged in is handed to Dovecot and to Cyrus IMAP by LMTP, and the same account reads it.
//!
//! The servers' logins end at the house's daemon too: its sockets are mounted into their worlds.

use std::fs;
use std::net::SocketAddr;

use harness::PATIENCE;
use harness::mta::{DOMAIN, House, LOGIN, PASSWORD, Place, Plan, ready, transact};

use crate::peers::dialogue::Dialogue;
use crate::peers::namespace::Namespace;
use crate::peers::tls::SERVER;
use crate::peers::{Result, bridges, cyrus, perdition};
use crate::peers_in::there;
use crate::tunnel::Tunnel;

/// Where LMTP is spoken in the servers' worlds, and where that is on the host.
const LMTP: u16 = 24;
const AT: u16 = 2624;
/// Where a server itself listens that Perdition stands before.
const BEHIND: u16 = 1143;
const IMAP: u16 = 143;

/// A second domain, whose mail goes to the same server over TCP.
const OTHER: &str = "second.example";
const BODY: &str = "\n\nhello\n.dot\n.\nlast";
/// The number and group of `mail` in the servers' worlds.
const MAIL: u32 = 8;

const DOVECOT: &str = "\
base_dir = /run/dovecot
state_dir = /run/dovecot
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
log_path = /dev/stderr
mail_location = maildir:~/mail
first_valid_uid = 1
auth_failure_delay = 0
auth_username_chars =
passdb {
  driver = checkpassword
  args = /run/bridges/checkpassword -t 10
}
userdb {
  driver = static
  args = uid=mail gid=mail home=/var/mail/%n
}
protocol lmtp {
  auth_socket_path = /run/saslauthd/userdb
}
service auth {
  extra_groups = sasl
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  inet_listener imap {
    port = 1143
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.2
    port = 24
  }
  unix_listener SOCKET {
    mode = 0666
  }
}
";

const DOVECOTS: [&str; 3] = ["dovecot-core", "dovecot-imapd", "dovecot-lmtpd"];

/// The house, a world that has its sockets, and the way to its port for LMTP.
struct Scene {
    house: House,
    world: Namespace,
    _way: Tunnel,
    place: Place,
}

impl Scene {
    /// `tcp` is said of the route over TCP.
    fn set(packages: &[&str], programs: &[&str], tcp: &str) -> Result<Self> {
        let world = Namespace::start(packages)?;
        world.check_libraries(programs)?;
        let place = Place::take()?;
        let at = SocketAddr::from((place.address(), AT));
        let routes = format!(
            "[[route]]\nto = \"{DOMAIN}\"\nvia = \"lmtp\"\nsocket = \"/run/lmtp/socket\"\n\
             [[route]]\nto = \"{OTHER}\"\nvia = \"lmtp\"\nhost = \"{}\"\nport = {AT}\n{tcp}",
            at.ip()
        );
        let users = format!(
            "[[socket]]\nprotocol = \"userdb\"\nuserdb_uid = {MAIL}\nuserdb_gid = {MAIL}\nuserdb_home = \"/var/mail/%n\"\n"
        );
        let plan = Plan::new().named(harness::mta::HOST, &[DOMAIN, OTHER]).local_mail(&routes);
        let secret = format!("umask 077; echo '{PASSWORD}' >/etc/mta/secret");
        let plan = plan
            .daemon(&users)
            .sections("[delivery]\nretry = [\"200ms\"]\n")
            .before("mkdir /run/lmtp")
            .before(&secret);
        let house = plan.start()?;
        let run = house.sandbox().path().join("run/saslauthd");
        world.shell(&format!("mount --bind {} /run/saslauthd", run.display()))?;
        let way = Tunnel::into_world(&world, at, (SERVER, LMTP))?;
        Ok(Self { house, world, _way: way, place })
    }

    /// The socket for LMTP, by a name that the host and the world have in common.
    fn socket(&self) -> String {
        self.house.sandbox().path().join("run/lmtp/socket").display().to_string()
    }

    /// Somebody logs in on port 587 and sends.
    fn submit(&self, to: &[&str], subject: &str) {
        let mut client = self.house.login(self.house.submission()).unwrap();
        let text = format!("Subject: {subject}{BODY}").replace('\n', "\r\n");
        let from = format!("{LOGIN}@{DOMAIN}");
        let replies = transact(&mut client, &from, to, &text).unwrap();
        assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
    }

    /// Waits until the log says that the server took a message by its Unix socket.
    #[track_caller]
    fn delivered(&self) {
        self.sent("relay=/run/lmtp/socket,");
    }

    #[track_caller]
    fn delivered_over_tcp(&self) {
        self.sent(&format!("relay=[{}]", self.place.address()));
    }

    #[track_caller]
    fn sent(&self, relay: &str) {
        let line = ["mailer=lmtp", relay, "dsn=2.", "stat=Sent"];
        assert!(self.house.logged(&line), "{}", self.house.log());
    }

    /// Reads the INBOX by IMAP until it has so many messages; each with its header.
    #[track_caller]
    fn read(&self, port: u16, login: &str, count: usize) -> Vec<String> {
        let mut mail = Vec::new();
        harness::wait_until(|| {
            mail = inbox(&self.world, port, login).unwrap();
            mail.len() >= count
        });
        assert_eq!(mail.len(), count, "{mail:?} {}", self.house.log());
        mail
    }
}

/// All messages of an INBOX, lines ended by LF.
fn inbox(world: &Namespace, port: u16, login: &str) -> std::io::Result<Vec<String>> {
    let mut dialogue = Dialogue::open(world, port)?;
    dialogue.patience(PATIENCE);
    dialogue.hear()?;
    let mut lines = Vec::new();
    for (tag, command) in [
        ("a", format!("LOGIN \"{login}\" \"{PASSWORD}\"")),
        ("b", "SELECT INBOX".to_owned()),
        ("c", "FETCH 1:* BODY.PEEK[]".to_owned()),
    ] {
        dialogue.say(&format!("{tag} {command}"))?;
        loop {
            let line = dialogue.hear()?;
            if line.starts_with(&format!("{tag} ")) {
                // An empty one has nothing to fetch, which some call an error.
                let good = tag == "c" || line.starts_with(&format!("{tag} OK"));
                assert!(good, "{command}: {line}");
                break;
            }
            if tag == "c" {
                lines.push(line);
            }
        }
    }
    let _ = dialogue.say("d LOGOUT");
    let text = lines.join("\n");
    let literal = |piece: &str| piece.split_once("}\n").map(|(_, text)| text.to_owned());
    Ok(text.split("FETCH (").skip(1).filter_map(literal).collect())
}

/// It is what was sent, by whom it was sent.
#[track_caller]
fn check(text: &str, subject: &str) {
    let by = format!("by {} ", harness::mta::HOST);
    for part in [
        format!("Subject: {subject}\n"),
        BODY.to_owned(),
        format!("Return-Path: <{LOGIN}@{DOMAIN}>"),
        "Received: from client.example".to_owned(),
        "(authenticated bits=0)".to_owned(),
        by,
        "with ESMTPSA id ".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
}

fn of<'a>(mail: &'a [String], subject: &str) -> &'a str {
    let line = format!("Subject: {subject}");
    // A report has the header of what it is about in its text.
    let head =
        |text: &&String| text.lines().take_while(|line| !line.is_empty()).any(|it| it == line);
    let found = mail.iter().find(head);
    found.unwrap_or_else(|| panic!("no {subject}: {mail:?}"))
}

#[test]
fn dovecot_takes_it_and_its_sender_reads_it_also_through_perdition() {
    if !ready() {
        return;
    }
    let perdition =
        ["perdition", "libvanessa-adt1", "libvanessa-logger0", "libvanessa-socket2", "libpopt0"];
    let packages: Vec<&str> = DOVECOTS.into_iter().chain(perdition).collect();
    let programs = ["/usr/sbin/dovecot", "/usr/lib/dovecot/lmtp", "/usr/sbin/perdition"];
    let Some(scene) = there(Scene::set(&packages, &programs, "")) else { return };
    there(begin_dovecot(&scene));
    there(perdition::begin(&scene.world));
    let (here, nobody) = (format!("{LOGIN}@{DOMAIN}"), format!("nobody-here@{DOMAIN}"));
    scene.submit(&[&here, &nobody], "by the socket");
    scene.submit(&[&format!("{LOGIN}@{OTHER}")], "over TCP");
    // The third is the report of the one who is not there.
    for port in [BEHIND, IMAP] {
        let mail = scene.read(port, LOGIN, 3);
        check(of(&mail, "by the socket"), "by the socket");
        check(of(&mail, "over TCP"), "over TCP");
        let report = mail.iter().find(|text| text.contains("Action: failed"));
        let report = report.unwrap_or_else(|| panic!("no report: {mail:?}"));
        assert!(report.contains(&nobody) && report.contains("Status: 5.1.1"), "{report}");
    }
    scene.delivered();
    scene.delivered_over_tcp();
}

/// Nothing of it asks while the daemon is away, so that what it says then is told to the mta.
#[test]
fn while_nobody_knows_the_users_dovecots_mail_waits() {
    if !ready() {
        return;
    }
    let programs = ["/usr/sbin/dovecot", "/usr/lib/dovecot/lmtp"];
    let Some(mut scene) = there(Scene::set(&DOVECOTS, &programs, "")) else { return };
    scene.submit(&[&format!("{LOGIN}@{DOMAIN}")], "late");
    let waits = ["stat=Deferred: 451 4.4.1 /run/lmtp/socket: "];
    assert!(scene.house.logged(&waits), "{}", scene.house.log());
    scene.house.stop_daemon();
    there(begin_dovecot(&scene));
    let waits = ["relay=/run/lmtp/socket, dsn=4.3.0, stat=Deferred: 451 4.3.0 "];
    assert!(scene.house.logged(&waits), "{}", scene.house.log());
    scene.house.start_daemon().unwrap();
    scene.delivered();
    check(&scene.read(BEHIND, LOGIN, 1)[0], "late");
}

fn begin_dovecot(scene: &Scene) -> Result<()> {
    let world = &scene.world;
    bridges::install(world)?;
    world.write("/etc/dovecot.conf", &DOVECOT.replace("SOCKET", &scene.socket()))?;
    world.directory("/var/mail", MAIL)?;
    world.spawn("dovecot", "dovecot", &["-F", "-c", "/etc/dovecot.conf"])?;
    world.await_port_of(SERVER, LMTP, "dovecot")?;
    world.await_port(BEHIND, "dovecot")
}

#[test]
fn cyrus_takes_it_and_its_sender_reads_it() {
    if !ready() {
        return;
    }
    let packages = ["cyrus-common", "cyrus-imapd", "cyrus-pop3d"];
    let programs = ["/usr/lib/cyrus/bin/lmtpd", "/usr/lib/cyrus/bin/imapd"];
    let login =
        format!("tls = \"starttls\"\nuser = \"{LOGIN}\"\npassword_file = \"/etc/mta/secret\"\n");
    let Some(scene) = there(Scene::set(&packages, &programs, &login)) else { return };
    let services = format!(
        "lmtp cmd=\"lmtpd\" listen=\"{SERVER}:{LMTP}\" prefork=0\n  \
         lmtpunix cmd=\"lmtpd\" listen=\"{}\" prefork=0\n",
        scene.socket()
    );
    let settings = format!(
        "defaultdomain: {DOMAIN}\nautocreate_quota: 0\nautocreate_post: yes\nlmtp_admins: {LOGIN}\n\
         tls_server_cert: /etc/tls/cert.pem\ntls_server_key: /etc/tls/key.pem\n"
    );
    let address = scene.place.address().to_string();
    scene.house.cert(&["issue", "--server", &address]).unwrap();
    for (ending, file) in [("pem", "cert"), ("key", "key")] {
        let path = scene.house.tls().join(format!("{address}.{ending}"));
        let text = fs::read_to_string(path).unwrap();
        scene.world.write(&format!("/etc/tls/{file}.pem"), &text).unwrap();
    }
    scene.world.shell("chown cyrus /etc/tls/*; chmod 600 /etc/tls/key.pem").unwrap();
    there(cyrus::begin(&scene.world, &settings, &services));
    there(scene.world.await_port_of(SERVER, LMTP, "cyrus"));
    // A first login and a first delivery that met would both make the mailbox, and the delivery would have to wait.
    let (here, there) = (format!("{LOGIN}@{DOMAIN}"), format!("{LOGIN}@{OTHER}"));
    scene.submit(&[&here], "by the socket");
    scene.delivered();
    check(&scene.read(IMAP, LOGIN, 1)[0], "by the socket");
    scene.submit(&[&there], "over TCP");
    scene.delivered_over_tcp();
    check(&scene.read(IMAP, &there, 1)[0], "over TCP");
    // Cyrus takes mail over TCP only from whom it knows, and asks the daemon who that is.
    let relay = format!("relay=[{address}],");
    assert!(scene.house.logged(&["STARTTLS=client", &relay, "verify=OK"]), "{}", scene.house.log());
}
