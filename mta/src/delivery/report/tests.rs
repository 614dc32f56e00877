//! Reports as they leave.

use smtp::address::Recipient;
use smtp::command::{AddressType, EnvelopeId, OriginalRecipient, RcptParameters};
use smtp::reply::{Code, Status};
use smtp::xtext;

use super::*;
use crate::delivery::transport::Source;
use crate::spool::envelope::Origin;
use crate::spool::id::Id;

fn addressee(address: &str) -> Addressee {
    Addressee {
        recipient: Recipient::Address(smtp::address::Address::parse(address).unwrap()),
        parameters: RcptParameters::default(),
    }
}

fn envelope(sender: &str, recipients: &[&str]) -> Envelope {
    Envelope {
        id: Id::parse(b"abcdefgh01234567").unwrap(),
        arrived: 1_795_375_236,
        sender: Sender::Address(smtp::address::Address::parse(sender).unwrap()),
        parameters: MailParameters::default(),
        recipients: recipients.iter().map(|address| addressee(address)).collect(),
        origin: Origin::Received {
            client: "192.0.2.9:4000".parse().unwrap(),
            name: "client.example".into(),
            helo: "laptop".into(),
            with: "ESMTPSA".into(),
            user: Some("alice".into()),
            held: None,
        },
    }
}

fn reply() -> Reply {
    Reply {
        code: Code::REFUSED,
        status: Status { subject: 1, detail: 1 },
        text: "no such user".into(),
        source: Source::Server("mx.example.org [192.0.2.1]".into()),
    }
}

fn written(envelope: &Envelope, action: Action, text: &[u8]) -> (String, Written) {
    let reply = reply();
    let fates: Vec<Fate<'_>> = envelope
        .recipients
        .iter()
        .map(|addressee| Fate { addressee, action, reply: &reply })
        .collect();
    let report = Report {
        hostname: "mta.example.net",
        envelope,
        fates: &fates,
        now: 1_795_375_300,
        until: 1_795_375_300 + 86_400,
        nonce: "n0nce",
    };
    let written = report.write(text, text.len() as u64).unwrap();
    (String::from_utf8(written.text.clone()).unwrap(), written)
}

#[test]
fn a_failure_tells_people_first_and_programs_all_of_it() {
    let mut envelope = envelope("alice@example.net", &["bob@example.org"]);
    envelope.parameters.envid = EnvelopeId::new(xtext::Text::new("QQ 7+").unwrap());
    envelope.recipients[0].parameters.orcpt = Some(OriginalRecipient {
        kind: AddressType::new("rfc822").unwrap(),
        address: xtext::Text::new("bobby@example.org").unwrap(),
    });
    let (text, written) =
        written(&envelope, Action::Failed, b"Subject: hello\r\n\r\nHow are you?\r\n");
    let expected = "\
Date: Sun, 22 Nov 2026 19:21:40 +0000\r
From: Mail Delivery System <MAILER-DAEMON@mta.example.net>\r
To: alice@example.net\r
Subject: Mail could not be delivered\r
Message-ID: <n0nce@mta.example.net>\r
Auto-Submitted: auto-replied\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status;\r
\tboundary=\"report-n0nce\"\r
\r
This is a report about mail, for people and for programs.\r
\r
--report-n0nce\r
Content-Type: text/plain; charset=us-ascii\r
\r
This is the mail system at mta.example.net.\r
\r
Your mail could not be delivered to the following, and is not tried again. What is left\r
of it is attached.\r
\r
<bob@example.org>\r
    mx.example.org [192.0.2.1] said: 550 5.1.1 no such user\r
\r
\r
--report-n0nce\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; mta.example.net\r
Original-Envelope-Id: QQ 7+\r
Received-From-MTA: dns; laptop\r
Arrival-Date: Sun, 22 Nov 2026 19:20:36 +0000\r
\r
Original-Recipient: rfc822; bobby@example.org\r
Final-Recipient: rfc822; bob@example.org\r
Action: failed\r
Status: 5.1.1\r
Remote-MTA: dns; mx.example.org\r
Diagnostic-Code: smtp; 550 5.1.1 no such user\r
Last-Attempt-Date: Sun, 22 Nov 2026 19:21:40 +0000\r
Final-Log-ID: abcdefgh01234567\r
\r
--report-n0nce\r
Content-Type: message/rfc822\r
\r
Subject: hello\r
\r
How are you?\r
\r
--report-n0nce--\r
";
    assert_eq!(text, expected);
    assert_eq!(written.parameters.body, Some(Body::SevenBit));
    assert_eq!(written.parameters.smtputf8, Smtputf8::Absent);
}

#[test]
fn only_the_header_comes_back_when_that_was_asked_for_or_the_mail_is_long() {
    let mut envelope = envelope("alice@example.net", &["bob@example.org"]);
    let mut long = b"Subject: long\r\nX-A: b\r\n\r\n".to_vec();
    long.extend(b"secret body\r\n".repeat(MOST / 13 + 1));
    for (text, ret) in
        [(long.as_slice(), None), (b"Subject: long\r\n\r\nsecret body\r\n", Some(Return::Headers))]
    {
        envelope.parameters.ret = ret;
        let (report, _) = written(&envelope, Action::Failed, text);
        assert!(report.contains("Content-Type: text/rfc822-headers\r\n\r\nSubject: long\r\n"));
        assert!(!report.contains("secret"), "{report}");
    }
    envelope.parameters.ret = Some(Return::Full);
    let (report, _) = written(&envelope, Action::Delayed, b"A: b\r\n\r\nsecret body\r\n");
    assert!(!report.contains("secret"), "delays and successes return the header alone");
}

#[test]
fn a_header_without_end_is_cut_at_a_line() {
    let envelope = envelope("alice@example.net", &["bob@example.org"]);
    let endless = b"X-Long: 0123456789\r\n".repeat(MOST / 10);
    let (report, _) = written(&envelope, Action::Failed, &endless);
    assert!(report.len() < MOST + 4096);
    assert!(report.ends_with("X-Long: 0123456789\r\n\r\n--report-n0nce--\r\n"));
    let mut none = vec![b'x'; 100];
    truncate(&mut none);
    assert!(none.is_empty());
}

#[test]
fn letters_beyond_ascii_make_a_report_of_rfc_6533() {
    let envelope = envelope("alice@example.net", &["b\u{fc}b@example.org"]);
    let (report, written) = written(&envelope, Action::Failed, b"A: b\r\n\r\nc\r\n");
    assert!(report.contains("report-type=global-delivery-status;"));
    assert!(report.contains("Content-Type: message/global-delivery-status\r\n"));
    assert!(report.contains("Final-Recipient: utf-8; b\u{fc}b@example.org\r\n"));
    assert!(report.contains("Content-Type: message/global\r\n"));
    assert_eq!(written.parameters.smtputf8, Smtputf8::Present);
}

#[test]
fn eight_bit_mail_makes_an_eight_bit_report() {
    let envelope = envelope("alice@example.net", &["bob@example.org"]);
    let (report, written) = written(&envelope, Action::Failed, "A: b\r\n\r\n\u{fc}\r\n".as_bytes());
    assert!(report.contains("report-type=delivery-status;"));
    assert!(report.contains("Content-Transfer-Encoding: 8bit\r\n"));
    assert_eq!(written.parameters.body, Some(Body::EightBitMime));
}

#[test]
fn senders_hear_what_they_asked_for() {
    let on = |success, failure, delay| Some(Notify::On(NotifyOn { success, failure, delay }));
    let wanted = |notify| {
        [Action::Failed, Action::Delayed, Action::Relayed, Action::Delivered]
            .map(|action| action.is_wanted(notify))
    };
    assert_eq!(wanted(None), [true, true, false, false]);
    assert_eq!(wanted(Some(Notify::Never)), [false; 4]);
    assert_eq!(wanted(on(true, false, false)), [false, false, true, true]);
    assert_eq!(wanted(on(false, true, false)), [true, false, false, false]);
    assert_eq!(wanted(on(false, false, true)), [false, true, false, false]);
}

#[test]
fn a_delay_says_until_when() {
    let envelope = envelope("alice@example.net", &["bob@example.org"]);
    let (report, _) = written(&envelope, Action::Delayed, b"A: b\r\n\r\nc\r\n");
    assert!(report.contains("Subject: Mail is delayed\r\n"));
    assert!(report.contains("It is tried for another 24 hours.\r\n"));
    assert!(report.contains("Will-Retry-Until: Mon, 23 Nov 2026 19:21:40 +0000\r\n"));
}
