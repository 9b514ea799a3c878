//! Deliveries at their beginning and end: taken in, settled in order, and given back when we stop. It must not know how
//! they are sent.

use sameroom_model::{Delivery, Outcome, Sent, SignedDuration, Timestamp};

use super::link::Link;
use super::sending::Pending;
use super::{IrcSession, later};
use crate::{LinkId, Output};

/// How long goodbye may take.
const QUIT_WAIT: SignedDuration = SignedDuration::from_secs(2);

impl IrcSession {
    pub(super) fn deliver(&mut self, delivery: Box<Delivery>) {
        if self.stopped || self.stopping.is_some() {
            let outcome = Outcome::retry("the connection is being closed");
            self.out.push_back(Output::Settled { id: delivery.id, outcome });
            return;
        }
        match self.channels.iter_mut().find(|channel| channel.key == delivery.lane.to.key) {
            Some(channel) => channel.queue.push_back(Pending::new(delivery)),
            None => {
                let why = format!("{} is not among the rooms of this connection", delivery.lane.to.key);
                self.out.push_back(Output::Settled { id: delivery.id, outcome: Outcome::retry(why) });
            }
        }
    }

    pub(super) fn stop(&mut self, now: Timestamp) {
        if self.stopping.is_some() || self.stopped {
            return;
        }
        self.stopping = Some(now);
        if self.conn.is_some() {
            self.stopping = Some(later(now, QUIT_WAIT));
            // A person's connection is given up for other reasons, too.
            let bot = self.persona.is_none();
            let words = if bot { "Sameroom is restarting" } else { "Sameroom closes this connection" };
            self.say_now("QUIT", &[], Some(words));
        } else if self.link.dialing() {
            self.out.push_back(Output::Close(LinkId::MAIN));
        }
    }

    /// Ends once the connection is gone, or goodbye took too long. What was asked for before the goodbye may still be
    /// confirmed until then.
    pub(super) fn stop_tick(&mut self, now: Timestamp) {
        let Some(until) = self.stopping else { return };
        if self.stopped || (self.conn.is_some() && now < until) {
            return;
        }
        if self.conn.take().is_some() {
            self.out.push_back(Output::Close(LinkId::MAIN));
        }
        self.link = Link::Idle { at: None };
        for channel in &mut self.channels {
            for pending in channel.queue.drain(..) {
                let outcome = pending.interrupted("the connection was closed by us");
                self.out.push_back(Output::Settled { id: pending.delivery.id.clone(), outcome });
            }
        }
        self.stopped = true;
        self.out.push_back(Output::Stopped);
    }

    /// Settles what has its outcome, in order, and what a room or account that is out of order can't take.
    pub(super) fn sweep(&mut self) {
        for channel in &mut self.channels {
            while let Some(front) = channel.queue.front() {
                let account = self.parked.as_deref().map(Outcome::disconnected);
                let held = account.or_else(|| channel.blocked().map(Outcome::room_closed));
                // What its author may not say here is taken back.
                let held = held.filter(|_| self.persona.is_none());
                let outcome = match (front.outcome(), held) {
                    (Some(outcome), _) => outcome,
                    (None, Some(held)) if !front.under_way() => held,
                    _ => break,
                };
                self.out.push_back(Output::Settled { id: front.delivery.id.clone(), outcome });
                channel.queue.pop_front();
            }
        }
    }
}

impl Pending {
    /// What becomes of it when we stop.
    pub(super) fn interrupted(&self, why: &str) -> Outcome {
        self.outcome().unwrap_or_else(|| {
            let sent = if self.touched { Sent::Maybe } else { Sent::No };
            Outcome::Retry { after: None, why: why.to_owned(), sent }
        })
    }
}
