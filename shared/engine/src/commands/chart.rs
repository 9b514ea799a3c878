//! `map`: what the room is connected with, and a link to a picture of it that is good for a day. The link's token is
//! kept by its hash; the picture is of the network as it is when it is looked at.

use std::time::Duration;

use sameroom_model::{Event, RoomRef};
use secrecy::{ExposeSecret, SecretString};

use super::{Reply, answers};
use crate::map::NetworkMap;
use crate::ports::{Unavailable, When};
use crate::{Engine, keys, rows, tokens};

/// How long a link is good for.
const GOOD: Duration = Duration::from_hours(24);

impl Engine {
    /// The network that a link of the command `map` shows, its room first. `None`: there is no such link, or it is older
    /// than a day.
    pub async fn chart(&self, token: &SecretString) -> Result<Option<NetworkMap>, Unavailable> {
        if !tokens::well_formed("", token.expose_secret()) {
            return Ok(None);
        }
        let Some(kept) = rows::load::<RoomRef>(&*self.inner.store, &keys::chart(&tokens::hash(token))).await? else {
            return Ok(None);
        };
        self.room_map(&kept.value, None).await.map(Some)
    }

    pub(super) async fn chart_of(&self, event: &Event) -> Result<Reply, Unavailable> {
        let around = self.around(&event.room).await?;
        if around.reached.is_empty() && around.cut_off.is_empty() {
            return Ok(Reply::line(answers::NOT_CONNECTED));
        }
        let mut reply = Reply::default();
        if !around.reached.is_empty() {
            let rooms: Vec<String> = around.reached.iter().map(answers::place_of).collect();
            let count = answers::count(rooms.len(), "room", "rooms");
            let tubes = answers::count(around.tubes, "Tube", "Tubes");
            reply.lines = answers::listing(&format!("This room is connected with {count} by {tubes}"), &rooms);
        }
        reply.lines.extend(around.silence());
        if let Some(base) = &self.inner.config.public_url {
            let token = self.new_token("")?;
            let expires = self.inner.clock.now().checked_add(GOOD).ok();
            reply.writes.push(rows::put(keys::chart(&tokens::hash(&token)), &event.room, expires, When::Always));
            let url = format!("{}/maps/{}", base.as_str().trim_end_matches('/'), token.expose_secret());
            reply.lines.push(format!("A picture of it, for the next 24 hours: {url}"));
        }
        Ok(reply)
    }
}
