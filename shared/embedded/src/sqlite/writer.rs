//! The one writer: a thread that owns the connection that writes. It takes all commits that are there into one
//! transaction, so that they share one fsync, and answers them when that is on the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use sameroom_engine::failpoint::failpoint;
use sameroom_engine::ports::{CommitError, Committed, QueueName, Tally, Unavailable, Write};
use tokio::sync::oneshot;

use super::errors::{Failure, failure};
use super::inbox::{BATCH_MAX, Next, Request};
use super::queues::{Settled, Woken};
use super::statements::Statements;
use super::{Shared, TALLIES, checkpoint, lock};

/// How long the writer waits for work before it puts things in order.
const PATIENCE: Duration = Duration::from_millis(500);
/// While there is always work, things are put in order this often all the same.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Pages in the write-ahead log, as of the last commit.
    log: Arc<AtomicU32>,
    next_id: i64,
    batch: Vec<Request>,
    answers: Vec<Result<Committed, CommitError>>,
    /// Ids of the jobs sent by the batch, in order.
    ids: Vec<i64>,
    tally: [i64; TALLIES.len()],
    sweep: Sweep,
}

/// How far the search for expired rows has come, and how much of it is due.
struct Sweep {
    at: Instant,
    /// Rows to look at: grows with what is written, so that the search keeps up with it.
    rows: u64,
    seen: u64,
    row: (String, String),
    hash: i64,
}

/// Runs until the store is closed or dropped. Says first whether it could start.
pub(super) fn run(
    mut connection: Connection,
    shared: Arc<Shared>,
    next_id: i64,
    started: std::sync::mpsc::Sender<rusqlite::Result<()>>,
) {
    let log = Arc::new(AtomicU32::new(0));
    let pages = Arc::clone(&log);
    let hooked = connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: std::ffi::c_int| {
        pages.store(count.unsigned_abs(), Ordering::Relaxed);
        Ok(())
    }));
    let mut statements = match hooked.and_then(|()| Statements::prepare(&connection)) {
        Ok(statements) => statements,
        Err(error) => return started.send(Err(error)).unwrap_or_default(),
    };
    let _ = started.send(Ok(()));
    drop(started);
    let sweep = Sweep { at: Instant::now(), rows: 0, seen: 0, row: <_>::default(), hash: i64::MIN };
    let mut writer = Writer {
        shared,
        log,
        next_id,
        batch: Vec::with_capacity(BATCH_MAX),
        answers: Vec::with_capacity(BATCH_MAX),
        ids: Vec::new(),
        tally: [0; TALLIES.len()],
        sweep,
    };
    let closing = writer.serve(&mut statements);
    drop(statements);
    if let Some(answer) = closing {
        let _ = answer.send(writer.shut(connection));
    }
}

impl Writer {
    /// Works until told to close or end.
    fn serve(&mut self, statements: &mut Statements<'_>) -> Option<oneshot::Sender<Result<(), Unavailable>>> {
        loop {
            let shared = Arc::clone(&self.shared);
            match shared.inbox.next(&mut self.batch, PATIENCE) {
                Next::Work => {
                    self.work(statements);
                    if self.sweep.at.elapsed() > SWEEP_EVERY {
                        self.tidy(statements);
                    }
                    self.keep_log_short(statements, checkpoint::WHILE_BUSY);
                }
                Next::Idle => {
                    self.tidy(statements);
                    self.keep_log_short(statements, checkpoint::WHILE_IDLE);
                }
                Next::Close(answer) => return Some(answer),
                Next::End => return None,
            }
        }
    }

    /// Carries out the batch in one transaction, and answers it.
    fn work(&mut self, statements: &mut Statements<'_>) {
        if let Some(why) = self.shared.failure() {
            return self.refuse(&why);
        }
        let now = self.shared.clock.now();
        self.claim();
        failpoint("pre_commit");
        match self.transact(statements, now.as_microsecond()) {
            Ok(()) => {
                failpoint("post_commit");
                self.forget();
                self.publish(now.as_microsecond());
                for (request, answer) in self.batch.drain(..).zip(self.answers.drain(..)) {
                    // Whoever asked may be gone. It happened all the same.
                    let _ = request.answer.send(answer);
                }
            }
            Err(error) => self.failed(statements, &error),
        }
    }

    /// Claims each commit's receipts, so that no job is settled twice.
    fn claim(&mut self) {
        let mut queues = lock(&self.shared.queues);
        self.answers.clear();
        for Request { commit, .. } in &mut self.batch {
            let refused = commit.done.iter().position(|receipt| !queues.claim(*receipt));
            self.answers.push(match refused {
                None => {
                    // What is settled already does not come again.
                    commit.again.retain(|again| queues.claim(again.receipt));
                    Ok(Committed::default())
                }
                Some(count) => {
                    commit.done.iter().take(count).for_each(|receipt| queues.unclaim(*receipt));
                    let why = "a job is done that is not under lease, or was settled: this is a mistake of ours";
                    Err(CommitError::Unavailable(Unavailable::new(why)))
                }
            });
        }
    }

    fn transact(&mut self, statements: &mut Statements<'_>, now: i64) -> rusqlite::Result<()> {
        statements.begin.execute([])?;
        self.ids.clear();
        self.tally = [0; TALLIES.len()];
        for (request, answer) in self.batch.iter().zip(&mut self.answers) {
            let Ok(committed) = answer else { continue };
            let commit = &request.commit;
            if !statements.allowed(&commit.writes, now)? {
                *answer = Err(CommitError::Conflict);
                continue;
            }
            for write in &commit.writes {
                self.sweep.rows += statements.write(write, now)?;
            }
            committed.duplicates.reserve_exact(commit.sends.len());
            for job in &commit.sends {
                let new = match &job.dedup {
                    None => true,
                    Some(id) => {
                        self.sweep.seen += 2;
                        statements.first_seen(job.queue, id, now, self.shared.dedup_window)?
                    }
                };
                committed.duplicates.push(!new);
                if new {
                    statements.send(self.next_id, job, now)?;
                    self.ids.push(self.next_id);
                    self.next_id += 1;
                    self.tally[Tally::Accepted as usize] += i64::from(job.queue == QueueName::Events);
                }
            }
            for receipt in &commit.done {
                statements.done.execute([receipt.0 as i64])?;
            }
            for again in &commit.again {
                statements.again(again, now)?;
            }
            for (tally, count) in &commit.tally {
                self.tally[*tally as usize] += count;
            }
        }
        for ((_, name), count) in TALLIES.iter().zip(self.tally).filter(|(_, count)| *count != 0) {
            statements.tally.execute((name, count))?;
        }
        failpoint("mid_commit");
        self.shared.sabotaged()?;
        statements.commit.execute([])?;
        Ok(())
    }

    /// Drops what is in memory of partitions that were written to, before anybody is answered.
    fn forget(&self) {
        let done = self.batch.iter().zip(&self.answers).filter(|(_, answer)| answer.is_ok());
        for write in done.flat_map(|(request, _)| &request.commit.writes) {
            let (Write::Put { key, .. } | Write::Delete { key, .. }) = write;
            self.shared.readers.cache.drop(&key.partition);
        }
    }

    /// Tells the queues in memory what is on the disk now.
    fn publish(&mut self, accepted: i64) {
        let mut woken = Woken::default();
        {
            let mut queues = lock(&self.shared.queues);
            let now = Instant::now();
            let mut ids = self.ids.drain(..);
            for (Request { commit, .. }, answer) in self.batch.iter_mut().zip(&self.answers) {
                let Ok(committed) = answer else {
                    if matches!(answer, Err(CommitError::Conflict)) {
                        unclaim(&mut queues, commit);
                    }
                    continue;
                };
                for (job, duplicate) in commit.sends.drain(..).zip(&committed.duplicates) {
                    if !duplicate && let Some(id) = ids.next() {
                        queues.sent(id, job, accepted, now, &mut woken);
                    }
                }
                for receipt in &commit.done {
                    queues.settled(*receipt, &Settled::Done, now, &mut woken);
                }
                for again in &commit.again {
                    let settled = Settled::Again { after: again.after, counts: again.counts, maybe: again.maybe };
                    queues.settled(again.receipt, &settled, now, &mut woken);
                }
            }
        }
        self.shared.wake(&woken);
    }

    /// Nothing of the batch happened.
    fn failed(&mut self, statements: &mut Statements<'_>, error: &rusqlite::Error) {
        // After some errors SQLite has rolled back already; then this does nothing but complain.
        let rolled_back = statements.rollback.execute([]);
        tracing::debug!(?rolled_back, "a transaction was given up");
        self.next_id -= self.ids.len() as i64;
        let why = match failure(&self.shared.path, error) {
            Failure::Passing(why) => why,
            Failure::Fatal(why) => {
                self.shared.fail(&why);
                why
            }
        };
        tracing::error!(%why, "commits failed");
        {
            let mut queues = lock(&self.shared.queues);
            for (request, answer) in self.batch.iter().zip(&self.answers) {
                if matches!(answer, Ok(_) | Err(CommitError::Conflict)) {
                    unclaim(&mut queues, &request.commit);
                }
            }
        }
        self.refuse(&why);
    }

    fn refuse(&mut self, why: &Unavailable) {
        for request in self.batch.drain(..) {
            let _ = request.answer.send(Err(CommitError::Unavailable(why.clone())));
        }
    }

    /// Forgets a slice of what has expired.
    fn tidy(&mut self, statements: &mut Statements<'_>) {
        let sweep = &mut self.sweep;
        sweep.at = Instant::now();
        if self.shared.failure().is_some() {
            return;
        }
        let (rows, seen) = (slice(&mut sweep.rows), slice(&mut sweep.seen));
        let now = self.shared.clock.now().as_microsecond();
        let window = self.shared.dedup_window;
        let swept = statements
            .sweep_rows(&mut sweep.row, rows, now)
            .and_then(|()| statements.sweep_seen(&mut sweep.hash, seen, now, window));
        if let Err(error) = swept {
            let _ = statements.rollback.execute([]);
            self.trouble("forgetting expired rows failed", &error);
        }
    }

    /// Copies the log into the database before it grows long. See [`checkpoint`].
    fn keep_log_short(&mut self, statements: &mut Statements<'_>, limit: u32) {
        let pages = self.log.load(Ordering::Relaxed);
        if pages < limit || self.shared.failure().is_some() {
            return;
        }
        match self.shared.checkpointer.advise(pages, limit) {
            checkpoint::Advice::Nothing => {}
            checkpoint::Advice::Failed(error) => self.trouble("a checkpoint failed", &error),
            checkpoint::Advice::Finish => match statements.checkpoint.query_row([], |_| Ok(())) {
                Ok(()) => self.log.store(0, Ordering::Relaxed),
                Err(error) => self.trouble("a checkpoint failed", &error),
            },
        }
    }

    fn trouble(&self, what: &str, error: &rusqlite::Error) {
        match failure(&self.shared.path, error) {
            Failure::Passing(why) => tracing::warn!(%why, "{what}"),
            Failure::Fatal(why) => {
                tracing::error!(%why, "{what}");
                self.shared.fail(&why);
            }
        }
    }

    /// Writes down that nothing is under way, empties the log and lets go of the file.
    fn shut(&self, connection: Connection) -> Result<(), Unavailable> {
        if let Some(why) = self.shared.failure() {
            return Err(why);
        }
        let leased = lock(&self.shared.queues).leased();
        self.shared.checkpointer.stop();
        self.shared.readers.close();
        close(connection, &leased).map_err(|error| super::errors::unavailable(&self.shared.path, &error))
    }
}

/// Jobs that are still leased may have had their effect: that is written down, and so the rest can be trusted.
fn close(connection: Connection, leased: &[i64]) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for id in leased {
        connection.execute("UPDATE jobs SET maybe = 1 WHERE id = ?1", [id])?;
    }
    connection.execute_batch("UPDATE meta SET value = 1 WHERE name = 'clean'; COMMIT")?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)
}

fn unclaim(queues: &mut super::queues::Queues, commit: &sameroom_engine::ports::Commit) {
    commit
        .done
        .iter()
        .chain(commit.again.iter().map(|again| &again.receipt))
        .for_each(|receipt| queues.unclaim(*receipt));
}

/// How many rows to look at now: a few always, and what was written since, but not all at once.
fn slice(due: &mut u64) -> u64 {
    let slice = (*due).clamp(200, 20_000);
    *due = due.saturating_sub(slice);
    slice
}
