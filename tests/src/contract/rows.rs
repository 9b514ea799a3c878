//! The part of the store's contract that is about rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use sameroom_engine::ports::{Commit, CommitError, Key, QueueName, Store, Tally, When, Write};

use super::store::{Subject, Talk, count, delete, job, key, put};

/// A row is there after its write, and gone after its deletion; deleting what is not there is no error.
pub async fn a_row_is_written_read_and_deleted(store: impl Subject) {
    assert_eq!(store.text("a").await, "");
    store.writes(put("a", "one", When::Always)).await;
    assert_eq!(store.text("a").await, "one");
    store.writes(put("a", "", When::Always)).await;
    assert_eq!(store.row("a").await.unwrap().body, b"");
    store.writes(delete("a", When::Always)).await;
    store.writes(delete("a", When::Always)).await;
    assert_eq!(store.row("a").await, None);
}

/// Every write of a row gives it another version, and a condition on one of before fails.
pub async fn versions_tell_writes_apart(store: impl Subject) {
    let mut had = BTreeSet::new();
    for _ in 1..=3 {
        store.writes(put("a", "x", When::Always)).await;
        let version = store.row("a").await.unwrap().version;
        for before in &had {
            store.conflicts(Commit { writes: vec![put("a", "y", When::Version(*before))], ..Commit::default() }).await;
        }
        assert!(had.insert(version), "{version} came again");
    }
    let version = store.row("a").await.unwrap().version;
    store.writes(put("a", "x", When::Version(version))).await;
    let version = store.row("a").await.unwrap().version;
    assert!(!had.contains(&version));
    store.writes(delete("a", When::Version(version))).await;
    store.writes(put("a", "x", When::Absent)).await;
}

/// If one condition of a commit fails, none of its writes happen, wherever it stands among them.
pub async fn conditions_hold_or_nothing_happens(store: impl Subject) {
    store.writes(put("a", "one", When::Always)).await;
    let version = store.row("a").await.unwrap().version;
    let failing = [
        put("a", "two", When::Absent),
        put("a", "two", When::Version(version + 1)),
        put("gone", "two", When::Version(1)),
        delete("a", When::Version(7)),
        delete("gone", When::Version(1)),
    ];
    for write in failing {
        let first = vec![write.clone(), put("b", "two", When::Always)];
        store.conflicts(Commit { writes: first, ..Commit::default() }).await;
        let last = vec![put("b", "two", When::Always), write];
        store.conflicts(Commit { writes: last, ..Commit::default() }).await;
    }
    assert_eq!(
        (store.text("a").await, store.text("b").await, store.text("gone").await),
        ("one".into(), String::new(), String::new())
    );
    assert_eq!(store.row("a").await.unwrap().version, version);
}

/// A failed condition undoes the rest of the commit too: sends and counts.
pub async fn a_failed_condition_undoes_sends_and_tallies(store: impl Subject) {
    let commit = |when| Commit {
        writes: vec![put("a", "x", when)],
        sends: vec![job("g", "sent")],
        tally: vec![(Tally::Owed, 2), (Tally::Delivered, 1)],
        ..Commit::default()
    };
    store.conflicts(commit(When::Version(1))).await;
    store.has_nothing().await;
    assert_eq!((count(&store, Tally::Owed).await, count(&store, Tally::Accepted).await), (0, 0));
    store.commits(commit(When::Absent)).await;
    assert_eq!(store.drains(1).await, ["sent"]);
    assert_eq!((count(&store, Tally::Owed).await, count(&store, Tally::Accepted).await), (2, 1));
}

/// A row that has expired is absent: to reads and to conditions.
pub async fn expired_rows_are_absent(store: impl Subject) {
    let expires = Some(store.now() + store.tick());
    let write = |when| Write::Put { key: key("a"), body: b"x".into(), expires, when };
    store.writes(write(When::Absent)).await;
    let version = store.row("a").await.unwrap().version;
    store.writes(write(When::Version(version))).await;
    let version = store.row("a").await.unwrap().version;
    store.pass(store.tick()).await;
    assert_eq!(store.row("a").await, None);
    store.conflicts(Commit { writes: vec![put("a", "y", When::Version(version))], ..Commit::default() }).await;
    store.writes(put("a", "y", When::Absent)).await;
    assert_eq!(store.text("a").await, "y");
}

/// A query gives the rows of one partition that begin with the prefix, ordered by bytes.
pub async fn a_query_goes_by_prefix_in_order_of_bytes(store: impl Subject) {
    for sort in ["b/2", "b/10", "b", "b/", "b0", "a/1", "b/é", "b/Z", "b/a", "c"] {
        store.writes(put(sort, "x", When::Always)).await;
    }
    let elsewhere = Key { partition: "p2".into(), sort: "b/3".into() };
    store.writes(Write::Put { key: elsewhere, body: vec![], expires: None, when: When::Always }).await;
    assert_eq!(store.sorts("b/", None, 100).await, ["b/", "b/10", "b/2", "b/Z", "b/a", "b/é"]);
    assert_eq!(store.sorts("", None, 100).await.len(), 10);
    assert_eq!(store.sorts("d", None, 100).await, [""; 0]);
}

/// `after` is left out itself, need not be there, and may lie before or behind the prefix.
pub async fn a_query_starts_after_and_stops_at_its_limit(store: impl Subject) {
    for sort in ["a/1", "b/1", "b/2", "b/3", "c/1"] {
        store.writes(put(sort, "x", When::Always)).await;
    }
    assert_eq!(store.sorts("b/", None, 2).await, ["b/1", "b/2"]);
    assert_eq!(store.sorts("b/", Some("b/2"), 2).await, ["b/3"]);
    assert_eq!(store.sorts("b/", Some("b/11"), 1).await, ["b/2"]);
    assert_eq!(store.sorts("b/", Some("a/9"), 9).await, ["b/1", "b/2", "b/3"]);
    assert_eq!(store.sorts("b/", Some("b0"), 9).await, [""; 0]);
    assert_eq!(store.sorts("b/", Some("b/3"), 9).await, [""; 0]);
    assert_eq!(store.sorts("b/", None, 0).await, [""; 0]);
}

/// A query's limit counts what it gives, not what has expired.
pub async fn a_query_leaves_expired_rows_out(store: impl Subject) {
    for sort in ["1", "2", "3", "4"] {
        let expires = (sort < "3").then(|| store.now() + store.tick());
        store.writes(Write::Put { key: key(sort), body: vec![], expires, when: When::Always }).await;
    }
    assert_eq!(store.sorts("", None, 2).await, ["1", "2"]);
    store.pass(store.tick()).await;
    assert_eq!(store.sorts("", None, 2).await, ["3", "4"]);
}

/// Bytes that mean something elsewhere mean nothing in keys.
pub async fn odd_keys_stay_apart(store: impl Subject) {
    let odd =
        ["%", "_", "'", "\"", "a\0", "a\0b", "a", "A", "a ", " a", "é", "e\u{301}", "\u{10ffff}", "#", "/", "\\", "\n"];
    for partition in ["p", "p\0", "p%", "p'"] {
        for sort in odd {
            let key = Key { partition: partition.into(), sort: sort.into() };
            let body = format!("{partition}|{sort}").into_bytes();
            store.writes(Write::Put { key, body, expires: None, when: When::Absent }).await;
        }
    }
    for partition in ["p", "p\0", "p%", "p'"] {
        for sort in odd {
            let key = Key { partition: partition.into(), sort: sort.into() };
            let row = store.store().get(&key).await.unwrap().unwrap();
            assert_eq!(row.body, format!("{partition}|{sort}").as_bytes());
        }
        let rows = store.store().query(partition, "", None, 100).await.unwrap();
        let mut ordered = odd.to_vec();
        ordered.sort_unstable();
        assert_eq!(rows.iter().map(|(sort, _)| sort.as_str()).collect::<Vec<_>>(), ordered);
    }
    assert_eq!(store.sorts("a", None, 100).await, ["a", "a\0", "a\0b", "a "]);
    assert_eq!(store.sorts("\u{10ffff}", None, 100).await, ["\u{10ffff}"]);
}

/// Of many who write on the same condition at once, each version has one who wins; reads see the write that was
/// answered before them.
pub async fn one_of_many_writers_wins(store: impl Subject) {
    store.writes(put("n", "0", When::Absent)).await;
    let store = Arc::new(store);
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..10 {
                    loop {
                        let row = store.row("n").await.unwrap();
                        let n: u64 = String::from_utf8(row.body).unwrap().parse().unwrap();
                        let write = put("n", &(n + 1).to_string(), When::Version(row.version));
                        let commit = Commit { writes: vec![write], ..Commit::default() };
                        match store.store().commit(commit).await {
                            Ok(_) => {
                                assert_ne!(store.row("n").await.unwrap().version, row.version);
                                break;
                            }
                            Err(CommitError::Conflict) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.text("n").await, "80");
    assert_eq!(store.store().lag(QueueName::Events), std::time::Duration::ZERO);
}
