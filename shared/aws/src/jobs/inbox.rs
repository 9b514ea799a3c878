//! What a worker has received and not settled, by group: what can be leased, what is under lease, and what waits behind
//! it. Pure, under its owner's lock. It must not know how messages are received.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::leases::Message;

/// The messages of one queue.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Groups of which nothing is under lease, in the order in which they are to be.
    ready: VecDeque<(String, VecDeque<Message>)>,
    active: HashMap<String, Active>,
}

/// A group of which jobs are under lease.
#[derive(Debug, Default)]
struct Active {
    leased: HashSet<u64>,
    /// Received with them, and behind them.
    rest: VecDeque<Message>,
    /// After how long those come again that came back, if any did.
    again: Option<Duration>,
}

impl Inbox {
    /// Takes what was received, in order.
    pub(crate) fn put(&mut self, messages: Vec<Message>) {
        for message in messages {
            let group = message.job.group.clone();
            if let Some(active) = self.active.get_mut(&group) {
                active.rest.push_back(message);
            } else if let Some((_, waiting)) = self.ready.iter_mut().find(|(name, _)| *name == group) {
                waiting.push_back(message);
            } else {
                self.ready.push_back((group, VecDeque::from([message])));
            }
        }
    }

    /// How many groups are ready to be leased.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Up to `max` jobs of the group that has waited longest. `name` gives each its receipt.
    pub(crate) fn lease(&mut self, max: usize, mut name: impl FnMut() -> u64) -> Option<(String, Vec<(u64, Message)>)> {
        let (group, mut waiting) = self.ready.pop_front()?;
        let rest = waiting.split_off(max.max(1).min(waiting.len()));
        let leased: Vec<(u64, Message)> = waiting.into_iter().map(|message| (name(), message)).collect();
        let receipts = leased.iter().map(|(receipt, _)| *receipt).collect();
        self.active.insert(group.clone(), Active { leased: receipts, rest, again: None });
        Some((group, leased))
    }

    /// A job is settled: done, or to come again after a while. Returns what must be given back with it, and after how
    /// long: once the last of a batch is settled of which some come again, those behind come again too.
    pub(crate) fn settle(
        &mut self,
        group: &str,
        receipt: u64,
        again: Option<Duration>,
    ) -> Option<(Duration, Vec<Message>)> {
        let active = self.active.get_mut(group)?;
        active.leased.remove(&receipt);
        active.again = active.again.max(again);
        if !active.leased.is_empty() {
            return None;
        }
        let Active { rest, again, .. } = self.active.remove(group)?;
        match again {
            Some(after) if !rest.is_empty() => return Some((after, rest.into())),
            None if !rest.is_empty() => self.ready.push_back((group.to_owned(), rest)),
            _ => {}
        }
        None
    }

    /// Takes out all that is ready.
    pub(crate) fn take_ready(&mut self) -> Vec<Message> {
        self.ready.drain(..).flat_map(|(_, waiting)| waiting).collect()
    }

    /// All that is not under lease.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        let ready = self.ready.iter().map(|(_, waiting)| waiting);
        let rest = self.active.values().map(|active| &active.rest);
        ready.chain(rest).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::super::again::Standing;
    use super::super::envelope::Opened;
    use super::*;

    fn message(group: &str, name: &str) -> Message {
        Message {
            id: name.into(),
            handle: format!("handle of {name}"),
            received: 1,
            came: tokio::time::Instant::now(),
            sent_at_ms: 0,
            job: Opened { group: group.into(), attempts: 0, maybe: false, not_before: None, body: vec![].into() },
            standing: Standing { attempts: 0, maybe: false, not_before: None },
        }
    }

    /// Groups and names, with receipts from 1.
    struct Talk {
        inbox: Inbox,
        last: u64,
    }

    impl Talk {
        fn new(messages: &[(&str, &str)]) -> Self {
            let mut inbox = Inbox::default();
            inbox.put(messages.iter().map(|(group, name)| message(group, name)).collect());
            Self { inbox, last: 0 }
        }

        fn lease(&mut self, max: usize) -> Option<(String, String)> {
            let last = &mut self.last;
            let (group, leased) = self.inbox.lease(max, || {
                *last += 1;
                *last
            })?;
            Some((group, leased.into_iter().map(|(_, message)| message.id).collect()))
        }
    }

    fn leased(group: &str, names: &str) -> (String, String) {
        (group.to_owned(), names.to_owned())
    }

    #[test]
    fn groups_are_leased_one_by_one_and_the_rest_after_them() {
        let mut talk = Talk::new(&[("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")]);
        assert_eq!(talk.lease(2), Some(leased("a", "13")));
        assert_eq!(talk.lease(2), Some(leased("b", "2")));
        assert_eq!(talk.lease(2), None);
        assert!(talk.inbox.settle("a", 2, None).is_none());
        assert_eq!(talk.lease(2), None);
        assert!(talk.inbox.settle("a", 1, None).is_none());
        assert_eq!(talk.lease(2), Some(leased("a", "4")));
    }

    #[test]
    fn what_is_behind_comes_again_with_what_comes_again() {
        let mut talk = Talk::new(&[("a", "1"), ("a", "2"), ("a", "3")]);
        talk.lease(2);
        let wait = Duration::from_secs(5);
        assert!(talk.inbox.settle("a", 1, Some(wait)).is_none());
        let (after, rest) = talk.inbox.settle("a", 2, None).unwrap();
        assert_eq!((after, rest.len(), rest[0].id.as_str()), (wait, 1, "3"));
        assert_eq!((talk.lease(2), talk.inbox.messages().count()), (None, 0));
    }

    #[test]
    fn all_that_is_not_under_lease_is_told() {
        let mut talk = Talk::new(&[("a", "1"), ("a", "2"), ("b", "3")]);
        talk.lease(1);
        let mut names: Vec<_> = talk.inbox.messages().map(|message| message.id.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["2", "3"]);
        assert_eq!(talk.inbox.take_ready().len(), 1);
        assert_eq!(talk.inbox.ready(), 0);
    }
}
