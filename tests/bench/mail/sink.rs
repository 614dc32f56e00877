//! The next hop of the bench: takes all mail without looking, and counts the numbers in it.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::client::SEQUENCE;

/// Which messages came, and how often.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Vec<u8>>>);

/// What was counted.
pub(super) struct Count {
    /// Different messages.
    pub(super) different: usize,
    /// Messages that came again.
    pub(super) again: usize,
}

impl Seen {
    fn note(&self, number: usize) {
        let mut seen = self.0.lock().expect("nobody panicked");
        if seen.len() <= number {
            seen.resize(number + 1, 0);
        }
        seen[number] = seen[number].saturating_add(1);
    }

    pub(super) fn count(&self) -> Count {
        let seen = self.0.lock().expect("nobody panicked");
        let different = seen.iter().filter(|times| **times > 0).count();
        let all: usize = seen.iter().map(|times| usize::from(*times)).sum();
        Count { different, again: all - different }
    }
}

/// Listens on a free port of the loopback for ever.
pub(super) fn start() -> (SocketAddr, Seen) {
    let listening = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listening.local_addr().expect("an address");
    let seen = Seen::default();
    let noted = seen.clone();
    thread::spawn(move || {
        while let Ok((client, _)) = listening.accept() {
            let seen = noted.clone();
            thread::spawn(move || serve(client, &seen));
        }
    });
    (address, seen)
}

fn serve(client: TcpStream, seen: &Seen) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut write = client.try_clone()?;
    let mut read = BufReader::with_capacity(64 * 1024, client);
    let mut answer = |text: &str| write.write_all(text.as_bytes());
    answer("220 sink.example.test ESMTP\r\n")?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if read.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"EHLO" => answer("250-sink.example.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n")?,
            b"DATA" => {
                answer("354 go on\r\n")?;
                swallow(&mut read, seen)?;
                answer("250 2.0.0 taken\r\n")?;
            }
            b"QUIT" => return answer("221 2.0.0 bye\r\n"),
            _ => answer("250 2.0.0 ok\r\n")?,
        }
    }
}

fn swallow(read: &mut impl BufRead, seen: &Seen) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if read.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(());
        }
        if let Some(number) = line.strip_prefix(SEQUENCE.as_bytes())
            && let Ok(number) = String::from_utf8_lossy(number).trim().parse()
        {
            seen.note(number);
        }
    }
}
