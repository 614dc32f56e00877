//! The files of the spool: typed records with lengths and checksums, and an explicit end.
//!
//! Written by the receiver (messages) and the sender (its reports, and what became of messages), read by the sender,
//! which trusts nothing: the receiver hears strangers and may have been taken over. Whatever isn't exactly a file of this
//! kind, from its first byte to its last, is damaged. Nothing is allocated from a length that a file states beyond
//! [`MOST`], and no line of the file could be broken by a line break, since there are no lines.
//!
//! ```text
//! file    = magic record* end
//! magic   = "mailmsg" 01 for a message, "mailsta" 01 for a state; the last byte is the version
//! record  = kind(1) length(4) payload(length) crc(4)
//! ```
//!
//! Numbers are little-endian. `length` is at most 65536; `crc` is the CRC-32 (IEEE) of kind, length and payload. The
//! payloads, in the order in which they stand:
//!
//! ```text
//! message: 01 head      id(16) arrived(8), seconds since 1970, recipients(4), of which there is one or more
//!          02 mail      "MAIL FROM:<path>" and parameters, as SMTP writes them
//!          04 origin    00, or 01 client text(name) text(helo) text(with) and 00 or 01 text(user); text(why) if it
//!                       is held back from the beginning
//!          03 rcpt      "RCPT TO:<path>" and parameters, in the order of their numbers
//!          05 padding   zeros; none or one
//!          06 text      a piece of the message, not empty; any number
//!          03 rcpt      those who had no room before the text: it was on disk already when they were counted
//! state:   11 head      id(16) watched(8) seconds and (4) nanoseconds, noted(8) next(8) attempts(4) warned: 00 or 01,
//!                       held: 00, or 01 text(why), recipients(4)
//!          12 recipient fate reply, so many as the head says
//! both:    07 end       records(4) before it, text(8) bytes in all text records, crc(4) of all bytes before this record
//! client = 04 address(4) port(2), or 06 address(16) port(2) flow(4) scope(4)
//! fate   = 00 waiting, 01 delivered, 02 and told, 03 relayed, 04 and told, 05 handed over, 06 failed, 07 and told
//! reply  = 00, or 01 code(2) subject(2) detail(2) text(words) source: 00 ours, or 01 text(server)
//! text(x) = length(4) and so many bytes of UTF-8
//! ```

mod envelope;
mod fields;
mod read;
mod state;
mod text;
mod walk;

use crc32fast::Hasher;

pub(super) use envelope::Written;
pub use envelope::{read_envelope, write_message};
pub(super) use fields::{Fields, put_text};
pub use read::{Damage, Records};
pub use state::{read_state, write_state};
pub(super) use text::{Text, length};
pub use walk::Walk;

/// Longest payload of a record.
pub const MOST: usize = 64 * 1024;
/// Bytes of a record besides its payload.
pub(super) const FRAME: usize = 9;
/// Bytes of the last record.
pub(super) const END: usize = FRAME + 16;
/// What a message begins with.
pub const MESSAGE: [u8; 8] = *b"mailmsg\x01";
/// What a state begins with.
pub const STATE: [u8; 8] = *b"mailsta\x01";

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Which message, and when.
    Head,
    /// Its sender.
    Mail,
    /// A recipient.
    Rcpt,
    /// How it came.
    Origin,
    /// Nothing.
    Padding,
    /// Text.
    Text,
    /// The end.
    End,
    /// What became of a message.
    StateHead,
    /// What became of a recipient.
    StateRecipient,
}

const KINDS: [(u8, Kind); 9] = [
    (0x01, Kind::Head),
    (0x02, Kind::Mail),
    (0x03, Kind::Rcpt),
    (0x04, Kind::Origin),
    (0x05, Kind::Padding),
    (0x06, Kind::Text),
    (0x07, Kind::End),
    (0x11, Kind::StateHead),
    (0x12, Kind::StateRecipient),
];

impl Kind {
    fn new(byte: u8) -> Option<Self> {
        KINDS.iter().find(|(number, _)| *number == byte).map(|(_, kind)| *kind)
    }

    fn byte(self) -> u8 {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or(0, |(number, _)| *number)
    }
}

/// What [`Kind::End`] says of the records before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    records: u32,
    text: u64,
    crc: Hasher,
}

impl Sum {
    /// The beginning of a file.
    pub(super) fn begin(magic: [u8; 8], out: &mut Vec<u8>) -> Self {
        let mut sum = Self::default();
        sum.crc.update(&magic);
        out.extend_from_slice(&magic);
        sum
    }

    /// Appends a record. A payload beyond [`MOST`] is the caller's mistake, and makes a file that nobody reads.
    pub(super) fn put(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        frame(kind, payload, out);
        self.crc.update(out.get(start..).unwrap_or_default());
        self.note(kind, payload.len());
    }

    /// Appends text in as many records as it takes.
    pub(super) fn put_text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        out.reserve(text.len() + FRAME * (text.len() / MOST + 1));
        text.chunks(MOST).for_each(|piece| self.put(Kind::Text, piece, out));
    }

    /// Goes on with what follows it in the file.
    pub(super) fn join(&mut self, next: &Self) {
        self.records = self.records.saturating_add(next.records);
        self.text = self.text.saturating_add(next.text);
        self.crc.combine(&next.crc);
    }

    /// Appends the end.
    pub(super) fn end(&self, out: &mut Vec<u8>) {
        frame(Kind::End, &self.payload(), out);
    }

    fn note(&mut self, kind: Kind, length: usize) {
        self.records = self.records.saturating_add(1);
        if kind == Kind::Text {
            self.text = self.text.saturating_add(length as u64);
        }
    }

    fn payload(&self) -> [u8; 16] {
        let mut payload = [0; 16];
        let crc = self.crc.clone().finalize();
        let fields = self.records.to_le_bytes().into_iter().chain(self.text.to_le_bytes());
        payload.iter_mut().zip(fields.chain(crc.to_le_bytes())).for_each(|(to, from)| *to = from);
        payload
    }
}

fn frame(kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.push(kind.byte());
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(payload);
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
}

#[cfg(test)]
mod tests;
