//! Plans and complaints, on a host with accounts of its own.

use ipc::config::{BackendKind, CacheMode, LogTo, MappingRule, Rate};

use super::*;

/// A host with accounts of its own.
struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        let passwd = "root:x:0:0::/root:/bin/sh\npostfix:x:101:103::/:/bin/false\n\
                      olga:x:1000:1000::/home/olga:/bin/sh\n";
        let group = "root:x:0:\nsasl:x:45:postfix\nops:x:50:olga,nobody-there\n";
        std::fs::write(world.0.path().join("passwd"), passwd).unwrap();
        std::fs::write(world.0.path().join("group"), group).unwrap();
        world
    }

    fn host(&self, foreground: Foreground) -> Host {
        Host {
            accounts: AccountFiles {
                passwd: self.0.path().join("passwd"),
                group: self.0.path().join("group"),
            },
            name: "mail.example.org".into(),
            foreground,
            is_root: true,
        }
    }

    fn plan(&self, text: &str) -> Result<Plan, String> {
        let config = Config::parse("x.toml", text).map_err(|report| report.to_string())?;
        config.plan(&self.host(Foreground::Yes)).map_err(|report| report.to_string())
    }
}

#[test]
fn the_defaults_are_a_plan() {
    let plan = World::new().plan("").unwrap();
    assert_eq!(plan.source, "x.toml");
    assert_eq!(plan.run_dir_group, Some(45));
    assert_eq!(plan.control.to_str(), Some("/run/saslauthd/control"));
    assert_eq!(plan.sockets.len(), 1);
    assert_eq!(plan.listener.sockets.first().unwrap().path, "/run/saslauthd/mux");
    assert_eq!(plan.checker.chain, [0]);
    let backend = plan.checker.backends.first().unwrap();
    let path = "/var/lib/saslauthd/accounts/accounts.sqlite".to_owned();
    assert_eq!(backend.kind, BackendKind::Sqlite { path });
    assert_eq!(plan.checker.limits.pair, Rate { burst: 5, count: 1, seconds: 60 });
    assert_eq!(plan.checker.limits.known_good_days, 30);
    assert_eq!(plan.checker.cache.mode, CacheMode::Costly);
    assert_eq!(plan.checker.cache.seconds, 28_800);
    assert_eq!(plan.checker.mapping.rule, MappingRule::Cyrus);
    assert!(plan.warnings.is_empty());
}

#[test]
fn the_log_is_where_somebody_reads_it() {
    let world = World::new();
    let to = |text: &str, foreground| {
        let plan = Config::parse("x", text).unwrap().plan(&world.host(foreground));
        plan.map(|plan| plan.checker.log.to).map_err(|report| report.to_string())
    };
    assert_eq!(to("", Foreground::Yes), Ok(LogTo::Stderr));
    assert_eq!(to("", Foreground::No), Ok(LogTo::Syslog));
    assert_eq!(to("[log]\nto = \"journal\"", Foreground::Yes), Ok(LogTo::Journal));
    let error = to("[log]\nto = \"stderr\"", Foreground::No).unwrap_err();
    assert!(error.contains("needs --foreground"), "{error}");
}

#[test]
fn accounts_are_looked_up() {
    let plan = World::new()
        .plan(
            "operators = \"ops\"\n[[socket]]\nowner = \"postfix\"\ngroup = 7\n\
             uids = [\"postfix\", 0]\naddress_uids = [\"postfix\"]\nmode = \"0600\"\n",
        )
        .unwrap();
    assert_eq!(plan.operators, Some(50));
    assert_eq!(plan.checker.operator_uids, [1000]);
    let socket = plan.sockets.first().unwrap();
    assert_eq!((socket.owner, socket.group, socket.mode), (Some(101), Some(7), 0o600));
    let public = plan.listener.sockets.first().unwrap();
    assert_eq!(public.uids, Some(vec![101, 0]));
    assert_eq!(public.address_uids, [101]);
}

#[test]
fn chains_become_indices_and_backends_are_told_once() {
    let plan = World::new()
        .plan(
            "chain = [\"getpwent\", \"old\"]\n\
             [backend.old]\ntype = \"sasldb\"\npath = \"/etc/old\"\n\
             [backend.table]\ntype = \"sqlite-query\"\npath = \"/srv/t\"\n\
             query = \"SELECT h FROM t WHERE u = %u\"\n\
             [realm.\"example.org\"]\nchain = [\"table\", \"old\"]\n",
        )
        .unwrap();
    let names: Vec<&str> = plan.checker.backends.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["getpwent", "old", "table"]);
    assert_eq!(plan.checker.chain, [0, 1]);
    assert_eq!(plan.checker.realms.first().unwrap().chain, [2, 1]);
    let old = plan.checker.backends.get(1).unwrap();
    let default_realm = "mail.example.org".to_owned();
    assert_eq!(old.kind, BackendKind::Sasldb { path: "/etc/old".into(), default_realm });
}

#[test]
fn everything_that_cannot_be_carried_out_is_said_at_once() {
    let text = "\
chain = [\"sqlite\", \"ldap\", \"sqlite\"]
operators = \"wheel\"
[[socket]]
owner = \"cyrus\"
[[socket]]
protocol = \"mux\"
[backend.a]
path = \"/x\"
[backend.b]
type = \"sqlite-query\"
path = \"/x\"
query = \"SELECT %q\"
[backend.c]
type = \"shadow\"
query = \"SELECT %u\"
default_realm = \"x\"
[realm.r]
[hashing]
memory = \"16MiB\"
argon2_memory = \"64MiB\"
";
    let report = World::new().plan(text).unwrap_err();
    assert_eq!(
        report,
        "\
x.toml: [hashing] max_memory is more than memory, so such a hash could never run; raise memory
x.toml: [hashing] argon2_memory is more than memory or max_memory; new hashes could not be verified
x.toml:1:20: no backend ldap; write a section [backend.ldap], or name sqlite, sasldb, shadow or getpwent
    chain = [\"sqlite\", \"ldap\", \"sqlite\"]
                       ^~~~~~
x.toml:1:28: sqlite stands in this chain twice
    chain = [\"sqlite\", \"ldap\", \"sqlite\"]
                               ^~~~~~~~
x.toml:2:13: there is no group wheel; create it or write its number
    operators = \"wheel\"
                ^~~~~~~
x.toml:4:9: there is no user cyrus; create it or write its number
    owner = \"cyrus\"
            ^~~~~~~
x.toml:5:1: /run/saslauthd/mux is the path of another socket, too
    [[socket]]
    ^~~~~~~~~~
x.toml:7:10: [backend.a] needs a type
    [backend.a]
             ^
x.toml:12:9: unknown %q; %u, %r, %d, %s and %% are known
    query = \"SELECT %q\"
            ^~~~~~~~~~~
x.toml:13:10: [backend.c]: only a sasldb has a default_realm
    [backend.c]
             ^
x.toml:15:9: only a backend of type \"sqlite-query\" has a query
    query = \"SELECT %u\"
            ^~~~~~~~~~~
x.toml:17:8: [realm.\"r\"] needs a chain
    [realm.r]
           ^
"
    );
}

#[test]
fn wrong_values_hide_no_wrong_names_but_their_own() {
    let text = "chain = [\"nowhere\"]\nrun_dir = \"relative\"\n[hashing]\nmemory = \"1TiB\"\n";
    let report = World::new().plan(text).unwrap_err();
    let places: Vec<&str> =
        report.lines().filter(|line| line.starts_with("x.toml")).map(|line| &line[..10]).collect();
    assert_eq!(places, ["x.toml:1:1", "x.toml:2:1", "x.toml:4:1"], "{report}");
}

#[test]
fn limits_of_the_kernel_and_of_messages_are_kept() {
    let world = World::new();
    let long = format!("[[socket]]\npath = \"/{}\"\n", "x".repeat(107));
    assert!(world.plan(&long).unwrap_err().contains("at most 107 bytes"));
    let many: String = (0..33).map(|n| format!("[[socket]]\npath = \"/run/x/{n}\"\n")).collect();
    assert!(world.plan(&many).unwrap_err().contains("more than 32 sockets"));
    let uids: Vec<String> = (0..40_000).map(|uid| uid.to_string()).collect();
    let wide = format!("[[socket]]\nuids = [{}]\n", uids.join(","));
    assert!(world.plan(&wide).unwrap_err().contains("64 KiB"));
    assert!(world.plan("chain = []").unwrap_err().contains("answers nobody"));
    let same = world.plan("checker_user = \"saslauthd\"").unwrap_err();
    assert!(same.contains("x.toml:1:16: must not be the listener's user"), "{same}");
}

#[test]
fn without_the_usual_group_root_is_alone_and_told_so() {
    let world = World::new();
    std::fs::write(world.0.path().join("group"), "root:x:0:\n").unwrap();
    let plan = world.plan("").unwrap();
    assert_eq!(plan.run_dir_group, None);
    assert!(plan.warnings.first().unwrap().contains("set run_dir_group"));
    let error = world.plan("run_dir_group = \"sasl\"").unwrap_err();
    assert!(error.contains("x.toml:1:17: there is no group sasl"), "{error}");
}

#[test]
fn the_keys_of_dovecots_protocols_are_ids_and_a_home() {
    use ipc::config::{Handshake, Protocol};
    let world = World::new();
    let text = "[[socket]]\nprotocol = \"auth\"\nhandshake = \"legacy\"\ncertificate_uids = [\"postfix\"]\n\
                [[socket]]\nprotocol = \"userdb\"\nuserdb_uid = \"olga\"\nuserdb_gid = \"sasl\"\n\
                userdb_home = \"/srv/%d/%n\"\nlist_uids = [\"postfix\", 7]\n";
    let plan = world.plan(text).unwrap();
    let [auth, userdb] = &plan.listener.sockets[..] else { panic!("two sockets") };
    assert_eq!((auth.protocol, &*auth.path), (Protocol::Auth, "/run/saslauthd/auth"));
    assert_eq!(auth.auth.handshake, Handshake::Legacy);
    assert_eq!((&auth.auth.certificate_uids[..], auth.auth.failure_delay_ms), (&[101][..], 2000));
    assert_eq!((userdb.protocol, &*userdb.path), (Protocol::Userdb, "/run/saslauthd/userdb"));
    assert_eq!((userdb.userdb.uid, userdb.userdb.gid), (Some(1000), Some(45)));
    assert_eq!(userdb.userdb.home.as_deref(), Some("/srv/%d/%n"));
    assert_eq!(userdb.userdb.list_uids, [101, 7]);
    for home in ["/srv/%s", "/srv/%", "/srv/%%u"] {
        let report = world.plan(&format!("[[socket]]\nuserdb_home = \"{home}\"\n")).unwrap_err();
        assert!(report.contains("2:15: a home has %u, %n and %d"), "{report}");
    }
}

#[test]
fn the_checker_is_told_what_each_socket_may_offer() {
    use ipc::config::{Certificates, Mechanisms, Offered, SaslSocket};
    let text = "[sasl]\nbefore_tls = [\"SCRAM-SHA-256\"]\nmasters = [\"olga\"]\nderive = [\"SCRAM-SHA-1\"]\n\
                [[socket]]\n[[socket]]\nprotocol = \"auth\"\ncertificate_uids = [\"postfix\"]\n\
                [[socket]]\nprotocol = \"auth\"\npath = \"/run/a\"\nbefore_tls = []\n\
                mechanisms = [\"PLAIN\", \"CRAM-MD5\"]\n[[socket]]\nprotocol = \"userdb\"\n";
    let sasl = World::new().plan(text).unwrap().checker.sasl;
    let names = |names: &[&str]| Mechanisms::of_names(names.iter().copied());
    let auto = SaslSocket {
        offered: Offered::Auto,
        before_tls: names(&["SCRAM-SHA-256"]),
        certificates: Certificates::Stated,
    };
    let listed = SaslSocket {
        offered: Offered::Listed(names(&["PLAIN", "CRAM-MD5"])),
        ..SaslSocket::default()
    };
    let users = SaslSocket { offered: Offered::Users, ..SaslSocket::default() };
    assert_eq!(sasl.sockets, [SaslSocket::default(), auto, listed, users]);
    assert_eq!((sasl.masters, sasl.derive), (vec!["olga".to_owned()], names(&["SCRAM-SHA-1"])));
    assert_eq!(sasl.hosts, ["mail.example.org"]);
    let plain = World::new().plan("").unwrap().checker.sasl;
    assert_eq!(plain.derive, names(&["SCRAM-SHA-256", "SCRAM-SHA-512"]));
    for wrong in ["mechanisms = \"all\"", "mechanisms = [\"KERBEROS\"]", "derive = [\"PLAIN\"]"] {
        let report = World::new().plan(&format!("[sasl]\n{wrong}\n")).unwrap_err();
        assert!(report.contains("x.toml:2:") && report.contains("expected"), "{report}");
    }
}
