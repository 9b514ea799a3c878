//! What a relayed message costs, from the webhook to the last copy, with warm functions: every request and every unit that
//! AWS bills, and what that is in dollars by the prices of `infra/prices.json`. A budget that is passed fails; one that
//! is missed by far is to be lowered, so that it goes on telling what things cost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sameroom_aws::{Record, SystemClock, work};
use sameroom_engine::keys::join;
use sameroom_engine::ports::{Clock, NoAnswer, QueueName, Store as _, Unavailable, Vault, Wire};
use sameroom_engine::{Config, Engine};
use sameroom_model::{
    Account, Author, Delivery, Event, EventKind, Identity, MadeBy, Message, Outcome, OwnerId, Place, RoomRef, Sealed,
    Secrets, Text, Timestamp,
};
use sameroom_platforms::{Draft, RoomDraft};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::stack::Stack;

/// Whose ids messages have in the targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ids {
    /// Those that we propose.
    #[default]
    Ours,
    /// The target's.
    Theirs,
}

/// A target that takes everything, after a while.
#[derive(Default)]
struct Taker {
    ids: Ids,
    /// Milliseconds.
    slow: AtomicU64,
    took: Mutex<Vec<String>>,
}

#[async_trait]
impl Wire for Taker {
    async fn http(&self, account: &Account, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NoAnswer> {
        tokio::time::sleep(Duration::from_millis(self.slow.load(Ordering::Relaxed))).await;
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let n = {
            let mut took = self.took.lock().unwrap();
            took.push(body["message"]["text"].as_str().unwrap().to_owned());
            took.len()
        };
        let named = if self.ids == Ids::Theirs && !account.endpoint.ends_with("/0") {
            format!(r#"{{"id":"their-{n}"}}"#)
        } else {
            String::new()
        };
        Ok(http::Response::new(named.into()))
    }

    async fn download(&self, _: &Account, _: http::Request<Bytes>, _: u64) -> Result<http::Response<Bytes>, NoAnswer> {
        Err(NoAnswer::Unreachable("there are no files here".into()))
    }

    fn session(&self, _: &Account, _: Delivery) -> oneshot::Receiver<Outcome> {
        oneshot::channel().1
    }
}

/// Secrets that are none. Opened ones are cached, so the vault is no part of what a message costs.
struct Clear;

#[async_trait]
impl Vault for Clear {
    async fn seal(&self, _: &str, clear: &[u8]) -> Result<Sealed, Unavailable> {
        Ok(Sealed(STANDARD.encode(clear)))
    }

    async fn open(&self, _: &str, sealed: &Sealed) -> Result<Vec<u8>, Unavailable> {
        STANDARD.decode(&sealed.0).map_err(Unavailable::new)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
        bytes.fill(7);
        Ok(())
    }
}

/// A clock that stands still, so that it is no matter of pace what is read again.
struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// What was used, for so many messages.
#[derive(Debug, Default)]
struct Bill {
    messages: f64,
    /// Calls of functions.
    calls: f64,
    sqs: f64,
    written: f64,
    read: f64,
    /// Milliseconds that functions ran: as measured, and as assumed where that can't be.
    ran: f64,
}

impl Bill {
    /// What AWS bills of a message, piece by piece.
    fn operations(&self) -> f64 {
        (self.calls + self.sqs + self.written + self.read) / self.messages
    }

    /// Dollars for a million messages.
    fn dollars(&self, prices: &Value) -> f64 {
        let price = |name: &str| prices["dollars"][name].as_f64().unwrap();
        let memory = prices["assumed"]["memory_gb"].as_f64().unwrap();
        let all = self.calls * price("lambda_request")
            + self.ran / 1000.0 * memory * price("lambda_gb_second")
            + self.sqs * price("sqs_fifo_request")
            + self.written * price("dynamodb_write_unit")
            + self.read * price("dynamodb_read_unit");
        all / self.messages * 1_000_000.0
    }
}

impl Stack {
    /// Deletes a batch that was worked on, as Lambda does: in one request.
    async fn deletes(&self, queue: &str, records: &[Record]) {
        let entry = |(n, record): (usize, &Record)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(n.to_string());
            entry.receipt_handle(&record.receipt_handle).build().unwrap()
        };
        let entries = records.iter().enumerate().map(entry).collect();
        let delete = self.clients.sqs().delete_message_batch().queue_url(queue).set_entries(Some(entries));
        assert!(delete.send().await.unwrap().failed.is_empty());
    }
}

/// Rooms around one, and an engine that serves them.
struct Site {
    stack: Stack,
    engine: Engine,
    taker: Arc<Taker>,
    source: RoomRef,
    targets: usize,
    prices: Value,
    said: u64,
    /// How often it was looked for what was not there.
    vain: f64,
}

impl Site {
    async fn new(ids: Ids, targets: usize) -> Self {
        let stack = Stack::new().await;
        let clock = Arc::new(Still(SystemClock.now()));
        let config = Config { apart: true, ..Config::default() };
        let taker = Arc::new(Taker { ids, ..Taker::default() });
        let engine = Engine::new(stack.store.clone(), taker.clone(), Arc::new(Clear), clock, config);
        let operator = OwnerId::from("operator");
        let mut rooms = Vec::new();
        for n in 0..=targets {
            let draft = Draft {
                platform: "webhook",
                endpoint: format!("http://127.0.0.1/{n}"),
                identity: Identity { key: None, name: format!("hook{n}") },
                settings: Value::Null,
                secrets: [("secret", "s")].into_iter().collect::<Secrets>(),
                place: Place::Alone,
            };
            let account = engine.add_account(&operator, &draft).await.unwrap();
            let name = format!("#{n}");
            let room = RoomDraft { key: name.as_str().into(), name, site: "x".into(), settings: Value::Null };
            rooms.push(engine.add_room(&account.id, &room).await.unwrap().at);
        }
        for target in &rooms[1..] {
            let made = engine.connect([&operator, &operator], [&rooms[0], target], MadeBy::Operator).await;
            made.unwrap();
        }
        let prices = serde_json::from_str(include_str!("../../infra/prices.json")).unwrap();
        let mut site = Self { stack, engine, taker, source: rooms.swap_remove(0), targets, prices, said: 0, vain: 0.0 };
        // Notices are said and accounts opened before anything is counted.
        site.works().await;
        site.says(2).await;
        site.works().await;
        site
    }

    /// As many messages, each of a webhook of its own.
    async fn says(&mut self, messages: usize) -> Bill {
        for _ in 0..messages {
            self.said += 1;
            let id = format!("m{}", self.said);
            let words =
                format!("The build {} is green, and the deployment has begun; have a look at the page.", self.said);
            let event = Event {
                id: id.as_str().into(),
                room: self.source.clone(),
                at: SystemClock.now(),
                author: Some(Author::new("u1", "Ada")),
                kind: EventKind::Posted(Message::new(id.as_str(), Text::plain(&words))),
            };
            self.engine.ingest(&[event]).await.unwrap();
        }
        let count = messages as f64;
        Bill {
            messages: count,
            calls: count,
            ran: count * (self.works_on("inbound") + self.waits("inbound")),
            ..Bill::default()
        }
    }

    /// Calls functions with what waits, as Lambda does, until nothing waits. Counts the calls, and copies made.
    async fn works(&mut self) -> (f64, f64) {
        let (mut calls, mut jobs) = (0.0, 0.0);
        loop {
            let mut idle = true;
            for (queue, url) in [
                (QueueName::Events, self.stack.settings.events.clone()),
                (QueueName::Outbox, self.stack.settings.outbox.clone()),
            ] {
                let records = self.stack.polls(&url, 60).await;
                if records.is_empty() {
                    self.vain += 1.0;
                    continue;
                }
                (idle, calls, jobs) = (false, calls + 1.0, jobs + records.len() as f64);
                let deadline = Instant::now() + Duration::from_secs(20);
                let failed = work(&self.engine, &self.stack.store, queue, records.clone(), deadline).await;
                assert_eq!(failed, [""; 0]);
                self.stack.deletes(&url, &records).await;
            }
            if idle {
                return (calls, jobs);
            }
        }
    }

    async fn bill(&mut self, messages: usize) -> Bill {
        self.stack.clients.calls().reset();
        self.vain = 0.0;
        let mut bill = self.says(messages).await;
        let (calls, jobs) = self.works().await;
        let by_operation = self.stack.clients.calls().by_operation();
        let sqs: u64 = by_operation.iter().filter(|(name, _)| name.starts_with("SQS.")).map(|(_, n)| n).sum();
        bill.calls += calls;
        // Lambda's pollers look in vain, too, but that is not a message's cost.
        bill.sqs = sqs as f64 - self.vain;
        (bill.read, bill.written) = self.stack.clients.calls().units();
        // A local AWS says one unit a query, whatever it reads.
        bill.read += by_operation.get("DynamoDB.Query").map_or(0.0, |n| *n as f64) * (self.room_units().await - 1.0);
        // Several rooms are posted to side by side, sixteen at a time.
        let turns = self.targets.div_ceil(16) as f64;
        bill.ran += calls * self.waits("relay") + jobs * (self.works_on("relay") + turns * self.assumed("post_ms"));
        println!("aws: {messages} at once: {by_operation:?}");
        bill
    }

    /// The read units of everything that is kept under the room: 4 KB each.
    async fn room_units(&self) -> f64 {
        let partition = join(&["room", self.source.account.as_str(), self.source.key.as_str()]);
        let rows = self.stack.store.query(&partition, "", None, 1000).await.unwrap();
        let bytes: usize = rows.iter().map(|(sort, row)| partition.len() + sort.len() + row.body.len() + 50).sum();
        bytes.div_ceil(4096) as f64
    }

    /// How long a function works on one message, with the part of a core that it has: milliseconds. What a call needs by
    /// itself is counted with each of its messages.
    fn works_on(&self, function: &str) -> f64 {
        self.prices["measured"][function]["cpu_ms"].as_f64().unwrap() / self.assumed("core")
    }

    /// How long a call of a function waits for AWS: milliseconds.
    fn waits(&self, function: &str) -> f64 {
        self.prices["measured"][function]["aws_calls_in_a_row"].as_f64().unwrap() * self.assumed("aws_ms")
    }

    fn assumed(&self, name: &str) -> f64 {
        self.prices["assumed"][name].as_f64().unwrap()
    }
}

/// At most so much, and not much less: operations a message, and dollars a million.
async fn keeps(ids: Ids, targets: usize, batch: usize, operations: f64, dollars: f64) {
    let mut site = Site::new(ids, targets).await;
    let bill = site.bill(batch).await;
    let (needs, costs) = (bill.operations(), bill.dollars(&site.prices));
    println!(
        "aws: to {targets}, {batch} at once, ids {ids:?}: {needs:.2} billed operations a message, ${costs:.2} a million: {bill:?}"
    );
    assert!(needs <= operations + 0.005, "{needs:.2} operations a message; the budget is {operations:.2}");
    assert!(costs <= dollars + 0.005, "${costs:.2} a million; the budget is ${dollars:.2}");
    assert!(costs > dollars * 0.9, "${costs:.2} a million; lower the budget of ${dollars:.2}");
}

#[tokio::test]
async fn one_message_to_one_room() {
    keeps(Ids::Ours, 1, 1, 7.0, 3.06).await;
    keeps(Ids::Theirs, 1, 1, 8.0, 3.68).await;
}

#[tokio::test]
async fn ten_messages_to_one_room() {
    keeps(Ids::Ours, 1, 10, 3.4, 1.83).await;
    keeps(Ids::Theirs, 1, 10, 4.4, 2.46).await;
}

#[tokio::test]
async fn one_message_to_three_rooms() {
    keeps(Ids::Ours, 3, 1, 9.0, 4.31).await;
}

#[tokio::test]
async fn ten_messages_to_three_rooms() {
    keeps(Ids::Ours, 3, 10, 5.4, 3.08).await;
}

#[tokio::test]
async fn one_message_to_fifty_rooms() {
    keeps(Ids::Ours, 50, 1, 65.0, 35.61).await;
}

/// A part of a batch is done when the function's time is over. The rest comes again at once, in order.
#[tokio::test]
async fn f24_a_batch_that_runs_out_of_time_goes_on_in_the_next() {
    let mut site = Site::new(Ids::Ours, 1).await;
    let before = site.taker.took.lock().unwrap().len();
    site.taker.slow.store(300, Ordering::Relaxed);
    site.says(10).await;
    let url = site.stack.settings.events.clone();
    let records = site.stack.polls(&url, 60).await;
    assert_eq!(records.len(), 10);
    let deadline = Instant::now() + Duration::from_secs(1);
    let failed = work(&site.engine, &site.stack.store, QueueName::Events, records.clone(), deadline).await;
    assert!((1..10).contains(&failed.len()), "{} of 10 come again", failed.len());
    let (done, left) = records.split_at(10 - failed.len());
    assert_eq!(failed, left.iter().map(|record| record.message_id.clone()).collect::<Vec<_>>());
    site.stack.deletes(&url, done).await;
    site.taker.slow.store(0, Ordering::Relaxed);
    site.works().await;
    let took = site.taker.took.lock().unwrap()[before..].to_vec();
    let said: Vec<_> = (site.said - 9..=site.said).map(|n| format!("The build {n} is")).collect();
    assert!(took.len() == 10 && took.iter().zip(&said).all(|(took, said)| took.starts_with(said)), "{took:?}");
}
