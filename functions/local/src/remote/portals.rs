//! `sameroom portals`: making, showing, guests, revoking; and coming through somebody's with a room of one's own.

use serde_json::{Map, Value, json};

use super::args::PortalsAction;
use super::problem::Failure;
use super::show::{confirm, expiry, fields, items, place, table, text, time};
use super::{Desk, names, tubes};
use crate::output;

pub(super) async fn run(desk: &Desk, action: Option<PortalsAction>) -> Result<(), Failure> {
    let client = &desk.client;
    match action.unwrap_or_default() {
        PortalsAction::List => list(desk).await,
        PortalsAction::Add { room, expires, uses, approval, label } => {
            let room = names::room_or_add(client, &room).await?;
            let mut body = json!({ "room": room["id"], "approval": approval });
            if let Some(expires) = expires {
                body["expires"] = expiry(&expires)?.into();
            }
            if let Some(uses) = uses {
                body["uses"] = uses.into();
            }
            if let Some(label) = label {
                body["label"] = label.into();
            }
            let made = client.post(&["portals"], Some(body)).await?;
            with_url(desk, &made);
            Ok(())
        }
        PortalsAction::Show { portal } => {
            let portal = pick(desk, &portal).await?;
            desk.answer(&portal, || show(&portal));
            Ok(())
        }
        PortalsAction::Change { portal, expires, uses, approval, label } => {
            let mut body = Map::new();
            if let Some(expires) = expires {
                let expires = if expires == "never" { Value::Null } else { expiry(&expires)?.into() };
                body.insert("expires".to_owned(), expires);
            }
            if let Some(uses) = uses {
                body.insert("uses".to_owned(), how_often(&uses)?);
            }
            body.extend(approval.map(|approval| ("approval".to_owned(), approval.into())));
            body.extend(label.map(|label| ("label".to_owned(), label.into())));
            let id = id(desk, &portal).await?;
            let portal = client.patch(&["portals", &id], Value::Object(body)).await?;
            desk.answer(&portal, || show(&portal));
            Ok(())
        }
        PortalsAction::Url { portal } => {
            let url = client.get(&["portals", &id(desk, &portal).await?, "url"]).await?;
            desk.answer(&url, || say!("{}", text(&url, "url")));
            Ok(())
        }
        PortalsAction::Guests { portal } => guests(desk, &portal).await,
        PortalsAction::Approve { portal, guest } => decide(desk, &portal, &guest, "approve").await,
        PortalsAction::Refuse { portal, guest } => decide(desk, &portal, &guest, "refuse").await,
        PortalsAction::Rotate { portal } => {
            let made = client.post(&["portals", &id(desk, &portal).await?, "rotate"], None).await?;
            with_url(desk, &made);
            Ok(())
        }
        PortalsAction::Revoke { portal, with_tubes, sure } => revoke(desk, &portal, with_tubes, sure.yes).await,
        PortalsAction::Use { invitation, room, sure } => come_through(desk, &invitation, &room, sure.yes).await,
    }
}

async fn pick(desk: &Desk, named: &str) -> Result<Value, Failure> {
    names::pick(&desk.client, &["portals"], "Portal", named).await
}

async fn id(desk: &Desk, named: &str) -> Result<String, Failure> {
    Ok(text(&pick(desk, named).await?, "id"))
}

fn how_often(uses: &str) -> Result<Value, Failure> {
    if uses == "any" {
        return Ok(Value::Null);
    }
    let wrong = || Failure::refused(format!("'{uses}' is not how often: write a number from 1, or any"));
    uses.parse::<u32>().ok().filter(|uses| *uses > 0).map(Value::from).ok_or_else(wrong)
}

async fn list(desk: &Desk) -> Result<(), Failure> {
    let all = desk.client.list(&["portals"], &[]).await?;
    let rows: Vec<Vec<String>> = items(&all)
        .iter()
        .map(|portal| {
            let waiting = match portal["waiting"].as_u64() {
                None | Some(0) => String::new(),
                Some(n) => n.to_string(),
            };
            vec![place(portal), state(portal), used(portal), waiting, text(portal, "label"), text(portal, "id")]
        })
        .collect();
    let heading = ["PORTAL FOR", "STATE", "USED", "WAITING", "LABEL", "ID"];
    desk.answer(&all, || table(&heading, &rows, "No Portal yet. Make one by: sameroom portals add ROOM"));
    Ok(())
}

/// The state, and until when.
fn state(portal: &Value) -> String {
    let expires = time(portal, "expires");
    let state = text(portal, "state");
    if state == "open" && !expires.is_empty() { format!("{state} until {expires}") } else { state }
}

/// How often it was used, and may be.
fn used(portal: &Value) -> String {
    match portal["uses"].as_u64() {
        Some(uses) => format!("{} of {uses}", portal["uses_made"]),
        None => portal["uses_made"].to_string(),
    }
}

fn show(portal: &Value) {
    fields(&[
        ("Portal for", place(portal)),
        ("State", state(portal)),
        ("Used", used(portal)),
        ("Approval", text(portal, "approval")),
        ("Waiting", text(portal, "waiting")),
        ("Label", text(portal, "label")),
        ("Made (UTC)", time(portal, "made_at")),
        ("Id", text(portal, "id")),
    ]);
}

fn with_url(desk: &Desk, made: &Value) {
    desk.answer(made, || {
        show(&made["portal"]);
        say!("\n  {}\n", output::bold(&text(made, "url")));
        say!("{}", output::dim("Whoever has this URL can use the Portal."));
    });
}

async fn guests(desk: &Desk, named: &str) -> Result<(), Failure> {
    let id = id(desk, named).await?;
    let all = desk.client.list(&["portals", &id, "guests"], &[]).await?;
    let rows: Vec<Vec<String>> = items(&all)
        .iter()
        .map(|guest| {
            vec![place(guest), text(guest, "state"), time(guest, "at"), text(guest, "tube"), text(guest, "id")]
        })
        .collect();
    desk.answer(&all, || {
        table(&["GUEST", "STATE", "CAME (UTC)", "TUBE", "ID"], &rows, "Nobody came through this Portal yet.");
    });
    Ok(())
}

async fn decide(desk: &Desk, portal: &str, guest: &str, word: &str) -> Result<(), Failure> {
    let portal = id(desk, portal).await?;
    let guest = names::pick(&desk.client, &["portals", &portal, "guests"], "guest", guest).await?;
    let guest = desk.client.post(&["portals", &portal, "guests", &text(&guest, "id"), word], None).await?;
    desk.answer(&guest, || say!("{} {} is {}.", output::mark(true), place(&guest), text(&guest, "state")));
    Ok(())
}

async fn revoke(desk: &Desk, named: &str, with_tubes: bool, yes: bool) -> Result<(), Failure> {
    let portal = pick(desk, named).await?;
    let what = if with_tubes { ", and remove the Tubes that were made through it" } else { "" };
    confirm(&format!("Revoke the Portal for {}, for good{what}?", place(&portal)), yes)?;
    let with = if with_tubes { "true" } else { "false" };
    let revoked = desk.client.delete(&["portals", &text(&portal, "id")], &[("tubes", with)]).await?;
    desk.answer(&revoked, || {
        let tubes = match revoked["tubes"].as_u64() {
            None | Some(0) => String::new(),
            Some(1) => ", and 1 Tube is removed".to_owned(),
            Some(n) => format!(", and {n} Tubes are removed"),
        };
        say!("{} The Portal for {} is revoked{tubes}.", output::mark(true), place(&portal));
    });
    Ok(())
}

/// First what joining means, then the joining.
async fn come_through(desk: &Desk, url: &str, room: &str, yes: bool) -> Result<(), Failure> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let token = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let found = desk.client.get(&["invitations", token]).await?;
    let room = names::room_or_add(&desk.client, room).await?;
    if !desk.json {
        let readers = found["readers"].as_u64().unwrap_or_default();
        let who = if readers == 1 { "1 room reads".to_owned() } else { format!("{readers} rooms read") };
        say!("This Portal leads to {}.", place(&found));
        say!("{who} what is written in {}; no words are kept.", place(&room));
        if found["approval"] == true {
            say!("The Portal's owner has to approve your room first.");
        }
    }
    confirm(&format!("Connect {} with {}?", place(&room), place(&found)), yes)?;
    let done = desk.client.post(&["invitations", token, "accept"], Some(json!({ "room": room["id"] }))).await?;
    desk.answer(&done, || match done["state"].as_str() {
        Some("waiting") => say!("{} waits for the approval of the Portal's owner.", place(&room)),
        _ => {
            let tube = &done["tube"];
            say!("{} {}  {}", output::mark(true), tubes::ends(tube), output::dim(&text(tube, "id")));
        }
    });
    Ok(())
}
