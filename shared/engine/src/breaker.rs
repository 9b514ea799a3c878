//! The last guard against loops (fault F60): somebody else's bridge in the graph carries our copies back to us as new
//! messages by its own bot. Own echoes and the walk can't see that; the same words coming round and round can be seen.
//!
//! Kept in memory, as hashes. People repeat themselves too ("+1"), so what counts is the same words coming into one
//! network by different mouths: from another author or another room than last time, and, unless they carry the prefix
//! that bridges put before an author's words, more often.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use sameroom_model::{Author, RoomRef, Timestamp};

/// Words are remembered for so long.
const WINDOW_MS: i64 = 60_000;
/// How many different words are remembered.
const MAX: usize = 8192;
/// Words without a bridge's prefix may come round so many times more often.
const LENIENCE: u32 = 4;
/// Shorter words are never taken for an echo.
const SHORT: usize = 3;

/// Counts words that come round.
pub(crate) struct Breaker {
    limit: u32,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    rounds: HashMap<u64, Round>,
    order: VecDeque<(Timestamp, u64)>,
}

struct Round {
    mouth: u64,
    count: u32,
}

impl Breaker {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, inner: Mutex::default() }
    }

    /// Notes a message about to cross; returns whether a loop is suspected.
    pub(crate) fn suspects(&self, room: &RoomRef, author: Option<&Author>, words: &str, now: Timestamp) -> bool {
        let (bare, prefixed) = strip_prefixes(words);
        if bare.chars().count() < SHORT {
            return false;
        }
        let words = hash(&bare.to_lowercase());
        let mouth = hash(&(room, author.map(|author| &author.key)));
        let Ok(mut inner) = self.inner.lock() else { return false };
        inner.forget_before(now);
        if let Some(round) = inner.rounds.get_mut(&words) {
            if round.mouth != mouth {
                round.mouth = mouth;
                round.count += 1;
            }
            let limit = if prefixed { self.limit } else { self.limit * LENIENCE };
            return round.count > limit;
        }
        inner.rounds.insert(words, Round { mouth, count: 0 });
        inner.order.push_back((now, words));
        false
    }
}

impl Inner {
    fn forget_before(&mut self, now: Timestamp) {
        while let Some((at, words)) = self.order.front().copied() {
            if now.as_millisecond() - at.as_millisecond() < WINDOW_MS && self.order.len() < MAX {
                break;
            }
            self.order.pop_front();
            self.rounds.remove(&words);
        }
    }
}

/// Strips what bridges put before an author's words: `<ann> `, `[irc] `, `(edited) `.
fn strip_prefixes(words: &str) -> (&str, bool) {
    let mut rest = words.trim();
    let mut stripped = false;
    while let Some(first) = rest.chars().next() {
        let close = match first {
            '<' => '>',
            '[' => ']',
            '(' => ')',
            _ => break,
        };
        match rest.find(close) {
            Some(end) if end < 80 && !rest[end + 1..].trim().is_empty() => {
                rest = rest[end + 1..].trim();
                stripped = true;
            }
            _ => break,
        }
    }
    (rest, stripped)
}

fn hash<T: Hash>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).expect("in range")
    }

    #[test]
    fn f60_a_foreign_bridge_in_the_cycle_trips_it() {
        let breaker = Breaker::new(3);
        let (a, b) = (RoomRef::new("x", "#a"), RoomRef::new("x", "#b"));
        let (ann, bot) = (Author::new("ann", "ann"), Author::new("bot", "bot"));
        assert!(!breaker.suspects(&a, Some(&ann), "hello all", ms(0)));
        let tripped: Vec<bool> = (0..6)
            .map(|i| {
                let (room, words) = if i % 2 == 0 {
                    (&b, "<ann> hello all".to_owned())
                } else {
                    (&a, "<bot> <ann> hello all".to_owned())
                };
                breaker.suspects(room, Some(&bot), &words, ms(i * 100))
            })
            .collect();
        assert_eq!(tripped, [false, false, false, true, true, true]);
    }

    #[test]
    fn people_may_repeat_themselves() {
        let breaker = Breaker::new(3);
        let (room, ann) = (RoomRef::new("x", "#a"), Author::new("ann", "ann"));
        assert!((0..100).all(|i| !breaker.suspects(&room, Some(&ann), "anybody there?", ms(i * 10))));
    }

    #[test]
    fn a_vote_is_no_loop() {
        let breaker = Breaker::new(3);
        let room = RoomRef::new("x", "#a");
        assert!((0..10).all(|i| {
            let voter = Author::new(format!("u{i}"), "u");
            !breaker.suspects(&room, Some(&voter), "agreed", ms(i * 1000))
        }));
    }

    #[test]
    fn a_minute_later_it_is_forgotten() {
        let breaker = Breaker::new(0);
        let (room, ann, bob) = (RoomRef::new("x", "#a"), Author::new("ann", "ann"), Author::new("bob", "bob"));
        assert!(!breaker.suspects(&room, Some(&ann), "good morning", ms(0)));
        assert!(!breaker.suspects(&room, Some(&bob), "good morning", ms(61_000)));
    }
}
