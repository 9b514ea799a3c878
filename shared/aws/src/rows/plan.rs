//! What a commit's writes mean for items: which actions, on what conditions, and how few calls they fit in. Pure, so that
//! it is tested without a table.
//!
//! Whether a row lies in parts is not known to who writes it. So each write has a guard: that the row has as many parts as
//! is thought, at first none. Guards cost nothing; one that fails tells how many there are, and the write is made again
//! with the parts removed or replaced. Writes that go by batch have no guard: those rows are small, and their parts would
//! be removed when they expire.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use sameroom_engine::ports::{CommitError, Key, Unavailable, When, Write};
use sameroom_model::Timestamp;

use super::item::{self, Item, number};

/// One transaction takes at most so many actions.
pub(super) const ACTIONS_MAX: usize = 100;
/// And so many bytes; a little less than is allowed.
const BYTES_MAX: usize = 4_000_000;

/// A write of one row.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) key: Key,
    /// The row's item and those of its parts; none: it is deleted.
    items: Vec<Item>,
    bytes: usize,
    when: When,
    /// How many parts the row has now, as far as is known.
    parts: usize,
}

/// One action on one item.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) what: What,
    pub(super) condition: Option<Condition>,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Put(Item),
    Delete(Item),
}

/// A condition as DynamoDB reads it.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) expression: String,
    pub(super) values: HashMap<String, AttributeValue>,
}

/// What a failed check means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// The engine's condition does not hold.
    Conflict,
    /// Only the guard failed: the row has so many parts.
    Parts(usize),
    /// The row is as this write leaves it: an earlier attempt was done, and its answer lost.
    Done,
}

/// A number that no other write of the key has: milliseconds since 1970, and 22 random bits.
pub(super) fn stamp(now: Timestamp, random: u32) -> u64 {
    ((now.as_millisecond().max(0) as u64) << 22) | u64::from(random & 0x003f_ffff)
}

/// Plans writes, one for each row. Of two writes of a row the later one stays, on the conditions of both.
pub(super) fn plan(writes: Vec<Write>, version: u64) -> Result<Vec<Planned>, CommitError> {
    let mut planned: Vec<Planned> = Vec::with_capacity(writes.len());
    for write in writes {
        let mut new = one(write, version)?;
        match planned.iter_mut().find(|earlier| earlier.key == new.key) {
            Some(earlier) => {
                new.when = both(earlier.when, new.when)?;
                *earlier = new;
            }
            None => planned.push(new),
        }
    }
    Ok(planned)
}

/// Parts writes so that each piece fits into one transaction.
pub(super) fn pieces(planned: Vec<Planned>) -> Result<Vec<Vec<Planned>>, Unavailable> {
    let conditional = planned.iter().any(|write| write.when != When::Always);
    let count = planned.len();
    let mut pieces: Vec<Vec<Planned>> = Vec::new();
    let (mut actions, mut bytes) = (0, 0);
    for write in planned {
        let (more, longer) = (write.action_count(), write.bytes);
        match pieces.last_mut() {
            Some(piece) if actions + more <= ACTIONS_MAX && bytes + longer <= BYTES_MAX => piece.push(write),
            _ => {
                (actions, bytes) = (0, 0);
                pieces.push(vec![write]);
            }
        }
        (actions, bytes) = (actions + more, bytes + longer);
    }
    if pieces.len() > 1 && conditional {
        return Err(Unavailable::new(format_args!(
            "{count} rows are to be written on a condition; DynamoDB takes {ACTIONS_MAX} of up to {BYTES_MAX} bytes \
             together at once"
        )));
    }
    Ok(pieces)
}

impl Planned {
    /// Whether it can go by a batch, which knows no conditions.
    pub(super) fn is_plain(&self) -> bool {
        self.when == When::Always && self.items.len() == 1 && self.parts == 0
    }

    /// The actions: the row's first.
    pub(super) fn actions(&self, now: Timestamp) -> Vec<Action> {
        let condition = Some(self.condition(now));
        let first = match self.items.first() {
            Some(item) => What::Put(item.clone()),
            None => What::Delete(item::row_key(&self.key)),
        };
        let puts = self.items.iter().skip(1).map(|part| What::Put(part.clone()));
        let new_parts = self.items.len().saturating_sub(1);
        let gone = (new_parts..self.parts).map(|part| What::Delete(item::part_key(&self.key, part)));
        let rest = puts.chain(gone).map(|what| Action { what, condition: None });
        std::iter::once(Action { what: first, condition }).chain(rest).collect()
    }

    /// The row's item, if it is written.
    pub(super) fn item(&self) -> Option<&Item> {
        self.items.first()
    }

    /// Learns how many parts the row has.
    pub(super) fn learn(&mut self, parts: usize) {
        self.parts = parts;
    }

    /// What it means that the check failed, by the row as it is.
    pub(super) fn judge(&self, old: Option<Item>, now: Timestamp) -> Judged {
        let old = old.and_then(item::read);
        let mine = self.items.first().cloned().and_then(item::read);
        if let (Some(old), Some(mine)) = (&old, &mine)
            && old.version == mine.version
        {
            return Judged::Done;
        }
        let lives = old.as_ref().is_some_and(|old| old.lives(now));
        let holds = match self.when {
            When::Always => true,
            When::Absent => !lives,
            When::Version(version) => lives && old.as_ref().is_some_and(|old| old.version == version),
        };
        if holds { Judged::Parts(old.map_or(0, |old| old.parts)) } else { Judged::Conflict }
    }

    fn action_count(&self) -> usize {
        let new_parts = self.items.len().saturating_sub(1);
        1 + new_parts.max(self.parts)
    }

    fn condition(&self, now: Timestamp) -> Condition {
        let mut values = HashMap::new();
        let guard = if self.parts == 0 {
            "attribute_not_exists(n)"
        } else {
            values.insert(":n".to_owned(), number(self.parts as u64));
            "n = :n"
        };
        let expression = match self.when {
            When::Always => guard.to_owned(),
            When::Absent => {
                values.insert(":now".to_owned(), number(now.as_millisecond()));
                format!("{guard} AND (attribute_not_exists(p) OR e <= :now)")
            }
            When::Version(version) => {
                values.insert(":now".to_owned(), number(now.as_millisecond()));
                values.insert(":v".to_owned(), number(version));
                format!("{guard} AND v = :v AND (attribute_not_exists(e) OR e > :now)")
            }
        };
        Condition { expression, values }
    }
}

fn one(write: Write, version: u64) -> Result<Planned, Unavailable> {
    let (key, when, items, bytes) = match write {
        Write::Delete { key, when } => (key, when, Vec::new(), 0),
        Write::Put { key, body, expires, when } => {
            if body.len() > item::PART * item::PARTS_MAX {
                return Err(Unavailable::new(format_args!(
                    "a row of {} bytes is longer than DynamoDB takes at once ({})",
                    body.len(),
                    item::PART * item::PARTS_MAX
                )));
            }
            let bytes = body.len();
            let items = item::items(&key, body, expires, version);
            (key, when, items, bytes)
        }
    };
    item::check(&key)?;
    // Names, keys and numbers of each item count too.
    let bytes = bytes + items.len().max(1) * (key.partition.len() + key.sort.len() + 100);
    Ok(Planned { key, items, bytes, when, parts: 0 })
}

fn both(first: When, second: When) -> Result<When, CommitError> {
    match (first, second) {
        (When::Always, when) | (when, When::Always) => Ok(when),
        (first, second) if first == second => Ok(first),
        _ => Err(CommitError::Conflict),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_780_315_200).unwrap()
    }

    fn key(sort: &str) -> Key {
        Key { partition: "p".into(), sort: sort.into() }
    }

    fn put(sort: &str, body: Vec<u8>, when: When) -> Write {
        Write::Put { key: key(sort), body, expires: None, when }
    }

    fn delete(sort: &str, when: When) -> Write {
        Write::Delete { key: key(sort), when }
    }

    fn single(write: Write) -> Planned {
        plan(vec![write], 7).unwrap().remove(0)
    }

    #[test]
    fn stamps_grow_with_time_and_differ_within_a_millisecond() {
        let later = now() + std::time::Duration::from_millis(1);
        assert!(stamp(later, 0) > stamp(now(), u32::MAX));
        assert_ne!(stamp(now(), 1), stamp(now(), 2));
        assert!(stamp(Timestamp::MAX, u32::MAX) > stamp(now(), 0));
    }

    #[test]
    fn of_two_writes_of_a_row_the_later_stays_on_both_conditions() {
        let planned = plan(
            vec![put("a", vec![1], When::Version(3)), delete("b", When::Always), put("a", vec![2], When::Always)],
            7,
        )
        .unwrap();
        assert_eq!(planned.len(), 2);
        assert_eq!(planned[0].when, When::Version(3));
        assert_eq!(item::read(planned[0].items[0].clone()).unwrap().body, [2]);
        let apart = plan(vec![delete("a", When::Absent), delete("a", When::Version(1))], 7);
        assert!(matches!(apart, Err(CommitError::Conflict)));
    }

    #[test]
    fn many_writes_go_in_pieces_unless_they_have_conditions() {
        let many = |when| plan((0..250).map(|n| put(&n.to_string(), vec![], when)).collect(), 7).unwrap();
        assert_eq!(pieces(many(When::Always)).unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
        assert!(pieces(many(When::Absent)).unwrap_err().why.starts_with("250 rows are to be written on a condition"));
        let long = plan((0..3).map(|n| put(&n.to_string(), vec![0; 2_000_000], When::Always)).collect(), 7).unwrap();
        assert_eq!(pieces(long).unwrap().len(), 3);
    }

    #[test]
    fn a_long_body_takes_its_parts_along_and_removes_those_of_before() {
        let mut write = single(put("a", vec![0; item::PART + 1], When::Always));
        assert!(!write.is_plain());
        assert_eq!(write.actions(now()).len(), 3);
        write.learn(4);
        let actions = write.actions(now());
        let deleted = actions.iter().filter(|action| matches!(action.what, What::Delete(_))).count();
        assert_eq!((actions.len(), deleted, write.action_count()), (5, 2, 5));
        assert_eq!(actions[0].condition.as_ref().unwrap().expression, "n = :n");
        assert!(actions[1..].iter().all(|action| action.condition.is_none()));
        let mut gone = single(delete("a", When::Always));
        gone.learn(4);
        assert_eq!(gone.actions(now()).len(), 5);
        assert!(plan(vec![put("a", vec![0; item::PART * item::PARTS_MAX + 1], When::Always)], 7).is_err());
    }

    #[test]
    fn a_failed_check_is_judged_by_the_row() {
        let old = |version, expires| item::items(&key("a"), vec![], expires, version).remove(0);
        let past = Some(now());
        let long = || item::items(&key("a"), vec![0; item::PART + 1], None, 3).remove(0);
        let judge = |when, old| single(put("a", vec![], when)).judge(old, now());
        assert_eq!(judge(When::Absent, None), Judged::Parts(0));
        assert_eq!(judge(When::Absent, Some(old(3, past))), Judged::Parts(0));
        assert_eq!(judge(When::Absent, Some(old(3, None))), Judged::Conflict);
        assert_eq!(judge(When::Version(3), Some(old(3, None))), Judged::Parts(0));
        assert_eq!(judge(When::Version(3), Some(old(3, past))), Judged::Conflict);
        assert_eq!(judge(When::Version(3), Some(old(4, None))), Judged::Conflict);
        assert_eq!(judge(When::Version(3), None), Judged::Conflict);
        assert_eq!(judge(When::Version(3), Some(long())), Judged::Parts(2));
        assert_eq!(judge(When::Always, Some(long())), Judged::Parts(2));
        // Our own write, whose answer was lost.
        assert_eq!(judge(When::Version(3), Some(old(7, None))), Judged::Done);
    }
}
