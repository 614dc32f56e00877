//! Frames of the hot path: `u32le length` of what follows, then a tag byte and the body.
//!
//! Used by the listener and the checker; what stands in the bodies is in [`crate::requests`] and [`crate::exchange`].
//! A frame is held to its allow table before its body is looked at, and bytes on their way out are wiped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use protocol::{Address, Name};
use zeroize::Zeroize;

use crate::Malformed;
use crate::allow::Gate;
use crate::requests::{Peer, Source};

/// More than what any frame holds besides names and passwords.
const OVERHEAD: usize = 128;

/// Bytes on their way out, wiped when they are dropped or sent.
#[derive(Default)]
pub struct Outgoing(Vec<u8>);

impl Outgoing {
    /// What is to be written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes away what was written, and wipes it.
    pub fn sent(&mut self, count: usize) {
        let count = count.min(self.0.len());
        let rest = self.0.len() - count;
        self.0.copy_within(count.., 0);
        if let Some(tail) = self.0.get_mut(rest..) {
            tail.zeroize();
        }
        self.0.truncate(rest);
    }

    /// Grows without leaving a copy of a password behind in freed memory, as a vector by itself would.
    fn make_room(&mut self, more: usize) {
        let wanted = self.0.len() + more;
        if wanted > self.0.capacity() {
            let mut larger = Vec::with_capacity(wanted.next_power_of_two());
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = larger;
        }
    }

    /// Begins a frame that will hold `fields` bytes of names and passwords.
    pub(crate) fn open(&mut self, tag: u8, fields: usize) -> usize {
        self.make_room(fields + OVERHEAD);
        let start = self.0.len();
        self.0.extend_from_slice(&[0, 0, 0, 0, tag]);
        start
    }

    pub(crate) fn close(&mut self, start: usize) {
        let length = u32::try_from(self.0.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(prefix) = self.0.get_mut(start..start + 4) {
            prefix.copy_from_slice(&length.to_le_bytes());
        }
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// With its length before it; the types bound each field far below 64 KiB.
    pub(crate) fn counted(&mut self, field: &[u8]) {
        let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(field);
    }

    /// A byte that says whether there is one, and then the field.
    pub(crate) fn optional(&mut self, field: Option<&[u8]>) {
        self.byte(u8::from(field.is_some()));
        if let Some(field) = field {
            self.counted(field);
        }
    }

    pub(crate) fn peer(&mut self, peer: Peer) {
        self.0.extend_from_slice(&peer.pid.to_le_bytes());
        self.0.extend_from_slice(&peer.uid.to_le_bytes());
        self.0.extend_from_slice(&peer.gid.to_le_bytes());
    }

    pub(crate) fn source(&mut self, source: Source) {
        let (kind, address) = match source {
            Source::Absent => return self.0.push(0),
            Source::Stated(address) => (1, address),
            Source::Ignored(address) => (2, address),
        };
        let v6 = match address.ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        self.0.push(kind);
        self.0.extend_from_slice(&v6.octets());
        self.0.push(u8::from(address.port.is_some()));
        self.0.extend_from_slice(&address.port.unwrap_or(0).to_le_bytes());
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Tag, body, and how many bytes both took with their prefix.
pub(crate) type Frame<'a> = (u8, &'a [u8], usize);

/// The first frame, held to its gate as soon as length and tag are there. `most` is the longest of its table.
pub(crate) fn frame<'a>(
    received: &'a [u8],
    gate: &mut Gate,
    most: usize,
) -> Result<Option<Frame<'a>>, Malformed> {
    let Some((prefix, rest)) = received.split_first_chunk() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
    if length > most {
        return Err(Malformed::TooLong(rest.first().copied().unwrap_or(0)));
    }
    let Some(frame) = rest.get(..length) else { return Ok(None) };
    let (tag, body) = frame.split_first().ok_or(Malformed::Empty)?;
    gate.admit(*tag, length)?;
    Ok(Some((*tag, body, length + 4)))
}

pub(crate) fn peer(body: &mut Body<'_>) -> Option<Peer> {
    Some(Peer { pid: i32::from_le_bytes(*body.take()?), uid: body.u32()?, gid: body.u32()? })
}

pub(crate) fn source(body: &mut Body<'_>) -> Option<Source> {
    let [kind] = *body.take()?;
    if kind == 0 {
        return Some(Source::Absent);
    }
    let v6 = Ipv6Addr::from(*body.take::<16>()?);
    let [has_port] = *body.take()?;
    let port = u16::from_le_bytes(*body.take()?);
    let ip = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), |v4: Ipv4Addr| IpAddr::V4(v4));
    let address = Address { ip, port: (has_port == 1).then_some(port) };
    match kind {
        1 => Some(Source::Stated(address)),
        2 => Some(Source::Ignored(address)),
        _ => None,
    }
}

/// What is left of a frame's body.
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl<'a> Body<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn name(&mut self) -> Option<Name> {
        Name::new(self.counted()?).ok()
    }

    /// What [`Outgoing::optional`] wrote: whether there is one, and then the field.
    pub(crate) fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        if self.flag()? { self.counted().map(Some) } else { Some(None) }
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        match *self.take()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(|bytes| u64::from_le_bytes(*bytes))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(|bytes| u32::from_le_bytes(*bytes))
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(|bytes| u16::from_le_bytes(*bytes))
    }

    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(u16::from_le_bytes(*self.take()?));
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }
}
