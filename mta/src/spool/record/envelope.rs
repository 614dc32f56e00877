//! The envelope's records. Paths and parameters are written and read as SMTP's, by the same code.

use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use smtp::address::Sender;
use smtp::command::{Command, MailParameters};

use super::{Damage, FRAME, Fields, Kind, MESSAGE, Records, Sum, put_text};
use crate::spool::envelope::{Addressee, Envelope, Origin};
use crate::spool::id::Id;

/// Most recipients of a message that is read; nobody accepts that many.
const MOST_RECIPIENTS: u32 = 100_000;

/// An envelope as it stands in a file, around the text.
#[derive(Debug)]
pub(in crate::spool) struct Written {
    /// From the first byte on.
    pub(in crate::spool) before: (Vec<u8>, Sum),
    /// Recipients who had no room there.
    pub(in crate::spool) behind: (Vec<u8>, Sum),
}

impl Written {
    /// Writes an envelope with so many bytes of room before the text.
    ///
    /// Returns what is wrong with one that could not be read again as it is.
    pub(in crate::spool) fn new(envelope: &Envelope, room: usize) -> Result<Self, &'static str> {
        let mut written = Self::begin(envelope);
        if written.before.0.len() > room {
            return Err("what is known of the client is too long");
        }
        let mut line = Vec::new();
        for Addressee { recipient, parameters } in &envelope.recipients {
            line.clear();
            line.extend_from_slice(format!("RCPT TO:{recipient}{parameters}").as_bytes());
            let full = written.before.0.len() + FRAME + line.len() > room;
            let place = if full || !written.behind.0.is_empty() {
                &mut written.behind
            } else {
                &mut written.before
            };
            place.1.put(Kind::Rcpt, &line, &mut place.0);
        }
        written.is(envelope).then_some(written).ok_or("the envelope has no spelling in SMTP")
    }

    fn begin(envelope: &Envelope) -> Self {
        let mut out = Vec::with_capacity(1024);
        let mut sum = Sum::begin(MESSAGE, &mut out);
        let recipients = u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX);
        let mut head = envelope.id.as_str().as_bytes().to_vec();
        head.extend_from_slice(&envelope.arrived.to_le_bytes());
        head.extend_from_slice(&recipients.to_le_bytes());
        sum.put(Kind::Head, &head, &mut out);
        let mail = format!("MAIL FROM:{}{}", envelope.sender, envelope.parameters);
        sum.put(Kind::Mail, mail.as_bytes(), &mut out);
        sum.put(Kind::Origin, &origin(&envelope.origin), &mut out);
        Self { before: (out, sum), behind: (Vec::new(), Sum::default()) }
    }

    /// Whether it is read as what was written.
    fn is(&self, envelope: &Envelope) -> bool {
        let mut whole = [self.before.0.as_slice(), &self.behind.0].concat();
        let mut sum = self.before.1.clone();
        sum.join(&self.behind.1);
        sum.end(&mut whole);
        matches!(read_envelope(whole.as_slice()), Ok(read) if read == *envelope)
    }
}

/// Writes a message whose text is known already.
///
/// # Errors
/// What is wrong with an envelope that could not be read again as it is.
pub fn write_message(envelope: &Envelope, text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (mut out, mut sum) = Written::new(envelope, usize::MAX)?.before;
    sum.put_text(text, &mut out);
    sum.end(&mut out);
    Ok(out)
}

/// Reads an envelope, and no more of the file than that takes.
///
/// # Errors
/// [`Damage`].
pub fn read_envelope(source: impl Read) -> Result<Envelope, Damage> {
    let mut records = Records::new(source, MESSAGE)?;
    let (mut envelope, count) = beginning(&mut records)?;
    let enough = count as usize;
    while envelope.recipients.len() < enough {
        match records.next()? {
            Some((Kind::Rcpt, line)) => envelope.recipients.push(rcpt(line)?),
            Some((Kind::Padding | Kind::Text, _)) => {}
            _ => return Err(NONE),
        }
    }
    Ok(envelope)
}

const NONE: Damage = Damage::Damaged("the envelope isn't one");

/// What stands before the recipients, and how many there are.
pub(super) fn beginning<R: Read>(records: &mut Records<R>) -> Result<(Envelope, u32), Damage> {
    let (id, arrived, count) = needed(records, Kind::Head, |mut fields| {
        let id = Id::parse(&fields.bytes::<{ Id::LENGTH }>()?);
        let (arrived, count) = (fields.long()?, fields.word()?);
        fields.end()?;
        Ok((id.ok_or(Damage::Damaged("its id is none"))?, arrived, count))
    })?;
    if !(1..=MOST_RECIPIENTS).contains(&count) {
        return Err(Damage::Damaged("it has no recipients, or too many"));
    }
    let (sender, parameters) = needed(records, Kind::Mail, |fields| mail(fields.0))?;
    let origin = needed(records, Kind::Origin, read_origin)?;
    Ok((Envelope { id, arrived, sender, parameters, recipients: Vec::new(), origin }, count))
}

fn needed<R: Read, T>(
    records: &mut Records<R>,
    kind: Kind,
    read: impl FnOnce(Fields<'_>) -> Result<T, Damage>,
) -> Result<T, Damage> {
    match records.next()? {
        Some((found, payload)) if found == kind => read(Fields(payload)),
        _ => Err(NONE),
    }
}

fn mail(line: &[u8]) -> Result<(Sender, MailParameters), Damage> {
    match Command::parse(line) {
        Ok(Command::Mail(sender, parameters)) => Ok((sender, parameters)),
        _ => Err(Damage::Damaged("its sender is no path of SMTP")),
    }
}

pub(super) fn rcpt(line: &[u8]) -> Result<Addressee, Damage> {
    match Command::parse(line) {
        Ok(Command::Rcpt(recipient, parameters)) => Ok(Addressee { recipient, parameters }),
        _ => Err(Damage::Damaged("a recipient is no path of SMTP")),
    }
}

fn origin(origin: &Origin) -> Vec<u8> {
    let Origin::Received { client, name, helo, with, user, held } = origin else { return vec![0] };
    let mut out = vec![1];
    match client {
        SocketAddr::V4(client) => {
            out.push(4);
            out.extend_from_slice(&client.ip().octets());
            out.extend_from_slice(&client.port().to_le_bytes());
        }
        SocketAddr::V6(client) => {
            out.push(6);
            out.extend_from_slice(&client.ip().octets());
            out.extend_from_slice(&client.port().to_le_bytes());
            out.extend_from_slice(&client.flowinfo().to_le_bytes());
            out.extend_from_slice(&client.scope_id().to_le_bytes());
        }
    }
    [name, helo, with].into_iter().for_each(|text| put_text(text, &mut out));
    out.push(u8::from(user.is_some()));
    user.iter().for_each(|user| put_text(user, &mut out));
    held.iter().for_each(|why| put_text(why, &mut out));
    out
}

fn read_origin(mut fields: Fields<'_>) -> Result<Origin, Damage> {
    let origin = match fields.byte()? {
        0 => Origin::Own,
        1 => Origin::Received {
            client: client(&mut fields)?,
            name: fields.text()?.to_owned(),
            helo: fields.text()?.to_owned(),
            with: fields.text()?.to_owned(),
            user: match fields.byte()? {
                0 => None,
                1 => Some(fields.text()?.to_owned()),
                _ => return Err(UNKNOWN),
            },
            held: match fields.0 {
                [] => None,
                _ => Some(fields.text()?.to_owned()),
            },
        },
        _ => return Err(UNKNOWN),
    };
    fields.end()?;
    Ok(origin)
}

const UNKNOWN: Damage = Damage::Damaged("it came in an unknown way");

fn client(fields: &mut Fields<'_>) -> Result<SocketAddr, Damage> {
    match fields.byte()? {
        4 => {
            let ip = Ipv4Addr::from(fields.bytes::<4>()?);
            Ok(SocketAddrV4::new(ip, fields.short()?).into())
        }
        6 => {
            let ip = Ipv6Addr::from(fields.bytes::<16>()?);
            let (port, flow, scope) = (fields.short()?, fields.word()?, fields.word()?);
            Ok(SocketAddrV6::new(ip, port, flow, scope).into())
        }
        _ => Err(UNKNOWN),
    }
}
