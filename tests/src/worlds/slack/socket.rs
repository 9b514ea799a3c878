//! Socket Mode: WebSockets to the app, over which envelopes go and acknowledgements come.
//! Source: <https://docs.slack.dev/apis/events-api/using-socket-mode>.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Shared;
use super::events::{Attempt, Delivery};
use super::model::{Id, random};

/// More connections of one app are refused.
const MOST: usize = 10;

/// A connection that is open.
pub(super) struct Socket {
    pub id: u64,
    pub app: Id,
    pub out: mpsc::UnboundedSender<Out>,
    /// Told to go, so that it gets no more events.
    pub leaving: bool,
}

/// What a connection is told to do.
pub(super) enum Out {
    Says(Value),
    /// Says this, then closes.
    Ends(Value),
    /// Vanishes.
    Cut,
}

/// Why a connection ends, or will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// It will end soon; open another.
    Warning,
    /// It ends now.
    RefreshRequested,
    /// Socket Mode was switched off.
    LinkDisabled,
}

/// Serves one connection, once hyper has let go of it.
pub(super) async fn serve(shared: Arc<Shared>, app: Id, upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let (out, mut to_do) = mpsc::unbounded_channel();
    let (id, others) = shared.with(|state| {
        state.serial += 1;
        let others = state.pushes.sockets.iter().filter(|socket| socket.app == app).count();
        (state.serial, others)
    });
    let refused = if !shared.with(|state| state.apps[&app].socket_mode) {
        Some("link_disabled")
    } else if others >= MOST {
        Some("too_many_websockets")
    } else {
        None
    };
    if let Some(reason) = refused {
        let _ = stream.send(disconnect(reason)).await;
        let _ = stream.close(None).await;
        return;
    }
    let hello = json!({
        "type": "hello", "num_connections": others + 1,
        "debug_info": { "host": "applink-1", "build_number": 1, "approximate_connection_time": 18060 },
        "connection_info": { "app_id": app },
    });
    if stream.send(Message::text(hello.to_string())).await.is_err() {
        return;
    }
    let _ = stream.send(Message::Ping("Ping from applink-1".into())).await;
    shared.with(|state| state.pushes.sockets.push(Socket { id, app: app.clone(), out, leaving: false }));
    loop {
        tokio::select! {
            told = to_do.recv() => match told {
                Some(Out::Says(value)) => {
                    if stream.send(Message::text(value.to_string())).await.is_err() { break }
                }
                Some(Out::Ends(value)) => {
                    let _ = stream.send(Message::text(value.to_string())).await;
                    let _ = stream.close(None).await;
                    break;
                }
                Some(Out::Cut) | None => break,
            },
            came = stream.next() => match came {
                Some(Ok(Message::Text(text))) => shared.with(|state| {
                    let value: Value = serde_json::from_str(&text).unwrap_or_default();
                    let id = value["envelope_id"].as_str().unwrap_or_default();
                    if let Some((_, waiting)) = state.pushes.acks.remove(id) {
                        let _ = waiting.send(());
                    }
                }),
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    shared.with(|state| {
        state.pushes.sockets.retain(|socket| socket.id != id);
        state.pushes.acks.retain(|_, (socket, _)| *socket != id);
    });
}

/// One attempt: waits for a connection, sends, and waits for the acknowledgement.
pub(super) async fn attempt(
    shared: &Arc<Shared>,
    delivery: &Delivery,
    number: u32,
    reason: Option<&'static str>,
    timeout: Duration,
) -> Attempt {
    let trying = async {
        let waiting = shared.wait(|state| {
            let pushes = &mut state.pushes;
            let open = pushes.sockets.iter().filter(|socket| socket.app == delivery.app && !socket.leaving);
            let open: Vec<&Socket> = open.collect();
            if open.is_empty() {
                return None;
            }
            pushes.turn += 1;
            let socket = open[pushes.turn % open.len()];
            let envelope = random(36);
            let message = json!({
                "type": "events_api", "envelope_id": envelope, "payload": delivery.envelope,
                "accepts_response_payload": false, "retry_attempt": number, "retry_reason": reason.unwrap_or_default(),
            });
            let (acked, waiting) = oneshot::channel();
            socket.out.send(Out::Says(message)).ok()?;
            let id = socket.id;
            pushes.acks.insert(envelope, (id, acked));
            Some(waiting)
        });
        waiting.await.await.is_ok()
    };
    match tokio::time::timeout(timeout, trying).await {
        Ok(true) => Attempt { status: Some(200), reason: "", no_retry: false },
        Ok(false) => Attempt { status: None, reason: "connection_failed", no_retry: false },
        Err(_) => Attempt { status: None, reason: "timeout", no_retry: false },
    }
}

/// What a connection is told when it ends, or will.
pub(super) fn farewell(why: Disconnect) -> Value {
    let reason = match why {
        Disconnect::Warning => "warning",
        Disconnect::RefreshRequested => "refresh_requested",
        Disconnect::LinkDisabled => "link_disabled",
    };
    json!({ "type": "disconnect", "reason": reason, "debug_info": { "host": "applink-1" } })
}

fn disconnect(reason: &str) -> Message {
    Message::text(json!({ "type": "disconnect", "reason": reason }).to_string())
}
