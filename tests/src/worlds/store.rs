//! A store around a store: it fails when told to, tells when nothing is left to do just now, and checks the law of
//! conservation after every commit. It must not change what the inner store promises.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use sameroom_engine::ports::{
    Batch, Census, Commit, CommitError, Committed, Key, QueueName, Receipt, Row, Store, Unavailable,
};
use tokio::sync::watch;

use super::{stir, until};

/// How commits fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// As if the disk were gone.
    Gone,
    /// As if it were full.
    Full,
}

/// See above.
pub struct Watched {
    inner: Arc<dyn Store>,
    /// Whether leases that wait look again whenever something changed, so that it is known when there is nothing to do.
    /// Only for a store whose waiting lease can be given up and asked for anew.
    counts_idle: bool,
    state: Mutex<State>,
    /// Counts what may make a job leasable.
    turn: watch::Sender<u64>,
    pub(super) stirred: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    outage: Option<Outage>,
    late: Option<(QueueName, Duration)>,
    under_way: HashSet<Receipt>,
    idle: BTreeMap<QueueName, u64>,
    broken: Option<String>,
}

impl Watched {
    /// Around a store. `counts_idle`: it is one in memory, and [`Watched::quiet`] is wanted.
    pub fn new(inner: Arc<dyn Store>, counts_idle: bool) -> Arc<Self> {
        let (turn, stirred) = (watch::Sender::new(1), watch::Sender::new(0));
        Arc::new(Self {
            inner,
            counts_idle,
            state: Mutex::new(State { late: late(), ..State::default() }),
            turn,
            stirred,
        })
    }

    /// From now on commits fail, or no more.
    pub fn outage(&self, outage: Option<Outage>) {
        self.lock().outage = outage;
    }

    /// From now on a queue's jobs come late, so that more of them wait together.
    pub fn late(&self, queue: QueueName, lag: Duration) {
        self.lock().late = Some((queue, lag));
    }

    /// Waits until no job is leased and none could be: whatever waits, waits for time to pass. For memory alone, and
    /// only while a pump runs.
    pub async fn quiet(&self) {
        assert!(self.counts_idle, "only a store in memory knows when it is quiet");
        let look = || {
            let turn = *self.turn.borrow();
            let state = self.lock();
            let idle = |queue| state.idle.get(&queue) == Some(&turn);
            (state.under_way.is_empty() && QueueName::ALL.into_iter().all(idle)).then_some(())
        };
        until(&self.stirred, look, || format!("{} jobs are still under way", self.lock().under_way.len())).await;
    }

    /// Waits until all queues are empty.
    pub async fn drained(&self) {
        self.waits_for(|census| census.waiting.values().all(|waiting| *waiting == 0)).await;
    }

    /// Waits until every event was relayed, or is owed by a lane.
    pub async fn taken_up(&self) {
        self.waits_for(|census| census.waiting(QueueName::Events) == 0).await;
    }

    /// Whether all queues are empty.
    pub async fn is_drained(&self) -> bool {
        self.inner.census().await.unwrap().waiting.values().all(|waiting| *waiting == 0)
    }

    async fn waits_for(&self, so: impl Fn(&Census) -> bool) {
        let mut changes = self.stirred.subscribe();
        let looking = async {
            loop {
                changes.borrow_and_update();
                if so(&self.inner.census().await.unwrap()) {
                    return;
                }
                let _ = changes.changed().await;
            }
        };
        if tokio::time::timeout(super::WAIT, looking).await.is_err() {
            panic!("the queues did not drain: {:?}", self.inner.census().await);
        }
    }

    /// Fails if the law of conservation was ever broken.
    pub async fn law(&self) {
        self.check().await;
        if let Some(broken) = &self.lock().broken {
            panic!("the census does not conserve: {broken}");
        }
    }

    /// All leases are forgotten, as by a restart.
    pub fn restarted(&self) {
        self.lock().under_way.clear();
        self.lock().idle.clear();
        self.turned();
    }

    /// What may make a job leasable has happened.
    pub fn turned(&self) {
        self.turn.send_modify(|n| *n += 1);
        stir(&self.stirred);
    }

    async fn check(&self) {
        // Where a commit may be done twice so may its counts.
        if self.inner.whole()
            && let Ok(census) = self.inner.census().await
            && !census.conserves()
        {
            self.lock().broken.get_or_insert_with(|| format!("{census:?}"));
        }
    }

    async fn leased(&self, queue: QueueName, batch: Result<Batch, Unavailable>) -> Result<Batch, Unavailable> {
        if let Ok(batch) = &batch {
            self.lock().under_way.extend(batch.jobs.iter().map(|job| job.receipt));
        }
        let late = self.lock().late;
        if let Some((which, lag)) = late
            && which == queue
        {
            tokio::time::sleep(lag).await;
        }
        batch
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Which queue's jobs come late, and how late, in every town: `SAMEROOM_LATE=events:200`, in milliseconds. A story that
/// holds only because queues are fast here would hold by luck on a busy machine, and on AWS.
fn late() -> Option<(QueueName, Duration)> {
    let said = std::env::var("SAMEROOM_LATE").ok()?;
    let (queue, millis) = said.split_once(':').expect("SAMEROOM_LATE is QUEUE:MILLISECONDS");
    let named = |name: &QueueName| format!("{name:?}").eq_ignore_ascii_case(queue);
    let queue = QueueName::ALL.into_iter().find(named).expect("SAMEROOM_LATE names a queue");
    Some((queue, Duration::from_millis(millis.parse().expect("SAMEROOM_LATE is a number of milliseconds"))))
}

#[async_trait]
impl Store for Watched {
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
        let outage = self.lock().outage;
        if let Some(outage) = outage {
            let full = outage == Outage::Full;
            return Err(Unavailable { full, ..Unavailable::new("the scenario says that the store fails") }.into());
        }
        let settled: Vec<Receipt> =
            commit.done.iter().copied().chain(commit.again.iter().map(|again| again.receipt)).collect();
        let committed = self.inner.commit(commit).await?;
        self.lock().under_way.retain(|receipt| !settled.contains(receipt));
        self.check().await;
        self.turned();
        Ok(committed)
    }

    async fn lease(&self, queue: QueueName, max: usize) -> Result<Batch, Unavailable> {
        let mut turn = self.turn.subscribe();
        loop {
            let now = *turn.borrow_and_update();
            let mut lease = self.inner.lease(queue, max);
            if !self.counts_idle {
                return self.leased(queue, lease.await).await;
            }
            match std::future::poll_fn(|cx| Poll::Ready(lease.as_mut().poll(cx))).await {
                Poll::Ready(batch) => return self.leased(queue, batch).await,
                Poll::Pending => self.lock().idle.insert(queue, now),
            };
            stir(&self.stirred);
            tokio::select! {
                batch = lease => return self.leased(queue, batch).await,
                _ = turn.changed() => {}
            }
        }
    }

    fn hurry(&self, queue: QueueName, which: &(dyn Fn(&str) -> bool + Sync)) {
        self.inner.hurry(queue, which);
        self.turned();
    }

    fn lag(&self, queue: QueueName) -> Duration {
        self.inner.lag(queue)
    }

    async fn census(&self) -> Result<Census, Unavailable> {
        self.inner.census().await
    }

    fn whole(&self) -> bool {
        self.inner.whole()
    }

    fn dedup_window(&self) -> Duration {
        self.inner.dedup_window()
    }
}
