//! `format`: how messages from elsewhere are shown in the room.

use sameroom_model::{Event, RoomOptions};

use super::parse::Format;
use super::{Reply, answers};
use crate::Engine;
use crate::ports::Unavailable;

impl Engine {
    pub(super) async fn format(&self, event: &Event, format: Format) -> Result<Reply, Unavailable> {
        let here = self.here(&event.room).await?;
        if format == Format::Show {
            return Ok(Reply::lines(answers::options(here.options)));
        }
        let mut options = here.options;
        let name = set(&mut options, format);
        self.set_options(&here.at, options).await?;
        Ok(Reply::line(answers::set(options, name)))
    }
}

/// Sets an option; gives its name.
fn set(options: &mut RoomOptions, format: Format) -> &'static str {
    match format {
        Format::Show => "",
        Format::Author(style) => {
            options.author = style;
            "author"
        }
        Format::Team(on) => {
            options.team = on;
            "team"
        }
        Format::System(on) => {
            options.system = on;
            "system"
        }
        Format::Direction(direction) => {
            options.direction = direction;
            "direction"
        }
        Format::Edits(style) => {
            options.edits = style;
            "edits"
        }
        Format::Replies(style) => {
            options.replies = style;
            "replies"
        }
    }
}
