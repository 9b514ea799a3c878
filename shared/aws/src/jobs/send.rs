//! Sends jobs. SQS takes up to ten messages at once and may take some of them and not others; so no two of a group go by
//! one call, and none goes before an earlier one of its group was taken. It must not know what a job is.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures_util::future::try_join_all;
use sameroom_engine::ports::{NewJob, QueueName, Unavailable};
use sameroom_model::Timestamp;
use tokio::time::Instant;

use super::{BATCH, Queues, envelope};
use crate::chance;

/// For how long a busy queue is asked again.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest first pause before asking again; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(20);

/// A job ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    queue: QueueName,
    group: String,
    dedup: String,
    body: String,
}

/// Makes messages of jobs. `cause`: what makes the same jobs again should this be done twice, if that is known; where it
/// is they get the same dedup ids then.
pub(crate) fn prepare(jobs: &[NewJob], cause: Option<&str>, now: Timestamp) -> Result<Vec<Outgoing>, Unavailable> {
    let message = |(place, job): (usize, &NewJob)| {
        let dedup = match (&job.dedup, cause) {
            (Some(dedup), _) => envelope::hash(&[b"id", dedup.as_bytes()]),
            (None, Some(cause)) => {
                envelope::hash(&[b"from", cause.as_bytes(), &place.to_be_bytes(), job.group.as_bytes(), &job.body])
            }
            (None, None) => chance::token()?,
        };
        let group = envelope::hash(&[job.group.as_bytes()]);
        Ok(Outgoing { queue: job.queue, group, dedup, body: envelope::seal(job, now)? })
    };
    jobs.iter().enumerate().map(message).collect()
}

impl Queues {
    /// Sends all, each queue's in order.
    pub(crate) async fn send(&self, outgoing: Vec<Outgoing>) -> Result<(), Unavailable> {
        let mut queues = Vec::new();
        let mut left = outgoing;
        while let Some(queue) = left.first().map(|first| first.queue) {
            let (mine, others) = left.into_iter().partition(|message| message.queue == queue);
            queues.push(self.send_to(queue, mine));
            left = others;
        }
        try_join_all(queues).await.map(drop)
    }

    async fn send_to(&self, queue: QueueName, mut left: Vec<Outgoing>) -> Result<(), Unavailable> {
        let (mut until, mut pause) = (Instant::now() + PATIENCE, PAUSE);
        while !left.is_empty() {
            let batch = next_batch(&left);
            let failed = self.send_batch(queue, &left, &batch).await?;
            if failed.is_empty() {
                (until, pause) = (Instant::now() + PATIENCE, PAUSE);
            } else {
                if Instant::now() + pause > until {
                    return Err(Unavailable::new(format_args!(
                        "SQS SendMessageBatch on {} left messages out: it is busy",
                        self.url(queue)
                    )));
                }
                tokio::time::sleep(chance::part_of(pause)?).await;
                pause *= 2;
            }
            let mut place = 0;
            left.retain(|_| {
                let taken = batch.contains(&place) && !failed.contains(&place);
                place += 1;
                !taken
            });
        }
        Ok(())
    }

    /// Sends these. Returns those that were not taken and may be sent again.
    async fn send_batch(
        &self,
        queue: QueueName,
        from: &[Outgoing],
        places: &[usize],
    ) -> Result<HashSet<usize>, Unavailable> {
        let call = self.call("SQS SendMessageBatch", queue);
        let entries = places.iter().filter_map(|place| Some((place, from.get(*place)?))).map(|(place, message)| {
            let entry = SendMessageBatchRequestEntry::builder().id(place.to_string()).message_body(&message.body);
            let entry = entry.message_group_id(&message.group).message_deduplication_id(&message.dedup);
            entry.build().map_err(Unavailable::new)
        });
        let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        let sent = self.sqs.send_message_batch().queue_url(self.url(queue)).set_entries(Some(entries));
        let sent = sent.send().await.map_err(|e| call.failed(&e))?;
        if let Some(refused) = sent.failed.iter().find(|failed| failed.sender_fault) {
            let why = refused.message.as_deref().unwrap_or_default();
            return Err(Unavailable::new(format_args!(
                "{} on {} refused a message ({}): {why}",
                call.name, call.on, refused.code
            )));
        }
        Ok(sent.failed.iter().filter_map(|failed| failed.id.parse().ok()).collect())
    }
}

/// The places of those that go next: from the first on, one of each group, as many as fit.
fn next_batch(left: &[Outgoing]) -> Vec<usize> {
    let (mut places, mut groups, mut bytes) = (Vec::new(), HashSet::new(), 0);
    for (place, message) in left.iter().enumerate() {
        if places.len() == BATCH {
            break;
        }
        // One that is passed over holds its group back.
        if groups.insert(&message.group) && bytes + message.body.len() <= envelope::MESSAGE_MAX {
            bytes += message.body.len();
            places.push(place);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use sameroom_engine::ports::{Commit, Store};
    use serde_json::json;

    use super::*;
    use crate::testing::{Answer, answering};

    fn job(group: &str, body: &str, dedup: Option<&str>) -> NewJob {
        NewJob {
            queue: QueueName::Outbox,
            group: group.into(),
            dedup: dedup.map(str::to_owned),
            body: body.into(),
            attempts: 0,
            maybe: false,
            delay: Duration::ZERO,
        }
    }

    fn outgoing(jobs: &[NewJob], cause: Option<&str>) -> Vec<Outgoing> {
        prepare(jobs, cause, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn a_batch_has_one_of_each_group_and_no_more_than_fit() {
        let jobs = |groups: &str| groups.chars().map(|group| job(&group.to_string(), "x", None)).collect::<Vec<_>>();
        let batch = |groups: &str| next_batch(&outgoing(&jobs(groups), None));
        assert_eq!(batch("abacb"), [0, 1, 3]);
        assert_eq!(batch("aaaa"), [0]);
        assert_eq!(batch("abcdefghijkl").len(), 10);
        let half = "x".repeat(envelope::MESSAGE_MAX / 2);
        let long = [job("a", &half, None), job("b", &half, None), job("b", "x", None), job("c", "x", None)];
        assert_eq!(next_batch(&outgoing(&long, None)), [0, 3]);
    }

    #[test]
    fn the_same_job_for_the_same_cause_is_one() {
        let dedup = |job: &NewJob, cause| outgoing(std::slice::from_ref(job), cause).remove(0).dedup;
        let plain = job("g", "x", None);
        assert_eq!(dedup(&plain, Some("m1")), dedup(&plain, Some("m1")));
        assert_ne!(dedup(&plain, Some("m1")), dedup(&plain, Some("m2")));
        assert_ne!(dedup(&plain, Some("m1")), dedup(&job("g", "y", None), Some("m1")));
        assert_ne!(dedup(&plain, None), dedup(&plain, None));
        let named = job("g", "x", Some("id"));
        assert_eq!(dedup(&named, None), dedup(&named, Some("m1")));
        let twice = outgoing(&[plain.clone(), plain], Some("m1"));
        assert_ne!(twice[0].dedup, twice[1].dedup);
    }

    #[test]
    fn names_are_as_sqs_takes_them() {
        let odd = outgoing(&[job(&"ä\0".repeat(200), "x", Some(&"é ".repeat(200)))], None).remove(0);
        for name in [odd.group, odd.dedup] {
            assert!(name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
        }
    }

    /// Takes all but those at these places of a batch.
    fn takes_all_but(places: &'static [usize], fault: bool) -> Answer {
        Box::new(move |asked| {
            let entries = asked["Entries"].as_array().unwrap();
            let (mut taken, mut failed) = (Vec::new(), Vec::new());
            for (place, entry) in entries.iter().enumerate() {
                let id = &entry["Id"];
                if places.contains(&place) {
                    failed.push(json!({"Id": id, "Code": "InternalError", "Message": "no", "SenderFault": fault}));
                } else {
                    taken.push(json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": "x"}));
                }
            }
            (200, json!({"Successful": taken, "Failed": failed}))
        })
    }

    #[tokio::test]
    async fn a_later_one_never_overtakes_an_earlier_one_that_failed() {
        let (store, asked) = answering(vec![takes_all_but(&[0], false), takes_all_but(&[0], false)]).await;
        let sends = vec![job("a", "1", None), job("b", "2", None), job("a", "3", None), job("b", "4", None)];
        store.commit(Commit { sends, ..Commit::default() }).await.unwrap();
        let sent: Vec<Vec<String>> = asked
            .all()
            .iter()
            .map(|(_, batch)| {
                let bodies = batch["Entries"].as_array().unwrap().iter();
                bodies.map(|entry| entry["MessageBody"].as_str().unwrap().lines().last().unwrap().to_owned()).collect()
            })
            .collect();
        assert_eq!(sent, [vec!["1", "2"], vec!["1", "4"], vec!["1"], vec!["3"]]);
        // The same job has the same dedup id however often it is sent.
        let dedups: Vec<_> = [0, 1, 2].map(|n| asked.all()[n].1["Entries"][0]["MessageDeduplicationId"].clone()).into();
        assert!(dedups.iter().all(|dedup| *dedup == dedups[0]), "{dedups:?}");
    }

    #[tokio::test]
    async fn a_message_that_is_refused_is_told() {
        let (store, _) = answering(vec![takes_all_but(&[0], true)]).await;
        let sends = vec![job("a", "1", None)];
        let why = store.commit(Commit { sends, ..Commit::default() }).await.unwrap_err().to_string();
        assert_eq!(
            why,
            "SQS SendMessageBatch on https://example.com/outbox.fifo refused a message (InternalError): no"
        );
    }
}
