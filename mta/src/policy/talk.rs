//! The policy protocol as its client: questions go out as they come, and answers come back in the same order. No I/O.
//!
//! Since nothing but their order tells answers apart, the connection ends when one takes too long: a late answer would be
//! taken for the next one.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::policy::{Request, Response};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::daemon::held::{Bytes, Conversation, Standing};

/// A question and who asks it.
pub(super) struct Order {
    /// The question.
    pub(super) request: Request,
    /// Who waits.
    pub(super) reply: oneshot::Sender<Response>,
}

/// The conversation; see the module.
pub(super) struct Talk {
    /// How long an answer may take.
    patience: Duration,
    /// Those that wait, and when their patience ends. Nobody may listen any more.
    waiting: VecDeque<(Instant, oneshot::Sender<Response>)>,
}

impl Talk {
    /// A conversation in which an answer may take so long.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, waiting: VecDeque::new() }
    }
}

impl Conversation for Talk {
    type Order = Order;

    const SOCKET: &str = "policy";

    fn lost(&mut self, _standing: Standing) {
        self.waiting.clear();
    }

    fn begin(&mut self, _now: Instant, _out: &mut Bytes) {}

    fn is_ready(&self) -> bool {
        true
    }

    fn take(&mut self, order: Order, now: Instant, out: &mut Bytes) {
        if !order.reply.is_closed() {
            out.extend_from_slice(&order.request.encode());
            self.waiting.push_back((now + self.patience, order.reply));
        }
    }

    fn hear(&mut self, received: &[u8], _out: &mut Bytes) -> Result<usize, &'static str> {
        let mut used = 0;
        loop {
            let rest = received.get(used..).unwrap_or_default();
            let read = Response::decode(rest).map_err(|_| "its answer names no action")?;
            let Some((response, length)) = read else { return Ok(used) };
            used += length;
            let (_, reply) = self.waiting.pop_front().ok_or("it answers what nobody asked")?;
            let _ = reply.send(response);
        }
    }

    fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|(due, _)| *due)
    }
}
