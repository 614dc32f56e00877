//! A listener with everybody whom it speaks to.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ipc::allow::Gate;
use ipc::config::{Auth, Fields, Listener, Protocol, Socket, Userdb};
use ipc::control::{self, FromChild, ToListener};
use ipc::exchange::{Begin, Find, Offer, Reply, Respond};
use ipc::requests::{Incoming, Outgoing, Requests};
use protocol::mechanism::Mechanism;
use protocol::{Answer, Name};
use sys::channel::{self, Kind};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The user that this test runs as.
pub(crate) fn own_uid() -> u32 {
    let (one, _other) = UnixStream::pair().unwrap();
    sys::peer::credentials(&one).unwrap().uid
}

/// A socket that speaks `protocol`, with nothing special.
pub(crate) fn socket(protocol: Protocol) -> Socket {
    Socket {
        path: String::new(),
        protocol,
        uids: None,
        address_uids: Vec::new(),
        auth: Auth::default(),
        userdb: Userdb::default(),
    }
}

/// The process, its sockets and their directory.
pub(crate) struct House {
    child: Child,
    parent: OwnedFd,
    gate: Gate,
    directory: tempfile::TempDir,
    sockets: Vec<(Socket, UnixListener)>,
}

impl House {
    /// Starts it with its channel at descriptor 3, as the parent does, and serves.
    pub(crate) fn start(sockets: Vec<Socket>) -> Self {
        let (parent, theirs) = channel::pair(Kind::Packets).unwrap();
        let program = env!("CARGO_BIN_EXE_saslauthd-listener");
        let child = Command::new("/bin/sh")
            .args(["-c", "exec \"$0\" 3<&0 </dev/null", program])
            .stdin(Stdio::from(theirs))
            .spawn()
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let gate = control::gate::<FromChild>();
        let mut house = Self { child, parent, gate, directory, sockets: Vec::new() };
        let FromChild::Ready(confinement) = house.hear() else { panic!("not ready") };
        assert_eq!(confinement.seccomp, "listener");
        for (place, mut socket) in sockets.into_iter().enumerate() {
            let path = house.directory.path().join(place.to_string());
            socket.path = path.to_str().unwrap().to_owned();
            house.sockets.push((socket, UnixListener::bind(path).unwrap()));
        }
        house.serve(|_| true);
        house
    }

    /// Tells it to serve those of its sockets that `which` wants.
    pub(crate) fn serve(&self, which: impl Fn(&Socket) -> bool) {
        let wanted: Vec<_> = self.sockets.iter().filter(|(socket, _)| which(socket)).collect();
        let config = Listener {
            sockets: wanted.iter().map(|(socket, _)| socket.clone()).collect(),
            fields: Fields { login: 1024, password: 8192, service: 1024, realm: 1024 },
            request_ms: 10_000,
            drain_ms: 200,
            answer_ms: 60_000,
            connections: 0,
        };
        let descriptors: Vec<_> = wanted.iter().map(|(_, listening)| listening.as_fd()).collect();
        let packet = control::encode(&ToListener::Serve(config)).unwrap();
        channel::send_with_fds(&self.parent, &packet, &descriptors).unwrap();
    }

    fn hear(&mut self) -> FromChild {
        let mut packet = vec![0; control::MAX_PACKET];
        let length = channel::receive_plain(&self.parent, &mut packet).unwrap();
        control::decode(&packet[..length], &mut self.gate).unwrap()
    }

    /// A checker that has not said a word yet.
    pub(crate) fn silent_checker(&self) -> Checker {
        let (ours, theirs) = channel::pair(Kind::Stream).unwrap();
        let packet = control::encode(&ToListener::Checker).unwrap();
        channel::send_with_fds(&self.parent, &packet, &[theirs.as_fd()]).unwrap();
        let stream = UnixStream::from(ours);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Checker { stream, received: Vec::new(), requests: Requests::default() }
    }

    /// A checker that offers PLAIN, LOGIN and both sorts of SCRAM-SHA-256 on every socket.
    pub(crate) fn checker(&self) -> Checker {
        let mut checker = self.silent_checker();
        checker.offer(self.sockets.len());
        checker
    }

    /// A client of a socket, with nothing said on either side.
    pub(crate) fn client(&self, place: usize) -> Client {
        let stream = UnixStream::connect(self.path(place)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    pub(crate) fn path(&self, place: usize) -> PathBuf {
        PathBuf::from(&self.sockets[place].0.path)
    }

    /// A client after the handshake of this minor.
    pub(crate) fn introduced(&self, place: usize, minor: u32) -> Client {
        let mut client = self.client(place);
        client.say(&format!("VERSION\t1\t{minor}\nCPID\t7\n"));
        while client.line() != "DONE" {}
        client
    }

    /// Tells it to stop, and whether it ended as it should.
    pub(crate) fn stop(mut self) -> bool {
        let packet = control::encode(&ToListener::Stop).unwrap();
        channel::send(&self.parent, &packet).unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The test's end of a channel.
pub(crate) struct Checker {
    stream: UnixStream,
    received: Vec<u8>,
    requests: Requests,
}

impl Checker {
    pub(crate) fn offer(&mut self, sockets: usize) {
        let tls = [
            Mechanism::Plain,
            Mechanism::Login,
            Mechanism::ScramSha256,
            Mechanism::ScramSha256Plus,
        ];
        let offer = Offer { tls: tls.into_iter().collect(), clear: Default::default() };
        self.reply(&Reply::Offers(vec![offer; sockets]));
    }

    /// The next message of the listener, notes for the log left out. `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Incoming> {
        loop {
            while let Some((message, used)) = self.requests.next(&self.received).unwrap() {
                self.received.drain(..used);
                if !matches!(message, Incoming::Unreadable(_)) {
                    return Some(message);
                }
            }
            let mut chunk = [0; 65_536];
            let length = self.stream.read(&mut chunk).unwrap();
            if length == 0 {
                return None;
            }
            self.received.extend_from_slice(&chunk[..length]);
        }
    }

    pub(crate) fn begin(&mut self) -> Begin {
        match self.next() {
            Some(Incoming::Begin(begin)) => begin,
            _ => panic!("no request"),
        }
    }

    pub(crate) fn respond(&mut self) -> Respond {
        match self.next() {
            Some(Incoming::Respond(respond)) => respond,
            _ => panic!("no response"),
        }
    }

    pub(crate) fn cancel(&mut self) -> u64 {
        match self.next() {
            Some(Incoming::Cancel(id)) => id,
            _ => panic!("nothing was given up"),
        }
    }

    pub(crate) fn find(&mut self) -> Find {
        match self.next() {
            Some(Incoming::Find(find)) => find,
            _ => panic!("no search"),
        }
    }

    pub(crate) fn reply(&mut self, reply: &Reply) {
        let mut outgoing = Outgoing::default();
        outgoing.reply(reply);
        self.stream.write_all(outgoing.as_bytes()).unwrap();
    }

    pub(crate) fn end(&mut self, id: u64, answer: Answer) {
        let user = (answer == Answer::Accept).then(|| Name::new(b"alice").unwrap());
        self.reply(&Reply::Ended {
            id,
            answer,
            user,
            last_words: None,
            senders: protocol::Senders::Own,
        });
    }

    pub(crate) fn challenge(&mut self, id: u64, words: &[u8]) {
        let message = words.to_vec().into();
        self.reply(&Reply::Challenge { id, message, binding: None });
    }
}

/// A client of one socket.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub(crate) fn say(&mut self, text: &str) {
        self.send(text.as_bytes());
    }

    /// Sends bytes; a listener that has hung up already is no error.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }

    /// The next line; `(end)` at the end of the stream, also one with words of ours unread.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(0) => "(end)".to_owned(),
            Ok(_) => String::from_utf8(line).unwrap().trim_end_matches('\n').to_owned(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => "(end)".to_owned(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether nothing is heard for a moment.
    pub(crate) fn is_silent(&mut self) -> bool {
        let moment = Duration::from_millis(30);
        self.stream.get_ref().set_read_timeout(Some(moment)).unwrap();
        let silent = self.stream.fill_buf().is_err();
        self.stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }

    pub(crate) fn half_close(&mut self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    }
}
