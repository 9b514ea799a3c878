//! The bench: the real program, as its own process, between a sender and a sink that live here. What it costs is read
//! from the kernel (`/proc`), so that sender and sink don't count. Prints a table, and JSON with `--json FILE`.
//!
//! Run it by `tests/run bench`. Figures depend on the machine: compare ratios, and runs on the same one.

#![allow(clippy::disallowed_methods, reason = "a bench measures time by the clock")]

mod bare;
mod hook;
mod irc;
mod lambda;
mod lists;
mod probe;
mod runtime;
mod slack;

use std::time::Duration;

use probe::{Program, Report};

/// As the real program: what is compared shares it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many messages a saturated run sends.
const MESSAGES: usize = 20_000;
/// How often what is compared takes its turn.
const TURNS: usize = 3;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, bare, sink, folder] = &args[..]
        && bare == "--bare"
    {
        return runtime().block_on(bare::run(sink, folder.as_ref()));
    }
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|i| args.get(i + 1)).cloned();
    let only = value("--only");
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.starts_with(only));
    let mut report = Report::default();
    runtime().block_on(async {
        report.put("yardstick: SHA-256 of 64 MiB, one core", probe::yardstick(), "ms");
        if wanted("size") {
            report.put("size: binary", probe::binary_size() as f64 / 1e6, "MB");
        }
        if wanted("start") {
            start_and_idle(&mut report).await;
        }
        if wanted("hook") {
            hooks(&mut report).await;
        }
        if wanted("irc") {
            irc::run(&mut report).await;
        }
        if wanted("slack") {
            slack::run(&mut report).await;
        }
        if wanted("api") {
            lists::run(&mut report).await;
        }
        if wanted("lambda") {
            lambda::run(&mut report).await;
        }
    });
    report.print();
    if let Some(path) = value("--json") {
        std::fs::write(path, report.json()).expect("the report is written");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

async fn start_and_idle(report: &mut Report) {
    let mut starts = Vec::new();
    for _ in 0..10 {
        let program = Program::start(&[], &[]).await;
        starts.push(program.ready_after);
        program.stop().await;
    }
    starts.sort();
    report.put("start: empty folder to ready, median", ms(starts[starts.len() / 2]), "ms");
    for tubes in [1, 100] {
        let sink = hook::Sink::start().await;
        let program = Program::start(&hook::pairs(&sink, tubes), &[]).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        report.put(&format!("idle: RSS with {tubes} Tubes"), program.rss_mb(), "MB");
        program.stop().await;
    }
}

async fn hooks(report: &mut Report) {
    // In turns, and the middle of each: a machine has moods that last for seconds.
    let (mut bare, mut durable) = (Vec::new(), Vec::new());
    for turn in 1..=TURNS {
        bare.push(hook::saturate_bare(report, &format!("hook: bare program, turn {turn}"), MESSAGES).await);
        let name = format!("hook: durable, 1 Tube, turn {turn}");
        durable.push(hook::saturate(report, &name, 1, MESSAGES, &[]).await);
    }
    let [bare, durable] = [bare, durable].map(middle);
    report.put("hook: bare program: CPU per message", bare.cpu_us, "us");
    report.put("hook: durable, 1 Tube: CPU per message", durable.cpu_us, "us");
    report.put("hook: durable, 1 Tube: rate", durable.rate, "/s");
    report.put("hook: durable CPU / bare program's", 100.0 * durable.cpu_us / bare.cpu_us, "%");
    let loose = hook::saturate(report, "hook: sync off, 1 Tube", 1, MESSAGES, &["[store]\ndurable = false\n"]).await;
    report.put("hook: durable rate / sync-off rate", 100.0 * durable.rate / loose.rate, "%");
    let many = hook::saturate(report, "hook: durable, 100 Tubes", 100, MESSAGES, &[]).await;
    report.put("hook: CPU with 100 Tubes / with 1", 100.0 * many.cpu_us / durable.cpu_us, "%");
    hook::paced(report, 500, Duration::from_secs(10)).await;
    hook::burst(report, 2_000).await;
    hook::slow_beside_fast(report).await;
}

/// The run with the middle CPU time.
fn middle(mut runs: Vec<hook::Saturated>) -> hook::Saturated {
    runs.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
    runs.swap_remove(runs.len() / 2)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
