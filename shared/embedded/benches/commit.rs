//! Commits a second and CPU a commit of the SQLite store: a commit that inserts a job, and one that settles a job and
//! puts two rows, by 1, 16 and 256 callers, durable and not. `cargo bench -p sameroom-embedded`. The CPU is that of the
//! whole process: runtime, writer and checkpoints.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a bench prints, and may panic")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sameroom_embedded::{Sqlite, SqliteOptions};
use sameroom_engine::ports::{Commit, Key, NewJob, QueueName, Store, Tally, When, Write};

const BODY: usize = 600;
const GROUPS: u64 = 64;

#[tokio::main]
async fn main() {
    let folder = std::env::var_os("BENCH_FOLDER").map_or_else(std::env::temp_dir, PathBuf::from);
    println!("{:<8} {:>7} {:<24} {:>10} {:>12} {:>10}", "", "callers", "commit", "commits/s", "CPU us each", "db MiB");
    for durable in [true, false] {
        for callers in callers() {
            let count = if durable && callers == 1 { 2_000 } else { 60_000 };
            let folder = tempfile::tempdir_in(&folder).unwrap();
            let store = Sqlite::open(folder.path(), SqliteOptions { durable, ..SqliteOptions::default() }).unwrap();
            let line = |what: &str, took: (Duration, Duration)| {
                let size = std::fs::metadata(folder.path().join("sameroom.db")).unwrap().len() >> 20;
                println!(
                    "{:<8} {callers:>7} {what:<24} {:>10.0} {:>12.1} {size:>10}",
                    if durable { "durable" } else { "not" },
                    count as f64 / took.0.as_secs_f64(),
                    took.1.as_secs_f64() * 1e6 / count as f64,
                );
            };
            line("insert a job", measure(&store, callers, count, insert).await);
            line("settle it, put 2 rows", measure(&store, callers, count, settle).await);
            line("get a row", measure(&store, callers, count, get).await);
            store.close().await.unwrap();
        }
    }
}

/// Wall and CPU time of `count` operations by so many callers.
async fn measure<F: Future<Output = ()> + Send>(
    store: &Arc<Sqlite>,
    callers: usize,
    count: u64,
    operation: impl Fn(Arc<Sqlite>, u64) -> F + Copy + Send + Sync + 'static,
) -> (Duration, Duration) {
    let next = Arc::new(AtomicU64::new(0));
    let (began, cpu) = (Instant::now(), cpu());
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (store, next) = (Arc::clone(store), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    operation(Arc::clone(&store), n).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    (began.elapsed(), self::cpu().saturating_sub(cpu))
}

async fn insert(store: Arc<Sqlite>, n: u64) {
    let job = NewJob {
        queue: QueueName::Events,
        group: format!("account-{}/room-{}", n % 4, n % GROUPS),
        dedup: Some(format!("account/event-{n}")),
        body: vec![b'x'; BODY],
        attempts: 0,
        maybe: false,
        delay: Duration::ZERO,
    };
    store.commit(Commit { sends: vec![job], ..Commit::default() }).await.unwrap();
}

async fn settle(store: Arc<Sqlite>, n: u64) {
    let batch = store.lease(QueueName::Events, 1).await.unwrap();
    let put = |side: &str| Write::Put {
        key: Key { partition: format!("copies/account/room-{}", n % GROUPS), sort: format!("{side}/{n:012}") },
        body: vec![b'y'; 120],
        expires: Some("2100-01-01T00:00:00Z".parse().unwrap()),
        when: When::Always,
    };
    let commit = Commit {
        writes: vec![put("from"), put("to")],
        done: batch.jobs.into_iter().map(|job| job.receipt).collect(),
        tally: vec![(Tally::Relayed, 1), (Tally::Delivered, 1), (Tally::Owed, 1)],
        ..Commit::default()
    };
    store.commit(commit).await.unwrap();
}

async fn get(store: Arc<Sqlite>, n: u64) {
    let key = Key { partition: format!("copies/account/room-{}", n % GROUPS), sort: format!("from/{n:012}") };
    std::hint::black_box(store.get(&key).await.unwrap());
}

/// 1, 16 and 256, or the one that `BENCH_CALLERS` names.
fn callers() -> Vec<usize> {
    std::env::var("BENCH_CALLERS").map_or_else(|_| vec![1, 16, 256], |one| vec![one.parse().unwrap()])
}

/// User and system time of this process, in ticks of 10 ms: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
}
