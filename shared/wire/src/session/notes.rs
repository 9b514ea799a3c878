//! What a session told and the sink has not kept yet, in order. While there is any, nothing more is read from the
//! connection: that is the backpressure.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sameroom_engine::ports::Unavailable;
use sameroom_model::{AccountState, Availability, Event, Identity, RoomKey};
use sameroom_platforms::LinkId;

use super::Sink;

/// Waits between attempts: this long at first, then twice as long each time, up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Something for the sink.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are events")]
pub(super) enum Note {
    Event(Event),
    Told(Bytes),
    Confirm(Confirm),
    Seen(RoomKey, String),
    State(AccountState),
    Identity(Identity),
    Room(RoomKey, Availability),
}

/// What is to be written once all notes before it are kept.
pub(super) struct Confirm {
    /// The connection that it is for, and its number.
    pub(super) link: LinkId,
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
}

/// The notes that wait.
pub(super) struct Notes {
    sink: Arc<dyn Sink>,
    waiting: VecDeque<Note>,
    /// Being kept right now. Stays here until it is, so that it outlives a panic of whoever keeps it.
    batch: Option<Arc<Batch>>,
    keeping: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// What comes next.
enum Next {
    Keep(Batch),
    Confirm(Confirm),
}

/// What is kept in one go.
enum Batch {
    Events(Vec<Event>, BTreeMap<RoomKey, String>),
    Told(Bytes),
    State(AccountState),
    Identity(Identity),
    Room(RoomKey, Availability),
}

impl Notes {
    pub(super) fn new(sink: Arc<dyn Sink>) -> Self {
        Self { sink, waiting: VecDeque::new(), batch: None, keeping: None }
    }

    pub(super) fn push(&mut self, note: Note) {
        // A connection that comes and goes while the store is away must not pile up states.
        if let (Note::State(_), Some(last @ Note::State(_))) = (&note, self.waiting.back_mut()) {
            *last = note;
            return;
        }
        self.waiting.push_back(note);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.batch.is_some())
    }

    /// Keeps what waits, up to the next confirmation, and returns that; `None`: all is kept. May be dropped at any
    /// time, and goes on when called again.
    pub(super) async fn keep(&mut self) -> Option<Confirm> {
        loop {
            if self.keeping.is_none() {
                let batch = match &self.batch {
                    Some(batch) => Arc::clone(batch),
                    None => match next(&mut self.waiting)? {
                        Next::Keep(batch) => Arc::clone(self.batch.insert(Arc::new(batch))),
                        Next::Confirm(confirm) => return Some(confirm),
                    },
                };
                self.keeping = Some(Box::pin(keep(Arc::clone(&self.sink), batch)));
            }
            if let Some(keeping) = &mut self.keeping {
                keeping.await;
            }
            self.keeping = None;
            self.batch = None;
        }
    }

    /// Keeps all of it. What was to be confirmed is left out: who waits for it says it again.
    pub(super) async fn keep_all(&mut self) {
        while self.keep().await.is_some() {}
    }

    /// Forgets an attempt that panicked: the next one begins anew.
    pub(super) fn recover(&mut self) {
        self.keeping = None;
    }
}

/// Takes the first notes that can go together: a run of events and marks, or one of another kind. Marks go after the
/// events, the last one of each room: then they never claim what is not kept.
fn next(waiting: &mut VecDeque<Note>) -> Option<Next> {
    let (mut events, mut marks) = (Vec::new(), BTreeMap::new());
    while let Some(note) = waiting.pop_front() {
        match note {
            Note::Event(event) => events.push(event),
            Note::Seen(key, mark) => {
                marks.insert(key, mark);
            }
            other if !events.is_empty() || !marks.is_empty() => {
                waiting.push_front(other);
                break;
            }
            Note::Confirm(confirm) => return Some(Next::Confirm(confirm)),
            Note::Told(body) => return Some(Next::Keep(Batch::Told(body))),
            Note::State(state) => return Some(Next::Keep(Batch::State(state))),
            Note::Identity(identity) => return Some(Next::Keep(Batch::Identity(identity))),
            Note::Room(key, availability) => return Some(Next::Keep(Batch::Room(key, availability))),
        }
    }
    (!events.is_empty() || !marks.is_empty()).then_some(Next::Keep(Batch::Events(events, marks)))
}

async fn keep(sink: Arc<dyn Sink>, batch: Arc<Batch>) {
    let mut pause = SHORTEST;
    while let Err(error) = attempt(&*sink, &batch).await {
        tracing::warn!(%error, "what a connection told can't be kept now; trying again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

async fn attempt(sink: &dyn Sink, batch: &Batch) -> Result<(), Unavailable> {
    match batch {
        Batch::Events(events, marks) => {
            if !events.is_empty() {
                sink.events(events).await?;
            }
            for (key, mark) in marks {
                sink.seen(key, mark).await?;
            }
            Ok(())
        }
        Batch::Told(body) => sink.told(body).await,
        Batch::State(state) => sink.state(state).await,
        Batch::Identity(identity) => sink.identity(identity).await,
        Batch::Room(key, availability) => sink.room(key, availability).await,
    }
}
