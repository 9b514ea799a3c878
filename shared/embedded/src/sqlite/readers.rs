//! Reading rows, pages of jobs and counts, over read-only connections. It must not know what waits in memory.
//!
//! Reads are done inline, on the caller's thread: a point look-up in the page cache takes a few microseconds, less
//! than handing it to another thread would. A statement of its own sees every commit that was answered before it began,
//! as SQLite's readers see the newest commit there is.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use sameroom_engine::ports::{Census, Key, QueueName, Row, Unavailable};

use super::cache::{Cache, Entry};
use super::errors::unavailable;
use super::queues::{Job, Page, place};
use super::{TALLIES, lock, schema};

/// How many rows are read of a partition to find out whether it is small enough to be kept in memory.
const WHOLE: usize = 65;

/// Read-only connections that nobody uses just now. There are never more in use than there are threads.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    keep: usize,
    pub(super) cache: Cache,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        let keep = std::thread::available_parallelism().map_or(4, |count| count.get() + 2);
        Self { path: path.to_owned(), idle: Mutex::default(), keep, cache: Cache::default() }
    }

    /// Lends a connection for the time of one read.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Unavailable> {
        let idle = lock(&self.idle).pop();
        let result = idle.map_or_else(|| schema::open_reader(&self.path), Ok).and_then(|connection| {
            let result = read(&connection);
            let mut idle = lock(&self.idle);
            if idle.len() < self.keep {
                idle.push(connection);
            }
            result
        });
        result.map_err(|error| unavailable(&self.path, &error))
    }

    pub(super) fn close(&self) {
        lock(&self.idle).clear();
    }

    /// The row of that key, unless it expired by `now`, in microseconds.
    pub(super) fn get(&self, key: &Key, now: i64) -> Result<Option<Row>, Unavailable> {
        if let Ok(kept) = self.cache.get(&key.partition) {
            let found = kept.iter().find(|entry| entry.sort == key.sort && lives(entry, now));
            return Ok(found.map(|entry| entry.row.clone()));
        }
        self.read(|connection| {
            let sql = "SELECT body, version FROM rows
                       WHERE partition = ?1 AND sort = ?2 AND (expires IS NULL OR expires > ?3)";
            let mut get = connection.prepare_cached(sql)?;
            get.query_row(params![key.partition, key.sort, now], |row| {
                Ok(Row { body: row.get(0)?, version: row.get::<_, i64>(1)? as u64 })
            })
            .optional()
        })
    }

    /// See [`sameroom_engine::ports::Store::query`].
    pub(super) fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: i64,
    ) -> Result<Vec<(String, Row)>, Unavailable> {
        let begins = after.is_none_or(|after| after < prefix);
        let kept = match self.cache.get(partition) {
            Ok(kept) => Some(kept),
            Err(stamp) if begins && prefix.is_empty() => {
                let rows = self.rows(partition, "", None, WHOLE, i64::MIN)?;
                let whole = rows.len() < WHOLE;
                whole.then(|| self.cache.put(partition, stamp, rows))
            }
            Err(_) => None,
        };
        let rows = match &kept {
            Some(kept) => &**kept,
            None => &self.rows(partition, prefix, after, limit, now)?,
        };
        let wanted = rows.iter().filter(|entry| {
            entry.sort.starts_with(prefix) && after.is_none_or(|after| *entry.sort > *after) && lives(entry, now)
        });
        Ok(wanted.take(limit).map(|entry| (entry.sort.clone(), entry.row.clone())).collect())
    }

    /// The rows of a partition whose sort keys begin with `prefix` and come after `after`, without those that
    /// had expired by `now`.
    fn rows(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: i64,
    ) -> Result<Vec<Entry>, Unavailable> {
        // All that begin with a prefix follow each other; so we start at the first and stop at the first that doesn't.
        let (sql, from) = match after {
            Some(after) if after >= prefix => (
                "SELECT sort, body, version, expires FROM rows WHERE partition = ?1 AND sort > ?2 ORDER BY sort",
                after,
            ),
            _ => (
                "SELECT sort, body, version, expires FROM rows WHERE partition = ?1 AND sort >= ?2 ORDER BY sort",
                prefix,
            ),
        };
        self.read(|connection| {
            let mut query = connection.prepare_cached(sql)?;
            let mut rows = query.query(params![partition, from])?;
            let mut found = Vec::new();
            while found.len() < limit
                && let Some(row) = rows.next()?
            {
                if !row.get_ref(0)?.as_str()?.starts_with(prefix) {
                    break;
                }
                let entry = Entry {
                    sort: row.get(0)?,
                    row: Row { body: row.get(1)?, version: row.get::<_, i64>(2)? as u64 },
                    expires: row.get(3)?,
                };
                if lives(&entry, now) {
                    found.push(entry);
                }
            }
            Ok(found)
        })
    }

    /// Reads a page of a group's jobs.
    pub(super) fn page(&self, page: &Page, now: i64, instant: Instant) -> Result<Vec<Job>, Unavailable> {
        self.read(|connection| {
            let sql = "SELECT id, body, attempts, maybe, ready_at, delay, accepted FROM jobs
                       WHERE queue = ?1 AND grp = ?2 AND id > ?3 AND id <= ?4 ORDER BY id LIMIT ?5";
            let mut query = connection.prepare_cached(sql)?;
            let limit = page.limit as i64;
            let mut rows = query.query(params![place(page.queue) as i64, page.group, page.after, page.upto, limit])?;
            let mut jobs = Vec::with_capacity(page.limit);
            while let Some(row) = rows.next()? {
                // However the clock was set meanwhile, a job waits no longer than it was told to (f46).
                let wait = row.get::<_, i64>(4)?.saturating_sub(now).min(row.get(5)?);
                jobs.push(Job {
                    id: row.get(0)?,
                    body: Bytes::from(row.get::<_, Vec<u8>>(1)?),
                    attempts: row.get(2)?,
                    maybe: row.get(3)?,
                    accepted: row.get(6)?,
                    due: (wait > 0).then(|| instant + Duration::from_micros(wait as u64)),
                });
            }
            Ok(jobs)
        })
    }

    /// Counts, in one read transaction. Walks the whole index of jobs, so it takes longer with a long backlog.
    pub(super) fn census(&self) -> Result<Census, Unavailable> {
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut census = Census::default();
            let mut tallies = snapshot.prepare_cached("SELECT name, n FROM tally")?;
            let mut rows = tallies.query([])?;
            while let Some(row) = rows.next()? {
                let name = row.get_ref(0)?.as_str()?;
                if let Some((tally, _)) = TALLIES.iter().find(|(_, known)| *known == name) {
                    census.tally.insert(*tally, row.get(1)?);
                }
            }
            let mut waiting = snapshot.prepare_cached("SELECT count(*) FROM jobs WHERE queue = ?1")?;
            for queue in QueueName::ALL {
                let count: i64 = waiting.query_row([place(queue) as i64], |row| row.get(0))?;
                census.waiting.insert(queue, count as u64);
            }
            Ok(census)
        })
    }

    /// What SQLite's own quick check finds wrong.
    pub(super) fn check(&self) -> Result<Vec<String>, Unavailable> {
        self.read(|connection| {
            let mut check = connection.prepare("PRAGMA quick_check")?;
            let found = check.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(found.into_iter().filter(|line| line != "ok").collect())
        })
    }

    /// Writes a consistent copy into an empty file.
    pub(super) fn copy(&self, target: &str) -> Result<(), Unavailable> {
        self.read(|connection| connection.execute("VACUUM INTO ?1", [target]).map(|_| ()))
    }
}

fn lives(entry: &Entry, now: i64) -> bool {
    entry.expires.is_none_or(|expires| expires > now)
}
