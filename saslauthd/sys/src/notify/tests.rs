//! A service manager of our own: a datagram socket, and listening sockets at 3 and above.

use std::os::unix::net::{UnixListener, UnixStream};

use super::*;
use crate::in_child::in_child;

fn environment(pairs: &[(&str, &str)]) -> ServiceEnvironment {
    ServiceEnvironment::from_lookup(|name| {
        pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
    })
}

fn received(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let count = manager.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

#[test]
fn the_manager_hears_us_at_a_path_and_at_an_abstract_name() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let name = format!("saslauthd-test-{}", std::process::id());
    let at_path = UnixDatagram::bind(&path).unwrap();
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let at_name = UnixDatagram::bind_addr(&address).unwrap();
    let (path, name) = (path.to_str().unwrap().to_owned(), format!("@{name}"));
    for (manager, address) in [(at_path, path), (at_name, name)] {
        let notifier = Notifier::new(&environment(&[("NOTIFY_SOCKET", &address)])).unwrap();
        notifier.ready();
        assert_eq!(received(&manager), "READY=1");
        notifier.reloading();
        let text = received(&manager);
        let stamp = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        let now = clock::monotonic_nanoseconds() / 1000;
        assert!(stamp.parse::<u64>().unwrap() <= now);
        notifier.watchdog();
        assert_eq!(received(&manager), "WATCHDOG=1");
        notifier.status("serving\nREADY=0");
        assert_eq!(received(&manager), "STATUS=serving READY=0");
        notifier.stopping();
        assert_eq!(received(&manager), "STOPPING=1");
    }
}

#[test]
fn a_manager_that_does_not_read_stops_nobody() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let notifier =
        Notifier::new(&environment(&[("NOTIFY_SOCKET", path.to_str().unwrap())])).unwrap();
    for _ in 0..10_000 {
        notifier.watchdog();
    }
    drop(manager);
    notifier.watchdog();
}

#[test]
fn f5_a_hostile_notify_socket_is_refused() {
    for value in ["notify", "./notify", "unix:/run/x", "vsock:2:1"] {
        let refused = Notifier::new(&environment(&[("NOTIFY_SOCKET", value)]));
        assert!(matches!(refused, Err(Error::HandedOver(_))), "{value}");
    }
    let long = format!("/{}", "x".repeat(200));
    assert!(Notifier::new(&environment(&[("NOTIFY_SOCKET", &long)])).is_err());
    assert!(Notifier::new(&environment(&[("NOTIFY_SOCKET", "/nonexistent/x")])).is_err());
    assert!(Notifier::new(&environment(&[("NOTIFY_SOCKET", "")])).unwrap().0.is_none());
    Notifier::new(&environment(&[])).unwrap().ready();
}

#[test]
fn the_watchdog_is_ours_or_nobodys() {
    let second = |pairs: &[(&str, &str)]| environment(pairs).watchdog(7);
    assert_eq!(second(&[("WATCHDOG_USEC", "3000000")]), Some(Duration::from_secs(3)));
    assert_eq!(
        second(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "7")]),
        Some(Duration::from_secs(3))
    );
    assert_eq!(second(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "8")]), None);
    for value in ["0", "-1", "x", ""] {
        assert_eq!(second(&[("WATCHDOG_USEC", value)]), None, "{value:?}");
    }
    assert_eq!(second(&[]), None);
}

#[test]
fn f5_descriptors_meant_for_another_process_are_left() {
    let numbers = |pid: &str, count: &str| {
        environment(&[("LISTEN_PID", pid), ("LISTEN_FDS", count)]).listening_numbers(7)
    };
    assert_eq!(numbers("7", "3").unwrap(), [3, 4, 5]);
    assert_eq!(numbers("8", "3").unwrap(), []);
    assert_eq!(numbers("", "3").unwrap(), []);
    assert_eq!(numbers("7", "").unwrap(), []);
    assert_eq!(numbers("7", "-1").unwrap(), []);
    assert!(numbers("7", "61").is_err());
    assert!(numbers("7", "4000000000").is_err());
}

fn handed(count: &str, names: &[(&str, &str)]) -> ServiceEnvironment {
    let pid = std::process::id().to_string();
    let mut pairs = vec![("LISTEN_PID", pid.as_str()), ("LISTEN_FDS", count)];
    pairs.extend(names);
    environment(&pairs)
}

#[test]
fn listening_sockets_are_taken_with_their_names() {
    in_child("notify::tests::listening_sockets_are_taken_with_their_names", || {
        let home = tempfile::tempdir().unwrap();
        for number in [3, 4] {
            // Out of the way of 3 and 4 themselves.
            let path = home.path().join(number.to_string());
            let listening = UnixListener::bind(&path).unwrap();
            descriptors::duplicate_to(&listening, number + 20).unwrap();
        }
        for number in [3, 4] {
            let listening = descriptors::take(number + 20).unwrap();
            descriptors::duplicate_to(&listening, number).unwrap();
        }
        let environment = handed("2", &[("LISTEN_FDNAMES", "mux:pwcheck")]);
        let taken = environment.take_sockets(std::process::id()).unwrap();
        let names: Vec<_> = taken.iter().map(|socket| socket.name.as_str()).collect();
        assert_eq!(names, ["mux", "pwcheck"]);
        for (number, activated) in [3, 4].iter().zip(&taken) {
            assert!(crate::peer::accept(&activated.socket).unwrap().is_none(), "nonblocking");
            let _client = UnixStream::connect(home.path().join(number.to_string())).unwrap();
            assert!(crate::peer::accept(&activated.socket).unwrap().is_some());
        }
        let again = handed("2", &[]).take_sockets(std::process::id());
        assert!(matches!(again, Err(Error::HandedOver(_))), "taken once");
    });
}

/// Puts one thing at 3 and says why it is refused.
fn refusal(fd: impl AsFd) -> String {
    descriptors::duplicate_to(&fd, 20).unwrap();
    drop(fd);
    let fd = descriptors::take(20).unwrap();
    descriptors::duplicate_to(&fd, 3).unwrap();
    handed("1", &[]).take_sockets(std::process::id()).unwrap_err().to_string()
}

#[test]
fn other_sockets_are_refused() {
    in_child("notify::tests::other_sockets_are_refused", || {
        let why = refusal(UnixDatagram::unbound().unwrap());
        assert!(why.contains("not a stream socket"), "{why}");
    });
}

#[test]
fn connected_sockets_are_refused() {
    in_child("notify::tests::connected_sockets_are_refused", || {
        let why = refusal(UnixStream::pair().unwrap().0);
        assert!(why.contains("does not listen"), "{why}");
    });
}

#[test]
fn network_sockets_are_refused() {
    in_child("notify::tests::network_sockets_are_refused", || {
        let why = refusal(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        assert!(why.contains("not a Unix socket"), "{why}");
    });
}

#[test]
fn files_are_refused() {
    in_child("notify::tests::files_are_refused", || {
        let why = refusal(std::fs::File::open("/dev/null").unwrap());
        assert!(why.contains("not a socket"), "{why}");
    });
}
