//! Envelopes for tests.

use std::net::SocketAddr;

use smtp::command::{Command, MailParameters, RcptParameters};

use super::envelope::{Addressee, Envelope, Origin};
use super::id::Id;

/// Of so many recipients.
pub(super) fn envelope(id: Id, recipients: usize) -> Envelope {
    let Ok(Command::Mail(sender, parameters)) = Command::parse(
        b"MAIL FROM:<\"a b>\"@example.org> SIZE=5 BODY=8BITMIME RET=HDRS ENVID=a+2Bb AUTH=c@d",
    ) else {
        panic!("the sample is no MAIL")
    };
    let recipients = (0..recipients).map(|number| addressee(&format!("to{number}@example.net")));
    Envelope {
        id,
        arrived: 1_700_000_000,
        sender,
        parameters,
        recipients: recipients.collect(),
        origin: Origin::Received {
            client: "[2001:db8::1]:4242".parse::<SocketAddr>().unwrap(),
            name: "client.example.org".into(),
            helo: "[192.0.2.1]".into(),
            with: "ESMTPSA".into(),
            user: Some("user@example.org\r\nwith a line break".into()),
            held: None,
        },
    }
}

/// A report of our own for one recipient.
pub(super) fn own(id: Id) -> Envelope {
    Envelope {
        id,
        arrived: 1_700_000_000,
        sender: smtp::address::Sender::Null,
        parameters: MailParameters::default(),
        recipients: vec![Addressee { parameters: RcptParameters::default(), ..addressee("a@b") }],
        origin: Origin::Own,
    }
}

fn addressee(address: &str) -> Addressee {
    let line = format!("RCPT TO:<{address}> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;{address}");
    match Command::parse(line.as_bytes()) {
        Ok(Command::Rcpt(recipient, parameters)) => Addressee { recipient, parameters },
        other => panic!("{other:?}"),
    }
}
