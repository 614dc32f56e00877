//! Small blocking clients of the public sockets, with deadlines, for the tools and the mta.
//!
//! They follow the clients of libsasl2 with one difference: they never wait for ever.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Answer, mux, pwcheck};

/// Asks a saslauthd `mux` socket. A connection that closes without a reply is [`Answer::Unavailable`].
///
/// Errors are those of the connection itself (no such socket, permission, deadline passed).
pub fn ask_mux(socket: &Path, request: &mux::Request, deadline: Duration) -> io::Result<Answer> {
    let bytes = mux::encode(request).map_err(invalid)?;
    ask_mux_over(UnixStream::connect(socket)?, &bytes, deadline)
}

/// The same over a connection that the caller made, who can bound the time of connecting too.
///
/// # Errors
/// Those of the connection, and `WouldBlock` or `TimedOut` when the deadline has passed.
pub fn ask_mux_over(stream: UnixStream, request: &[u8], deadline: Duration) -> io::Result<Answer> {
    mux_reply(stream, request, deadline).map(|reply| mux_answer(&reply))
}

fn mux_answer(reply: &[u8]) -> Answer {
    match mux::decode_reply(reply) {
        Some(mux::Reply::Ok) => Answer::Accept,
        Some(mux::Reply::No) => Answer::Refuse,
        None => Answer::Unavailable,
    }
}

/// Sends the bytes of a mux request, and gives back what came before the end of the reply or of the connection.
///
/// # Errors
/// As of [`ask_mux_over`].
pub fn mux_reply(stream: UnixStream, request: &[u8], deadline: Duration) -> io::Result<Vec<u8>> {
    converse(stream, request, deadline, |reply| {
        let Some((length, text)) = reply.split_first_chunk() else { return false };
        text.len() >= usize::from(u16::from_be_bytes(*length))
    })
}

/// Asks a pwcheck socket, which answers with bare text until EOF.
pub fn ask_pwcheck(
    socket: &Path,
    request: &pwcheck::Request,
    deadline: Duration,
) -> io::Result<Answer> {
    let bytes = pwcheck::encode(request).map_err(invalid)?;
    let reply = converse(UnixStream::connect(socket)?, &bytes, deadline, |_| false)?;
    Ok(match reply.get(..2) {
        Some(b"OK") => Answer::Accept,
        Some(_) => Answer::Refuse,
        None => Answer::Unavailable,
    })
}

fn invalid(why: crate::Rejected) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// The longest counted reply with its length.
const MAX_REPLY: usize = 2 + u16::MAX as usize;

fn converse(
    mut stream: UnixStream,
    request: &[u8],
    deadline: Duration,
    complete: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let end = Instant::now() + deadline;
    let mut unsent = request;
    while !unsent.is_empty() {
        stream.set_write_timeout(Some(left(end)?))?;
        match stream.write(unsent) {
            Ok(count) => unsent = unsent.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut reply = Vec::new();
    let mut chunk = [0; 256];
    while reply.len() < MAX_REPLY && !complete(&reply) {
        stream.set_read_timeout(Some(left(end)?))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => reply.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            // A process that was stopped and goes on sees this even without a handler.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reply)
}

/// What is left of a deadline, for a peer that always takes or says a little more.
fn left(end: Instant) -> io::Result<Duration> {
    match end.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_daemon_that_always_says_a_little_more_is_given_up() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let dripping = thread::spawn(move || {
            theirs.write_all(b"\xff\xff").unwrap();
            let drips = (0..).take_while(|_| theirs.write_all(b"x").is_ok());
            drips.inspect(|_| thread::sleep(Duration::from_millis(1))).count()
        });
        let error = ask_mux_over(ours, b"\0\0", Duration::from_millis(100)).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
        assert!(dripping.join().unwrap() < MAX_REPLY);
    }

    #[test]
    fn a_daemon_that_reads_nothing_is_given_up() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let request = vec![b'x'; 4 << 20];
        let error = ask_mux_over(ours, &request, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
    }
}
