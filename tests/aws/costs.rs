//! What each kind of commit costs: calls by operation, and DynamoDB's units. A change here is a change of the bill.

use std::collections::BTreeMap;
use std::time::Duration;

use sameroom_engine::ports::{Again, Commit, Key, NewJob, QueueName, Receipt, Store, When, Write};

use crate::stack::Stack;

fn put(sort: &str, when: When) -> Write {
    let key = Key { partition: "p".into(), sort: sort.into() };
    Write::Put { key, body: vec![1; 300], expires: None, when }
}

fn job(group: &str) -> NewJob {
    NewJob {
        queue: QueueName::Events,
        group: group.into(),
        dedup: None,
        body: vec![b'x'; 2000],
        attempts: 0,
        maybe: false,
        delay: Duration::ZERO,
    }
}

impl Stack {
    /// What a commit calls, and its read and write units.
    async fn costs(&self, commit: Commit) -> (Vec<(String, u64)>, (f64, f64)) {
        self.clients.calls().reset();
        self.store.commit(commit).await.unwrap();
        let calls: BTreeMap<String, u64> = self.clients.calls().by_operation();
        // A worker's loop receives whenever it likes.
        let calls = calls.into_iter().filter(|(name, _)| name != "SQS.ReceiveMessage").collect();
        (calls, self.clients.calls().units())
    }

    async fn writing(&self, writes: Vec<Write>) -> (Vec<(String, u64)>, (f64, f64)) {
        self.costs(Commit { writes, ..Commit::default() }).await
    }

    async fn leased(&self, group: &str) -> Receipt {
        self.store.commit(Commit { sends: vec![job(group)], ..Commit::default() }).await.unwrap();
        self.store.lease(QueueName::Events, 1).await.unwrap().jobs[0].receipt
    }
}

fn calls(names: &[&str]) -> Vec<(String, u64)> {
    names.iter().map(|name| ((*name).to_owned(), 1)).collect()
}

#[tokio::test]
async fn reads_cost_one_call() {
    let stack = Stack::new().await;
    stack.writing(vec![put("a", When::Absent)]).await;
    stack.clients.calls().reset();
    stack.store.get(&Key { partition: "p".into(), sort: "a".into() }).await.unwrap();
    stack.store.query("p", "", None, 10).await.unwrap();
    let by_operation: Vec<_> = stack.clients.calls().by_operation().into_iter().collect();
    assert_eq!(by_operation, calls(&["DynamoDB.GetItem", "DynamoDB.Query"]));
    assert_eq!(stack.clients.calls().units().1, 0.0);
}

#[tokio::test]
async fn writes_cost_what_they_must() {
    let stack = Stack::new().await;
    let [absent, always] = [When::Absent, When::Always];
    assert_eq!(stack.writing(vec![put("a", absent)]).await, (calls(&["DynamoDB.PutItem"]), (0.0, 1.0)));
    let delete = Write::Delete { key: Key { partition: "p".into(), sort: "a".into() }, when: always };
    assert_eq!(stack.writing(vec![delete]).await, (calls(&["DynamoDB.DeleteItem"]), (0.0, 1.0)));
    let both = vec![put("a", absent), put("b", always)];
    assert_eq!(stack.writing(both).await, (calls(&["DynamoDB.TransactWriteItems"]), (0.0, 4.0)));
    let both = Commit { writes: vec![put("a", always), put("b", always)], sends: vec![job("g")], ..Commit::default() };
    let batch = calls(&["DynamoDB.BatchWriteItem", "SQS.SendMessageBatch"]);
    assert_eq!(stack.costs(both).await, (batch, (0.0, 2.0)));
    assert_eq!(stack.costs(Commit::default()).await, (calls(&[]), (0.0, 0.0)));
}

#[tokio::test]
async fn sends_cost_a_call_for_ten_groups() {
    let stack = Stack::new().await;
    let sends = (0..10).map(|n| job(&n.to_string())).collect();
    let costs = stack.costs(Commit { sends, ..Commit::default() }).await;
    assert_eq!(costs, (calls(&["SQS.SendMessageBatch"]), (0.0, 0.0)));
    let sends = vec![job("a"), job("a"), NewJob { queue: QueueName::Outbox, ..job("a") }];
    let costs = stack.costs(Commit { sends, ..Commit::default() }).await;
    assert_eq!(costs, (vec![("SQS.SendMessageBatch".to_owned(), 3)], (0.0, 0.0)));
}

#[tokio::test]
async fn settling_costs_a_call_and_a_note_where_one_is_needed() {
    let stack = Stack::new().await;
    let done = vec![stack.leased("a").await];
    let costs = stack.costs(Commit { done, ..Commit::default() }).await;
    assert_eq!(costs, (calls(&["SQS.DeleteMessageBatch"]), (0.0, 0.0)));
    let back = |receipt, maybe| {
        let again = vec![Again { receipt, after: Duration::ZERO, counts: true, maybe }];
        Commit { again, ..Commit::default() }
    };
    let (doubtful, sure) = (back(stack.leased("b").await, true), back(stack.leased("c").await, false));
    // What comes again is received again at once, and its note looked for.
    let settled = |costs: (Vec<(String, u64)>, (f64, f64))| {
        (costs.0.into_iter().filter(|(name, _)| name != "DynamoDB.GetItem").collect::<Vec<_>>(), costs.1.1)
    };
    let hide = "SQS.ChangeMessageVisibilityBatch";
    assert_eq!(settled(stack.costs(doubtful).await), (calls(&[hide]), 0.0));
    assert_eq!(settled(stack.costs(sure).await), (calls(&["DynamoDB.PutItem", hide]), 1.0));
}
