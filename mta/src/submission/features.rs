//! What a client is offered: the letters of `Srv_Features:`, of whose words only the first counts.
//!
//! Runs in the receiver; a pure function of the map's text. Letters for what isn't done here mean nothing.

use crate::config::AskForCertificate;

/// What the access map changes for one client. Capital letters take away, small ones demand or give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// `A`: not offered.
    pub(super) auth: bool,
    /// `S`: not offered.
    pub(super) starttls: bool,
    /// `V`: not asked for; `v`: asked for. Otherwise as the settings say.
    pub(super) certificate: Option<AskForCertificate>,
    /// `l`: nobody sends without.
    pub(super) login_needed: bool,
    /// `P`: not offered.
    pub(super) pipelining: bool,
    /// `D`: not offered.
    pub(super) dsn: bool,
    /// `X`: never answered.
    pub(super) expn: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            auth: true,
            starttls: true,
            certificate: None,
            login_needed: false,
            pipelining: true,
            dsn: true,
            expn: true,
        }
    }
}

impl Features {
    /// Reads an entry's words.
    pub(super) fn read(words: &str) -> Self {
        let mut features = Self::default();
        for letter in words.split_ascii_whitespace().filter_map(|word| word.chars().next()) {
            match letter {
                'A' => features.auth = false,
                'a' => features.auth = true,
                'S' => features.starttls = false,
                's' => features.starttls = true,
                'V' => features.certificate = Some(AskForCertificate::Never),
                'v' => features.certificate = Some(AskForCertificate::Always),
                'L' => features.login_needed = false,
                'l' => features.login_needed = true,
                'P' => features.pipelining = false,
                'p' => features.pipelining = true,
                'D' => features.dsn = false,
                'd' => features.dsn = true,
                'X' => features.expn = false,
                'x' => features.expn = true,
                _ => {}
            }
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_letter_of_each_word_counts_and_the_last_one_wins() {
        assert_eq!(Features::read(""), Features::default());
        assert_eq!(Features::read("Z c C"), Features::default());
        let strict = Features::read("V S l A");
        assert!(!strict.starttls && strict.login_needed && !strict.auth);
        assert_eq!(strict.certificate, Some(AskForCertificate::Never));
        let never = Some(AskForCertificate::Never);
        assert_eq!(Features::read("Vx"), Features { certificate: never, ..Features::default() });
        let always = Some(AskForCertificate::Always);
        assert_eq!(Features::read("V v"), Features { certificate: always, ..Features::default() });
    }
}
