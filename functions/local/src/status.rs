//! How it goes: Tubes, lanes with something in them, accounts, and the counts.

use sameroom_engine::ports::{QueueName, Store as _};
use sameroom_model::AccountState;
use serde_json::{Value, json};

use crate::control::Desk;
use crate::runtime::operator;
use crate::{connect, failures};

/// All of it as JSON.
pub(crate) async fn status(desk: &Desk) -> anyhow::Result<Value> {
    let engine = &desk.runtime.engine;
    let mut tubes = Vec::new();
    for tube in engine.tubes(&operator()).await? {
        let mut rooms = Vec::new();
        for end in &tube.ends {
            let room = engine.room(&end.room).await?;
            rooms.push(room.map_or_else(|| "(gone)".to_owned(), |room| format!("{} on {}", room.name, room.site)));
        }
        tubes.push(json!({ "id": tube.id, "rooms": rooms, "state": tube.state }));
    }
    let mut accounts = Vec::new();
    for account in engine.accounts(&operator()).await?.iter().filter(|account| !connect::is_local(&account.id)) {
        let (state, why) = match &account.state {
            AccountState::Ok => ("ok", None),
            AccountState::Trouble(why) => ("trouble", Some(why)),
            AccountState::NeedsOwner(why) => ("needs_owner", Some(why)),
        };
        accounts.push(json!({
            "id": account.id,
            "platform": account.platform,
            "name": account.identity.name,
            "endpoint": account.endpoint,
            "state": state,
            "why": why,
        }));
    }
    let census = desk.runtime.store.census().await?;
    Ok(json!({
        "running": desk.url.is_some(),
        "url": desk.url,
        "tubes": tubes,
        "lanes": failures::lanes_json(engine).await?,
        "accounts": accounts,
        "census": census,
        "conserves": census.conserves(),
        "lag_seconds": desk.runtime.store.lag(QueueName::Events).as_secs_f64(),
    }))
}
