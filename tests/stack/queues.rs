//! What queues do when something can't be taken: it comes again, then it is a dead letter, and it can be redriven.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::calls::Calls;
use crate::cloud::shared;
use crate::slack::{Pair, SOON, has, lines};

/// Waits until something is so in AWS.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + SOON;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "waited {SOON:?} until {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(crate) async fn count(aws: &mut Calls, queue: &str) -> u64 {
    let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
    let asked = json!({"QueueUrl": queue, "AttributeNames": names});
    let told = aws.does("sqs", "get_queue_attributes", asked).await;
    names.iter().filter_map(|name| told["Attributes"][name].as_str()?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn a_job_that_nobody_can_read_is_kept_and_listed_and_its_queue_goes_on() {
    let stack = shared();
    let mut aws = stack.calls();
    let poison = json!({
        "QueueUrl": stack.output("EventsQueueUrl"), "MessageBody": "this is no job", "MessageGroupId": "x/y",
        "MessageDeduplicationId": "poison",
    });
    aws.does("sqs", "send_message", poison).await;
    let pair = Pair::meet(stack).await;
    pair.acme.says("general", "ann", "after the poison");
    has(&pair.globex, "after the poison").await;
    let queue = stack.output("EventsQueueUrl");
    until("the queue is empty", async || (count(&mut aws, queue).await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_lane_whose_target_is_refused_is_listed_and_replayed() {
    let pair = Pair::of(shared(), "strict").await;
    pair.globex.is("chat.postMessage", sameroom_tests::worlds::slack::Mood::Fails("msg_blocked_by_dlp".to_owned()));
    pair.acme.says("general", "ann", "say it again");
    let api = shared().api();
    let failed = until("the delivery is listed", async || {
        let told = api.get("/deliveries?limit=200").await;
        // What Sameroom itself has to say there may be refused as well.
        let ours = |item: &&Value| {
            item["what"] == "message" && item["to"]["site"].as_str().is_some_and(|site| site.starts_with("strict"))
        };
        told["items"].as_array()?.iter().find(ours).cloned()
    })
    .await;
    pair.globex.is("chat.postMessage", sameroom_tests::worlds::slack::Mood::Well);
    let id = failed["id"].as_str().expect("an id");
    api.post(&format!("/deliveries/{id}/replay"), Value::Null).await;
    has(&pair.globex, "say it again").await;
    assert_eq!(lines(&pair.globex, "say it").len(), 1);
}
