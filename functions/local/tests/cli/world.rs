//! A data folder, the program on it, and somebody who speaks HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;

/// The longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A folder of its own, with the data folder in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    /// Variables that the program gets.
    pub(crate) variables: Vec<(String, String)>,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A running program. Killed when dropped.
pub(crate) struct Running {
    child: Option<Child>,
    /// What it said when it was ready.
    pub(crate) ready: Value,
}

/// An answer of HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), variables: Vec::new() }
    }

    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { variables, ..Self::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sameroom"));
        command.args(args).env_clear().env("HOME", self.folder.path()).env("SAMEROOM_DATA", self.data());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().expect("it starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Said {
            ok: output.status.success(),
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Runs a command that is to succeed, and gives what it printed.
    pub(crate) fn does(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert!(said.ok, "{args:?}: {said:?}");
        said.out
    }

    /// Likewise, its JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.does(&[args, &["--json"]].concat())).expect("JSON")
    }

    /// Starts the program on a port of its own, and waits until it is ready.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let args = [args, &["--listen", "127.0.0.1:0", "--json"]].concat();
        let mut child = self.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let Ok(ready) = serde_json::from_str(&line) else {
            let mut err = String::new();
            let _ = child.kill();
            child.stderr.take().expect("piped").read_to_string(&mut err).expect("UTF-8");
            panic!("it is not ready: {line} {err}");
        };
        // It must not stop because nobody reads what it logs.
        let mut stderr = child.stderr.take().expect("piped");
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Running { child: Some(child), ready }
    }
}

impl Said {
    /// It failed, and said this.
    pub(crate) fn refuses(&self, parts: &[&str]) {
        assert!(!self.ok, "it did not fail: {self:?}");
        for part in parts {
            assert!(self.err.contains(part), "it did not say '{part}':\n{}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

impl Running {
    pub(crate) fn url(&self) -> &str {
        self.ready["url"].as_str().expect("a URL")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// The tokens of rooms that live here.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let page = self.ready["page"].as_str().expect("a page");
        page.rsplit('/').next().expect("tokens").split('~').map(str::to_owned).collect()
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
        assert!(told.success());
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(child.wait()));
        end.recv_timeout(Duration::from_secs(10)).expect("it ends within 10 s").expect("a status")
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.extend([*name, ": ", *value, "\r\n"]);
        }
        self.raw(&format!("{head}\r\n{body}"))
    }

    /// Sends bytes and reads the answer, until the connection is closed.
    pub(crate) fn raw(&self, bytes: &str) -> Answer {
        self.exchange(bytes, false)
    }

    /// Likewise, and breaks off after them.
    pub(crate) fn cut(&self, bytes: &str) -> Answer {
        self.exchange(bytes, true)
    }

    fn exchange(&self, bytes: &str, cut: bool) -> Answer {
        let mut stream = self.connect();
        // It may answer and close before everything is written.
        let _ = stream.write_all(bytes.as_bytes());
        if cut {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        let text = String::from_utf8(text).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Answer { status, body: body.to_owned() }
    }

    /// Follows a room that lives here, until a line has all the words.
    pub(crate) fn hears(&self, token: &str, words: &[&str]) -> String {
        let mut stream = self.connect();
        write!(stream, "GET /rooms/{token}/events HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
        let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line in time"));
        lines.find(|line| words.iter().all(|word| line.contains(word))).expect("the stream goes on")
    }

    fn connect(&self) -> TcpStream {
        let address = self.url().strip_prefix("http://").expect("http");
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Takes requests and answers each with the status of the moment.
pub(crate) struct Target {
    pub(crate) port: u16,
    status: Arc<AtomicU16>,
    asked: std::sync::mpsc::Receiver<(u16, String)>,
}

impl Target {
    pub(crate) fn new(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let status = Arc::new(AtomicU16::new(status));
        let (tell, asked) = std::sync::mpsc::channel();
        let now = status.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (now, tell) = (now.clone(), tell.clone());
                std::thread::spawn(move || answer(stream, &now, &tell));
            }
        });
        Self { port, status, asked }
    }

    pub(crate) fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Waits for a request that was answered so and whose body has these words.
    pub(crate) fn gets(&self, status: u16, words: &str) {
        loop {
            let (answered, body) = self.asked.recv_timeout(PATIENCE).expect("a request");
            if answered == status && body.contains(words) {
                return;
            }
        }
    }
}

fn answer(stream: TcpStream, status: &AtomicU16, tell: &std::sync::mpsc::Sender<(u16, String)>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the body");
        let status = status.load(Ordering::SeqCst);
        let _ = write!(reader.get_mut(), "HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        let _ = tell.send((status, String::from_utf8_lossy(&body).into_owned()));
    }
}

/// All files of a folder, by name, with what is in them; locks, logs and sockets left out.
pub(crate) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap_or_default())
        })
        .filter(|(name, _)| name == "sameroom.db" || name == "sameroom.key")
        .collect();
    files.sort();
    files
}
