//! What crosses, as it happens, for whoever watches: from where, to where, what kind, what became of it and how long it
//! took. Never words. Nothing is kept, and nothing is made while nobody watches; it tells of this process alone.

use std::time::Duration;

use sameroom_model::{Action, Delivery, Outcome, RoomRef, Timestamp};
use tokio::sync::broadcast;

use crate::Engine;
use crate::attempt::Verdict;

/// How many wait for a slow watcher; the oldest are dropped after that.
const WAITING_MAX: usize = 1024;

/// One attempt at one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// When it was settled.
    pub at: Timestamp,
    /// The room that it came from; for a notice, the room that it goes to.
    pub from: RoomRef,
    /// The room that it goes to.
    pub to: RoomRef,
    /// What it was to do.
    pub kind: Crossed,
    /// What became of it.
    pub landing: Landing,
    /// How long it took since the event was accepted that it is made of.
    pub took: Duration,
}

/// What a delivery was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossed {
    /// To post a message.
    Message,
    /// To change one.
    Edit,
    /// To delete one.
    Deletion,
    /// To react to one.
    Reaction,
    /// To say something of Sameroom's own.
    Notice,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// The target took it.
    Delivered,
    /// There was nothing to do there.
    LeftOut,
    /// It waits and is tried again; a sentence says why.
    Waits(String),
    /// It failed for good; a sentence says why.
    Failed(String),
}

/// Those who watch.
pub(crate) struct Watchers(broadcast::Sender<Crossing>);

impl Default for Watchers {
    fn default() -> Self {
        Self(broadcast::channel(WAITING_MAX).0)
    }
}

impl Engine {
    /// Watches what crosses, everybody's, from now on. A watcher who is too slow misses some, and is told so.
    pub fn crossings(&self) -> broadcast::Receiver<Crossing> {
        self.inner.watchers.0.subscribe()
    }

    /// Tells of an attempt.
    pub(crate) fn crossed(&self, delivery: &Delivery, accepted: Timestamp, verdict: &Verdict) {
        if self.inner.watchers.0.receiver_count() == 0 {
            return;
        }
        let landing = match verdict {
            Verdict::Done(_) | Verdict::Failed(Outcome::Done { .. }) => Landing::Delivered,
            Verdict::Already | Verdict::Nothing => Landing::LeftOut,
            Verdict::Parked(why) | Verdict::Failed(Outcome::Retry { why, .. } | Outcome::Disconnected { why }) => {
                Landing::Waits(why.clone())
            }
            Verdict::Failed(Outcome::Refused { why }) => Landing::Failed(why.clone()),
        };
        self.tell_crossing(delivery, accepted, landing);
    }

    /// Tells of a delivery that was given up after it waited.
    pub(crate) fn gave_up(&self, delivery: &Delivery, accepted: Timestamp, why: &str) {
        if self.inner.watchers.0.receiver_count() > 0 {
            self.tell_crossing(delivery, accepted, Landing::Failed(why.to_owned()));
        }
    }

    fn tell_crossing(&self, delivery: &Delivery, accepted: Timestamp, landing: Landing) {
        let at = self.inner.clock.now();
        let kind = match delivery.action {
            Action::Post { .. } => Crossed::Message,
            Action::Edit { .. } => Crossed::Edit,
            Action::Delete => Crossed::Deletion,
            Action::React { .. } => Crossed::Reaction,
            Action::Notice { .. } => Crossed::Notice,
        };
        let (from, to) = (delivery.lane.from.clone(), delivery.lane.to.clone());
        let took = at.duration_since(accepted).try_into().unwrap_or_default();
        // An error says that the last watcher just went.
        let _ = self.inner.watchers.0.send(Crossing { at, from, to, kind, landing, took });
    }
}
