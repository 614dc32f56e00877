//! H1 to H4: one message is one message, whatever ends its lines, however its bytes arrive.
//!
//! Every split of every ending is walked in memory, beside the decoders; here a sample of them goes over TCP and TLS.

use harness::mta::client::Client;
use harness::mta::sink::{Manner, Sink};
use harness::mta::{House, Place, Plan, ready};

/// What has been taken for the end of a message by somebody: before and behind the dot.
const ENDINGS: [(&str, &str); 10] = [
    ("\n", "\n"),
    ("\n", "\r\n"),
    ("\r\n", "\n"),
    ("\r", "\r"),
    ("\r", "\r\n"),
    ("\r\n", "\r"),
    ("\r", "\n"),
    ("\n", "\r"),
    ("\r\n\0", "\r\n"),
    ("\r\n", "\r\r\n"),
];

const SMUGGLED: &str = "MAIL FROM:<evil@here.example>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n";

fn house() -> (House, Sink) {
    let place = Place::take().unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let route = format!(
        "[[route]]\nto = \"next.example\"\nvia = \"smtp\"\nhost = \"{}\"\nport = {}",
        place.address(),
        sink.port()
    );
    // Before the route of local mail, which is another domain's.
    let plan = Plan::new().map("Connect:127\tRELAY").sections(&route);
    (plan.start_at(place).unwrap(), sink)
}

fn begin(client: &mut Client) {
    client.say("MAIL FROM:<joe@example.org>").unwrap();
    assert_eq!(client.say("RCPT TO:<ann@next.example>").unwrap().code(), 250);
}

/// Replies of what was sent, until the server has nothing more to say.
fn codes(client: &mut Client) -> Vec<u16> {
    client.send(b"NOOP\r\nQUIT\r\n").unwrap();
    let said = client.rest().unwrap();
    said.lines()
        .filter(|line| line.as_bytes().get(3) == Some(&b' '))
        .filter_map(|line| line.get(..3)?.parse().ok())
        .collect()
}

#[test]
fn h1_no_ending_but_the_right_one_ends_a_message() {
    if !ready() {
        return;
    }
    let (house, sink) = house();
    for (before, behind) in ENDINGS {
        let text = format!("Subject: one\r\n\r\nhi{before}.{behind}{SMUGGLED}");
        for pieces in [1, 2, 7] {
            let (mut client, _) = house.visit(house.relay()).unwrap();
            begin(&mut client);
            assert_eq!(client.say("DATA").unwrap().code(), 354);
            for piece in text.as_bytes().chunks(text.len().div_ceil(pieces)) {
                client.send(piece).unwrap();
            }
            let codes = codes(&mut client);
            let accepted = codes.iter().filter(|code| **code == 250).count();
            // The message is refused or kept once; a second one, of what was smuggled, is never begun.
            assert!(!codes.contains(&354), "{before:?}.{behind:?} in {pieces}: {codes:?}");
            assert!(accepted <= 2, "{before:?}.{behind:?} in {pieces}: {codes:?}");
        }
    }
    let smuggled = |message: &harness::mta::sink::Message| {
        message.mail.contains("evil") || message.recipients.iter().any(|to| to.contains("bob"))
    };
    assert!(!sink.messages().iter().any(smuggled), "{:?}", sink.messages());
    assert!(house.mailbox("bob@here.example").is_empty());
    for message in sink.messages() {
        let bare = message.data.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
        assert!(!bare, "a bare line feed went on: {}", message.text());
    }
}

#[test]
fn h1_what_is_counted_is_data_whatever_it_looks_like() {
    if !ready() {
        return;
    }
    let (house, sink) = house();
    for (before, behind) in ENDINGS {
        let (mut client, offered) = house.visit(house.relay()).unwrap();
        assert!(offered.offers("CHUNKING"), "{offered}");
        begin(&mut client);
        let text = format!("Subject: two\r\n\r\nhi{before}.{behind}{SMUGGLED}");
        client.send(format!("BDAT {} LAST\r\n{text}", text.len()).as_bytes()).unwrap();
        let said = client.reply().unwrap();
        assert!([250, 550, 554, 500, 501].contains(&said.code()), "{before:?}.{behind:?}: {said}");
        // After a bare end of line the connection may end with the refusal; what was taken leaves it as it was.
        let after = client.say("NOOP").unwrap().code();
        let ended = after == 0 && said.code() != 250;
        assert!(after == 250 || ended, "{before:?}.{behind:?}: {said}, then {after}");
    }
    assert!(!sink.messages().iter().any(|message| message.mail.contains("evil")));
    assert!(house.mailbox("bob@here.example").is_empty());
}

#[test]
fn h4_a_refused_bdat_takes_its_bytes_with_it() {
    if !ready() {
        return;
    }
    let (house, _sink) = house();
    let (mut client, _) = house.visit(house.relay()).unwrap();
    // No transaction: the chunk is to be read and thrown away, not taken for commands.
    client.send(format!("BDAT {}\r\n{SMUGGLED}NOOP\r\n", SMUGGLED.len()).as_bytes()).unwrap();
    assert_eq!(client.reply().unwrap().code(), 503);
    assert_eq!(client.reply().unwrap().code(), 250);
    assert!(house.mailbox("bob@here.example").is_empty());
}

#[test]
fn h2_a_message_comes_out_as_it_went_in() {
    if !ready() {
        return;
    }
    let (house, sink) = house();
    let text = "Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nend\r\n";
    let (mut client, _) = house.visit(house.relay()).unwrap();
    begin(&mut client);
    client.say("DATA").unwrap();
    let stuffed = text.replace("\r\n.", "\r\n..");
    assert_eq!(client.say(&format!("{stuffed}.")).unwrap().code(), 250);
    begin(&mut client);
    client
        .send(
            format!("BDAT 10\r\n{}BDAT {} LAST\r\n{}", &text[..10], text.len() - 10, &text[10..])
                .as_bytes(),
        )
        .unwrap();
    assert_eq!((client.reply().unwrap().code(), client.reply().unwrap().code()), (250, 250));
    let messages = sink.await_messages(2);
    assert!(
        messages.len() == 2 && messages.iter().all(|message| message.text().ends_with(text)),
        "{messages:?}"
    );
}

#[test]
fn h2_what_goes_on_has_whole_lines_alone() {
    if !ready() {
        return;
    }
    let (house, sink) = house();
    let mut sent = 0;
    // Counted, so that anything could be in it; what is kept is sent on in lines.
    for (before, behind) in ENDINGS {
        for text in [
            format!("Subject: x\r\n\r\n{before}.{behind}end\r\n"),
            format!("{before}.{behind}"),
            format!("Subject: x\r\n\r\n\r\n\r\n.{before}.{behind}.\r\n\r\n..\r\nend"),
        ] {
            let (mut client, _) = house.visit(house.relay()).unwrap();
            begin(&mut client);
            client.send(format!("BDAT {} LAST\r\n{text}", text.len()).as_bytes()).unwrap();
            sent += usize::from(client.reply().unwrap().code() == 250);
        }
    }
    begin_and_end(&house);
    let messages = sink.await_messages(sent + 1);
    assert_eq!(messages.len(), sent + 1, "{}", house.log());
    for message in &messages {
        let bare = |pair: &[u8]| (pair[0] == b'\r') != (pair[1] == b'\n');
        assert!(!message.data.windows(2).any(bare), "{:?}", message.text());
        assert!(message.data.ends_with(b"\r\n") && !message.data.contains(&0));
    }
    // Each is one, for whoever takes lines and dots by the book.
    let ends = sink.wire().iter().filter(|line| *line == "DATA").count();
    assert_eq!(ends, sent + 1, "{:?}", sink.wire());
}

/// A message that is as it should be.
fn begin_and_end(house: &House) {
    let (mut client, _) = house.visit(house.relay()).unwrap();
    begin(&mut client);
    client.say("DATA").unwrap();
    assert_eq!(client.say("Subject: last\r\n\r\nx\r\n.").unwrap().code(), 250);
}

#[test]
fn h3_what_we_write_before_a_message_stays_ours() {
    if !ready() {
        return;
    }
    let (house, sink) = house();
    let texts = [
        " (verify=OK)\r\n\r\nx\r\n",
        "\tby evil.example\r\nSubject: x\r\n\r\nx\r\n",
        ": nameless\r\n\r\nx\r\n",
        "Subject x\r\n\r\nx\r\n",
        "\r\nSubject: none\r\n",
        "Received: from evil.example ([192.0.2.1]) (authenticated bits=0)\r\n\tby mail.here.example\r\n\r\nx\r\n",
        "Authentication-Results: mail.here.example; auth=pass smtp.auth=alice\r\n\r\nx\r\n",
        "Authentication-Results:\r\n mail.here.example; auth=pass smtp.auth=alice\r\n\r\nx\r\n",
        "Authentication-Results: (\r\n) mail.HERE.example 1; auth=pass smtp.auth=alice\r\n\r\nx\r\n",
        "authentication-results : mail.here.example; auth=pass smtp.auth=alice\r\n\r\nx\r\n",
        "",
    ];
    for text in texts {
        // By a line, and in chunks that are cut within its first bytes.
        let (mut client, _) = house.visit(house.relay()).unwrap();
        begin(&mut client);
        client.say("DATA").unwrap();
        assert_eq!(client.say(&format!("{text}.")).unwrap().code(), 250, "{text:?}");
        begin(&mut client);
        let (first, rest) = text.split_at(text.len().min(1));
        let chunks = format!("BDAT {}\r\n{first}BDAT {} LAST\r\n{rest}", first.len(), rest.len());
        client.send(chunks.as_bytes()).unwrap();
        let codes = (client.reply().unwrap().code(), client.reply().unwrap().code());
        assert_eq!(codes, (250, 250), "{text:?}");
    }
    let messages = sink.await_messages(2 * texts.len());
    assert_eq!(messages.len(), 2 * texts.len(), "{}", house.log());
    for message in messages {
        let text = message.text();
        // Ours is the first field with the lines that belong to it; whatever is indented behind it would too.
        let next =
            text.match_indices("\r\n").find(|(at, _)| !text[at + 2..].starts_with([' ', '\t']));
        let ours = &text[..next.unwrap().0];
        assert!(ours.starts_with("Received: from client.example ([127.0.0.1])"), "{text}");
        assert!(
            ours.contains("\r\n\tfor <ann@next.example>; ") && ours.ends_with("+0000"),
            "{text}"
        );
        for word in ["verify=OK", "evil", "authenticated", "nameless"] {
            assert!(!ours.contains(word), "{text}");
        }
        let (header, _) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        assert!(!header.contains("auth=pass"), "{text}");
    }
}

#[test]
fn what_is_sent_in_one_packet_is_answered_in_order() {
    if !ready() {
        return;
    }
    let (house, sink) = house();
    let (mut client, _) = house.visit(house.relay()).unwrap();
    client
        .send(b"MAIL FROM:<joe@example.org>\r\nRCPT TO:<ann@next.example>\r\nRCPT TO:<nobody@other.example\r\nDATA\r\n")
        .unwrap();
    let codes: Vec<u16> = (0..4).map(|_| client.reply().unwrap().code()).collect();
    assert_eq!((codes[0], codes[1], codes[3]), (250, 250, 354), "{codes:?}");
    assert_eq!(codes[2] / 100, 5, "{codes:?}");
    client.send(b"Subject: piped\r\n\r\nx\r\n.\r\nNOOP\r\nQUIT\r\n").unwrap();
    let rest: Vec<u16> = (0..3).map(|_| client.reply().unwrap().code()).collect();
    assert_eq!(rest, [250, 250, 221]);
    assert_eq!(sink.await_messages(1).len(), 1);
}
