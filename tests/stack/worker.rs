//! The worker as a plain process in its role, with people on ngIRCd: it holds the connection, and another takes over.

use std::time::{Duration, Instant};

use sameroom_tests::process::{Program, command, port};

use crate::calls::Calls;
use crate::cloud::{Stack, built_program, shared};
use crate::people::Person;
use crate::queues::{count, until};
use crate::servers::{Kind, Server};
use crate::slack::{has, lines, world};

/// The nick of our worker.
const BOT: &str = "sameroom";
/// How long a worker may take to its lead: a term, and the time it takes to look.
const LEADS: Duration = Duration::from_secs(60);

/// How long what a dead worker held is kept from others, and some more.
const LEASE: Duration = Duration::from_secs(90);

struct Worker {
    program: Program,
    alive: u16,
}

impl Worker {
    /// Starts one in the role that the template gives it.
    async fn start(stack: &Stack, aws: &mut Calls) -> Self {
        let role = stack.output("WorkerRoleArn").to_owned();
        let (credentials, alive) = (aws.credentials(&role).await, port());
        let binary = built_program("worker");
        let mut worker = command(binary);
        worker.env_remove("AWS_PROFILE").envs(credentials);
        worker.envs([("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", stack.cloud.endpoint().as_str())]);
        worker.envs([("SAMEROOM_LOG", "info"), ("SAMEROOM_ALLOW", "127.0.0.0/8")]);
        worker.env("SAMEROOM_ALIVE", format!("127.0.0.1:{alive}"));
        for (name, output) in [
            ("SAMEROOM_TABLE", "Table"),
            ("SAMEROOM_EVENTS_QUEUE", "EventsQueueUrl"),
            ("SAMEROOM_OUTBOX_QUEUE", "OutboxQueueUrl"),
            ("SAMEROOM_HELD_QUEUE", "HeldQueueUrl"),
            ("SAMEROOM_KMS_KEY", "KmsKey"),
            ("SAMEROOM_PUBLIC_URL", "Url"),
        ] {
            worker.env(name, stack.output(output));
        }
        Self { program: Program::start("worker", worker), alive }
    }

    /// How it says that it fares.
    async fn fares(&self) -> String {
        match reqwest::get(format!("http://127.0.0.1:{}/healthz", self.alive)).await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until it says so, and tells how long that took.
    async fn is(&self, words: &str) -> Duration {
        let began = Instant::now();
        while !self.fares().await.starts_with(words) {
            assert!(began.elapsed() < LEADS, "the worker is not '{words}':\n{}", self.program.said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        began.elapsed()
    }
}

#[tokio::test]
async fn irc_goes_by_the_worker_and_another_takes_over_when_it_is_killed() {
    let stack = shared();
    let mut aws = stack.calls();
    let mut first = Worker::start(stack, &mut aws).await;
    first.is("leading").await;
    let ngircd = Server::unlimited(Kind::Ngircd).await;
    let mut ada = Person::joins(&ngircd, "ada", "#one").await;
    let (slack, general, _) = world(stack, "irc").await;
    let (channel, _) = stack.api().room(&ngircd.room("#one", "?rate=0")).await;
    stack.api().tube(&channel, &general).await;
    ada.meets(BOT).await;

    ada.says("#one", "Hello from IRC").await;
    has(&slack, "Hello from IRC").await;
    slack.says("general", "zoe", "hello *back*");
    ada.hears("<zoe> hello \u{2}back\u{2}").await;

    // A second one waits, and takes over when the first is gone without a word.
    let mut second = Worker::start(stack, &mut aws).await;
    second.is("waiting").await;
    slack.says("general", "zoe", "before");
    ada.hears("<zoe> before").await;
    // What a worker dies over before it is recorded comes twice: IRC can't tell.
    let queue = stack.output("HeldQueueUrl");
    until("the queue is empty", async || (count(&mut aws, queue).await == 0).then_some(())).await;
    first.program.kill().await;
    for n in 0..5 {
        slack.says("general", "zoe", &format!("while nobody leads {n}"));
    }
    let took = second.is("leading").await;
    println!("aws: a killed worker was followed after {:.0} s", took.as_secs_f64());
    ada.meets(BOT).await;
    for n in 0..5 {
        // SQS may have handed one to the dead: it comes again once that lease is over.
        assert_eq!(ada.next_line(LEASE).await, format!("<zoe> while nobody leads {n}"));
    }
    ada.says("#one", "Still here").await;
    has(&slack, "Still here").await;

    // Told to stop it hands over at once.
    let third = Worker::start(stack, &mut aws).await;
    third.is("waiting").await;
    second.program.terminate().await;
    let took = third.is("leading").await;
    println!("aws: a worker that was told to stop was followed after {:.0} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(15), "the lead was not given up");
    assert!(second.program.ended(Duration::from_secs(30)).await.is_some_and(|status| status.success()));
    ada.meets(BOT).await;
    slack.says("general", "zoe", "the end");
    ada.hears("<zoe> the end").await;
    assert_eq!(lines(&slack, "Still").len(), 1);
}

#[tokio::test]
async fn irc_a_worker_that_is_told_nothing_or_the_wrong_thing_says_what_to_do() {
    let stack = shared();
    let binary = built_program("worker");
    let right = [
        ("SAMEROOM_TABLE", stack.output("Table")),
        ("SAMEROOM_EVENTS_QUEUE", stack.output("EventsQueueUrl")),
        ("SAMEROOM_OUTBOX_QUEUE", stack.output("OutboxQueueUrl")),
        ("SAMEROOM_HELD_QUEUE", stack.output("HeldQueueUrl")),
        ("SAMEROOM_KMS_KEY", stack.output("KmsKey")),
        ("AWS_REGION", "us-east-1"),
    ];
    for (name, value, said) in [
        ("SAMEROOM_TABLE", "", "SAMEROOM_TABLE is not set: set it to"),
        ("SAMEROOM_HELD_QUEUE", "https://example.org/held", "SAMEROOM_HELD_QUEUE is not a FIFO queue's"),
        ("SAMEROOM_ALLOW", "everything", "SAMEROOM_ALLOW names 'everything', which is no network"),
        ("SAMEROOM_KMS_KEY", "", "SAMEROOM_KMS_KEY is not set"),
        ("SAMEROOM_PUBLIC_URL", "rooms", "SAMEROOM_PUBLIC_URL is not an address"),
    ] {
        let mut worker = command(&binary);
        worker.env_clear().env("PATH", std::env::var("PATH").unwrap_or_default());
        worker.envs(right).envs([("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")]).env(name, value);
        let mut program = Program::start("worker", worker);
        let ended = program.ended(Duration::from_secs(20)).await.unwrap_or_else(|| panic!("it runs without {name}"));
        // What it wrote last may be read a moment after it ended.
        program.says(said, Duration::from_secs(10)).await;
        assert!(!ended.success(), "{name}: {}", program.said());
    }
}
