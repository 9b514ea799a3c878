//! A local AWS for tests: ministack (PyPI, MIT), one for a whole test program. This file must not know what is put
//! there.
#![allow(clippy::expect_used, reason = "only tests use it")]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use crate::process::{self, Program};

/// How long it may take to start.
const READY: Duration = Duration::from_secs(60);

/// Where the server is reached. The first call starts it; it ends with this program. It is the one that
/// `tests/run aws-contract` installs into the target folder. What calls it needs any credentials in its environment.
pub fn endpoint() -> &'static str {
    static ENDPOINT: OnceLock<String> = OnceLock::new();
    ENDPOINT.get_or_init(|| {
        let (ready, wait) = mpsc::channel();
        // A thread of its own, for ever: the server ends with the thread that started it.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (port, _server) = start().await;
                let _ = ready.send(format!("http://127.0.0.1:{port}"));
                std::future::pending::<()>().await;
            });
        });
        wait.recv().expect("ministack did not start")
    })
}

/// Whether the server is there to be started.
pub fn installed() -> bool {
    program().exists()
}

fn program() -> PathBuf {
    process::target().join("venv-ministack/bin/ministack")
}

async fn start() -> (u16, Program) {
    assert!(installed(), "ministack is not installed: run tests/run aws-contract");
    let port = process::port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut command = process::command(program());
    command
        .env("GATEWAY_PORT", port.to_string())
        .env("MINISTACK_HOST", "127.0.0.1")
        .env("BIND_HOST", "127.0.0.1")
        // What it runs calls back to it.
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("LAMBDA_EXECUTOR", "local")
        .env("SFTP_ENABLED", "0")
        .env("IOT_MTLS_ENABLED", "0");
    let mut server = Program::start("ministack", command);
    let health = format!("{endpoint}/_ministack/health");
    let until = tokio::time::Instant::now() + READY;
    while reqwest::get(&health).await.is_err() {
        assert!(tokio::time::Instant::now() < until, "ministack does not answer:\n{}", server.said());
        server.news(Duration::from_millis(200)).await;
    }
    (port, server)
}
