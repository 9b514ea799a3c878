//! `sameroom tubes`: connecting, pausing, one way, moving a side, removing.

use serde_json::{Value, json};

use super::args::TubesAction;
use super::problem::Failure;
use super::show::{confirm, fields, items, place, table, text, time};
use super::{Desk, names};
use crate::output;

pub(super) async fn run(desk: &Desk, action: Option<TubesAction>) -> Result<(), Failure> {
    let client = &desk.client;
    let changed = match action.unwrap_or_default() {
        TubesAction::List => return list(desk).await,
        TubesAction::Add { a, b } => {
            let a = names::room_or_add(client, &a).await?;
            let b = names::room_or_add(client, &b).await?;
            let tube = client.post(&["tubes"], Some(json!({ "rooms": [a["id"], b["id"]] }))).await?;
            desk.answer(&tube, || {
                say!("{} {}  {}", output::mark(true), ends(&tube), output::dim(&text(&tube, "id")));
            });
            return Ok(());
        }
        TubesAction::Remove { tube, sure } => {
            let tube = pick(desk, &tube).await?;
            confirm(&format!("Remove the Tube {}?", ends(&tube)), sure.yes)?;
            client.delete(&["tubes", &text(&tube, "id")], &[]).await?;
            desk.answer(&json!({ "removed": tube["id"] }), || say!("The Tube {} is removed.", ends(&tube)));
            return Ok(());
        }
        TubesAction::Show { tube } => {
            let tube = pick(desk, &tube).await?;
            client.get(&["tubes", &text(&tube, "id")]).await?
        }
        TubesAction::Pause { tube } => change(desk, &tube, json!({ "paused": true })).await?,
        TubesAction::Resume { tube } => change(desk, &tube, json!({ "paused": false })).await?,
        TubesAction::Change { tube, side, direction } => {
            let room = side_of(desk, &tube, &side).await?;
            change(desk, &tube, json!({ "side": { "room": room, "direction": direction } })).await?
        }
        TubesAction::Move { tube, from, to, portals } => {
            let from = side_of(desk, &tube, &from).await?;
            let tube = pick(desk, &tube).await?;
            let to = names::room_or_add(client, &to).await?;
            let body = json!({ "from": from, "to": to["id"], "portals": portals });
            client.post(&["tubes", &text(&tube, "id"), "move"], Some(body)).await?
        }
    };
    desk.answer(&changed, || show(&changed));
    Ok(())
}

/// A Tube's ends, for people.
pub(super) fn ends(tube: &Value) -> String {
    let sides = tube["sides"].as_array().map_or(&[][..], Vec::as_slice);
    sides.iter().map(place).collect::<Vec<_>>().join(" ⇄ ")
}

async fn pick(desk: &Desk, named: &str) -> Result<Value, Failure> {
    names::pick(&desk.client, &["tubes"], "Tube", named).await
}

async fn change(desk: &Desk, named: &str, body: Value) -> Result<Value, Failure> {
    let tube = pick(desk, named).await?;
    desk.client.patch(&["tubes", &text(&tube, "id")], body).await
}

/// The id of one's own room at a side of a Tube, named by what the Tube shows of it or as any room.
async fn side_of(desk: &Desk, tube: &str, named: &str) -> Result<Value, Failure> {
    let tube = pick(desk, tube).await?;
    let bare = |text: &str| text.trim_start_matches('#').to_lowercase();
    let mine: Vec<&Value> =
        tube["sides"].as_array().into_iter().flatten().filter(|side| side["mine"] == true).collect();
    let called: Vec<&&Value> = mine
        .iter()
        .filter(|side| side["room"] == named || side["name"].as_str().is_some_and(|name| bare(name) == bare(named)))
        .collect();
    if let [side] = called.as_slice() {
        return Ok(side["room"].clone());
    }
    Ok(names::room(&desk.client, named).await?["id"].clone())
}

async fn list(desk: &Desk) -> Result<(), Failure> {
    let all = desk.client.list(&["tubes"], &[]).await?;
    let rows: Vec<Vec<String>> =
        items(&all).iter().map(|tube| vec![ends(tube), state(tube), time(tube, "made_at"), text(tube, "id")]).collect();
    desk.answer(&all, || {
        table(&["TUBE", "STATE", "MADE (UTC)", "ID"], &rows, "No Tube yet. Make one by: sameroom tubes add ROOM ROOM");
    });
    Ok(())
}

/// The state, with what is not as usual about the sides.
fn state(tube: &Value) -> String {
    let mut said = vec![text(tube, "state")];
    for side in tube["sides"].as_array().into_iter().flatten() {
        if let Some(direction) = side["direction"].as_str().filter(|direction| *direction != "both") {
            said.push(format!("{direction} at {}", text(side, "name")));
        }
    }
    said.join(", ")
}

fn show(tube: &Value) {
    let mut all = vec![("State", text(tube, "state"))];
    for side in tube["sides"].as_array().into_iter().flatten() {
        let mut said = place(side);
        if side["mine"] == true {
            let paused = if side["paused"] == true { ", paused by you" } else { "" };
            said = format!("{said} (yours, {}{paused})", text(side, "direction"));
        }
        all.push(("Side", said));
        all.push(("Parked", text(side, "parked")));
    }
    all.extend([
        ("Made by", text(&tube["made_by"], "by")),
        ("Portal", text(&tube["made_by"], "portal")),
        ("Made (UTC)", time(tube, "made_at")),
        ("Id", text(tube, "id")),
    ]);
    fields(&all);
}
