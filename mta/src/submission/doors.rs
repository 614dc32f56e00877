//! How many sessions there are, in all and from one address.
//!
//! Runs in the receiver. An address of IPv6 counts as its /64, since whoever has one has them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Limits;

/// Who is inside. Cheap to clone, and the same for all configurations.
#[derive(Clone, Default)]
pub struct Doors(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place inside, until it is dropped.
pub(super) struct Place {
    doors: Doors,
    address: IpAddr,
}

impl Doors {
    /// Lets a client in, unless too many of its address are.
    pub(super) fn enter(&self, client: IpAddr, limits: &Limits) -> Option<Place> {
        let address = counted(client);
        let mut inside = self.inside();
        let count = inside.entry(address).or_default();
        if *count >= limits.connections_per_address {
            return None;
        }
        *count += 1;
        Some(Place { doors: self.clone(), address })
    }

    fn inside(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.doors.inside();
        if let Some(count) = inside.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.address);
            }
        }
    }
}

fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from(u128::from(six) >> 64 << 64).into(),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gives_them_back() {
        let limits = Limits {
            message: 0,
            recipients: 0,
            connections: 9,
            connections_per_address: 2,
            command: Duration::ZERO,
            login: Duration::ZERO,
            data: Duration::ZERO,
        };
        let doors = Doors::default();
        let enter = |address: &str| doors.enter(address.parse().unwrap(), &limits);
        let (first, second) = (enter("2001:db8::1"), enter("2001:db8::ffff:1"));
        assert!(first.is_some() && second.is_some() && enter("2001:db8::2").is_none());
        assert!(enter("2001:db8:0:1::1").is_some() && enter("::ffff:192.0.2.1").is_some());
        drop(first);
        let third = enter("2001:db8::3");
        assert!(third.is_some() && enter("2001:db8::4").is_none());
        drop((second, third));
        assert!(doors.inside().is_empty());
    }
}
