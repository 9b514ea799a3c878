//! What the SQLite store promises beyond the contract: that it outlives the process, and that it says what is wrong.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sameroom_embedded::{OpenError, Sqlite, SqliteOptions, TestClock};
use sameroom_engine::ports::{
    Again, Batch, Clock, Commit, CommitError, Key, NewJob, QueueName, Receipt, Store, Unavailable, When, Write,
};
use tempfile::TempDir;
use tokio::time::timeout;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &TempDir) -> Arc<Sqlite> {
    Sqlite::open(folder.path(), SqliteOptions::default()).unwrap()
}

fn refused(folder: &Path) -> String {
    Sqlite::open(folder, SqliteOptions::default()).unwrap_err().to_string()
}

fn job(group: &str, body: &str) -> NewJob {
    NewJob {
        queue: QueueName::Events,
        group: group.into(),
        dedup: Some(format!("{group}/{body}")),
        body: body.into(),
        attempts: 0,
        maybe: false,
        delay: Duration::ZERO,
    }
}

fn key(sort: &str) -> Key {
    Key { partition: "p".into(), sort: sort.into() }
}

fn put(sort: &str, body: Vec<u8>) -> Write {
    Write::Put { key: key(sort), body, expires: None, when: When::Always }
}

async fn sends(store: &Sqlite, jobs: Vec<NewJob>) -> Vec<bool> {
    store.commit(Commit { sends: jobs, ..Commit::default() }).await.unwrap().duplicates
}

async fn writes(store: &Sqlite, write: Write) -> Result<(), CommitError> {
    store.commit(Commit { writes: vec![write], ..Commit::default() }).await.map(|_| ())
}

async fn leases(store: &Sqlite, max: usize) -> Batch {
    timeout(Duration::from_secs(10), store.lease(QueueName::Events, max)).await.unwrap().unwrap()
}

async fn done(store: &Sqlite, batch: Batch) {
    let done = batch.jobs.into_iter().map(|job| job.receipt).collect();
    store.commit(Commit { done, ..Commit::default() }).await.unwrap();
}

fn seen(batch: &Batch) -> Vec<(&str, u32, bool)> {
    let text = |body| std::str::from_utf8(body).unwrap();
    batch.jobs.iter().map(|job| (text(&job.body), job.attempt, job.maybe)).collect()
}

#[tokio::test]
async fn f3_what_was_committed_is_there_after_an_end_without_close() {
    let folder = folder();
    let store = open(&folder);
    writes(&store, put("a", b"x".into())).await.unwrap();
    sends(&store, vec![job("g", "1"), job("g", "2"), job("h", "3")]).await;
    let first = leases(&store, 1).await;
    assert_eq!(seen(&first), [("1", 1, false)]);
    drop(store);

    let store = open(&folder);
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().body, b"x");
    assert_eq!(seen(&leases(&store, 10).await), [("1", 1, true), ("2", 1, true)]);
    assert_eq!(seen(&leases(&store, 10).await), [("3", 1, true)]);
}

#[tokio::test]
async fn f3_only_the_first_jobs_of_a_group_may_have_been_leased() {
    let folder = folder();
    let store = open(&folder);
    sends(&store, (0..70).map(|n| job("g", &n.to_string())).collect()).await;
    let delayed = NewJob { delay: Duration::from_millis(500), ..job("h", "x") };
    sends(&store, vec![delayed]).await;
    drop(store);
    let store = open(&folder);
    let mut flags = Vec::new();
    while flags.len() < 70 {
        let batch = leases(&store, 64).await;
        flags.extend(batch.jobs.iter().map(|job| job.maybe));
        done(&store, batch).await;
    }
    assert_eq!(flags, [vec![true; 64], vec![false; 6]].concat());
    assert_eq!(seen(&leases(&store, 10).await), [("x", 1, false)]);
}

#[tokio::test]
async fn after_a_close_only_open_leases_are_in_doubt() {
    let folder = folder();
    let store = open(&folder);
    sends(&store, vec![job("g", "1"), job("g", "2"), job("h", "3")]).await;
    let open_lease = leases(&store, 1).await;
    store.close().await.unwrap();
    drop(open_lease);
    assert!(!folder.path().join("sameroom.db-wal").exists());

    let store = open(&folder);
    assert_eq!(seen(&leases(&store, 10).await), [("1", 1, true), ("2", 1, false)]);
    assert_eq!(seen(&leases(&store, 10).await), [("3", 1, false)]);
}

#[tokio::test]
async fn a_closed_store_is_unavailable_and_lets_go_of_its_folder() {
    let folder = folder();
    let store = open(&folder);
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.lease(QueueName::Events, 1).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    let why = waiting.await.unwrap().unwrap_err();
    assert_eq!(why, Unavailable::new("the store is closed: Sameroom is shutting down"));
    assert!(matches!(writes(&store, put("a", vec![])).await, Err(CommitError::Unavailable(_))));
    open(&folder);
}

#[tokio::test]
async fn attempts_delays_and_duplicates_outlive_the_process() {
    let folder = folder();
    let store = open(&folder);
    sends(&store, vec![job("g", "1")]).await;
    let receipt = leases(&store, 1).await.jobs.remove(0).receipt;
    let again = Again { receipt, after: Duration::from_millis(400), counts: true, maybe: true };
    store.commit(Commit { again: vec![again], ..Commit::default() }).await.unwrap();
    drop(store);

    let store = open(&folder);
    assert_eq!(sends(&store, vec![job("g", "1")]).await, [true]);
    assert!(timeout(Duration::from_millis(100), store.lease(QueueName::Events, 1)).await.is_err());
    assert_eq!(seen(&leases(&store, 1).await), [("1", 2, true)]);
}

#[tokio::test]
async fn f11_a_duplicate_is_one_within_the_window_and_sent_after_it() {
    let (folder, clock) = (folder(), TestClock::default());
    let options = SqliteOptions { clock: Arc::new(clock.clone()), ..SqliteOptions::default() };
    let store = Sqlite::open(folder.path(), options).unwrap();
    assert_eq!(sends(&store, vec![job("g", "1")]).await, [false]);
    clock.advance(Duration::from_mins(59));
    assert_eq!(sends(&store, vec![job("g", "1")]).await, [true]);
    clock.advance(Duration::from_mins(2));
    assert_eq!(sends(&store, vec![job("g", "1"), job("g", "1")]).await, [false, true]);
}

#[tokio::test]
async fn f46_a_clock_that_jumps_back_stalls_nothing() {
    let (folder, clock) = (folder(), TestClock::default());
    let options = SqliteOptions { clock: Arc::new(clock.clone()), ..SqliteOptions::default() };
    let store = Sqlite::open(folder.path(), options.clone()).unwrap();
    let delay = Duration::from_millis(200);
    sends(&store, vec![NewJob { delay, ..job("g", "1") }]).await;
    clock.set("2020-01-01T00:00:00Z".parse().unwrap());
    let batch = leases(&store, 1).await;
    let again = Again { receipt: Receipt(batch.jobs[0].receipt.0), after: delay, counts: true, maybe: false };
    store.commit(Commit { again: vec![again], ..Commit::default() }).await.unwrap();
    clock.set("2010-01-01T00:00:00Z".parse().unwrap());
    drop(store);
    let store = Sqlite::open(folder.path(), options).unwrap();
    assert_eq!(seen(&leases(&store, 1).await)[0].1, 2);
}

#[tokio::test]
async fn expired_rows_and_ids_are_forgotten() {
    let (folder, clock) = (folder(), TestClock::default());
    let options = SqliteOptions { clock: Arc::new(clock.clone()), ..SqliteOptions::default() };
    let store = Sqlite::open(folder.path(), options).unwrap();
    for n in 0..500 {
        let expires = (n % 10 > 0).then(|| clock.now() + Duration::from_mins(1));
        let write = Write::Put { key: key(&format!("{n:03}")), body: vec![7; 100], expires, when: When::Always };
        let commit = Commit { writes: vec![write], sends: vec![job("g", &n.to_string())], ..Commit::default() };
        store.commit(commit).await.unwrap();
    }
    clock.advance(Duration::from_hours(2));
    let reader = rusqlite::Connection::open(folder.path().join("sameroom.db")).unwrap();
    let count = |table: &str| -> i64 {
        reader.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    timeout(Duration::from_secs(10), async {
        while (count("rows"), count("seen")) != (50, 0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(store.query("p", "", None, 100).await.unwrap().len(), 50);
}

#[tokio::test]
async fn two_processes_cannot_have_one_folder() {
    let folder = folder();
    let store = open(&folder);
    let why = refused(folder.path());
    let wanted = format!("is in use by another sameroom (process {}): stop that one first", std::process::id());
    assert!(why.contains(&wanted), "{why}");
    drop(store);
    open(&folder);
}

#[tokio::test]
async fn f9_a_full_disk_does_nothing_by_halves_and_goes_on_when_there_is_room() {
    let folder = folder();
    let options = SqliteOptions { max_size: Some(200 * 1024), ..SqliteOptions::default() };
    let store = Sqlite::open(folder.path(), options).unwrap();
    sends(&store, vec![job("g", "waiting")]).await;
    let mut written = 0;
    let why = loop {
        let commit = Commit {
            writes: vec![put(&format!("{written:04}"), vec![1; 10_000])],
            sends: vec![job("h", &written.to_string())],
            ..Commit::default()
        };
        match store.commit(commit).await {
            Ok(_) => written += 1,
            Err(CommitError::Unavailable(why)) => break why,
            Err(CommitError::Conflict) => panic!("there was no condition"),
        }
    };
    assert!(why.full && why.why.contains("there is no room left to write") && why.why.contains("sameroom.db"), "{why}");
    assert!(written > 5, "{written}");
    assert_eq!(store.query("p", "", None, 1000).await.unwrap().len(), written);
    let census = store.census().await.unwrap();
    assert_eq!(census.waiting(QueueName::Events), 1 + written as i64);
    assert!(census.conserves(), "{census:?}");
    assert_eq!(seen(&leases(&store, 1).await)[0].0, "waiting");

    let gone = Write::Delete { key: key("0000"), when: When::Always };
    writes(&store, gone).await.unwrap();
    writes(&store, put("small", vec![1; 5_000])).await.unwrap();
    assert_eq!(sends(&store, vec![job("h", &written.to_string())]).await, [false]);
    assert_eq!(store.check().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn f8_a_failed_fsync_is_the_end() {
    let folder = folder();
    let store = open(&folder);
    sends(&store, vec![job("g", "1")]).await;
    assert!(timeout(Duration::from_millis(20), store.failed()).await.is_err());
    store.sabotage();
    let Err(CommitError::Unavailable(why)) = writes(&store, put("a", b"x".into())).await else { panic!("it held") };
    assert!(!why.full && why.why.contains("check the disk, then start again"), "{why}");
    assert_eq!(timeout(Duration::from_secs(1), store.failed()).await.unwrap(), why);
    let Err(CommitError::Unavailable(again)) = writes(&store, put("a", b"x".into())).await else { panic!("it held") };
    assert_eq!(again, why);
    assert_eq!(store.lease(QueueName::Events, 1).await.unwrap_err(), why);
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    assert!(store.close().await.is_err());
    drop(store);
    assert_eq!(seen(&leases(&open(&folder), 1).await), [("1", 1, true)]);
}

#[tokio::test]
async fn a_receipt_settles_once() {
    let folder = folder();
    let store = open(&folder);
    sends(&store, vec![job("g", "1")]).await;
    let receipt = leases(&store, 1).await.jobs.remove(0).receipt;
    let twice = Commit { done: vec![Receipt(receipt.0), Receipt(receipt.0)], ..Commit::default() };
    assert!(matches!(store.commit(twice).await, Err(CommitError::Unavailable(_))));
    let stranger = Commit { done: vec![Receipt(999)], writes: vec![put("a", vec![])], ..Commit::default() };
    assert!(matches!(store.commit(stranger).await, Err(CommitError::Unavailable(_))));
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    store.commit(Commit { done: vec![receipt], ..Commit::default() }).await.unwrap();
    assert_eq!(store.census().await.unwrap().waiting(QueueName::Events), 0);
}

#[tokio::test]
async fn a_backup_is_a_store_and_overwrites_nothing() {
    let (folder, other) = (folder(), folder());
    let store = open(&folder);
    writes(&store, put("a", b"x".into())).await.unwrap();
    sends(&store, vec![job("g", "1")]).await;
    let target = other.path().join("sameroom.db");
    store.backup(&target).await.unwrap();
    assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    let why = store.backup(&target).await.unwrap_err().why;
    assert!(why.ends_with("exists already: name a file that does not"), "{why}");
    let copy = open(&other);
    assert_eq!(copy.get(&key("a")).await.unwrap().unwrap().body, b"x");
    assert_eq!(seen(&leases(&copy, 1).await), [("1", 1, true)]);
    assert_eq!(sends(&copy, vec![job("g", "1")]).await, [true]);
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let folder = folder();
    let data = folder.path().join("made/here");
    let store = Sqlite::open(&data, SqliteOptions::default()).unwrap();
    writes(&store, put("a", b"x".into())).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in std::fs::read_dir(&data).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let why = refused(&file.join("data"));
    assert!(
        why.contains("can't be used") && why.ends_with("choose another data folder, or mend its permissions"),
        "{why}"
    );

    let path = folder.path().join("sameroom.db");
    std::fs::write(&path, "This is a text, and a long one. ".repeat(500)).unwrap();
    assert!(
        refused(folder.path()).ends_with("is not a Sameroom database: move it away, or choose another data folder")
    );

    std::fs::remove_file(&path).unwrap();
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(refused(folder.path()).contains("is not a Sameroom database"));
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = folder();
    open(&folder).close().await.unwrap();
    let database = rusqlite::Connection::open(folder.path().join("sameroom.db")).unwrap();
    database.execute("UPDATE meta SET value = 2 WHERE name = 'format'", []).unwrap();
    drop(database);
    let error = Sqlite::open(folder.path(), SqliteOptions::default()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("was written by a newer Sameroom (format 2, this one knows 1)"));
}

#[tokio::test]
async fn damage_is_found_by_the_check() {
    let folder = folder();
    let store = open(&folder);
    for n in 0..200 {
        writes(&store, put(&format!("{n:03}"), vec![b'x'; 500])).await.unwrap();
    }
    assert_eq!(store.check().await.unwrap(), [""; 0]);
    store.close().await.unwrap();
    let path = folder.path().join("sameroom.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let page = bytes.len() / 4096 - 3;
    bytes[page * 4096..page * 4096 + 2048].fill(0xee);
    std::fs::write(&path, bytes).unwrap();
    match Sqlite::open(folder.path(), SqliteOptions::default()) {
        Ok(store) => {
            let found = store.check().await;
            assert!(found.as_ref().is_err() || !found.as_ref().unwrap().is_empty(), "{found:?}");
        }
        Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_at_once_share_their_fsyncs_and_the_log_stays_short() {
    let folder = folder();
    let store = open(&folder);
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..100 {
                    let commit = Commit {
                        writes: vec![put(&format!("{caller}/{n}"), vec![0; 3000])],
                        sends: vec![job(&caller.to_string(), &n.to_string())],
                        ..Commit::default()
                    };
                    store.commit(commit).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let log = std::fs::metadata(folder.path().join("sameroom.db-wal")).unwrap().len();
    assert!(log < 40 << 20, "{log}");
    assert_eq!(store.census().await.unwrap().waiting(QueueName::Events), 6400);
    assert_eq!(store.check().await.unwrap(), [""; 0]);
}
