//! A store whose commits don't span rows and queues, as on AWS: it writes, then sends, then settles leases, and may be cut
//! short in between; and what was settled is forgotten again should the process die before its batch is over. It must
//! promise no more than [`Store::commit`] asks of such a store.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use sameroom_engine::ports::{
    Batch, Census, Commit, CommitError, Committed, Key, QueueName, Receipt, Row, Store, Unavailable,
};

/// See above.
pub struct Torn {
    inner: Arc<dyn Store>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of how many more commits one in three is cut short.
    cuts: u32,
    seed: u64,
    /// Settled, and not told the queue yet.
    settled: Vec<Receipt>,
}

/// Where a commit is cut short.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Nowhere,
    BeforeSends,
    BetweenSends,
    BeforeSettling,
}

impl Torn {
    /// Around a store.
    pub fn new(inner: Arc<dyn Store>, seed: u64) -> Arc<Self> {
        Arc::new(Self { inner, state: Mutex::new(State { seed, ..State::default() }) })
    }

    /// Of the next `n` commits one in three is cut short.
    pub fn cut_next(&self, n: u32) {
        self.lock().cuts = n;
    }

    /// The process died: what it had settled and not told comes again.
    pub fn died(&self) {
        self.lock().settled.clear();
    }

    /// Tells the queue what was settled.
    async fn tell(&self) -> Result<(), Unavailable> {
        let settled = std::mem::take(&mut self.lock().settled);
        for receipt in settled {
            match self.inner.commit(Commit { done: vec![receipt], ..Commit::default() }).await {
                Ok(_) => {}
                Err(e) => {
                    self.lock().settled.push(receipt);
                    return Err(Unavailable::new(e));
                }
            }
        }
        Ok(())
    }

    fn cut(&self) -> Cut {
        let mut state = self.lock();
        if state.cuts == 0 {
            return Cut::Nowhere;
        }
        state.cuts -= 1;
        state.seed = state.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match (state.seed >> 33) % 9 {
            0 => Cut::BeforeSends,
            1 => Cut::BetweenSends,
            2 => Cut::BeforeSettling,
            _ => Cut::Nowhere,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

#[async_trait]
impl Store for Torn {
    async fn get(&self, key: &Key) -> Result<Option<Row>, Unavailable> {
        self.inner.get(key).await
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, Unavailable> {
        self.inner.query(partition, prefix, after, limit).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let cut = self.cut();
        let short = || CommitError::from(Unavailable::new("the commit was cut short"));
        let Commit { writes, mut sends, done, again, tally, .. } = commit;
        let touched = !writes.is_empty() || !sends.is_empty();
        if !writes.is_empty() {
            self.inner.commit(Commit { writes, ..Commit::default() }).await?;
        }
        if touched && cut == Cut::BeforeSends {
            return Err(short());
        }
        if sends.len() > 1 && cut == Cut::BetweenSends {
            sends.truncate(sends.len() / 2);
            self.inner.commit(Commit { sends, ..Commit::default() }).await?;
            return Err(short());
        }
        let committed = self.inner.commit(Commit { sends, ..Commit::default() }).await?;
        if touched && cut == Cut::BeforeSettling {
            return Err(short());
        }
        self.inner.commit(Commit { again, tally, ..Commit::default() }).await?;
        self.lock().settled.extend(done);
        Ok(committed)
    }

    async fn lease(&self, queue: QueueName, max: usize) -> Result<Batch, Unavailable> {
        self.tell().await?;
        self.inner.lease(queue, max).await
    }

    fn hurry(&self, queue: QueueName, which: &(dyn Fn(&str) -> bool + Sync)) {
        self.inner.hurry(queue, which);
    }

    fn lag(&self, queue: QueueName) -> Duration {
        self.inner.lag(queue)
    }

    async fn census(&self) -> Result<Census, Unavailable> {
        self.tell().await?;
        self.inner.census().await
    }

    fn whole(&self) -> bool {
        false
    }

    fn dedup_window(&self) -> Duration {
        self.inner.dedup_window()
    }
}
