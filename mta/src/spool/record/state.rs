//! What became of a message, in records.

use std::io::Read;
use std::time::Duration;

use smtp::reply::{Code, Status};

use super::{Damage, Fields, Kind, Records, STATE, Sum, put_text};
use crate::delivery::transport::{Reply, Source};
use crate::spool::id::Id;
use crate::spool::state::{Fate, Standing, State, Told};

/// Bytes of somebody's words that are kept.
const WORDS: usize = 4096;

const FATES: [(u8, Fate); 8] = [
    (0, Fate::Waiting),
    (1, Fate::Delivered(Told::No)),
    (2, Fate::Delivered(Told::Yes)),
    (3, Fate::Relayed(Told::No)),
    (4, Fate::Relayed(Told::Yes)),
    (5, Fate::HandedOver),
    (6, Fate::Failed(Told::No)),
    (7, Fate::Failed(Told::Yes)),
];

/// Writes a state. Words beyond 4096 bytes are cut.
pub fn write_state(id: Id, state: &State) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut sum = Sum::begin(STATE, &mut out);
    let mut head = id.as_str().as_bytes().to_vec();
    head.extend_from_slice(&state.watched.as_secs().to_le_bytes());
    head.extend_from_slice(&state.watched.subsec_nanos().to_le_bytes());
    head.extend_from_slice(&state.noted.to_le_bytes());
    head.extend_from_slice(&state.next.to_le_bytes());
    head.extend_from_slice(&state.attempts.to_le_bytes());
    head.push(u8::from(state.warned == Told::Yes));
    head.push(u8::from(state.held.is_some()));
    state.held.iter().for_each(|why| put_text(cut(why), &mut head));
    let recipients = u32::try_from(state.recipients.len()).unwrap_or(u32::MAX);
    head.extend_from_slice(&recipients.to_le_bytes());
    sum.put(Kind::StateHead, &head, &mut out);
    for standing in &state.recipients {
        sum.put(Kind::StateRecipient, &recipient(standing), &mut out);
    }
    sum.end(&mut out);
    out
}

fn recipient(standing: &Standing) -> Vec<u8> {
    let fate = FATES.iter().find(|(_, fate)| *fate == standing.fate);
    let mut out = vec![fate.map_or(0, |(byte, _)| *byte), u8::from(standing.reply.is_some())];
    if let Some(Reply { code, status, text, source }) = &standing.reply {
        for number in [code.number(), status.subject, status.detail] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_text(cut(text), &mut out);
        match source {
            Source::Local => out.push(0),
            Source::Server(name) => {
                out.push(1);
                put_text(cut(name), &mut out);
            }
        }
    }
    out
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(WORDS)).unwrap_or_default()
}

/// Reads a state, and whose it is.
///
/// # Errors
/// [`Damage`].
pub fn read_state(source: impl Read) -> Result<(Id, State), Damage> {
    let mut records = Records::new(source, STATE)?;
    let (id, mut state, count) = match records.next()? {
        Some((Kind::StateHead, payload)) => head(Fields(payload))?,
        _ => return Err(NONE),
    };
    while let Some(record) = records.next()? {
        match record {
            (Kind::StateRecipient, payload) if state.recipients.len() < count => {
                state.recipients.push(read_recipient(Fields(payload))?);
            }
            _ => return Err(NONE),
        }
    }
    if state.recipients.len() != count {
        return Err(NONE);
    }
    Ok((id, state))
}

const NONE: Damage = Damage::Damaged("the state isn't one");

fn head(mut fields: Fields<'_>) -> Result<(Id, State, usize), Damage> {
    let id = Id::parse(&fields.bytes::<{ Id::LENGTH }>()?).ok_or(NONE)?;
    let (seconds, nanoseconds) = (fields.long()?, fields.word()?);
    if nanoseconds >= 1_000_000_000 {
        return Err(NONE);
    }
    let state = State {
        watched: Duration::new(seconds, nanoseconds),
        noted: fields.long()?,
        next: fields.long()?,
        attempts: fields.word()?,
        warned: if fields.yes()? { Told::Yes } else { Told::No },
        held: fields.yes()?.then(|| fields.text().map(str::to_owned)).transpose()?,
        recipients: Vec::new(),
    };
    let count = fields.word()? as usize;
    fields.end()?;
    Ok((id, state, count))
}

fn read_recipient(mut fields: Fields<'_>) -> Result<Standing, Damage> {
    let fate = fields.byte()?;
    let (_, fate) = FATES.iter().find(|(byte, _)| *byte == fate).ok_or(NONE)?;
    let reply = fields.yes()?.then(|| reply(&mut fields)).transpose()?;
    fields.end()?;
    Ok(Standing { fate: *fate, reply })
}

fn reply(fields: &mut Fields<'_>) -> Result<Reply, Damage> {
    Ok(Reply {
        code: Code::new(fields.short()?).ok_or(NONE)?,
        status: Status { subject: fields.short()?, detail: fields.short()? },
        text: fields.text()?.to_owned(),
        source: match fields.yes()? {
            false => Source::Local,
            true => Source::Server(fields.text()?.to_owned()),
        },
    })
}
