//! An orderly end under load (faults F52 and F63): in time, and without a single duplicate.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::judge::{balanced, judge};
use crate::load::{Rig, Stream};

/// What a service manager waits before it kills.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f52_restarts_under_load_lose_and_repeat_nothing() {
    let rig = Rig::new().await;
    let mut sameroom = rig.setup.start().await;
    let stream = Stream::begin(Rig::sender(&sameroom));
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        sleep(Duration::from_millis(700)).await;
        let asked = Instant::now();
        sameroom.program.terminate().await;
        let status = sameroom.program.ended(PATIENCE).await.expect("it ends within 10 s of SIGTERM");
        assert!(status.success(), "{status}: {}", sameroom.program.said());
        slowest = slowest.max(asked.elapsed());
        sameroom = rig.setup.start().await;
    }
    let streamed = stream.end().await;
    let metrics = sameroom.drained(Duration::from_secs(30)).await;
    // Nobody died, so nothing may come twice.
    judge(&rig.hook.ledger(), streamed.messages, &[]);
    balanced(&metrics, streamed.messages);
    println!(
        "crash: 3 restarts by SIGTERM under load, the slowest end {slowest:?}; {} messages, 0 lost, 0 twice",
        streamed.messages
    );
}
