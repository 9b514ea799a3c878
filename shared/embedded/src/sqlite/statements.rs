//! The statements of the hot path, prepared once. They must not know batches, leases or answers.

use rusqlite::{Connection, OptionalExtension, Statement, params};
use sameroom_engine::ports::{Again, NewJob, QueueName, When, Write};

use super::queues::place;

pub(super) struct Statements<'c> {
    pub(super) begin: Statement<'c>,
    pub(super) commit: Statement<'c>,
    pub(super) rollback: Statement<'c>,
    pub(super) done: Statement<'c>,
    pub(super) tally: Statement<'c>,
    pub(super) checkpoint: Statement<'c>,
    version: Statement<'c>,
    put: Statement<'c>,
    delete: Statement<'c>,
    seen: Statement<'c>,
    send: Statement<'c>,
    again: Statement<'c>,
    rows_from: Statement<'c>,
    seen_upto: Statement<'c>,
    forget_seen: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            rollback: connection.prepare("ROLLBACK")?,
            done: connection.prepare("DELETE FROM jobs WHERE id = ?1")?,
            tally: connection.prepare(
                "INSERT INTO tally (name, n) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
            )?,
            checkpoint: connection.prepare("PRAGMA wal_checkpoint(PASSIVE)")?,
            version: connection.prepare(
                "SELECT version FROM rows WHERE partition = ?1 AND sort = ?2 AND (expires IS NULL OR expires > ?3)",
            )?,
            // A row that has expired is not there any more: it begins anew.
            put: connection.prepare(
                "INSERT INTO rows (partition, sort, body, version, expires) VALUES (?1, ?2, ?3, 1, ?4)
                 ON CONFLICT (partition, sort) DO UPDATE SET body = excluded.body, expires = excluded.expires,
                 version = CASE WHEN rows.expires <= ?5 THEN 1 ELSE rows.version + 1 END",
            )?,
            delete: connection.prepare("DELETE FROM rows WHERE partition = ?1 AND sort = ?2")?,
            // Changes one row if the hash is new, was seen before the window, or is half of another one.
            seen: connection.prepare(
                "INSERT INTO seen (id, rest, at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (id) DO UPDATE SET rest = excluded.rest, at = excluded.at
                 WHERE seen.at <= ?4 OR seen.rest <> excluded.rest",
            )?,
            send: connection.prepare(
                "INSERT INTO jobs (id, queue, grp, body, attempts, maybe, ready_at, delay, accepted)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            again: connection.prepare(
                "UPDATE jobs SET attempts = attempts + ?2, maybe = maybe | ?3, ready_at = ?4, delay = ?5 WHERE id = ?1",
            )?,
            rows_from: connection.prepare(
                "SELECT partition, sort, expires FROM rows WHERE (partition, sort) > (?1, ?2)
                 ORDER BY partition, sort LIMIT ?3",
            )?,
            seen_upto: connection.prepare("SELECT id FROM seen WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2")?,
            forget_seen: connection.prepare("DELETE FROM seen WHERE id > ?1 AND id <= ?2 AND at <= ?3")?,
        })
    }

    /// Whether all conditions hold.
    pub(super) fn allowed(&mut self, writes: &[Write], now: i64) -> rusqlite::Result<bool> {
        for write in writes {
            let (Write::Put { key, when, .. } | Write::Delete { key, when }) = write;
            if *when == When::Always {
                continue;
            }
            let version =
                self.version.query_row(params![key.partition, key.sort, now], |row| row.get::<_, i64>(0)).optional()?;
            let holds = match when {
                When::Always => true,
                When::Absent => version.is_none(),
                When::Version(wanted) => version == Some(*wanted as i64),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes. Says how many rows the search for expired ones should look at for it.
    pub(super) fn write(&mut self, write: &Write, now: i64) -> rusqlite::Result<u64> {
        match write {
            Write::Put { key, body, expires, .. } => {
                let expires = expires.map(sameroom_model::Timestamp::as_microsecond);
                self.put.execute(params![key.partition, key.sort, body, expires, now])?;
                Ok(if expires.is_some() { 2 } else { 0 })
            }
            Write::Delete { key, .. } => {
                self.delete.execute(params![key.partition, key.sort])?;
                Ok(0)
            }
        }
    }

    /// Remembers a dedup id, and says whether it was not known before. `window` is in seconds.
    pub(super) fn first_seen(&mut self, queue: QueueName, id: &str, now: i64, window: i64) -> rusqlite::Result<bool> {
        let (id, rest) = halves(queue, id);
        let now = now / 1_000_000;
        Ok(self.seen.execute(params![id, rest, now, now - window])? > 0)
    }

    pub(super) fn send(&mut self, id: i64, job: &NewJob, now: i64) -> rusqlite::Result<()> {
        let delay = micros(job.delay);
        let ready_at = if delay == 0 { 0 } else { now.saturating_add(delay) };
        let (queue, attempts) = (place(job.queue) as i64, i64::from(job.attempts));
        self.send.execute(params![id, queue, job.group, job.body, attempts, job.maybe, ready_at, delay, now])?;
        Ok(())
    }

    pub(super) fn again(&mut self, again: &Again, now: i64) -> rusqlite::Result<()> {
        let delay = micros(again.after);
        let ready_at = if delay == 0 { 0 } else { now.saturating_add(delay) };
        self.again.execute(params![again.receipt.0 as i64, again.counts, again.maybe, ready_at, delay])?;
        Ok(())
    }

    /// Forgets expired rows among the next `count` after `from`, and moves `from` on; round to the start at the end.
    pub(super) fn sweep_rows(&mut self, from: &mut (String, String), count: u64, now: i64) -> rusqlite::Result<()> {
        let mut expired = Vec::new();
        let mut looked_at = 0;
        let mut rows = self.rows_from.query(params![from.0, from.1, count as i64])?;
        while let Some(row) = rows.next()? {
            looked_at += 1;
            *from = (row.get(0)?, row.get(1)?);
            if row.get::<_, Option<i64>>(2)?.is_some_and(|at| at <= now) {
                expired.push(from.clone());
            }
        }
        drop(rows);
        if looked_at < count {
            *from = <_>::default();
        }
        if expired.is_empty() {
            return Ok(());
        }
        self.begin.execute([])?;
        for (partition, sort) in &expired {
            self.delete.execute(params![partition, sort])?;
        }
        self.commit.execute([])?;
        Ok(())
    }

    /// The same for dedup ids.
    pub(super) fn sweep_seen(&mut self, from: &mut i64, count: u64, now: i64, window: i64) -> rusqlite::Result<()> {
        let upto: Option<i64> =
            self.seen_upto.query_row(params![*from, count as i64 - 1], |row| row.get(0)).optional()?;
        self.forget_seen.execute(params![*from, upto.unwrap_or(i64::MAX), now / 1_000_000 - window])?;
        *from = upto.unwrap_or(i64::MIN);
        Ok(())
    }
}

fn micros(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// A dedup id's hash. Ids come from outside, so the hash must be one that nobody can make collide.
fn halves(queue: QueueName, id: &str) -> (i64, i64) {
    use aws_lc_rs::digest;
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[place(queue) as u8]);
    context.update(id.as_bytes());
    let hash = context.finish();
    let half = |at: usize| hash.as_ref()[at..at + 8].iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte));
    (half(0), half(8))
}
