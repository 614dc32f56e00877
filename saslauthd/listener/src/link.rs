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

/// Makes a channel the current one, and reads it until its end.
pub(crate) fn adopt(door: &Rc<Door>, channel: OwnedFd) -> std::io::Result<()> {
    sys::descriptors::set_nonblocking(&channel)?;
    let channel = Rc::new(watch(channel, Interest::READABLE | Interest::WRITABLE)?);
    let (number, before) = door.shared.core.borrow_mut().adopt(Rc::clone(&channel));
    tokio::task::spawn_local(read(Rc::clone(door), number, channel));
    if let Some(before) = before {
        tokio::task::spawn_local(retire(Rc::clone(&door.shared), before));
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
            Ok(count) => match deliver(&door, &mut answers, &mut buffer, kept + count) {
                Some(rest) => kept = rest,
                None => break,
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => guard.clear_ready(),
            Err(_) => break,
        }
    }
    door.shared.core.borrow_mut().lose(number, Instant::now());
    door.shared.busy.notify_one();
}

/// Passes on every whole answer and moves the rest to the front. `None` ends a checker that babbles.
fn deliver(door: &Door, answers: &mut Answers, buffer: &mut [u8], filled: usize) -> Option<usize> {
    let now = Instant::now();
    let mut core = door.shared.core.borrow_mut();
    let mut used = 0;
    loop {
        match answers.next(buffer.get(used..filled)?) {
            Ok(Some((message, length))) => {
                if let FromChecker::Answered(answered) = message {
                    core.answer(answered, now);
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
    drop(core);
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
            let Ok(mut guard) = channel.writable().await else { break };
            guard.clear_ready();
        }
    }
}

/// Lets a channel that is no longer the current one answer what it was asked, then ends it.
async fn retire(shared: Rc<Shared>, mut link: crate::core::Link) {
    while !link.outgoing.is_empty() || shared.core.borrow().owes(link.number) {
        match peer::send(link.channel.get_ref(), link.outgoing.as_bytes()) {
            Ok(count) => link.outgoing.sent(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        sleep(Duration::from_millis(20)).await;
    }
    // Our reader sees the checker's end of the stream, and forgets the channel.
    let _ = peer::shutdown_write(link.channel.get_ref());
}

/// Looks after the leaving and the overdue, for as long as there are any.
pub(crate) async fn look_after(shared: Rc<Shared>) {
    loop {
        shared.busy.notified().await;
        while shared.core.borrow().has_guests() {
            sleep(Duration::from_millis(4)).await;
            shared.core.borrow_mut().look(Instant::now());
        }
    }
}
