//! Runs a held connection: drives a platform's [`Session`] with bytes or messages, deliveries and time, and carries out
//! what it wants done, be it on the connection or by a request beside it. One task a session, no polling. It must not know any platform, nor where events are kept: that is the
//! [`Sink`]'s.

mod conn;
mod driver;
mod gate;
mod links;
mod notes;
mod socket;
mod steady;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use sameroom_engine::ports::{Clock, Unavailable};
use sameroom_model::{AccountState, Availability, Delivery, Event, Identity, Outcome, RoomKey, Sent};
use sameroom_platforms::{Joined, Session};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use crate::{Dialer, HttpClient};
use driver::Driver;
use gate::Gate;

/// How many deliveries wait for the session to take them; more are answered with a retry at once.
const QUEUE: usize = 256;

/// Where what a session tells is kept.
///
/// Calls come one after the other, in the order in which the session told things, except that marks may come later
/// than the events after them. A call that fails is made again, with the same arguments, until it succeeds; meanwhile
/// nothing more is read from the connection. So events must collapse by their id.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Keeps events, in order, all or as many of the first as it can. `Ok` says that all are durable.
    async fn events(&self, events: &[Event]) -> Result<(), Unavailable>;

    /// Keeps what came in the form of a webhook's body. `Ok` says that all of its events are durable.
    async fn told(&self, body: &Bytes) -> Result<(), Unavailable>;

    /// Keeps how the account fares.
    async fn state(&self, state: &AccountState) -> Result<(), Unavailable>;

    /// Keeps who we are there.
    async fn identity(&self, identity: &Identity) -> Result<(), Unavailable>;

    /// Keeps how a room fares.
    async fn room(&self, key: &RoomKey, availability: &Availability) -> Result<(), Unavailable>;

    /// Keeps the mark of the last thing seen in a room. All events before it are durable.
    async fn seen(&self, key: &RoomKey, mark: &str) -> Result<(), Unavailable>;
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was stopped.
    Stopped,
    /// It failed by a fault in our code. What was told before is kept; outcomes under way are unknown. To be started
    /// again after a while, longer each time.
    Panicked,
}

/// Starts a session in a task of its own. Nothing happens before [`Handle::rooms`] was called once. It ends by
/// [`Handle::stop`], or once all handles are dropped.
///
/// The dialer opens its connections, the HTTP client sends its requests: behind the same guard, as a rule.
pub fn spawn(
    session: Box<dyn Session>,
    sink: Arc<dyn Sink>,
    dialer: Arc<Dialer>,
    http: Arc<HttpClient>,
    clock: Arc<dyn Clock>,
) -> Handle {
    let (jobs, queue) = mpsc::channel(QUEUE);
    let (rooms, rooms_in) = watch::channel(None);
    let (ended_in, ended) = watch::channel(None);
    let stop = Arc::new(Notify::new());
    let driver = Driver::new(session, sink, dialer, http, clock);
    let inbox = driver::Inbox { queue, rooms: rooms_in, stop: Arc::clone(&stop) };
    let task = tokio::spawn(async move {
        let end = driver.run(inbox).await;
        ended_in.send_replace(Some(end));
    });
    let cut = task.abort_handle();
    Handle(Arc::new(Inner { jobs, rooms, stop, ended, cut, gate: Mutex::default() }))
}

/// A running session. Clones are the same one.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    jobs: mpsc::Sender<Job>,
    rooms: watch::Sender<Option<Vec<Joined>>>,
    stop: Arc<Notify>,
    ended: watch::Receiver<Option<Ended>>,
    cut: AbortHandle,
    gate: Mutex<Gate>,
}

/// A delivery and who waits for its outcome.
struct Job {
    delivery: Delivery,
    waiter: oneshot::Sender<Outcome>,
}

impl Handle {
    /// Says in which rooms to be: all of them. If called again before the session took them, the last call counts. The
    /// same rooms again are no news: a session tries anew what it was refused when it is told, and whoever calls this at
    /// every look at the configuration must not make it hammer at closed doors.
    pub fn rooms(&self, rooms: Vec<Joined>) {
        self.0.rooms.send_if_modified(|told| {
            let news = told.as_ref().is_none_or(|told| !same(told, &rooms));
            if news {
                *told = Some(rooms);
            }
            news
        });
    }

    /// Hands over a delivery. See [`Wire::session`](sameroom_engine::ports::Wire::session).
    pub fn deliver(&self, delivery: Delivery) -> oneshot::Receiver<Outcome> {
        let (waiter, outcome) = oneshot::channel();
        // Held until the delivery is queued: two callers of one lane must not pass each other in between.
        let mut gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if !gate.admits(&delivery) {
            let _ = waiter.send(busy());
            return outcome;
        }
        match self.0.jobs.try_send(Job { delivery, waiter }) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => {
                gate.turned_away(&job.delivery);
                let _ = job.waiter.send(busy());
            }
            Err(TrySendError::Closed(job)) => {
                let _ = job.waiter.send(Outcome::Retry {
                    after: None,
                    why: "the connection is being ended".into(),
                    sent: Sent::Unreachable,
                });
            }
        }
        outcome
    }

    /// Says goodbye and ends: waiting deliveries are settled as retry, what the session told is kept, what it wrote is
    /// sent. Takes 10 s at most for the session and as long again for the sink.
    pub async fn stop(&self) -> Ended {
        self.0.stop.notify_one();
        self.ended().await
    }

    /// Cuts the connection this instant, without a word to anybody: somebody else may hold it now. Waiting deliveries end
    /// without an outcome.
    pub fn cut(&self) {
        self.0.cut.abort();
    }

    /// Waits until it has ended, and says how.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.0.ended.clone();
        // No value and no sender: the task itself died.
        ended.wait_for(Option::is_some).await.ok().and_then(|end| *end).unwrap_or(Ended::Panicked)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("ended", &*self.0.ended.borrow()).finish_non_exhaustive()
    }
}

/// Whether these are the same rooms. What was last seen there is the session's to know, once it runs.
fn same(told: &[Joined], now: &[Joined]) -> bool {
    let what = |room: &Joined| (room.key.clone(), room.name.clone(), room.settings.clone());
    told.len() == now.len() && told.iter().zip(now).all(|(told, now)| what(told) == what(now))
}

fn busy() -> Outcome {
    Outcome::retry("too many deliveries wait for this connection")
}
