//! Smarthost and routes: which keys belong to which way.

use settings::complaint::Complaints;
use settings::setting::At;
use settings::values::AbsolutePath;

use crate::config::sections::{self, BeginWord, ViaWord};
use crate::config::values::{Name, Port, Recipients};
use crate::config::{Begin, Credentials, Pattern, Route, Server, Via};

pub(super) fn smarthost(
    section: &At<sections::Smarthost>,
    complaints: &mut Complaints,
) -> Option<Via> {
    let written = &section.value;
    let Some(host) = &written.host else {
        complaints.add(section.at.clone(), "say which: host = \"smtp.example.net\"");
        return None;
    };
    let usual = if written.tls.value == BeginWord::Implicit { 465 } else { 587 };
    let login = login(&written.user, &written.password_file, &written.tls, complaints);
    Some(Via::Smtp(Server {
        host: host.0.clone(),
        port: number(written.port, usual),
        tls: begin(written.tls.value),
        login,
    }))
}

pub(super) fn routes(written: &[At<sections::Route>], complaints: &mut Complaints) -> Vec<Route> {
    written.iter().filter_map(|section| route(section, complaints)).collect()
}

fn route(section: &At<sections::Route>, complaints: &mut Complaints) -> Option<Route> {
    let written = &section.value;
    let (Some(to), Some(via)) = (&written.to, &written.via) else {
        complaints.add(section.at.clone(), "write both, to = and via =");
        return None;
    };
    complain_of_strays(section, via.value, complaints);
    let missing = |what: &str, complaints: &mut Complaints| {
        let message = format!("via = \"{}\" needs {what}", via.value.word());
        complaints.add(via.at.clone(), message);
        None
    };
    let via = match (via.value, &written.host) {
        (ViaWord::Mx, _) => Via::Mx,
        (ViaWord::Smtp, Some(host)) => {
            let usual = if written.tls.value == BeginWord::Implicit { 465 } else { 25 };
            Via::Smtp(server(&host.0, usual, written, complaints))
        }
        (ViaWord::Lmtp, Some(host)) => Via::LmtpTcp(server(&host.0, 24, written, complaints)),
        (ViaWord::Lmtp, None) => match &written.socket {
            Some(socket) => Via::LmtpUnix(socket.0.clone()),
            None => return missing("socket = or host =", complaints),
        },
        (ViaWord::Smtp, None) => return missing("host =", complaints),
        (ViaWord::Maildir, _) => match &written.directory {
            Some(directory) => Via::Maildir(directory.0.clone()),
            None => return missing("directory =", complaints),
        },
        (ViaWord::Refuse, _) => {
            Via::Refuse(written.text.clone().unwrap_or_else(|| "mail isn't taken there".into()))
        }
    };
    let pattern = match to {
        Recipients::Everybody => Pattern::Everybody,
        Recipients::Local => Pattern::Local,
        Recipients::Domain(domain) => Pattern::Domain(domain.clone()),
        Recipients::Below(domain) => Pattern::Below(domain.clone()),
    };
    Some(Route { pattern, via })
}

/// Keys that mean nothing on this way were meant for another.
fn complain_of_strays(section: &At<sections::Route>, via: ViaWord, complaints: &mut Complaints) {
    let written = &section.value;
    let (server, lmtp) = (matches!(via, ViaWord::Smtp | ViaWord::Lmtp), via == ViaWord::Lmtp);
    let keys = [
        ("host", written.host.is_some(), server),
        ("port", written.port.is_some(), server && written.host.is_some()),
        ("tls", written.tls.at.is_some(), server && written.host.is_some()),
        ("user", written.user.is_some(), server && written.host.is_some()),
        ("password_file", written.password_file.is_some(), server && written.host.is_some()),
        ("socket", written.socket.is_some(), lmtp && written.host.is_none()),
        ("directory", written.directory.is_some(), via == ViaWord::Maildir),
        ("text", written.text.is_some(), via == ViaWord::Refuse),
    ];
    for (key, _, _) in keys.into_iter().filter(|(_, written, fits)| *written && !fits) {
        let message = format!("`{key}` means nothing on a route via \"{}\" like this", via.word());
        complaints.add(section.at.clone(), message);
    }
}

fn server(
    host: &str,
    usual: u16,
    written: &sections::Route,
    complaints: &mut Complaints,
) -> Server {
    Server {
        host: host.to_owned(),
        port: number(written.port, usual),
        tls: begin(written.tls.value),
        login: login(&written.user, &written.password_file, &written.tls, complaints),
    }
}

fn login(
    user: &Option<At<String>>,
    password: &Option<At<AbsolutePath>>,
    tls: &At<BeginWord>,
    complaints: &mut Complaints,
) -> Option<Credentials> {
    match (user, password) {
        (None, None) => None,
        (Some(user), Some(password)) => {
            if tls.value == BeginWord::IfOffered {
                let message = "a password is said only to a server with a certificate of its name; \
                               write tls = \"starttls\"";
                complaints.add(user.at.clone(), message);
            }
            Some(Credentials { user: user.value.clone(), password: password.value.0.clone() })
        }
        (Some(user), None) => {
            complaints.add(user.at.clone(), "password_file = is missing");
            None
        }
        (None, Some(password)) => {
            complaints.add(password.at.clone(), "user = is missing");
            None
        }
    }
}

fn begin(word: BeginWord) -> Begin {
    match word {
        BeginWord::IfOffered => Begin::IfOffered,
        BeginWord::StartTls => Begin::StartTls,
        BeginWord::Implicit => Begin::Implicit,
    }
}

fn number(written: Option<Port>, usual: u16) -> u16 {
    written.map_or(usual, |written| written.0)
}

/// A local domain without a route would be looked for in the DNS, which leads here again.
pub(super) fn complain_of_homeless(
    domains: &At<Vec<Name>>,
    routes: &[Route],
    complaints: &mut Complaints,
) {
    let takes = |domain: &str| {
        routes.iter().any(|route| match &route.pattern {
            Pattern::Everybody | Pattern::Local => true,
            Pattern::Domain(routed) => routed == domain,
            Pattern::Below(routed) => {
                domain.strip_suffix(routed.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
        })
    };
    for domain in domains.value.iter().filter(|domain| !takes(&domain.0)) {
        let message = format!(
            "no route takes mail for {}; write [[route]] with to = \"local\", and via = \"lmtp\" or \"maildir\"",
            domain.0
        );
        complaints.add(domains.at.clone(), message);
    }
}
