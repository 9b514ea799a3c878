//! The function that two queues call: what was taken in goes to the rooms that are owed it, and what waits in outboxes is
//! delivered. What can't be settled now is reported message by message, and comes again.

use std::collections::HashMap;
use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use sameroom_aws::{Record, Settings, work};
use sameroom_engine::ports::QueueName;
use sameroom_functions::{Role, Started, start};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How long before its end a call stops working, so that its report gets through.
const SPARE: Duration = Duration::from_secs(2);

/// What SQS sends. Source: <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Message>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(rename = "messageId")]
    id: String,
    receipt_handle: String,
    body: String,
    attributes: HashMap<String, String>,
    #[serde(rename = "eventSourceARN")]
    source: String,
}

/// Which messages come again.
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(rename = "batchItemFailures")]
    failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct Failure {
    #[serde(rename = "itemIdentifier")]
    id: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let started = &start(Role::Relay).await?;
    let relay = service_fn(move |event: LambdaEvent<Event>| handle(started, event));
    lambda_runtime::run(relay).await.map_err(anyhow::Error::from_boxed)
}

async fn handle(started: &Started, event: LambdaEvent<Event>) -> Result<Report, Error> {
    let now = u64::try_from(started.clock.now().as_millisecond()).unwrap_or_default();
    let left = Duration::from_millis(event.context.deadline.saturating_sub(now)).saturating_sub(SPARE);
    let deadline = Instant::now() + left;
    let (queue, records) = read(&started.settings, event.payload)?;
    // Boxed: futures within futures are types within types, and compilers give up on them at some depth.
    let failed = Box::pin(work(&started.engine, &started.store, queue, records, deadline)).await;
    Ok(Report { failures: failed.into_iter().map(|id| Failure { id }).collect() })
}

/// The batch, and the queue that it came from. A batch is of one queue.
fn read(settings: &Settings, event: Event) -> Result<(QueueName, Vec<Record>), Error> {
    let source = event.records.first().map_or("", |message| &message.source);
    let name = source.rsplit(':').next().unwrap_or_default();
    let is = |url: &str| url.rsplit('/').next() == Some(name);
    let queue = match () {
        () if is(&settings.events) => QueueName::Events,
        () if is(&settings.outbox) => QueueName::Outbox,
        () => {
            return Err(format!(
                "{source} is neither the queue of SAMEROOM_EVENTS_QUEUE nor that of SAMEROOM_OUTBOX_QUEUE: let no \
                 other queue call this function"
            )
            .into());
        }
    };
    Ok((queue, event.records.into_iter().map(record).collect()))
}

fn record(message: Message) -> Record {
    let Message { id, receipt_handle, body, mut attributes, .. } = message;
    let count = |name: &str| attributes.get(name).and_then(|text| text.parse::<i64>().ok());
    Record {
        receive_count: count("ApproximateReceiveCount").and_then(|n| n.try_into().ok()).unwrap_or(1),
        sent_at_ms: count("SentTimestamp").unwrap_or_default(),
        group: attributes.remove("MessageGroupId").unwrap_or_default(),
        message_id: id,
        receipt_handle,
        body,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_string};

    use super::*;

    fn settings() -> Settings {
        Settings {
            events: "https://sqs.us-east-1.amazonaws.com/1/x-events.fifo".to_owned(),
            outbox: "https://sqs.us-east-1.amazonaws.com/1/x-outbox.fifo".to_owned(),
            ..Settings::default()
        }
    }

    fn event(queue: &str) -> Event {
        from_value(json!({"Records": [{
            "messageId": "059f36b4", "receiptHandle": "AQEB", "body": "{}", "messageAttributes": {}, "md5OfBody": "x",
            "attributes": {
                "ApproximateReceiveCount": "3", "SentTimestamp": "1545082649183", "MessageGroupId": "room",
                "SequenceNumber": "18849496460467696128", "MessageDeduplicationId": "d", "SenderId": "s",
            },
            "eventSource": "aws:sqs", "eventSourceARN": format!("arn:aws:sqs:us-east-1:1:{queue}"), "awsRegion": "us-east-1"
        }]}))
        .unwrap()
    }

    #[test]
    fn a_batch_is_of_the_queue_that_its_source_names() {
        let (queue, records) = read(&settings(), event("x-outbox.fifo")).unwrap();
        assert_eq!(queue, QueueName::Outbox);
        assert_eq!(
            records,
            [Record {
                message_id: "059f36b4".to_owned(),
                receipt_handle: "AQEB".to_owned(),
                group: "room".to_owned(),
                body: "{}".to_owned(),
                receive_count: 3,
                sent_at_ms: 1_545_082_649_183,
            }]
        );
        assert_eq!(read(&settings(), event("x-events.fifo")).unwrap().0, QueueName::Events);
    }

    #[test]
    fn another_queue_is_refused_with_the_cure() {
        let why = read(&settings(), event("other.fifo")).unwrap_err().to_string();
        assert!(why.ends_with("let no other queue call this function"), "{why}");
    }

    #[test]
    fn a_report_names_what_comes_again() {
        let report = Report { failures: vec![Failure { id: "a".to_owned() }] };
        assert_eq!(to_string(&report).unwrap(), r#"{"batchItemFailures":[{"itemIdentifier":"a"}]}"#);
    }
}
