//! The smaller questions: whether to try TLS, which features and options, what to log in with, whose AUTH= to
//! believe, and who may expand lists.

use crate::decision::{Action, Decision};
use crate::facts::filled;
use crate::lookup::{Case, Found, Tagged, hit};
use crate::map::Entry;
use crate::reply::Reply;
use crate::settings::Generation;
use crate::tls::peer_entry;
use crate::value::Rule;

/// `Try_TLS`: the reply goes to the log only. sendmail takes a failing map for "send in clear"; here it is "later".
pub(crate) fn try_tls(case: &mut Case<'_>) -> Decision {
    let facts = case.facts;
    match peer_entry(case, "Try_TLS", facts.server_name.as_ref(), facts.server_addr.as_ref()) {
        Found::Unavailable => Decision::unavailable(),
        Found::Entry(entry @ Entry { rule: Rule::NoTls, .. }) => {
            let name = facts.server_name.as_deref().unwrap_or("");
            let address = facts.server_addr.as_deref().unwrap_or("");
            let text = format!("do not try TLS with {name} [{address}]");
            let reply = Some(Reply::new(550, "5.7.1", text));
            let decision = Decision::new(Action::Skip, "the entry says NO").by(Some(hit(entry)));
            Decision { reply, ..decision }
        }
        Found::Entry(entry) => {
            Decision::new(Action::Try, "the entry does not say NO").by(Some(hit(entry)))
        }
        Found::Nothing => Decision::new(Action::Try, "no entry is about this server"),
    }
}

/// `Srv_Features` of a client.
pub(crate) fn srv_features(case: &mut Case<'_>) -> Decision {
    let facts = case.facts;
    let (name, address) = (facts.client_name.as_ref(), facts.client_addr.as_ref());
    let found = peer_entry(case, "Srv_Features", name, address);
    features(found)
}

/// `Clt_Features` of a server. Before 8.18 sendmail looked up the client's name, if there was one.
pub(crate) fn clt_features(case: &mut Case<'_>) -> Decision {
    let facts = case.facts;
    let found = match case.settings.generation() {
        Generation::V8_15 | Generation::V8_17 => {
            let (name, address) = (facts.client_name.as_ref(), facts.client_addr.as_ref());
            peer_entry(case, "Clt_Features", name, address)
        }
        Generation::V8_18 => peer_entry(case, "Clt_Features", facts.server_name.as_ref(), None),
    };
    features(found)
}

/// Without a map to ask sendmail answers "later" and has no text for it.
fn features(found: Found<'_>) -> Decision {
    match found {
        Found::Unavailable => Decision { reply: None, ..Decision::unavailable() },
        Found::Entry(entry) => match &entry.rule {
            Rule::Features(words) => {
                let action = Action::Features(words.clone());
                Decision::new(action, "the entry names them").by(Some(hit(entry)))
            }
            _ => Decision::new(Action::Default, "the entry names none").by(Some(hit(entry))),
        },
        Found::Nothing => Decision::new(Action::Default, "no entry is about this host"),
    }
}

/// `TLS_Srv_Features` of a client.
pub(crate) fn tls_srv_features(case: &mut Case<'_>) -> Decision {
    let facts = case.facts;
    options(case, "TLS_Srv_Features", facts.client_name.as_ref(), facts.client_addr.as_ref())
}

/// `TLS_Clt_Features` of a server.
pub(crate) fn tls_clt_features(case: &mut Case<'_>) -> Decision {
    let facts = case.facts;
    options(case, "TLS_Clt_Features", facts.server_name.as_ref(), facts.server_addr.as_ref())
}

/// By name and by address; these tags have no default.
fn options(
    case: &mut Case<'_>,
    tag: &str,
    name: Option<&String>,
    address: Option<&String>,
) -> Decision {
    let found = filled(name).map_or(Found::Nothing, |name| case.host(tag, name, Tagged::Only));
    let found = found.or_else(|| {
        filled(address).map_or(Found::Nothing, |address| case.address(tag, address, Tagged::Only))
    });
    match found {
        Found::Unavailable => Decision::unavailable(),
        Found::Entry(entry @ Entry { rule: Rule::Options(text), .. }) => {
            let action = Action::Options(text.clone());
            Decision::new(action, "the entry sets them").by(Some(hit(entry)))
        }
        Found::Entry(_) | Found::Nothing => {
            Decision::new(Action::None, "no entry is about this host")
        }
    }
}

/// `AuthInfo` of a server.
pub(crate) fn auth_info(case: &mut Case<'_>) -> Decision {
    let facts = case.facts;
    match peer_entry(case, "AuthInfo", facts.server_name.as_ref(), facts.server_addr.as_ref()) {
        Found::Unavailable => Decision::unavailable(),
        Found::Entry(entry @ Entry { rule: Rule::AuthInfo(info), .. }) => {
            let action = Action::AuthInfo(info.clone());
            Decision::new(action, "the entry has them").by(Some(hit(entry)))
        }
        Found::Entry(_) | Found::Nothing => {
            Decision::new(Action::None, "no entry is about this server")
        }
    }
}

/// Is the AUTH= parameter of MAIL believed (RFC 4954 §5)? Only from the one who logged in, about himself.
pub(crate) fn trust_auth(case: &mut Case<'_>) -> Decision {
    let facts = case.facts;
    let author = facts.auth_author.as_deref().unwrap_or("");
    let authen = facts.auth_authen.as_deref().unwrap_or("");
    let refuse = |text: String, because| Decision::refuse(Reply::new(550, "5.7.1", text), because);
    if filled(facts.auth_type.as_ref()).is_none() {
        return refuse("not authenticated".to_owned(), "the client has not logged in");
    }
    let bare = author.strip_prefix('<').and_then(|author| author.strip_suffix('>'));
    if author.eq_ignore_ascii_case(authen)
        || bare.is_some_and(|bare| bare.eq_ignore_ascii_case(authen))
    {
        return Decision::new(Action::Trusted, "it is the client's own identity");
    }
    refuse(format!("{authen} not allowed to act as {author}"), "it is somebody else's identity")
}

/// EXPN and VRFY.
pub(crate) fn expansion(case: &mut Case<'_>) -> Decision {
    if case.settings.expn_needs_auth && filled(case.facts.auth_type.as_ref()).is_none() {
        let reply = Reply::new(550, "5.7.0", "authentication required");
        return Decision::refuse(reply, "only clients that have logged in may ask");
    }
    Decision::new(Action::Accept, "nothing forbids it")
}
