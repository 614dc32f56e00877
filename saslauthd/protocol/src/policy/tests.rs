//! Requests and replies as Postfix writes and reads them, and bytes that are none.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Postfix 3.7.11 (Debian 3.7.11-0+deb12u1) at RCPT: TLS, and a client certificate that verified.
const POSTFIX_3_7_11: &str = "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
    client_address=127.0.0.11\nclient_name=unknown\nclient_port=42391\n\
    reverse_client_name=unknown\nserver_address=127.0.0.2\nserver_port=465\n\
    helo_name=client.example.test\nsender=joe@example.org\nrecipient=ann@elsewhere.test\n\
    recipient_count=0\nqueue_id=\ninstance=46.6b034648.c33cf.0\nsize=0\netrn_domain=\nstress=\n\
    sasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=member\nccert_issuer=Members\n\
    ccert_fingerprint=DB:39:26:65:61:B1:51:61:1B:C2:CB:FF:E5:59:9C:96:99:14:1B:84:59:AE:20:71:A0:46:6B:F8:48:F2:2B:48\n\
    ccert_pubkey_fingerprint=DF:29:52:6C:1B:E1:93:DD:89:02:9E:70:31:34:3D:0F:96:32:BC:66:27:8E:20:5C:F7:10:85:85:34:0F:FC:5C\n\
    encryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\n\
    policy_context=\n\n";

/// The same of a certificate that nobody known signed.
const POSTFIX_3_7_11_UNVERIFIED: &str = "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
    client_address=127.0.0.11\nclient_name=unknown\nclient_port=37517\n\
    reverse_client_name=unknown\nserver_address=127.0.0.2\nserver_port=465\n\
    helo_name=client.example.test\nsender=joe@example.org\nrecipient=ann@elsewhere.test\n\
    recipient_count=0\nqueue_id=\ninstance=5d.6b034648.d7e2a.0\nsize=0\netrn_domain=\nstress=\n\
    sasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\n\
    ccert_fingerprint=8C:00:B8:63:A3:D6:F6:A7:73:72:5F:66:34:C8:C1:F8:3F:F0:7B:EF:04:E1:D3:5B:AA:3F:5B:ED:4F:2E:37:B3\n\
    ccert_pubkey_fingerprint=88:86:8D:11:2D:D6:00:1C:C9:48:F7:47:00:A3:BB:2A:B3:A2:E6:21:B3:E9:DD:AC:12:A2:1E:A9:C3:2F:42:2D\n\
    encryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\n\
    policy_context=\n\n";

/// The same without TLS.
const POSTFIX_3_7_11_CLEAR: &str = "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
    client_address=127.0.0.1\nclient_name=localhost\nclient_port=60942\n\
    reverse_client_name=localhost\nserver_address=127.0.0.2\nserver_port=25\n\
    helo_name=client.example.test\nsender=joe@example.org\nrecipient=ann@elsewhere.test\n\
    recipient_count=0\nqueue_id=\ninstance=4f.6b034648.a91fb.0\nsize=0\netrn_domain=\nstress=\n\
    sasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\n\
    ccert_pubkey_fingerprint=\nencryption_protocol=\nencryption_cipher=\nencryption_keysize=0\n\
    policy_context=\n\n";

fn read(text: &str) -> Result<Option<(Request, usize)>, Malformed> {
    decode(text.as_bytes(), 0)
}

#[test]
fn what_postfix_sends() {
    let (request, used) = read(POSTFIX_3_7_11).unwrap().unwrap();
    assert_eq!(used, POSTFIX_3_7_11.len());
    assert_eq!(request.value(Attribute::ProtocolState), "RCPT");
    assert_eq!(request.value(Attribute::ClientAddress), "127.0.0.11");
    assert_eq!(request.value(Attribute::CcertSubject), "member");
    assert_eq!(request.value(Attribute::CcertIssuer), "Members");
    assert_eq!(request.value(Attribute::EncryptionKeysize), "256");
    assert_eq!(request.value(Attribute::SaslUsername), "");
    assert_eq!(request.value(Attribute::Verify), "");
    let (unverified, _) = read(POSTFIX_3_7_11_UNVERIFIED).unwrap().unwrap();
    assert_eq!(unverified.value(Attribute::CcertSubject), "");
    let pin = unverified.value(Attribute::CcertPubkeyFingerprint);
    assert_eq!((pin.len(), pin.matches(':').count()), (95, 31), "SHA-256");
    let (clear, _) = read(POSTFIX_3_7_11_CLEAR).unwrap().unwrap();
    assert_eq!(clear.value(Attribute::CcertPubkeyFingerprint), "");
    assert_eq!(clear.value(Attribute::EncryptionProtocol), "");
    assert_eq!(clear.value(Attribute::EncryptionKeysize), "0");
}

#[test]
fn every_attribute_of_postfix_is_known() {
    for line in POSTFIX_3_7_11.lines().filter_map(|line| line.split_once('=')) {
        let known = Attribute::from_name(line.0.as_bytes()).is_some();
        assert!(known || line.0 == REQUEST, "{line:?}");
    }
}

#[test]
fn every_split_waits_for_the_rest_however_much_was_searched() {
    for end in 0..POSTFIX_3_7_11.len() {
        let part = &POSTFIX_3_7_11.as_bytes()[..end];
        assert_eq!(decode(part, 0), Ok(None), "{end}");
        let (_, used) = decode(POSTFIX_3_7_11.as_bytes(), end).unwrap().unwrap();
        assert_eq!(used, POSTFIX_3_7_11.len());
    }
}

#[test]
fn requests_that_follow_each_other() {
    let two = POSTFIX_3_7_11.repeat(2);
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
fn a_value_travels_beside_the_action_or_not_at_all() {
    let said = |value: &str| Response { action: Action::Dunno, value: Some(value.to_owned()) };
    for value in ["", "S V", "CRLFile=/x;CipherList=HIGH"] {
        let bytes = said(value).encode();
        assert_eq!(bytes, format!("action=DUNNO\nvalue={value}\n\n").as_bytes());
        let two = [&bytes[..], b"action=OK\n\n"].concat();
        assert_eq!(Response::decode(&two), Ok(Some((said(value), bytes.len()))));
        assert_eq!(decode_reply(&bytes), Ok(Some(Action::Dunno)));
    }
    for value in ["a\nb".to_owned(), "a\n\naction=OK".to_owned(), "x".repeat(MAX_VALUE + 1)] {
        let bytes = said(&value).encode();
        assert!(bytes.starts_with(b"action=451 4.3.0 "), "{value}");
        assert!(bytes.ends_with(b"\n\n"));
    }
    assert!(Response::decode(b"action=DUNNO\nvalue=a\nvalue=b\n\n").is_err());
    assert!(Response::decode(b"value=a\n\n").is_err());
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
