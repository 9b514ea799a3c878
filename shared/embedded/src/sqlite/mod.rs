//! The store of one machine: one SQLite file for rows and queues, so that a commit spans both.
//!
//! Every commit goes to one writer thread, which takes all that are there into one transaction with one fsync. Reads
//! are done inline over read-only connections. Leases live in memory, so a job that was leased when the process died
//! comes again after the restart. See `queues` for what else is in memory.
//!
//! After a start without a [`Sqlite::close`] before it, the first 64 jobs of each group that were not delayed into the
//! future are flagged `maybe`: a lease has at most 64, so no job that was in a worker's hands is missed. That is an
//! upper bound: those that were merely first in line are flagged too.

mod cache;
mod checkpoint;
mod errors;
mod inbox;
mod lockfile;
mod queues;
mod readers;
mod recovery;
mod schema;
mod statements;
mod writer;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sameroom_engine::ports::{
    Batch, Census, Clock, Commit, CommitError, Committed, Key, QueueName, Row, Store, Tally, Unavailable,
};
use tokio::sync::{Notify, watch};

pub use errors::OpenError;

use crate::SystemClock;
use queues::{Look, Queues, Woken, place};

/// The database's name in the data folder.
const FILE: &str = "sameroom.db";

/// The counts by their names in the database, in order of [`Tally`].
const TALLIES: [(Tally, &str); 9] = [
    (Tally::Accepted, "accepted"),
    (Tally::Relayed, "relayed"),
    (Tally::Filtered, "filtered"),
    (Tally::Owed, "owed"),
    (Tally::Delivered, "delivered"),
    (Tally::Dead, "dead"),
    (Tally::Expired, "expired"),
    (Tally::LeftOut, "left_out"),
    (Tally::Ambiguous, "ambiguous"),
];

/// How to open the store.
#[derive(Clone)]
pub struct SqliteOptions {
    /// Whether a commit is on the disk before it is answered. `false` only where losing the last seconds at a power
    /// cut is no loss: in benches.
    pub durable: bool,
    /// For how long a dedup id is remembered.
    pub dedup_window: Duration,
    /// Tells the time of rows and jobs. Waiting is done on the monotonic clock.
    pub clock: Arc<dyn Clock>,
    /// How large the database may become, in bytes. `None`: as large as the disk.
    pub max_size: Option<u64>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { durable: true, dedup_window: Duration::from_hours(1), clock: Arc::new(SystemClock), max_size: None }
    }
}

impl fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOptions")
            .field("durable", &self.durable)
            .field("dedup_window", &self.dedup_window)
            .field("max_size", &self.max_size)
            .finish_non_exhaustive()
    }
}

/// Rows and queues in one SQLite file. Dropping it ends the writer after what was asked of it, but only
/// [`Sqlite::close`] writes down that nothing was under way.
pub struct Sqlite {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the callers and the writer share.
struct Shared {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// In seconds.
    dedup_window: i64,
    inbox: inbox::Inbox,
    queues: Mutex<Queues>,
    ready: [Notify; 3],
    readers: readers::Readers,
    checkpointer: checkpoint::Checkpointer,
    failure: watch::Sender<Option<Unavailable>>,
    lock: Mutex<Option<File>>,
    #[cfg(debug_assertions)]
    sabotage: std::sync::atomic::AtomicBool,
}

impl Sqlite {
    /// Opens the store in that folder; makes both if they are not there. Files are made readable to their owner only.
    pub fn open(folder: &Path, options: SqliteOptions) -> Result<Arc<Self>, OpenError> {
        lockfile::make_folder(folder)?;
        let lock = lockfile::lock(folder)?;
        let path = folder.join(FILE);
        lockfile::make_file(&path)?;
        let trouble = |error: rusqlite::Error| OpenError::database(&path, &error);
        let connection = schema::open_writer(&path, options.durable)?;
        if let Some(bytes) = options.max_size {
            connection
                .query_row(&format!("PRAGMA max_page_count = {}", (bytes / 4096).max(1)), [], |_| Ok(()))
                .map_err(trouble)?;
        }
        let found = recovery::recover(&connection, options.clock.now().as_microsecond()).map_err(trouble)?;
        let shared = Arc::new(Shared {
            clock: options.clock,
            dedup_window: i64::try_from(options.dedup_window.as_secs()).unwrap_or(i64::MAX / 2),
            inbox: inbox::Inbox::new(),
            queues: Mutex::new(found.queues),
            ready: std::array::from_fn(|_| Notify::new()),
            readers: readers::Readers::new(&path),
            checkpointer: checkpoint::Checkpointer::start(&path, options.durable).map_err(trouble)?,
            failure: watch::Sender::new(None),
            lock: Mutex::new(Some(lock)),
            path: path.clone(),
            #[cfg(debug_assertions)]
            sabotage: false.into(),
        });
        let (started, ready) = std::sync::mpsc::channel();
        let for_writer = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("sameroom-store".into())
            .spawn(move || writer::run(connection, for_writer, found.next_id, started))
            .map_err(|why| OpenError::Other {
                path: path.clone(),
                why: format!("no thread could be started: {why}"),
            })?;
        match ready.recv() {
            Ok(Ok(())) => Ok(Arc::new(Self { shared, writer: Mutex::new(Some(writer)) })),
            Ok(Err(error)) => Err(trouble(error)),
            Err(_) => Err(OpenError::Other { path: path.clone(), why: "the writer did not start".into() }),
        }
    }

    /// Waits until the store fails for good, and says why: the disk can't be trusted any more, and the process should
    /// end with an error. Every commit after that is [`Unavailable`]; an fsync that failed is never tried again.
    pub async fn failed(&self) -> Unavailable {
        let mut failure = self.shared.failure.subscribe();
        loop {
            if let Some(why) = failure.borrow_and_update().clone() {
                return why;
            }
            if failure.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Reads the whole database and says what is wrong with it; nothing, if it is sound. Takes seconds for a large one.
    pub async fn check(&self) -> Result<Vec<String>, Unavailable> {
        self.blocking(|shared| shared.readers.check()).await
    }

    /// Writes a consistent copy to a file that must not exist yet, while work goes on. A store that was opened from
    /// such a copy is like one that was not closed.
    pub async fn backup(&self, target: &Path) -> Result<(), Unavailable> {
        let target = target.to_owned();
        self.blocking(move |shared| lockfile::copy_to(&target, |name| shared.readers.copy(name))).await
    }

    /// Leases nothing more, carries out the commits that wait, writes down that nothing was under way, and lets go of
    /// the folder. Settle leases before: those still open are flagged `maybe`. Afterwards everything is
    /// [`Unavailable`].
    pub async fn close(&self) -> Result<(), Unavailable> {
        lock(&self.shared.queues).close();
        self.shared.inbox.shut(closed());
        self.shared.ready.iter().for_each(Notify::notify_waiters);
        let Some(writer) = lock(&self.writer).take() else { return Ok(()) };
        let answer = self.shared.inbox.close().await;
        let _ = writer.join();
        lock(&self.shared.lock).take();
        answer.unwrap_or_else(|_| Err(self.shared.failure().unwrap_or_else(closed)))
    }

    /// Makes the next commit fail as a failing fsync would. For tests; does nothing in release builds.
    #[doc(hidden)]
    pub fn sabotage(&self) {
        #[cfg(debug_assertions)]
        self.shared.sabotage.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Unavailable> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|error| Err(Unavailable::new(format_args!("reading the store failed: {error}"))))
    }

    /// Takes what there is to lease, reading a page for it if need be.
    fn look(&self, queue: QueueName, max: usize) -> Result<Look, Unavailable> {
        loop {
            let page = {
                let mut queues = lock(&self.shared.queues);
                // The time is read under the lock, so that it is not before that of any group that is ready.
                match queues.look(queue, max, Instant::now()) {
                    Look::Load(page) => page,
                    Look::Closed => return Err(self.shared.failure().unwrap_or_else(closed)),
                    look => return Ok(look),
                }
            };
            let now = self.shared.clock.now().as_microsecond();
            let (jobs, error) = match self.shared.readers.page(&page, now, Instant::now()) {
                Ok(jobs) => (Some(jobs), None),
                Err(why) => (None, Some(why)),
            };
            if lock(&self.shared.queues).loaded(&page, jobs, Instant::now()) {
                self.shared.ready[place(queue)].notify_one();
            }
            error.map_or(Ok(()), Err)?;
        }
    }

    fn now(&self) -> i64 {
        self.shared.clock.now().as_microsecond()
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn get(&self, key: &Key) -> Result<Option<Row>, Unavailable> {
        self.shared.readers.get(key, self.now())
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, Unavailable> {
        self.shared.readers.query(partition, prefix, after, limit, self.now())
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.shared.inbox.ask(commit).await
    }

    async fn lease(&self, queue: QueueName, max: usize) -> Result<Batch, Unavailable> {
        let ready = &self.shared.ready[place(queue)];
        loop {
            // Listen first, then look: what becomes ready in between is not missed.
            let mut changed = pin!(ready.notified());
            changed.as_mut().enable();
            match self.look(queue, max)? {
                Look::Batch(batch) => return Ok(batch),
                Look::Wait(Some(until)) => {
                    let _ = tokio::time::timeout_at(until.into(), changed).await;
                }
                _ => changed.await,
            }
        }
    }

    fn hurry(&self, queue: QueueName, which: &(dyn Fn(&str) -> bool + Sync)) {
        let mut woken = Woken::default();
        lock(&self.shared.queues).hurry(queue, which, Instant::now(), &mut woken);
        self.shared.wake(&woken);
    }

    fn lag(&self, queue: QueueName) -> Duration {
        lock(&self.shared.queues).lag(queue, Instant::now())
    }

    async fn census(&self) -> Result<Census, Unavailable> {
        self.blocking(|shared| shared.readers.census()).await
    }

    fn dedup_window(&self) -> Duration {
        Duration::from_secs(self.shared.dedup_window as u64)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.shared.inbox.end();
        if let Some(writer) = lock(&self.writer).take() {
            let _ = writer.join();
        }
        self.shared.checkpointer.stop();
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl Shared {
    fn failure(&self) -> Option<Unavailable> {
        self.failure.borrow().clone()
    }

    /// Fails for good.
    fn fail(&self, why: &Unavailable) {
        self.failure.send_replace(Some(why.clone()));
        self.inbox.refuse_all(why);
        lock(&self.queues).close();
        self.ready.iter().for_each(Notify::notify_waiters);
    }

    fn wake(&self, woken: &Woken) {
        for (ready, count) in self.ready.iter().zip(woken.0) {
            (0..count).for_each(|_| ready.notify_one());
        }
    }

    #[cfg(debug_assertions)]
    fn sabotaged(&self) -> rusqlite::Result<()> {
        use rusqlite::ffi;
        if self.sabotage.swap(false, std::sync::atomic::Ordering::Relaxed) {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), None));
        }
        Ok(())
    }

    #[cfg(not(debug_assertions))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as in debug builds")]
    fn sabotaged(&self) -> rusqlite::Result<()> {
        Ok(())
    }
}

fn closed() -> Unavailable {
    Unavailable::new("the store is closed: Sameroom is shutting down")
}

/// What a lock guards here stays whole when its holder panics: the writer alone changes more than one thing at a time,
/// and without the writer nothing goes on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_their_place() {
        for (place, (tally, _)) in TALLIES.iter().enumerate() {
            assert_eq!(*tally as usize, place);
        }
    }
}
