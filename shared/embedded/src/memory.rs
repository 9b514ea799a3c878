//! A store in memory for tests and simulations: the same promises as the others, kept by simple code under one lock,
//! on a clock that the test turns. It can be told to fail. It must not be quick, and it must not be clever.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sameroom_engine::ports::{
    Again, Batch, Census, Clock, Commit, CommitError, Committed, Key, Leased, NewJob, QueueName, Receipt, Row, Store,
    Tally, Unavailable, When, Write,
};
use sameroom_model::Timestamp;
use tokio::sync::{Notify, watch};

/// For how long a dedup id is remembered.
const DEDUP_WINDOW: Duration = Duration::from_hours(1);
/// As many jobs as other stores lease at once, at most.
const LEASE_MAX: usize = 64;

/// A clock that stands still until it is turned. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<watch::Sender<Timestamp>>);

impl TestClock {
    /// A clock that shows this time.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(watch::Sender::new(now)))
    }

    /// Turns the clock on. Leases that wait for a delay look again.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = later(*now, by));
    }

    /// Sets the clock, back too.
    pub fn set(&self, now: Timestamp) {
        self.0.send_replace(now);
    }
}

impl Default for TestClock {
    /// Noon of a day in 2026.
    fn default() -> Self {
        Self::new(Timestamp::from_second(1_780_315_200).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }
}

/// Rows and queues in memory.
pub struct Memory {
    clock: TestClock,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<Key, (Row, Option<Timestamp>)>,
    /// In order of queue, group and id.
    jobs: BTreeMap<(QueueName, String, u64), Job>,
    /// The groups of which jobs are leased, and which.
    leased: BTreeMap<(QueueName, String), BTreeSet<u64>>,
    /// Leased groups whose jobs were hurried meanwhile.
    hurried: BTreeSet<(QueueName, String)>,
    /// Since when a group has been free, if it was leased before.
    free: BTreeMap<(QueueName, String), Timestamp>,
    seen: BTreeMap<(QueueName, String), Timestamp>,
    tally: BTreeMap<Tally, i64>,
    last_id: u64,
    pass_commits: u32,
    fail_commits: u32,
    fail_reads: u32,
    conflicts: u32,
}

#[derive(Clone)]
struct Job {
    body: Bytes,
    attempts: u32,
    maybe: bool,
    accepted: Timestamp,
    ready: Timestamp,
}

impl Memory {
    /// An empty store on that clock.
    pub fn new(clock: TestClock) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::default(), changed: Notify::new() })
    }

    /// Every row there is, in order of key: for tests that look for what must not be at rest.
    pub fn rows(&self) -> Vec<(Key, Vec<u8>)> {
        self.lock().rows.iter().map(|(key, (row, _))| (key.clone(), row.body.clone())).collect()
    }

    /// Makes the next `n` commits [`Unavailable`]. They do nothing.
    pub fn fail_next(&self, n: u32) {
        self.fail_after(0, n);
    }

    /// Makes `n` commits [`Unavailable`] after `pass` more have been made: so that what takes several is cut short at each.
    pub fn fail_after(&self, pass: u32, n: u32) {
        let mut state = self.lock();
        (state.pass_commits, state.fail_commits) = (pass, n);
    }

    /// Makes the next `n` reads of rows [`Unavailable`].
    pub fn fail_next_reads(&self, n: u32) {
        self.lock().fail_reads = n;
    }

    /// Makes the next `n` commits that have a condition fail as if it did not hold. They do nothing.
    pub fn conflict_next(&self, n: u32) {
        self.lock().conflicts = n;
    }

    /// Forgets all leases, as if the process had died and come back: their jobs come again, flagged `maybe`.
    pub fn restart(&self) {
        let mut state = self.lock();
        for ((queue, group), ids) in std::mem::take(&mut state.leased) {
            for id in ids {
                if let Some(job) = state.jobs.get_mut(&(queue, group.clone(), id)) {
                    job.maybe = true;
                }
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &Key) -> Result<Option<Row>, Unavailable> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.may_read()?;
        Ok(state.row(key, now).cloned())
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, Unavailable> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.may_read()?;
        let from = Key { partition: partition.to_owned(), sort: prefix.to_owned() };
        let mine =
            state.rows.range(from..).take_while(|(key, _)| key.partition == partition && key.sort.starts_with(prefix));
        let wanted = mine.filter(|(key, (_, expires))| {
            after.is_none_or(|after| key.sort.as_str() > after) && expires.is_none_or(|at| at > now)
        });
        Ok(wanted.take(limit).map(|(key, (row, _))| (key.sort.clone(), row.clone())).collect())
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let now = self.clock.now();
        let committed = self.lock().commit(commit, now);
        self.changed.notify_waiters();
        committed
    }

    async fn lease(&self, queue: QueueName, max: usize) -> Result<Batch, Unavailable> {
        let mut clock = self.clock.0.subscribe();
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let now = *clock.borrow_and_update();
            if let Some(batch) = self.lock().lease(queue, max, now) {
                return Ok(batch);
            }
            tokio::select! {
                () = changed => {}
                _ = clock.changed() => {}
            }
        }
    }

    fn hurry(&self, queue: QueueName, which: &(dyn Fn(&str) -> bool + Sync)) {
        self.lock().hurry(queue, which, self.clock.now());
        self.changed.notify_waiters();
    }

    fn lag(&self, queue: QueueName) -> Duration {
        let now = self.clock.now();
        let first = self.lock().first(queue, now);
        first.map_or(Duration::ZERO, |(since, _)| now.duration_since(since).try_into().unwrap_or_default())
    }

    async fn census(&self) -> Result<Census, Unavailable> {
        let mut state = self.lock();
        state.may_read()?;
        let mut census = Census { tally: state.tally.clone(), ..Census::default() };
        for queue in QueueName::ALL {
            let waiting = state.jobs.keys().filter(|(name, _, _)| *name == queue).count();
            census.waiting.insert(queue, waiting as u64);
        }
        Ok(census)
    }

    fn dedup_window(&self) -> Duration {
        DEDUP_WINDOW
    }
}

impl State {
    fn may_read(&mut self) -> Result<(), Unavailable> {
        if self.fail_reads > 0 {
            self.fail_reads -= 1;
            return Err(Unavailable::new("the store was told to fail this read"));
        }
        Ok(())
    }

    fn row(&self, key: &Key, now: Timestamp) -> Option<&Row> {
        self.rows.get(key).filter(|(_, expires)| expires.is_none_or(|at| at > now)).map(|(row, _)| row)
    }

    fn commit(&mut self, mut commit: Commit, now: Timestamp) -> Result<Committed, CommitError> {
        if self.pass_commits > 0 {
            self.pass_commits -= 1;
        } else if self.fail_commits > 0 {
            self.fail_commits -= 1;
            return Err(Unavailable::new("the store was told to fail this commit").into());
        }
        let leased = |id: u64| self.leased.values().any(|ids| ids.contains(&id));
        let mut settled = BTreeSet::new();
        if !commit.done.iter().all(|receipt| leased(receipt.0) && settled.insert(receipt.0)) {
            return Err(Unavailable::new("a job is done that is not under lease, or was settled").into());
        }
        // What is settled already does not come again.
        commit.again.retain(|again| leased(again.receipt.0) && settled.insert(again.receipt.0));
        self.check(&commit.writes, now)?;
        commit.writes.into_iter().for_each(|write| self.write(write, now));
        let duplicates = commit.sends.into_iter().map(|job| !self.send(job, now)).collect();
        for Receipt(id) in commit.done {
            if let Some(place) = self.settle(id, now) {
                self.jobs.remove(&place);
            }
        }
        for Again { receipt, after, counts, maybe } in commit.again {
            if let Some(job) = self.settle(receipt.0, now).and_then(|place| self.jobs.get_mut(&place)) {
                job.attempts += u32::from(counts);
                job.maybe |= maybe;
                job.ready = later(now, after);
            }
        }
        for (queue, group) in std::mem::take(&mut self.hurried) {
            if self.leased.contains_key(&(queue, group.clone())) {
                self.hurried.insert((queue, group));
            } else {
                self.ready(queue, &group, now);
            }
        }
        for (tally, count) in commit.tally {
            *self.tally.entry(tally).or_default() += count;
        }
        Ok(Committed { duplicates })
    }

    fn hurry(&mut self, queue: QueueName, which: &(dyn Fn(&str) -> bool + Sync), now: Timestamp) {
        let named = self.jobs.keys().filter(|(name, group, _)| *name == queue && which(group));
        let groups: BTreeSet<String> = named.map(|(_, group, _)| group.clone()).collect();
        for group in groups {
            if self.leased.contains_key(&(queue, group.clone())) {
                self.hurried.insert((queue, group));
            } else {
                self.ready(queue, &group, now);
            }
        }
    }

    /// Makes the jobs of a group ready that are not.
    fn ready(&mut self, queue: QueueName, group: &str, now: Timestamp) {
        let range = (queue, group.to_owned(), 0)..=(queue, group.to_owned(), u64::MAX);
        self.jobs.range_mut(range).for_each(|(_, job)| job.ready = job.ready.min(now));
    }

    fn check(&mut self, writes: &[Write], now: Timestamp) -> Result<(), CommitError> {
        for write in writes {
            let (Write::Put { key, when, .. } | Write::Delete { key, when }) = write;
            let version = self.row(key, now).map(|row| row.version);
            let holds = match when {
                When::Always => continue,
                When::Absent => version.is_none(),
                When::Version(wanted) => version == Some(*wanted),
            };
            if !holds {
                return Err(CommitError::Conflict);
            }
            if self.conflicts > 0 {
                self.conflicts -= 1;
                return Err(CommitError::Conflict);
            }
        }
        Ok(())
    }

    fn write(&mut self, write: Write, now: Timestamp) {
        match write {
            Write::Put { key, body, expires, .. } => {
                let version = self.row(&key, now).map_or(1, |row| row.version + 1);
                self.rows.insert(key, (Row { body, version }, expires));
            }
            Write::Delete { key, .. } => {
                self.rows.remove(&key);
            }
        }
    }

    /// Sends a job, unless it is a duplicate.
    fn send(&mut self, job: NewJob, now: Timestamp) -> bool {
        if let Some(id) = job.dedup {
            let seen = self.seen.entry((job.queue, id));
            if let std::collections::btree_map::Entry::Occupied(seen) = &seen
                && later(*seen.get(), DEDUP_WINDOW) > now
            {
                return false;
            }
            seen.insert_entry(now);
        }
        self.last_id += 1;
        if job.queue == QueueName::Events {
            *self.tally.entry(Tally::Accepted).or_default() += 1;
        }
        let (attempts, maybe) = (job.attempts, job.maybe);
        let new = Job { body: job.body.into(), attempts, maybe, accepted: now, ready: later(now, job.delay) };
        self.jobs.insert((job.queue, job.group, self.last_id), new);
        true
    }

    /// Ends a job's lease. Says where the job is.
    fn settle(&mut self, id: u64, now: Timestamp) -> Option<(QueueName, String, u64)> {
        let (group, ids) = self.leased.iter_mut().find(|(_, ids)| ids.contains(&id))?;
        let group = group.clone();
        ids.remove(&id);
        if ids.is_empty() {
            self.leased.remove(&group);
            self.free.insert(group.clone(), now);
        }
        Some((group.0, group.1, id))
    }

    /// The group that could run and has waited longest, and since when.
    fn first(&self, queue: QueueName, now: Timestamp) -> Option<(Timestamp, String)> {
        let mut first: Option<(Timestamp, u64, String)> = None;
        let mut from = Bound::Included((queue, String::new(), 0));
        while let Some(((name, group, id), job)) = self.jobs.range((from, Bound::Unbounded)).next()
            && *name == queue
        {
            from = Bound::Excluded((queue, group.clone(), u64::MAX));
            let place = (queue, group.clone());
            if job.ready > now || self.leased.contains_key(&place) {
                continue;
            }
            let since = self.free.get(&place).copied().unwrap_or(job.ready).max(job.ready);
            if first.as_ref().is_none_or(|(oldest, head, _)| (since, *id) < (*oldest, *head)) {
                first = Some((since, *id, group.clone()));
            }
        }
        first.map(|(since, _, group)| (since, group))
    }

    fn lease(&mut self, queue: QueueName, max: usize, now: Timestamp) -> Option<Batch> {
        let (_, group) = self.first(queue, now)?;
        let from = (queue, group.clone(), 0);
        let upto = (queue, group.clone(), u64::MAX);
        let ready = self.jobs.range(from..=upto).take_while(|(_, job)| job.ready <= now);
        let jobs: Vec<Leased> = ready
            .take(max.clamp(1, LEASE_MAX))
            .map(|((_, _, id), job)| Leased {
                receipt: Receipt(*id),
                body: job.body.clone(),
                attempt: job.attempts + 1,
                maybe: job.maybe,
                accepted: job.accepted,
            })
            .collect();
        self.leased.insert((queue, group.clone()), jobs.iter().map(|job| job.receipt.0).collect());
        Some(Batch { group, jobs })
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
