//! The program under measurement and what the kernel says of it; and the report.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The program, running.
pub(crate) struct Program {
    child: Child,
    /// From the start of the process to its line that it is ready.
    pub(crate) ready_after: Duration,
    /// That line.
    pub(crate) ready: Value,
    data: tempfile::TempDir,
}

impl Program {
    /// Starts it on an empty data folder, connecting pairs of rooms, with a configuration file of these parts.
    pub(crate) async fn start(urls: &[String], config: &[&str]) -> Self {
        let data = tempfile::Builder::new().prefix("sameroom-bench").tempdir_in(folder()).expect("a folder");
        if !config.is_empty() {
            std::fs::write(data.path().join("sameroom.toml"), config.concat()).expect("a configuration file");
        }
        let mut command = Command::new(binary());
        command.arg(if urls.is_empty() { "serve" } else { "connect" });
        command.args(urls).arg("--json").arg("--data").arg(data.path()).args(["--listen", "127.0.0.1:0"]);
        Self::spawn(command, data).await
    }

    /// Starts the bare program of [`crate::bare`], which posts to that URL.
    pub(crate) async fn bare(sink: &str) -> Self {
        let data = tempfile::Builder::new().prefix("sameroom-bench").tempdir_in(folder()).expect("a folder");
        let mut command = Command::new(std::env::current_exe().expect("the bench knows where it is"));
        command.arg("--bare").arg(sink).arg(data.path());
        Self::spawn(command, data).await
    }

    async fn spawn(mut command: Command, data: tempfile::TempDir) -> Self {
        command.stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
        let started = Instant::now();
        let mut child = command.spawn().expect("the release binary; build it by `cargo build --release`");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.next_line().await.expect("readable").expect("the program says that it is ready");
        let ready_after = started.elapsed();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, ready_after, ready: serde_json::from_str(&line).expect("JSON"), data }
    }

    /// `host:port` that it listens on.
    pub(crate) fn address(&self) -> String {
        self.ready["url"].as_str().expect("a URL").trim_start_matches("http://").to_owned()
    }

    /// An API key of the operator's, with that scope.
    pub(crate) async fn key(&self, scope: &str) -> String {
        let mut command = Command::new(binary());
        command.args(["keys", "add", "--name", "bench", "--scope", scope, "--json", "--data"]).arg(self.data.path());
        let made = command.output().await.expect("the binary runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        made["token"].as_str().expect("a token").to_owned()
    }

    /// CPU time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        // Fields 14 and 15 (proc_pid_stat(5)), in hundredths of a second; the name before them may hold spaces.
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a stat line").1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory.
    pub(crate) fn rss_mb(&self) -> f64 {
        rss_mb(self.pid())
    }

    /// Ends it in order.
    pub(crate) async fn stop(mut self) {
        let _ = Command::new("kill").arg(self.pid().to_string()).status().await;
        let _ = tokio::time::timeout(Duration::from_secs(15), self.child.wait()).await;
    }

    fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }
}

/// What was measured, in order.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<(String, f64, &'static str)>,
    skipped: Vec<(String, String)>,
}

impl Report {
    /// Something that can't be measured here, and why.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        eprintln!("  skipped: {name}: {why}");
        self.skipped.push((name.to_owned(), why.to_owned()));
    }

    pub(crate) fn put(&mut self, name: &str, value: f64, unit: &'static str) {
        eprintln!("  {name}: {value:.1} {unit}");
        self.rows.push((name.to_owned(), value, unit));
    }

    pub(crate) fn print(&self) {
        let width = self.rows.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
        println!("\n{:<width$}  {:>10}  unit", "measure", "value");
        for (name, value, unit) in &self.rows {
            println!("{name:<width$}  {value:>10.1}  {unit}");
        }
        for (name, why) in &self.skipped {
            println!("skipped: {name}: {why}");
        }
    }

    pub(crate) fn json(&self) -> String {
        let measured =
            self.rows.iter().map(|(name, value, unit)| json!({"measure": name, "value": value, "unit": unit}));
        let skipped = self.skipped.iter().map(|(name, why)| json!({"measure": name, "skipped": why}));
        let rows: Vec<Value> = measured.chain(skipped).collect();
        serde_json::to_string_pretty(&rows).expect("numbers and names")
    }
}

/// How long a fixed piece of work takes, best of three: machines, and moods of one, are compared by it.
pub(crate) fn yardstick() -> f64 {
    use sha2::{Digest, Sha256};
    let block = vec![7_u8; 1 << 20];
    let run = || {
        let started = Instant::now();
        let mut hash = Sha256::new();
        (0..64).for_each(|_| hash.update(&block));
        assert_ne!(hash.finalize()[..], [0; 32]);
        started.elapsed().as_secs_f64() * 1e3
    };
    (0..3).map(|_| run()).fold(f64::MAX, f64::min)
}

/// A process's resident memory.
pub(crate) fn rss_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a VmRSS line");
    line.split_whitespace().nth(1).expect("kB").parse::<f64>().expect("a number") / 1024.0
}

/// The release binary's size in bytes.
pub(crate) fn binary_size() -> u64 {
    std::fs::metadata(binary()).expect("the release binary; build it by `cargo build --release`").len()
}

/// The folder that cargo builds into.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from)
}

fn binary() -> PathBuf {
    target().join("release/sameroom")
}

/// Where data is put: beside the build, on a real disk; the usual place for temporary files may be memory.
fn folder() -> PathBuf {
    let folder = binary().parent().expect("a folder").join("bench-data");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}
