//! One question, one decision: from the name of a ruleset to the rules that answer it.
//!
//! The functions here are all of the engine that other rooms see. They don't fail, don't block and don't allocate
//! in proportion to the map: a decision costs a handful of hash lookups.

use crate::decision::Decision;
use crate::explanation::Explanation;
use crate::facts::Facts;
use crate::lookup::Case;
use crate::map::Map;
use crate::settings::Settings;
use crate::{certificate, recipient, sender, session, tls};

/// What is asked; the names are sendmail's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ruleset {
    /// May this client go on: after STARTTLS and again at MAIL (`TLS_Clt`).
    TlsClient,
    /// May we go on with this server (`TLS_Srv`).
    TlsServer,
    /// May this recipient go over this connection (`TLS_Rcpt`).
    TlsRcpt,
    /// May the client relay because of its certificate.
    Relay,
    /// The complete answer to RCPT.
    CheckRcpt,
    /// The complete answer to MAIL.
    CheckMail,
    /// The answer to a connection.
    CheckRelay,
    /// The answer to VRFY.
    CheckVrfy,
    /// The answer to EXPN.
    CheckExpn,
    /// Shall we try STARTTLS with this server (`Try_TLS`).
    TryTls,
    /// What to offer this client (`Srv_Features`).
    SrvFeatures,
    /// What to use with this server (`Clt_Features`).
    CltFeatures,
    /// TLS options for this client (`TLS_Srv_Features`).
    TlsSrvFeatures,
    /// TLS options for this server (`TLS_Clt_Features`).
    TlsCltFeatures,
    /// What to log in to this server with (`AuthInfo`).
    AuthInfo,
    /// Is the AUTH= parameter of MAIL believed.
    TrustAuth,
}

impl Ruleset {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::TlsClient,
        Self::TlsServer,
        Self::TlsRcpt,
        Self::Relay,
        Self::CheckRcpt,
        Self::CheckMail,
        Self::CheckRelay,
        Self::CheckVrfy,
        Self::CheckExpn,
        Self::TryTls,
        Self::SrvFeatures,
        Self::CltFeatures,
        Self::TlsSrvFeatures,
        Self::TlsCltFeatures,
        Self::AuthInfo,
        Self::TrustAuth,
    ];

    /// sendmail's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TlsClient => "tls_client",
            Self::TlsServer => "tls_server",
            Self::TlsRcpt => "tls_rcpt",
            Self::Relay => "relay",
            Self::CheckRcpt => "check_rcpt",
            Self::CheckMail => "check_mail",
            Self::CheckRelay => "check_relay",
            Self::CheckVrfy => "check_vrfy",
            Self::CheckExpn => "check_expn",
            Self::TryTls => "try_tls",
            Self::SrvFeatures => "srv_features",
            Self::CltFeatures => "clt_features",
            Self::TlsSrvFeatures => "tls_srv_features",
            Self::TlsCltFeatures => "tls_clt_features",
            Self::AuthInfo => "authinfo",
            Self::TrustAuth => "trust_auth",
        }
    }

    /// By sendmail's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ruleset| ruleset.as_str() == name)
    }
}

/// The map as it stands at the moment of a question.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// The site has none: its rules are not asked at all.
    Absent,
    /// Here it is.
    Loaded(&'a Map),
    /// There should be one and it can't be asked: every rule that needs it answers with a temporary failure.
    Unavailable,
}

/// The decision alone.
pub fn decide(
    ruleset: Ruleset,
    settings: &Settings,
    access: Access<'_>,
    facts: &Facts,
) -> Decision {
    answer(ruleset, &mut Case::quiet(settings, access, facts))
}

/// The same decision, and every key and requirement on the way to it.
pub fn explain(
    ruleset: Ruleset,
    settings: &Settings,
    access: Access<'_>,
    facts: &Facts,
) -> Explanation {
    let mut case = Case::telling(settings, access, facts);
    let decision = answer(ruleset, &mut case);
    let (lookups, checks) = case.told();
    Explanation { ruleset, decision, lookups, checks }
}

fn answer(ruleset: Ruleset, case: &mut Case<'_>) -> Decision {
    match ruleset {
        Ruleset::TlsClient => tls::client(case),
        Ruleset::TlsServer => tls::server(case),
        Ruleset::TlsRcpt => tls::recipient(case),
        Ruleset::Relay => certificate::relay(case),
        Ruleset::CheckRcpt => recipient::check(case),
        Ruleset::CheckMail => sender::check(case),
        Ruleset::CheckRelay => sender::connection(case),
        Ruleset::CheckVrfy | Ruleset::CheckExpn => session::expansion(case),
        Ruleset::TryTls => session::try_tls(case),
        Ruleset::SrvFeatures => session::srv_features(case),
        Ruleset::CltFeatures => session::clt_features(case),
        Ruleset::TlsSrvFeatures => session::tls_srv_features(case),
        Ruleset::TlsCltFeatures => session::tls_clt_features(case),
        Ruleset::AuthInfo => session::auth_info(case),
        Ruleset::TrustAuth => session::trust_auth(case),
    }
}
