//! Real programs as children of a test: our own binary and servers that others wrote. Each is ended when its handle is
//! dropped, or when the test itself dies. This file must not know what a program is for.
#![allow(clippy::expect_used, clippy::print_stderr, reason = "only tests use it")]

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// The user and group `nobody`, for servers that refuse to be root.
const NOBODY: u32 = 65534;
/// How many bytes of what a program said are shown when its test fails.
const SHOWN: usize = 6_000;
/// How long our binary may take to its ready line. Long, since a test machine may be busy.
const READY: Duration = Duration::from_secs(30);

/// Whether the tests run as root.
pub fn root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// A port of 127.0.0.1 that nobody listens on. Below those that the kernel gives to outgoing connections, so that a
/// server can be stopped and find it free again.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = (std::process::id() % 400) as u16 * 25;
    loop {
        let port = 20_000 + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The folder that cargo builds into.
pub fn target() -> PathBuf {
    let me = std::env::current_exe().expect("a test knows where it is");
    // target/debug/deps/foreign-0123456789abcdef
    me.ancestors().nth(3).expect("a test is in target/PROFILE/deps").to_owned()
}

/// A folder for a server's files, which a server that refuses to be root may write to.
pub fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder can be made");
    give(folder.path());
    folder
}

/// Gives a file or folder to the user that servers run as.
pub fn give(path: &Path) {
    if root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
    }
}

/// A command that ends with the test, however the test ends.
pub fn command(program: impl AsRef<Path>) -> Command {
    wrapped(program.as_ref(), &[])
}

/// Likewise, and not as root.
pub fn command_as_nobody(program: impl AsRef<Path>) -> Command {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    wrapped(program.as_ref(), if root() { &nobody } else { &[] })
}

fn wrapped(program: &Path, options: &[&str]) -> Command {
    // setpriv becomes the program, so the id of the child is the program's.
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL").args(options).arg("--").arg(program);
    command
}

/// A running program, and what it has said.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<Said>>,
    news: watch::Receiver<usize>,
}

#[derive(Debug, Default)]
struct Said {
    out: Vec<String>,
    all: String,
}

impl Program {
    /// Starts a program.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name} can't be started: {e}"));
        let said = Arc::new(Mutex::new(Said::default()));
        let (tell, news) = watch::channel(0);
        let tell = Arc::new(tell);
        if let Some(out) = child.stdout.take() {
            tokio::spawn(listen(out, true, said.clone(), tell.clone()));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(listen(err, false, said.clone(), tell));
        }
        let stdin = child.stdin.take();
        Self { name: name.to_owned(), child, stdin, said, news }
    }

    /// Everything it has said so far, on both streams.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).all.clone()
    }

    /// The lines of its standard output from that one on.
    pub fn lines(&self, from: usize) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).out.get(from..).unwrap_or_default().to_vec()
    }

    /// Waits until it has said something more; `false` when the time is over, or when it has ended.
    pub async fn news(&mut self, within: Duration) -> bool {
        timeout(within, self.news.changed()).await.is_ok_and(|changed| changed.is_ok())
    }

    /// Waits until it says those words, on either stream.
    pub async fn says(&mut self, words: &str, within: Duration) {
        let until = Instant::now() + within;
        while !self.said().contains(words) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(self.news(left).await || self.said().contains(words), "{} did not say '{words}'", self.name);
        }
    }

    /// Writes a line to its standard input.
    pub async fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        stdin.write_all(format!("{line}\n").as_bytes()).await.expect("it reads");
    }

    /// Kills it at once, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Asks it to end, as a service manager does.
    pub async fn terminate(&mut self) {
        let id = self.child.id().expect("it runs").to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(status.is_ok_and(|status| status.success()), "{} can't be signalled", self.name);
    }

    /// Waits for its end. `None`: it goes on.
    pub async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        timeout(within, self.child.wait()).await.ok().map(|status| status.expect("a child can be waited for"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.said();
            let from = said.ceil_char_boundary(said.len().saturating_sub(SHOWN));
            eprintln!("--- {} said:\n{}\n---", self.name, &said[from..]);
        }
        // The runtime may end before it gets to killing.
        let _ = self.child.start_kill();
    }
}

async fn listen(stream: impl AsyncRead + Unpin, out: bool, said: Arc<Mutex<Said>>, tell: Arc<watch::Sender<usize>>) {
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.all.push_str(&text);
        said.all.push('\n');
        if out {
            said.out.push(text);
        }
        drop(said);
        tell.send_modify(|count| *count += 1);
    }
}

/// Our own binary, serving.
#[derive(Debug)]
pub struct Sameroom {
    /// The process.
    pub program: Program,
    /// Its ready line.
    pub ready: Value,
}

/// How our binary is started; the same every time, so that it can be started again.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The rooms to connect, two by two.
    pub urls: Vec<String>,
    /// The data folder.
    pub data: PathBuf,
    /// The port to listen on; 0: any.
    pub port: u16,
    /// Further options.
    pub options: Vec<String>,
    /// Variables of its environment.
    pub variables: BTreeMap<String, String>,
}

impl Setup {
    /// Connects rooms, with its data in that folder.
    pub fn new(data: &Path, urls: &[String]) -> Self {
        let variables = [("HOOK_SECRET".to_owned(), crate::hook::SECRET.to_owned())].into();
        Self { urls: urls.to_vec(), data: data.to_owned(), port: 0, options: Vec::new(), variables }
    }

    /// With a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With an option.
    #[must_use]
    pub fn option(mut self, option: &str, value: &str) -> Self {
        self.options.extend([option.to_owned(), value.to_owned()]);
        self
    }

    /// Starts it, and does not wait for anything.
    pub fn launch(&self) -> Program {
        let binary = std::env::var_os("SAMEROOM_BIN").map_or_else(|| target().join("debug/sameroom"), PathBuf::from);
        assert!(binary.exists(), "{} is missing: run `cargo build -p sameroom`", binary.display());
        let mut command = command(binary);
        command.env_remove("SAMEROOM_FAILPOINT").envs(&self.variables);
        command.arg("connect").args(&self.urls).args(["--json", "--log", "info", "--data"]).arg(&self.data);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]).args(&self.options);
        Program::start("sameroom", command)
    }

    /// Starts it, and waits for its ready line.
    pub async fn start(&self) -> Sameroom {
        match self.try_start().await {
            Ok(sameroom) => sameroom,
            Err(program) => panic!("sameroom is not ready:\n{}", program.said()),
        }
    }

    /// Starts it, and waits for its ready line; or gives it back when it ended before that.
    pub async fn try_start(&self) -> Result<Sameroom, Program> {
        let mut program = self.launch();
        let until = Instant::now() + READY;
        loop {
            let ready = program
                .lines(0)
                .iter()
                .find_map(|line| serde_json::from_str::<Value>(line).ok().filter(|value| value["ready"] == true));
            match ready {
                Some(ready) => return Ok(Sameroom { program, ready }),
                None if !program.news(until.saturating_duration_since(Instant::now())).await => return Err(program),
                None => {}
            }
        }
    }
}

impl Sameroom {
    /// Where it serves.
    pub fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap_or_default()
    }

    /// The account of the room of that name.
    pub fn account(&self, room: &str) -> String {
        let rooms = self.ready["tubes"].as_array().into_iter().flatten().filter_map(|tube| tube["rooms"].as_array());
        let found = rooms.flatten().find(|found| found["name"] == room);
        let account = found.and_then(|found| {
            found["at"]["account"].as_str().or_else(|| found["ref"]["account"].as_str()).map(str::to_owned)
        });
        account.unwrap_or_else(|| panic!("no room '{room}' in {}", self.ready))
    }

    /// What `/metrics` tells, by name.
    pub async fn metrics(&self) -> BTreeMap<String, f64> {
        let text = crate::hook::get(&format!("{}/metrics", self.url())).await;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
            .collect()
    }

    /// Waits until nothing waits: every event is relayed, every outbox empty.
    pub async fn drained(&self, within: Duration) -> BTreeMap<String, f64> {
        let until = Instant::now() + within;
        loop {
            let metrics = self.metrics().await;
            let waiting: f64 =
                metrics.iter().filter(|(name, _)| name.starts_with("sameroom_waiting")).map(|(_, n)| n).sum();
            if waiting == 0.0 {
                return metrics;
            }
            assert!(Instant::now() < until, "{waiting} jobs still wait: {metrics:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
