//! Slack's side: signed events at a fixed rate, and how soon they are answered, which Slack gives 3 s for; alone and
//! beside targets that are slow. The Web API here answers what it must and knows nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

use crate::hook::{self, Sink, millis, read_message};
use crate::probe::{Program, Report};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const TEAM: &str = "T0BENCH";
/// How many channels, each with a Tube to a webhook.
const CHANNELS: usize = 10;
/// How many events are sent every second.
const RATE: u32 = 500;

/// A Web API that answers every call after that time; gives its port.
async fn web_api(delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let posts = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(answer(stream, delay, posts.clone()));
        }
    });
    port
}

async fn answer(mut stream: TcpStream, delay: Duration, posts: Arc<AtomicU64>) {
    let mut buffer = Vec::with_capacity(8192);
    while read_message(&mut stream, &mut buffer).await.is_some() {
        tokio::time::sleep(delay).await;
        let n = posts.fetch_add(1, Ordering::Relaxed);
        let user = r#"{"id":"U0ANN","name":"ann","profile":{"display_name":"Ann Example"}}"#;
        let body = format!(r#"{{"ok":true,"ts":"1700000000.{n:06}","user":{user}}}"#);
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A channel's URL, in the workspace behind that port.
fn channel(workspace: &str, i: usize, port: u16) -> String {
    let endpoint = format!("http://127.0.0.1:{port}/api/");
    format!("slack://{workspace}/C0BENCH{i:02}?token=xoxb-bench&signing={SECRET}&team={TEAM}&endpoint={endpoint}")
}

/// A connection that tells signed events, one after the other.
struct Teller {
    stream: TcpStream,
    path: String,
    buffer: Vec<u8>,
}

impl Teller {
    async fn open(program: &Program) -> Self {
        let stream = TcpStream::connect(program.address()).await.expect("it listens");
        stream.set_nodelay(true).expect("nodelay");
        // The first room of the first pair is a channel.
        let account = program.ready["tubes"][0]["rooms"][0]["ref"]["account"].as_str().expect("an account");
        Self { stream, path: format!("/hooks/slack/{account}"), buffer: Vec::new() }
    }

    async fn tell(&mut self, i: usize) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let (channel, ts) = (format!("C0BENCH{:02}", i % CHANNELS), format!("{now}.{:06}", i % 1_000_000));
        let words =
            format!("bench-{i} says that the *deploy* of build 42 went well, see <https://example.org/builds/42>");
        let body = format!(
            r#"{{"token":"x","team_id":"{TEAM}","api_app_id":"A0BENCH","type":"event_callback","event_id":"Ev{i:08}","event_time":{now},"authorizations":[{{"enterprise_id":null,"team_id":"{TEAM}","user_id":"U0BOT","is_bot":true,"is_enterprise_install":false}}],"event":{{"type":"message","user":"U0ANN","text":"{words}","ts":"{ts}","client_msg_id":"{i}","team":"{TEAM}","channel":"{channel}","event_ts":"{ts}","channel_type":"channel"}}}}"#
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
        mac.update(format!("v0:{now}:{body}").as_bytes());
        let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\nx-slack-request-timestamp: {now}\r\n\
             x-slack-signature: v0={signature}\r\ncontent-length: {}\r\n\r\n{body}",
            self.path,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("written");
        while self.buffer.len() < 12 {
            let mut chunk = [0; 4096];
            let n = self.stream.read(&mut chunk).await.expect("answered");
            assert!(n > 0, "the program closed the connection");
            self.buffer.extend_from_slice(&chunk[..n]);
        }
        let status = &self.buffer[9..12];
        assert_eq!(status, b"200", "answered {}", String::from_utf8_lossy(&self.buffer));
        read_message(&mut self.stream, &mut self.buffer).await.expect("answered");
    }
}

/// Events at a fixed rate, and the time from when each was due to its answer; alone, and with every channel connected
/// to one of another workspace, too, whose Web API takes 500 ms.
pub(crate) async fn run(report: &mut Report) {
    for beside in [false, true] {
        let (sink, fast) = (Sink::start().await, web_api(Duration::ZERO).await);
        let slow = web_api(Duration::from_millis(500)).await;
        let hooks = hook::pairs(&sink, CHANNELS);
        let mut urls = Vec::new();
        for i in 0..CHANNELS {
            urls.extend([channel("acme", i, fast), hooks[2 * i + 1].clone()]);
        }
        for i in (0..CHANNELS).filter(|_| beside) {
            urls.extend([channel("acme", i, fast), channel("slow", i, slow)]);
        }
        let program = Program::start(&urls, &[]).await;
        let times = paced(&program, RATE, Duration::from_secs(10)).await;
        if !beside {
            sink.wait_for(times.len()).await;
        }
        let name = if beside { "beside a 500 ms Slack" } else { "alone" };
        report.put(&format!("slack: at {RATE}/s, {name}, answered p50"), millis(&times, 0.50), "ms");
        report.put(&format!("slack: at {RATE}/s, {name}, answered p99 (at most 50)"), millis(&times, 0.99), "ms");
        report.put(&format!("slack: at {RATE}/s, {name}, answered at the latest"), millis(&times, 1.0), "ms");
        report.put(&format!("slack: at {RATE}/s, {name}, RSS after"), program.rss_mb(), "MB");
        program.stop().await;
    }
}

async fn paced(program: &Program, rate: u32, for_how_long: Duration) -> Vec<Duration> {
    let total = (f64::from(rate) * for_how_long.as_secs_f64()) as usize;
    let (queue, work) = mpsc::unbounded_channel::<(usize, Instant)>();
    let work = Arc::new(Mutex::new(work));
    let mut tellers = Vec::new();
    for _ in 0..16 {
        let (mut teller, work) = (Teller::open(program).await, work.clone());
        tellers.push(tokio::spawn(async move {
            let mut times = Vec::new();
            loop {
                let next = work.lock().await.recv().await;
                let Some((i, due)) = next else { return times };
                teller.tell(i).await;
                times.push(due.elapsed());
            }
        }));
    }
    let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
    for i in 0..total {
        tick.tick().await;
        let _ = queue.send((i, Instant::now()));
    }
    drop(queue);
    let mut times = Vec::new();
    for teller in tellers {
        times.extend(teller.await.expect("told"));
    }
    times.sort();
    times
}
