//! The part of a report that people read.
//!
//! Runs in the sender. A person who is no administrator should know from the first lines what happened, to whom, and
//! what is left to do.

use std::time::Duration;

use super::{Action, Fate, Report};
use crate::delivery::transport::Source;

impl Report<'_> {
    /// `Subject:` of the report.
    pub(super) fn subject(&self) -> &'static str {
        match self.gravest() {
            Action::Failed => "Mail could not be delivered",
            Action::Delayed => "Mail is delayed",
            Action::Delivered => "Mail was delivered",
            Action::Relayed => "Mail was passed on",
        }
    }

    fn gravest(&self) -> Action {
        let actions = [Action::Failed, Action::Delayed, Action::Relayed];
        let is_here = |action: &Action| self.fates.iter().any(|fate| fate.action == *action);
        actions.into_iter().find(is_here).unwrap_or(Action::Delivered)
    }

    /// The text.
    pub(super) fn human(&self) -> String {
        let mut text = format!("This is the mail system at {}.\r\n", self.hostname);
        let groups = [Action::Failed, Action::Delayed, Action::Relayed, Action::Delivered];
        for action in groups {
            let fates: Vec<_> = self.fates.iter().filter(|fate| fate.action == action).collect();
            if !fates.is_empty() {
                text += &self.heading(action);
                fates.iter().for_each(|fate| text += &paragraph(fate));
            }
        }
        text + "\r\n"
    }

    fn heading(&self, action: Action) -> String {
        match action {
            Action::Failed => {
                "\r\nYour mail could not be delivered to the following, and is not tried again. What is left\r\n\
                 of it is attached.\r\n"
                    .into()
            }
            Action::Delayed => {
                let left = span(Duration::from_secs(self.until.saturating_sub(self.now)));
                format!(
                    "\r\nYour mail could not be delivered to the following yet. It is tried for another {left}.\r\n\
                     There is nothing that you need to do, and no need to send it again.\r\n"
                )
            }
            Action::Relayed => {
                "\r\nYour mail was passed on to a server that does not tell what becomes of it:\r\n".into()
            }
            Action::Delivered => "\r\nYour mail was delivered to:\r\n".into(),
        }
    }
}

fn paragraph(fate: &Fate<'_>) -> String {
    let said = match &fate.reply.source {
        Source::Server(server) => format!("{server} said: {}", fate.reply),
        Source::Local => fate.reply.text.clone(),
    };
    format!("\r\n{}\r\n{}", fate.addressee.recipient, wrapped(&said))
}

/// Indented, at most 78 letters a line but for words that are longer.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 78;
    // No line of a mail is longer than 998; a reply is cut before that.
    const WORD: usize = 900;
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word: String = word.chars().take(WORD).collect();
        if width == 0 || width + 1 + word.len() > WIDTH {
            lines += if width == 0 { "    " } else { "\r\n    " };
            width = 4;
        } else {
            lines.push(' ');
            width += 1;
        }
        width += word.len();
        lines += &word;
    }
    lines + "\r\n"
}

/// In the words of a person: `4 days`, `1 hour`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_a_persons() {
        let of = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            [of(1), of(119), of(7199), of(7200), of(172_800), of(432_000)],
            ["1 second", "119 seconds", "119 minutes", "2 hours", "2 days", "5 days"]
        );
    }

    #[test]
    fn long_replies_are_wrapped_and_never_too_long_for_a_mail() {
        let text = wrapped(&format!("{} {}", "word ".repeat(40), "x".repeat(2000)));
        assert!(text.lines().all(|line| line.len() < 998), "{text}");
        assert!(text.lines().filter(|line| line.len() > 78).count() == 1);
    }
}
