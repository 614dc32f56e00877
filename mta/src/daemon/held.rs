//! A connection to the daemon that is held for as long as anybody may have something to ask, and made again when it ends.
//!
//! Runs in the receiver and in the sender, one task for each. What is said on it is a [`Conversation`]'s to know, which
//! does no I/O. Whoever waits for an answer when the connection ends hears that nobody knows.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until, timeout};
use zeroize::{Zeroize, Zeroizing};

use super::Connector;
use crate::control::Level;

/// Pause after the first failure; each one after it doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that served so long was in order, and the next one is made at once.
const IN_ORDER: Duration = Duration::from_secs(1);
/// Bytes on their way out beyond which no order is taken.
const MOST_UNSENT: usize = 256 * 1024;

/// Bytes that may hold a password.
pub(crate) type Bytes = Zeroizing<Vec<u8>>;

/// How the daemon is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A connection is being made, and orders wait for it.
    Connecting,
    /// There is none, and orders are dropped.
    Away,
}

/// What is said on a connection. No I/O.
pub(crate) trait Conversation: Send + 'static {
    /// What is to be asked. Whoever waits for an answer to one that is dropped hears that nobody knows.
    type Order: Send;

    /// For the log: which socket.
    const SOCKET: &str;

    /// There is no connection. Whoever waited for an answer isn't to wait any more.
    fn lost(&mut self, standing: Standing);
    /// There is a connection; says what comes first.
    fn begin(&mut self, now: Instant, out: &mut Bytes);
    /// Whether orders are taken yet.
    fn is_ready(&self) -> bool;
    /// Carries an order out.
    fn take(&mut self, order: Self::Order, now: Instant, out: &mut Bytes);
    /// Acts on all that is whole, and says how many bytes that took.
    ///
    /// # Errors
    /// What the daemon said that it may not; the connection ends.
    fn hear(&mut self, received: &[u8], out: &mut Bytes) -> Result<usize, &'static str>;
    /// When the connection is given up for silence.
    fn due(&self) -> Option<Instant>;
}

/// Why a connection ended.
enum Ended {
    /// Nobody can ask any more.
    Unwanted,
    /// For this.
    Lost(String),
}

/// Holds a connection until `orders` has no sender any more. Connecting, and writing, may take `patience`.
pub(crate) async fn hold<C: Conversation>(
    connector: Connector,
    mut conversation: C,
    mut orders: UnboundedReceiver<C::Order>,
    patience: Duration,
) {
    let mut pause = FIRST_PAUSE;
    let mut away = false;
    loop {
        conversation.lost(Standing::Connecting);
        let mut ready_since = None;
        let why = match timeout(patience, connector.connect()).await {
            Ok(Ok(stream)) => {
                let held = Held { stream, unsent: Unsent::default(), patience };
                match held.converse(&mut conversation, &mut orders, &mut ready_since).await {
                    Ended::Unwanted => return,
                    Ended::Lost(why) => why,
                }
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "connecting took too long".to_owned(),
        };
        if ready_since.is_some_and(|since: Instant| since.elapsed() >= IN_ORDER) {
            (pause, away) = (FIRST_PAUSE, false);
            continue;
        }
        if !away {
            let text = format!("the {} socket of the daemon is away: {why}", C::SOCKET);
            connector.log(Level::Error, text);
            away = true;
        }
        conversation.lost(Standing::Away);
        if wait(pause, &mut orders).await.is_none() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Drops every order for so long. `None`: nobody can ask any more.
async fn wait<T>(pause: Duration, orders: &mut UnboundedReceiver<T>) -> Option<()> {
    let end = Instant::now() + pause;
    loop {
        tokio::select! {
            () = sleep_until(end) => return Some(()),
            order = orders.recv() => drop(order?),
        }
    }
}

/// What was not written yet. All of it is wiped when all of it is written.
#[derive(Default)]
struct Unsent {
    bytes: Bytes,
    written: usize,
    /// Since when the daemon takes nothing.
    since: Option<Instant>,
}

struct Held {
    stream: UnixStream,
    unsent: Unsent,
    patience: Duration,
}

impl Held {
    async fn converse<C: Conversation>(
        mut self,
        conversation: &mut C,
        orders: &mut UnboundedReceiver<C::Order>,
        ready_since: &mut Option<Instant>,
    ) -> Ended {
        let mut received = Bytes::new(Vec::with_capacity(16 * 1024));
        conversation.begin(Instant::now(), &mut self.unsent.bytes);
        loop {
            if let Err(why) = self.write() {
                return Ended::Lost(why);
            }
            if conversation.is_ready() && ready_since.is_none() {
                *ready_since = Some(Instant::now());
            }
            let unsent = !self.unsent.bytes.is_empty();
            let stalled = self.unsent.since.map(|since| since + self.patience);
            let due = [conversation.due(), stalled].into_iter().flatten().min();
            let open = conversation.is_ready() && self.unsent.bytes.len() < MOST_UNSENT;
            tokio::select! {
                order = orders.recv(), if open => {
                    let Some(order) = order else { return Ended::Unwanted };
                    conversation.take(order, Instant::now(), &mut self.unsent.bytes);
                }
                _ = self.stream.readable() => {
                    let heard = self.read(&mut received).and_then(|()| {
                        let used = conversation.hear(&received, &mut self.unsent.bytes);
                        received.drain(..used.map_err(str::to_owned)?);
                        Ok(())
                    });
                    if let Err(why) = heard {
                        return Ended::Lost(why);
                    }
                }
                _ = self.stream.writable(), if unsent => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    return Ended::Lost("it is silent for too long".to_owned());
                }
            }
        }
    }

    fn read(&self, received: &mut Bytes) -> Result<(), String> {
        let mut chunk = [0; 8 * 1024];
        match self.stream.try_read(&mut chunk) {
            Ok(0) => Err("it closed the connection".to_owned()),
            Ok(count) => {
                received.extend_from_slice(chunk.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn write(&mut self) -> Result<(), String> {
        let Unsent { bytes, written, since } = &mut self.unsent;
        while let rest @ [_, ..] = bytes.get(*written..).unwrap_or_default() {
            match self.stream.try_write(rest) {
                Ok(count) => {
                    *written += count;
                    *since = None;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    since.get_or_insert_with(Instant::now);
                    return Ok(());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        bytes.zeroize();
        (*written, *since) = (0, None);
        Ok(())
    }
}
