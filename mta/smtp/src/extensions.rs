//! The extensions of EHLO: what a server offers, as lines to send and as lines that were received.
//!
//! Runs on both sides. The receiver writes what its session says can be had now; the sender believes a list only as far
//! as it knows its words, and forgets it all after STARTTLS: a list from the clear may be anybody's.

use crate::reply::{Code, LINE, Received, Reply};
use crate::sasl::Mechanism;
use crate::session::Session;

/// Most mechanisms that are kept of a server's list.
const MAX_MECHANISMS: usize = 32;

/// What a server can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// AUTH (RFC 4954): the mechanisms in the server's order, known ones or not; empty when there is no AUTH.
    pub auth: Vec<Mechanism>,
    /// SIZE (RFC 1870).
    pub size: Option<Size>,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
}

/// How much a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// It doesn't say, or says 0.
    Unbounded,
    /// At most so many bytes.
    AtMost(u64),
}

impl Extensions {
    /// What our receiver offers now: STARTTLS in the clear alone, AUTH in TLS alone and until somebody logged in, and
    /// the rest always. Mechanisms are those that the daemon names.
    pub fn offered(session: &Session, mechanisms: &[Mechanism], size: Size) -> Self {
        Self {
            starttls: session.offers_starttls(),
            auth: if session.offers_auth() { mechanisms.to_vec() } else { Vec::new() },
            size: Some(size),
            pipelining: true,
            eight_bit_mime: true,
            smtputf8: true,
            chunking: true,
            dsn: true,
            enhanced_status_codes: true,
        }
    }

    /// The reply to EHLO, with the server's name first.
    pub fn reply(&self, greeting: &str) -> Reply {
        let flags = [
            (self.pipelining, "PIPELINING"),
            (self.eight_bit_mime, "8BITMIME"),
            (self.smtputf8, "SMTPUTF8"),
            (self.chunking, "CHUNKING"),
            (self.dsn, "DSN"),
            (self.enhanced_status_codes, "ENHANCEDSTATUSCODES"),
            (self.starttls, "STARTTLS"),
        ];
        let mut reply = Reply::plain(Code::DONE, greeting.to_owned());
        for (_, keyword) in flags.into_iter().filter(|(offered, _)| *offered) {
            reply = reply.and(keyword);
        }
        reply = match self.size {
            None => reply,
            Some(Size::Unbounded) => reply.and("SIZE"),
            Some(Size::AtMost(bytes)) => reply.and(format!("SIZE {bytes}")),
        };
        if self.auth.is_empty() {
            return reply;
        }
        let mut line = "AUTH".to_owned();
        for mechanism in &self.auth {
            // A line that is cut would name a mechanism that doesn't exist.
            if line.len() + 1 + mechanism.as_str().len() <= LINE - 6 {
                line.push(' ');
                line.push_str(mechanism.as_str());
            }
        }
        reply.and(line)
    }

    /// Reads a server's reply to EHLO. Words that aren't known, and those with arguments that can't be, are ignored.
    pub fn read(reply: &Received) -> Self {
        let mut known = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "STARTTLS" => known.starttls = true,
                "PIPELINING" => known.pipelining = true,
                "8BITMIME" => known.eight_bit_mime = true,
                "SMTPUTF8" => known.smtputf8 = true,
                "CHUNKING" => known.chunking = true,
                "DSN" => known.dsn = true,
                "ENHANCEDSTATUSCODES" => known.enhanced_status_codes = true,
                "SIZE" => known.size = Some(size(words.next())),
                "AUTH" => known.add_mechanisms(words),
                // Servers once wrote `AUTH=LOGIN` for clients that knew no better.
                other => {
                    if let Some(first) = other.strip_prefix("AUTH=") {
                        known.add_mechanisms(std::iter::once(first).chain(words));
                    }
                }
            }
        }
        known
    }

    fn add_mechanisms<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for mechanism in names.filter_map(Mechanism::new) {
            if self.auth.len() < MAX_MECHANISMS && !self.auth.contains(&mechanism) {
                self.auth.push(mechanism);
            }
        }
    }
}

fn size(argument: Option<&str>) -> Size {
    match argument.and_then(|digits| digits.parse().ok()) {
        None | Some(0) => Size::Unbounded,
        Some(bytes) => Size::AtMost(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Verb;
    use crate::reply::Reader;
    use crate::session::{Auth, Channel, Limits, Offer, Outcome, Role, StartTls, Step};

    fn received(bytes: &[u8]) -> Received {
        let mut reader = Reader::default();
        reader.push(bytes);
        reader.next().unwrap().unwrap()
    }

    fn mechanisms(names: &[&str]) -> Vec<Mechanism> {
        names.iter().filter_map(|name| Mechanism::new(name)).collect()
    }

    #[test]
    fn auth_is_offered_inside_tls_alone_and_starttls_outside() {
        let offer =
            Offer { role: Role::Submission, starttls: StartTls::Offered, auth: Auth::Offered };
        let plain = mechanisms(&["PLAIN", "LOGIN"]);
        let mut session = Session::new(offer, Channel::Clear, Limits::default());
        let words = |session: &Session| {
            let list = Extensions::offered(session, &plain, Size::AtMost(1000));
            String::from_utf8(list.reply("mta.test").encode()).unwrap()
        };
        let clear = words(&session);
        assert!(clear.starts_with("250-mta.test\r\n250-PIPELINING\r\n"), "{clear}");
        assert!(
            clear.ends_with("250-STARTTLS\r\n250 SIZE 1000\r\n") && !clear.contains("AUTH"),
            "{clear}"
        );
        for verb in [Verb::Ehlo, Verb::StartTls] {
            session.done(Step::Command(verb), Outcome::Accept);
        }
        let inside = words(&session);
        assert!(
            inside.ends_with("250 AUTH PLAIN LOGIN\r\n") && !inside.contains("STARTTLS"),
            "{inside}"
        );
        for verb in [Verb::Ehlo, Verb::Auth] {
            session.done(Step::Command(verb), Outcome::Accept);
        }
        assert!(!words(&session).contains("AUTH"));
    }

    #[test]
    fn what_is_offered_is_read_again() {
        let all = Extensions {
            starttls: true,
            auth: mechanisms(&["SCRAM-SHA-256", "X-OWN"]),
            size: Some(Size::AtMost(10_240_000)),
            pipelining: true,
            eight_bit_mime: true,
            smtputf8: true,
            chunking: true,
            dsn: true,
            enhanced_status_codes: true,
        };
        for list in [all, Extensions::default()] {
            assert_eq!(Extensions::read(&received(&list.reply("mta.test").encode())), list);
        }
    }

    #[test]
    fn lists_of_others_are_read_as_far_as_they_make_sense() {
        let list = b"250-STARTTLS\r\n250-size 0\r\n250-AUTH=LOGIN PLAIN\r\n250-AUTH login b\x01d\r\n250-X-FOO \
            bar\r\n250-8bitmime\r\n250 \r\n";
        let list = Extensions::read(&received(list));
        assert!(!list.starttls, "the first line is the server's name");
        assert_eq!(list.auth, mechanisms(&["LOGIN", "PLAIN"]));
        assert_eq!(list.size, Some(Size::Unbounded));
        assert!(list.eight_bit_mime && !list.pipelining);
        let greedy: String = (0..99).map(|number| format!(" M{number}")).collect();
        let list = Extensions::read(&received(format!("250-x\r\n250 AUTH{greedy}\r\n").as_bytes()));
        assert_eq!(list.auth.len(), MAX_MECHANISMS);
        let long =
            (0..30).filter_map(|number| Mechanism::new(&format!("LONG-LONG-LONG-LO-{number}")));
        let long = Extensions { auth: long.collect(), ..list };
        let read = Extensions::read(&received(&long.reply("x").encode()));
        assert_eq!(read.auth, long.auth[..read.auth.len()]);
        assert!((23..30).contains(&read.auth.len()));
    }
}
