//! Accepting on the sockets whose connections stay: auth, userdb and policy.
//!
//! Runs in the listener. As many clients as come are taken in turns, so that those who are served already get theirs; when
//! there is no room, or no descriptor, the rest waits in the backlog.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use sys::peer;
use tokio::time::sleep;

use crate::clients::Door;
use crate::core::Core;
use crate::serving::Served;

/// Clients accepted in a row before the others get their turn.
const BATCH: usize = 64;
/// Pause when no place or no descriptor is left.
const PAUSE: Duration = Duration::from_millis(5);

/// Accepts clients of one socket, for whom there is room as `has_room` says, until the task is ended by the next
/// configuration.
pub(crate) async fn accept(
    door: Rc<Door>,
    served: Rc<Served>,
    has_room: fn(&Core) -> bool,
    admit: fn(&Rc<Door>, &Rc<Served>, OwnedFd),
) {
    loop {
        if !has_room(&door.shared.core.borrow()) {
            let connections = door.shared.core.borrow().connections();
            door.events.full(connections);
            door.shared.press();
            sleep(PAUSE).await;
            continue;
        }
        let Ok(mut guard) = served.listening.readable().await else { return };
        for _ in 0..BATCH {
            if !has_room(&door.shared.core.borrow()) {
                break;
            }
            match peer::accept(&served.listening) {
                Ok(Some(client)) => admit(&door, &served, client),
                Ok(None) => {
                    guard.clear_ready();
                    break;
                }
                // EMFILE and its kin: the client stays in the backlog, and spinning on it would help nobody.
                Err(_) => {
                    door.shared.press();
                    sleep(PAUSE).await;
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}
