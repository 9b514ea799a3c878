//! Small partitions that were read whole, kept in memory: what every message looks up (a room, its Tubes, its lanes) is
//! then not read from the disk's format again. Nobody else writes to the database, so what is dropped after each commit
//! that touches it is never stale. It must not know what rows mean.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use sameroom_engine::ports::Row;

use super::lock;

/// Partitions are kept apart by their hash, so that readers seldom wait for each other.
const SHARDS: usize = 16;
/// How many partitions a shard keeps.
const PARTITIONS_MAX: usize = 256;
/// Larger partitions are not kept, by rows and by bytes.
const ROWS_MAX: usize = 64;
const BYTES_MAX: usize = 64 * 1024;

/// A row of a partition.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sort: String,
    pub(super) row: Row,
    /// In microseconds since 1970.
    pub(super) expires: Option<i64>,
}

/// When a read began, as the cache counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp(u64);

#[derive(Debug, Default)]
pub(super) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    commits: u64,
    partitions: HashMap<String, Arc<[Entry]>>,
}

impl Cache {
    /// The partition, or the stamp to keep it under once it is read.
    pub(super) fn get(&self, partition: &str) -> Result<Arc<[Entry]>, Stamp> {
        let shard = lock(self.shard(partition));
        shard.partitions.get(partition).cloned().ok_or(Stamp(shard.commits))
    }

    /// Keeps a partition, all of whose rows these are, unless something was written since the stamp.
    pub(super) fn put(&self, partition: &str, stamp: Stamp, rows: Vec<Entry>) -> Arc<[Entry]> {
        let bytes: usize = rows.iter().map(|entry| entry.sort.len() + entry.row.body.len()).sum();
        let small = rows.len() <= ROWS_MAX && bytes <= BYTES_MAX;
        let rows: Arc<[Entry]> = rows.into();
        let mut shard = lock(self.shard(partition));
        if small && shard.commits == stamp.0 {
            if shard.partitions.len() >= PARTITIONS_MAX {
                shard.partitions.clear();
            }
            shard.partitions.insert(partition.to_owned(), Arc::clone(&rows));
        }
        rows
    }

    /// Drops a partition that was written to.
    pub(super) fn drop(&self, partition: &str) {
        let mut shard = lock(self.shard(partition));
        shard.commits += 1;
        shard.partitions.remove(partition);
    }

    fn shard(&self, partition: &str) -> &Mutex<Shard> {
        let mut hasher = DefaultHasher::new();
        partition.hash(&mut hasher);
        &self.shards[hasher.finish() as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sort: &str) -> Entry {
        Entry { sort: sort.into(), row: Row { body: b"{}".to_vec(), version: 1 }, expires: None }
    }

    #[test]
    fn a_read_that_began_before_a_write_is_not_kept() {
        let cache = Cache::default();
        let stamp = cache.get("room/a").expect_err("nothing is kept yet");
        cache.drop("room/a");
        assert_eq!(cache.put("room/a", stamp, vec![entry("@")]).len(), 1, "the reader has what it read");
        let stamp = cache.get("room/a").expect_err("it was not kept");
        cache.put("room/a", stamp, vec![entry("@")]);
        assert_eq!(cache.get("room/a").expect("kept").len(), 1);
        cache.drop("room/a");
        assert!(cache.get("room/a").is_err());
    }

    #[test]
    fn what_is_large_is_not_kept() {
        let cache = Cache::default();
        let stamp = cache.get("room/a").expect_err("nothing is kept yet");
        cache.put("room/a", stamp, (0..=ROWS_MAX).map(|n| entry(&n.to_string())).collect());
        assert!(cache.get("room/a").is_err());
    }
}
