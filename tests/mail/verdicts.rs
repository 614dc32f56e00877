//! I8: certificates of next hops, and what comes of them: without a policy, where the access map wants a certificate that
//! verifies (TLS_Srv: VERIFY, as sendmail's: any name does), and where the settings want one of the server's name.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use harness::mta::names::Names;
use harness::mta::sink::{Manner, Sink};
use harness::mta::tls::{self, Identity};
use harness::mta::{House, Place, Plan, ready, transact};

use crate::mint::{Mint, expired, server};

/// How much is wanted, by the first label of a host.
const WANTED: [&str; 3] = ["any", "verified", "named"];

/// A host, which of [`WANTED`] it is good enough for, and its port.
struct Case {
    name: &'static str,
    delivered: [bool; 3],
    port: u16,
}

/// A server that knows nothing newer than TLS 1.1: SMTP in the clear here, and the handshake by openssl.
struct Old {
    openssl: Child,
    port: u16,
}

impl Old {
    fn listen(address: IpAddr, version: &str, mint: &Mint) -> Self {
        let mut openssl = Command::new("openssl")
            .args(["s_server", "-accept", &format!("{address}:0"), "-quiet", version])
            .args(["-cipher", "ALL:@SECLEVEL=0"])
            .arg("-cert")
            .arg(mint.path("leaf.pem"))
            .arg("-key")
            .arg(mint.path("leaf.key"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        drop(openssl.stdout.take());
        let pid = openssl.id();
        let mut port = None;
        assert!(harness::wait_until(|| {
            port = listens(pid);
            port.is_some()
        }));
        let listener = TcpListener::bind((address, 0)).unwrap();
        let old = Self { openssl, port: listener.local_addr().unwrap().port() };
        let inside = port.unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = greet(&stream).and_then(|goes_on| {
                    if goes_on {
                        carry(stream, TcpStream::connect((address, inside))?)
                    } else {
                        Ok(())
                    }
                });
            }
        });
        old
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        let _ = self.openssl.kill();
        let _ = self.openssl.wait();
    }
}

/// The port that a process listens on.
fn listens(pid: u32) -> Option<u16> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let sockets: Vec<String> = links
        .filter_map(|link| fs::read_link(link.path()).ok()?.to_str().map(str::to_owned))
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listening = fields.get(3) == Some(&"0A");
        let own = fields.get(9).is_some_and(|inode| sockets.iter().any(|it| it == inode));
        let (_, port) = fields.get(1)?.split_once(':')?;
        (listening && own).then(|| u16::from_str_radix(port, 16).ok())?
    })
}

/// Up to STARTTLS; false when that was not said.
fn greet(stream: &TcpStream) -> std::io::Result<bool> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut out = stream;
    out.write_all(b"220 old.test ESMTP\r\n")?;
    while let Some(line) = lines.next().transpose()? {
        match line.get(..4) {
            Some("EHLO") => out.write_all(b"250-old.test\r\n250 STARTTLS\r\n")?,
            Some("STAR") => return out.write_all(b"220 go\r\n").map(|()| true),
            Some("QUIT") => return out.write_all(b"221 bye\r\n").map(|()| false),
            _ => out.write_all(b"530 5.7.0 STARTTLS first\r\n")?,
        }
    }
    Ok(false)
}

fn carry(mut near: TcpStream, mut far: TcpStream) -> std::io::Result<()> {
    let (mut near_too, mut far_too) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut near, &mut far);
        let _ = far.shutdown(std::net::Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = std::io::copy(&mut far_too, &mut near_too);
        let _ = near_too.shutdown(std::net::Shutdown::Both);
    });
    Ok(())
}

/// A certificate signed with SHA-1, which only openssl still makes.
fn weak(mint: &Mint, names: &[String]) -> Identity {
    let script = "openssl req -newkey rsa:2048 -nodes -keyout weak.key -subj /CN=weak -out weak.csr
        printf 'subjectAltName=%s\n' \"$1\" > weak.ext
        openssl x509 -req -sha1 -in weak.csr -CA root.pem -CAkey root.key -set_serial 7 -days 30 -extfile weak.ext -out weak.pem";
    let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    let directory = mint.path("");
    let made = Command::new("sh")
        .args(["-ec", script, "sh", &names.join(",")])
        .current_dir(&directory)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    Identity::named(&directory, "weak").unwrap()
}

fn hosts(case: &str) -> Vec<String> {
    WANTED.map(|wanted| format!("{wanted}.{case}.test")).to_vec()
}

/// Certificates with their names, and how far each goes.
fn certificates(mint: &Mint, address: IpAddr) -> Vec<(&'static str, Identity, [bool; 3])> {
    let root = mint.authority("root", None);
    fs::write(mint.path("root.key"), root.key().serialize_pem()).unwrap();
    let other = mint.authority("other", None);
    let issue = |names: &[String]| mint.issue(&server(names), &root, &[]);
    let name = |text: &str| vec![text.to_owned()];
    vec![
        ("right", issue(&hosts("right")), [true; 3]),
        ("wildcard", issue(&name("*.wildcard.test")), [true; 3]),
        ("wrong-name", issue(&name("mx.other.test")), [true, true, false]),
        ("address", issue(&name(&address.to_string())), [true, true, false]),
        ("higher", issue(&name("*.test")), [true, true, false]),
        ("lower", issue(&name("*.any.lower.test")), [true, true, false]),
        ("all", issue(&name("*")), [true, true, false]),
        ("nul", issue(&name("named.nul.test\0.evil.test")), [true, true, false]),
        (
            "expired",
            mint.issue(&expired(server(&hosts("expired"))), &root, &[]),
            [true, false, false],
        ),
        ("stranger", mint.issue(&server(&hosts("stranger")), &other, &[]), [true, false, false]),
        ("weak", weak(mint, &hosts("weak")), [true, false, false]),
    ]
}

/// A house that believes the mint's authority, whose domains lead to the cases' ports.
fn house(place: Place, names: &Names, mint: &Mint, cases: &[Case], delivery: &str) -> House {
    let mut sections = format!(
        "[delivery]\nname_servers = [\"{}\"]\nretry = [\"1h\"]\n{delivery}\n",
        names.address()
    );
    for case in cases {
        for wanted in WANTED {
            let host = format!("{wanted}.{}.test", case.name);
            let begin = if wanted == "named" { "starttls" } else { "if-offered" };
            sections += &format!(
                "[[route]]\nto = \"{host}\"\nvia = \"smtp\"\nhost = \"{host}\"\nport = {}\ntls = \"{begin}\"\n",
                case.port
            );
        }
    }
    let verified = |case: &Case| format!("TLS_Srv:verified.{}.test\tVERIFY\n", case.name);
    let map: String = cases.iter().map(verified).collect();
    let plan = Plan::new().map("Connect:127\tRELAY").map(&map).sections(&sections);
    let house = plan.start_at(place).unwrap();
    fs::copy(mint.path("root.pem"), house.tls().join("servers.pem")).unwrap();
    let config = house.config().unwrap();
    let own = "server_authorities = [\"/etc/mta/tls/ca.pem\"]";
    assert!(config.contains(own));
    let believed = own.replace("ca.pem", "servers.pem");
    house.write_config(&config.replace(own, &believed)).unwrap();
    assert!(house.reload().unwrap(), "{}", house.log());
    house
}

/// Sends a message to each, and whether it was sent on: by the log's `stat=`.
fn outcomes(house: &House, cases: &[Case]) -> Vec<(String, [bool; 3])> {
    for case in cases {
        for wanted in WANTED {
            let (mut client, _) = house.visit(house.relay()).unwrap();
            let to = format!("ann@{wanted}.{}.test", case.name);
            let sent =
                transact(&mut client, "joe@example.org", &[&to], "A: b\r\n\r\nx\r\n").unwrap();
            assert_eq!(sent.last().unwrap().code(), 250, "{to}: {sent:?}");
        }
    }
    let outcome = |host: String| {
        let of_it = format!("to=<ann@{host}>");
        assert!(house.logged(&[&of_it, "stat="]), "{host}: {}", house.log());
        house.log().lines().any(|line| line.contains(&of_it) && line.contains("stat=Sent"))
    };
    let all = |case: &Case| WANTED.map(|wanted| outcome(format!("{wanted}.{}.test", case.name)));
    cases.iter().map(|case| (case.name.to_owned(), all(case))).collect()
}

#[test]
fn i8_a_certificate_is_good_enough_for_what_was_asked() {
    if !ready() || !harness::require("openssl", "openssl") {
        return;
    }
    let (place, mint) = (Place::take().unwrap(), Mint::open());
    let zone = format!("*.test A {}", place.address());
    let names = Names::listen(place.address(), &[&zone]).unwrap();
    let (mut cases, mut sinks) = (Vec::new(), Vec::new());
    for (name, identity, delivered) in certificates(&mint, place.address()) {
        let config = tls::server(identity, None, tls::ANY).unwrap();
        let sink = Sink::listen(place.address(), 0, Manner::smtp().starttls(config)).unwrap();
        cases.push(Case { name, delivered, port: sink.port() });
        sinks.push(sink);
    }
    let house = house(place, &names, &mint, &cases, "");
    for ((name, now), case) in outcomes(&house, &cases).iter().zip(&cases) {
        assert_eq!((name.as_str(), now), (case.name, &case.delivered), "{}", house.log());
    }
    for (sink, case) in sinks.iter().zip(&cases) {
        let messages = sink.messages();
        assert_eq!(messages.len(), case.delivered.iter().filter(|it| **it).count());
        assert!(messages.iter().all(|message| message.tls), "{}", case.name);
    }
}

#[test]
fn i8_a_server_of_the_past_gets_nothing_unless_the_clear_is_permitted() {
    if !ready() || !harness::require("openssl", "openssl") {
        return;
    }
    let mint = Mint::open();
    mint.issue(&server(&hosts("old10")), &mint.authority("root", None), &[]);
    for fall_back in ["never", "once"] {
        let place = Place::take().unwrap();
        let zone = format!("*.test A {}", place.address());
        let names = Names::listen(place.address(), &[&zone]).unwrap();
        let olds = ["-tls1", "-tls1_1"].map(|version| Old::listen(place.address(), version, &mint));
        let cases = [("old10", &olds[0]), ("old11", &olds[1])].map(|(name, old)| Case {
            name,
            delivered: [false; 3],
            port: old.port,
        });
        let settings = format!("clear_after_failed_handshake = \"{fall_back}\"");
        let house = house(place, &names, &mint, &cases, &settings);
        for (name, now) in outcomes(&house, &cases) {
            // In the clear this one takes nothing: the point is who is asked to.
            assert_eq!(now, [false; 3], "{name}: {}", house.log());
        }
        let log = house.log();
        for case in &cases {
            for wanted in WANTED {
                let of_it = format!("to=<ann@{wanted}.{}.test>", case.name);
                let line = log.lines().find(|line| line.contains(&of_it) && line.contains("stat="));
                let clear = line.unwrap().contains("530 5.7.0");
                assert_eq!(clear, fall_back == "once" && wanted == "any", "{line:?}\n{log}");
            }
        }
    }
}
