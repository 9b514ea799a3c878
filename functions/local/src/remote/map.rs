//! `sameroom map`: which rooms are connected, drawn in the terminal or as SVG.

use std::path::Path;

use rustix::termios::tcgetwinsize;
use sameroom_engine::{Flow, MapRoom, MapTube, NetworkMap};
use sameroom_model::TubeState;
use sameroom_web::map::{svg, terminal};
use serde_json::Value;

use super::problem::Failure;
use super::show::text;
use super::{Desk, names};
use crate::output;

/// The width where there is no terminal.
const WIDTH: usize = 100;

pub(super) async fn run(desk: &Desk, room: Option<&str>, file: Option<&Path>) -> Result<(), Failure> {
    let document = match room {
        Some(room) => {
            let room = names::room(&desk.client, room).await?;
            desk.client.get(&["rooms", &text(&room, "id"), "map"]).await?
        }
        None => desk.client.get(&["map"]).await?,
    };
    let map = read(&document);
    if let Some(file) = file {
        let drawing = svg(&map, room.map(|_| 0));
        std::fs::write(file, drawing)
            .map_err(|e| Failure::other(format!("{} can't be written ({e}); name another file", file.display())))?;
        desk.answer(&document, || say!("{} {}", output::mark(true), file.display()));
        return Ok(());
    }
    desk.answer(&document, || {
        if map.rooms.is_empty() {
            say!("No rooms are connected yet. Connect two by: sameroom tubes add ROOM ROOM");
            return;
        }
        let columns = tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
        say!("{}", terminal(&map, if columns == 0 { WIDTH } else { columns }).trim_end());
    });
    Ok(())
}

/// The API's document as the drawing takes it. Tubes whose ends are not in it are left out.
fn read(document: &Value) -> NetworkMap {
    let list = |name: &str| document[name].as_array().map_or(&[][..], Vec::as_slice);
    let rooms: Vec<MapRoom> = list("rooms")
        .iter()
        .enumerate()
        .map(|(n, room)| MapRoom {
            n,
            name: text(room, "name"),
            site: text(room, "site"),
            platform: text(room, "platform"),
            mine: room["mine"] == true,
        })
        .collect();
    let end = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n < rooms.len());
    let tubes = list("tubes")
        .iter()
        .filter_map(|tube| {
            let state = match tube["state"].as_str() {
                Some("paused") => TubeState::Paused,
                Some("broken") => TubeState::Broken,
                _ => TubeState::Open,
            };
            let flow = match tube["flow"].as_str() {
                Some("a_to_b") => Flow::AToB,
                Some("b_to_a") => Flow::BToA,
                Some("neither") => Flow::Neither,
                _ => Flow::Both,
            };
            Some(MapTube { a: end(&tube["a"])?, b: end(&tube["b"])?, state, flow })
        })
        .collect();
    NetworkMap { rooms, tubes, more: document["more"] == true }
}
