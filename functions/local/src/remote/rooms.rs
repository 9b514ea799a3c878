//! `sameroom rooms`: finding, adding, options, removing.

use serde_json::{Map, Value, json};

use super::args::{RoomOptions, RoomsAction};
use super::problem::Failure;
use super::show::{confirm, fields, items, table, text};
use super::{Desk, names};

pub(super) async fn run(desk: &Desk, action: Option<RoomsAction>) -> Result<(), Failure> {
    let client = &desk.client;
    match action.unwrap_or_default() {
        RoomsAction::List => {
            let all = client.list(&["rooms"], &[]).await?;
            list(desk, &all, "No room yet. Find some by `sameroom rooms find TEXT`, or add one by its URL.").await
        }
        RoomsAction::Find { text: wanted, account } => {
            let account = match account {
                Some(account) => text(&names::account(client, &account).await?, "id"),
                None => String::new(),
            };
            let mut query = vec![("q", wanted.as_str())];
            if !account.is_empty() {
                query.push(("account", &account));
            }
            let found = client.list(&["rooms"], &query).await?;
            list(desk, &found, "No room with that in its name. `sameroom accounts refresh ACCOUNT` lists rooms anew.")
                .await
        }
        RoomsAction::Add { url_or_account, room } => {
            let body = match room {
                Some(room) => json!({ "account": names::account(client, &url_or_account).await?["id"], "room": room }),
                None => {
                    let Some(url) = names::as_url(&url_or_account) else {
                        let text = "give a room's URL, or an account and the room; `sameroom platforms` shows URLs";
                        return Err(Failure::refused(format!("'{url_or_account}' is no room's URL: {text}")));
                    };
                    json!({ "url": names::revealed(url)? })
                }
            };
            let room = client.post(&["rooms"], Some(body)).await?;
            desk.answer(&room, || show(&room));
            Ok(())
        }
        RoomsAction::Show { room } => {
            let room = names::room(client, &room).await?;
            desk.answer(&room, || show(&room));
            Ok(())
        }
        RoomsAction::Change { room, options } => {
            let room = names::room(client, &room).await?;
            let room = client.patch(&["rooms", &text(&room, "id")], changes(options)).await?;
            desk.answer(&room, || show(&room));
            Ok(())
        }
        RoomsAction::Remove { room, sure } => {
            let room = names::room(client, &room).await?;
            let (id, name) = (text(&room, "id"), super::show::place(&room));
            confirm(&format!("Remove {name}, with its Tubes and Portals?"), sure.yes)?;
            client.delete(&["rooms", &id], &[]).await?;
            desk.answer(&json!({ "removed": id }), || say!("{name} is removed."));
            Ok(())
        }
    }
}

async fn list(desk: &Desk, all: &Value, empty: &str) -> Result<(), Failure> {
    if desk.json || items(all).is_empty() {
        desk.answer(all, || say!("{empty}"));
        return Ok(());
    }
    let accounts = desk.client.list(&["accounts"], &[]).await?;
    let rows: Vec<Vec<String>> = items(all)
        .iter()
        .map(|room| {
            let account = items(&accounts).iter().find(|account| account["id"] == room["account"]);
            let account = account.map_or_else(|| text(room, "account"), |account| text(account, "name"));
            vec![text(room, "name"), text(room, "site"), account, text(room, "added"), text(room, "id")]
        })
        .collect();
    table(&["ROOM", "WHERE", "ACCOUNT", "ADDED", "ID"], &rows, empty);
    Ok(())
}

fn show(room: &Value) {
    let options = &room["options"];
    fields(&[
        ("Room", text(room, "name")),
        ("Where", text(room, "site")),
        ("Account", text(room, "account")),
        ("Authors as", text(options, "author")),
        ("Team shown", text(options, "team")),
        ("System messages", text(options, "system")),
        ("Direction", text(options, "direction")),
        ("Edits as", text(options, "edits")),
        ("Replies as", text(options, "replies")),
        ("Id", text(room, "id")),
    ]);
}

fn changes(options: RoomOptions) -> Value {
    let RoomOptions { author, team, system, direction, edits, replies } = options;
    let all = [
        ("author", author.map(Value::from)),
        ("team", team.map(Value::from)),
        ("system", system.map(Value::from)),
        ("direction", direction.map(Value::from)),
        ("edits", edits.map(Value::from)),
        ("replies", replies.map(Value::from)),
    ];
    Value::Object(all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>())
}
