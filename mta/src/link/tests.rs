//! A child's end of its channel, with a test at the other end.

use std::os::fd::AsFd;

use sys::channel::{Kind, pair, receive_plain, send_with_fds};

use super::*;
use crate::control::Listening;

fn tell(parent: &OwnedFd, message: &ToChild, descriptors: &[std::os::fd::BorrowedFd<'_>]) {
    send_with_fds(parent, &postcard::to_allocvec(message).unwrap(), descriptors).unwrap();
}

/// In a thread of its own: it waits.
async fn heard(parent: &OwnedFd) -> FromChild {
    let parent = parent.try_clone().unwrap();
    let hear = move || {
        let mut buffer = vec![0; MAX_MESSAGE];
        let length = receive_plain(&parent, &mut buffer).unwrap();
        postcard::from_bytes(&buffer[..length]).unwrap()
    };
    tokio::task::spawn_blocking(hear).await.unwrap()
}

#[tokio::test]
async fn orders_come_with_what_belongs_to_them() {
    let (parent, child) = pair(Kind::Packets).unwrap();
    let material = Material {
        config: "hostname = \"a\"".into(),
        files: [("/a".into(), vec![1, 2, 3])].into(),
    };
    let bytes = postcard::to_allocvec(&material).unwrap();
    let memory = sealed::seal(&bytes).unwrap();
    tell(&parent, &ToChild::Load { length: bytes.len() as u64 }, &[memory.as_fd()]);
    assert_eq!(first(&child).unwrap().config, material.config);
    let (_link, mut orders) = Link::open(child).unwrap();
    let memory = sealed::seal(&bytes).unwrap();
    tell(&parent, &ToChild::Load { length: bytes.len() as u64 }, &[memory.as_fd()]);
    let Some(Order::Load(loaded)) = orders.next().await else { panic!("no material") };
    assert_eq!(loaded.files, material.files);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    tell(&parent, &ToChild::Listen(vec![Listening { index: 7 }]), &[listener.as_fd()]);
    let Some(Order::Listen(listening)) = orders.next().await else { panic!("no listener") };
    assert_eq!(listening[0].0, 7);
    assert_eq!(listening[0].1.local_addr().unwrap(), listener.local_addr().unwrap());

    tell(&parent, &ToChild::Stop, &[]);
    assert!(matches!(orders.next().await, Some(Order::Stop)));
    drop(parent);
    assert!(orders.next().await.is_none());
}

#[tokio::test]
async fn a_message_that_lacks_its_descriptors_ends_the_orders() {
    let (parent, child) = pair(Kind::Packets).unwrap();
    let (link, mut orders) = Link::open(child).unwrap();
    tell(&parent, &ToChild::Listen(vec![Listening { index: 0 }]), &[]);
    assert!(orders.next().await.is_none());
    let gone = link.connect(Socket::Policy);
    drop(parent);
    // Nobody will answer; whether it says so at once or after its patience isn't for a test to wait.
    drop(gone);
}

#[tokio::test]
async fn connections_are_told_apart_by_their_numbers() {
    let (parent, child) = pair(Kind::Packets).unwrap();
    let (link, _orders) = Link::open(child).unwrap();
    let logins = tokio::spawn({
        let link = link.clone();
        async move { link.connect(Socket::Logins).await }
    });
    let FromChild::Connect { number: first, socket: Socket::Logins } = heard(&parent).await else {
        panic!("another message");
    };
    let policy = tokio::spawn(async move { link.connect(Socket::Policy).await });
    let FromChild::Connect { number: second, socket: Socket::Policy } = heard(&parent).await else {
        panic!("another message");
    };
    let away = Reached::No("nobody listens".into());
    tell(&parent, &ToChild::Connection { number: second, reached: away }, &[]);
    let error = policy.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "nobody listens");
    let (ours, theirs) = pair(Kind::Stream).unwrap();
    tell(&parent, &ToChild::Connection { number: first, reached: Reached::Yes }, &[theirs.as_fd()]);
    let stream = logins.await.unwrap().unwrap();
    stream.writable().await.unwrap();
    stream.try_write(b"hello").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(sys::peer::receive(&ours, &mut buffer).unwrap(), 5);
    // Nobody waits for this one.
    tell(&parent, &ToChild::Connection { number: 99, reached: Reached::Yes }, &[theirs.as_fd()]);
}

#[tokio::test]
async fn a_flood_of_lines_is_cut_counted_and_waits_for_nobody() {
    let (parent, child) = pair(Kind::Packets).unwrap();
    let (link, _orders) = Link::open(child).unwrap();
    for number in 0..100_000 {
        link.log(Level::Info, format!("line {number}"));
    }
    link.log(Level::Error, "ü".repeat(MAX_MESSAGE));
    let mut lines = 0_u64;
    loop {
        let FromChild::Log { text, .. } = heard(&parent).await else { panic!("another message") };
        lines += 1;
        if let Some((count, _)) = text.split_once(" lines for the log were lost") {
            assert_eq!(count.parse::<u64>().unwrap(), 100_001 - 4096, "{text}");
            break;
        }
        assert!(lines < 5000);
    }
    link.say(FromChild::Queue(Kept { messages: 3 }));
    while heard(&parent).await != FromChild::Queue(Kept { messages: 3 }) {}
}

#[tokio::test]
async fn what_was_said_is_with_the_parent_after_a_flush() {
    let (parent, child) = pair(Kind::Packets).unwrap();
    let (link, _orders) = Link::open(child).unwrap();
    link.log(Level::Notice, "x".repeat(3 * MAX_MESSAGE));
    link.flush().await;
    let FromChild::Log { level, text } = heard(&parent).await else { panic!("another message") };
    assert_eq!((level, text.len()), (Level::Notice, MAX_MESSAGE / 2));
}
