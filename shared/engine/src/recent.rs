//! The first words of recent messages, in memory only: a reply to one can then quote it where the target has no
//! replies. Nothing of this is ever written down (promise 7), and after a restart a reply goes without the quote.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use sameroom_model::MessageRef;

/// How many messages are remembered.
const MAX: usize = 4096;

/// What is remembered of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) author: String,
    pub(crate) excerpt: String,
}

/// Recent messages, oldest forgotten first.
#[derive(Default)]
pub(crate) struct Recent {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    seen: HashMap<MessageRef, Seen>,
    order: VecDeque<MessageRef>,
}

impl Recent {
    pub(crate) fn put(&self, message: MessageRef, seen: Seen) {
        let Ok(mut inner) = self.inner.lock() else { return };
        if inner.seen.insert(message.clone(), seen).is_none() {
            inner.order.push_back(message);
            if inner.order.len() > MAX
                && let Some(oldest) = inner.order.pop_front()
            {
                inner.seen.remove(&oldest);
            }
        }
    }

    pub(crate) fn get(&self, message: &MessageRef) -> Option<Seen> {
        self.inner.lock().ok()?.seen.get(message).cloned()
    }
}
