//! The part of the store's contract that is about queues.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sameroom_engine::ports::{Again, Commit, NewJob, QueueName, Store, Tally, When};

use super::store::{Subject, Talk, again, count, job, once, put, text, texts};

const NOW: Duration = Duration::ZERO;

/// A job comes as it was sent.
pub async fn jobs_come_whole(store: impl Subject) {
    let before = store.now();
    let sent =
        NewJob { attempts: 3, maybe: true, body: (0..=255).cycle().take(20_000).collect(), ..job("a\0b '%", "") };
    store.sends([sent.clone(), job("empty", "")]).await;
    let batch = store.leases(10).await;
    assert_eq!((batch.group.as_str(), batch.jobs.len()), ("a\0b '%", 1));
    assert_eq!(batch.jobs[0].body, sent.body);
    assert_eq!((batch.jobs[0].attempt, batch.jobs[0].maybe), (4, true));
    assert!(batch.jobs[0].accepted.duration_since(before).as_secs().abs() < 5);
    let batch = store.leases(10).await;
    assert_eq!((texts(&batch), batch.jobs[0].attempt, batch.jobs[0].maybe), (vec![String::new()], 1, false));
}

/// Jobs of a group come in the order in which they were accepted, across commits and within them.
pub async fn a_group_is_first_in_first_out(store: impl Subject) {
    store.sends([job("g", 1), job("g", 2)]).await;
    store.sends([job("g", 3)]).await;
    store.sends([job("g", 4), job("g", 5)]).await;
    let first = store.leases(2).await;
    assert_eq!(texts(&first), ["1", "2"]);
    store.is_done(first.jobs).await;
    store.sends([job("g", 6)]).await;
    assert_eq!(store.drains(4).await, ["3", "4", "5", "6"]);
    store.has_nothing().await;
}

/// While jobs of a group are leased, no others of it are; not even new ones.
pub async fn a_group_has_one_lease(store: impl Subject) {
    store.sends([job("g", 1), job("g", 2)]).await;
    let first = store.leases(1).await;
    store.has_nothing().await;
    store.sends([job("g", 3)]).await;
    store.has_nothing().await;
    store.is_done(first.jobs).await;
    assert_eq!(store.drains(2).await, ["2", "3"]);
}

/// A leased group holds nobody else up, and a lease has jobs of one group only.
pub async fn other_groups_flow(store: impl Subject) {
    store.sends([job("a", 1), job("b", 2), job("a", 3), job("c", 4)]).await;
    let batches = [store.leases(10).await, store.leases(10).await, store.leases(10).await];
    let groups: BTreeMap<&str, Vec<String>> = batches.iter().map(|b| (b.group.as_str(), texts(b))).collect();
    let wanted = [("a", vec!["1", "3"]), ("b", vec!["2"]), ("c", vec!["4"])];
    assert_eq!(groups, wanted.map(|(group, texts)| (group, texts.into_iter().map(str::to_owned).collect())).into());
    store.has_nothing().await;
}

/// A group stays leased until the last job of its batch is settled, by whichever commit.
pub async fn a_group_is_free_when_all_of_a_batch_is_settled(store: impl Subject) {
    store.sends([job("g", 1), job("g", 2), job("g", 3), job("g", 4)]).await;
    let mut jobs = store.leases(3).await.jobs.into_iter();
    store.is_done(jobs.next()).await;
    store.has_nothing().await;
    store.comes_again(jobs.next(), NOW).await;
    store.has_nothing().await;
    store.is_done(jobs.next()).await;
    assert_eq!(texts(&store.leases(10).await), ["2", "4"]);
}

/// Jobs that come again keep their order, before those behind them, however they are given back.
pub async fn what_comes_again_keeps_its_order(store: impl Subject) {
    store.sends((1..=5).map(|n| job("g", n))).await;
    let batch = store.leases(4).await;
    let mut jobs: Vec<_> = batch.jobs.into_iter().collect();
    let done = jobs.remove(1);
    jobs.reverse();
    let again = jobs.into_iter().map(|job| again(job.receipt, NOW)).collect();
    store.commits(Commit { again, done: vec![done.receipt], ..Commit::default() }).await;
    assert_eq!(texts(&store.leases(10).await), ["1", "3", "4", "5"]);
}

/// A job that comes again after a while holds its group back until then.
pub async fn again_waits_and_its_group_with_it(store: impl Subject) {
    store.sends([job("g", 1), job("g", 2), job("h", 3)]).await;
    let batch = store.leases(1).await;
    let wait = store.tick() * 3;
    store.comes_again(batch.jobs, wait).await;
    assert_eq!(store.drains(1).await, ["3"]);
    store.has_nothing().await;
    store.pass(wait).await;
    let batch = store.leases(1).await;
    assert_eq!((text(&batch.jobs[0]), batch.jobs[0].attempt), ("1".into(), 2));
    store.is_done(batch.jobs).await;
    assert_eq!(store.drains(1).await, ["2"]);
}

/// Attempts count if they are told to. That one may have had its effect is never forgotten.
pub async fn attempts_count_if_told_and_maybe_stays(store: impl Subject) {
    store.sends([job("g", "x")]).await;
    let steps = [(true, false), (false, false), (true, true), (true, false)];
    let mut seen = Vec::new();
    for (counts, maybe) in steps {
        let leased = store.leases(1).await.jobs.remove(0);
        seen.push((leased.attempt, leased.maybe));
        let again = vec![Again { receipt: leased.receipt, after: NOW, counts, maybe }];
        store.commits(Commit { again, ..Commit::default() }).await;
    }
    let last = store.leases(1).await.jobs.remove(0);
    seen.push((last.attempt, last.maybe));
    assert_eq!(seen, [(1, false), (2, false), (2, false), (3, true), (4, true)]);
}

/// The same group on two queues is two groups; so is the same dedup id.
pub async fn queues_are_apart(store: impl Subject) {
    let event = once("g", "event", "id");
    let delivery = NewJob { queue: QueueName::Outbox, body: b"delivery".into(), ..event.clone() };
    assert_eq!(store.sends([event, delivery]).await, [false, false]);
    assert_eq!(texts(&store.leases(10).await), ["event"]);
    assert_eq!(texts(&store.store().lease(QueueName::Outbox, 10).await.unwrap()), ["delivery"]);
}

/// The same dedup id is one job: while it waits, while it is leased, after it is done, and in another group.
pub async fn a_dedup_id_is_one_job(store: impl Subject) {
    store.sends_told([once("g", "first", "id")], &[false]).await;
    store.sends_told([once("g", "second", "id"), job("g", "other"), job("g", "other")], &[true, false, false]).await;
    let batch = store.leases(10).await;
    assert_eq!(texts(&batch), ["first", "other", "other"]);
    if !store.lacks().dedup_across_groups {
        store.sends_told([once("h", "third", "id")], &[true]).await;
    }
    store.is_done(batch.jobs).await;
    store.sends_told([once("g", "fourth", "id"), once("g", "new", "Id")], &[true, false]).await;
    assert_eq!(store.drains(1).await, ["new"]);
    if !store.lacks().told_duplicates {
        assert_eq!(count(&store, Tally::Accepted).await, 4);
    }
}

/// The same within one commit, and in commits that race each other.
pub async fn a_duplicate_within_a_commit_is_one_job(store: impl Subject) {
    store.sends_told([once("g", "1", "a"), once("g", "2", "a")], &[false, true]).await;
    assert_eq!(store.drains(1).await, ["1"]);
    let store = Arc::new(store);
    let racing: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.sends([once("g", "race", "b")]).await })
        })
        .collect();
    let mut first = 0;
    for sent in racing {
        first += usize::from(sent.await.unwrap() == [false]);
    }
    assert_eq!(first, if store.lacks().told_duplicates { 20 } else { 1 });
    assert_eq!(store.drains(1).await, ["race"]);
    store.has_nothing().await;
}

/// A commit that did nothing did not send: its dedup id is still free.
pub async fn a_conflict_does_not_burn_a_dedup_id(store: impl Subject) {
    let commit =
        |when| Commit { writes: vec![put("a", "x", when)], sends: vec![once("g", "x", "id")], ..Commit::default() };
    store.conflicts(commit(When::Version(1))).await;
    assert_eq!(store.commits(commit(When::Absent)).await, [false]);
}

/// A job with a delay waits, and those behind it with it.
pub async fn a_delay_holds_its_group_back(store: impl Subject) {
    let wait = store.tick() * 3;
    store.sends([NewJob { delay: wait, ..job("g", 1) }, job("g", 2), job("h", 3)]).await;
    assert_eq!(store.drains(1).await, ["3"]);
    store.has_nothing().await;
    store.pass(wait).await;
    assert_eq!(store.drains(2).await, ["1", "2"]);
}

/// A lease that waits gets what is sent, what is settled, and what becomes due.
pub async fn a_waiting_lease_wakes(store: impl Subject) {
    let store = Arc::new(store);
    let waiting = |store: &Arc<_>| {
        let store = Arc::clone(store);
        async fn lease<S: Subject>(store: Arc<S>) -> sameroom_engine::ports::Batch {
            store.leases(1).await
        }
        tokio::spawn(lease(store))
    };
    let lease = waiting(&store);
    store.has_nothing().await;
    store.sends([job("g", 1), job("g", 2)]).await;
    let first = lease.await.unwrap();
    assert_eq!(texts(&first), ["1"]);

    let lease = waiting(&store);
    store.has_nothing().await;
    store.is_done(first.jobs).await;
    let second = lease.await.unwrap();
    assert_eq!(texts(&second), ["2"]);

    let lease = waiting(&store);
    let wait = store.tick() * 2;
    store.comes_again(second.jobs, wait).await;
    store.pass(wait).await;
    assert_eq!(texts(&lease.await.unwrap()), ["2"]);
}

/// A commit that did nothing settled nothing: the job stays leased, and can be settled by a new commit.
pub async fn a_conflict_settles_nothing(store: impl Subject) {
    store.sends([job("g", 1), job("g", 2)]).await;
    let receipt = store.leases(1).await.jobs.remove(0).receipt;
    let same = sameroom_engine::ports::Receipt(receipt.0);
    let writes = vec![put("a", "x", When::Version(1))];
    store.conflicts(Commit { writes, done: vec![receipt], ..Commit::default() }).await;
    store.has_nothing().await;
    store.commits(Commit { done: vec![same], ..Commit::default() }).await;
    assert_eq!(store.drains(1).await, ["2"]);
}

/// A long backlog of one group does not keep others waiting.
pub async fn groups_take_turns(store: impl Subject) {
    store.sends((0..50).map(|n| job("long", n))).await;
    store.sends([job("short", "x")]).await;
    let mut groups = Vec::new();
    let turns = if store.lacks().turns { 30 } else { 3 };
    for _ in 0..turns {
        let batch = store.leases(1).await;
        groups.push(batch.group);
        // Turns are by time: let the store tell the instants apart.
        store.pass(Duration::from_millis(2)).await;
        store.is_done(batch.jobs).await;
    }
    if store.lacks().turns {
        assert!(groups.iter().any(|group| group == "short"), "{groups:?}");
    } else {
        assert_eq!(groups, ["long", "short", "long"]);
    }
}

/// The lag grows while a job could run and nobody leases it, and not otherwise.
pub async fn lag_is_the_wait_of_what_could_run(store: impl Subject) {
    let lag = || store.store().lag(QueueName::Events);
    assert_eq!(lag(), NOW);
    if store.lacks().lag {
        store.sends([job("g", 1)]).await;
        store.pass(store.tick()).await;
        assert_eq!(lag(), NOW);
        return;
    }
    let tick = store.tick();
    store.sends([NewJob { delay: tick, ..job("g", 1) }, job("g", 2)]).await;
    assert_eq!(lag(), NOW);
    store.pass(tick * 3).await;
    assert!(lag() >= tick && lag() < tick * 20, "{:?}", lag());
    assert_eq!(store.store().lag(QueueName::Outbox), NOW);
    let batch = store.leases(1).await;
    assert_eq!(lag(), NOW);
    store.is_done(batch.jobs).await;
    assert!(lag() < tick, "{:?}", lag());
}

/// Counts and waiting jobs agree at any time. See [`sameroom_engine::ports::Census`].
pub async fn the_census_keeps_the_law(store: impl Subject) {
    let law = || async {
        let census = store.store().census().await.unwrap();
        assert!(census.conserves(), "{census:?}");
    };
    law().await;
    store.sends([once("g", "1", "1"), once("g", "2", "2"), job("h", 3)]).await;
    if !store.lacks().told_duplicates {
        store.sends_told([once("g", "1", "1")], &[true]).await;
    }
    law().await;
    let mut batch = store.leases(10).await;
    law().await;
    let deliveries = (0..3).map(|n| NewJob { queue: QueueName::Outbox, ..job(&format!("lane{n}"), n) });
    let relayed = Commit {
        sends: deliveries.collect(),
        done: vec![batch.jobs.remove(0).receipt],
        tally: vec![(Tally::Relayed, 1), (Tally::Owed, 3)],
        ..Commit::default()
    };
    store.commits(relayed).await;
    law().await;
    let filtered =
        Commit { done: vec![batch.jobs.remove(0).receipt], tally: vec![(Tally::Filtered, 1)], ..Commit::default() };
    store.commits(filtered).await;
    law().await;
    for tally in [Tally::Delivered, Tally::Dead] {
        let job = store.store().lease(QueueName::Outbox, 1).await.unwrap().jobs.remove(0);
        store.commits(Commit { done: vec![job.receipt], tally: vec![(tally, 1)], ..Commit::default() }).await;
        law().await;
    }
    let census = store.store().census().await.unwrap();
    assert_eq!((census.waiting(QueueName::Events), census.waiting(QueueName::Outbox)), (1, 1));
    let counts = [Tally::Accepted, Tally::Relayed, Tally::Filtered, Tally::Owed, Tally::Delivered, Tally::Dead];
    assert_eq!(counts.map(|tally| census.count(tally)), [3, 1, 1, 3, 1, 1]);
}

/// Many jobs that wait come in order, with new ones arriving meanwhile.
pub async fn a_long_backlog_keeps_its_order(store: impl Subject) {
    const GROUPS: usize = 7;
    let waiting = store.many();
    let later = waiting / 5;
    let jobs = |range: std::ops::Range<usize>| range.map(|n| job(&format!("group{}", n % GROUPS), n));
    for from in (0..waiting).step_by(500) {
        store.sends(jobs(from..waiting.min(from + 500))).await;
    }
    assert_eq!(store.store().census().await.unwrap().waiting(QueueName::Events), waiting as i64);
    let (mut sent, mut done) = (waiting, 0);
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    while done < waiting + later {
        let batch = store.leases(40).await;
        for job in &batch.jobs {
            let n: usize = text(job).parse().unwrap();
            let wanted = last.get(&batch.group).map_or(n % GROUPS, |last| last + GROUPS);
            assert_eq!(n, wanted, "{}", batch.group);
            last.insert(batch.group.clone(), n);
        }
        done += batch.jobs.len();
        store.is_done(batch.jobs).await;
        if sent < waiting + later {
            let upto = (sent + 20).min(waiting + later);
            store.sends(jobs(sent..upto)).await;
            sent = upto;
        }
    }
    store.has_nothing().await;
}

/// What waits comes at once when it is hurried, in order, and no other group with it; also what was leased meanwhile. For
/// stores that can: see [`Store::hurry`].
pub async fn what_is_hurried_comes_at_once(store: impl Subject) {
    let long = Duration::from_secs(600);
    store.sends([NewJob { delay: long, ..job("a", 1) }, job("a", 2), NewJob { delay: long, ..job("b", 3) }]).await;
    store.has_nothing().await;
    store.store().hurry(QueueName::Outbox, &|_| true);
    store.has_nothing().await;
    store.store().hurry(QueueName::Events, &|group| group == "a");
    let batch = store.leases(10).await;
    assert_eq!((batch.group.as_str(), texts(&batch)), ("a", vec!["1".to_owned(), "2".to_owned()]));
    // It is tried in vain, and mended while that is under way.
    store.store().hurry(QueueName::Events, &|group| group == "a");
    store.comes_again(batch.jobs, long).await;
    let batch = store.leases(10).await;
    assert_eq!(texts(&batch), ["1", "2"]);
    // Once hurried is once: what fails anew waits again.
    store.comes_again(batch.jobs, long).await;
    store.has_nothing().await;
    store.store().hurry(QueueName::Events, &|_| true);
    let mut came = store.drains(3).await;
    came.sort();
    assert_eq!(came, ["1", "2", "3"]);
}

/// Many who send and many who lease, at once: every job comes, in order, by one lease of its group at a time.
pub async fn producers_and_consumers_lose_nothing(store: impl Subject) {
    const PRODUCERS: usize = 6;
    const EACH: usize = 150;
    let store = Arc::new(store);
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..EACH {
                    // Groups are shared by producers; order holds for each producer within a group.
                    let group = format!("group{}", n % 5);
                    let id = format!("{producer}-{n}");
                    store.sends([once(&group, &format!("{producer} {n}"), &id)]).await;
                }
            })
        })
        .collect();
    let open = Arc::new(Mutex::new(BTreeSet::new()));
    let came = Arc::new(Mutex::new(Vec::new()));
    let left = Arc::new(AtomicUsize::new(PRODUCERS * EACH));
    let consumers: Vec<_> = (0..4)
        .map(|consumer| {
            let (store, open, came, left) =
                (Arc::clone(&store), Arc::clone(&open), Arc::clone(&came), Arc::clone(&left));
            tokio::spawn(async move {
                while left.load(Ordering::SeqCst) > 0 {
                    let leasing = store.store();
                    let lease = leasing.lease(QueueName::Events, 1 + consumer * 3);
                    let Ok(batch) = tokio::time::timeout(Duration::from_millis(100), lease).await else { continue };
                    let mut batch = batch.unwrap();
                    assert!(open.lock().unwrap().insert(batch.group.clone()), "{} is leased twice", batch.group);
                    // Every fifth batch keeps its first job only; the rest comes again.
                    let rest = if batch.jobs[0].attempt % 5 == 1 { batch.jobs.split_off(1) } else { Vec::new() };
                    came.lock().unwrap().extend(batch.jobs.iter().map(|job| (batch.group.clone(), text(job))));
                    let count = batch.jobs.len();
                    assert!(open.lock().unwrap().remove(&batch.group));
                    let done = batch.jobs.into_iter().map(|job| job.receipt).collect();
                    let again = rest.into_iter().map(|job| again(job.receipt, NOW)).collect();
                    store.commits(Commit { done, again, ..Commit::default() }).await;
                    left.fetch_sub(count, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for task in producers.into_iter().chain(consumers) {
        task.await.unwrap();
    }
    let came = std::mem::take(&mut *came.lock().unwrap());
    assert_eq!(came.len(), PRODUCERS * EACH);
    let mut last: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    for (group, text) in &came {
        let (producer, n) = text.split_once(' ').unwrap();
        let (producer, n): (usize, usize) = (producer.parse().unwrap(), n.parse().unwrap());
        assert!(last.insert((group, producer), n).is_none_or(|before| before < n), "{group}: {text} came late");
    }
    let census = store.store().census().await.unwrap();
    assert_eq!(census.waiting(QueueName::Events), 0);
}
