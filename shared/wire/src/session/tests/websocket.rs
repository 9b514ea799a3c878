//! A session on a WebSocket, against a server of another make than its own words: tokio-tungstenite's other half, and
//! the bytes of RFC 6455's own examples.

use futures_util::{SinkExt, StreamExt};
use tokio::time::{advance, pause, resume};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message as Frames, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};
use url::Url;

use super::super::socket::{LONGEST, QUIET};
use super::*;

/// A session, its sink and the server that it connects to.
struct Hall {
    listener: TcpListener,
    sink: Arc<Memory>,
    handle: Handle,
}

/// The server's end.
struct Speaker(WebSocketStream<TcpStream>);

impl Hall {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/path?ticket=secret", listener.local_addr().unwrap());
        let sink = Arc::<Memory>::default();
        let handle = start(chat(&url), Arc::clone(&sink), dialer());
        handle.rooms(vec![joined("one")]);
        Self { listener, sink, handle }
    }

    async fn accepts(&self) -> Speaker {
        let (stream, _) = timeout(SOON, self.listener.accept()).await.expect("the session connects").unwrap();
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let mut speaker = Speaker(accept_async_with_config(stream, Some(config)).await.unwrap());
        speaker.hears("HELLO").await;
        speaker.hears("WORLD").await;
        speaker
    }
}

impl Speaker {
    async fn hears(&mut self, expected: &str) {
        assert_eq!(self.next().await, Frames::text(expected));
    }

    async fn next(&mut self) -> Frames {
        timeout(SOON, self.0.next()).await.expect("the session says something").unwrap().unwrap()
    }

    async fn says(&mut self, text: &str) {
        self.0.send(Frames::text(text)).await.unwrap();
    }
}

fn chat(url: &str) -> Toy {
    Toy::dialing(Dial::WebSocket(Url::parse(url).unwrap()))
}

#[tokio::test]
async fn whole_messages_come_in_however_they_were_cut() {
    let hall = Hall::new().await;
    let mut peer = hall.accepts().await;
    peer.says("EVENT text").await;
    peer.0.send(Frames::binary(&b"EVENT binary"[..])).await.unwrap();
    for (piece, kind, last) in
        [("EVE", Data::Text, false), ("NT ", Data::Continue, false), ("cut", Data::Continue, true)]
    {
        peer.0.send(Frames::Frame(Frame::message(piece, OpCode::Data(kind), last))).await.unwrap();
        peer.0.send(Frames::Ping(Bytes::from_static(b"in between"))).await.unwrap();
        assert_eq!(peer.next().await, Frames::Pong(Bytes::from_static(b"in between")));
    }
    let long = format!("EVENT {}", "x".repeat(LONGEST - 6));
    peer.says(&long).await;
    until(|| hall.sink.kept("event").len() == 4).await;
    assert_eq!(hall.sink.kept("event")[..3], ["text", "binary", "cut"]);
    assert_eq!(hall.sink.kept("event")[3].len(), LONGEST - 6);
    peer.says("TELL x").await;
    peer.hears("GOT x").await;
    drop(hall.handle.deliver(delivery("l", "d")));
    peer.hears("SAY d").await;
}

#[tokio::test]
async fn the_examples_of_the_rfc_are_understood() {
    let address = server(|_, mut stream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut head).await.unwrap() > 0);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("GET /path?ticket=secret HTTP/1.1\r\n"), "{head}");
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).unwrap().1.to_owned()
        };
        assert_eq!(header("sec-websocket-version"), "13");
        assert!(header("user-agent").starts_with("Sameroom/"));
        assert_eq!(header("host"), stream.local_addr().unwrap().to_string());
        let accept = derive_accept_key(header("sec-websocket-key").as_bytes());
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
        stream.write_all(format!("{head}Sec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes()).await.unwrap();
        // Section 5.7's frames, with words of ours: unmasked text, a fragmented one, a ping; cut at every byte.
        let mut bytes = b"\x81\x07EVENT a".to_vec();
        bytes.extend(b"\x01\x03EVE\x80\x04NT b\x89\x05Hello\x82\x7e\x01\x00EVENT ");
        bytes.extend([b'c'; 250]);
        for byte in bytes {
            stream.write_all(&[byte]).await.unwrap();
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let sink = Arc::<Memory>::default();
    let handle = start(chat(&format!("ws://{address}/path?ticket=secret")), Arc::clone(&sink), dialer());
    handle.rooms(Vec::new());
    until(|| sink.kept("event").len() == 3).await;
    assert_eq!(sink.kept("event"), ["a".to_owned(), "b".into(), "c".repeat(250)]);
}

#[tokio::test]
async fn a_close_frame_is_told_in_its_words_and_answered_and_another_connection_opened() {
    let hall = Hall::new().await;
    let mut peer = hall.accepts().await;
    peer.says("EVENT a").await;
    let frame = CloseFrame { code: CloseCode::Library(4001), reason: Utf8Bytes::from_static("too\u{7} many") };
    peer.0.send(Frames::Close(Some(frame.clone()))).await.unwrap();
    assert_eq!(peer.next().await, Frames::Close(Some(frame)), "the answer");
    let peer = hall.accepts().await;
    assert_eq!(hall.sink.kept("state")[1], "Trouble(\"the other side closed the connection (4001: too many)\")");
    drop(peer);
    let mut peer = hall.accepts().await;
    assert_eq!(hall.sink.kept("state")[3], "Trouble(\"the other side closed the connection\")");
    peer.0.send(Frames::Close(None)).await.unwrap();
    hall.accepts().await;
    assert_eq!(hall.sink.kept("event"), ["a"]);
}

#[tokio::test]
async fn f63_a_stop_says_goodbye_with_a_close_frame() {
    let hall = Hall::new().await;
    let mut peer = hall.accepts().await;
    let handle = hall.handle.clone();
    let stop = tokio::spawn(async move { handle.stop().await });
    peer.hears("QUIT").await;
    let Frames::Close(Some(frame)) = peer.next().await else { panic!("no close frame") };
    assert_eq!(frame.code, CloseCode::Normal);
    assert!(timeout(SOON, peer.0.next()).await.unwrap().is_none());
    drop(peer);
    assert_eq!(timeout(SOON, stop).await.unwrap().unwrap(), Ended::Stopped);
}

#[tokio::test]
async fn the_session_closes_by_itself_and_what_it_said_before_comes_through() {
    let hall = Hall::new().await;
    let mut first = hall.accepts().await;
    first.says("PING x").await;
    first.says("BYE").await;
    first.hears("PONG x").await;
    assert!(matches!(first.next().await, Frames::Close(_)));
    let mut second = hall.accepts().await;
    second.says("EVENT a").await;
    until(|| hall.sink.kept("event") == ["a"]).await;
    assert_eq!(hall.sink.kept("state"), ["Ok", "Ok"], "its own closing is no trouble");
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_connection() {
    let hall = Hall::new().await;
    for cut in [false, true] {
        let mut peer = hall.accepts().await;
        let long = "x".repeat(LONGEST + 1);
        let (first, rest) = long.split_at(if cut { LONGEST / 2 } else { 0 });
        // The session may go in the middle of it.
        if cut {
            let kinds = [(first, Data::Text, false), (rest, Data::Continue, true)];
            for (piece, kind, last) in kinds {
                let frame = Frame::message(piece.to_owned(), OpCode::Data(kind), last);
                let _ = peer.0.send(Frames::Frame(frame)).await;
            }
        } else {
            let _ = peer.0.send(Frames::text(rest.to_owned())).await;
        }
        let told = |state: &String| state.contains("it sent a message longer than 1 MiB");
        let rounds = 1 + usize::from(cut);
        until(|| hall.sink.kept("state").iter().filter(|state| told(state)).count() == rounds).await;
    }
    let mut peer = hall.accepts().await;
    peer.says("EVENT a").await;
    until(|| hall.sink.kept("event") == ["a"]).await;
}

#[tokio::test]
async fn what_is_no_text_or_no_frame_ends_the_connection() {
    let hall = Hall::new().await;
    for (bytes, expected) in [
        (&b"\x81\x02\xff\xff"[..], "it sent a text message that is no text"),
        (&b"\xf1\x00"[..], "it does not speak WebSocket as it should: Reserved bits are non-zero"),
        (&b"HTTP"[..], "it does not speak WebSocket as it should: "),
    ] {
        let mut peer = hall.accepts().await;
        peer.0.get_mut().write_all(bytes).await.unwrap();
        let told = |state: &String| state.starts_with("Trouble") && state.contains(expected);
        until(|| hall.sink.kept("state").iter().any(told)).await;
    }
}

#[tokio::test]
async fn a_sink_that_fails_stops_the_reading_but_not_the_writing() {
    let hall = Hall::new().await;
    let mut peer = hall.accepts().await;
    until(|| hall.sink.kept("state") == ["Ok"]).await;
    hall.sink.down.store(true, Ordering::SeqCst);
    // Both messages come in one piece, and yet only the first is looked at.
    peer.0.feed(Frames::text("EVENT a")).await.unwrap();
    peer.says("PING 1").await;
    until(|| *hall.sink.attempts.lock().unwrap() > 2).await;
    drop(hall.handle.deliver(delivery("l", "d")));
    peer.hears("SAY d").await;
    assert!(timeout(Duration::from_millis(50), peer.0.next()).await.is_err(), "nothing is read meanwhile");
    hall.sink.down.store(false, Ordering::SeqCst);
    peer.hears("PONG 1").await;
    assert_eq!(hall.sink.kept("event"), ["a"]);
}

#[tokio::test]
async fn a_server_that_does_not_read_is_still_read() {
    let hall = Hall::new().await;
    let mut peer = hall.accepts().await;
    // More pongs than any socket buffer holds, and nobody takes them.
    let long = "x".repeat(4000);
    for _ in 0..700 {
        timeout(SOON, peer.says(&format!("PING {long}"))).await.expect("all is read");
    }
    peer.says("EVENT last").await;
    until(|| hall.sink.kept("event") == ["last"]).await;
    for _ in 0..700 {
        peer.hears(&format!("PONG {long}")).await;
    }
}

#[tokio::test]
async fn a_connection_whose_other_side_has_gone_silent_is_given_up() {
    let hall = Hall::new().await;
    let mut peer = hall.accepts().await;
    peer.says("EVENT a").await;
    until(|| hall.sink.kept("seen").len() == 1).await;
    pause();
    advance(QUIET).await;
    resume();
    assert_eq!(peer.next().await, Frames::Ping(Bytes::new()));
    // Reading on answers it, and so does anything that is said.
    peer.says("EVENT b").await;
    until(|| hall.sink.kept("seen").len() == 2).await;
    pause();
    advance(QUIET).await;
    resume();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(hall.sink.kept("state"), ["Ok"], "not before it was asked and had its time");
    pause();
    advance(QUIET).await;
    resume();
    until(|| hall.sink.kept("state").len() > 1).await;
    assert_eq!(hall.sink.kept("state")[1], "Trouble(\"the other side has been silent for 60 s\")");
}

/// What a session hears of a dial that fails.
async fn fails(url: &str, dialer: Dialer) -> String {
    let sink = Arc::<Memory>::default();
    let handle = start(chat(url), Arc::clone(&sink), Arc::new(dialer));
    handle.rooms(Vec::new());
    until(|| !sink.kept("state").is_empty()).await;
    let state = sink.kept("state").remove(0);
    for secret in ["secret", "ticket", "path"] {
        assert!(!state.contains(secret), "{state}");
    }
    state.trim_start_matches("Trouble(\"").trim_end_matches("\")").to_owned()
}

async fn answers(answer: &'static [u8]) -> SocketAddr {
    server(move |_, mut stream| async move {
        let _ = stream.read(&mut [0; 1000]).await;
        let _ = stream.write_all(answer).await;
    })
    .await
}

#[tokio::test]
async fn t19_a_dial_that_fails_says_why_and_never_shows_the_url() {
    let plain = || Dialer::new(loopback(), Arc::default());
    let refused = closed_port().await;
    let forbidden =
        answers(b"HTTP/1.1 403 Forbidden\r\nX: /path?ticket=secret\r\nContent-Length: 6\r\n\r\nsecret").await;
    let moved = answers(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1/path?ticket=secret\r\n\r\n").await;
    let upgraded = answers(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").await;
    let other = answers(b"220 secret.example ESMTP\r\n").await;
    let silent = answers(b"").await;
    for (address, expected) in [
        (refused, "the connection was refused"),
        (forbidden, "it answered 403 Forbidden where a WebSocket was to be opened"),
        (moved, "it answered 302 Found where a WebSocket was to be opened"),
        (upgraded, "it does not speak WebSocket as it should: No \\\"Connection: upgrade\\\" header"),
        (other, "it does not speak WebSocket as it should: httparse error: invalid HTTP version"),
        (silent, "it does not speak WebSocket as it should: Handshake not finished"),
    ] {
        let why = fails(&format!("ws://{address}/path?ticket=secret"), plain()).await;
        assert_eq!(why, format!("{address}: {expected}"));
    }
    for (url, expected) in [
        ("http://127.0.0.1:8080/path?ticket=secret", "a WebSocket's URL begins with ws:// or wss://"),
        ("ws://user:secret@127.0.0.1:22/path?ticket=secret", "127.0.0.1: connecting to port 22 is not allowed"),
        ("wss://10.0.0.1/path?ticket=secret", "10.0.0.1 is a private address, which is not allowed"),
        ("wss://[fe80::1]/path?ticket=secret", "fe80::1 is a link-local address, which is not allowed"),
    ] {
        let why = fails(url, plain()).await;
        assert!(why.starts_with(expected), "{why}");
        assert!(!format!("{:?}", Dial::WebSocket(Url::parse(url).unwrap())).contains("secret"));
    }
}

#[tokio::test]
async fn f56_a_secured_websocket_is_verified_by_ca_and_name() {
    let ca = TestCa::new();
    let acceptor = ca.server("chat.example", false);
    let address = server(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let mut socket = accept_async_with_config(stream, None).await.unwrap();
            socket.send(Frames::text("EVENT secured")).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        }
    })
    .await;
    let trusting = |host: &str, ca: Option<&str>| {
        let guard = Guard::with_lookup(nets("loopback"), Script::new(host, &["127.0.0.1"]));
        Dialer::new(Arc::new(guard), Arc::new(Trust::new(ca.map(str::as_bytes)).unwrap()))
    };
    let url = |host: &str| format!("wss://{host}:{}/path?ticket=secret", address.port());
    let sink = Arc::<Memory>::default();
    let dialer = trusting("chat.example", Some(&ca.pem()));
    let handle = start(chat(&url("chat.example")), Arc::clone(&sink), Arc::new(dialer));
    handle.rooms(Vec::new());
    until(|| sink.kept("event") == ["secured"]).await;
    let why = fails(&url("other.example"), trusting("other.example", Some(&ca.pem()))).await;
    assert!(why.ends_with("its certificate is for another name"), "{why}");
    let why = fails(&url("chat.example"), trusting("chat.example", None)).await;
    assert!(why.contains("from an issuer that is not trusted here"), "{why}");
}
