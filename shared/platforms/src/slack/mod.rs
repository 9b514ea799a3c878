//! Slack: events come signed by HTTP or over Socket Mode, and the Web API takes what leaves. See `README.md` in this
//! folder. This file says who the platform is and hands out its parts; it must not know the wire.

mod api;
mod blocks;
mod errors;
mod files;
mod inbound;
mod likeness;
mod locate;
mod manifest;
mod messages;
mod onboarding;
mod outbound;
mod parts;
mod people;
mod renewal;
mod rooms;
mod session;
mod settings;
mod signature;
mod text;
mod wire;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{Request, Response};
use sameroom_model::{Attachment, Delivery, Opened, Outcome, RoomKey, Secrets, Timestamp};
use sameroom_text::Markup;
use url::Url;

use crate::{
    About, Answer, AuthorShown, BadUrl, Capabilities, Carrier, Desk, Draft, Echo, Files, Likeness, Limit, Listing,
    Located, Once, Platform, Problem, Profile, Rejected, Session, Step, Subject, Support, Turn, Unit, Urls, Webhook,
};

/// The longest text of one message that we send. Slack takes ten times as much, but shows it folded.
const LIMIT: Limit = Limit { max: 4000, unit: Unit::Chars };
/// The largest file that is copied, in bytes.
const FILE_MAX: u64 = 20 * 1024 * 1024;

/// The platform.
#[derive(Clone, Copy, Debug)]
pub struct Slack;

static ABOUT: About = About {
    name: "slack",
    title: "Slack",
    schemes: &["slack"],
    example: "slack://acme/C024BE91L?token=env:SLACK_BOT_TOKEN&signing=env:SLACK_SIGNING_SECRET",
    proven: "the documented payloads and signatures as fixtures; not run against Slack itself",
    capabilities: Capabilities {
        carrier: Carrier::Http,
        markup: Markup::MRKDWN_MENTIONS,
        text: LIMIT,
        edit: Support::Native,
        delete: Support::Native,
        reply: Support::Native,
        react: Support::Native,
        author: AuthorShown::Native,
        files: Files::Upload { max: FILE_MAX },
        // The reader drops what it can tell. An installation's bot id is not among the app's settings, so the engine
        // looks keys up as well. Whatever we post is a bot's.
        echo: Echo::ByBots,
        once: Once::AtLeast,
        rate: None,
    },
};

impl Platform for Slack {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn locate(&self, url: &Url) -> Result<Located, BadUrl> {
        locate::locate(url)
    }

    fn onboard(&self, desk: &Desk<'_>, answers: &[Answer]) -> Result<Step, Problem> {
        onboarding::onboard(desk, answers)
    }

    fn receive(&self, account: &Opened, request: &Request<Bytes>, now: Timestamp) -> Result<Webhook, Rejected> {
        inbound::receive(account, request, now)
    }

    fn overhear(&self, account: &Opened, body: &Bytes, now: Timestamp) -> Result<Webhook, Rejected> {
        inbound::decode(account, body, now)
    }

    fn render(&self, account: &Opened, delivery: &Delivery, _now: Timestamp) -> Result<Vec<Request<Bytes>>, Outcome> {
        outbound::render(account, delivery)
    }

    fn settle(
        &self,
        account: &Opened,
        delivery: &Delivery,
        part: usize,
        memo: &str,
        response: &Response<Bytes>,
        now: Timestamp,
    ) -> Turn {
        outbound::settle(account, delivery, part, memo, response, now)
    }

    fn likeness(&self, account: &Opened, draft: &Draft) -> Likeness {
        likeness::likeness(account, draft)
    }

    fn expires(&self, account: &Opened) -> Option<Timestamp> {
        renewal::expires(account)
    }

    fn renew(&self, account: &Opened) -> Option<Request<Bytes>> {
        renewal::renew(account)
    }

    fn renewed(&self, account: &Opened, response: &Response<Bytes>, now: Timestamp) -> Result<Secrets, Outcome> {
        renewal::renewed(account, response, now)
    }

    fn list(&self, account: &Opened, cursor: Option<&str>) -> Option<Request<Bytes>> {
        rooms::list(account, cursor)
    }

    fn listed(&self, account: &Opened, response: &Response<Bytes>, now: Timestamp) -> Result<Listing, Outcome> {
        rooms::listed(account, response, now)
    }

    fn enter(&self, account: &Opened, room: &RoomKey) -> Option<Request<Bytes>> {
        rooms::enter(account, room)
    }

    fn entered(&self, _account: &Opened, _room: &RoomKey, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        rooms::entered(response, now)
    }

    fn look_up(&self, account: &Opened, what: &Subject) -> Option<Request<Bytes>> {
        people::look_up(account, what)
    }

    fn looked_up(
        &self,
        account: &Opened,
        what: &Subject,
        response: &Response<Bytes>,
        now: Timestamp,
    ) -> Result<Profile, Outcome> {
        people::looked_up(account, what, response, now)
    }

    fn download(&self, account: &Opened, file: &Attachment) -> Option<Request<Bytes>> {
        files::download(account, file)
    }

    fn downloaded(&self, file: &Attachment, response: Response<Bytes>) -> Result<Bytes, Outcome> {
        files::downloaded(file, response)
    }

    fn session(&self, account: &Opened, seed: u128) -> Option<Box<dyn Session>> {
        session::open(account, seed)
    }

    fn manifest(&self, urls: &Urls<'_>) -> Option<String> {
        Some(manifest::manifest(urls))
    }
}
