//! How a world of Slack behaves badly when it is told to: per method of the Web API, for good or for some calls.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How one call is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should be.
    Well,
    /// 429 with `Retry-After` in seconds; nothing is done.
    Busy(u64),
    /// 200 and `ok:false` with that error; nothing is done.
    Fails(String),
    /// That HTTP status with an empty body; nothing is done.
    Status(u16),
    /// Done and answered after a while.
    Slow(Duration),
    /// Resets the connection; nothing is done.
    CutBefore,
    /// Done; then resets the connection instead of answering.
    CutAfter,
}

/// In which order held events go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they happened.
    Straight,
    /// The last one first.
    Reversed,
    /// Shuffled, always the same way for a seed.
    Shuffled(u64),
}

/// The moods of the methods. A method `*` is every method; `upload` and `download` are the two ways of a file's bytes.
#[derive(Default)]
pub(super) struct Moods {
    pub standing: BTreeMap<String, Mood>,
    pub script: BTreeMap<String, VecDeque<Mood>>,
    /// The most messages that a call of history gives, whatever it asks for.
    pub history_at_most: Option<usize>,
    /// How long after the answer an uploaded file is shared.
    pub shares_after: Duration,
    /// The app's own posts come as events before the call is answered.
    pub echo_first: bool,
    /// Messages under another name can't be deleted.
    pub impersonated_stay: bool,
    /// `edit_window_closed` for every edit.
    pub edits_closed: bool,
}

impl Moods {
    /// The mood of the next call of that method; a scripted one is used up.
    pub fn next(&mut self, method: &str) -> Mood {
        for name in [method, "*"] {
            if let Some(mood) = self.script.get_mut(name).and_then(VecDeque::pop_front) {
                return mood;
            }
        }
        [method, "*"].iter().find_map(|name| self.standing.get(*name)).cloned().unwrap_or(Mood::Well)
    }
}

/// Puts a list in that order.
pub(super) fn ordered<T>(mut list: Vec<T>, order: Order) -> Vec<T> {
    match order {
        Order::Straight => {}
        Order::Reversed => list.reverse(),
        Order::Shuffled(seed) => {
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            for at in (1..list.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                list.swap(at, (state >> 33) as usize % (at + 1));
            }
        }
    }
    list
}
