//! Lists of the JSON API, where one owner has much.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hook::{self, Sink, millis};
use crate::probe::{Program, Report};

/// How many Tubes.
const TUBES: usize = 1000;

/// All Tubes of an owner, page by page.
pub(crate) async fn run(report: &mut Report) {
    let sink = Sink::start().await;
    let program = Program::start(&hook::pairs(&sink, TUBES), &[]).await;
    let token = program.key("read").await;
    let client = reqwest::Client::new();
    // Greetings are still on their way.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let (mut cursor, mut found) = (None::<String>, 0);
        loop {
            let more = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let url = format!("http://{}/api/v1/tubes?limit=200{more}", program.address());
            let answer = client.get(url).bearer_auth(&token).send().await.expect("it answers");
            assert!(answer.status().is_success(), "answered {}", answer.status());
            let page: Value = serde_json::from_slice(&answer.bytes().await.expect("all of it")).expect("JSON");
            found += page["items"].as_array().map_or(0, Vec::len);
            let Some(next) = page["next"].as_str() else { break };
            cursor = Some(next.to_owned());
        }
        times.push(began.elapsed());
        assert_eq!(found, TUBES);
    }
    times.sort();
    report.put(&format!("api: {TUBES} Tubes of one owner listed, median (at most 50)"), millis(&times, 0.50), "ms");
    report.put(&format!("api: {TUBES} Tubes of one owner listed, slowest of 20"), millis(&times, 1.0), "ms");
    program.stop().await;
}
