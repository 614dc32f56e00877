//! The channel to the checker: answers in, and logins out when they did not fit at once.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ipc::control::Event;
use ipc::requests::{Answers, FromChecker};
use sys::peer;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use crate::clients::Door;
use crate::core::Shared;
use crate::watch::watch;

/// Bytes of answers read at a time.
const CHUNK: usize = 64 * 1024;

/// Between two looks at the leaving, when nobody else looks after them.
const ALONE: Duration = Duration::from_millis(4);
/// The same while batches of new clients bring a look along.
const HELPED: Duration = Duration::from_millis(40);

/// Makes a channel the current one, and reads it until its end.
pub(crate) fn adopt(door: &Rc<Door>, channel: OwnedFd) -> std::io::Result<()> {
    sys::descriptors::set_nonblocking(&channel)?;
    // For reading alone: whoever waits for room is woken each time that the checker takes bytes out.
    let channel = Rc::new(watch(channel, Interest::READABLE)?);
    let (number, before) = door.shared.core.borrow_mut().adopt(Rc::clone(&channel));
    tokio::task::spawn_local(read(Rc::clone(door), number, channel));
    if let Some(before) = before {
        tokio::task::spawn_local(retire(Rc::clone(door), before));
    }
    Ok(())
}

async fn read(door: Rc<Door>, number: u32, channel: Rc<AsyncFd<OwnedFd>>) {
    let mut answers = Answers::default();
    let mut buffer = vec![0; CHUNK];
    let mut kept = 0;
    loop {
        let Ok(mut guard) = channel.readable().await else { break };
        let room = buffer.get_mut(kept..).unwrap_or_default();
        match peer::receive(channel.get_ref(), room) {
            Ok(0) => break,
            Ok(count) => {
                // A short read took everything; what comes later makes the channel ready again.
                if count < room.len() {
                    guard.clear_ready();
                }
                match deliver(&door, number, &mut answers, &mut buffer, kept + count) {
                    Some(rest) => kept = rest,
                    None => break,
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => guard.clear_ready(),
            Err(_) => break,
        }
    }
    door.shared.core.borrow_mut().lose(number, Instant::now());
    door.hall.lose(&door, number);
    door.shared.busy.notify_one();
}

/// Passes on every whole answer and moves the rest to the front. `None` ends a checker that babbles.
fn deliver(
    door: &Rc<Door>,
    number: u32,
    answers: &mut Answers,
    buffer: &mut [u8],
    filled: usize,
) -> Option<usize> {
    let now = Instant::now();
    let mut core = door.shared.core.borrow_mut();
    let mut used = 0;
    let mut replies = Vec::new();
    loop {
        match answers.next(buffer.get(used..filled)?) {
            Ok(Some((message, length))) => {
                match message {
                    FromChecker::Answered(answered) => core.answer(answered, now),
                    FromChecker::Reply(reply) => replies.push(reply),
                }
                used += length;
            }
            Ok(None) => break,
            Err(_) => {
                door.events.send(Event::CheckerMalformed);
                return None;
            }
        }
    }
    let current = core.link.as_ref().is_some_and(|link| link.number == number);
    drop(core);
    if !replies.is_empty() {
        replies.into_iter().for_each(|reply| door.hall.reply(door, number, current, reply));
        door.shared.flush();
    }
    door.shared.busy.notify_one();
    buffer.copy_within(used..filled, 0);
    Some(filled - used)
}

/// Waits for room whenever a write towards the checker did not take everything.
pub(crate) async fn write(shared: Rc<Shared>) {
    loop {
        shared.blocked.notified().await;
        while !shared.core.borrow_mut().flush() {
            let channel = shared.core.borrow().link.as_ref().map(|link| Rc::clone(&link.channel));
            let Some(channel) = channel else { break };
            if wait_for_room(&channel).await.is_err() {
                break;
            }
        }
    }
}

/// Watches a second descriptor of the channel for as long as there is no room.
async fn wait_for_room(channel: &AsyncFd<OwnedFd>) -> std::io::Result<()> {
    let second = watch(channel.get_ref().try_clone()?, Interest::WRITABLE)?;
    second.writable().await.map(|_| ())
}

/// Lets a channel that is no longer the current one answer what it was asked, then ends it.
async fn retire(door: Rc<Door>, number: u32) {
    while still_owes(&door, number) {
        sleep(Duration::from_millis(20)).await;
    }
    if let Some(link) = door.shared.core.borrow_mut().part_with(number) {
        // Our reader sees the checker's end of the stream, and forgets the channel.
        let _ = peer::shutdown_write(link.channel.get_ref());
    }
}

/// Writes what is left for a channel; false when it was lost, or has answered everything.
fn still_owes(door: &Door, number: u32) -> bool {
    let mut core = door.shared.core.borrow_mut();
    let owes = core.owes(number) || door.hall.owes(number);
    let Some(link) = core.link_mut(number) else { return false };
    if link.outgoing.is_empty() {
        return owes;
    }
    match peer::send(link.channel.get_ref(), link.outgoing.as_bytes()) {
        Ok(count) => link.outgoing.sent(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(_) => return false,
    }
    true
}

/// Looks after the leaving and the overdue, for as long as there are any.
///
/// A short timer that is pending costs each wait for events, so it is short only while nobody else looks.
pub(crate) async fn look_after(shared: Rc<Shared>) {
    loop {
        shared.busy.notified().await;
        let mut pause = ALONE;
        while shared.core.borrow().has_guests() {
            let before = Instant::now();
            sleep(pause).await;
            let mut core = shared.core.borrow_mut();
            pause = if core.looked() > before { HELPED } else { ALONE };
            core.look(Instant::now());
        }
    }
}
