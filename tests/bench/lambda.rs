//! The functions of AWS, as `tests/run` built them for it, on this machine: how large each is, how soon it is ready, and
//! what its first request and the later ones take. AWS is a local one (ministack, a Python program), which answers
//! within milliseconds, and not as fast as AWS: what is ours is the CPU time, and how many calls are made in a row.
//! Beside them runs a function that does nothing.

use std::path::PathBuf;
use std::time::Duration;

use sameroom_tests::ministack;
use serde_json::{Value, json};

use crate::hook::{self, Sink};
use crate::probe::{self, Report};
use crate::runtime::{Function, slower};

/// How often a function is started.
const STARTS: usize = 9;
/// How many requests follow the first one, each time.
const MORE: usize = 10;
/// How many of these are made with a slower AWS, and how much slower it is.
const SLOW: (usize, Duration) = (5, Duration::from_millis(50));
/// Any credentials will do there.
const CREDENTIALS: &str = "test";

/// What was measured of a function. Each list has a value for each start, or for each later request.
#[derive(Default)]
struct Measured {
    ready: Vec<f64>,
    ready_cpu: Vec<f64>,
    first: Vec<f64>,
    rss: Vec<f64>,
    later: Vec<f64>,
    later_cpu: Vec<f64>,
    /// Likewise with a slower AWS.
    slowed: Vec<f64>,
}

/// All that is measured of the functions.
pub(crate) async fn run(report: &mut Report) {
    let missing = ["hello", "inbound", "relay", "api"].into_iter().find(|name| !program(name).exists());
    if let Some(name) = missing {
        report.skip("lambda", &format!("the function {name} is not built; run `tests/run bench`"));
        return;
    }
    for name in ["hello", "inbound", "relay", "api"] {
        match std::fs::metadata(built().join(format!("{name}.zip"))) {
            Ok(zip) => report.put(&format!("lambda: {name}: zipped"), zip.len() as f64 / 1e6, "MB"),
            Err(_) => report.skip(&format!("lambda: {name}: zipped"), "there is no zip; run `tests/run bench`"),
        }
    }
    let mut hello = Measured::default();
    for _ in 0..STARTS {
        let mut asked = |n: usize| request("GET", "/", &[], &n.to_string());
        hello.round("hello", &[], &mut asked, None).await;
    }
    hello.tell("hello", report);
    if !ministack::installed() {
        report.skip("lambda: inbound, relay and api", "ministack is not installed; run `tests/run aws-contract`");
        return;
    }
    let endpoint = tokio::task::spawn_blocking(ministack::endpoint).await.expect("it starts");
    Cloud::new(endpoint).await.functions(report).await;
}

impl Measured {
    /// One start, with what follows. `slow`: the variables for a slower AWS, if that is to be measured.
    async fn round(
        &mut self,
        name: &str,
        variables: &[(&str, String)],
        event: &mut impl FnMut(usize) -> Value,
        slow: Option<&[(&str, String)]>,
    ) {
        let mut function = Function::start(&program(name), variables).await;
        self.ready.push(ms(function.ready_after));
        self.ready_cpu.push(ms(function.cpu()));
        self.first.push(ms(done(&mut function, event(0)).await));
        self.rss.push(function.rss_mb());
        for n in 1..=MORE {
            let before = function.cpu();
            self.later.push(ms(done(&mut function, event(n)).await));
            self.later_cpu.push(ms(function.cpu() - before));
        }
        function.stop().await;
        let Some(slow) = slow else { return };
        let mut function = Function::start(&program(name), slow).await;
        done(&mut function, event(MORE + 1)).await;
        for n in 0..SLOW.0 {
            self.slowed.push(ms(done(&mut function, event(MORE + 2 + n)).await));
        }
        function.stop().await;
    }

    fn tell(&mut self, name: &str, report: &mut Report) {
        let later = median(&mut self.later);
        for (what, value, unit) in [
            ("start to first question for work, median", median(&mut self.ready), "ms"),
            ("CPU until then", median(&mut self.ready_cpu), "ms"),
            ("first request, median", median(&mut self.first), "ms"),
            ("RSS after it", median(&mut self.rss), "MB"),
            ("later requests, median", later, "ms"),
            ("CPU of each", median(&mut self.later_cpu), "ms"),
        ] {
            report.put(&format!("lambda: {name}: {what}"), value, unit);
        }
        if !self.slowed.is_empty() {
            let longer = median(&mut self.slowed) - later;
            report.put(&format!("lambda: {name}: calls of AWS in a row, of each"), longer / ms(SLOW.1), "");
        }
    }
}

/// A local AWS with what the template makes, and two rooms that are connected.
struct Cloud {
    endpoint: String,
    client: reqwest::Client,
    queues: [String; 3],
    /// Variables of the functions, and those with which AWS is slower.
    variables: Vec<(&'static str, String)>,
    slow: Vec<(&'static str, String)>,
    key: String,
    /// The account that webhooks come from.
    account: String,
    sink: Sink,
}

impl Cloud {
    async fn new(endpoint: &str) -> Self {
        let sink = Sink::start().await;
        let mut cloud = Self {
            endpoint: endpoint.to_owned(),
            client: reqwest::Client::new(),
            queues: Default::default(),
            variables: Vec::new(),
            slow: Vec::new(),
            key: String::new(),
            account: String::new(),
            sink,
        };
        let table = json!({
            "TableName": "bench", "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
            "AttributeDefinitions": [
                {"AttributeName": "p", "AttributeType": "S"}, {"AttributeName": "s", "AttributeType": "S"},
            ],
        });
        cloud.calls("DynamoDB_20120810.CreateTable", table).await;
        for (n, name) in ["events", "outbox", "held"].into_iter().enumerate() {
            let attributes = json!({
                "FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId",
            });
            let asked = json!({"QueueName": format!("bench-{name}.fifo"), "Attributes": attributes});
            cloud.queues[n] = text(&cloud.calls("AmazonSQS.CreateQueue", asked).await["QueueUrl"]);
        }
        let key = cloud.calls("TrentService.CreateKey", json!({})).await;
        let server = endpoint.trim_start_matches("http://").to_owned();
        let slow = format!("http://{}", slower(server, SLOW.1).await);
        let variables = |endpoint: &str| {
            let [events, outbox, held] = cloud.queues.clone();
            [
                ("SAMEROOM_TABLE", "bench".to_owned()),
                ("SAMEROOM_EVENTS_QUEUE", events),
                ("SAMEROOM_OUTBOX_QUEUE", outbox),
                ("SAMEROOM_HELD_QUEUE", held),
                ("SAMEROOM_KMS_KEY", text(&key["KeyMetadata"]["Arn"])),
                ("SAMEROOM_ALLOW", "127.0.0.0/8".to_owned()),
                ("SAMEROOM_LOG", "warn".to_owned()),
                ("AWS_REGION", "us-east-1".to_owned()),
                ("AWS_ENDPOINT_URL", endpoint.to_owned()),
                ("AWS_ACCESS_KEY_ID", CREDENTIALS.to_owned()),
                ("AWS_SECRET_ACCESS_KEY", CREDENTIALS.to_owned()),
            ]
        };
        (cloud.variables, cloud.slow) = (variables(endpoint).to_vec(), variables(&slow).to_vec());
        cloud.connect().await;
        cloud
    }

    /// Makes a key, two rooms and a Tube by the function that answers the API, and lets the relay say that it is open.
    async fn connect(&mut self) {
        let mut api = Function::start(&program("api"), &self.variables).await;
        self.key = text(&api.does(json!({"sameroom": "first-key"})).await.1["token"]);
        let mut rooms = Vec::new();
        for url in hook::pairs(&self.sink, 1) {
            let room = self.posts(&mut api, "/api/v1/rooms", &json!({"url": url})).await;
            rooms.push((text(&room["id"]), text(&room["account"])));
        }
        self.posts(&mut api, "/api/v1/tubes", &json!({"rooms": [rooms[0].0, rooms[1].0]})).await;
        api.stop().await;
        self.account = rooms.swap_remove(0).1;
        let mut relay = Function::start(&program("relay"), &self.variables).await;
        while let Some(job) = self.takes().await {
            done(&mut relay, job).await;
        }
        relay.stop().await;
    }

    async fn posts(&self, api: &mut Function, path: &str, body: &Value) -> Value {
        let asked = self.asks("POST", path, &body.to_string());
        let answer = api.does(asked).await.1;
        let said = text(&answer["body"]);
        assert!(answer["statusCode"].as_u64().is_some_and(|status| status < 300), "{path}: {answer}");
        serde_json::from_str(&said).expect("JSON")
    }

    /// A request of the API.
    fn asks(&self, method: &str, path: &str, body: &str) -> Value {
        let headers =
            [("content-type", "application/json".to_owned()), ("authorization", format!("Bearer {}", self.key))];
        request(method, path, &headers, body)
    }

    /// A call of AWS by nobody's SDK: the server here looks at no signature.
    async fn calls(&self, target: &str, body: Value) -> Value {
        let asked = self.client.post(&self.endpoint).header("x-amz-target", target);
        let asked = asked.header("content-type", "application/x-amz-json-1.0").body(body.to_string());
        let answer = asked.send().await.expect("the server answers");
        let (status, said) = (answer.status(), answer.text().await.expect("all of it"));
        assert!(status.is_success(), "{target}: {status} {said}");
        serde_json::from_str(&said).expect("JSON")
    }

    /// The next job that waits for the relay, as Lambda gives it, and deletes it: here every job is done at once.
    async fn takes(&self) -> Option<Value> {
        for url in &self.queues[..2] {
            let asked = json!({"QueueUrl": url, "AttributeNames": ["All"], "MaxNumberOfMessages": 1});
            let told = self.calls("AmazonSQS.ReceiveMessage", asked).await;
            let Some(message) = told["Messages"].get(0) else { continue };
            let deleted = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
            self.calls("AmazonSQS.DeleteMessage", deleted).await;
            let name = url.rsplit('/').next().unwrap_or_default();
            return Some(json!({"Records": [{
                "messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"],
                "attributes": message["Attributes"], "messageAttributes": {}, "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs", "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{name}"),
                "awsRegion": "us-east-1",
            }]}));
        }
        None
    }

    async fn functions(&self, report: &mut Report) {
        let (mut inbound, mut relay, mut api) = (Measured::default(), Measured::default(), Measured::default());
        for start in 0..STARTS {
            let mut hook = |n: usize| {
                let hook::Signed { body, headers } = hook::signed("room0", &format!("bench-{start}-{n}"));
                request("POST", &format!("/hooks/webhook/{}", self.account), &headers, &body)
            };
            inbound.round("inbound", &self.variables, &mut hook, Some(&self.slow)).await;
            let mut jobs = Vec::new();
            while let Some(job) = self.takes().await {
                jobs.push(job);
            }
            relay.round("relay", &self.variables, &mut |n: usize| jobs[n].clone(), Some(&self.slow)).await;
            let mut asks = |_: usize| self.asks("GET", "/api/v1/tubes", "");
            api.round("api", &self.variables, &mut asks, Some(&self.slow)).await;
        }
        inbound.tell("inbound", report);
        relay.tell("relay", report);
        api.tell("api", report);
    }
}

/// Gives a function an event that it must do.
async fn done(function: &mut Function, event: Value) -> Duration {
    let (took, answer) = function.does(event).await;
    let status = answer["statusCode"].as_u64().unwrap_or(200);
    assert!((200..300).contains(&status), "answered {answer}");
    assert!(answer["batchItemFailures"].as_array().is_none_or(Vec::is_empty), "answered {answer}");
    took
}

/// What a function URL makes of a request:
/// <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>.
fn request(method: &str, path: &str, headers: &[(&str, String)], body: &str) -> Value {
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": headers,
        "requestContext": {
            "accountId": "anonymous", "apiId": "bench", "domainName": "bench.lambda-url.us-east-1.on.aws",
            "domainPrefix": "bench", "requestId": "r", "routeKey": "$default", "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1_583_348_638_390_u64,
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "bench",
            },
        },
        "body": body, "isBase64Encoded": false,
    })
}

/// A function, stripped, as `tests/run` lays it out.
fn program(name: &str) -> PathBuf {
    built().join(name).join("bootstrap")
}

fn built() -> PathBuf {
    probe::target().join("bootstraps/function")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
