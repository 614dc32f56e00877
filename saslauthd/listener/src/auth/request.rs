//! From what a mail server says of its client to what the checker is told: which of the claims count.
//!
//! An address counts for the limits only from peers that may state addresses, a certificate only from peers that may
//! state certificates. Everything else of AUTH is dropped here.

use ipc::exchange::{Begin, Transport};
use ipc::requests::{Peer, Source};
use protocol::auth::{Auth, Certificate, MINOR_WITH_BINDING};

use crate::serving::Served;

/// The message of a request; `id` is the exchange's.
pub(super) fn begin(id: u64, auth: Auth, minor: u32, peer: Peer, served: &Served) -> Begin {
    let Auth { mechanism, parameters, initial, .. } = auth;
    let source = match parameters.remote {
        None => Source::Absent,
        Some(address) if served.believes(peer.uid) => Source::Stated(address),
        Some(address) => Source::Ignored(address),
    };
    let transport = if parameters.is_inside_tls() { Transport::Tls } else { Transport::Clear };
    let certificate = match parameters.certificate {
        Certificate::Of(name) if served.believes_certificates(peer.uid) => Some(name),
        _ => None,
    };
    Begin {
        id,
        socket: served.index,
        peer,
        source,
        mechanism,
        service: parameters.service,
        transport,
        certificate,
        can_bind: minor >= MINOR_WITH_BINDING,
        last_words: parameters.last_words,
        initial: initial.meant(minor),
    }
}
