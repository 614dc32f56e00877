//! Perdition, an IMAP proxy that asks PAM before it asks the server behind it: our module is what it asks.

use super::bridges;
use super::dialogue::{Dialogue, heard};
use super::namespace::Namespace;
use super::{Heard, Peer, Question, Result, Verdict};

/// perdition of Debian, as IMAP proxy.
pub(crate) struct Perdition;

const IMAP: u16 = 143;
const BEHIND: u16 = 1143;

/// A server behind the proxy that lets everybody in, so that PAM alone decides.
const SERVER: &str = r#"
import socketserver
class Server(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"* OK [CAPABILITY IMAP4rev1] ready\r\n")
        for line in self.rfile:
            tag, command = (line.split() + [b"", b""])[:2]
            if command.upper() == b"CAPABILITY":
                self.wfile.write(b"* CAPABILITY IMAP4rev1\r\n")
            literal = line.rstrip()
            while literal.endswith(b"}"):
                self.wfile.write(b"+ go on\r\n")
                size = int(literal.rsplit(b"{", 1)[1].rstrip(b"+}"))
                self.rfile.read(size)
                literal = self.rfile.readline().rstrip()
            self.wfile.write(tag + b" OK done\r\n")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", 1143), Server).serve_forever()
"#;

const MEANINGS: [(&str, Verdict); 2] =
    [("a OK", Verdict::Accepted), ("a NO Authentication failure", Verdict::Refused)];

/// Starts it before the IMAP server on [`BEHIND`]; it asks PAM.
pub(crate) fn begin(world: &Namespace) -> Result<()> {
    bridges::write_service(world, "perdition", "timeout=10")?;
    let arguments = [
        "--protocol=IMAP4",
        "--authenticate_in",
        "--no_daemon",
        "--no_lookup",
        "--config_file=",
        "--map_library=",
        "--ssl_mode=none",
        "--bind_address=127.0.0.1",
        "--listen_port=143",
        "--outgoing_server=127.0.0.1",
        "--outgoing_port=1143",
        "--log_facility=-",
    ];
    world.spawn("perdition", "perdition", &arguments)?;
    world.await_port(IMAP, "perdition")
}

impl Peer for Perdition {
    fn name(&self) -> &'static str {
        "perdition"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["perdition", "libvanessa-adt1", "libvanessa-logger0", "libvanessa-socket2", "libpopt0"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/sbin/perdition"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["IMAP LOGIN"]
    }

    /// It has one sentence for whatever PAM says (`imap4_in.c`).
    fn tells_outage(&self, _route: &str) -> bool {
        false
    }

    fn service(&self, _route: &str) -> &'static str {
        "perdition"
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        bridges::install(world)?;
        world.spawn("behind", "python3", &["-c", SERVER])?;
        world.await_port(BEHIND, "behind")?;
        begin(world)
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        let mut dialogue = Dialogue::open(world, IMAP)?;
        dialogue.hear()?;
        dialogue.say(&format!("a LOGIN \"{}\" \"{}\"", question.login, question.password))?;
        dialogue.patience(question.patience);
        let answer = dialogue.hear_until(|line| line.starts_with("a "));
        let _ = dialogue.say("b LOGOUT");
        heard(answer, &MEANINGS)
    }
}
