//! Questions about recipients that came in one piece with what is being answered: they are asked in one piece too, so
//! that a pipelined message waits for the daemon once and not once for each recipient.
//!
//! Runs in the receiver. Only the question is early. Each command is read, judged and answered in its turn as if nothing
//! had been foreseen, and an answer counts only for the very question that was asked: a foreseen one that fits nothing
//! is dropped.

use std::collections::VecDeque;

use smtp::command::{Command, Smtputf8, recipient_fits};
use smtp::line::{Scan, scan};

use crate::policy::{About, Asked, Policy, Question};

/// Most questions of a session that are asked before their turn.
const MOST: usize = 16;

/// Questions that were asked before their turn, in their order.
#[derive(Default)]
pub(super) struct Foresight(VecDeque<(Question, Asked)>);

impl Foresight {
    /// Asks about the recipients that `rest`, which was read and not yet understood, begins with. `facts` are those of
    /// their message.
    pub(super) fn look(
        policy: &Policy,
        facts: &Question,
        smtputf8: Smtputf8,
        mut rest: &[u8],
    ) -> Self {
        let mut foreseen = VecDeque::new();
        while foreseen.len() < MOST
            && let Some((line, behind)) = first_recipient(rest)
        {
            rest = behind;
            let Ok(Command::Rcpt(recipient, _)) = Command::parse(line) else { break };
            if recipient_fits(&recipient, smtputf8).is_err() {
                break;
            }
            let question = facts.clone().to(&recipient).about(About::Recipient);
            let Some(asked) = policy.begin_early(&question) else { break };
            foreseen.push_back((question, asked));
        }
        Self(foreseen)
    }

    /// What was asked in this way, if it is next.
    pub(super) fn take(&mut self, question: &Question) -> Option<Asked> {
        let (foreseen, asked) = self.0.pop_front()?;
        if foreseen == *question {
            return Some(asked);
        }
        self.0.clear();
        None
    }
}

/// The first line, if it is whole and RCPT, and what is behind it.
fn first_recipient(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    // Nothing else is looked at: it may be a password.
    rest.get(..4).filter(|verb| verb.eq_ignore_ascii_case(b"RCPT"))?;
    let Scan::Line(length) = scan(rest) else { return None };
    Some((rest.get(..length)?, rest.get(length + 2..)?))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use protocol::policy::{Attribute, decode};
    use smtp::address::Recipient;

    use super::*;
    use crate::daemon::Connector;
    use crate::policy::{Answer, Resolved};

    fn recipient(line: &[u8]) -> Recipient {
        match Command::parse(line) {
            Ok(Command::Rcpt(recipient, _)) => recipient,
            _ => panic!("{line:?}"),
        }
    }

    #[tokio::test]
    async fn recipients_are_asked_about_in_one_piece_and_each_has_its_own_answer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy");
        let listening = UnixListener::bind(&path).unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listening.accept().unwrap();
            let (mut received, mut asked) = (Vec::new(), Vec::new());
            // Nobody is answered before all have asked.
            while asked.len() < 3 {
                let mut chunk = [0; 4096];
                let count = stream.read(&mut chunk).unwrap();
                received.extend_from_slice(&chunk[..count]);
                while let Some((request, used)) = decode(&received, 0).unwrap() {
                    received.drain(..used);
                    asked.push(request.value(Attribute::Recipient).to_owned());
                }
            }
            stream.write_all(b"action=OK\n\naction=550 5.7.1 no\n\naction=OK\n\n").unwrap();
            asked
        });
        let policy = Policy::new(Connector::Path(path), Duration::from_secs(20));
        let at = |text: &str| text.parse().unwrap();
        let facts =
            Question::of_client(at("203.0.113.9:99"), at("192.0.2.1:25"), Resolved::Nameless);
        let rest = b"RCPT TO:<a@x.test>\r\nrcpt to:<b@x.test>\r\nRCPT TO:<c@x.test>\r\n\
                     DATA\r\nRCPT TO:<d@x.test>\r\n";
        let mut foresight = Foresight::look(&policy, &facts, Smtputf8::Absent, rest);
        let about = |line: &[u8]| facts.clone().to(&recipient(line)).about(About::Recipient);
        let first = foresight.take(&about(b"RCPT TO:<a@x.test>")).unwrap();
        assert_eq!(first.answer().await, Answer::Permitted);
        let second = foresight.take(&about(b"RCPT TO:<b@x.test>")).unwrap();
        assert!(matches!(second.answer().await, Answer::Refused(_)));
        assert!(foresight.take(&about(b"RCPT TO:<z@x.test>")).is_none(), "nobody asked that");
        assert!(foresight.take(&about(b"RCPT TO:<c@x.test>")).is_none(), "nothing is left");
        assert_eq!(serving.join().unwrap(), ["a@x.test", "b@x.test", "c@x.test"]);
    }
}
