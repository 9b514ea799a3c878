//! What is done once, at start: flag the jobs that may have been leased when the process died, and learn which groups
//! wait. It must not know leases to come.

use std::time::Instant;

use rusqlite::{Connection, params};
use sameroom_engine::ports::QueueName;

use super::queues::{LEASE_MAX, Queues, place};

pub(super) struct Found {
    pub(super) queues: Queues,
    pub(super) next_id: i64,
}

/// Walks the index of jobs, not their bodies.
pub(super) fn recover(connection: &Connection, now: i64) -> rusqlite::Result<Found> {
    let clean: bool = connection.query_row("SELECT value FROM meta WHERE name = 'clean'", [], |row| row.get(0))?;
    let instant = Instant::now();
    let transaction = connection.unchecked_transaction()?;
    transaction.execute("UPDATE meta SET value = 0 WHERE name = 'clean'", [])?;
    let mut queues = Queues::default();
    let mut suspects = Vec::new();
    for queue in QueueName::ALL {
        let mut jobs = transaction.prepare("SELECT grp, id FROM jobs WHERE queue = ?1 ORDER BY grp, id")?;
        let mut rows = jobs.query([place(queue) as i64])?;
        let (mut group, mut count) = (String::new(), 0_u64);
        while let Some(row) = rows.next()? {
            let name = row.get_ref(0)?.as_str()?;
            if count > 0 && name != group {
                queues.found(queue, &group, count, instant);
                count = 0;
            }
            if count == 0 {
                name.clone_into(&mut group);
            }
            if !clean && count < LEASE_MAX as u64 {
                suspects.push(row.get::<_, i64>(1)?);
            }
            count += 1;
        }
        if count > 0 {
            queues.found(queue, &group, count, instant);
        }
    }
    {
        let mut flag =
            transaction.prepare("UPDATE jobs SET maybe = 1 WHERE id = ?1 AND maybe = 0 AND ready_at <= ?2")?;
        suspects.sort_unstable();
        for id in suspects {
            flag.execute(params![id, now])?;
        }
    }
    let last: i64 = transaction.query_row("SELECT coalesce(max(id), 0) FROM jobs", [], |row| row.get(0))?;
    transaction.commit()?;
    queues.published(last);
    Ok(Found { queues, next_id: last + 1 })
}
