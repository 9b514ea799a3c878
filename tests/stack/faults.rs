//! AWS as it is on a bad day: between the functions and the server is a proxy that throttles calls, fails them, and keeps
//! the answers of some that were done. Or it lets nothing be written for a while.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http_body_util::BodyExt as _;
use sameroom_tests::process::port;
use sameroom_tests::worlds::slack::Mood;
use tokio::net::TcpListener;

use crate::cloud::{Cloud, Stack};
use crate::queues::{count, until};
use crate::slack::{Pair, lines, within};

/// How long messages may take to come through.
const PATIENCE: Duration = Duration::from_secs(240);
/// How many are sent.
const MESSAGES: usize = 40;

/// The proxy.
#[derive(Clone, Default)]
struct Bad {
    day: Arc<AtomicBool>,
    /// Nothing is written to the table.
    shut: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    faults: Arc<AtomicU64>,
    server: Arc<str>,
    client: reqwest::Client,
}

impl Bad {
    /// Starts it before a server, on a port of its own; gives its address.
    async fn before(server: String) -> (Self, String) {
        let bad = Self { server: server.into(), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(pass).with_state(bad.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (bad, format!("http://{address}"))
    }
}

async fn pass(State(bad): State<Bad>, request: Request) -> Response {
    let n = bad.calls.fetch_add(1, Ordering::Relaxed);
    // Calls of DynamoDB, SQS and KMS have a target; what the server asks of its functions has none.
    let counts = bad.day.load(Ordering::Relaxed) && request.headers().contains_key("x-amz-target");
    let fault = |kind: &str, status: StatusCode| {
        bad.faults.fetch_add(1, Ordering::Relaxed);
        let body = format!(r#"{{"__type":"{kind}","message":"a bad day"}}"#);
        (status, [("content-type", "application/x-amz-json-1.0")], body).into_response()
    };
    if counts && n % 7 == 3 {
        return fault("ThrottlingException", StatusCode::BAD_REQUEST);
    }
    if counts && n % 11 == 5 {
        return fault("InternalServerError", StatusCode::INTERNAL_SERVER_ERROR);
    }
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let writes = target.starts_with("DynamoDB") && ["Put", "Write"].iter().any(|word| target.contains(word));
    if writes && bad.shut.load(Ordering::Relaxed) {
        return fault("InternalServerError", StatusCode::INTERNAL_SERVER_ERROR);
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    // As it was sent, its host too: it is signed.
    let asked = bad.client.request(parts.method, format!("{}{path}", bad.server)).headers(parts.headers).body(body);
    let Ok(answer) = asked.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.unwrap_or_default();
    if counts && n % 13 == 8 {
        // It was done, and nobody is told.
        return fault("ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE);
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    for (name, value) in &headers {
        if name != "transfer-encoding" && name != "content-length" {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

#[tokio::test]
async fn promise_3_nothing_is_lost_while_aws_throttles_and_fails() {
    let port = port();
    let (bad, proxy) = Bad::before(format!("http://127.0.0.1:{port}")).await;
    let (cloud, _server) = Cloud::start(port, &proxy).await;
    let stack = cloud.deploy("bad", &[]).await;
    let pair = Pair::meet(&stack).await;
    bad.day.store(true, Ordering::Relaxed);
    for n in 0..MESSAGES {
        pair.acme.says("general", "ann", &format!("bad {n}."));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let there = |slack: &_| (0..MESSAGES).all(|n| !lines(slack, &format!("bad {n}.")).is_empty());
    within(PATIENCE, &pair.globex, "all are there", there).await;
    bad.day.store(false, Ordering::Relaxed);
    let (faults, calls) = (bad.faults.load(Ordering::Relaxed), bad.calls.load(Ordering::Relaxed));
    let refused = pair.acme.pushes().iter().filter(|push| push.status != Some(200)).count();
    let twice = lines(&pair.globex, "bad ").len() - MESSAGES;
    println!("aws: of {calls} calls {faults} failed; {refused} events were refused at first, {twice} came twice");
    assert!(faults > 30, "the day was not bad");

    f24_of_a_batch_that_fails_halfway_the_rest_comes_again(&bad, &stack, &pair).await;
}

/// Nine messages wait for one, and come together; when some of them are posted, nothing can be noted any more.
async fn f24_of_a_batch_that_fails_halfway_the_rest_comes_again(bad: &Bad, stack: &Stack, pair: &Pair) {
    let mut aws = stack.calls();
    let mut waiting = async || {
        let mut all = 0;
        for queue in ["EventsQueueUrl", "OutboxQueueUrl"] {
            all += count(&mut aws, stack.output(queue)).await;
        }
        all
    };
    until("nothing is on its way", async || (waiting().await == 0).then_some(())).await;
    // While the first is posted, all others come in: they are one batch.
    let slow = |millis: u64| Mood::Slow(Duration::from_millis(millis));
    pair.globex.is("chat.postMessage", slow(400));
    pair.globex.script("chat.postMessage", [slow(8000)]);
    for n in 0..10 {
        pair.acme.says("general", "ann", &format!("half {n}."));
    }
    pair.acme.settled().await;
    within(PATIENCE, &pair.globex, "some are there", |slack| lines(slack, "half ").len() >= 6).await;
    bad.shut.store(true, Ordering::Relaxed);
    let before = waiting().await;
    let after = until("what was done is settled, and the rest waits", async || {
        let now = waiting().await;
        (now < before).then_some(now)
    })
    .await;
    bad.shut.store(false, Ordering::Relaxed);
    println!("aws: of a batch that failed halfway, {after} of {before} messages came again");
    assert!(after > 0, "they are gone, and could not be noted");
    within(PATIENCE, &pair.globex, "all are there", |slack| !lines(slack, "half 9.").is_empty()).await;
    // Come twice may what was posted while one that could not be noted was not known to be in trouble.
    let mut said = lines(&pair.globex, "half ");
    assert!(said.len() <= 13, "more came twice than were under way: {said:?}");
    let mut known = HashSet::new();
    said.retain(|line| known.insert(line.clone()));
    assert_eq!(said, (0..10).map(|n| format!("half {n}.")).collect::<Vec<_>>());
}
