//! The clients whose request is with the checker: a slab of places, each with a number that is used once.
//!
//! An id is a place and the generation of its tenant, so that a late answer never reaches the next tenant.

use std::os::fd::OwnedFd;

use ipc::config::Protocol;

/// One client that waits for its answer.
pub(crate) struct Waiting {
    /// Its connection.
    pub(crate) client: OwnedFd,
    /// What it speaks.
    pub(crate) protocol: Protocol,
    /// The channel that its request went to.
    pub(crate) link: u32,
}

#[derive(Default)]
struct Place {
    generation: u32,
    tenant: Option<Waiting>,
}

/// The slab.
#[derive(Default)]
pub(crate) struct Slots {
    places: Vec<Place>,
    free: Vec<u32>,
}

impl Slots {
    /// Gives a client a place, and the id for its request.
    pub(crate) fn insert(&mut self, waiting: Waiting) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let Some(place) = usize::try_from(index).ok().and_then(|i| self.places.get_mut(i)) else {
            return u64::MAX;
        };
        place.tenant = Some(waiting);
        (u64::from(place.generation) << 32) | u64::from(index)
    }

    /// The client that waits for this id, which is used up by that. `None` when it no longer waits.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Waiting> {
        let index = u32::try_from(id & u64::from(u32::MAX)).ok()?;
        let place = self.places.get_mut(usize::try_from(index).ok()?)?;
        if u64::from(place.generation) != id >> 32 {
            return None;
        }
        let waiting = place.tenant.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(index);
        Some(waiting)
    }

    /// Whether somebody waits for this id.
    pub(crate) fn holds(&self, id: u64) -> bool {
        usize::try_from(id & u64::from(u32::MAX))
            .ok()
            .and_then(|index| self.places.get(index))
            .is_some_and(|place| u64::from(place.generation) == id >> 32 && place.tenant.is_some())
    }

    /// All ids whose requests went to this channel.
    pub(crate) fn on_link(&self, link: u32) -> Vec<u64> {
        let ids = self.places.iter().zip(0u64..).filter_map(|(place, index)| {
            let waiting = place.tenant.as_ref()?;
            (waiting.link == link).then_some((u64::from(place.generation) << 32) | index)
        });
        ids.collect()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(link: u32) -> Waiting {
        let file = std::fs::File::open("/dev/null").unwrap();
        Waiting { client: file.into(), protocol: Protocol::Mux, link }
    }

    #[test]
    fn an_id_is_used_once() {
        let mut slots = Slots::default();
        let first = slots.insert(client(1));
        assert!(slots.holds(first));
        assert!(slots.remove(first).is_some());
        assert!(slots.remove(first).is_none());
        let second = slots.insert(client(1));
        assert_ne!(first, second);
        assert!(slots.remove(first).is_none());
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn a_lost_channel_names_its_own_clients() {
        let mut slots = Slots::default();
        let one = slots.insert(client(1));
        let two = slots.insert(client(2));
        let three = slots.insert(client(1));
        assert_eq!(slots.on_link(1), [one, three]);
        assert_eq!(slots.on_link(2), [two]);
        assert!(slots.remove(u64::MAX).is_none());
    }
}
