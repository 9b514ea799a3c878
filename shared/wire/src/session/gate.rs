//! Keeps the order of a lane where the queue is full: once a delivery of a lane was turned away, later ones of that lane
//! are too, until it comes again itself.

use std::collections::HashMap;
use std::time::Duration;

use sameroom_model::{Delivery, DeliveryId, Lane};
use tokio::time::Instant;

/// How long a lane waits for the delivery that was turned away. It may never come again (out of attempts), and those
/// that were handed over together with it have long been turned away by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// The lanes of which a delivery was turned away.
#[derive(Default)]
pub(super) struct Gate(HashMap<Lane, (DeliveryId, Instant)>);

impl Gate {
    /// Whether a delivery may be queued.
    pub(super) fn admits(&mut self, delivery: &Delivery) -> bool {
        let Some((first, when)) = self.0.get(&delivery.lane) else { return true };
        if *first != delivery.id && when.elapsed() < PATIENCE {
            return false;
        }
        self.0.remove(&delivery.lane);
        true
    }

    /// A delivery that was admitted found no place in the queue.
    pub(super) fn turned_away(&mut self, delivery: &Delivery) {
        self.0.retain(|_, (_, when)| when.elapsed() < PATIENCE);
        self.0.insert(delivery.lane.clone(), (delivery.id.clone(), Instant::now()));
    }
}
