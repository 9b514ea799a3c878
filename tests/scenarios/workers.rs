//! Several processes that could hold the connections, on one store: one leads at a time, whatever happens to it.

use std::sync::Arc;
use std::time::Duration;

use sameroom_embedded::{KeyFile, Memory, TestClock};
use sameroom_engine::ports::Store as _;
use sameroom_engine::{Config, Engine};
use sameroom_tests::worlds::{Outage, Watched};
use sameroom_wire::worker::{Standing, run};
use sameroom_wire::{Dialer, Guard, HttpClient, Limits, LiveWire, Registry, Supervisor};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const TERM: Duration = Duration::from_secs(15);

/// A store that several share, on a clock that goes as the test's does.
struct Site {
    memory: Arc<Memory>,
    clock: TestClock,
    folder: TempDir,
}

/// One process.
struct Worker {
    store: Arc<Watched>,
    task: JoinHandle<()>,
    standing: watch::Receiver<Standing>,
    stop: watch::Sender<bool>,
}

impl Site {
    fn new() -> Self {
        let clock = TestClock::default();
        let site = Self { memory: Memory::new(clock.clone()), clock, folder: tempfile::tempdir().unwrap() };
        let clock = site.clock.clone();
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(100)).await;
                clock.advance(Duration::from_millis(100));
            }
        });
        site
    }

    fn worker(&self, name: &'static str) -> Worker {
        let store = Watched::new(self.memory.clone(), false);
        let guard = Arc::new(Guard::new(Vec::new()));
        let client = Arc::new(HttpClient::new(guard.clone(), Arc::default(), Limits::default()));
        let wire =
            LiveWire { trusted: client.clone(), guarded: client, trusts: |_| false, sessions: Registry::default() };
        let vault = Arc::new(KeyFile::open(self.folder.path()).unwrap());
        let clock = Arc::new(self.clock.clone());
        let engine = Engine::new(store.clone(), Arc::new(wire.clone()), vault, clock.clone(), Config::default());
        let dialer = Arc::new(Dialer::new(guard, Arc::default()));
        let supervisor = Supervisor {
            engine,
            clock,
            wire,
            trusted: dialer.clone(),
            guarded: dialer,
            operator: "operator".into(),
            news: Arc::new(|_| ()),
        };
        let (tell, standing) = watch::channel(Standing::Waiting);
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(async move { run(supervisor, name, TERM, tell, stopping).await });
        Worker { store, task, standing, stop }
    }
}

impl Worker {
    fn leads(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Leading(_))
    }

    /// Waits until it leads. Says how long that took, and under which epoch.
    async fn led(&mut self) -> (Duration, u64) {
        let began = Instant::now();
        let standing = timeout(4 * TERM, self.standing.wait_for(|standing| *standing != Standing::Waiting)).await;
        let Standing::Leading(epoch) = *standing.expect("it never led").unwrap() else { unreachable!() };
        (began.elapsed(), epoch)
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_workers_one_leads_and_the_other_takes_over_when_it_is_killed() {
    let site = Site::new();
    let mut one = site.worker("one");
    assert_eq!(one.led().await.1, 1);
    let mut two = site.worker("two");
    sleep(10 * TERM).await;
    assert!(one.leads() && !two.leads(), "the second leads beside the first");
    one.task.abort();
    let (took, epoch) = two.led().await;
    assert_eq!(epoch, 2);
    assert!(took >= TERM / 2 && took <= TERM * 3 / 2, "took over after {took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_ends_in_order_is_followed_within_a_third_of_a_term() {
    let site = Site::new();
    let mut one = site.worker("one");
    one.led().await;
    let mut two = site.worker("two");
    sleep(TERM).await;
    one.stop.send(true).unwrap();
    let (took, _) = two.led().await;
    assert!(took <= TERM / 2, "took over after {took:?}");
    one.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_can_t_reach_the_store_stops_before_another_leads() {
    let site = Site::new();
    let mut one = site.worker("one");
    one.led().await;
    let mut two = site.worker("two");
    sleep(TERM).await;
    one.store.outage(Some(Outage::Gone));
    one.standing.wait_for(|standing| *standing == Standing::Waiting).await.unwrap();
    assert!(!two.leads(), "two led at once");
    two.led().await;
    // It comes back, and waits.
    one.store.outage(None);
    sleep(4 * TERM).await;
    assert!(two.leads() && !one.leads());
    assert!(site.memory.census().await.unwrap().conserves());
}
