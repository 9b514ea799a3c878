//! An AWS that answers as a test tells it to: for answers that a real one gives seldom.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

use crate::clients::http_client;
use crate::{AwsStore, Clients, Settings, SystemClock};

/// What is answered to a request: a status and a body.
pub(crate) type Answer = Box<dyn Fn(&Value) -> (u16, Value) + Send>;

/// What was asked, in order: operation and body.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<Mutex<Vec<(String, Value)>>>);

impl Asked {
    /// All of it so far.
    pub(crate) fn all(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().clone()
    }

    /// The operations alone.
    pub(crate) fn names(&self) -> Vec<String> {
        self.all().into_iter().map(|(name, _)| name).collect()
    }
}

/// A store on an AWS that gives these answers one after the other, and then `{}` to all.
pub(crate) async fn answering(answers: Vec<Answer>) -> (Arc<AwsStore>, Asked) {
    let asked = Asked::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (log, answers) = (asked.clone(), Arc::new(Mutex::new(VecDeque::from(answers))));
    let answer = move |headers: HeaderMap, body: Bytes| async move {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let target = headers["x-amz-target"].to_str().unwrap();
        let name = target.rsplit('.').next().unwrap().to_owned();
        log.0.lock().unwrap().push((name, body.clone()));
        let next = answers.lock().unwrap().pop_front();
        let (status, told) = next.map_or((200, json!({})), |answer| answer(&body));
        (StatusCode::from_u16(status).unwrap(), told.to_string())
    };
    let app = Router::new().route("/", post(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let settings = Settings {
        table: "table".to_owned(),
        events: "https://example.com/events.fifo".to_owned(),
        outbox: "https://example.com/outbox.fifo".to_owned(),
        held: "https://example.com/held.fifo".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(endpoint),
        ..Settings::default()
    };
    let credentials = SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test"));
    let clients = Clients::on(&settings, http_client().unwrap(), credentials);
    (AwsStore::new(&clients, &settings, Arc::new(SystemClock), "test"), asked)
}

/// An answer whatever is asked.
pub(crate) fn always(status: u16, body: Value) -> Answer {
    Box::new(move |_| (status, body.clone()))
}

/// An error of that code.
pub(crate) fn error(code: &str) -> Answer {
    always(400, json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "no"}))
}
