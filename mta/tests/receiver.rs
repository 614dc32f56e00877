//! The receiver as a process of its own, confined as it ships: this test is its parent and its daemon. What its sandbox
//! forbids and its work needs would end it here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use mta::control::{FromChild, Kept, Listening, MAX_MESSAGE, Material, Reached, Socket, ToChild};
use protocol::policy::{self, Attribute};
use sys::channel::{Kind, pair, receive_plain, send_with_fds};

const CONFIG: &str = "
hostname = \"mta.test\"
local_domains = [\"local.test\"]
spool = \"SPOOL\"
[[listener]]
role = \"submission\"
addresses = [\"127.0.0.1:1\"]
[[listener]]
role = \"relay\"
addresses = [\"127.0.0.1:2\"]
[daemon]
mux = \"/nowhere\"
[[certificate]]
certificate = \"/c.pem\"
key = \"/c.key\"
[[route]]
to = \"local\"
via = \"maildir\"
directory = \"/mail\"
";

/// The process and our end of its channel.
struct Receiver {
    process: Child,
    channel: OwnedFd,
    said: mpsc::Receiver<FromChild>,
    spool: tempfile::TempDir,
    authority: rustls::pki_types::CertificateDer<'static>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Receiver {
    fn start() -> Self {
        let spool = tempfile::tempdir().unwrap();
        std::fs::create_dir(spool.path().join("incoming")).unwrap();
        let (ours, theirs) = pair(Kind::Packets).unwrap();
        // It expects its channel at 3.
        let process = Command::new("/bin/sh")
            .args(["-c", "exec \"$0\" 3<&0 </dev/null", env!("CARGO_BIN_EXE_mta-receiver")])
            .stdin(Stdio::from(theirs))
            .spawn()
            .unwrap();
        let (telling, said) = mpsc::channel();
        let heard = ours.try_clone().unwrap();
        std::thread::spawn(move || hear(&heard, &telling));
        let (authority, files) = certificates();
        let config = CONFIG.replace("SPOOL", spool.path().to_str().unwrap());
        let receiver = Self { process, channel: ours, said, spool, authority };
        receiver.load(&Material { config, files });
        receiver
    }

    fn load(&self, material: &Material) {
        let bytes = postcard::to_allocvec(material).unwrap();
        let sealed = sys::sealed::seal(&bytes).unwrap();
        self.tell(&ToChild::Load { length: bytes.len() as u64 }, &[sealed.as_fd()]);
    }

    fn tell(&self, message: &ToChild, descriptors: &[BorrowedFd<'_>]) {
        tell(&self.channel, message, descriptors);
    }

    /// What it says next that isn't for the log.
    fn says(&self) -> FromChild {
        loop {
            match self.said.recv_timeout(Duration::from_secs(20)).expect("it lives and speaks") {
                FromChild::Log { text, .. } => println!("{text}"),
                other => return other,
            }
        }
    }
}

fn tell(channel: &OwnedFd, message: &ToChild, descriptors: &[BorrowedFd<'_>]) {
    send_with_fds(channel, &postcard::to_allocvec(message).unwrap(), descriptors).unwrap();
}

/// Brings the daemon to it, and passes the rest on.
fn hear(channel: &OwnedFd, telling: &mpsc::Sender<FromChild>) {
    let mut buffer = vec![0; MAX_MESSAGE];
    while let Ok(length @ 1..) = receive_plain(channel, &mut buffer) {
        match postcard::from_bytes(&buffer[..length]).unwrap() {
            FromChild::Connect { number, socket } => {
                let (theirs, ours) = UnixStream::pair().unwrap();
                match socket {
                    Socket::Policy => drop(std::thread::spawn(move || answer_policy(ours))),
                    Socket::Logins => drop(std::thread::spawn(move || answer_login(ours))),
                }
                let message = ToChild::Connection { number, reached: Reached::Yes };
                tell(channel, &message, &[theirs.as_fd()]);
            }
            other => {
                let _ = telling.send(other);
            }
        }
    }
}

fn answer_policy(mut stream: UnixStream) {
    let mut received = Vec::new();
    let mut chunk = [0; 65_536];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        received.extend_from_slice(&chunk[..length]);
        while let Ok(Some((request, used))) = policy::decode(&received, 0) {
            received.drain(..used);
            let rcpt = request.value(Attribute::ProtocolState) == "RCPT";
            let known = request.value(Attribute::SaslUsername) == "joe";
            stream
                .write_all(match (request.value(Attribute::Ruleset), rcpt, known) {
                    ("srv_features", ..) => &b"action=DUNNO\nvalue=\n\n"[..],
                    (_, true, true) => b"action=OK\n\n",
                    (_, true, false) => b"action=550 5.7.1 Relaying denied\n\n",
                    _ => b"action=DUNNO\n\n",
                })
                .unwrap();
        }
    }
}

/// Whoever asks is right.
fn answer_login(mut stream: UnixStream) {
    let mut chunk = [0; 4096];
    let _ = stream.read(&mut chunk);
    let _ = stream.write_all(protocol::mux::OK);
}

fn certificates() -> (
    rustls::pki_types::CertificateDer<'static>,
    std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>,
) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "authority.test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["mta.test".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let files = [("/c.pem", leaf.pem()), ("/c.key", key.serialize_pem())];
    let files = files.map(|(path, text)| (path.into(), text.into_bytes()));
    (authority.der().clone(), files.into_iter().collect())
}

/// Says a line and waits for the last line of its reply.
fn say<S: Read + Write>(stream: &mut BufReader<S>, line: &str) -> String {
    stream.get_mut().write_all(line.as_bytes()).unwrap();
    stream.get_mut().flush().unwrap();
    let mut reply = String::new();
    loop {
        reply.clear();
        stream.read_line(&mut reply).unwrap();
        if reply.as_bytes().get(3) != Some(&b'-') {
            return reply;
        }
    }
}

#[test]
fn it_works_in_its_sandbox_and_ends_when_told() {
    let mut receiver = Receiver::start();
    let FromChild::Ready { confinement, missing } = receiver.says() else { panic!("not ready") };
    println!("{confinement}; {missing:?}");
    assert!(confinement.contains("seccomp receiver"), "{confinement}");
    assert_eq!(receiver.says(), FromChild::Loaded(Ok(())));
    let sockets = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let listening = [0, 1].map(|index| Listening { index });
    let descriptors = [sockets[0].as_fd(), sockets[1].as_fd()];
    receiver.tell(&ToChild::Listen(listening.to_vec()), &descriptors);
    receiver.tell(&ToChild::Queue(Kept { messages: 1 }), &[]);

    for size in [10, 3_000_000] {
        send(&receiver, sockets[0].local_addr().unwrap(), size);
    }
    let kept = std::fs::read_dir(receiver.spool.path().join("incoming")).unwrap().count();
    assert_eq!(kept, 2);

    receiver.load(&Material { config: "what = 1".into(), ..Material::default() });
    let FromChild::Loaded(Err(why)) = receiver.says() else { panic!("it took nonsense") };
    assert!(why.contains("what"), "{why}");
    let mut idle = BufReader::new(TcpStream::connect(sockets[1].local_addr().unwrap()).unwrap());
    assert!(say(&mut idle, "").starts_with("220 "));
    receiver.tell(&ToChild::Stop, &[]);
    assert!(say(&mut idle, "").starts_with("421 "));
    assert!(receiver.process.wait().unwrap().success());
}

fn send(receiver: &Receiver, address: std::net::SocketAddr, size: usize) {
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    assert!(say(&mut stream, "").starts_with("220 "));
    assert!(say(&mut stream, "EHLO x\r\n").starts_with("250 "));
    assert!(say(&mut stream, "STARTTLS\r\n").starts_with("220 "));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(receiver.authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "mta.test".try_into().unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let tls = rustls::StreamOwned::new(connection, stream.into_inner());
    let mut stream = BufReader::new(tls);
    for (line, code) in [
        ("EHLO x\r\n", "250 "),
        // joe, and a password.
        ("AUTH PLAIN AGpvZQB4\r\n", "235 "),
        ("MAIL FROM:<joe@local.test>\r\n", "250 "),
        ("RCPT TO:<a@elsewhere.test>\r\n", "250 "),
        ("DATA\r\n", "354 "),
        (&format!("A: b\r\n\r\n{}.\r\n", "0123456789\r\n".repeat(size / 12)), "250 2.0.0 "),
        ("QUIT\r\n", "221 "),
    ] {
        let reply = say(&mut stream, line);
        assert!(reply.starts_with(code), "{reply}");
    }
}
