//! Records of what a batch did: they are committed behind its back, in order, while the next event is worked on; where a
//! commit is whole several go together, since a transaction costs more than what is in it. It must not know what is in
//! them.

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt};
use sameroom_model::{SignedDuration, Timestamp};

use crate::Engine;
use crate::failpoint::failpoint;
use crate::ports::{Commit, Receipt, Unavailable};

/// How old a record may be that is not written yet while more is posted. Whatever was posted and not recorded is posted
/// again if this process dies.
const BEHIND: SignedDuration = SignedDuration::from_millis(50);

/// How long a record waits for others to go with.
const GATHER: Duration = Duration::from_millis(4);
/// So many don't wait for more.
const ENOUGH: usize = 16;

/// See above.
pub(super) struct Records<'a> {
    engine: &'a Engine,
    /// What waits to go, in order.
    waiting: Vec<(Receipt, Commit)>,
    under_way: FuturesOrdered<BoxFuture<'a, Result<Receipt, Unavailable>>>,
    /// Since when each of them is there: first those that are under way, then those that wait.
    since: VecDeque<Timestamp>,
    /// Why one of them could not be written, if nobody was told yet.
    trouble: Option<Unavailable>,
    /// What is settled: it must not be settled again.
    pub(super) settled: HashSet<Receipt>,
}

impl<'a> Records<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self {
            engine,
            waiting: Vec::new(),
            under_way: FuturesOrdered::new(),
            since: VecDeque::new(),
            trouble: None,
            settled: HashSet::new(),
        }
    }

    /// Takes a record, and sees to what became of earlier ones.
    pub(super) fn add(&mut self, receipt: Receipt, commit: Commit) -> Result<(), Unavailable> {
        failpoint("pre_record");
        let now = self.engine.inner.clock.now();
        self.since.push_back(now);
        self.waiting.push((receipt, commit));
        let oldest = self.since.get(self.under_way.len()).copied().unwrap_or(now);
        let long = now.duration_since(oldest).unsigned_abs() >= GATHER;
        if long || self.waiting.len() >= ENOUGH || !self.engine.inner.store.whole() {
            return self.go();
        }
        self.look()
    }

    /// Sends what waits on its way.
    fn go(&mut self) -> Result<(), Unavailable> {
        let engine = self.engine;
        for (receipt, commit) in self.waiting.drain(..) {
            self.under_way.push_back(async move { engine.commit_always(commit).await.map(|()| receipt) }.boxed());
        }
        self.look()
    }

    /// Sees to those that are through by now. What is new gets on its way by being looked at.
    fn look(&mut self) -> Result<(), Unavailable> {
        while let Some(ended) = self.under_way.next().now_or_never().flatten() {
            self.ended(ended)?;
        }
        Ok(())
    }

    fn ended(&mut self, ended: Result<Receipt, Unavailable>) -> Result<(), Unavailable> {
        self.since.pop_front();
        self.settled.insert(ended?);
        Ok(())
    }

    /// Waits for records that take long, before more is posted.
    pub(super) async fn keep_up(&mut self) -> Result<(), Unavailable> {
        let now = self.engine.inner.clock.now();
        if self.trouble.is_some() || self.since.front().is_some_and(|since| now.duration_since(*since) > BEHIND) {
            return self.written().await;
        }
        Ok(())
    }

    /// Waits for something while records go on being written. A whole store writes by itself what it was asked to.
    pub(super) async fn beside<T>(
        &mut self,
        work: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Unavailable> {
        let mut work = pin!(work);
        if !self.waiting.is_empty() {
            match tokio::time::timeout(GATHER, &mut work).await {
                Ok(done) => return done,
                Err(_) => {
                    let gone = self.go();
                    self.noted(gone);
                }
            }
        }
        while !self.under_way.is_empty() && !self.engine.inner.store.whole() {
            let ended = tokio::select! {
                done = &mut work => return done,
                ended = self.under_way.next() => ended,
            };
            if let Some(ended) = ended {
                let ended = self.ended(ended);
                self.noted(ended);
            }
        }
        work.await
    }

    /// Keeps what went wrong for whoever asks next.
    fn noted(&mut self, ended: Result<(), Unavailable>) {
        if let Err(e) = ended {
            self.trouble.get_or_insert(e);
        }
    }

    /// Waits until all are written.
    pub(super) async fn written(&mut self) -> Result<(), Unavailable> {
        let gone = self.go();
        let mut failed = self.trouble.take().map_or(gone, Err);
        while let Some(ended) = self.under_way.next().await {
            failed = failed.and(self.ended(ended));
        }
        failed
    }
}
