//! A stack's life: deployed, changed while messages flow, and deleted with nothing left.

use std::time::Duration;

use serde_json::json;

use crate::cloud::shared;
use crate::queues::{count, until};
use crate::slack::{Pair, lines, within};

/// How long what a dead function worked on is kept from others, by the template, and some more.
const LEASE: Duration = Duration::from_secs(240);

#[tokio::test]
async fn a_stack_is_changed_while_messages_flow_and_leaves_nothing_when_it_is_deleted() {
    let cloud = &shared().cloud;
    let stack = cloud.deploy("life", &[("Front", "function-urls")]).await;
    let mut aws = stack.calls();
    let before = own(&mut aws, "life").await;
    assert!(before.len() > 10, "{before:?}");
    let pair = Pair::meet(&stack).await;
    let acme = pair.acme.clone();
    // Slack does not hold the next event back while it tries a refused one again, so the next is said when this one is
    // taken: else order would be lost before it reaches us.
    acme.retries_after(&[0, 5, 20].map(Duration::from_secs));
    let talk = tokio::spawn(async move {
        for n in 0..60 {
            acme.says("general", "ann", &format!("flow {n}"));
            acme.settled().await;
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    });
    // Other code, other settings, and a worker's stack beside.
    let more = [("LogLevel", "info"), ("MaximumConcurrency", "10"), ("WorkerImage", "example.org/sameroom-worker:1")];
    let changed = cloud.deploy("life", &more).await;
    assert_eq!(changed.output("HooksUrl"), stack.output("HooksUrl"), "what was registered elsewhere must stay");
    talk.await.expect("it talks");
    let refused: Vec<_> = pair.acme.pushes().into_iter().filter(|push| push.status != Some(200)).collect();
    println!("aws: {} events were refused while the stack was changed", refused.len());
    // This server ends a function in the middle of a call when it is replaced, which AWS does not. What it worked on comes
    // again once its lease is over, and may come twice: who died had posted it, perhaps, and not recorded it.
    within(LEASE, &pair.globex, "flow 59 is there", |slack| !lines(slack, "flow 59").is_empty()).await;
    let mut said = lines(&pair.globex, "flow ");
    said.dedup();
    assert_eq!(said, (0..60).map(|n| format!("flow {n}")).collect::<Vec<_>>());
    // Nothing may be on its way any more, the echo of the last line neither: this server keeps what a call logged when the
    // call ends, and makes the group of logs anew where it is gone by then. AWS does not, since no role may make one.
    pair.globex.settled().await;
    for queue in ["EventsQueueUrl", "OutboxQueueUrl"] {
        let queue = changed.output(queue);
        until("nothing is on its way", async || (count(&mut aws, queue).await == 0).then_some(())).await;
    }

    changed.delete(&mut aws).await;
    let left = own(&mut aws, "life").await;
    assert_eq!(left, [""; 0], "left behind");
}

#[tokio::test]
async fn with_an_http_api_there_is_one_address() {
    let cloud = &shared().cloud;
    let stack = cloud.deploy("fronted", &[("Front", "http-api")]).await;
    assert_eq!(stack.output("Url"), stack.output("HooksUrl"));
    let id = stack.output("Url").split("//").nth(1).and_then(|rest| rest.split('.').next()).unwrap_or_default();
    let base = format!("{}/_aws/execute-api/{id}/$default", cloud.endpoint());
    let api = crate::api::Api::new(&base, &stack.key);
    assert!(api.get("/platforms").await["items"].as_array().is_some_and(|items| !items.is_empty()));
    // Webhooks reach the other function: it knows no pages.
    let client = reqwest::Client::new();
    let answer = client.post(format!("{base}/hooks/slack/nobody")).body("{}").send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 401);
    stack.delete(&mut stack.calls()).await;
}

/// What there is in AWS whose name begins with that of a stack.
async fn own(aws: &mut crate::calls::Calls, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (service, operation, list, field) in [
        ("sqs", "list_queues", "QueueUrls", ""),
        ("dynamodb", "list_tables", "TableNames", ""),
        ("lambda", "list_functions", "Functions", "FunctionName"),
        ("lambda", "list_event_source_mappings", "EventSourceMappings", "FunctionArn"),
        ("iam", "list_roles", "Roles", "RoleName"),
        ("logs", "describe_log_groups", "logGroups", "logGroupName"),
        ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
        ("ecs", "list_clusters", "clusterArns", ""),
    ] {
        let told = aws.does(service, operation, json!({})).await;
        for item in told[list].as_array().into_iter().flatten() {
            let text = if field.is_empty() { item.as_str() } else { item[field].as_str() }.unwrap_or_default();
            let last = text.rsplit(['/', ':']).next().unwrap_or_default();
            let ours = |text: &str| text == name || text.starts_with(&format!("{name}-"));
            if ours(last) || ours(text) || text.contains(&format!("/{name}/")) {
                found.push(format!("{service}: {text}"));
            }
        }
    }
    found
}
