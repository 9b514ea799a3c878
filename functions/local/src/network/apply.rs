//! Makes accounts, rooms, options and Tubes be as a network file says. First the whole plan is made, from what is
//! there; then it is carried out step by step. Each step is one commit: should one fail, those before it stand, and
//! applying the file again does the rest.

use std::collections::HashMap;

use anyhow::{Context as _, bail};
use sameroom_engine::Engine;
use sameroom_model::{MadeBy, Room, RoomOptions, RoomRef, Tube, TubeId, TubeState};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Wanted, WantedAccount, WantedRoom, without_nulls};
use crate::connect;
use crate::runtime::operator;

/// What applying a file came to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) changes: Vec<Change>,
    /// Whether they were only looked at.
    pub(crate) dry_run: bool,
    /// Tubes that the file does not have and that stay.
    pub(crate) left: usize,
}

/// One change.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    op: Op,
    what: String,
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    detail: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Op {
    Add,
    Change,
    Remove,
}

enum Step {
    Account(usize),
    Room(usize),
    Options(usize),
    Connect(usize),
    State(TubeId, TubeState),
    Remove(TubeId),
}

/// Makes it so, or only says what that would change.
pub(crate) async fn apply(engine: &Engine, mut wanted: Wanted, dry_run: bool, prune: bool) -> anyhow::Result<Applied> {
    name_local_rooms(engine, &mut wanted).await?;
    let tubes = engine.tubes(&operator()).await?;
    let mut plan = Plan { engine, wanted: &wanted, steps: Vec::new() };
    plan.accounts().await?;
    plan.rooms().await?;
    let kept = plan.tubes(&tubes);
    let left: Vec<&Tube> = tubes.iter().filter(|tube| !kept.contains(&tube.id)).collect();
    if prune {
        for tube in &left {
            plan.remove(tube).await?;
        }
    }
    let steps = plan.steps;
    let mut changes = Vec::new();
    for (change, step) in steps {
        if !dry_run {
            carry_out(engine, &wanted, step).await.with_context(|| change.to_string())?;
        }
        changes.extend(Some(change).filter(|change| !change.name.is_empty()));
    }
    Ok(Applied { changes, dry_run, left: if prune { 0 } else { left.len() } })
}

struct Plan<'a> {
    engine: &'a Engine,
    wanted: &'a Wanted,
    steps: Vec<(Change, Step)>,
}

impl Plan<'_> {
    async fn accounts(&mut self) -> anyhow::Result<()> {
        for (i, account) in self.wanted.accounts.iter().enumerate() {
            let name = format!("{} ({})", account.label, account.draft.platform);
            let Some(known) = self.engine.account(&account.id).await? else {
                // The account of the rooms living here is nobody's to know of.
                let name = if connect::is_local(&account.id) { String::new() } else { name };
                self.step(Op::Add, "account", name, Vec::new(), Step::Account(i));
                continue;
            };
            if connect::is_local(&account.id) {
                continue;
            }
            let mut detail = Vec::new();
            if without_nulls(&known.settings) != without_nulls(&account.draft.settings) {
                detail.extend(differences(&known.settings, &account.draft.settings));
            }
            detail.extend(self.new_secrets(account).await?);
            if !detail.is_empty() {
                self.step(Op::Change, "account", name, detail, Step::Account(i));
            }
        }
        Ok(())
    }

    async fn new_secrets(&self, account: &WantedAccount) -> anyhow::Result<Vec<String>> {
        let opened = self
            .engine
            .open_account(&account.id)
            .await
            .with_context(|| format!("the secrets of account {} can't be compared", account.label))?;
        let Some(opened) = opened else { return Ok(Vec::new()) };
        let new = account.draft.secrets.expose().filter(|(name, value)| opened.secrets.get(name) != Some(value));
        Ok(new.map(|(name, _)| format!("new {name}")).collect())
    }

    async fn rooms(&mut self) -> anyhow::Result<()> {
        for (i, room) in self.wanted.rooms.iter().enumerate() {
            let Some(known) = self.engine.room(&room.at()).await? else {
                let name = format!("{}: {} on {}", room.label, room.draft.name, room.draft.site);
                let detail = option_differences(RoomOptions::default(), room.options);
                self.step(Op::Add, "room", name, detail, Step::Room(i));
                continue;
            };
            let detail = room_differences(&known, room);
            let options = option_differences(known.options, room.options);
            if !detail.is_empty() {
                let step = Step::Room(i);
                self.step(Op::Change, "room", room.label.clone(), [detail, options].concat(), step);
            } else if !options.is_empty() {
                self.step(Op::Change, "room", room.label.clone(), options, Step::Options(i));
            }
        }
        Ok(())
    }

    /// Plans Tubes, and says which of those that are there the file has.
    fn tubes(&mut self, tubes: &[Tube]) -> Vec<TubeId> {
        let mut kept = Vec::new();
        for (i, wanted) in self.wanted.tubes.iter().enumerate() {
            let [a, b] = wanted.ends.map(|end| &self.wanted.rooms[end]);
            let name = format!("{} ⇄ {}", a.label, b.label);
            let Some(tube) = tubes.iter().find(|tube| connects(tube, &a.at(), &b.at())) else {
                let detail = if wanted.paused { vec!["paused".to_owned()] } else { Vec::new() };
                self.step(Op::Add, "tube", name, detail, Step::Connect(i));
                continue;
            };
            kept.push(tube.id.clone());
            let state = match (wanted.paused, tube.state) {
                // A broken Tube carries nothing either.
                (true, TubeState::Paused | TubeState::Broken) | (false, TubeState::Open) => continue,
                (true, TubeState::Open) => TubeState::Paused,
                (false, _) => TubeState::Open,
            };
            let detail = vec![format!("{} -> {}", word(tube.state), word(state))];
            self.step(Op::Change, "tube", name, detail, Step::State(tube.id.clone(), state));
        }
        kept
    }

    async fn remove(&mut self, tube: &Tube) -> anyhow::Result<()> {
        let mut names = Vec::new();
        for end in &tube.ends {
            let room = self.engine.room(&end.room).await?;
            names.push(room.map_or_else(|| "(gone)".to_owned(), |room| format!("{} on {}", room.name, room.site)));
        }
        self.step(Op::Remove, "tube", names.join(" ⇄ "), Vec::new(), Step::Remove(tube.id.clone()));
        Ok(())
    }

    fn step(&mut self, op: Op, what: &str, name: String, detail: Vec<String>, step: Step) {
        self.steps.push((Change { op, what: what.to_owned(), name, detail }, step));
    }
}

async fn carry_out(engine: &Engine, wanted: &Wanted, step: Step) -> anyhow::Result<()> {
    match step {
        Step::Account(i) => {
            let account = &wanted.accounts[i];
            engine.add_account_as(account.id.clone(), &operator(), &account.draft).await?;
        }
        Step::Room(i) => {
            let room = &wanted.rooms[i];
            engine.add_room(&room.account, &room.draft).await?;
            engine.set_options(&room.at(), room.options).await?;
        }
        Step::Options(i) => {
            let room = &wanted.rooms[i];
            engine.set_options(&room.at(), room.options).await?;
        }
        Step::Connect(i) => {
            let tube = &wanted.tubes[i];
            let [a, b] = tube.ends.map(|end| wanted.rooms[end].at());
            let owner = operator();
            let linked = engine.connect([&owner, &owner], [&a, &b], MadeBy::Operator).await?;
            if tube.paused {
                engine.set_tube(&owner, &linked.tube.id, TubeState::Paused).await?;
            }
        }
        Step::State(id, state) => {
            engine.set_tube(&operator(), &id, state).await?;
        }
        Step::Remove(id) => {
            engine.remove_tube(&operator(), &id).await?;
        }
    }
    Ok(())
}

/// Gives rooms living here that are named without a token the one they have, or a new one.
async fn name_local_rooms(engine: &Engine, wanted: &mut Wanted) -> anyhow::Result<()> {
    let mut new: HashMap<String, sameroom_model::RoomKey> = HashMap::new();
    for room in &mut wanted.rooms {
        if !connect::is_nameless(&room.draft) || !connect::is_local(&room.account) {
            continue;
        }
        if let Some(key) = new.get(&room.draft.name) {
            room.draft.key = key.clone();
            continue;
        }
        connect::give_token(engine, &mut room.draft).await?;
        new.insert(room.draft.name.clone(), room.draft.key.clone());
    }
    for (i, room) in wanted.rooms.iter().enumerate() {
        if let Some(other) = wanted.rooms[..i].iter().find(|other| other.at() == room.at()) {
            bail!("rooms '{}' and '{}' are the same room; give it once", other.label, room.label);
        }
    }
    Ok(())
}

/// What is different about a room, its options aside.
fn room_differences(known: &Room, wanted: &WantedRoom) -> Vec<String> {
    let mut detail = Vec::new();
    // Elsewhere a room's name is its platform's affair, which tells when it changes.
    if connect::is_local(&known.at.account) && known.name != wanted.draft.name {
        detail.push(format!("name {} -> {}", known.name, wanted.draft.name));
    }
    if without_nulls(&known.settings) != without_nulls(&wanted.draft.settings) {
        detail.extend(differences(&known.settings, &wanted.draft.settings));
    }
    detail
}

fn option_differences(known: RoomOptions, wanted: RoomOptions) -> Vec<String> {
    let json = |options| serde_json::to_value(options).unwrap_or_default();
    if known == wanted { Vec::new() } else { differences(&json(known), &json(wanted)) }
}

/// `field old -> new`, for each field that differs.
fn differences(known: &Value, wanted: &Value) -> Vec<String> {
    let show = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "(none)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let (Value::Object(a), Value::Object(b)) = (known, wanted) else {
        return vec![format!("settings {} -> {}", show(Some(known)), show(Some(wanted)))];
    };
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort();
    names.dedup();
    let differs = |name: &&String| a.get(*name) != b.get(*name);
    names.into_iter().filter(differs).map(|n| format!("{n} {} -> {}", show(a.get(n)), show(b.get(n)))).collect()
}

fn connects(tube: &Tube, a: &RoomRef, b: &RoomRef) -> bool {
    tube.across(a).is_some_and(|(there, _)| there.room == *b)
}

fn word(state: TubeState) -> &'static str {
    match state {
        TubeState::Open => "open",
        TubeState::Paused => "paused",
        TubeState::Broken => "broken",
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = match self.op {
            Op::Add => '+',
            Op::Change => '~',
            Op::Remove => '-',
        };
        write!(f, "{sign} {} {}", self.what, self.name)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail.join(", "))?;
        }
        Ok(())
    }
}
