//! The features of a site by their names in sendmail's configuration.
//!
//! Runs where settings are read: in the parent and in `mailauth`. Plain names; switching one on grants nothing that the
//! administrator did not name.

use crate::settings::{DnFilter, Settings};

impl Settings {
    /// Every name that [`Settings::switch_on`] takes.
    pub const FEATURES: [&'static str; 11] = [
        "lookupdotdomain",
        "skip",
        "relaytofulladdress",
        "check_cert_altnames",
        "delay_checks",
        "tls_perm_err",
        "relay_hosts_only",
        "issuer_common_name",
        "subject_common_name",
        "verified_relay",
        "expn_needs_auth",
    ];

    /// Switches one feature on; `None` when there is no such feature.
    pub fn switch_on(&mut self, feature: &str) -> Option<()> {
        let switch = match feature {
            "lookupdotdomain" => &mut self.lookup_dot_domain,
            "skip" => &mut self.skip,
            "relaytofulladdress" => &mut self.relay_to_full_address,
            "check_cert_altnames" => &mut self.cert_altnames,
            "delay_checks" => &mut self.delay_checks,
            "tls_perm_err" => &mut self.permanent_tls_errors,
            "relay_hosts_only" => &mut self.relay_hosts_only,
            "verified_relay" => &mut self.verified_may_relay,
            "expn_needs_auth" => &mut self.expn_needs_auth,
            "issuer_common_name" => {
                self.issuer_filter = DnFilter::CommonName;
                return Some(());
            }
            "subject_common_name" => {
                self.subject_filter = DnFilter::CommonName;
                return Some(());
            }
            _ => return None,
        };
        *switch = true;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_changes_something_and_no_other_is_known() {
        for feature in Settings::FEATURES {
            let mut settings = Settings::default();
            assert_eq!(settings.switch_on(feature), Some(()), "{feature}");
            assert_ne!(settings, Settings::default(), "{feature}");
        }
        assert_eq!(Settings::default().switch_on("promiscuous_relay"), None);
    }
}
