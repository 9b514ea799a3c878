//! The driver with a toy protocol: lines. `EVENT x` is an event, `PING x` is answered with `PONG x`, `BYE` makes the
//! session close and open anew, `BOOM` makes it panic; a delivery is written as `SAY id`, and `OK id` settles it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sameroom_model::{
    AccountId, Action, DeliveryId, EventId, EventKind, Lane, Message, MessageKey, Origin, RoomRef, Text, Timestamp,
};
use sameroom_platforms::{Dial, Input, Output, Tls};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::testing::{Script, TestCa, closed_port, loopback, nets, server};
use crate::{Guard, Trust};

const SOON: Duration = Duration::from_secs(5);

/// The protocol.
struct Toy {
    dial: Dial,
    partial: Vec<u8>,
    out: VecDeque<Output>,
    under_way: Vec<DeliveryId>,
    connected: bool,
    wakes: Option<Timestamp>,
    /// Answer every tick after this with a line.
    tick: Option<Duration>,
}

impl Toy {
    fn new(host: &str, port: u16, tls: Option<Tls>) -> Self {
        let dial = Dial::Tcp { host: host.into(), port, tls };
        let (partial, out, under_way) = Default::default();
        Self { dial, partial, out, under_way, connected: false, wakes: None, tick: None }
    }

    fn line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "EVENT" => {
                self.out.push_back(Output::Event(event(rest)));
                self.out.push_back(Output::Seen { key: "room".into(), mark: rest.into() });
            }
            "PING" => self.send(&format!("PONG {rest}")),
            "BYE" => {
                self.out.push_back(Output::Close);
                self.connected = false;
                self.out.push_back(Output::Open(self.dial.clone()));
            }
            "OK" => {
                self.under_way.retain(|id| id.as_str() != rest);
                let outcome = Outcome::Done { keys: vec![MessageKey::from(rest)] };
                self.out.push_back(Output::Settled { id: rest.into(), outcome });
            }
            "BOOM" => panic!("{rest}"),
            other => panic!("the server said {other}"),
        }
    }

    fn send(&mut self, line: &str) {
        self.out.push_back(Output::Send(format!("{line}\n").into_bytes()));
    }
}

impl Session for Toy {
    fn handle(&mut self, input: Input<'_>, now: Timestamp) {
        match input {
            Input::Rooms(rooms) if self.connected => {
                let names: Vec<_> = rooms.iter().map(|room| room.name.clone()).collect();
                self.send(&format!("ROOMS {}", names.join(",")));
            }
            Input::Rooms(_) => self.out.push_back(Output::Open(self.dial.clone())),
            Input::Opened => {
                self.connected = true;
                self.out.push_back(Output::State(AccountState::Ok));
                self.send("HELLO");
                self.send("WORLD");
                for id in self.under_way.clone() {
                    self.send(&format!("SAY {id}"));
                }
                self.wakes = self.tick.map(|tick| now + tick);
            }
            Input::Received(bytes) => {
                self.partial.extend_from_slice(bytes);
                while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.partial.drain(..=end).collect();
                    self.line(std::str::from_utf8(&line[..end]).unwrap());
                }
            }
            Input::Closed(why) => {
                self.connected = false;
                self.partial.clear();
                self.out.push_back(Output::State(AccountState::Trouble(why.into())));
                self.wakes = Some(now + Duration::from_millis(20));
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
                    self.out.push_back(Output::Open(self.dial.clone()));
                }
            }
            Input::Stop => {
                for id in std::mem::take(&mut self.under_way) {
                    self.out.push_back(Output::Settled { id, outcome: Outcome::retry("stopping") });
                }
                self.send("QUIT");
                self.out.push_back(Output::Close);
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
    attempts: Mutex<usize>,
}

impl Memory {
    fn keep(&self, note: String) -> Result<(), Unavailable> {
        *self.attempts.lock().unwrap() += 1;
        if self.down.load(Ordering::SeqCst) {
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
}

fn dialer() -> Arc<Dialer> {
    Arc::new(Dialer::new(loopback(), Arc::default()))
}

fn start(toy: Toy, sink: Arc<Memory>, dialer: Arc<Dialer>) -> Handle {
    spawn(Box::new(toy), sink, dialer, wall())
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

#[tokio::test]
async fn lines_cut_anywhere_become_events_and_answers() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    for piece in ["EV", "ENT a\nEVENT", " b\nPING x\nPI", "NG", " y", "\n", "EVENT c\n"] {
        peer.says(piece).await;
        sleep(Duration::from_millis(3)).await;
    }
    peer.hears("PONG x").await;
    peer.hears("PONG y").await;
    until(|| stage.sink.kept("seen").last().is_some_and(|mark| mark == "room c")).await;
    assert_eq!(stage.sink.kept("event"), ["a", "b", "c"]);
    assert_eq!(stage.sink.kept("state"), ["Ok"]);
}

#[tokio::test]
async fn deliveries_are_written_in_order_and_settled_by_the_answers() {
    let stage = Stage::new().await;
    // Handed over before there is a connection.
    let early = stage.handle.deliver(delivery("l", "d0"));
    let mut peer = stage.accepts().await;
    peer.hears("SAY d0").await;
    let later: Vec<_> = (1..100).map(|n| stage.handle.deliver(delivery("l", &format!("d{n}")))).collect();
    let twice = stage.handle.deliver(delivery("l", "d0"));
    for n in 1..100 {
        peer.hears(&format!("SAY d{n}")).await;
    }
    peer.says("OK d0\n").await;
    assert_eq!(early.await.unwrap(), Outcome::Done { keys: vec!["d0".into()] });
    assert_eq!(twice.await.unwrap(), Outcome::Done { keys: vec!["d0".into()] }, "the same delivery was said once");
    for (n, outcome) in (1..100).zip(later) {
        peer.says(&format!("OK d{n}\n")).await;
        assert_eq!(outcome.await.unwrap(), Outcome::Done { keys: vec![format!("d{n}").into()] });
    }
}

#[tokio::test]
async fn rooms_come_before_a_delivery_that_was_handed_over_after_them() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    for n in 0..50 {
        stage.handle.rooms(vec![joined("one"), joined(&format!("r{n}"))]);
        drop(stage.handle.deliver(delivery("l", &format!("d{n}"))));
        peer.hears(&format!("ROOMS one,r{n}")).await;
        peer.hears(&format!("SAY d{n}")).await;
    }
}

#[tokio::test]
async fn a_lost_connection_is_told_and_another_one_opened() {
    let stage = Stage::new().await;
    let peer = stage.accepts().await;
    drop(peer);
    let mut peer = stage.accepts().await;
    peer.says("EVENT a\n").await;
    until(|| stage.sink.kept("event") == ["a"]).await;
    let states = stage.sink.kept("state");
    assert_eq!(states[1], "Trouble(\"the other side closed the connection\")");
    assert_eq!(states.last().unwrap(), "Ok");
}

#[tokio::test]
async fn the_session_itself_closes_and_opens() {
    let stage = Stage::new().await;
    let mut first = stage.accepts().await;
    first.says("PING x\nBYE\n").await;
    let mut second = stage.accepts().await;
    first.hears("PONG x").await;
    assert_eq!(first.next().await, "", "what was written came through, then the end");
    second.says("EVENT a\n").await;
    until(|| stage.sink.kept("event") == ["a"]).await;
    assert_eq!(stage.sink.kept("state"), ["Ok", "Ok"], "its own closing is no trouble");
}

#[tokio::test]
async fn what_the_server_said_last_is_read_even_if_writing_fails() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    peer.says("EVENT killed\n").await;
    drop(peer);
    for n in 0..20 {
        drop(stage.handle.deliver(delivery("l", &format!("d{n}"))));
    }
    until(|| stage.sink.kept("event") == ["killed"]).await;
}

#[tokio::test]
async fn timers_fire_when_asked_and_not_before() {
    let stage = Stage::with(|toy| toy.tick = Some(Duration::from_millis(30))).await;
    let began = tokio::time::Instant::now();
    let mut peer = stage.accepts().await;
    for _ in 0..3 {
        peer.hears("TICK").await;
    }
    let took = began.elapsed();
    assert!((Duration::from_millis(85)..Duration::from_secs(2)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_sink_that_fails_loses_nothing_and_stops_the_reading_but_not_the_writing() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    until(|| stage.sink.kept("state") == ["Ok"]).await;
    stage.sink.down.store(true, Ordering::SeqCst);
    peer.says("EVENT a\nPING 1\n").await;
    peer.hears("PONG 1").await;
    until(|| *stage.sink.attempts.lock().unwrap() > 2).await;

    peer.says("EVENT b\nPING 2\n").await;
    drop(stage.handle.deliver(delivery("l", "d")));
    peer.hears("SAY d").await;
    let more = timeout(Duration::from_millis(50), peer.0.read_u8()).await;
    assert!(more.is_err(), "nothing is read meanwhile");
    assert!(stage.sink.kept("event").is_empty());

    stage.sink.down.store(false, Ordering::SeqCst);
    peer.hears("PONG 2").await;
    until(|| stage.sink.kept("seen").last().is_some_and(|mark| mark == "room b")).await;
    assert_eq!(stage.sink.kept("event"), ["a", "b"]);
}

#[tokio::test]
async fn a_server_that_does_not_read_is_still_read() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    // More pongs than any socket buffer holds, and nobody takes them.
    let long = "x".repeat(4000);
    let pings = format!("PING {long}\n").repeat(700);
    timeout(SOON, peer.says(&pings)).await.expect("all is read");
    peer.says("EVENT last\n").await;
    until(|| stage.sink.kept("event") == ["last"]).await;
    for _ in 0..700 {
        peer.hears(&format!("PONG {long}")).await;
    }
}

#[tokio::test]
async fn f63_stop_settles_what_waits_keeps_what_was_told_and_says_goodbye() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    let waiting = stage.handle.deliver(delivery("l", "d"));
    peer.hears("SAY d").await;
    until(|| stage.sink.kept("state") == ["Ok"]).await;
    stage.sink.down.store(true, Ordering::SeqCst);
    peer.says("EVENT a\nPING 1\n").await;
    peer.hears("PONG 1").await;

    let handle = stage.handle.clone();
    let stop = tokio::spawn(async move { handle.stop().await });
    assert_eq!(waiting.await.unwrap(), Outcome::retry("stopping"));
    peer.hears("QUIT").await;
    peer.hears("").await;
    drop(peer);
    let late = stage.handle.deliver(delivery("l", "late")).await.unwrap();
    assert!(matches!(late, Outcome::Retry { sent: Sent::Unreachable, .. }));
    assert!(!stop.is_finished(), "the event is not kept yet");
    stage.sink.down.store(false, Ordering::SeqCst);
    assert_eq!(timeout(SOON, stop).await.unwrap().unwrap(), Ended::Stopped);
    assert_eq!(stage.sink.kept("event"), ["a"]);
    assert_eq!(stage.handle.ended().await, Ended::Stopped);
}

#[tokio::test]
async fn dropping_all_handles_stops_it_and_one_that_has_no_rooms_yet_stops_too() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    drop(stage.handle);
    peer.hears("QUIT").await;

    let handle = start(Toy::new("127.0.0.1", 1, None), Arc::default(), dialer());
    let waiting = handle.deliver(delivery("l", "d"));
    assert_eq!(timeout(SOON, handle.stop()).await.unwrap(), Ended::Stopped);
    assert!(matches!(waiting.await.unwrap(), Outcome::Retry { sent: Sent::No, .. }));
}

#[tokio::test]
async fn a_panic_ends_the_session_and_nothing_else() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    let waiting = stage.handle.deliver(delivery("l", "d"));
    peer.hears("SAY d").await;
    peer.says("EVENT a\nBOOM secret words\n").await;
    assert!(waiting.await.is_err(), "nobody knows what became of it");
    assert_eq!(timeout(SOON, stage.handle.ended()).await.unwrap(), Ended::Panicked);
    assert_eq!(stage.sink.kept("state").last().unwrap(), "Trouble(\"it failed by a fault of ours; starting again\")");
}

#[tokio::test]
async fn a_full_queue_turns_away_in_order() {
    let stage = Stage::new().await;
    // Without a turn for the session in between, the queue fills.
    let first: Vec<_> = (0..QUEUE).map(|n| stage.handle.deliver(delivery("l", &format!("d{n}")))).collect();
    let over = stage.handle.deliver(delivery("l", "over")).await.unwrap();
    assert!(matches!(over, Outcome::Retry { sent: Sent::No, .. }), "{over:?}");
    let mut peer = stage.accepts().await;
    for n in 0..QUEUE {
        peer.hears(&format!("SAY d{n}")).await;
    }
    // There is room again, but the one that was turned away comes first.
    let later = stage.handle.deliver(delivery("l", "later")).await.unwrap();
    assert!(matches!(later, Outcome::Retry { sent: Sent::No, .. }), "{later:?}");
    drop(stage.handle.deliver(delivery("other lane", "other")));
    drop(stage.handle.deliver(delivery("l", "over")));
    drop(stage.handle.deliver(delivery("l", "later")));
    for id in ["other", "over", "later"] {
        peer.hears(&format!("SAY {id}")).await;
    }
    drop(first);
}

#[tokio::test]
async fn a_dial_that_fails_says_why() {
    let port = closed_port().await.port();
    for (guard, host, expected) in [
        (loopback(), "127.0.0.1", format!("127.0.0.1:{port}: the connection was refused")),
        (
            Arc::new(Guard::new(Vec::new())),
            "127.0.0.1",
            "127.0.0.1 is a loopback address, which is not allowed; the operator can allow its network".into(),
        ),
        (
            Arc::new(Guard::with_lookup(Vec::new(), Script::new("irc.example", &["10.0.0.1"]))),
            "irc.example",
            "irc.example leads to a private address, which is not allowed; the operator can allow its network".into(),
        ),
    ] {
        let sink = Arc::<Memory>::default();
        let dialer = Arc::new(Dialer::new(guard, Arc::default()));
        let handle = start(Toy::new(host, port, None), Arc::clone(&sink), dialer);
        handle.rooms(Vec::new());
        until(|| !sink.kept("state").is_empty()).await;
        assert_eq!(sink.kept("state")[0], format!("Trouble({expected:?})"));
    }
}

/// A server that secures the connection, and tells two events with an answer in between.
async fn secured(acceptor: TlsAcceptor) -> u16 {
    let address = server(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let mut peer = Peer(BufReader::new(stream));
            peer.hears("HELLO").await;
            peer.says("EVENT secured\nPING 1\n").await;
            peer.hears("WORLD").await;
            peer.hears("PONG 1").await;
            peer.says("EVENT answered\n").await;
            peer.next().await;
        }
    });
    address.await.port()
}

/// Connects to that port under a name, until the first trouble or the second event.
async fn connects(host: &str, port: u16, tls: Tls) -> Result<(), String> {
    let guard = Guard::with_lookup(nets("loopback"), Script::new(host, &["127.0.0.1"]));
    let dialer = Arc::new(Dialer::new(Arc::new(guard), Arc::new(Trust::default())));
    let sink = Arc::<Memory>::default();
    let handle = start(Toy::new(host, port, Some(tls)), Arc::clone(&sink), dialer);
    handle.rooms(Vec::new());
    let trouble = || sink.kept("state").into_iter().find(|state| state.starts_with("Trouble"));
    until(|| trouble().is_some() || sink.kept("event") == ["secured", "answered"]).await;
    trouble().map_or(Ok(()), Err)
}

#[tokio::test]
async fn f56_a_connection_by_tls_trusts_its_own_ca_and_no_other_name() {
    let ca = TestCa::new();
    let port = secured(ca.server("irc.example", false)).await;
    let own = Tls { ca: Some(ca.pem()), client: None };
    assert_eq!(connects("irc.example", port, own.clone()).await, Ok(()));
    assert_eq!(connects("irc.example.", port, own.clone()).await, Ok(()));
    for (host, tls, expected) in [
        ("other.example", own, "its certificate is for another name"),
        ("irc.example", Tls::default(), "its certificate is from an issuer that is not trusted here"),
        ("irc.example", Tls { ca: Some("no pem".into()), client: None }, "there is no PEM certificate"),
    ] {
        let why = connects(host, port, tls).await.unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}

#[tokio::test]
async fn a_connection_by_tls_proves_who_we_are_where_asked() {
    let ca = TestCa::new();
    let port = secured(ca.server("irc.example", true)).await;
    let with = |client| Tls { ca: Some(ca.pem()), client };
    assert_eq!(connects("irc.example", port, with(Some(ca.leaf("bot")))).await, Ok(()));
    let why = connects("irc.example", port, with(None)).await.unwrap_err();
    assert!(why.contains("CertificateRequired"), "{why}");
    let (chain, _) = ca.leaf("bot");
    let why = connects("irc.example", port, with(Some((chain, "no key".into())))).await.unwrap_err();
    assert!(why.contains("the client key is no PEM private key"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn f46_time_never_goes_back_and_follows_a_machine_that_slept() {
    let clock = wall();
    let start = clock.now();
    let mut steady = steady::Steady::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let timer = steady.instant(start + Duration::from_secs(60));
    tokio::time::advance(Duration::from_secs(10)).await;
    *clock.0.lock().unwrap() = start - Duration::from_secs(600);
    steady.catch_up();
    assert_eq!(steady.now(), start + Duration::from_secs(10));
    assert_eq!(steady.instant(start + Duration::from_secs(60)), timer);
    *clock.0.lock().unwrap() = start + Duration::from_secs(3600);
    steady.catch_up();
    assert_eq!(steady.now(), start + Duration::from_secs(3600));
    assert!(steady.instant(start + Duration::from_secs(60)) <= tokio::time::Instant::now());
    assert!(steady.instant(Timestamp::MAX) > tokio::time::Instant::now());
}
