//! The laws that every platform keeps, as tests. A platform's tests hand in a [`Fixture`] and call
//! `platform_tests!(fixture())`; laws that do not apply are skipped by the capability table and by what the fixture
//! holds, never by name.
//!
//! Snapshots lie in `<platform>/snapshots/` and are read by a person before they are committed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use http::{Request, Response};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sameroom_model::{
    Account, AccountId, AccountState, Action, Attachment, Author, Block, Delivery, DeliveryId, EventId, Inline, Lane,
    MessageKey, Opened, Origin, Outcome, OwnerId, Place, Quote, RoomKey, RoomRef, Sealed, Secrets, SignedDuration,
    Text, Timestamp,
};
use url::Url;

use crate::{Answer, Carrier, Desk, Draft, Joined, Platform, Rejected, Step, Support};

mod http_laws;
mod session_laws;

pub(crate) use http_laws::*;
pub(crate) use session_laws::*;

/// What the laws need to know of a platform.
pub(crate) struct Fixture {
    pub(crate) platform: &'static dyn Platform,
    /// An account whose secrets have at least 8 characters, so that the suite can look for them where they must not be.
    pub(crate) account: Opened,
    /// Room URLs that are understood; `{secret}` stands for the first secret.
    pub(crate) urls: &'static [&'static str],
    /// Answers to the first form of onboarding, where there is one; `{secret}` as above.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    /// A room and a message in it, in the platform's own terms.
    pub(crate) room: &'static str,
    pub(crate) message: &'static str,
    /// What the platform sends us, where it does.
    pub(crate) inbound: Option<Inbound>,
    /// How to read what we send, for [`Carrier::Http`].
    pub(crate) outbound: Option<Outbound>,
    /// What a server says, where there is a held connection.
    pub(crate) session: Option<Held>,
}

pub(crate) struct Inbound {
    /// Bodies by name, as the platform sends them.
    pub(crate) bodies: Vec<(&'static str, Bytes)>,
    /// The request that carries a body, proven as the platform proves it at that time.
    pub(crate) request: fn(&Opened, &[u8], Timestamp) -> Request<Bytes>,
    /// How requests are proven; `None`: by nothing but the path.
    pub(crate) proof: Option<Proof>,
}

pub(crate) struct Proof {
    /// The headers that must not be changed.
    pub(crate) headers: &'static [&'static str],
    /// How old or early a request may be; `None`: requests carry no time.
    pub(crate) window: Option<SignedDuration>,
}

pub(crate) struct Outbound {
    /// The text of a request that the limit counts; `None`: it has none.
    pub(crate) counted: fn(&Request<Bytes>) -> Option<String>,
    /// The words of a request, without markup.
    pub(crate) words: fn(&Request<Bytes>) -> String,
}

pub(crate) struct Held {
    /// What a server says after we have connected, such that we are in the room; other messages may follow.
    pub(crate) transcript: &'static [u8],
    /// The room to be in; its key is [`Fixture::room`].
    pub(crate) joined: Joined,
    /// The body of the answer to each [`crate::Output::Ask`].
    pub(crate) answer: &'static [u8],
}

/// Makes one test of each law.
macro_rules! platform_tests {
    ($fixture:expr) => {
        platform_tests! { @each $fixture;
            about_is_sane
            urls_are_understood
            locate_never_panics
            onboarding_is_sane
            secrets_show_nowhere
            fixtures_decode
            flipped_bytes_are_refused
            old_and_early_requests_are_refused
            arbitrary_requests_never_panic
            f43_mangled_fixtures_never_panic
            the_same_payload_is_the_same_event
            deliveries_render
            rendering_is_the_same_at_every_attempt
            f39_no_request_exceeds_the_limits
            splitting_loses_no_character
            f16_429_with_retry_after_is_a_retry
            settling_never_panics
            session_survives_anything
            session_reads_bytes_cut_anywhere
            session_stops
        }
    };
    (@each $fixture:expr; $($law:ident)*) => {$(
        #[test]
        fn $law() {
            $crate::suite::$law(&$fixture);
        }
    )*};
}

/// The time at which all fixtures happen: 2026-01-02T03:04:05Z.
pub(crate) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// An account from its draft.
pub(crate) fn opened(draft: Draft) -> Opened {
    let account = Account {
        id: AccountId::from("acc1"),
        owner: OwnerId::from("owner"),
        platform: draft.platform.to_owned(),
        endpoint: draft.endpoint,
        identity: draft.identity,
        settings: draft.settings,
        secrets: Sealed::default(),
        state: AccountState::Ok,
        place: Place::Alone,
        unknown: serde_json::Map::new(),
    };
    Opened { account, secrets: draft.secrets }
}

/// A delivery to a fixture's room.
pub(crate) fn delivery(fixture: &Fixture, id: &str, action: Action) -> Delivery {
    let notice = matches!(action, Action::Notice { .. });
    let author = Author {
        username: Some("ada".to_owned()),
        team: Some("Analysts".to_owned()),
        ..Author::new("u1", "Ada Lovelace")
    };
    let to = RoomRef { account: fixture.account.account.id.clone(), key: RoomKey::from(fixture.room) };
    Delivery {
        id: DeliveryId::from(id),
        lane: Lane { from: RoomRef::new("elsewhere", "the-key-of-the-origin-room"), to },
        origin: Origin { event: EventId::from("evt1"), key: Some(MessageKey::from("m1")), at: now() },
        author: (!notice).then_some(author),
        shown: if notice { String::new() } else { "Ada Lovelace".to_owned() },
        copies: match action {
            Action::Post { .. } | Action::Notice { .. } => Vec::new(),
            _ => vec![MessageKey::from(fixture.message)],
        },
        action,
    }
}

/// One delivery of each kind that the platform takes, by name.
pub(crate) fn deliveries(fixture: &Fixture) -> Vec<(&'static str, Delivery)> {
    let can = fixture.platform.about().capabilities;
    let post = |body, emote, attachments, reply| Action::Post { body, emote, attachments, reply };
    let file = Attachment {
        name: "notes.pdf".to_owned(),
        mime: Some("application/pdf".to_owned()),
        size: Some(1234),
        url: "https://files.example.org/notes.pdf".to_owned(),
        access: sameroom_model::Access::Public,
        content: None,
    };
    let quote = Quote {
        origin: Some(MessageKey::from("m0")),
        root: None,
        key: Some(MessageKey::from(fixture.message)),
        thread: None,
        author: Some("Grace".to_owned()),
        excerpt: Some("What is it?".to_owned()),
    };
    let mut all = vec![
        ("post", post(Text::plain("Hello, *world* <b>&</b> @everyone\nnext line"), false, vec![], None)),
        ("post_rich", post(rich(), false, vec![], None)),
        ("post_emote_file", post(Text::plain("waves"), true, vec![file], None)),
        ("reply", post(Text::plain("An engine."), false, vec![], Some(quote))),
        ("notice", Action::Notice { body: Text::plain("#a is connected with #b.") }),
    ];
    if can.edit != Support::Never {
        all.push(("edit", Action::Edit { body: Text::plain("Hello, moon"), emote: false }));
    }
    if can.delete != Support::Never {
        all.push(("delete", Action::Delete));
    }
    if can.react != Support::Never {
        all.push(("react", Action::React { emoji: "👍".to_owned(), on: true }));
        all.push(("react_back", Action::React { emoji: "👍".to_owned(), on: false }));
    }
    all.into_iter().map(|(name, action)| (name, delivery(fixture, &format!("dlv_{name}"), action))).collect()
}

fn rich() -> Text {
    let text = |text: &str| Inline::Text(text.to_owned());
    let url = "https://example.org/a".to_owned();
    Text {
        blocks: vec![
            Block::Paragraph(vec![
                Inline::Strong(vec![text("bold")]),
                text(" and "),
                Inline::Emphasis(vec![text("soft")]),
                text(", "),
                Inline::Code("x = 1".to_owned()),
                text(", "),
                Inline::Link { url, label: vec![text("a link")] },
            ]),
            Block::Quote(vec![Block::Paragraph(vec![text("said before")])]),
            Block::List { start: None, items: vec![vec![Block::Paragraph(vec![text("one")])]] },
            Block::Code { language: Some("rust".to_owned()), text: "fn main() {}".to_owned() },
        ],
    }
}

pub(crate) fn about_is_sane(fixture: &Fixture) {
    let about = fixture.platform.about();
    assert!(!about.name.is_empty() && about.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    assert!(!about.title.is_empty() && !about.proven.is_empty());
    assert!(about.capabilities.text.max > 0);
    let registered = crate::by_name(about.name).expect("registered in lib.rs");
    assert!(std::ptr::eq(registered.about(), about));
    assert!(crate::all().is_sorted_by_key(|platform| platform.about().name), "in order of name");
    let example = Url::parse(about.example).expect("the example is a URL");
    assert!(about.schemes.contains(&example.scheme()));
    for scheme in about.schemes {
        let owners = crate::all().iter().filter(|platform| platform.about().schemes.contains(scheme)).count();
        assert_eq!(owners, 1, "{scheme}: belongs to one platform");
        assert!(Url::parse(&format!("{scheme}://x/")).is_ok_and(|url| url.scheme() == *scheme));
    }
    assert_eq!(about.capabilities.carrier == Carrier::Http, fixture.outbound.is_some(), "Http: outbound fixture");
    assert!(about.capabilities.carrier != Carrier::Session || fixture.session.is_some(), "Session: held fixture");
}

pub(crate) fn urls_are_understood(fixture: &Fixture) {
    assert!(!fixture.urls.is_empty());
    for url in fixture.urls {
        let located = fixture.platform.locate(&Url::parse(&filled(fixture, url)).unwrap());
        let located = located.unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(located.account.platform, fixture.platform.about().name);
        assert!(!located.account.identity.name.is_empty() && !located.account.endpoint.is_empty());
        assert!(
            !located.room.key.as_str().is_empty() && !located.room.name.is_empty() && !located.room.site.is_empty()
        );
    }
}

pub(crate) fn locate_never_panics(fixture: &Fixture) {
    let schemes = proptest::sample::select(fixture.platform.about().schemes);
    let urls = proptest::sample::select(fixture.urls);
    check(
        256,
        &(schemes, urls, any::<String>(), any::<prop::sample::Index>(), 0_usize..4),
        |(scheme, url, text, at, how)| {
            let url = match how {
                0 => text,
                1 => format!("{scheme}:{text}"),
                2 => format!("{scheme}://{text}"),
                _ => {
                    let at = at.index(url.len());
                    format!("{}{text}{}", &url[..at], &url[at..])
                }
            };
            if let Some(Err(error)) = Url::parse(&url).ok().map(|url| fixture.platform.locate(&url)) {
                assert!(!error.to_string().is_empty());
            }
        },
    );
}

/// Where a suite's accounts are added.
pub(crate) fn desk() -> Desk<'static> {
    Desk {
        back: "https://sameroom.example.org/oauth/return",
        state: "state-for-tests",
        app: None,
        at: Timestamp::UNIX_EPOCH,
    }
}

pub(crate) fn onboarding_is_sane(fixture: &Fixture) {
    match fixture.platform.onboard(&desk(), &[]).expect("the first step asks for nothing") {
        Step::Ask(form) => {
            let names: BTreeMap<_, _> = form.fields.iter().map(|field| (field.name, field)).collect();
            assert_eq!(names.len(), form.fields.len(), "names of fields differ");
            assert!(form.fields.iter().all(|field| !field.label.is_empty()));
            let fields: BTreeMap<_, _> =
                fixture.fields.iter().map(|(name, text)| ((*name).to_owned(), filled(fixture, text))).collect();
            let next = fixture.platform.onboard(&desk(), &[Answer::Fields(fields.clone())]);
            next.unwrap_or_else(|problem| panic!("the fixture's answers do: {problem}"));
            // What is missing or odd is a problem with a sentence, and names one of the fields.
            for field in form.fields.iter().filter(|field| !field.optional) {
                let mut fields = fields.clone();
                fields.remove(field.name);
                let problem = fixture.platform.onboard(&desk(), &[Answer::Fields(fields)]).expect_err(field.name);
                assert!(!problem.message.is_empty());
                assert!(problem.field.is_none_or(|field| names.contains_key(field)));
            }
            check(64, &proptest::collection::vec(any::<String>(), names.len()), |texts| {
                let fields = names.keys().map(|name| (*name).to_owned()).zip(texts).collect();
                let _ = fixture.platform.onboard(&desk(), &[Answer::Fields(fields)]);
            });
        }
        Step::Visit(_) | Step::Send(_) | Step::Done(_) => {}
    }
    let _ = fixture.platform.onboard(&desk(), &[Answer::Returned(BTreeMap::new())]);
    let _ = fixture.platform.onboard(&desk(), &[Answer::Response(Response::new(Bytes::from_static(b"\xff{")))]);
}

pub(crate) fn secrets_show_nowhere(fixture: &Fixture) {
    let hidden = |shown: &dyn Debug| {
        let shown = format!("{shown:?}");
        for (name, secret) in fixture.account.secrets.expose() {
            assert!(secret.len() >= 8, "{name}: too short to be looked for");
            assert!(!shown.contains(secret), "the secret {name} shows");
        }
    };
    hidden(&fixture.account);
    for url in fixture.urls {
        let url = filled(fixture, url);
        // Whatever is wrong with a URL, its secret is not repeated.
        for cut in (0..url.len()).filter(|at| url.is_char_boundary(*at)) {
            for odd in [url[..cut].to_owned(), format!("{}%ff%00{}", &url[..cut], &url[cut..])] {
                if let Ok(url) = Url::parse(&odd) {
                    hidden(&fixture.platform.locate(&url));
                }
            }
        }
    }
    let fields = fixture.fields.iter().map(|(name, text)| ((*name).to_owned(), filled(fixture, text))).collect();
    hidden(&fixture.platform.onboard(&desk(), &[Answer::Fields(fields)]));
    if fixture.outbound.is_some() {
        let keyless = Opened { account: fixture.account.account.clone(), secrets: Secrets::default() };
        for (_, delivery) in deliveries(fixture) {
            hidden(&fixture.platform.render(&keyless, &delivery, now()).err());
            let unusable = Opened {
                account: Account { endpoint: "\0".to_owned(), ..fixture.account.account.clone() },
                secrets: fixture.account.secrets.clone(),
            };
            hidden(&fixture.platform.render(&unusable, &delivery, now()).err());
        }
    }
}

/// Runs a property with so many cases; `PROPTEST_CASES` asks for more, in proportion to proptest's own 256.
pub(super) fn check<S: Strategy>(cases: u32, strategy: &S, law: impl Fn(S::Value)) {
    let asked = Config::default();
    let cases = (u64::from(cases) * u64::from(asked.cases) / 256).max(1) as u32;
    let config = Config { cases, failure_persistence: None, ..asked };
    let result = TestRunner::new(config).run(strategy, |value| {
        catch_unwind(AssertUnwindSafe(|| law(value))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            TestCaseError::fail(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// A snapshot in the platform's own folder.
pub(super) fn snapshot(fixture: &Fixture, name: &str, shown: &str) {
    let path = format!("{}/snapshots", fixture.platform.about().name);
    insta::with_settings!({ snapshot_path => path, prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, shown);
    });
}

fn filled(fixture: &Fixture, text: &str) -> String {
    let secret = fixture.account.secrets.expose().next().map_or("", |(_, secret)| secret);
    text.replace("{secret}", secret)
}
