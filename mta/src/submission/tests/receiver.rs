//! Sockets and configurations that come one after the other, with clients meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::house::{House, RELAY, SUBMISSIONS, usual};
use crate::submission::receiver::Hall;

async fn socket() -> (std::net::SocketAddr, TcpListener) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (socket.local_addr().unwrap(), socket)
}

/// What a client hears first, if it hears anything at once.
async fn heard(at: std::net::SocketAddr) -> String {
    let mut greeting = vec![0; 64];
    let mut client = TcpStream::connect(at).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(2), client.read(&mut greeting)).await;
    greeting.truncate(read.map_or(0, Result::unwrap_or_default));
    String::from_utf8(greeting).unwrap()
}

#[tokio::test]
async fn sockets_of_a_configuration_that_is_of_no_use_change_nothing() {
    let house = House::new(usual);
    let mut hall = Hall::new(Arc::clone(&house.desk));
    let (relay, socket_of_relay) = socket().await;
    hall.listen(vec![(RELAY, socket_of_relay)]);
    assert!(heard(relay).await.starts_with("220 "));
    assert_eq!(hall.load(Err("no key".into())), Err("no key".into()));
    let (other, socket_of_other) = socket().await;
    hall.listen(vec![(SUBMISSIONS, socket_of_other)]);
    assert!(heard(relay).await.starts_with("220 "));
    assert!(TcpStream::connect(other).await.is_err(), "its number means another listener");
}

#[tokio::test]
async fn no_door_leads_to_a_listener_of_another_kind() {
    let (house, mut changed) = (House::new(usual), House::new(usual));
    let desk = Arc::get_mut(&mut changed.desk).unwrap();
    Arc::make_mut(&mut desk.config).listeners.swap(RELAY, SUBMISSIONS);
    let mut hall = Hall::new(Arc::clone(&house.desk));
    let (relay, first) = socket().await;
    let first = first.into_std().unwrap();
    let again = TcpListener::from_std(first.try_clone().unwrap()).unwrap();
    hall.listen(vec![(RELAY, TcpListener::from_std(first).unwrap())]);
    assert!(heard(relay).await.starts_with("220 "));
    hall.load(Ok(Arc::clone(&changed.desk))).unwrap();
    let waiting = tokio::spawn(heard(relay));
    tokio::task::yield_now().await;
    hall.listen(vec![(SUBMISSIONS, again)]);
    assert!(waiting.await.unwrap().starts_with("220 "), "it is the one for servers now");
}
