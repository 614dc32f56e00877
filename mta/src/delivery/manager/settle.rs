//! What an attempt means for the state of a message, and who is to hear of it.
//!
//! Runs in the sender. Nothing here touches a disk. A recipient that is done never waits again, whatever is said later.

use crate::delivery::report::Action;
use crate::delivery::schedule::Patience;
use crate::delivery::transport::{Notifier, Outcome, Reply, Report};
use crate::spool::envelope::Envelope;
use crate::spool::state::{Fate, Standing, State, Told};

/// Takes the outcomes of an attempt.
pub(super) fn apply(state: &mut State, report: &Report) {
    for (number, outcome) in &report.outcomes {
        let index = usize::try_from(*number).unwrap_or(usize::MAX);
        let Some(standing) = state.recipients.get_mut(index) else { continue };
        if standing.fate != Fate::Waiting {
            continue;
        }
        standing.fate = match (outcome, report.notifier) {
            (Outcome::Deferred(_), _) => Fate::Waiting,
            (Outcome::Failed(_), _) => Fate::Failed(Told::No),
            (Outcome::Delivered(_), Notifier::NextHop) => Fate::HandedOver,
            (Outcome::Delivered(_), Notifier::Relay) => Fate::Relayed(Told::No),
            (Outcome::Delivered(_), Notifier::Mailbox) => Fate::Delivered(Told::No),
        };
        standing.reply = Some(outcome.reply().clone());
    }
}

/// What its age means for those who wait: at the end of all patience they have failed.
pub(super) fn grow_old(state: &mut State, patience: Patience, last: Option<&Reply>) {
    for standing in state.recipients.iter_mut().filter(|standing| waits(standing)) {
        if standing.reply.is_none() {
            standing.reply = last.cloned();
        }
        if patience == Patience::Ended {
            standing.fate = Fate::Failed(Told::No);
        }
    }
}

/// Recipients whose sender is to hear of them now: number and action.
pub(super) fn untold(
    state: &State,
    envelope: &Envelope,
    patience: Patience,
) -> Vec<(usize, Action)> {
    let worn = patience == Patience::Worn && state.warned == Told::No;
    let addressees = envelope.recipients.iter();
    let each = state.recipients.iter().zip(addressees).enumerate();
    each.filter_map(|(number, (standing, addressee))| {
        let action = match standing.fate {
            Fate::Waiting if worn => Action::Delayed,
            Fate::Failed(Told::No) => Action::Failed,
            Fate::Relayed(Told::No) => Action::Relayed,
            Fate::Delivered(Told::No) => Action::Delivered,
            _ => return None,
        };
        action.is_wanted(addressee.parameters.notify).then_some((number, action))
    })
    .collect()
}

/// The sender has heard all that it is to hear by now.
pub(super) fn mark_told(state: &mut State, patience: Patience) {
    if patience == Patience::Worn {
        state.warned = Told::Yes;
    }
    for standing in &mut state.recipients {
        standing.fate = match standing.fate {
            Fate::Failed(_) => Fate::Failed(Told::Yes),
            Fate::Relayed(_) => Fate::Relayed(Told::Yes),
            Fate::Delivered(_) => Fate::Delivered(Told::Yes),
            other => other,
        };
    }
}

/// Whether a recipient waits.
pub(super) fn waits(standing: &Standing) -> bool {
    standing.fate == Fate::Waiting
}

/// Numbers of the recipients that wait.
pub(super) fn waiting(state: &State) -> Vec<u32> {
    let each = (0u32..).zip(&state.recipients);
    each.filter(|(_, standing)| waits(standing)).map(|(number, _)| number).collect()
}

#[cfg(test)]
mod tests {
    use smtp::address::{Address, Recipient, Sender};
    use smtp::command::{MailParameters, Notify, RcptParameters};

    use super::*;
    use crate::delivery::transport::Contact;
    use crate::spool::envelope::{Addressee, Origin};
    use crate::spool::id::Id;

    fn envelope(notify: &[Option<Notify>]) -> Envelope {
        let addressee = |notify: &Option<Notify>| Addressee {
            recipient: Recipient::Address(Address::parse("b@example.org").unwrap()),
            parameters: RcptParameters { notify: *notify, orcpt: None },
        };
        Envelope {
            id: Id::parse(b"abcdefgh01234567").unwrap(),
            arrived: 0,
            sender: Sender::Null,
            parameters: MailParameters::default(),
            recipients: notify.iter().map(addressee).collect(),
            origin: Origin::Own,
        }
    }

    fn report(outcomes: &[(u32, u16)], notifier: Notifier) -> Report {
        let outcome =
            |(number, code): &(u32, u16)| (*number, Reply::local(*code, 1, 1, "said").outcome());
        Report {
            outcomes: outcomes.iter().map(outcome).collect(),
            mailer: "esmtp",
            relay: String::new(),
            in_doubt: 0,
            contact: Contact::Made,
            notifier,
        }
    }

    #[test]
    fn outcomes_end_the_waiting_once() {
        let mut state = State::new(0, 4);
        let attempt = report(&[(0, 250), (1, 550), (2, 451), (9, 250)], Notifier::Relay);
        apply(&mut state, &attempt);
        assert_eq!(waiting(&state), [2, 3]);
        apply(&mut state, &report(&[(0, 550), (1, 250), (2, 250)], Notifier::NextHop));
        let fates: Vec<Fate> = state.recipients.iter().map(|standing| standing.fate).collect();
        let expected =
            [Fate::Relayed(Told::No), Fate::Failed(Told::No), Fate::HandedOver, Fate::Waiting];
        assert_eq!(fates, expected);
    }

    #[test]
    fn senders_hear_once_and_only_what_they_want() {
        let envelope = envelope(&[None, Some(Notify::Never), None]);
        let mut state = State::new(0, 3);
        apply(&mut state, &report(&[(0, 550), (1, 550)], Notifier::Relay));
        assert_eq!(untold(&state, &envelope, Patience::Kept), [(0, Action::Failed)]);
        let both = [(0, Action::Failed), (2, Action::Delayed)];
        assert_eq!(untold(&state, &envelope, Patience::Worn), both);
        mark_told(&mut state, Patience::Worn);
        assert_eq!(untold(&state, &envelope, Patience::Worn), []);
        grow_old(&mut state, Patience::Ended, None);
        assert_eq!(untold(&state, &envelope, Patience::Ended), [(2, Action::Failed)]);
        assert!(waiting(&state).is_empty());
    }
}
