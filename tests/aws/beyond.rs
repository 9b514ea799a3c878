//! What the store on AWS promises beyond the contract: batches of Lambda's, rows that are longer than an item, leases that
//! are lost, secrets under KMS, and errors that name the cure.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::MessageSystemAttributeName as Attribute;
use bytes::Bytes;
use sameroom_aws::{Clients, KmsVault, Record, SystemClock, work};
use sameroom_engine::ports::{
    Again, Batch, Commit, CommitError, Key, NewJob, NoAnswer, QueueName, Receipt, Store, Tally, Unavailable, Vault,
    When, Wire, Write,
};
use sameroom_engine::{Config, Engine};
use sameroom_model::{Account, Delivery, Outcome, Sealed};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::stack::Stack;

const NOW: Duration = Duration::ZERO;

fn key(sort: &str) -> Key {
    Key { partition: "p".into(), sort: sort.into() }
}

fn put(sort: &str, body: Vec<u8>, when: When) -> Write {
    Write::Put { key: key(sort), body, expires: None, when }
}

fn job(group: &str, body: &str) -> NewJob {
    NewJob {
        queue: QueueName::Events,
        group: group.into(),
        dedup: None,
        body: body.into(),
        attempts: 0,
        maybe: false,
        delay: NOW,
    }
}

fn again(receipt: Receipt, counts: bool, maybe: bool) -> Again {
    Again { receipt, after: NOW, counts, maybe }
}

fn seen(batches: &[Batch]) -> Vec<(&str, &str, u32, bool)> {
    let jobs = batches.iter().flat_map(|batch| batch.jobs.iter().map(move |job| (batch, job)));
    jobs.map(|(batch, job)| (batch.group.as_str(), std::str::from_utf8(&job.body).unwrap(), job.attempt, job.maybe))
        .collect()
}

impl Stack {
    async fn commits(&self, commit: Commit) {
        self.store.commit(commit).await.unwrap();
    }

    async fn writes(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        self.store.commit(Commit { writes, ..Commit::default() }).await.map(drop)
    }

    async fn sends(&self, sends: Vec<NewJob>) {
        self.commits(Commit { sends, ..Commit::default() }).await;
    }

    /// What Lambda would call a function with: messages that stay hidden for so many seconds.
    pub(crate) async fn polls(&self, queue: &str, hidden: i32) -> Vec<Record> {
        let receive = self.clients.sqs().receive_message().queue_url(queue).max_number_of_messages(10);
        let receive = receive.visibility_timeout(hidden).message_system_attribute_names(Attribute::All);
        let messages = receive.wait_time_seconds(2).send().await.unwrap().messages.unwrap_or_default();
        let record = |message: aws_sdk_sqs::types::Message| {
            let attribute = |name| message.attributes.as_ref().unwrap()[&name].clone();
            Record {
                receive_count: attribute(Attribute::ApproximateReceiveCount).parse().unwrap(),
                sent_at_ms: attribute(Attribute::SentTimestamp).parse().unwrap(),
                group: attribute(Attribute::MessageGroupId),
                message_id: message.message_id.unwrap(),
                receipt_handle: message.receipt_handle.unwrap(),
                body: message.body.unwrap(),
            }
        };
        messages.into_iter().map(record).collect()
    }

    /// Deletes what the function did not report, as Lambda does.
    async fn reports(&self, queue: &str, records: &[Record], failed: &[String]) {
        for record in records.iter().filter(|record| !failed.contains(&record.message_id)) {
            let delete = self.clients.sqs().delete_message().queue_url(queue).receipt_handle(&record.receipt_handle);
            delete.send().await.unwrap();
        }
    }

    /// How many items there are in the partition of these tests, parts included.
    async fn items(&self) -> usize {
        let query = self.clients.dynamo().query().table_name(&self.settings.table).key_condition_expression("p = :p");
        let query = query.expression_attribute_values(":p", AttributeValue::S("=p".into())).projection_expression("s");
        query.send().await.unwrap().count as usize
    }
}

fn ids(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.message_id.clone()).collect()
}

#[tokio::test]
async fn a_batch_of_lambdas_reports_what_is_not_done() {
    let stack = Stack::new().await;
    let queue = stack.settings.events.clone();
    stack.sends(vec![job("a", "1"), job("a", "2"), job("b", "3"), job("a", "4")]).await;
    let records = stack.polls(&queue, 60).await;
    let batches = stack.store.intake(QueueName::Events, records.clone()).await;
    assert_eq!(
        seen(&batches),
        [("a", "1", 1, false), ("a", "2", 1, false), ("a", "4", 1, false), ("b", "3", 1, false)]
    );
    let [one, two, four, three] = [(0, 0), (0, 1), (0, 2), (1, 0)].map(|(batch, job)| batches[batch].jobs[job].receipt);
    stack.commits(Commit { done: vec![one], ..Commit::default() }).await;
    // The second failed; the third of the group was not begun, and the other group's is done.
    let back = vec![again(two, true, false), again(four, false, false)];
    stack.commits(Commit { again: back, done: vec![three], ..Commit::default() }).await;
    let failed = stack.store.unsettled(&ids(&records));
    stack.reports(&queue, &records, &failed).await;
    assert_eq!(failed.len(), 2);
    assert!(stack.store.commit(Commit { done: vec![four], ..Commit::default() }).await.is_err());

    // Another instance of the function.
    let other = stack.again().await;
    let records = other.polls(&queue, 60).await;
    assert_eq!(ids(&records), failed);
    let batches = other.store.intake(QueueName::Events, records.clone()).await;
    assert_eq!(seen(&batches), [("a", "2", 2, false), ("a", "4", 1, false)]);
    // It is out of time: nothing is settled, and both come again in doubt.
    assert_eq!(other.store.unsettled(&ids(&records)), failed);
    // What is not known is not done.
    assert_eq!(other.store.unsettled(&["unknown".to_owned()]), ["unknown"]);
}

#[tokio::test]
async fn a_lost_lease_is_an_attempt_that_may_have_had_its_effect() {
    let stack = Stack::new().await;
    let queue = stack.settings.events.clone();
    stack.sends(vec![NewJob { attempts: 2, ..job("a", "1") }]).await;
    let first = stack.polls(&queue, 1).await;
    let first = stack.store.intake(QueueName::Events, first).await;
    assert_eq!(seen(&first), [("a", "1", 3, false)]);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let records = stack.polls(&queue, 60).await;
    let second = stack.store.intake(QueueName::Events, records).await;
    assert_eq!(seen(&second), [("a", "1", 4, true)]);
    let back = vec![again(second[0].jobs[0].receipt, false, false)];
    stack.commits(Commit { again: back, ..Commit::default() }).await;
    let records = stack.polls(&queue, 60).await;
    assert_eq!(seen(&stack.store.intake(QueueName::Events, records).await), [("a", "1", 4, true)]);
}

#[tokio::test]
async fn what_comes_before_its_time_is_put_back_and_counts_nothing() {
    let stack = Stack::new().await;
    let queue = stack.settings.outbox.clone();
    let late = NewJob { queue: QueueName::Outbox, delay: Duration::from_secs(2), ..job("a", "1") };
    let behind = NewJob { queue: QueueName::Outbox, ..job("a", "2") };
    stack.sends(vec![late, behind, NewJob { queue: QueueName::Outbox, ..job("b", "3") }]).await;
    let records = stack.polls(&queue, 60).await;
    let batches = stack.store.intake(QueueName::Outbox, records.clone()).await;
    assert_eq!(seen(&batches), [("b", "3", 1, false)]);
    stack.commits(Commit { done: vec![batches[0].jobs[0].receipt], ..Commit::default() }).await;
    let failed = stack.store.unsettled(&ids(&records));
    let ids = ids(&records);
    assert_eq!(failed, [ids[0].clone(), ids[2].clone()]);
    stack.reports(&queue, &records, &failed).await;
    let began = Instant::now();
    let records = stack.polls(&queue, 60).await;
    assert!(began.elapsed() > Duration::from_millis(1000), "{:?}", began.elapsed());
    assert_eq!(
        seen(&stack.store.intake(QueueName::Outbox, records).await),
        [("a", "1", 1, false), ("a", "2", 1, false)]
    );
}

#[tokio::test]
async fn a_commit_done_twice_sends_once() {
    let stack = Stack::new().await;
    stack.sends(vec![job("a", "1")]).await;
    // The function dies after it sent, and before Lambda hears of it.
    for _ in 0..2 {
        let records = stack.polls(&stack.settings.events, 1).await;
        let batches = stack.store.intake(QueueName::Events, records).await;
        let sends = vec![NewJob { queue: QueueName::Outbox, ..job("lane", "delivery") }];
        stack.commits(Commit { sends, done: vec![batches[0].jobs[0].receipt], ..Commit::default() }).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    assert_eq!(stack.store.census().await.unwrap().waiting(QueueName::Outbox), 1);
}

#[tokio::test]
async fn what_was_received_and_not_leased_is_given_back_at_the_end() {
    let stack = Stack::new().await;
    stack.sends(vec![job("a", "1"), job("b", "2"), job("c", "3")]).await;
    let batch = stack.store.lease(QueueName::Events, 1).await.unwrap();
    assert_eq!(batch.group, "a");
    stack.store.close().await;
    let other = stack.again().await;
    let next = [
        other.store.lease(QueueName::Events, 1).await.unwrap(),
        other.store.lease(QueueName::Events, 1).await.unwrap(),
    ];
    assert_eq!(seen(&next), [("b", "2", 1, false), ("c", "3", 1, false)]);
    stack.commits(Commit { done: vec![batch.jobs[0].receipt], ..Commit::default() }).await;
}

#[tokio::test]
async fn a_job_that_takes_long_keeps_its_lease() {
    let mut stack = Stack::new().await;
    stack.settings.lease = Some(Duration::from_secs(3));
    let stack = stack.again().await;
    stack.sends(vec![job("a", "1"), job("a", "2")]).await;
    let batch = stack.store.lease(QueueName::Events, 10).await.unwrap();
    let other = stack.again().await;
    let early = tokio::time::timeout(Duration::from_secs(8), other.store.lease(QueueName::Events, 10)).await;
    assert!(early.is_err(), "{early:?}");
    let done = batch.jobs.iter().map(|job| job.receipt).collect();
    stack.commits(Commit { done, ..Commit::default() }).await;
    // It dies with a job under lease: nobody prolongs that.
    stack.sends(vec![job("b", "3")]).await;
    let batch = stack.store.lease(QueueName::Events, 10).await.unwrap();
    assert_eq!(batch.group, "b");
    drop(stack);
    let next = other.store.lease(QueueName::Events, 10).await.unwrap();
    // The dead process's last receive may still have got it once.
    assert!(next.jobs[0].attempt > 1 && next.jobs[0].maybe, "{next:?}");
}

#[tokio::test]
async fn a_process_that_may_not_work_on_lets_go_of_all_it_has() {
    let stack = Stack::new().await;
    stack.sends(vec![job("a", "1"), job("a", "2"), job("b", "3")]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let batch = stack.store.lease(QueueName::Events, 1).await.unwrap();
    assert_eq!(seen(&[batch]), [("a", "1", 1, false)]);
    stack.store.release(QueueName::Events).await.unwrap();
    let other = stack.again().await;
    let mut next = vec![other.store.lease(QueueName::Events, 10).await.unwrap()];
    next.push(other.store.lease(QueueName::Events, 10).await.unwrap());
    next.sort_by(|a, b| a.group.cmp(&b.group));
    assert_eq!(seen(&next), [("a", "1", 2, true), ("a", "2", 1, false), ("b", "3", 1, false)]);
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_kept() {
    let stack = Stack::new().await;
    stack.sends(vec![job("a", "1"), job("b", "2")]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let batch = stack.store.lease(QueueName::Events, 10).await.unwrap();
    stack.sends(vec![job("c", "3")]).await;
    let other = stack.again().await;
    let mut next = Vec::new();
    for _ in 0..2 {
        next.push(
            tokio::time::timeout(Duration::from_secs(40), other.store.lease(QueueName::Events, 10))
                .await
                .unwrap()
                .unwrap(),
        );
    }
    next.sort_by(|a, b| a.group.cmp(&b.group));
    assert_eq!(seen(&next), [("b", "2", 1, false), ("c", "3", 1, false)]);
    stack.commits(Commit { done: vec![batch.jobs[0].receipt], ..Commit::default() }).await;
}

#[tokio::test]
async fn rows_longer_than_an_item_lie_in_parts() {
    let stack = Stack::new().await;
    let long = |n: u8, length: usize| (0..length).map(|i| (i % 251) as u8 ^ n).collect::<Vec<u8>>();
    let body = |row: Option<sameroom_engine::ports::Row>| row.unwrap().body;
    stack.writes(vec![put("a", long(1, 1_000_000), When::Absent)]).await.unwrap();
    stack.writes(vec![put("b", b"short".to_vec(), When::Absent)]).await.unwrap();
    assert_eq!(stack.items().await, 5);
    assert_eq!(body(stack.store.get(&key("a")).await.unwrap()), long(1, 1_000_000));
    let rows = stack.store.query("p", "", None, 10).await.unwrap();
    assert_eq!(
        rows.iter().map(|(sort, row)| (sort.as_str(), row.body.len())).collect::<Vec<_>>(),
        [("a", 1_000_000), ("b", 5)]
    );

    // Fewer parts, on a condition; then on one that does not hold.
    let before = stack.store.get(&key("a")).await.unwrap().unwrap().version;
    stack.writes(vec![put("a", long(2, 400_000), When::Version(before))]).await.unwrap();
    assert_eq!((stack.items().await, body(stack.store.get(&key("a")).await.unwrap())), (4, long(2, 400_000)));
    for writes in [
        vec![put("a", vec![], When::Version(before))],
        vec![put("a", vec![], When::Absent), put("b", vec![], When::Always)],
    ] {
        assert!(matches!(stack.writes(writes).await, Err(CommitError::Conflict)));
    }
    // No parts, in a transaction; many; and gone.
    stack.writes(vec![put("a", b"x".to_vec(), When::Always), put("b", b"y".to_vec(), When::Always)]).await.unwrap();
    assert_eq!(stack.items().await, 2);
    stack.writes(vec![put("a", long(3, 2_000_000), When::Always)]).await.unwrap();
    stack.writes(vec![Write::Delete { key: key("a"), when: When::Always }]).await.unwrap();
    assert_eq!((stack.items().await, stack.store.get(&key("a")).await.unwrap()), (1, None));
    let why = stack.writes(vec![put("a", vec![0; 5_000_000], When::Always)]).await.unwrap_err().to_string();
    assert!(why.contains("longer than DynamoDB takes at once"), "{why}");
}

#[tokio::test]
async fn more_writes_than_a_transaction_takes_go_in_pieces_or_not_at_all() {
    let stack = Stack::new().await;
    let many = |when| (0..230).map(|n| put(&format!("{n:03}"), vec![1], when)).collect::<Vec<_>>();
    let why = stack.writes(many(When::Absent)).await.unwrap_err().to_string();
    assert!(why.starts_with("230 rows are to be written on a condition"), "{why}");
    assert_eq!(stack.items().await, 0);
    stack.writes(many(When::Always)).await.unwrap();
    assert_eq!(stack.store.query("p", "", None, 1000).await.unwrap().len(), 230);
    assert_eq!(stack.store.query("p", "1", Some("150"), 20).await.unwrap()[0].0, "151");
}

#[tokio::test]
async fn a_job_that_is_too_long_is_refused_before_anything_is_written() {
    let stack = Stack::new().await;
    let long = NewJob { body: vec![b'x'; 1_048_577], ..job("g", "") };
    let commit = Commit { writes: vec![put("a", vec![], When::Always)], sends: vec![long], ..Commit::default() };
    let why = stack.store.commit(commit).await.unwrap_err().to_string();
    assert!(why.contains("longer than SQS takes"), "{why}");
    assert_eq!(stack.items().await, 0);
}

#[tokio::test]
async fn secrets_are_sealed_under_the_kms_key() {
    let mut stack = Stack::new().await;
    let unset = KmsVault::new(&stack.clients, &stack.settings, Arc::new(SystemClock)).unwrap_err();
    assert!(unset.to_string().starts_with("SAMEROOM_KMS_KEY is not set"), "{unset}");
    let made = stack.clients.kms().create_key().send().await.unwrap();
    stack.settings.kms_key = Some(made.key_metadata.unwrap().key_id);
    let vault = |stack: &Stack| KmsVault::new(&stack.clients, &stack.settings, Arc::new(SystemClock)).unwrap();
    let mine = vault(&stack);
    stack.clients.calls().reset();
    let mut sealed = Vec::new();
    for n in 0..20_u8 {
        sealed.push(mine.seal("owner/account", &[n]).await.unwrap());
    }
    let other = stack.again().await;
    let theirs = vault(&other);
    for (n, sealed) in (0..20_u8).zip(&sealed) {
        assert_eq!(theirs.open("owner/account", sealed).await.unwrap(), [n]);
    }
    assert!(theirs.open("owner/other", &sealed[0]).await.is_err());
    assert_eq!(stack.clients.calls().by_operation(), [("KMS.GenerateDataKey".to_owned(), 1)].into());
    assert_eq!(other.clients.calls().by_operation(), [("KMS.Decrypt".to_owned(), 1)].into());
    stack.clients.warm().await;
}

#[tokio::test]
async fn errors_name_the_cure() {
    let stack = Stack::new().await;
    let with = |change: &dyn Fn(&mut sameroom_aws::Settings)| {
        let mut settings = stack.settings.clone();
        change(&mut settings);
        settings
    };
    let store = |settings: sameroom_aws::Settings| async move {
        let clients = Clients::connect(&settings).await.unwrap();
        sameroom_aws::AwsStore::new(&clients, &settings, Arc::new(SystemClock), "test")
    };
    let missing = store(with(&|s| s.table = "nowhere".to_owned())).await;
    let why = missing.get(&key("a")).await.unwrap_err().why;
    assert!(why.starts_with("DynamoDB GetItem on nowhere failed with ResourceNotFoundException"), "{why}");
    assert!(why.ends_with("check SAMEROOM_TABLE and AWS_REGION: there is no such table"), "{why}");
    let missing = store(with(&|s| s.events = s.events.replace("events", "nothing"))).await;
    let why = missing.commit(Commit { sends: vec![job("g", "x")], ..Commit::default() }).await.unwrap_err().to_string();
    assert!(why.contains("check the queue's URL"), "{why}");
    let silent = store(with(&|s| s.endpoint = Some("http://127.0.0.1:9".to_owned()))).await;
    let why = silent.get(&key("a")).await.unwrap_err().why;
    assert!(why.contains("could not reach AWS") && why.contains("check AWS_REGION"), "{why}");
}

/// A wire and a vault for an engine that needs neither.
struct Nothing;

#[async_trait]
impl Wire for Nothing {
    async fn http(&self, _: &Account, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, NoAnswer> {
        Err(NoAnswer::Unreachable("nobody is there".into()))
    }

    async fn download(&self, _: &Account, _: http::Request<Bytes>, _: u64) -> Result<http::Response<Bytes>, NoAnswer> {
        Err(NoAnswer::Unreachable("nobody is there".into()))
    }

    fn session(&self, _: &Account, _: Delivery) -> oneshot::Receiver<Outcome> {
        oneshot::channel().1
    }
}

#[async_trait]
impl Vault for Nothing {
    async fn seal(&self, _: &str, _: &[u8]) -> Result<Sealed, Unavailable> {
        Err(Unavailable::new("there is no vault"))
    }

    async fn open(&self, _: &str, _: &Sealed) -> Result<Vec<u8>, Unavailable> {
        Err(Unavailable::new("there is no vault"))
    }

    fn random(&self, _: &mut [u8]) -> Result<(), Unavailable> {
        Err(Unavailable::new("there is no vault"))
    }
}

#[tokio::test]
async fn a_batch_is_worked_on_to_its_end() {
    let stack = Stack::new().await;
    let queue = stack.settings.events.clone();
    stack.sends(vec![job("a/room", "no job"), job("a/room", "nor this"), job("b/room", "nor that")]).await;
    let engine = Engine::new(
        stack.store.clone(),
        Arc::new(Nothing),
        Arc::new(Nothing),
        Arc::new(SystemClock),
        Config::default(),
    );
    let records = stack.polls(&queue, 60).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let failed = work(&engine, &stack.store, QueueName::Events, records.clone(), deadline).await;
    assert_eq!(failed, [""; 0]);
    stack.reports(&queue, &records, &failed).await;
    let census = stack.store.census().await.unwrap();
    assert_eq!((census.count(Tally::Filtered), census.waiting(QueueName::Events)), (3, 0));

    // Out of time before it began.
    stack.sends(vec![job("a/room", "late"), job("b/room", "late")]).await;
    let records = stack.polls(&queue, 60).await;
    let failed = work(&engine, &stack.store, QueueName::Events, records.clone(), Instant::now()).await;
    assert_eq!(failed, ids(&records));
}
