//! Lines of the log in sendmail's shape, one for each recipient and attempt.
//!
//! Runs in the sender. Addresses and replies are strangers' text: whatever could end a field or a line is escaped.

use std::time::Duration;

use protocol::Quoted;

use crate::delivery::transport::{Outcome, Report};
use crate::spool::queue::Message;

/// `ID: to=<…>, delay=…, xdelay=…, mailer=…, pri=…, relay=…, dsn=…, stat=…`
pub(super) fn attempt(
    message: &Message,
    report: &Report,
    delay: Duration,
    took: Duration,
) -> Vec<String> {
    let envelope = &message.envelope;
    // sendmail's: what is large and for many comes last.
    let priority = message.size.saturating_add(30_000 * envelope.recipients.len() as u64);
    let relay = match report.relay.as_str() {
        "" => String::new(),
        relay => format!(" relay={},", plain(relay)),
    };
    let line = |(number, outcome): &(u32, Outcome)| {
        let addressee = envelope.recipients.get(usize::try_from(*number).ok()?)?;
        Some(format!(
            "{}: to={}, delay={}, xdelay={}, mailer={}, pri={priority},{relay} dsn={}, stat={}",
            envelope.id,
            plain(&addressee.recipient.to_string()),
            clock(delay),
            clock(took),
            report.mailer,
            outcome.reply().dsn(),
            plain(&outcome.to_string()),
        ))
    };
    report.outcomes.iter().filter_map(line).collect()
}

/// Without the quotes, since the fields of this shape never had any; nothing inside can end a line.
pub(super) fn plain(text: &str) -> String {
    let quoted = Quoted(text.as_bytes()).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

/// `00:01:05`, `2+03:00:00`.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let rest = format!("{hours:02}:{:02}:{:02}", seconds / 60 % 60, seconds % 60);
    if days == 0 { rest } else { format!("{days}+{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_sendmails() {
        let of = |seconds| clock(Duration::from_secs(seconds));
        assert_eq!(of(65), "00:01:05");
        assert_eq!(of(2 * 86_400 + 3 * 3600), "2+03:00:00");
    }

    #[test]
    fn nothing_ends_a_line() {
        assert_eq!(plain("<a\"b@c>\n"), r"<a\x22b@c>\x0a");
    }
}
