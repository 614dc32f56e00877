//! Files of the spool, which a receiver that was taken over may have written.
//!
//! Noise never has the right checksums, so that what comes is put into records too, by the format's description and not
//! by the code that is tested.

use std::io::Read;

use mta::spool::envelope::Envelope;
use mta::spool::record::{
    MESSAGE, Records, STATE, Walk, read_envelope, read_state, write_message, write_state,
};

/// A message or a state: first as it is, then as records.
pub fn record(bytes: &[u8]) {
    message(bytes);
    state(bytes);
    message(&framed(MESSAGE, bytes));
    state(&framed(STATE, bytes));
}

fn message(file: &[u8]) {
    let envelope = read_envelope(file);
    let Some(text) = text(file) else { return };
    let envelope: Envelope = envelope.expect("whose text is whole has an envelope");
    let Ok(written) = write_message(&envelope, &text) else {
        panic!("what was read can't be written: {envelope:?}")
    };
    assert_eq!(read_envelope(written.as_slice()).expect("what was written is read"), envelope);
    assert_eq!(self::text(&written), Some(text));
}

fn text(file: &[u8]) -> Option<Vec<u8>> {
    let mut records = Records::new(file, MESSAGE).ok()?;
    let mut walk = Walk::begin(&mut records).ok()?;
    let mut text = Vec::new();
    while let Some(piece) = walk.next(&mut records).ok()? {
        piece.take(u64::MAX).read_to_end(&mut text).expect("memory is read");
    }
    Some(text)
}

fn state(file: &[u8]) {
    let Ok((id, state)) = read_state(file) else { return };
    // Words that are too long are cut when they are written.
    let cut = write_state(id, &state);
    let (_, short) = read_state(cut.as_slice()).expect("what was written is read");
    assert_eq!(write_state(id, &short), cut);
}

/// Each record is its kind, its length in two bytes, and its payload.
pub(crate) fn framed(magic: [u8; 8], bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (magic.to_vec(), bytes);
    let (mut count, mut text) = (0_u32, 0_u64);
    while let [kind, low, high, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (payload, later) = after.split_at(length);
        put(*kind, payload, &mut out);
        count += 1;
        text += if *kind == 6 { length as u64 } else { 0 };
        rest = later;
    }
    let crc = crc32fast::hash(&out).to_le_bytes();
    let end = [count.to_le_bytes().as_slice(), &text.to_le_bytes(), &crc].concat();
    put(7, &end, &mut out);
    out
}

fn put(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).expect("it came in two bytes").to_le_bytes();
    let record = [[kind].as_slice(), &length, payload].concat();
    out.extend_from_slice(&record);
    out.extend_from_slice(&crc32fast::hash(&record).to_le_bytes());
}
