//! IRC: one long-lived connection an account, on which every room is a channel. See `README.md` in this folder.
//!
//! This file says who the platform is and hands out its parts. It must not know the wire.

mod caps;
mod codec;
mod isupport;
mod locate;
mod nicks;
mod onboarding;
mod sasl;
mod session;
mod settings;
mod text;

#[cfg(test)]
mod tests;

use sameroom_model::Opened;
use sameroom_text::Markup;
use url::Url;

use crate::{
    About, Answer, AuthorShown, BadUrl, Capabilities, Carrier, Desk, Echo, Files, Limit, Located, Once, Platform,
    Problem, Rate, Session, Step, Support, Unit,
};

/// The platform.
pub struct Irc;

static ABOUT: About = About {
    name: "irc",
    title: "IRC",
    schemes: &["irc", "ircs"],
    example: "ircs://irc.libera.chat/#rust",
    proven: "run against ngIRCd, InspIRCd and Atheme; the rest by a scripted server",
    capabilities: Capabilities {
        carrier: Carrier::Session,
        markup: Markup::IRC,
        // What fits one line beside the longest mask and author; longer texts become several lines.
        text: Limit { max: 350, unit: Unit::Bytes },
        edit: Support::Line,
        delete: Support::Sometimes,
        reply: Support::Line,
        react: Support::Sometimes,
        author: AuthorShown::Prefix,
        files: Files::Link,
        echo: Echo::Never,
        once: Once::AtLeast,
        rate: Some(Rate { burst: 4, per_second: 1.0 }),
    },
};

impl Platform for Irc {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn locate(&self, url: &Url) -> Result<Located, BadUrl> {
        locate::locate(url)
    }

    fn onboard(&self, _desk: &Desk<'_>, answers: &[Answer]) -> Result<Step, Problem> {
        onboarding::onboard(answers)
    }

    fn session(&self, account: &Opened, seed: u128) -> Option<Box<dyn Session>> {
        Some(if settings::Settings::of(&account.account.settings).puppets > 0 {
            Box::new(session::puppets::Puppeteer::new(account, seed))
        } else {
            Box::new(session::IrcSession::new(account, seed))
        })
    }
}
