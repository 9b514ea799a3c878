//! `portal` and `connect PORTAL-URL`.

use sameroom_model::Event;
use secrecy::{ExposeSecret, SecretString};

use super::{Reply, answers};
use crate::Engine;
use crate::joining::{PortalError, Used};
use crate::ports::Unavailable;
use crate::tubes::Side;

impl Engine {
    /// Shows the room's lasting Portal, made if there is none.
    pub(super) async fn portal_of(&self, event: &Event) -> Result<Reply, Unavailable> {
        let here = self.here(&event.room).await?;
        let Some(account) = self.account(&here.at.account).await? else { return Ok(gone()) };
        let Some((_, token)) = self.lasting_portal(&account.owner, &here.at).await? else { return Ok(gone()) };
        let token = token.expose_secret();
        let lines = match &self.inner.config.public_url {
            Some(base) => vec![
                format!("This room's Portal is {}/portals/{token}", base.as_str().trim_end_matches('/')),
                "Whoever has that URL can connect a room of theirs with this one, by opening it or by writing there: \
                 connect URL"
                    .to_owned(),
            ],
            None => vec![
                format!("This room's Portal is {token}"),
                "Whoever has it can connect a room of theirs on this Sameroom with this one, by writing there: connect, \
                 and then that"
                    .to_owned(),
            ],
        };
        Ok(Reply::lines(lines))
    }

    pub(super) async fn connect_by_portal(&self, event: &Event, token: &str) -> Result<Reply, Unavailable> {
        let here = self.here(&event.room).await?;
        let Some(account) = self.account(&here.at.account).await? else { return Ok(gone()) };
        let token = SecretString::from(token.to_owned());
        let before = self.view(&here.at).await?.tubes.len();
        let line = match self.use_portal(&token, &account.owner, &here.at).await {
            Ok(Used::Connected(tube)) => {
                if self.view(&here.at).await?.tubes.len() > before {
                    // Both rooms are told by the Tube itself.
                    return Ok(Reply::default());
                }
                // Both sides may be of one owner.
                let elsewhere = |side: &&Side| side.own.as_ref().is_none_or(|own| own.room != here.at);
                let there = tube.sides.iter().find(elsewhere);
                let there = there.map(|side| answers::place(&side.name, &side.site)).unwrap_or_default();
                format!("This room is connected with {there} already.")
            }
            Ok(Used::Waiting(_)) => {
                "The owner of that Portal has to approve this room first. Once they do, it is said here.".to_owned()
            }
            Err(PortalError::Unavailable(e)) => return Err(e),
            Err(e) => sentence(&e.to_string()),
        };
        Ok(Reply::line(line))
    }
}

fn gone() -> Reply {
    Reply::line("This room can't be used just now: its account is gone. Ask whoever runs this Sameroom.")
}

/// An error's words as a sentence.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
