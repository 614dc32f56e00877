//! Mail servers of Debian that relay through the house: each shows a certificate that the map knows, or none.
//!
//! They run in worlds of their own, where port 2525 of the second loopback address leads to the house's relay listener.

use std::fs;
use std::net::Ipv4Addr;

use harness::mta::client::Client;
use harness::mta::sink::{Manner, Sink};
use harness::mta::{HOST, House, Place, Plan, ready, transact};
use harness::{PATIENCE, Ran, wait_for};

use crate::peers::namespace::Namespace;
use crate::peers::tls::SERVER;
use crate::peers::{Result, postfix};
use crate::peers_in::there;
use crate::tunnel::Tunnel;

/// What a server shows to reach which domain: a certificate whose key the map has, one whose names it has, none.
const DOMAINS: [(&str, Option<&str>); 3] =
    [("pin.example", Some("printer")), ("names.example", Some("member")), ("none.example", None)];

const MESSAGE: &str = "From: <joe@example.org>\nSubject: over\n\nhello\n.\nlast\n";

fn house() -> (House, Sink) {
    let place = Place::take().unwrap();
    let sink = Sink::listen(place.address(), 0, Manner::smtp()).unwrap();
    let to = (place.address(), sink.port()).into();
    let plan = Plan::new().client("printer").client("member");
    let plan = plan.map("{pin:printer}\tRELAY\n{issuer:member}\tSUBJECT\n{subject:member}\tRELAY");
    (plan.everything_to(to).start_at(place).unwrap(), sink)
}

/// A world that knows the house by its name and has the certificates of its machines.
fn world(house: &House, packages: &[&str], programs: &[&str]) -> Result<(Namespace, Tunnel)> {
    let world = Namespace::start(packages)?;
    world.check_libraries(programs)?;
    world.write(
        "/etc/hosts",
        &format!("127.0.0.1 localhost mail.example.test\n127.0.0.2 {HOST}\n"),
    )?;
    for file in ["ca.pem", "printer.pem", "printer.key", "member.pem", "member.key"] {
        world.write(&format!("/etc/tls/{file}"), &fs::read_to_string(house.tls().join(file))?)?;
    }
    let way = Tunnel::out_of(&world, (SERVER, 2525), house.relay())?;
    Ok((world, way))
}

/// The sink has the two messages of those who showed what the map knows, whole, and never the third.
#[track_caller]
fn arrived(house: &House, sink: &Sink) {
    let messages = sink.await_messages(2);
    let to = |domain: &str| {
        let found = messages.iter().find(|message| message.recipients[0].contains(domain));
        found.unwrap_or_else(|| panic!("nothing for {domain}: {messages:?} {}", house.log())).text()
    };
    for domain in ["pin.example", "names.example"] {
        let text = to(domain);
        assert!(
            text.contains("verify=OK") && text.trim_end().ends_with("hello\r\n.\r\nlast"),
            "{text:?}"
        );
    }
    assert_eq!(sink.messages().len(), 2, "{messages:?}");
}

#[test]
fn postfix_relays_by_its_certificate() {
    if !ready() {
        return;
    }
    let (house, sink) = house();
    let programs = ["/usr/lib/postfix/sbin/master", "/usr/lib/postfix/sbin/smtp"];
    let Some((world, _way)) = there(world(&house, &["postfix"], &programs)) else { return };
    let mut settings = format!(
        "inet_interfaces = 127.0.0.1\nmynetworks = 127.0.0.0/8\nsmtpd_sasl_auth_enable = no\n\
         smtpd_relay_restrictions = permit_mynetworks, reject\nsmtp_host_lookup = native\n\
         smtp_tls_security_level = secure\nsmtp_tls_secure_cert_match = {HOST}\n\
         smtp_tls_CAfile = /etc/tls/ca.pem\nsmtp_tls_loglevel = 1\ndefault_transport = discard\n\
         transport_maps = inline:{{"
    );
    let mut services = String::from(
        "127.0.0.1:25 inet n - n - - smtpd\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\ndiscard unix - - n - - discard\n",
    );
    for (domain, certificate) in DOMAINS {
        let name = certificate.unwrap_or("nothing");
        settings += &format!(" {domain}={name}:[{HOST}]:2525");
        services += &format!("{name} unix - - n - - smtp");
        if certificate.is_some() {
            services += &format!(
                " -o smtp_tls_cert_file=/etc/tls/{name}.pem -o smtp_tls_key_file=/etc/tls/{name}.key"
            );
        }
        services += "\n";
    }
    postfix::begin(&world, &format!("{settings} }}\n"), &services).unwrap();
    world.await_port(25, "postfix").unwrap();
    let mut client =
        world.inside(|| Client::connect((Ipv4Addr::LOCALHOST, 25).into(), None)).unwrap();
    client.reply().unwrap();
    client.say("EHLO client.example").unwrap();
    let text = MESSAGE.replace('\n', "\r\n");
    for (domain, _) in DOMAINS {
        let to = format!("ann@{domain}");
        let replies = transact(&mut client, "joe@example.org", &[&to], &text).unwrap();
        assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
    }
    arrived(&house, &sink);
    let log = || fs::read_to_string(world.path("/var/log/postfix.log")).unwrap_or_default();
    let refused =
        |line: &str| line.contains("to=<ann@none.example>") && line.contains("said: 550 5.7.1");
    assert!(wait_for(2 * PATIENCE, || log().lines().any(refused)), "{}", log());
    assert!(
        log().contains("Verified TLS connection established to mail.here.example"),
        "{}",
        log()
    );
}

#[test]
fn exim_relays_by_its_certificate() {
    if !ready() {
        return;
    }
    let (house, sink) = house();
    let packages = ["exim4-base", "exim4-daemon-heavy"];
    let Some((world, _way)) = there(world(&house, &packages, &["/usr/sbin/exim4"])) else { return };
    let by_domain = |ending: &str| {
        format!(
            "${{if eq{{$domain}}{{pin.example}}{{/etc/tls/printer.{ending}}}\
             {{${{if eq{{$domain}}{{names.example}}{{/etc/tls/member.{ending}}}{{}}}}}}}}"
        )
    };
    let settings = format!(
        "primary_hostname = mail.example.test\nlog_file_path = /var/log/exim4/%slog\n\
         pid_file_path = /run/exim.pid\nkeep_environment =\nhost_lookup =\nnever_users =\n\
         begin routers\nall:\n  driver = manualroute\n  domains = {}\n  route_list = * {HOST} byname\n\
         \x20 self = send\n  transport = relay\nbegin transports\nrelay:\n  driver = smtp\n  port = 2525\n\
         \x20 hosts_require_tls = *\n  tls_verify_certificates = /etc/tls/ca.pem\n  tls_verify_hosts = *\n\
         \x20 tls_certificate = {}\n  tls_privatekey = {}\nbegin retry\n* * F,1m,1m\n",
        DOMAINS.map(|(domain, _)| domain).join(" : "),
        by_domain("pem"),
        by_domain("key"),
    );
    world.write("/etc/exim4/exim4.conf", &settings).unwrap();
    world
        .shell("chmod 644 /etc/tls/*; install -d -o Debian-exim /var/spool/exim4 /var/log/exim4")
        .unwrap();
    for (domain, _) in DOMAINS {
        let mut command = world.command("exim4");
        command.args(["-C", "/etc/exim4/exim4.conf", "-odi", "-oi", "-f", "joe@example.org"]);
        let ran = Ran::of(command.arg(format!("ann@{domain}")), MESSAGE.as_bytes(), 3 * PATIENCE);
        let ran = ran.unwrap();
        assert!(!ran.hung, "{}", ran.err());
    }
    let log = || fs::read_to_string(world.path("/var/log/exim4/mainlog")).unwrap_or_default();
    let refused = |line: &str| line.contains("** ann@none.example") && line.contains("550 5.7.1");
    assert!(wait_for(PATIENCE, || log().lines().any(refused)), "{}", log());
    arrived(&house, &sink);
}

#[test]
fn sendmail_relays_by_its_certificate() {
    if !ready() {
        return;
    }
    let (house, sink) = house();
    let packages = ["sendmail-base", "sendmail-cf", "sendmail-bin"];
    let programs = ["/usr/libexec/sendmail/sendmail", "/usr/bin/m4"];
    let Some((world, _way)) = there(world(&house, &packages, &programs)) else { return };
    world.write("/etc/mail/service.switch", "hosts files\n").unwrap();
    world.shell("chmod 600 /etc/tls/*.key; install -d -m 700 /var/spool/mqueue").unwrap();
    for (domain, certificate) in DOMAINS {
        let mut settings = format!(
            "include(`/usr/share/sendmail/cf/m4/cf.m4')dnl\nOSTYPE(`linux')dnl\n\
             define(`confDOMAIN_NAME', `mail.example.test')dnl\ndefine(`STATUS_FILE', `')dnl\n\
             define(`ALIAS_FILE', `')dnl\ndefine(`confTO_IDENT', `0')dnl\n\
             define(`confDEF_USER_ID', `mail:mail')dnl\ndefine(`confDONT_PROBE_INTERFACES', `True')dnl\n\
             define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl\n\
             define(`confCACERT_PATH', `/etc/tls')dnl\ndefine(`confCACERT', `/etc/tls/ca.pem')dnl\n\
             define(`SMART_HOST', `relay:[{HOST}]')dnl\n\
             define(`RELAY_MAILER_ARGS', `TCP $h 2525')dnl\nFEATURE(`nocanonify')dnl\n"
        );
        if let Some(name) = certificate {
            settings += &format!(
                "define(`confCLIENT_CERT', `/etc/tls/{name}.pem')dnl\n\
                 define(`confCLIENT_KEY', `/etc/tls/{name}.key')dnl\n"
            );
        }
        settings += "MAILER(`smtp')dnl\n";
        world.write("/etc/mail/sendmail.mc", &settings).unwrap();
        world.shell("m4 /etc/mail/sendmail.mc >/etc/mail/sendmail.cf").unwrap();
        let mut command = world.command("/usr/libexec/sendmail/sendmail");
        command.args(["-C/etc/mail/sendmail.cf", "-odi", "-oi", "-v", "-f", "joe@example.org"]);
        let ran = Ran::of(command.arg(format!("ann@{domain}")), MESSAGE.as_bytes(), 3 * PATIENCE);
        let ran = ran.unwrap();
        let said = format!("{}{}", ran.out(), ran.err());
        let expected = if certificate.is_some() { "Sent (" } else { "550 5.7.1 " };
        assert!(said.contains(">>> STARTTLS") && said.contains(expected), "{domain}: {said}");
    }
    arrived(&house, &sink);
}
