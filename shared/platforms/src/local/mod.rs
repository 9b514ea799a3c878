//! Rooms that live in Sameroom itself, as a page in the browser. README.md beside this file documents what the page
//! sends. Must not keep anything: the engine writes the rooms' history.

mod inbound;
mod onboarding;
#[cfg(test)]
mod tests;
mod wire;

use bytes::Bytes;
use http::Request;
use sameroom_model::{Opened, Timestamp};
use sameroom_text::Markup;
use url::Url;

use crate::{
    About, Answer, AuthorShown, BadUrl, Capabilities, Carrier, Desk, Echo, Files, Limit, Located, Once, Platform,
    Problem, Rejected, Step, Support, Unit, Webhook,
};

/// The longest text of one message.
const LIMIT: Limit = Limit { max: 16_000, unit: Unit::Chars };

static ABOUT: About = About {
    name: "local",
    title: "Sameroom",
    schemes: &["local"],
    example: "local:tea-room",
    proven: "a browser",
    capabilities: Capabilities {
        carrier: Carrier::Hosted,
        markup: Markup::MARKDOWN,
        text: LIMIT,
        edit: Support::Native,
        delete: Support::Native,
        reply: Support::Native,
        react: Support::Native,
        author: AuthorShown::Native,
        files: Files::Link,
        echo: Echo::Never,
        once: Once::Native,
        rate: None,
    },
};

/// Rooms of Sameroom's own.
#[derive(Clone, Copy, Debug)]
pub struct Local;

impl Platform for Local {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn locate(&self, url: &Url) -> Result<Located, BadUrl> {
        onboarding::locate(url)
    }

    fn onboard(&self, _desk: &Desk<'_>, _answers: &[Answer]) -> Result<Step, Problem> {
        Ok(Step::Done(Box::new(onboarding::draft())))
    }

    fn receive(&self, account: &Opened, request: &Request<Bytes>, now: Timestamp) -> Result<Webhook, Rejected> {
        inbound::receive(account, request, now)
    }
}
