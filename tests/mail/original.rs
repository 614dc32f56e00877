//! Debian's sendmail as the oracle ran it, in a world of its own: proves that the replay says what was said.

use std::net::Ipv4Addr;

use harness::PATIENCE;
use harness::mta::client::Client;

use crate::peers::namespace::Namespace;
use crate::peers::{Failure, Result};
use crate::vectors::{Certificates, Dialogue};

const PACKAGES: [&str; 3] = ["sendmail-base", "sendmail-cf", "sendmail-bin"];
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A sendmail with the settings and the map of some dialogues.
pub(crate) struct Original {
    world: Namespace,
}

impl Original {
    /// Starts one for all dialogues that have the settings and the map of this one.
    pub(crate) fn start(dialogue: &Dialogue, certificates: &Certificates) -> Result<Self> {
        let world = Namespace::start(&PACKAGES)?;
        world.check_libraries(&["/usr/libexec/sendmail/sendmail", "/usr/bin/m4"])?;
        world.write(
            "/etc/hosts",
            "127.0.0.1 mta.oracle.test localhost\n127.0.0.2 client.oracle.test\n",
        )?;
        world.write("/etc/mail/sendmail.mc", &settings(dialogue))?;
        world.write("/etc/mail/local-host-names", "mta.oracle.test\nlocal.oracle.test\n")?;
        let map: String =
            dialogue.access.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect();
        world.write("/etc/mail/access", &map)?;
        let login = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: /etc/sasldb2\n";
        world.write("/etc/sasl2/Sendmail.conf", login)?;
        for name in ["root.pem", "server.pem", "server.key"] {
            let text = std::fs::read_to_string(certificates.file(name))?;
            world.write(&format!("/etc/mail/{name}"), &text)?;
        }
        world.shell(
            "hostname mta.oracle.test
             chmod 600 /etc/mail/server.key
             mkdir /etc/mail/authorities
             m4 /etc/mail/sendmail.mc >/etc/mail/sendmail.cf
             makemap=/usr/libexec/sendmail/makemap
             [ -x $makemap ] || makemap=/usr/sbin/makemap
             $makemap hash /etc/mail/access </etc/mail/access
             for user in alice bob; do
                 printf pw-$user | saslpasswd2 -p -c -f /etc/sasldb2 -u mta.oracle.test $user
             done
             chmod 600 /etc/sasldb2
             install -d -m 700 /var/spool/mqueue",
        )?;
        world.spawn(
            "sendmail",
            "/usr/libexec/sendmail/sendmail",
            &["-bD", "-C/etc/mail/sendmail.cf"],
        )?;
        world.await_port(25, "sendmail")?;
        Ok(Self { world })
    }

    /// A client of the oracle's name and address, before the greeting.
    pub(crate) fn client(&self) -> Result<Client> {
        let to = (Ipv4Addr::LOCALHOST, 25).into();
        let mut client = self.world.inside(move || Client::connect(to, Some(CLIENT.into())))?;
        client.patience(3 * PATIENCE).map_err(Failure::from)?;
        Ok(client)
    }
}

fn settings(dialogue: &Dialogue) -> String {
    let setting = |name: &str| {
        dialogue.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    let mut text = String::from(
        "include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mta.oracle.test')dnl
define(`confPID_FILE', `/run/sendmail.pid')dnl
define(`STATUS_FILE', `')dnl
define(`ALIAS_FILE', `')dnl
define(`confTO_IDENT', `0')dnl
define(`confDEF_USER_ID', `mail:mail')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confDONT_BLAME_SENDMAIL', `GroupReadableKeyFile,GroupReadableSASLDBFile')dnl
define(`confDELIVERY_MODE', `queueonly')dnl
define(`confLOG_LEVEL', `14')dnl
define(`confCACERT_PATH', `/etc/mail/authorities')dnl
define(`confCACERT', `/etc/mail/root.pem')dnl
define(`confSERVER_CERT', `/etc/mail/server.pem')dnl
define(`confSERVER_KEY', `/etc/mail/server.key')dnl
TRUST_AUTH_MECH(`PLAIN LOGIN EXTERNAL')dnl
RELAY_DOMAIN(`relay.oracle.test 192.0.2')dnl
FEATURE(`use_cw_file')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`access_db')dnl
FEATURE(`tls_session_features')dnl
FEATURE(`no_default_msa')dnl
",
    );
    for (name, option) in [
        ("AuthMechanisms", "confAUTH_MECHANISMS"),
        ("AuthOptions", "confAUTH_OPTIONS"),
        ("PrivacyOptions", "confPRIVACY_FLAGS"),
    ] {
        let value = setting(name).unwrap_or(match name {
            "AuthMechanisms" => "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 EXTERNAL",
            "AuthOptions" => "p,y,A",
            _ => "",
        });
        text += &format!("define(`{option}', `{value}')dnl\n");
    }
    let port = setting("DaemonPortOptions").map_or(String::new(), |options| format!(", {options}"));
    text += &format!(
        "DAEMON_OPTIONS(`Name=MTA, Port=25, Addr=127.0.0.1{port}')dnl\nMAILER(`local')dnl\nMAILER(`smtp')dnl\n"
    );
    if setting("check_vrfy, check_expn").is_some() {
        text += "LOCAL_RULESETS\n";
        for name in ["check_vrfy", "check_expn"] {
            text += &format!(
                "S{name}\nR$*\t\t$: $&{{auth_type}} $| $1\nR $| $*\t\t$#error $@ 5.7.0 $: \"530 5.7.0 authentication required\"\n"
            );
        }
    }
    text
}
