//! Records of what a batch did: they are committed behind its back, in order, while the next event is worked on. It must
//! not know what is in them.

use std::collections::{HashSet, VecDeque};
use std::pin::pin;

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

/// See above.
pub(super) struct Records<'a> {
    engine: &'a Engine,
    under_way: FuturesOrdered<BoxFuture<'a, Result<Receipt, Unavailable>>>,
    /// Since when each of them is under way.
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
            under_way: FuturesOrdered::new(),
            since: VecDeque::new(),
            trouble: None,
            settled: HashSet::new(),
        }
    }

    /// Sends a record on its way.
    pub(super) fn add(&mut self, receipt: Receipt, commit: Commit) -> Result<(), Unavailable> {
        failpoint("pre_record");
        let engine = self.engine;
        self.since.push_back(engine.inner.clock.now());
        self.under_way.push_back(async move { engine.commit_always(commit).await.map(|()| receipt) }.boxed());
        // One poll sends it on its way; if an earlier one is through by now, this tells how it went.
        match self.under_way.next().now_or_never().flatten() {
            Some(ended) => self.ended(ended),
            None => Ok(()),
        }
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
        while !self.under_way.is_empty() && !self.engine.inner.store.whole() {
            let ended = tokio::select! {
                done = &mut work => return done,
                ended = self.under_way.next() => ended,
            };
            if let Some(Err(e)) = ended.map(|ended| self.ended(ended)) {
                self.trouble.get_or_insert(e);
            }
        }
        work.await
    }

    /// Waits until all are written.
    pub(super) async fn written(&mut self) -> Result<(), Unavailable> {
        let mut failed = self.trouble.take().map_or(Ok(()), Err);
        while let Some(ended) = self.under_way.next().await {
            failed = failed.and(self.ended(ended));
        }
        failed
    }
}
