//! Requests and replies as Postfix writes and reads them, and bytes that are none.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// In the form of SMTPD_POLICY_README of Postfix 3.7: RCPT in a TLS session with a verified client certificate.
const POSTFIX_3_7: &str = "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
    client_address=192.0.2.7\nclient_name=mx.example.org\nclient_port=41234\n\
    reverse_client_name=mx.example.org\nserver_address=192.0.2.1\nserver_port=25\n\
    helo_name=mx.example.org\nsender=joe@example.org\nrecipient=ann@example.net\n\
    recipient_count=0\nqueue_id=\ninstance=1f3a.67e1.0\nsize=412\netrn_domain=\nstress=\n\
    sasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=mx.example.org\nccert_issuer=Root+20CA\n\
    ccert_fingerprint=AB:CD\nccert_pubkey_fingerprint=01:23\nencryption_protocol=TLSv1.3\n\
    encryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\npolicy_context=\n\n";

fn read(text: &str) -> Result<Option<(Request, usize)>, Malformed> {
    decode(text.as_bytes(), 0)
}

#[test]
fn what_postfix_sends() {
    let (request, used) = read(POSTFIX_3_7).unwrap().unwrap();
    assert_eq!(used, POSTFIX_3_7.len());
    assert_eq!(request.value(Attribute::ProtocolState), "RCPT");
    assert_eq!(request.value(Attribute::ClientAddress), "192.0.2.7");
    assert_eq!(request.value(Attribute::CcertIssuer), "Root+20CA");
    assert_eq!(request.value(Attribute::EncryptionKeysize), "256");
    assert_eq!(request.value(Attribute::SaslUsername), "");
    assert_eq!(request.value(Attribute::Verify), "");
}

#[test]
fn every_split_waits_for_the_rest_however_much_was_searched() {
    for end in 0..POSTFIX_3_7.len() {
        let part = &POSTFIX_3_7.as_bytes()[..end];
        assert_eq!(decode(part, 0), Ok(None), "{end}");
        let (_, used) = decode(POSTFIX_3_7.as_bytes(), end).unwrap().unwrap();
        assert_eq!(used, POSTFIX_3_7.len());
    }
}

#[test]
fn requests_that_follow_each_other() {
    let two = POSTFIX_3_7.repeat(2);
    let (_, used) = read(&two).unwrap().unwrap();
    assert!(read(&two[used..]).unwrap().is_some());
}

#[test]
fn what_is_no_request() {
    let policy = "request=smtpd_access_policy\n";
    for (text, why) in [
        ("\n", Malformed::Line),
        ("GET / HTTP/1.1\n\n", Malformed::Line),
        ("protocol_state=RCPT\n\n", Malformed::NoPolicyRequest),
        ("request=junk\n\n", Malformed::NoPolicyRequest),
        (&format!("{policy}{policy}\n"), Malformed::NoPolicyRequest),
        (
            &format!("{policy}sender=a\nverify=OK\nsender=a\n\n"),
            Malformed::Twice(Attribute::Sender),
        ),
        (&format!("{policy}sender=a\r\n\n"), Malformed::Byte),
        (&format!("{policy}sender=a\0b\n\n"), Malformed::Byte),
        (&format!("{policy}{}\n", "x=\n".repeat(MAX_ATTRIBUTES)), Malformed::TooMany),
        (&format!("{policy}x={}\n\n", "x".repeat(MAX_REQUEST)), Malformed::TooLong),
        (&"x".repeat(MAX_REQUEST), Malformed::TooLong),
    ] {
        assert_eq!(read(text), Err(why), "{:?}", text.get(..60));
    }
    assert_eq!(read(&"x".repeat(MAX_REQUEST - 1)), Ok(None));
}

#[test]
fn unknown_attributes_and_strange_bytes_are_no_trouble() {
    let bytes = b"request=smtpd_access_policy\nnew_in_4_0=x\nnew_in_4_0=y\nsender=\xff=b\n\n";
    let (request, _) = decode(bytes, 0).unwrap().unwrap();
    assert_eq!(request.value(Attribute::Sender), "\u{FFFD}=b");
}

#[test]
fn names_lead_back() {
    for attribute in Attribute::ALL {
        assert_eq!(Attribute::from_name(attribute.as_str().as_bytes()), Some(*attribute));
    }
}

#[test]
fn replies_stay_on_their_line_and_never_mean_yes_by_mistake() {
    assert_eq!(Action::Dunno.encode(), b"action=DUNNO\n\n");
    let refusal = Reply::new(550, "5.7.1", "Relaying denied");
    assert_eq!(Action::Reply(refusal).encode(), b"action=550 5.7.1 Relaying denied\n\n");
    assert_eq!(Reply::new(550, "5.7.1", "no\n\naction=OK").as_str(), "550 5.7.1 no  action=OK");
    assert!(Reply::new(250, "2.0.0", "yes").is_temporary());
    assert!(Reply::new(450, "4.7.1", &"é".repeat(900)).as_str().len() <= 480);
}

#[test]
fn replies_are_read_as_postfix_reads_them() {
    assert_eq!(decode_reply(b"action=dunno\n\n"), Ok(Some(Action::Dunno)));
    assert_eq!(decode_reply(b"x=1\naction=OK\n\n"), Ok(Some(Action::Ok)));
    assert_eq!(decode_reply(b"action=550 5.7.1 no\n"), Ok(None));
    let refusal = Reply::new(550, "5.7.1", "no");
    assert_eq!(decode_reply(b"action=550 5.7.1 no\n\n"), Ok(Some(Action::Reply(refusal))));
    let other = Action::Other("PREPEND X-A: b".into());
    assert_eq!(decode_reply(b"action=PREPEND X-A: b\n\n"), Ok(Some(other)));
    assert!(decode_reply(b"hello\n\n").is_err());
    assert!(decode_reply(&[b'x'; 5000]).is_err());
}

#[test]
fn the_client_asks_twice_on_one_connection_and_gives_up_on_silence() {
    let directory = std::env::temp_dir().join(format!("policy-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut received, mut chunk) = (Vec::new(), [0; 100]);
        for action in [Action::Ok, Action::Dunno] {
            while decode(&received, 0).unwrap().is_none() {
                let count = stream.read(&mut chunk).unwrap();
                received.extend_from_slice(&chunk[..count]);
            }
            received.clear();
            stream.write_all(&action.encode()).unwrap();
        }
        stream
    });
    let request = Request::default().with(Attribute::Recipient, "ann@example.net").unwrap();
    let mut connection = client::Connection::open(&path).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let minute = Duration::from_secs(60);
    assert_eq!(connection.ask(&request, minute).unwrap(), Action::Ok);
    assert_eq!(connection.ask(&request, minute).unwrap(), Action::Dunno);
    let _kept_open = server.join().unwrap();
    assert!(connection.ask(&request, Duration::from_millis(10)).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), searched in 0_usize..400) {
        let _ = decode(&bytes, searched);
        let _ = decode_reply(&bytes);
    }

    #[test]
    fn decode_inverts_encode(values in proptest::collection::btree_map(0..Attribute::ALL.len(), "[^\\x00\\r\\n]{1,30}", 0..20)) {
        let mut request = Request::default();
        for (number, value) in values {
            request = request.with(Attribute::ALL[number], &value).unwrap();
        }
        let bytes = request.encode();
        prop_assert_eq!(decode(&bytes, 0), Ok(Some((request, bytes.len()))));
    }
}
