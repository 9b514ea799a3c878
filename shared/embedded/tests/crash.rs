//! The process dies in the midst of a commit; a second life of it looks at what is there. f1, f2, f6.
#![allow(clippy::unwrap_used, reason = "a test")]
#![cfg(debug_assertions)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sameroom_embedded::{Sqlite, SqliteOptions};
use sameroom_engine::ports::{Commit, Key, NewJob, QueueName, Store, Tally, When, Write};

/// Set for the first life: where its store is.
const FOLDER: &str = "SAMEROOM_CRASH_FOLDER";

fn commit(n: u32) -> Commit {
    let key = Key { partition: "p".into(), sort: n.to_string() };
    let job = NewJob {
        queue: QueueName::Events,
        group: "g".into(),
        dedup: Some(n.to_string()),
        body: n.to_string().into_bytes(),
        attempts: 0,
        maybe: false,
        delay: Duration::ZERO,
    };
    Commit {
        writes: vec![Write::Put { key, body: vec![1; 5000], expires: None, when: When::Absent }],
        sends: vec![job],
        tally: vec![(Tally::Ambiguous, 1)],
        ..Commit::default()
    }
}

fn open(folder: &Path) -> Arc<Sqlite> {
    Sqlite::open(folder, SqliteOptions::default()).unwrap()
}

/// The first life: commits until it dies, and says what was answered.
#[tokio::test]
async fn first_life() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder));
    for n in 0..100 {
        store.commit(commit(n)).await.unwrap();
        std::fs::write(Path::new(&folder).join("answered"), n.to_string()).unwrap();
    }
}

/// Lives, dies at the tenth commit, and says how many were answered and how many are there, rows and jobs alike.
async fn dies_at(failpoint: &str) -> (u32, usize) {
    let folder = tempfile::tempdir().unwrap();
    let first = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "first_life", "--nocapture"])
        .env(FOLDER, folder.path())
        .env("SAMEROOM_FAILPOINT", format!("{failpoint}:10"))
        .output()
        .unwrap();
    assert!(!first.status.success(), "it did not die");
    let answered: u32 = std::fs::read_to_string(folder.path().join("answered")).unwrap().parse().unwrap();

    let store = open(folder.path());
    let rows = store.query("p", "", None, 1000).await.unwrap();
    let census = store.census().await.unwrap();
    assert_eq!(census.waiting(QueueName::Events) as usize, rows.len());
    assert_eq!(census.count(Tally::Ambiguous) as usize, rows.len());
    assert!(census.conserves(), "{census:?}");
    assert_eq!(store.check().await.unwrap(), [""; 0]);
    // The platform tries again what was not answered: it is one job, whether or not it had been written.
    let retried = commit(answered + 1).sends;
    let duplicate = store.commit(Commit { sends: retried, ..Commit::default() }).await.unwrap().duplicates[0];
    assert_eq!(duplicate, rows.len() as u32 > answered + 1);
    assert_eq!(store.lease(QueueName::Events, 64).await.unwrap().jobs.len() as u32, answered + 2);
    (answered + 1, rows.len())
}

#[tokio::test]
async fn f1_died_before_the_commit() {
    assert_eq!(dies_at("pre_commit").await, (9, 9));
}

#[tokio::test]
async fn f6_died_in_the_midst_of_the_commit() {
    assert_eq!(dies_at("mid_commit").await, (9, 9));
}

#[tokio::test]
async fn f2_died_after_the_commit_before_the_answer() {
    assert_eq!(dies_at("post_commit").await, (9, 10));
}
