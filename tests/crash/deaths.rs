//! Deaths at every named failpoint, and by SIGKILL at random instants (faults F1 to F6).

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use sameroom_tests::process::Program;
use tokio::time::{Instant, sleep};

use crate::judge::{Duplicates, balanced, judge};
use crate::load::{Rig, Stream, Streamed};

/// Where the binary can be made to die, and at which time it passes there.
const FAILPOINTS: [&str; 6] = ["pre_commit", "mid_commit", "post_commit", "pre_post", "post_post", "pre_record"];
const TIMES: [u32; 3] = [2, 9, 60];
/// How many random kills.
const KILLS: usize = 12;
/// How long a death at a failpoint may take to happen, and a backlog to be worked off.
const SOON: Duration = Duration::from_secs(30);
/// SIGABRT, which a failpoint dies of.
const ABORTED: i32 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_to_f6_death_at_every_failpoint_loses_nothing() {
    let rig = Rig::new().await;
    let mut sameroom = rig.setup.start().await;
    let stream = Stream::begin(Rig::sender(&sameroom));
    sleep(Duration::from_millis(300)).await;
    sameroom.program.kill().await;
    let mut deaths = vec![("kill".to_owned(), Instant::now())];
    for (name, time) in FAILPOINTS.iter().flat_map(|name| TIMES.map(|time| (name, time))) {
        let setup = rig.setup.clone().with("SAMEROOM_FAILPOINT", &format!("{name}:{time}"));
        let mut program: Program = match setup.try_start().await {
            Ok(sameroom) => sameroom.program,
            // It may die before it is ready.
            Err(program) => program,
        };
        let status = program.ended(SOON).await.unwrap_or_else(|| panic!("nobody passed {name} {time} times"));
        assert_eq!(status.signal(), Some(ABORTED), "{name}: {status}\n{}", program.said());
        deaths.push(((*name).to_owned(), Instant::now()));
    }
    let last = rig.setup.start().await;
    let streamed = stream.end().await;
    let metrics = last.drained(SOON).await;
    let duplicates = judge(&rig.hook.ledger(), streamed.messages, &deaths);
    balanced(&metrics, streamed.messages);
    report("failpoints", &streamed, &duplicates);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f63_sigkill_at_random_instants_loses_nothing() {
    let seed = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_122);
    println!("crash: random kills, CRASH_SEED={seed}");
    let mut random = Random(seed);
    let rig = Rig::new().await;
    let mut sameroom = rig.setup.start().await;
    let stream = Stream::begin(Rig::sender(&sameroom));
    let mut deaths = Vec::new();
    for _ in 0..KILLS {
        sleep(Duration::from_millis(random.below(900))).await;
        sameroom.program.kill().await;
        deaths.push(("kill".to_owned(), Instant::now()));
        // Every other time it is killed while it starts, too.
        if random.below(2) == 0 {
            let mut program = rig.setup.launch();
            sleep(Duration::from_millis(random.below(150))).await;
            program.kill().await;
            deaths.push(("kill at start".to_owned(), Instant::now()));
        }
        sameroom = rig.setup.start().await;
    }
    let streamed = stream.end().await;
    let metrics = sameroom.drained(SOON).await;
    let duplicates = judge(&rig.hook.ledger(), streamed.messages, &deaths);
    balanced(&metrics, streamed.messages);
    report("random kills", &streamed, &duplicates);
}

fn report(what: &str, streamed: &Streamed, duplicates: &Duplicates) {
    let deaths: usize = duplicates.values().map(|(deaths, _)| deaths).sum();
    let again: usize = duplicates.values().map(|(_, again)| again).sum();
    let rate = streamed.messages as f64 / streamed.lasted.as_secs_f64();
    println!(
        "crash: {what}: {deaths} deaths, {} messages taken at {rate:.0}/s, {} retries, slowest {:?}; 0 lost, 0 out of \
         order, {again} posted twice under the same id",
        streamed.messages, streamed.retries, streamed.slowest
    );
    for (how, (deaths, again)) in duplicates {
        println!("crash:   {how}: {deaths} deaths, {again} posted twice");
    }
}

/// A small generator (xorshift64*), so that a seed replays the same instants.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}
