//! What failed and what waits: listed with reasons and never with words, tried again when told to.

use std::collections::BTreeSet;

use anyhow::bail;
use aws_lc_rs::digest::{SHA256, digest};
use sameroom_engine::Engine;
use sameroom_engine::{Failed, Letter};
use sameroom_model::{Action, Lane, RoomRef};
use serde_json::{Value, json};

use crate::runtime::operator;

/// How many are read at once.
const PAGE: usize = 200;
/// How many are listed.
const LISTED_MAX: usize = 10_000;

/// A lane that is not idle.
pub(crate) struct Waiting {
    pub(crate) lane: Lane,
    pub(crate) pending: u64,
    pub(crate) parked: Option<String>,
}

impl Waiting {
    /// What the command line calls it. Keys of rooms may be what lets people in, so it is a hash of them.
    fn id(&self) -> String {
        let Lane { from, to } = &self.lane;
        let parts = [&from.account, &to.account].map(ToString::to_string);
        let text = format!("{}\n{}\n{}\n{}", parts[0], from.key, parts[1], to.key);
        let hash = digest(&SHA256, text.as_bytes());
        // 40 bits tell the lanes of one network apart.
        data_encoding::HEXLOWER.encode(&hash.as_ref()[..5])
    }
}

/// Failed deliveries, requests that were not understood, and lanes with something in them.
pub(crate) async fn list(engine: &Engine) -> anyhow::Result<Value> {
    let mut failed = Vec::new();
    for one in all_failed(engine).await? {
        let Failed { id, at, why, delivery } = one;
        let (from, to) = ends(engine, &delivery.lane).await?;
        let what = kind(&delivery.action);
        failed.push(json!({ "id": id, "at": at, "what": what, "from": from, "to": to, "why": why }));
    }
    let mut requests = Vec::new();
    for Letter { id, at, why, account, .. } in all_letters(engine).await? {
        requests.push(json!({ "id": id, "at": at, "account": account, "why": why }));
    }
    Ok(json!({ "failed": failed, "requests": requests, "lanes": lanes_json(engine).await? }))
}

/// Lanes with something in them, for people.
pub(crate) async fn lanes_json(engine: &Engine) -> anyhow::Result<Vec<Value>> {
    let mut lanes = Vec::new();
    for waiting in waiting(engine).await? {
        let (from, to) = ends(engine, &waiting.lane).await?;
        let (id, pending, parked) = (waiting.id(), waiting.pending, &waiting.parked);
        lanes.push(json!({ "id": id, "from": from, "to": to, "waiting": pending, "parked": parked }));
    }
    Ok(lanes)
}

/// Tries one again, or all.
pub(crate) async fn replay(engine: &Engine, id: Option<&str>) -> anyhow::Result<Value> {
    let owner = operator();
    let mut replayed = 0_u64;
    let mut kept = Vec::new();
    // Taken down first: what fails once more is listed anew, and must not be tried for ever.
    for failed in all_failed(engine).await?.iter().filter(|failed| id.is_none_or(|id| id == failed.id)) {
        replayed += u64::from(engine.replay(&owner, &failed.id).await?);
    }
    for letter in all_letters(engine).await?.iter().filter(|letter| id.is_none_or(|id| id == letter.id)) {
        match engine.replay_letter(&owner, &letter.id).await? {
            Ok(done) => replayed += u64::from(done),
            Err(why) => kept.push(json!({ "id": letter.id, "why": why })),
        }
    }
    if let (Some(id), 0, true) = (id, replayed, kept.is_empty()) {
        bail!("nothing that failed is called '{id}'; `sameroom deliveries` lists what did");
    }
    Ok(json!({ "replayed": replayed, "kept": kept }))
}

/// Lets one lane go on, or all.
pub(crate) async fn resume(engine: &Engine, id: Option<&str>) -> anyhow::Result<Value> {
    let mut resumed = 0_u64;
    for waiting in waiting(engine).await?.iter().filter(|waiting| id.is_none_or(|id| id == waiting.id())) {
        resumed += u64::from(engine.resume_lane(&waiting.lane).await?);
    }
    if let (Some(id), 0) = (id, resumed) {
        bail!("no lane with something in it is called '{id}'; `sameroom deliveries` lists those there are");
    }
    Ok(json!({ "resumed": resumed }))
}

/// Every lane with something in it, from rooms that a Tube touches.
async fn waiting(engine: &Engine) -> anyhow::Result<Vec<Waiting>> {
    let tubes = engine.tubes(&operator()).await?;
    let rooms: BTreeSet<&RoomRef> = tubes.iter().flat_map(|tube| &tube.ends).map(|end| &end.room).collect();
    let mut found = Vec::new();
    for from in rooms {
        for (to, pending, parked) in engine.lanes(from).await? {
            found.push(Waiting { lane: Lane { from: from.clone(), to }, pending, parked });
        }
    }
    Ok(found)
}

async fn all_failed(engine: &Engine) -> anyhow::Result<Vec<Failed>> {
    let mut found: Vec<Failed> = Vec::new();
    loop {
        let after = found.last().map(|last| last.id.clone());
        let page = engine.failed(&operator(), after.as_deref(), PAGE).await?;
        let more = page.len() == PAGE;
        found.extend(page);
        if !more || found.len() >= LISTED_MAX {
            return Ok(found);
        }
    }
}

async fn all_letters(engine: &Engine) -> anyhow::Result<Vec<Letter>> {
    let mut found: Vec<Letter> = Vec::new();
    loop {
        let after = found.last().map(|last| last.id.clone());
        let page = engine.letters(&operator(), after.as_deref(), PAGE).await?;
        let more = page.len() == PAGE;
        found.extend(page);
        if !more || found.len() >= LISTED_MAX {
            return Ok(found);
        }
    }
}

/// A lane's ends for people.
async fn ends(engine: &Engine, lane: &Lane) -> anyhow::Result<(String, String)> {
    let to = place(engine, &lane.to).await?;
    // Notices, which nobody wrote, go from a room to itself.
    let from = if lane.from == lane.to { "Sameroom".to_owned() } else { place(engine, &lane.from).await? };
    Ok((from, to))
}

/// A room for people.
async fn place(engine: &Engine, at: &RoomRef) -> anyhow::Result<String> {
    let room = engine.room(at).await?;
    Ok(room.map_or_else(|| "(a room that is gone)".to_owned(), |room| format!("{} on {}", room.name, room.site)))
}

fn kind(action: &Action) -> &'static str {
    match action {
        Action::Post { .. } => "message",
        Action::Edit { .. } => "edit",
        Action::Delete => "deletion",
        Action::React { .. } => "reaction",
        Action::Notice { .. } => "notice",
    }
}
