//! The generic webhook: anything that can sign a POST can be a room. README.md beside this file documents the wire.
//! Must not know any particular service.

mod inbound;
mod onboarding;
mod outbound;
mod signature;
#[cfg(test)]
mod tests;
mod wire;

use bytes::Bytes;
use http::{Request, Response};
use sameroom_model::{Delivery, Opened, Outcome, Timestamp};
use sameroom_text::Markup;
use url::Url;

use crate::{
    About, Answer, AuthorShown, BadUrl, Capabilities, Carrier, Desk, Echo, Files, Limit, Located, Once, Platform,
    Problem, Rejected, Step, Support, Turn, Unit, Webhook as Received,
};

/// The longest text of one message that we send; longer ones become several.
const LIMIT: Limit = Limit { max: 16_000, unit: Unit::Chars };

static ABOUT: About = About {
    name: "webhook",
    title: "Webhook",
    schemes: &["webhook+https", "webhook+http"],
    example: "webhook+https://example.com/hooks/chat?secret=env:HOOK_SECRET#general",
    proven: "the Standard Webhooks reference library, both ways",
    capabilities: Capabilities {
        carrier: Carrier::Http,
        markup: Markup::MARKDOWN,
        text: LIMIT,
        edit: Support::Native,
        delete: Support::Native,
        reply: Support::Native,
        react: Support::Native,
        author: AuthorShown::Native,
        files: Files::Link,
        echo: Echo::ByKey,
        once: Once::Native,
        rate: None,
    },
};

/// The generic webhook.
#[derive(Clone, Copy, Debug)]
pub struct Webhook;

impl Platform for Webhook {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn locate(&self, url: &Url) -> Result<Located, BadUrl> {
        onboarding::locate(url)
    }

    fn onboard(&self, _desk: &Desk<'_>, answers: &[Answer]) -> Result<Step, Problem> {
        onboarding::onboard(answers)
    }

    fn receive(&self, account: &Opened, request: &Request<Bytes>, now: Timestamp) -> Result<Received, Rejected> {
        inbound::receive(account, request, now)
    }

    fn render(&self, account: &Opened, delivery: &Delivery, now: Timestamp) -> Result<Vec<Request<Bytes>>, Outcome> {
        outbound::render(account, delivery, now)
    }

    fn settle(
        &self,
        account: &Opened,
        delivery: &Delivery,
        part: usize,
        _memo: &str,
        response: &Response<Bytes>,
        now: Timestamp,
    ) -> Turn {
        outbound::settle(account, delivery, part, response, now).into()
    }
}
