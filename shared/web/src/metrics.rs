//! Health and counts: `/healthz` (this process answers), `/readyz` (its store does), `/metrics` (Prometheus text).

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use sameroom_engine::ports::{Census, QueueName};
use sameroom_engine::problem;

use crate::{App, page};

pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

pub(crate) async fn readyz(State(app): State<App>) -> Response {
    match app.engine.store().census().await {
        Ok(_) => page::document(http::Response::new(Bytes::from_static(b"ready\n"))),
        Err(e) => page::document(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &e.why)),
    }
}

pub(crate) async fn metrics(State(app): State<App>) -> Response {
    match app.engine.store().census().await {
        Ok(census) => {
            let lag = app.engine.store().lag(QueueName::Events).as_secs_f64();
            let mut response = http::Response::new(Bytes::from(text(&census, lag)));
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            page::document(response)
        }
        Err(e) => page::document(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &e.why)),
    }
}

fn text(census: &Census, lag: f64) -> String {
    use sameroom_engine::ports::Tally::{
        Accepted, Ambiguous, Dead, Delivered, Expired, Filtered, LeftOut, Owed, Relayed,
    };
    let mut out = String::new();
    for (tally, name, help) in [
        (Accepted, "events_accepted", "Events made durable."),
        (Relayed, "events_relayed", "Events for which every copy owed is delivered, refused or in its lane's outbox."),
        (Filtered, "events_filtered", "Events that owe no copy."),
        (Owed, "copies_owed", "Copies owed."),
        (Delivered, "copies_delivered", "Copies that their target took."),
        (Dead, "copies_dead", "Copies refused for good; listed and replayable."),
        (Expired, "copies_expired", "Copies given up because they grew too old."),
        (LeftOut, "copies_left_out", "Copies that were there already, or changes of messages that have none."),
        (Ambiguous, "ambiguous_sends", "Second attempts after one that may have had its effect: possible duplicates."),
    ] {
        let count = census.count(tally);
        // Writing to a String can't fail.
        let _ = writeln!(
            out,
            "# HELP sameroom_{name}_total {help}\n# TYPE sameroom_{name}_total counter\nsameroom_{name}_total {count}"
        );
    }
    let _ = writeln!(out, "# HELP sameroom_waiting Jobs waiting, by queue.\n# TYPE sameroom_waiting gauge");
    for (queue, name) in [(QueueName::Events, "events"), (QueueName::Outbox, "outbox"), (QueueName::Held, "held")] {
        let _ = writeln!(out, "sameroom_waiting{{queue=\"{name}\"}} {}", census.waiting(queue));
    }
    let _ = writeln!(
        out,
        "# HELP sameroom_lag_seconds Age of the oldest event that nobody works on.\n# TYPE sameroom_lag_seconds \
         gauge\nsameroom_lag_seconds {lag:.3}"
    );
    out
}
