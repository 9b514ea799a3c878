//! Signed webhook in, signed POST out: a sender with raw keep-alive connections and a sink that answers at once, both
//! as light as can be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use crate::probe::{Program, Report};

pub(crate) const SECRET: &str = "whsec_c2FtZXJvb20tYmVuY2gtc2VjcmV0LTAwMDE=";

/// How long a sink may take before an answer, by room, and what it got.
pub(crate) struct Sink {
    pub(crate) port: u16,
    got: Arc<AtomicUsize>,
    arrived: Arc<Notify>,
    stamps: mpsc::UnboundedReceiver<(Instant, String)>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        Self::with_delay(Duration::ZERO).await
    }

    async fn with_delay(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (got, arrived) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (stamp, stamps) = mpsc::unbounded_channel();
        let (counter, notify) = (got.clone(), arrived.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(answer(stream, delay, counter.clone(), notify.clone(), stamp.clone()));
            }
        });
        Self { port, got, arrived, stamps }
    }

    pub(crate) async fn wait_for(&self, count: usize) {
        let all = async {
            while self.got.load(Ordering::Relaxed) < count {
                self.arrived.notified().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), all).await;
        assert!(waited.is_ok(), "{} of {count} messages arrived", self.got.load(Ordering::Relaxed));
    }
}

async fn answer(
    mut stream: TcpStream,
    delay: Duration,
    got: Arc<AtomicUsize>,
    arrived: Arc<Notify>,
    stamp: mpsc::UnboundedSender<(Instant, String)>,
) {
    let mut buffer = Vec::with_capacity(8192);
    while let Some(body) = read_message(&mut stream, &mut buffer).await {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let now = Instant::now();
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.is_err() {
            return;
        }
        // Greetings that a Tube is open count for nothing.
        if let Some(text) = word_in(&body) {
            let _ = stamp.send((now, text));
            got.fetch_add(1, Ordering::Relaxed);
            arrived.notify_one();
        }
    }
}

/// The word that a measured message carries.
fn word_in(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let at = text.find("bench-")?;
    Some(text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect())
}

/// Reads one HTTP message with a content-length, and returns its body.
pub(crate) async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end]).ok()?.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .and_then(|value| value.trim().parse::<usize>().ok())
                .unwrap_or(0);
            let total = end + 4 + length;
            if buffer.len() >= total {
                let body = buffer[end + 4..total].to_vec();
                buffer.drain(..total);
                return Some(body);
            }
        }
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => buffer.extend_from_slice(&chunk[..n]),
        }
    }
}

/// URLs of that many pairs of rooms: from a source that nothing is posted to, to the sink.
pub(crate) fn pairs(sink: &Sink, tubes: usize) -> Vec<String> {
    (0..tubes)
        .flat_map(|i| {
            [
                format!("webhook+http://127.0.0.1:{}/source?secret={SECRET}#room{i}", sink.port),
                format!("webhook+http://127.0.0.1:{}/sink?secret={SECRET}#room{i}", sink.port),
            ]
        })
        .collect()
}

/// A webhook: its body, and the headers that prove it.
pub(crate) struct Signed {
    pub(crate) body: String,
    pub(crate) headers: [(&'static str, String); 4],
}

/// A message with that word, by the sender that [`pairs`] names.
pub(crate) fn signed(room: &str, word: &str) -> Signed {
    let body = format!(
        r#"{{"type":"message.posted","room":"{room}","id":"{word}","author":{{"id":"u1","name":"Ann Example"}},"message":{{"id":"{word}","text":"{word} says that the *deploy* of build 42 went well, see https://example.org/builds/42"}}}}"#
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let key = STANDARD.decode(&SECRET[6..]).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    mac.update(format!("{word}.{now}.{body}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("webhook-id", word.to_owned()),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ];
    Signed { body, headers }
}

/// A connection that posts signed events, one after the other.
struct Sender {
    stream: TcpStream,
    path: String,
    buffer: Vec<u8>,
}

impl Sender {
    async fn open(program: &Program) -> Self {
        let stream = TcpStream::connect(program.address()).await.expect("it listens");
        stream.set_nodelay(true).expect("nodelay");
        // The first room of each pair is the source.
        let account = program.ready["tubes"][0]["rooms"][0]["ref"]["account"].as_str().expect("an account");
        Self { stream, path: format!("/hooks/webhook/{account}"), buffer: Vec::new() }
    }

    async fn post(&mut self, room: &str, word: &str) {
        let Signed { body, headers } = signed(room, word);
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: bench\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.path,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("written");
        let mut buffer = std::mem::take(&mut self.buffer);
        // The status line is what the reader skips; an answer that is not 2xx shows here.
        let status = loop {
            if buffer.len() >= 12 {
                break String::from_utf8_lossy(&buffer[9..12]).into_owned();
            }
            let mut chunk = [0; 4096];
            let n = self.stream.read(&mut chunk).await.expect("answered");
            assert!(n > 0, "the program closed the connection");
            buffer.extend_from_slice(&chunk[..n]);
        };
        assert!(status.starts_with('2'), "answered {}", String::from_utf8_lossy(&buffer));
        read_message(&mut self.stream, &mut buffer).await.expect("answered");
        self.buffer = buffer;
    }
}

/// What a saturated run shows.
pub(crate) struct Saturated {
    pub(crate) cpu_us: f64,
    pub(crate) rate: f64,
}

/// Sends as fast as answers come, on many connections, over all Tubes in turn.
pub(crate) async fn saturate(
    report: &mut Report,
    name: &str,
    tubes: usize,
    messages: usize,
    config: &[&str],
) -> Saturated {
    let sink = Sink::start().await;
    let program = Program::start(&pairs(&sink, tubes), config).await;
    drive(report, name, &sink, program, tubes, messages).await
}

/// Likewise through the bare program, which knows of one room.
pub(crate) async fn saturate_bare(report: &mut Report, name: &str, messages: usize) -> Saturated {
    let sink = Sink::start().await;
    let program = Program::bare(&format!("http://127.0.0.1:{}/sink", sink.port)).await;
    drive(report, name, &sink, program, 1, messages).await
}

async fn drive(
    report: &mut Report,
    name: &str,
    sink: &Sink,
    program: Program,
    tubes: usize,
    messages: usize,
) -> Saturated {
    const CONNECTIONS: usize = 32;
    let mut warm = Sender::open(&program).await;
    for i in 0..500 {
        warm.post(&format!("room{}", i % tubes), &format!("bench-warm-{i}")).await;
    }
    sink.wait_for(500).await;
    let (cpu, started) = (program.cpu(), Instant::now());
    let mut tasks = Vec::new();
    for c in 0..CONNECTIONS {
        let mut sender = Sender::open(&program).await;
        tasks.push(tokio::spawn(async move {
            for i in (c..messages).step_by(CONNECTIONS) {
                sender.post(&format!("room{}", i % tubes), &format!("bench-{i}")).await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("sent");
    }
    sink.wait_for(500 + messages).await;
    let (took, used) = (started.elapsed(), program.cpu() - cpu);
    let shown =
        Saturated { cpu_us: used.as_secs_f64() * 1e6 / messages as f64, rate: messages as f64 / took.as_secs_f64() };
    report.put(&format!("{name}: CPU per message"), shown.cpu_us, "us");
    report.put(&format!("{name}: rate"), shown.rate, "/s");
    report.put(&format!("{name}: RSS after"), program.rss_mb(), "MB");
    program.stop().await;
    shown
}

/// Sends at a fixed rate, and takes the time from before the POST to its arrival at the sink.
pub(crate) async fn paced(report: &mut Report, rate: u32, for_how_long: Duration) {
    let mut sink = Sink::start().await;
    let program = Program::start(&pairs(&sink, 10), &[]).await;
    let cpu = program.cpu();
    let total = (f64::from(rate) * for_how_long.as_secs_f64()) as usize;
    let (queue, work) = mpsc::unbounded_channel::<usize>();
    let work = Arc::new(tokio::sync::Mutex::new(work));
    let sent = Arc::new(std::sync::Mutex::new(vec![None; total]));
    for _ in 0..16 {
        let mut sender = Sender::open(&program).await;
        let (work, sent) = (work.clone(), sent.clone());
        tokio::spawn(async move {
            loop {
                let next = work.lock().await.recv().await;
                let Some(i) = next else { return };
                sent.lock().expect("sound")[i] = Some(Instant::now());
                sender.post(&format!("room{}", i % 10), &format!("bench-{i}")).await;
            }
        });
    }
    let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
    for i in 0..total {
        tick.tick().await;
        let _ = queue.send(i);
    }
    sink.wait_for(total).await;
    let sent = sent.lock().expect("sound").clone();
    let mut times = Vec::new();
    while let Ok((at, word)) = sink.stamps.try_recv() {
        if let Some(Some(since)) = word.strip_prefix("bench-").and_then(|i| i.parse::<usize>().ok()).map(|i| sent[i]) {
            times.push(at - since);
        }
    }
    times.sort();
    report.put(&format!("hook: at {rate}/s, latency p50"), millis(&times, 0.50), "ms");
    report.put(&format!("hook: at {rate}/s, latency p99"), millis(&times, 0.99), "ms");
    let used = (program.cpu() - cpu).as_secs_f64();
    report.put(&format!("hook: at {rate}/s, CPU per message"), used * 1e6 / total as f64, "us");
    program.stop().await;
}

/// Sends many at once, and waits for the last.
pub(crate) async fn burst(report: &mut Report, count: usize) {
    let mut sink = Sink::start().await;
    let program = Program::start(&pairs(&sink, 1), &[]).await;
    let started = Instant::now();
    let mut sender = Sender::open(&program).await;
    for i in 0..count {
        sender.post("room0", &format!("bench-{i}")).await;
    }
    let accepted = started.elapsed();
    sink.wait_for(count).await;
    report.put(&format!("hook: burst of {count}, accepted after"), accepted.as_secs_f64() * 1e3, "ms");
    report.put(&format!("hook: burst of {count}, delivered after"), started.elapsed().as_secs_f64() * 1e3, "ms");
    let mut order = Vec::new();
    while let Ok((_, word)) = sink.stamps.try_recv() {
        order.extend(word.strip_prefix("bench-").and_then(|i| i.parse::<usize>().ok()));
    }
    assert!(order.is_sorted(), "the burst arrived out of order");
    program.stop().await;
}

/// A fast Tube's latency alone, and beside one whose target takes 500 ms.
pub(crate) async fn slow_beside_fast(report: &mut Report) {
    let slow = Sink::with_delay(Duration::from_millis(500)).await;
    for beside in [false, true] {
        let mut fast = Sink::start().await;
        let mut urls = pairs(&fast, 1);
        urls.extend([
            format!("webhook+http://127.0.0.1:{}/source?secret={SECRET}#slow", fast.port),
            format!("webhook+http://127.0.0.1:{}/sink?secret={SECRET}#slow", slow.port),
        ]);
        let program = Program::start(&urls, &[]).await;
        let (mut sender, mut other) = (Sender::open(&program).await, Sender::open(&program).await);
        let mut times = Vec::new();
        for i in 0..500 {
            if beside && i % 50 == 0 {
                other.post("slow", &format!("slow-{i}")).await;
            }
            let since = Instant::now();
            sender.post("room0", &format!("bench-{i}")).await;
            if let Some((at, _)) = fast.stamps.recv().await {
                times.push(at.saturating_duration_since(since));
            }
        }
        times.sort();
        let name = if beside { "beside a 500 ms target" } else { "alone" };
        report.put(&format!("hook: fast Tube {name}, latency p50"), millis(&times, 0.50), "ms");
        report.put(&format!("hook: fast Tube {name}, latency p99"), millis(&times, 0.99), "ms");
        program.stop().await;
    }
}

pub(crate) fn millis(sorted: &[Duration], quantile: f64) -> f64 {
    let index = ((sorted.len() as f64 * quantile) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
}
