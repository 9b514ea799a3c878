//! The loop of a held connection. Keeps the law of [`sameroom_platforms::session`]: after every input it polls until
//! there is nothing to do, then waits, until `wakes_at` at the latest.
//!
//! Bytes don't wait for the sink: an answer goes out in the same turn in which its line came in, unless it is one that
//! confirms. Reading waits: not one more byte is read before all that was told is kept.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use sameroom_engine::ports::{Clock, NoAnswer};
use sameroom_model::{AccountState, Delivery, DeliveryId, Outcome};
use sameroom_platforms::{Dial, Input, Joined, LinkId, Output, Session};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::conn::{Conn, Heard};
use super::links::{Came, Links};
use super::notes::{Confirm, Note, Notes};
use super::steady::Steady;
use super::{Ended, Job, Sink};
use crate::{Dialer, HttpClient};

/// How long a session may take to stop; and as long again for the sink, and for the last bytes.
const STOP: Duration = Duration::from_secs(10);

/// Deliveries under way in the session, and notes for the sink, beyond which no more deliveries are taken.
const UNDER_WAY: usize = 1024;

/// A session that asks to be woken at once again and again is woken no more often than this.
const SHORTEST_NAP: Duration = Duration::from_millis(1);

type Underway<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

type Answer = Result<http::Response<Bytes>, NoAnswer>;

/// What comes from the handles.
pub(super) struct Inbox {
    pub(super) queue: mpsc::Receiver<Job>,
    pub(super) rooms: watch::Receiver<Option<Vec<Joined>>>,
    pub(super) stop: Arc<Notify>,
}

/// A session and what it holds.
pub(super) struct Driver {
    session: Box<dyn Session>,
    dialer: Arc<Dialer>,
    time: Steady,
    http: Arc<HttpClient>,
    links: Links,
    asking: Underway<Answer>,
    notes: Notes,
    waiters: HashMap<DeliveryId, Vec<oneshot::Sender<Outcome>>>,
    goodbyes: JoinSet<()>,
    woken: Instant,
    /// Whether it was told its rooms, the first of all inputs.
    started: bool,
    stopping: Option<Instant>,
    stopped: bool,
}

/// What the loop waits for.
#[expect(clippy::large_enum_variant, reason = "made and taken apart in the same turn")]
enum Turn {
    Came(LinkId, Came),
    Answered(Answer),
    Rooms,
    Job(Job),
    Wake,
    Kept(Option<Confirm>),
    Stop,
}

impl Driver {
    pub(super) fn new(
        session: Box<dyn Session>,
        sink: Arc<dyn Sink>,
        dialer: Arc<Dialer>,
        http: Arc<HttpClient>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            session,
            dialer,
            http,
            time: Steady::new(clock),
            links: Links::default(),
            asking: None,
            notes: Notes::new(sink),
            waiters: HashMap::new(),
            goodbyes: JoinSet::new(),
            woken: Instant::now(),
            started: false,
            stopping: None,
            stopped: false,
        }
    }

    /// Runs to the end. What the session told is kept even if it panics.
    pub(super) async fn run(mut self, mut inbox: Inbox) -> Ended {
        let run = AssertUnwindSafe(self.turns(&mut inbox)).catch_unwind().await;
        turn_away(&mut inbox);
        let Err(_panic) = run else {
            self.finish().await;
            return Ended::Stopped;
        };
        // The panic's message may hold words of a message: it is not told.
        tracing::error!("a connection's session failed by a fault in our code; it will be started again");
        self.waiters.clear();
        self.notes.recover();
        self.notes.push(Note::State(AccountState::Trouble("it failed by a fault of ours; starting again".into())));
        self.links = Links::default();
        let _ = AssertUnwindSafe(timeout(STOP, self.notes.keep_all())).catch_unwind().await;
        Ended::Panicked
    }

    async fn turns(&mut self, inbox: &mut Inbox) {
        let timer = sleep_until(Instant::now());
        tokio::pin!(timer);
        while !self.stopped {
            while self.goodbyes.try_join_next().is_some() {}
            let alarm = self.alarm();
            if let Some(at) = alarm.filter(|at| *at != timer.deadline()) {
                timer.as_mut().reset(at);
            }
            let wanted = self.notes.len() == 0;
            let room =
                self.started && self.waiters.len() < UNDER_WAY && self.notes.len() < UNDER_WAY && self.links.keep_up();
            let turn = tokio::select! {
                (link, came) = self.links.drive(wanted), if !self.links.is_empty() => Turn::Came(link, came),
                answer = underway(&mut self.asking), if self.asking.is_some() => Turn::Answered(answer),
                confirm = self.notes.keep(), if self.notes.len() > 0 => Turn::Kept(confirm),
                () = timer.as_mut(), if alarm.is_some() => Turn::Wake,
                job = inbox.queue.recv(), if room && self.stopping.is_none() => job.map_or(Turn::Stop, Turn::Job),
                changed = inbox.rooms.changed(), if self.stopping.is_none() => {
                    if changed.is_ok() { Turn::Rooms } else { Turn::Stop }
                }
                () = inbox.stop.notified(), if self.stopping.is_none() => Turn::Stop,
            };
            self.turn(turn, inbox);
        }
    }

    fn turn(&mut self, turn: Turn, inbox: &mut Inbox) {
        match turn {
            Turn::Came(link, Came::Heard(Heard::Bytes(count))) => self.received(link, count),
            Turn::Came(link, Came::Heard(Heard::Message(message))) => self.feed(Input::Received(link, &message)),
            Turn::Came(link, Came::Heard(Heard::End(why))) => {
                if let Some(conn) = self.links.remove(link) {
                    self.goodbyes.spawn(conn.farewell());
                }
                self.feed(Input::Closed(link, &why));
            }
            Turn::Came(link, Came::Dialed(dialed)) => {
                self.time.catch_up();
                match dialed {
                    Ok(()) => self.feed(Input::Opened(link)),
                    Err(why) => self.feed(Input::Closed(link, &why)),
                }
            }
            Turn::Answered(answer) => {
                self.asking = None;
                self.time.catch_up();
                match answer {
                    Ok(response) => self.feed(Input::Answered(Ok(&response))),
                    Err(why) => self.feed(Input::Answered(Err(&why.to_string()))),
                }
            }
            Turn::Rooms => self.rooms(inbox),
            Turn::Job(job) => {
                // Rooms that were told before the delivery was handed over come first.
                if inbox.rooms.has_changed().unwrap_or(false) {
                    self.rooms(inbox);
                }
                self.deliver(job);
            }
            Turn::Wake => self.wake(),
            Turn::Kept(confirm) => {
                if let Some(Confirm { link, number, bytes }) = confirm
                    && self.links.number(link) == Some(number)
                {
                    self.send(link, bytes);
                }
            }
            Turn::Stop => self.stop(inbox),
        }
    }

    /// Gives the session an input, then does all it wants done.
    fn feed(&mut self, input: Input<'_>) {
        self.session.handle(input, self.time.now());
        while let Some(output) = self.session.poll() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Open(link, dial) => self.open(link, dial),
            Output::Send(link, bytes) => self.send(link, bytes),
            Output::Confirm(link, bytes) if self.notes.len() == 0 => self.send(link, bytes),
            Output::Confirm(link, bytes) => match self.links.number(link) {
                Some(number) => self.notes.push(Note::Confirm(Confirm { link, number, bytes })),
                None => tracing::debug!("a session confirmed something without a connection"),
            },
            Output::Ask(request) => self.ask(*request),
            Output::Told(body) => self.notes.push(Note::Told(body)),
            Output::Close(link) => self.close(link),
            Output::Settled { id, outcome } => {
                for waiter in self.waiters.remove(&id).unwrap_or_default() {
                    // Who no longer waits has no use for it.
                    let _ = waiter.send(outcome.clone());
                }
            }
            Output::Event(event) => self.notes.push(Note::Event(event)),
            Output::Identity(identity) => self.notes.push(Note::Identity(identity)),
            Output::State(state) => self.notes.push(Note::State(state)),
            Output::Room { key, availability } => self.notes.push(Note::Room(key, availability)),
            Output::Seen { key, mark } => self.notes.push(Note::Seen(key, mark)),
            Output::Stopped => self.stopped = true,
        }
    }

    fn open(&mut self, link: LinkId, dial: Dial) {
        self.close(link);
        let dialer = Arc::clone(&self.dialer);
        self.links.dial(link, async move { Conn::open(&dialer, &dial).await });
    }

    fn send(&mut self, link: LinkId, bytes: Vec<u8>) {
        match self.links.get(link) {
            Some(conn) => conn.send(bytes),
            None => tracing::debug!("a session sent bytes without a connection"),
        }
    }

    fn ask(&mut self, request: http::Request<Bytes>) {
        if self.asking.is_some() {
            tracing::error!("a session asked anew before it had its answer; the older request is given up");
        }
        let http = Arc::clone(&self.http);
        self.asking = Some(Box::pin(async move { http.send(request).await }));
    }

    fn close(&mut self, link: LinkId) {
        if let Some(conn) = self.links.remove(link) {
            self.goodbyes.spawn(conn.goodbye());
        }
    }

    fn received(&mut self, link: LinkId, count: usize) {
        let Some(conn) = self.links.get(link) else { return };
        let buffer = conn.lend();
        self.feed(Input::Received(link, &buffer[..count]));
        // Unless the session closed it.
        if let Some(conn) = self.links.get(link) {
            conn.give_back(buffer);
        }
    }

    fn rooms(&mut self, inbox: &mut Inbox) {
        let rooms = inbox.rooms.borrow_and_update().clone();
        if let Some(rooms) = rooms {
            self.started = true;
            self.feed(Input::Rooms(rooms));
        }
    }

    fn deliver(&mut self, Job { delivery, waiter }: Job) {
        let waiters = self.waiters.entry(delivery.id.clone()).or_default();
        waiters.push(waiter);
        // The same delivery again while it is under way: both hear of the one outcome.
        if waiters.len() == 1 {
            self.feed(Input::Deliver(Box::<Delivery>::new(delivery)));
        }
    }

    fn wake(&mut self) {
        self.woken = Instant::now();
        if self.stopping.is_some_and(|limit| limit <= self.woken) {
            tracing::warn!("a session did not stop in time; it is ended");
            self.stopped = true;
        } else if self.started {
            self.feed(Input::Wake);
        }
    }

    /// When the timer has to fire.
    fn alarm(&self) -> Option<Instant> {
        let wakes = self.session.wakes_at().filter(|_| self.started);
        let wakes = wakes.map(|at| self.time.instant(at).max(self.woken + SHORTEST_NAP));
        match (wakes, self.stopping) {
            (Some(wakes), Some(limit)) => Some(wakes.min(limit)),
            (wakes, limit) => wakes.or(limit),
        }
    }

    fn stop(&mut self, inbox: &mut Inbox) {
        self.stopping = Some(Instant::now() + STOP);
        turn_away(inbox);
        if self.started {
            self.feed(Input::Stop);
        } else {
            self.stopped = true;
        }
    }

    async fn finish(mut self) {
        for conn in self.links.drain() {
            self.goodbyes.spawn(conn.goodbye());
        }
        let _ = timeout(STOP, async {
            self.notes.keep_all().await;
            while self.goodbyes.join_next().await.is_some() {}
        })
        .await;
        if self.notes.len() > 0 {
            tracing::error!(notes = self.notes.len(), "the store was away too long: what a connection told is lost");
        }
    }
}

/// Settles what is queued, and closes the queue. The session need not see it: all of it is younger than what it has.
fn turn_away(inbox: &mut Inbox) {
    inbox.queue.close();
    while let Ok(job) = inbox.queue.try_recv() {
        let _ = job.waiter.send(Outcome::retry("the connection is being ended"));
    }
}

async fn underway<T>(future: &mut Underway<T>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
