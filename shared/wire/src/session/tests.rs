//! The driver with a toy protocol: lines, or messages on a WebSocket. `EVENT x` is an event, `PING x` is answered with
//! `PONG x`, `TELL x` is told and confirmed with `GOT x`, `ASK url` is asked and answered with `ANSWER status body`,
//! `BYE` makes the session close and open anew, `SECOND` makes it open another connection beside the first (which says
//! `HELLO 1`), and `END SECOND` close that, `BOOM` makes it panic; a delivery is written as `SAY id`, and `OK id`
//! settles it. A delivery named `reopen` makes it close and open anew, too.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sameroom_model::{
    AccountId, Action, DeliveryId, EventId, EventKind, Lane, Message, MessageKey, Origin, RoomRef, Text, Timestamp,
};
use sameroom_platforms::{Dial, Input, LinkId, Output, Tls};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::testing::{Script, TestCa, closed_port, loopback, nets, server};
use crate::{Guard, Limits, Trust};

mod beside;
mod dial;
mod several;
mod talk;
mod trouble;
mod websocket;

const SOON: Duration = Duration::from_secs(5);

/// The protocol.
struct Toy {
    dial: Dial,
    /// Half lines.
    partial: HashMap<LinkId, Vec<u8>>,
    out: VecDeque<Output>,
    under_way: Vec<DeliveryId>,
    connected: bool,
    wakes: Option<Timestamp>,
    /// Answer every tick after this with a line.
    tick: Option<Duration>,
    /// The connection that is answered.
    link: LinkId,
}

impl Toy {
    fn new(host: &str, port: u16, tls: Option<Tls>) -> Self {
        Self::dialing(Dial::Tcp { host: host.into(), port, tls })
    }

    fn dialing(dial: Dial) -> Self {
        let (partial, out, under_way) = Default::default();
        Self { dial, partial, out, under_way, connected: false, wakes: None, tick: None, link: LinkId::MAIN }
    }

    fn line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "EVENT" => {
                self.out.push_back(Output::Event(event(rest)));
                self.out.push_back(Output::Seen { key: "room".into(), mark: rest.into() });
            }
            "PING" => self.send(&format!("PONG {rest}")),
            "TELL" => {
                self.out.push_back(Output::Told(rest.to_owned().into()));
                let confirm = self.framed(&format!("GOT {rest}"));
                self.out.push_back(Output::Confirm(self.link, confirm));
            }
            "ASK" => {
                let request = http::Request::get(rest).body(Bytes::new()).unwrap();
                self.out.push_back(Output::Ask(Box::new(request)));
            }
            "BYE" => self.reopen(),
            "SEEN" => self.out.push_back(Output::Seen { key: "room".into(), mark: rest.into() }),
            "SECOND" => self.out.push_back(Output::Open(LinkId(1), self.dial.clone())),
            "END" => self.out.push_back(Output::Close(LinkId(1))),
            "OK" => {
                self.under_way.retain(|id| id.as_str() != rest);
                let outcome = Outcome::Done { keys: vec![MessageKey::from(rest)] };
                self.out.push_back(Output::Settled { id: rest.into(), outcome });
            }
            "BOOM" => panic!("{rest}"),
            other => panic!("the server said {other}"),
        }
    }

    fn reopen(&mut self) {
        self.out.push_back(Output::Close(LinkId::MAIN));
        self.connected = false;
        self.out.push_back(Output::Open(LinkId::MAIN, self.dial.clone()));
    }

    fn send(&mut self, line: &str) {
        let line = self.framed(line);
        self.out.push_back(Output::Send(self.link, line));
    }

    fn framed(&self, line: &str) -> Vec<u8> {
        let end = if self.messages() { "" } else { "\n" };
        format!("{line}{end}").into_bytes()
    }

    fn messages(&self) -> bool {
        matches!(self.dial, Dial::WebSocket(_))
    }
}

impl Session for Toy {
    fn handle(&mut self, input: Input<'_>, now: Timestamp) {
        self.link = match input {
            Input::Received(link, _) => link,
            _ => LinkId::MAIN,
        };
        match input {
            Input::Opened(link) if link != LinkId::MAIN => {
                self.out.push_back(Output::Send(link, self.framed(&format!("HELLO {}", link.0))));
            }
            Input::Closed(link, _) if link != LinkId::MAIN => self.out.push_back(Output::Event(event("second closed"))),
            Input::Rooms(rooms) if self.connected => {
                let names: Vec<_> = rooms.iter().map(|room| room.name.clone()).collect();
                self.send(&format!("ROOMS {}", names.join(",")));
            }
            Input::Rooms(_) => self.out.push_back(Output::Open(LinkId::MAIN, self.dial.clone())),
            Input::Opened(_) => {
                self.connected = true;
                self.out.push_back(Output::State(AccountState::Ok));
                self.send("HELLO");
                self.send("WORLD");
                for id in self.under_way.clone() {
                    self.send(&format!("SAY {id}"));
                }
                self.wakes = self.tick.map(|tick| now + tick);
            }
            Input::Received(_, bytes) if self.messages() => self.line(std::str::from_utf8(bytes).unwrap()),
            Input::Answered(Ok(answer)) => {
                let body = String::from_utf8_lossy(answer.body());
                self.send(&format!("ANSWER {} {body}", answer.status().as_u16()));
            }
            Input::Answered(Err(why)) => self.send(&format!("NO ANSWER {why}")),
            Input::Received(_, bytes) => {
                let mut partial = self.partial.remove(&self.link).unwrap_or_default();
                partial.extend_from_slice(bytes);
                while let Some(end) = partial.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = partial.drain(..=end).collect();
                    self.line(std::str::from_utf8(&line[..end]).unwrap());
                }
                self.partial.insert(self.link, partial);
            }
            Input::Closed(_, why) => {
                self.connected = false;
                self.partial.clear();
                self.out.push_back(Output::State(AccountState::Trouble(why.into())));
                self.wakes = Some(now + Duration::from_millis(20));
            }
            Input::Deliver(delivery) if delivery.id.as_str() == "reopen" => {
                self.out.push_back(Output::Settled { id: delivery.id, outcome: Outcome::done() });
                self.reopen();
            }
            Input::Deliver(delivery) if delivery.id.as_str() == "second" => {
                self.out.push_back(Output::Settled { id: delivery.id, outcome: Outcome::done() });
                self.out.push_back(Output::Close(LinkId(1)));
                self.out.push_back(Output::Open(LinkId(1), self.dial.clone()));
            }
            Input::Deliver(delivery) => {
                if self.connected {
                    self.send(&format!("SAY {}", delivery.id));
                }
                self.under_way.push(delivery.id);
            }
            Input::Wake => {
                assert!(self.wakes.is_none_or(|at| now >= at), "woken too early");
                self.wakes = None;
                if self.connected {
                    self.send("TICK");
                    self.wakes = self.tick.map(|tick| now + tick);
                } else {
                    self.out.push_back(Output::Open(LinkId::MAIN, self.dial.clone()));
                }
            }
            Input::Stop => {
                for id in std::mem::take(&mut self.under_way) {
                    self.out.push_back(Output::Settled { id, outcome: Outcome::retry("stopping") });
                }
                self.send("QUIT");
                self.out.push_back(Output::Close(LinkId::MAIN));
                self.out.push_back(Output::Stopped);
            }
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn wakes_at(&self) -> Option<Timestamp> {
        self.wakes
    }
}

/// A sink that keeps all in memory, and can be out of order.
#[derive(Default)]
struct Memory {
    kept: Mutex<Vec<String>>,
    down: AtomicBool,
    /// The one note that can't be kept.
    fails_on: Mutex<String>,
    attempts: Mutex<usize>,
}

impl Memory {
    fn keep(&self, note: String) -> Result<(), Unavailable> {
        *self.attempts.lock().unwrap() += 1;
        if self.down.load(Ordering::SeqCst) || *self.fails_on.lock().unwrap() == note {
            return Err(Unavailable::new("the disk is full"));
        }
        self.kept.lock().unwrap().push(note);
        Ok(())
    }

    fn kept(&self, what: &str) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        kept.iter().filter_map(|note| note.strip_prefix(what)).map(|rest| rest.trim().to_owned()).collect()
    }
}

#[async_trait]
impl Sink for Memory {
    async fn events(&self, events: &[Event]) -> Result<(), Unavailable> {
        tokio::task::yield_now().await;
        events.iter().try_for_each(|event| self.keep(format!("event {}", event.id)))
    }

    async fn told(&self, body: &Bytes) -> Result<(), Unavailable> {
        self.keep(format!("told {}", String::from_utf8_lossy(body)))
    }

    async fn state(&self, state: &AccountState) -> Result<(), Unavailable> {
        self.keep(format!("state {state:?}"))
    }

    async fn identity(&self, identity: &Identity) -> Result<(), Unavailable> {
        self.keep(format!("identity {identity:?}"))
    }

    async fn room(&self, key: &RoomKey, availability: &Availability) -> Result<(), Unavailable> {
        self.keep(format!("room {key} {availability:?}"))
    }

    async fn seen(&self, key: &RoomKey, mark: &str) -> Result<(), Unavailable> {
        self.keep(format!("seen {key} {mark}"))
    }
}

/// A wall clock that can be set.
struct Wall(Mutex<Timestamp>);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn wall() -> Arc<Wall> {
    Arc::new(Wall(Mutex::new("2026-11-22T10:00:00Z".parse().unwrap())))
}

fn event(id: &str) -> Event {
    Event {
        id: EventId::from(id),
        room: RoomRef { account: AccountId::from("a"), key: "room".into() },
        at: Timestamp::UNIX_EPOCH,
        author: None,
        kind: EventKind::Posted(Message::new(id, Text::default())),
    }
}

fn delivery(lane: &str, id: &str) -> Delivery {
    let room = |key: &str| RoomRef { account: AccountId::from("a"), key: key.into() };
    Delivery {
        id: id.into(),
        lane: Lane { from: room(lane), to: room("room") },
        origin: Origin { event: "e".into(), key: None, at: Timestamp::UNIX_EPOCH },
        author: None,
        shown: String::new(),
        action: Action::Notice { body: Text::default() },
        copies: Vec::new(),
    }
}

fn joined(name: &str) -> Joined {
    Joined { key: name.into(), name: name.into(), settings: serde_json::Value::Null, seen: None }
}

/// The server's end of a connection.
struct Peer<S = TcpStream>(BufReader<S>);

impl<S: tokio::io::AsyncRead + AsyncWrite + Unpin> Peer<S> {
    async fn hears(&mut self, expected: &str) {
        assert_eq!(self.next().await, expected);
    }

    async fn next(&mut self) -> String {
        let mut line = String::new();
        timeout(SOON, self.0.read_line(&mut line)).await.expect("the session says something").unwrap();
        line.trim_end().to_owned()
    }

    async fn says(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }
}

/// A session, its sink and the server that it connects to.
struct Stage {
    listener: TcpListener,
    sink: Arc<Memory>,
    handle: Handle,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Toy)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut toy = Toy::new("127.0.0.1", listener.local_addr().unwrap().port(), None);
        change(&mut toy);
        let sink = Arc::<Memory>::default();
        let handle = start(toy, Arc::clone(&sink), dialer());
        handle.rooms(vec![joined("one")]);
        Self { listener, sink, handle }
    }

    async fn accepts(&self) -> Peer {
        let (stream, _) = timeout(SOON, self.listener.accept()).await.expect("the session connects").unwrap();
        let mut peer = Peer(BufReader::new(stream));
        peer.hears("HELLO").await;
        peer.hears("WORLD").await;
        peer
    }

    async fn accepts_second(&self) -> Peer {
        let (stream, _) = timeout(SOON, self.listener.accept()).await.expect("the session connects").unwrap();
        let mut peer = Peer(BufReader::new(stream));
        peer.hears("HELLO 1").await;
        peer
    }
}

fn dialer() -> Arc<Dialer> {
    Arc::new(Dialer::new(loopback(), Arc::default()))
}

fn start(toy: Toy, sink: Arc<Memory>, dialer: Arc<Dialer>) -> Handle {
    // Reading the system's roots takes its time without optimisation; once is enough.
    static TRUST: LazyLock<Arc<Trust>> = LazyLock::new(Arc::default);
    let http = HttpClient::new(loopback(), Arc::clone(&TRUST), Limits::default());
    spawn(Box::new(toy), sink, dialer, Arc::new(http), wall())
}

async fn until(what: impl Fn() -> bool) {
    timeout(SOON, async {
        while !what() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .expect("it happens");
}
