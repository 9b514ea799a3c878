//! `sameroom deliveries` against another Sameroom.

use serde_json::{Value, json};

use super::Desk;
use super::problem::Failure;
use super::show::{count, items, place, table, text, time};
use crate::cli::DeliveriesAction;
use crate::output;

pub(super) async fn run(desk: &Desk, action: DeliveriesAction) -> Result<(), Failure> {
    let client = &desk.client;
    match action {
        DeliveriesAction::List => list(desk).await,
        DeliveriesAction::Replay { id, .. } => {
            let done = match &id {
                Some(id) => replay(desk, id).await?,
                None => {
                    let mut done = client.post(&["deliveries", "replay"], None).await?;
                    let reread = client.post(&["letters", "replay"], None).await?;
                    let sum = [&done, &reread].map(|one| one["replayed"].as_u64().unwrap_or_default());
                    done["replayed"] = (sum[0] + sum[1]).into();
                    done["kept"] = reread["kept"].clone();
                    done
                }
            };
            desk.answer(&done, || {
                say!(
                    "{} again, in order.",
                    count(done["replayed"].as_u64().unwrap_or_default(), "is tried", "are tried")
                );
                if let kept @ 1.. = done["kept"].as_u64().unwrap_or_default() {
                    say!("{} still not understood.", count(kept, "request is", "requests are"));
                }
            });
            Ok(())
        }
        DeliveriesAction::Resume { lane, .. } => {
            let body = lane.map_or_else(|| json!({}), |lane| json!({ "id": lane }));
            let done = client.post(&["lanes", "resume"], Some(body)).await?;
            desk.answer(&done, || {
                say!("{} on.", count(done["resumed"].as_u64().unwrap_or_default(), "lane goes", "lanes go"));
            });
            Ok(())
        }
    }
}

/// Tries one again: a delivery that failed, or else a letter of that id.
async fn replay(desk: &Desk, id: &str) -> Result<Value, Failure> {
    match desk.client.post(&["deliveries", id, "replay"], None).await {
        Err(missing) if missing.kind == "not-found" => match desk.client.post(&["letters", id, "replay"], None).await {
            Err(e) if e.kind == "not-found" => Err(missing),
            reread => reread,
        },
        done => done,
    }
}

async fn list(desk: &Desk) -> Result<(), Failure> {
    let mut failed = desk.client.list(&["deliveries"], &[]).await?;
    let letters = desk.client.list(&["letters"], &[]).await?;
    if desk.json {
        failed["letters"] = letters["items"].clone();
        output::json(&failed);
        return Ok(());
    }
    let from = |of: &Value| if of["from"].is_object() { place(&of["from"]) } else { "Sameroom".to_owned() };
    let rows: Vec<Vec<String>> = items(&failed)
        .iter()
        .map(|one| {
            vec![time(one, "at"), text(one, "what"), from(one), place(&one["to"]), text(one, "why"), text(one, "id")]
        })
        .collect();
    table(&["GIVEN UP (UTC)", "WHAT", "FROM", "TO", "WHY", "ID"], &rows, "Nothing failed.");
    let rows: Vec<Vec<String>> = items(&letters)
        .iter()
        .map(|one| vec![time(one, "at"), text(one, "what"), text(one, "account"), text(one, "why"), text(one, "id")])
        .collect();
    if !rows.is_empty() {
        say!("\n{}", output::table(&["NOT UNDERSTOOD (UTC)", "WHAT", "ACCOUNT", "WHY", "ID"], &rows));
    }
    let lanes = desk.client.list(&["lanes"], &[]).await?;
    let rows: Vec<Vec<String>> = items(&lanes)
        .iter()
        .map(|lane| {
            let parked = text(lane, "parked");
            let state = if parked.is_empty() { "waiting".to_owned() } else { format!("parked: {parked}") };
            vec![from(lane), place(&lane["to"]), text(lane, "waiting"), state, text(lane, "id")]
        })
        .collect();
    if !rows.is_empty() {
        say!("\n{}", output::table(&["FROM", "TO", "WAITING", "STATE", "LANE"], &rows));
    }
    Ok(())
}
