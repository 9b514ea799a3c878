//! A function as Lambda runs it: a process that asks a Runtime API for what to do. The API is a stand-in of ours on this
//! machine, as <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html> describes it. This file must not know
//! what a function does.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as Part, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::probe;

/// How long a function may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much memory the functions are told that they have, in MB: as in `template.yaml`.
const MEMORY: &str = "256";

/// What the stand-in's handlers share.
struct Api {
    asked: UnboundedSender<Instant>,
    events: tokio::sync::Mutex<UnboundedReceiver<Value>>,
    answers: UnboundedSender<(Instant, String, Bytes)>,
}

/// A function that runs.
pub(crate) struct Function {
    child: Child,
    /// From the start of the process to its first question for an event.
    pub(crate) ready_after: Duration,
    asked: UnboundedReceiver<Instant>,
    events: UnboundedSender<Value>,
    answers: UnboundedReceiver<(Instant, String, Bytes)>,
}

impl Function {
    /// Starts it, with these variables and what Lambda sets, and waits until it asks for its first event.
    pub(crate) async fn start(program: &Path, variables: &[(&str, String)]) -> Self {
        let (tell_asked, mut asked) = unbounded_channel();
        let (events, told) = unbounded_channel();
        let (answer, answers) = unbounded_channel();
        let api = Arc::new(Api { asked: tell_asked, events: tokio::sync::Mutex::new(told), answers: answer });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{what}", post(answered))
            .route("/2018-06-01/runtime/init/error", post(StatusCode::ACCEPTED))
            .with_state(api);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut command = Command::new(program);
        command.env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
        command.env("AWS_LAMBDA_RUNTIME_API", address).env("AWS_LAMBDA_FUNCTION_NAME", "bench");
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY).env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
        command.stdin(Stdio::null()).kill_on_drop(true);
        let began = Instant::now();
        let child = command.spawn().expect("the function starts");
        let ready = tokio::time::timeout(PATIENCE, asked.recv()).await.ok().flatten();
        let ready_after = ready.expect("the function asks for an event; what it said is above") - began;
        Self { child, ready_after, asked, events, answers }
    }

    /// Gives it an event; tells how long it took, and what it answered.
    pub(crate) async fn does(&mut self, event: Value) -> (Duration, Value) {
        let began = Instant::now();
        self.events.send(event).expect("the stand-in runs");
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await.ok().flatten();
        let (at, what, body) = answer.expect("the function answers; what it said is above");
        let text = String::from_utf8_lossy(&body);
        assert_eq!(what, "response", "the function failed: {text}");
        // It has ended what it was about when it asks again.
        let _ = tokio::time::timeout(PATIENCE, self.asked.recv()).await;
        (at - began, serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{text} is no JSON: {e}")))
    }

    /// Resident memory.
    pub(crate) fn rss_mb(&self) -> f64 {
        probe::rss_mb(self.pid())
    }

    /// CPU time that it has used, more finely than in ticks.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        // The first number is nanoseconds (Documentation/scheduler/sched-stats.rst of Linux).
        let used = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
        Duration::from_nanos(used.filter_map(|told| told.split(' ').next()?.parse::<u64>().ok()).sum())
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) {
        let _ = self.child.kill().await;
    }

    fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    let _ = api.asked.send(Instant::now());
    let event = api.events.lock().await.recv().await;
    let Some(event) = event else { return StatusCode::GONE.into_response() };
    let end = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + PATIENCE;
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("lambda-runtime-deadline-ms", end.as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:bench".to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, event.to_string()).into_response()
}

async fn answered(State(api): State<Arc<Api>>, Part((_, what)): Part<(String, String)>, body: Bytes) -> StatusCode {
    let _ = api.answers.send((Instant::now(), what, body));
    StatusCode::ACCEPTED
}

/// A way to a server by which each answer comes later: by how much later all is done, calls in a row can be counted.
/// Gives its address.
pub(crate) async fn slower(server: String, by: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&server).await.expect("the server listens");
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((mut asks, answers), (from, mut to)) = (near.into_split(), far.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut asks, &mut to).await });
            tokio::spawn(later(from, answers, by));
        }
    });
    address
}

/// Passes on what comes, each piece as much later.
async fn later(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, by: Duration) -> std::io::Result<()> {
    let (pass, mut passed) = unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    tokio::spawn(async move {
        let mut piece = vec![0; 65536];
        while let Ok(n @ 1..) = from.read(&mut piece).await {
            let _ = pass.send((tokio::time::Instant::now() + by, piece[..n].to_vec()));
        }
    });
    while let Some((at, piece)) = passed.recv().await {
        tokio::time::sleep_until(at).await;
        to.write_all(&piece).await?;
    }
    Ok(())
}
