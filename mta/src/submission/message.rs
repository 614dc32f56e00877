//! The message: DATA and BDAT, from the first byte to the 250 that is said when it is on disk.
//!
//! Runs in the receiver. Nothing is trusted: where a message ends is the decoder's to say, and what is refused is heard to
//! its end, so that none of it becomes a command. A message that failed once stays failed, and nothing of it is kept.

use std::time::{SystemTime, UNIX_EPOCH};

use smtp::bdat::{Chunk, Collector, Position};
use smtp::command::Verb;
use smtp::data::{Damage, Decoder, Limits, Progress};
use smtp::reply::{Code, Reply};
use smtp::session::{Outcome, Step};
use tokio::time::Instant;

use super::dialogue::Dialogue;
use super::envelope::{Fate, outcome, unanswered};
use super::log;
use super::opening::{Opening, Terms};
use super::wire::{Carrier, End};
use crate::spool::envelope::Envelope;
use crate::spool::incoming::{Draft, Refused};

/// Bytes that must come within [`crate::config::Limits::data`]: slower is standing still.
const PIECE: usize = 4096;

/// A message that is being received.
pub(super) struct Receiving {
    draft: Draft,
    opening: Opening,
    collector: Collector,
    /// Bytes that were decoded.
    size: u64,
    /// Why it won't be kept. It is heard to its end all the same.
    trouble: Option<Trouble>,
}

/// Why a message isn't kept.
enum Trouble {
    /// Something about it.
    Refused(Reply),
    /// Something about the spool.
    Spool(Refused),
}

impl Receiving {
    /// Takes a decoded piece.
    async fn take(&mut self, piece: &[u8]) {
        self.size += piece.len() as u64;
        if self.trouble.is_some() || piece.is_empty() {
            return;
        }
        let kept = match self.opening.push(piece) {
            Ok(Some(opening)) => self.draft.append(&opening).await,
            Ok(None) if self.opening.is_over() => self.draft.append(piece).await,
            Ok(None) => return,
            Err(reply) => return self.trouble = Some(Trouble::Refused(reply)),
        };
        self.trouble = kept.err().map(Trouble::Spool);
    }

    /// Nothing more comes.
    async fn close(&mut self) {
        if self.trouble.is_some() || self.opening.is_over() {
            return;
        }
        self.trouble = match self.opening.close() {
            Ok(opening) => self.draft.append(&opening).await.err().map(Trouble::Spool),
            Err(reply) => Some(Trouble::Refused(reply)),
        };
    }
}

impl<S: Carrier> Dialogue<S> {
    pub(super) async fn data(&mut self) -> Result<(), End> {
        let Some(mut receiving) = self.begin_message() else { return Err(End::Gone) };
        self.session.done(Step::Command(Verb::Data), Outcome::Accept);
        self.wire.say(&Reply::plain(Code::SEND, "End data with <CR><LF>.<CR><LF>"));
        let deadline = self.command_deadline();
        self.wire.flush(deadline).await?;
        let mut decoder = Decoder::new(self.data_limits());
        let damage = self.gather(&mut receiving, |piece, out, _| decoder.feed(piece, out)).await?;
        let (reply, outcome) = self.conclude(receiving, damage).await;
        self.session.done(Step::EndOfData, outcome);
        self.end_message(&reply, damage)
    }

    pub(super) async fn bdat(&mut self, chunk: Chunk) -> Result<(), End> {
        let step = Step::Chunk(chunk.position);
        let begun = self.receiving.take().or_else(|| self.begin_message());
        let Some(mut receiving) = begun else { return Err(End::Gone) };
        if let Err(damage) = receiving.collector.begin(chunk) {
            return self.close_with(&damage.reply());
        }
        let damage =
            self.gather(&mut receiving, |piece, out, collector| collector.feed(piece, out)).await?;
        let (reply, outcome) = match (chunk.position, damage, &receiving.trouble) {
            (Position::Within, None, None) => {
                let text = format!("{} bytes received", chunk.size);
                self.receiving = Some(receiving);
                (Reply::new(Code::DONE, 0, 0, text), Outcome::Accept)
            }
            _ => self.conclude(receiving, damage).await,
        };
        self.session.done(step, outcome);
        self.end_message(&reply, damage)
    }

    /// A chunk of a message that isn't received.
    pub(super) async fn swallow(&mut self, chunk: Chunk, reply: &Reply) -> Result<(), End> {
        let mut collector = Collector::refused(self.data_limits());
        if let Err(damage) = collector.begin(chunk) {
            return self.close_with(&damage.reply());
        }
        let mut nothing = Vec::new();
        let mut progress = self.feed_read(|piece| collector.feed(piece, &mut nothing));
        let mut pace = Pace::new(self.desk.config.limits.data);
        while progress == Progress::More {
            // Who hears nothing of what came before the chunk may wait with it.
            self.wire.flush(pace.deadline()).await?;
            let heard = self.wire.hear(pace.deadline(), |piece| {
                progress = collector.feed(piece, &mut nothing);
                taken(progress, piece)
            });
            pace.note(heard.await?);
        }
        self.wire.say(reply);
        Ok(())
    }

    /// Hears a message, or a chunk of it, to its end.
    async fn gather(
        &mut self,
        receiving: &mut Receiving,
        mut feed: impl FnMut(&[u8], &mut Vec<u8>, &mut Collector) -> Progress,
    ) -> Result<Option<Damage>, End> {
        let mut decoded = Vec::new();
        let mut pace = Pace::new(self.desk.config.limits.data);
        let collector = &mut receiving.collector;
        let mut progress = self.feed_read(|piece| feed(piece, &mut decoded, collector));
        loop {
            receiving.take(&decoded).await;
            decoded.clear();
            match progress {
                Progress::More => {}
                Progress::Complete(_) => return Ok(None),
                Progress::Failed(_, damage) => return Ok(Some(damage)),
            }
            self.wire.flush(pace.deadline()).await?;
            let collector = &mut receiving.collector;
            let heard = self.wire.hear(pace.deadline(), |piece| {
                progress = feed(piece, &mut decoded, collector);
                taken(progress, piece)
            });
            pace.note(heard.await?);
        }
    }

    /// What was read with the command belongs to the message too.
    fn feed_read(&mut self, feed: impl FnOnce(&[u8]) -> Progress) -> Progress {
        let read = self.wire.lines.rest();
        let progress = feed(read);
        let taken = taken(progress, read);
        self.wire.lines.consume(taken);
        progress
    }

    fn begin_message(&self) -> Option<Box<Receiving>> {
        let transaction = self.transaction.as_ref()?;
        let draft = self.desk.incoming.begin();
        let now = now();
        let terms = Terms::of(self, transaction, &draft.id(), now)?;
        Some(Box::new(Receiving {
            draft,
            opening: Opening::new(terms),
            collector: Collector::new(self.data_limits()),
            size: 0,
            trouble: None,
        }))
    }

    /// What becomes of a message that was heard to its end.
    async fn conclude(
        &mut self,
        mut receiving: Box<Receiving>,
        damage: Option<Damage>,
    ) -> (Reply, Outcome) {
        let reply = match damage {
            Some(damage) => damage.reply(),
            None => {
                receiving.close().await;
                match receiving.trouble.take() {
                    Some(Trouble::Refused(reply)) => reply,
                    Some(Trouble::Spool(refused)) => self.no_room(&refused),
                    None => self.keep(*receiving).await,
                }
            }
        };
        let outcome = outcome(&reply);
        if outcome != Outcome::Accept {
            let text = log::on_one_line(&reply);
            self.desk.log(format!("a message is refused, relay={}, reject={text}", self.relay()));
        }
        (reply, outcome)
    }

    async fn keep(&mut self, receiving: Receiving) -> Reply {
        let Receiving { draft, opening, size, .. } = receiving;
        let Some(transaction) = self.transaction.take() else { return unanswered() };
        let (terms, message_id) = opening.into_parts();
        let id = draft.id();
        let envelope = Envelope {
            id,
            arrived: terms.date.0,
            sender: transaction.sender,
            parameters: transaction.parameters,
            recipients: transaction.recipients,
            origin: terms.origin,
        };
        self.desk.log(format!(
            "{id}: from={}, size={size}, class=0, nrcpts={}, msgid={}, proto={}, daemon={}, relay={}",
            log::field(&envelope.sender.to_string()),
            envelope.recipients.len(),
            log::field(&message_id),
            terms.with,
            terms.daemon,
            self.relay(),
        ));
        if let Fate::Held(why) = &transaction.fate {
            self.desk.log(format!("{id}: quarantine={}", log::field(why)));
        }
        if transaction.fate == Fate::Discarded {
            self.desk.log(format!("{id}: discarded by policy"));
        } else if let Err(refused) = draft.commit(&envelope).await {
            self.desk.log(format!("{id}: not kept"));
            return self.no_room(&refused);
        }
        Reply::new(Code::DONE, 0, 0, format!("{id} Message accepted for delivery"))
    }

    fn end_message(&mut self, reply: &Reply, damage: Option<Damage>) -> Result<(), End> {
        if self.receiving.is_none() {
            self.forget_message();
        }
        match damage.is_some_and(Damage::ends_connection) {
            true => self.close_with(reply),
            false => {
                self.wire.say(reply);
                Ok(())
            }
        }
    }

    fn data_limits(&self) -> Limits {
        Limits::of(self.desk.config.limits.message)
    }
}

/// How much of a piece belonged to the message.
fn taken(progress: Progress, piece: &[u8]) -> usize {
    match progress {
        Progress::More => piece.len(),
        Progress::Complete(taken) | Progress::Failed(taken, _) => taken,
    }
}

/// By when the next piece must be there.
struct Pace {
    patience: std::time::Duration,
    since: Instant,
    heard: usize,
}

impl Pace {
    fn new(patience: std::time::Duration) -> Self {
        Self { patience, since: Instant::now(), heard: 0 }
    }

    fn deadline(&self) -> Instant {
        self.since + self.patience
    }

    fn note(&mut self, bytes: usize) {
        self.heard += bytes;
        if self.heard >= PIECE {
            (self.since, self.heard) = (Instant::now(), 0);
        }
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
