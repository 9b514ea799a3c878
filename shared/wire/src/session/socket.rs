//! An open WebSocket (RFC 6455), as a client: whole messages in, text messages out. Pings are answered here, and asked
//! where the other side has gone quiet; messages are bounded. What they say is not known here, and errors name host and
//! cause, never the URL's path or query, which may hold a secret.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, StreamExt};
use http::{HeaderValue, header};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Url;

use super::conn::{GOODBYE, Heard, MUCH, TOO_MUCH};
use crate::causes::cause;
use crate::dialer::Stream;
use crate::http::USER_AGENT;

/// For the handshake, once there is a stream.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Bytes of a message, at most, in and out.
pub(super) const LONGEST: usize = 1 << 20;

/// Bytes read at a time, and bytes to write that are gathered.
const BUFFER: usize = 8 << 10;

/// After this much silence the other side is asked for a sign of life; after twice as much it counts as gone.
pub(super) const QUIET: Duration = Duration::from_secs(30);

/// An open WebSocket.
pub(super) struct Socket {
    frames: WebSocketStream<Stream>,
    out: VecDeque<Message>,
    /// Bytes in `out`.
    waiting: usize,
    unflushed: bool,
    broken: bool,
    silence: Silence,
    /// What to say when closing.
    code: CloseCode,
}

impl Socket {
    /// Makes the handshake on a stream to the URL's host. The error is a sentence that names host and cause.
    pub(super) async fn open(stream: Stream, url: &Url) -> Result<Self, String> {
        let host = url.host_str().unwrap_or_default();
        let site = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        let mut request =
            url.as_str().into_client_request().map_err(|_| format!("{site}: its URL is not usable for a WebSocket"))?;
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_message_size(Some(LONGEST))
            .max_frame_size(Some(LONGEST));
        match timeout(HANDSHAKE, client_async_with_config(request, stream, Some(config))).await {
            Ok(Ok((frames, _))) => Ok(Self {
                frames,
                out: VecDeque::new(),
                waiting: 0,
                unflushed: false,
                broken: false,
                silence: Silence::new(),
                code: CloseCode::Normal,
            }),
            Ok(Err(Error::Http(answer))) => {
                Err(format!("{site}: it answered {} where a WebSocket was to be opened", answer.status()))
            }
            Ok(Err(error)) => Err(format!("{site}: {}", why(&error))),
            Err(_) => Err(format!("{site}: no WebSocket handshake within {} s", HANDSHAKE.as_secs())),
        }
    }

    /// Puts one text message behind those that wait to be written.
    pub(super) fn send(&mut self, text: Vec<u8>) {
        let length = text.len();
        match Utf8Bytes::try_from(text) {
            Ok(text) if length <= LONGEST => self.push(Message::Text(text)),
            Ok(_) => tracing::error!(length, "a session wanted to send a message that is too long; it is left out"),
            Err(_) => tracing::error!("a session wanted to send a message that is no text; it is left out"),
        }
    }

    /// Whether the other side takes what we write.
    pub(super) fn keeps_up(&self) -> bool {
        self.waiting < MUCH
    }

    /// Sends what was written and a close frame, then waits for the other side's, and for its end.
    pub(super) async fn goodbye(mut self) {
        let words = async {
            // Both fail where the other side was the first to close: the answer to it is sent by reading on.
            let _ = poll_fn(|cx| self.poll_out(cx)).await;
            let _ = self.frames.close(Some(CloseFrame { code: self.code, reason: Utf8Bytes::default() })).await;
            while let Some(heard) = self.frames.next().await {
                heard?;
            }
            self.frames.get_mut().shutdown().await?;
            Result::<(), Error>::Ok(())
        };
        // It is over either way.
        let _ = timeout(GOODBYE, words).await;
    }

    fn push(&mut self, message: Message) {
        if !self.broken {
            self.waiting += message.len();
            self.out.push_back(message);
        }
    }

    /// Writes what waits, and meanwhile waits for a message, if one is wanted.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, wanted: bool) -> Poll<Heard> {
        if self.waiting > TOO_MUCH {
            return Poll::Ready(Heard::End("the other side takes nothing any more".into()));
        }
        let signs = self.silence.poll(cx, wanted);
        if signs == Signs::Ask {
            self.push(Message::Ping(Bytes::new()));
        }
        if !self.broken && matches!(self.poll_out(cx), Poll::Ready(Err(_))) {
            // What the other side said before it went is still to be read; its end is told by the reading half.
            self.broken = true;
            self.out.clear();
            self.waiting = 0;
        }
        if !wanted {
            return Poll::Pending;
        }
        loop {
            let Poll::Ready(heard) = self.frames.poll_next_unpin(cx) else { break };
            self.silence.heard();
            match heard {
                Some(Ok(Message::Text(text))) => return Poll::Ready(Heard::Message(text.into())),
                Some(Ok(Message::Binary(bytes))) => return Poll::Ready(Heard::Message(bytes)),
                // A ping's answer goes out when reading on.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(frame))) => return Poll::Ready(Heard::End(closing(frame.as_ref()))),
                Some(Err(error)) => {
                    self.code = match error {
                        Error::Capacity(_) => CloseCode::Size,
                        Error::Utf8(_) => CloseCode::Invalid,
                        _ => CloseCode::Protocol,
                    };
                    return Poll::Ready(Heard::End(why(&error)));
                }
                None => return Poll::Ready(Heard::End("the other side closed the connection".into())),
            }
        }
        if signs == Signs::None {
            let seconds = (QUIET * 2).as_secs();
            return Poll::Ready(Heard::End(format!("the other side has been silent for {seconds} s")));
        }
        Poll::Pending
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.out.is_empty() {
            ready!(self.frames.poll_ready_unpin(cx))?;
            let Some(message) = self.out.pop_front() else { break };
            self.waiting -= message.len();
            self.unflushed = true;
            self.frames.start_send_unpin(message)?;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.frames).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// Watches for signs of life. A connection that nobody reads is not watched.
struct Silence {
    since: Instant,
    asked: Option<Instant>,
    watched: bool,
    alarm: Pin<Box<Sleep>>,
}

/// What there is to do about a silence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signs {
    /// Nothing.
    Enough,
    /// Ask for a sign of life.
    Ask,
    /// There is none.
    None,
}

impl Silence {
    fn new() -> Self {
        Self { since: Instant::now(), asked: None, watched: false, alarm: Box::pin(sleep(QUIET)) }
    }

    fn heard(&mut self) {
        self.since = Instant::now();
        self.asked = None;
    }

    fn poll(&mut self, cx: &mut Context<'_>, watched: bool) -> Signs {
        if watched && !self.watched {
            self.heard();
        }
        self.watched = watched;
        if !watched {
            return Signs::Enough;
        }
        let mut signs = Signs::Enough;
        // The alarm stays where it is when something is heard: it finds that out when it rings.
        while self.alarm.as_mut().poll(cx).is_ready() {
            let next = match self.asked {
                Some(at) if at.elapsed() >= QUIET => return Signs::None,
                Some(at) => at + QUIET,
                None if self.since.elapsed() >= QUIET => {
                    signs = Signs::Ask;
                    let now = Instant::now();
                    self.asked = Some(now);
                    now + QUIET
                }
                None => self.since + QUIET,
            };
            self.alarm.as_mut().reset(next);
        }
        signs
    }
}

/// Why the other side closed, in its words.
fn closing(frame: Option<&CloseFrame>) -> String {
    let Some(frame) = frame else { return "the other side closed the connection".into() };
    let reason: String = frame.reason.chars().filter(|c| !c.is_control()).collect();
    let code = u16::from(frame.code);
    if reason.is_empty() {
        format!("the other side closed the connection ({code})")
    } else {
        format!("the other side closed the connection ({code}: {reason})")
    }
}

fn why(error: &Error) -> String {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => "the other side closed the connection".into(),
        Error::Io(error) => cause(error),
        Error::Capacity(_) => format!("it sent a message longer than {} MiB", LONGEST >> 20),
        Error::Utf8(_) => "it sent a text message that is no text".into(),
        Error::Protocol(error) => format!("it does not speak WebSocket as it should: {error}"),
        // The words of others may hold the URL.
        _ => "it does not speak WebSocket as it should".into(),
    }
}
