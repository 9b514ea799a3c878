//! `sameroom watch`: what crosses and what changes, as it happens, a line for each. What people wrote only
//! where that is asked for.

use std::time::Duration;

use serde_json::{Value, json};

use super::Desk;
use super::client::Told;
use super::problem::Failure;
use super::show::{place, text};
use crate::output;

/// How long we wait before we follow anew.
const AGAIN: Duration = Duration::from_secs(2);

/// Runs until it is stopped, or until whoever reads has gone.
pub(super) async fn run(desk: &Desk, no_changes: bool, words: bool) -> Result<(), Failure> {
    let mut last: Option<String> = None;
    let mut query = vec![("crossings", "true")];
    query.extend(words.then_some(("text", "true")));
    let mut events = desk.client.follow(&query, None).await?;
    if !desk.json {
        tell!("{}", output::dim("Watching what crosses; stop with Ctrl-C."));
    }
    loop {
        while let Some(told) = events.next().await? {
            if told.id.is_some() {
                last.clone_from(&told.id);
            }
            let wanted = !told.data.is_empty() && (told.name == "crossing" || !no_changes);
            if wanted && !print(desk, &told) {
                return Ok(());
            }
        }
        // It broke off: the instance starts anew, most likely.
        events = loop {
            tokio::time::sleep(AGAIN).await;
            match desk.client.follow(&query, last.as_deref()).await {
                Ok(events) => break events,
                Err(e) if e.code == 3 => {}
                Err(e) => return Err(e),
            }
        };
    }
}

/// Prints an event. `false`: nobody reads any more.
fn print(desk: &Desk, told: &Told) -> bool {
    use std::io::Write as _;
    let data: Value = serde_json::from_str(&told.data).unwrap_or_default();
    let line = if desk.json {
        // A line for each, so that programs can take them as they come.
        json!({ "event": told.name, "id": told.id, "data": data }).to_string()
    } else {
        let at = text(&data, "at");
        format!("{} {}", output::dim(at.get(11..19).unwrap_or("--:--:--")), sentence(told, &data))
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

fn sentence(told: &Told, data: &Value) -> String {
    match told.name.as_str() {
        "crossing" => {
            let from = if data["from"].is_object() { place(&data["from"]) } else { "Sameroom".to_owned() };
            let why = text(data, "why");
            let why = if why.is_empty() { why } else { format!(": {why}") };
            let outcome = text(data, "outcome");
            let sign = output::mark(outcome == "delivered" || outcome == "left-out");
            let what = text(data, "kind");
            let said = match (text(data, "author"), text(data, "text")) {
                (_, said) if said.is_empty() => said,
                (author, said) if author.is_empty() => format!("\n         {said}"),
                (author, said) => format!("\n         {author}: {said}"),
            };
            let to = place(&data["to"]);
            format!("{sign} {what} {from} → {to} {outcome} in {} ms{why}{said}", data["took_ms"])
        }
        "reset" => "some changes were missed; list what you need anew".to_owned(),
        name => format!("• {name} {}", text(data, "id")),
    }
}
