//! Makes writes: one by itself costs least and goes by itself; several on conditions, or that must be seen together, go
//! by a transaction, which costs twice as much; several without, of which it is no harm if they are made again, go by a
//! batch. It must not know what is written.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, Put, PutRequest, ReturnValuesOnConditionCheckFailure as OnFailure,
    TransactWriteItem, WriteRequest,
};
use sameroom_engine::ports::{CommitError, Unavailable, Write};
use tokio::time::Instant;

use super::Rows;
use super::item::Item;
use super::plan::{self, Action, Condition, Judged, Planned, What};
use crate::chance;
use crate::trouble::{code, is_busy};

/// A batch takes at most so many rows.
const BATCH: usize = 25;
/// For how long a busy table is asked again.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest first pause before asking again; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a row may be found to have other parts than was thought.
const LESSONS: usize = 5;

/// What came of one call.
enum Tried {
    Done,
    Conflict,
    /// Rows that have other parts than was thought: by their place.
    Learned(Vec<(usize, usize)>),
    /// Asked again, it may go through.
    Busy(Unavailable),
    Failed(Unavailable),
}

impl Rows {
    /// Makes writes, all or none. `repeats`: whoever asked will ask again if this is cut short, so that writes without
    /// conditions may be made one by one.
    pub(crate) async fn write(&self, writes: Vec<Write>, repeats: bool) -> Result<(), CommitError> {
        if writes.is_empty() {
            return Ok(());
        }
        let planned = plan::plan(writes, plan::stamp(self.clock.now(), chance::number()?))?;
        if repeats && planned.len() > 1 && planned.iter().all(Planned::is_plain) {
            return Ok(self.batch(&planned).await?);
        }
        for piece in plan::pieces(planned)? {
            self.piece(piece).await?;
        }
        Ok(())
    }

    async fn piece(&self, mut writes: Vec<Planned>) -> Result<(), CommitError> {
        let until = Instant::now() + PATIENCE;
        let (mut pause, mut lessons) = (PAUSE, 0);
        // The same for each attempt: should an answer be lost, the second attempt changes nothing.
        let mut token = chance::token()?;
        loop {
            let actions: Vec<Action> = writes.iter().flat_map(|write| write.actions(self.clock.now())).collect();
            let tried = match <[Action; 1]>::try_from(actions) {
                Ok([action]) => self.single(&writes[0], action).await,
                Err(actions) => self.transaction(&writes, actions, &token).await,
            };
            match tried {
                Tried::Done => return Ok(()),
                Tried::Conflict => return Err(CommitError::Conflict),
                Tried::Failed(e) => return Err(e.into()),
                Tried::Learned(learned) if lessons < LESSONS => {
                    lessons += 1;
                    for (place, parts) in learned {
                        if let Some(write) = writes.get_mut(place) {
                            write.learn(parts);
                        }
                    }
                    token = chance::token()?;
                }
                Tried::Learned(_) => {
                    return Err(Unavailable::new("a long row was written all the time by others").into());
                }
                Tried::Busy(e) if Instant::now() + pause > until => return Err(e.into()),
                Tried::Busy(_) => {
                    tokio::time::sleep(chance::part_of(pause)?).await;
                    pause *= 2;
                    // Conditions name the time, so the request may not be the same.
                    token = chance::token()?;
                }
            }
        }
    }

    async fn single(&self, write: &Planned, action: Action) -> Tried {
        let (expression, values) = split(action.condition);
        match action.what {
            What::Put(item) => {
                let put = self.dynamo.put_item().table_name(&self.table).set_item(Some(item));
                let put = put.set_condition_expression(expression).set_expression_attribute_values(values);
                let put = put.return_values_on_condition_check_failure(OnFailure::AllOld);
                match put.set_return_consumed_capacity(self.asks()).send().await {
                    Ok(done) => {
                        self.wrote(done.consumed_capacity.as_slice());
                        Tried::Done
                    }
                    Err(e) => match e.as_service_error() {
                        Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                            self.judge(&[(0, write, failed.item.clone())]).await
                        }
                        _ if code(&e).is_some_and(is_busy) => Tried::Busy(self.call("DynamoDB PutItem").failed(&e)),
                        _ => Tried::Failed(self.call("DynamoDB PutItem").failed(&e)),
                    },
                }
            }
            What::Delete(key) => {
                let delete = self.dynamo.delete_item().table_name(&self.table).set_key(Some(key));
                let delete = delete.set_condition_expression(expression).set_expression_attribute_values(values);
                let delete = delete.return_values_on_condition_check_failure(OnFailure::AllOld);
                match delete.set_return_consumed_capacity(self.asks()).send().await {
                    Ok(done) => {
                        self.wrote(done.consumed_capacity.as_slice());
                        Tried::Done
                    }
                    Err(e) => match e.as_service_error() {
                        Some(DeleteItemError::ConditionalCheckFailedException(failed)) => {
                            self.judge(&[(0, write, failed.item.clone())]).await
                        }
                        _ if code(&e).is_some_and(is_busy) => Tried::Busy(self.call("DynamoDB DeleteItem").failed(&e)),
                        _ => Tried::Failed(self.call("DynamoDB DeleteItem").failed(&e)),
                    },
                }
            }
        }
    }

    async fn transaction(&self, writes: &[Planned], actions: Vec<Action>, token: &str) -> Tried {
        // Which write an action is of; those of parts have no condition to fail.
        let mut heads = Vec::with_capacity(actions.len());
        let mut head = 0;
        let mut items = Vec::with_capacity(actions.len());
        for action in actions {
            heads.push(action.condition.as_ref().map(|_| head));
            head += usize::from(action.condition.is_some());
            match self.transact_item(action) {
                Ok(item) => items.push(item),
                Err(e) => return Tried::Failed(e),
            }
        }
        let call = self.dynamo.transact_write_items().set_transact_items(Some(items)).client_request_token(token);
        match call.set_return_consumed_capacity(self.asks()).send().await {
            Ok(done) => {
                self.wrote(&done.consumed_capacity.unwrap_or_default());
                Tried::Done
            }
            Err(e) => match e.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    let unavailable = self.call("DynamoDB TransactWriteItems").failed(&e);
                    self.canceled(writes, &heads, canceled.cancellation_reasons(), unavailable).await
                }
                _ if code(&e).is_some_and(is_busy) => Tried::Busy(self.call("DynamoDB TransactWriteItems").failed(&e)),
                _ => Tried::Failed(self.call("DynamoDB TransactWriteItems").failed(&e)),
            },
        }
    }

    async fn canceled(
        &self,
        writes: &[Planned],
        heads: &[Option<usize>],
        reasons: &[CancellationReason],
        unavailable: Unavailable,
    ) -> Tried {
        let code = |reason: &CancellationReason| reason.code.clone().unwrap_or_default();
        let failed: Vec<_> = reasons
            .iter()
            .zip(heads)
            .filter(|(reason, _)| code(reason) == "ConditionalCheckFailed")
            .filter_map(|(reason, head)| Some(((*head)?, writes.get((*head)?)?, reason.item.clone())))
            .collect();
        if !failed.is_empty() {
            return self.judge(&failed).await;
        }
        if reasons.iter().any(|reason| is_busy(&code(reason))) {
            return Tried::Busy(unavailable);
        }
        Tried::Failed(unavailable)
    }

    /// What failed checks mean: a conflict if one of them is. Where the row was not told it is read.
    async fn judge(&self, failed: &[(usize, &Planned, Option<Item>)]) -> Tried {
        let (mut learned, mut conflict) = (Vec::new(), false);
        for (place, write, old) in failed {
            let old = match old {
                Some(old) if !old.is_empty() => Some(old.clone()),
                _ => match self.item(super::item::row_key(&write.key)).await {
                    Ok(old) => old,
                    Err(e) => return Tried::Failed(e),
                },
            };
            match write.judge(old, self.clock.now()) {
                Judged::Conflict => conflict = true,
                Judged::Parts(parts) => learned.push((*place, parts)),
                // Of several it was all or none of them.
                Judged::Done => return Tried::Done,
            }
        }
        if conflict { Tried::Conflict } else { Tried::Learned(learned) }
    }

    async fn batch(&self, writes: &[Planned]) -> Result<(), Unavailable> {
        let call = self.call("DynamoDB BatchWriteItem");
        for chunk in writes.chunks(BATCH) {
            let items = chunk.iter().filter_map(Planned::item);
            let mut left: Vec<WriteRequest> = items.map(|item| put_request(item.clone())).collect::<Result<_, _>>()?;
            let until = Instant::now() + PATIENCE;
            let mut pause = PAUSE;
            while !left.is_empty() {
                let batch = self.dynamo.batch_write_item().request_items(&self.table, left);
                let done = batch.set_return_consumed_capacity(self.asks()).send().await;
                let done = done.map_err(|e| call.failed(&e))?;
                self.wrote(&done.consumed_capacity.unwrap_or_default());
                left = done.unprocessed_items.and_then(|mut left| left.remove(&self.table)).unwrap_or_default();
                if left.is_empty() {
                    break;
                }
                if Instant::now() + pause > until {
                    return Err(Unavailable::new(format_args!(
                        "{} on {} left rows out: it is busy",
                        call.name, call.on
                    )));
                }
                tokio::time::sleep(chance::part_of(pause)?).await;
                pause *= 2;
            }
        }
        Ok(())
    }

    fn transact_item(&self, action: Action) -> Result<TransactWriteItem, Unavailable> {
        let (expression, values) = split(action.condition);
        let told = expression.is_some().then_some(OnFailure::AllOld);
        let item = TransactWriteItem::builder();
        Ok(match action.what {
            What::Put(row) => {
                let put = Put::builder().table_name(&self.table).set_item(Some(row));
                let put = put.set_condition_expression(expression).set_expression_attribute_values(values);
                let put = put.set_return_values_on_condition_check_failure(told).build();
                item.put(put.map_err(Unavailable::new)?)
            }
            What::Delete(key) => {
                let delete = Delete::builder().table_name(&self.table).set_key(Some(key));
                let delete = delete.set_condition_expression(expression).set_expression_attribute_values(values);
                let delete = delete.set_return_values_on_condition_check_failure(told).build();
                item.delete(delete.map_err(Unavailable::new)?)
            }
        }
        .build())
    }
}

fn split(condition: Option<Condition>) -> (Option<String>, Option<HashMap<String, AttributeValue>>) {
    match condition {
        Some(Condition { expression, values }) => (Some(expression), (!values.is_empty()).then_some(values)),
        None => (None, None),
    }
}

fn put_request(item: Item) -> Result<WriteRequest, Unavailable> {
    let put = PutRequest::builder().set_item(Some(item)).build().map_err(Unavailable::new)?;
    Ok(WriteRequest::builder().put_request(put).build())
}

#[cfg(test)]
mod tests {
    use sameroom_engine::ports::{Commit, Key, NewJob, QueueName, Store, When};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Answer, always, answering, error};

    fn put(sort: &str, when: When) -> Write {
        Write::Put { key: Key { partition: "p".into(), sort: sort.into() }, body: vec![1], expires: None, when }
    }

    fn writes(writes: Vec<Write>) -> Commit {
        Commit { writes, ..Commit::default() }
    }

    fn both(when: When) -> Commit {
        writes(vec![put("a", when), put("b", When::Always)])
    }

    fn canceled(code: &str, item: &Value) -> Answer {
        always(
            400,
            json!({
                "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "message": "Transaction cancelled",
                "CancellationReasons": [{"Code": code, "Item": item}, {"Code": "None"}],
            }),
        )
    }

    #[tokio::test]
    async fn a_transaction_in_anothers_way_is_made_again() {
        let (store, asked) = answering(vec![
            canceled("TransactionConflict", &Value::Null),
            canceled("ThrottlingError", &Value::Null),
            always(200, json!({})),
        ])
        .await;
        store.commit(both(When::Absent)).await.unwrap();
        assert_eq!(asked.names(), ["TransactWriteItems"; 3]);
    }

    #[tokio::test]
    async fn a_table_that_stays_busy_is_not_waited_for() {
        let many = (0..200).map(|_| canceled("TransactionConflict", &Value::Null)).collect();
        let (store, asked) = answering(many).await;
        let began = Instant::now();
        let failed = store.commit(both(When::Absent)).await.unwrap_err();
        assert!(matches!(failed, CommitError::Unavailable(_)), "{failed}");
        assert!(began.elapsed() < PATIENCE * 2 && asked.names().len() > 3);
    }

    #[tokio::test]
    async fn a_condition_that_does_not_hold_is_a_conflict() {
        let other = json!({"p": {"S": "=p"}, "s": {"S": "=a"}, "b": {"B": "AA=="}, "v": {"N": "7"}});
        let (store, asked) = answering(vec![canceled("ConditionalCheckFailed", &other)]).await;
        assert!(matches!(store.commit(both(When::Version(6))).await, Err(CommitError::Conflict)));
        assert_eq!(asked.names().len(), 1);
    }

    #[tokio::test]
    async fn a_write_whose_answer_was_lost_is_no_conflict() {
        let mine: Answer = Box::new(|asked| {
            let error = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
            (400, json!({"__type": error, "message": "no", "Item": asked["Item"]}))
        });
        // Written, and the answer says that the service failed; the client asks again by itself.
        let (store, asked) = answering(vec![always(500, json!({})), mine]).await;
        store.commit(writes(vec![put("a", When::Version(6))])).await.unwrap();
        assert_eq!(asked.names(), ["PutItem"; 2]);
    }

    #[tokio::test]
    async fn what_a_batch_left_out_is_written_after_it() {
        let left: Answer =
            Box::new(|asked| (200, json!({"UnprocessedItems": {"table": [asked["RequestItems"]["table"][1]]}})));
        let (store, asked) = answering(vec![left]).await;
        let job = NewJob {
            queue: QueueName::Events,
            group: "g".into(),
            dedup: None,
            body: vec![],
            attempts: 0,
            maybe: false,
            delay: Duration::ZERO,
        };
        store.commit(Commit { sends: vec![job], ..both(When::Always) }).await.unwrap();
        assert_eq!(asked.names(), ["BatchWriteItem", "BatchWriteItem", "SendMessageBatch"]);
        let second = &asked.all()[1].1["RequestItems"]["table"];
        assert_eq!(second.as_array().unwrap().len(), 1);
        assert_eq!(second[0]["PutRequest"]["Item"]["s"]["S"], "=b");
    }

    #[tokio::test]
    async fn what_can_not_be_done_is_told_with_its_cure() {
        let (store, _) = answering(vec![error("AccessDeniedException")]).await;
        let why = store.commit(writes(vec![put("a", When::Always)])).await.unwrap_err().to_string();
        assert_eq!(
            why,
            "DynamoDB PutItem on table failed with AccessDeniedException: no; give the role of this function or task that \
             permission; the template does"
        );
    }
}
