//! IRC in, IRC out, on two real ngIRCd servers with their flood limits lifted: latency at ten lines a second, and the
//! rate at saturation. Without ngIRCd on the machine this is left out, and said so.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};

use crate::probe::{Program, Report};

/// How many lines a saturated run sends.
const LINES: usize = 5_000;

pub(crate) async fn run(report: &mut Report) {
    if !Path::new("/usr/sbin/ngircd").exists() {
        eprintln!("  irc: left out, since ngircd is not installed");
        return;
    }
    let (one, two) = (Server::start().await, Server::start().await);
    let url = |server: &Server, room: &str| format!("irc://relay@127.0.0.1:{}/{room}?rate=0&burst=64", server.port);
    let program = Program::start(&[url(&one, "%23one"), url(&two, "%23two")], &[]).await;
    let mut ann = Person::join(one.port, "ann", "#one").await;
    let mut bob = Person::join(two.port, "bob", "#two").await;
    // The bridge is in both rooms once a line crosses.
    let mut greeted = false;
    for i in 0..100 {
        ann.say("#one", &format!("bench-hello-{i}")).await;
        if tokio::time::timeout(Duration::from_millis(200), bob.hear("bench-hello")).await.is_ok() {
            greeted = true;
            break;
        }
    }
    assert!(greeted, "no line crossed");
    tokio::time::sleep(Duration::from_millis(500)).await;
    latency(report, &program, &mut ann, &mut bob).await;
    saturation(report, &program, ann, bob).await;
    program.stop().await;
}

async fn latency(report: &mut Report, program: &Program, ann: &mut Person, bob: &mut Person) {
    const COUNT: u32 = 100;
    let cpu = program.cpu();
    let mut times = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    for i in 0..COUNT {
        tick.tick().await;
        let since = Instant::now();
        ann.say("#one", &format!("bench-at-ten-{i} lorem ipsum dolor sit amet")).await;
        bob.hear(&format!("bench-at-ten-{i} ")).await;
        times.push(since.elapsed());
    }
    times.sort();
    report.put("irc: at 10/s, latency p50", times[times.len() / 2].as_secs_f64() * 1e3, "ms");
    report.put("irc: at 10/s, latency p99", times[times.len() * 99 / 100].as_secs_f64() * 1e3, "ms");
    let used = (program.cpu() - cpu).as_secs_f64();
    report.put("irc: at 10/s, CPU per line", used * 1e6 / f64::from(COUNT), "us");
}

async fn saturation(report: &mut Report, program: &Program, mut ann: Person, mut bob: Person) {
    let (cpu, started) = (program.cpu(), Instant::now());
    let talker = tokio::spawn(async move {
        for i in 0..LINES {
            ann.say("#one", &format!("bench-fast-{i} lorem ipsum dolor sit amet")).await;
        }
        ann
    });
    let heard = tokio::time::timeout(Duration::from_secs(120), async {
        for i in 0..LINES {
            bob.hear(&format!("bench-fast-{i} ")).await;
        }
    });
    assert!(heard.await.is_ok(), "not every line arrived in order");
    let took = started.elapsed().as_secs_f64();
    report.put("irc: saturated rate", LINES as f64 / took, "/s");
    let used = (program.cpu() - cpu).as_secs_f64();
    report.put("irc: saturated, CPU per line", used * 1e6 / LINES as f64, "us");
    let _ = talker.await;
}

/// A server on a free port, without flood limits.
struct Server {
    port: u16,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let config = folder.path().join("ngircd.conf");
        let text = format!(
            "[Global]\nName = irc.test\nInfo = bench\nListen = 127.0.0.1\nPorts = {port}\nMotdPhrase = hello\nServerUID = \
             65534\nServerGID = 65534\n[Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\nMaxJoins = 0\nMaxNickLength \
             = 30\nMaxPenaltyTime = 0\n[Options]\nDNS = no\nIdent = no\nPAM = no\n"
        );
        std::fs::write(&config, text).expect("a configuration");
        let child = Command::new("/usr/sbin/ngircd")
            .args(["-n", "-f"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("ngircd starts");
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { port, _child: child, _folder: folder }
    }
}

/// Somebody in a room.
struct Person {
    lines: Lines<BufReader<OwnedReadHalf>>,
    out: OwnedWriteHalf,
}

impl Person {
    async fn join(port: u16, nick: &str, room: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
        stream.set_nodelay(true).expect("nodelay");
        let (read, out) = stream.into_split();
        let mut person = Self { lines: BufReader::new(read).lines(), out };
        person.send(&format!("NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\nJOIN {room}\r\n")).await;
        person.line_with(" 366 ").await;
        person
    }

    async fn say(&mut self, room: &str, words: &str) {
        self.send(&format!("PRIVMSG {room} :{words}\r\n")).await;
    }

    /// Waits for a line with these words; the next such line must be it.
    async fn hear(&mut self, words: &str) {
        self.line_with(words).await;
    }

    async fn line_with(&mut self, words: &str) {
        loop {
            let line = self.lines.next_line().await.expect("readable").expect("the server keeps the connection");
            if let Some(token) = line.strip_prefix("PING ") {
                let pong = format!("PONG {token}\r\n");
                self.send(&pong).await;
            } else if line.contains(words) {
                return;
            }
        }
    }

    async fn send(&mut self, text: &str) {
        self.out.write_all(text.as_bytes()).await.expect("written");
    }
}
