//! Where commits wait for the writer. Bounded: whoever commits waits for a place first.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use sameroom_engine::ports::{Commit, CommitError, Committed, Unavailable};
use tokio::sync::{Semaphore, oneshot};

use super::lock;

/// Commits that may wait.
const PLACES: usize = 4096;
/// Commits that share one transaction, and so one fsync, at most.
pub(super) const BATCH_MAX: usize = 512;
/// From so many commits on that wait, others are on their way, and are waited for: a transaction costs more than what is
/// in it. With fewer nothing is waited for, so that a quiet room is a quick one.
const BUSY: usize = 4;
/// With so many none is waited for.
const ENOUGH: usize = 32;
/// How long others are waited for.
const GATHER: Duration = Duration::from_micros(200);

/// A commit, and where its answer goes.
pub(super) struct Request {
    pub(super) commit: Commit,
    pub(super) answer: oneshot::Sender<Result<Committed, CommitError>>,
}

/// What the writer is to do next.
pub(super) enum Next {
    /// Carry out the batch.
    Work,
    /// Nothing came in that time: put things in order.
    Idle,
    /// Close in order, and say how it went.
    Close(oneshot::Sender<Result<(), Unavailable>>),
    /// End. Nobody is left to ask for anything.
    End,
}

struct State {
    requests: VecDeque<Request>,
    close: Option<oneshot::Sender<Result<(), Unavailable>>>,
    end: bool,
    /// Why nothing is taken any more.
    shut: Option<Unavailable>,
    /// The writer sleeps, and has to be woken.
    asleep: bool,
}

pub(super) struct Inbox {
    state: Mutex<State>,
    bell: Condvar,
    places: Semaphore,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let state = State { requests: VecDeque::new(), close: None, end: false, shut: None, asleep: false };
        Self { state: Mutex::new(state), bell: Condvar::new(), places: Semaphore::new(PLACES) }
    }

    /// Hands a commit to the writer and waits for its answer.
    pub(super) async fn ask(&self, commit: Commit) -> Result<Committed, CommitError> {
        // Given back by the writer, when it has taken the commit: not by us, who may be dropped while waiting.
        match self.places.acquire().await {
            Ok(place) => place.forget(),
            Err(_) => return Err(CommitError::Unavailable(gone())),
        }
        let (answer, answered) = oneshot::channel();
        {
            let mut state = lock(&self.state);
            if let Some(why) = &state.shut {
                let why = why.clone();
                self.places.add_permits(1);
                return Err(CommitError::Unavailable(why));
            }
            state.requests.push_back(Request { commit, answer });
            if std::mem::take(&mut state.asleep) {
                self.bell.notify_one();
            }
        }
        answered.await.unwrap_or_else(|_| Err(CommitError::Unavailable(gone())))
    }

    /// Fills the empty batch with what is there, or waits.
    pub(super) fn next(&self, batch: &mut Vec<Request>, patience: Duration) -> Next {
        let mut state = lock(&self.state);
        if (BUSY..ENOUGH).contains(&state.requests.len()) && state.close.is_none() {
            // Nobody rings: it is not asleep.
            (state, _) = self.bell.wait_timeout(state, GATHER).unwrap_or_else(PoisonError::into_inner);
        }
        loop {
            if !state.requests.is_empty() {
                let count = state.requests.len().min(BATCH_MAX);
                batch.extend(state.requests.drain(..count));
                self.places.add_permits(count);
                return Next::Work;
            }
            if let Some(close) = state.close.take() {
                return Next::Close(close);
            }
            if state.end {
                return Next::End;
            }
            state.asleep = true;
            let (woken, timeout) = self.bell.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.asleep = false;
            if timeout.timed_out() && state.requests.is_empty() && state.close.is_none() && !state.end {
                return Next::Idle;
            }
        }
    }

    /// Takes nothing more; what waits already is still carried out.
    pub(super) fn shut(&self, why: Unavailable) {
        lock(&self.state).shut.get_or_insert(why);
    }

    /// Takes nothing more, and answers all that waits with this.
    pub(super) fn refuse_all(&self, why: &Unavailable) {
        let waiting = {
            let mut state = lock(&self.state);
            state.shut = Some(why.clone());
            std::mem::take(&mut state.requests)
        };
        self.places.add_permits(waiting.len());
        for request in waiting {
            let _ = request.answer.send(Err(CommitError::Unavailable(why.clone())));
        }
    }

    /// Asks the writer to close, after what waits already.
    pub(super) fn close(&self) -> oneshot::Receiver<Result<(), Unavailable>> {
        let (answer, answered) = oneshot::channel();
        let mut state = lock(&self.state);
        if !state.end {
            state.close = Some(answer);
        }
        self.bell.notify_one();
        answered
    }

    /// Asks the writer to end, after what waits already.
    pub(super) fn end(&self) {
        lock(&self.state).end = true;
        self.bell.notify_one();
    }
}

/// The writer is gone without a word: it panicked.
fn gone() -> Unavailable {
    Unavailable::new("the store's writer has ended unexpectedly: start again, and report the lines above this one")
}
