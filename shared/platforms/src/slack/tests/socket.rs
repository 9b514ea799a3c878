//! Socket Mode, as conversations with a Slack that is a script. Time is virtual.

use std::fmt::Write as _;

use sameroom_model::Delivery;

use super::*;
use crate::suite::{deliveries, now};
use crate::{Input, LinkId, Output, Session};

const HELLO: &str = r#"{"type":"hello","num_connections":1}"#;
const ADDRESS: &str = r#"{"ok":true,"url":"wss://wss-primary.slack.com/link/?ticket=t"}"#;

struct World {
    session: Box<dyn Session>,
    now: Timestamp,
}

impl World {
    fn of(account: &Opened) -> Self {
        Self { session: Slack.session(account, 7).unwrap(), now: now() }
    }

    /// Asked for its rooms, given an address, connected, and greeted.
    fn up() -> Self {
        let mut world = Self::of(&account());
        assert_eq!(world.rooms(), "ask apps.connections.open");
        assert_eq!(world.answer(ADDRESS), "open wss://wss-primary.slack.com");
        assert_eq!(world.tell(Input::Opened(LinkId::MAIN)), "");
        assert_eq!(world.says(HELLO), "Ok");
        world
    }

    fn tell(&mut self, input: Input<'_>) -> String {
        self.session.handle(input, self.now);
        let mut said = Vec::new();
        while let Some(output) = self.session.poll() {
            said.push(short(output));
        }
        said.join("; ")
    }

    fn rooms(&mut self) -> String {
        self.tell(Input::Rooms(Vec::new()))
    }

    fn answer(&mut self, body: &str) -> String {
        let response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        self.tell(Input::Answered(Ok(&response)))
    }

    fn says(&mut self, message: &str) -> String {
        self.tell(Input::Received(LinkId::MAIN, message.as_bytes()))
    }

    /// Sleeps until it wants to be woken, and tells after how many seconds.
    fn sleeps(&mut self) -> (i64, String) {
        let at = self.session.wakes_at().unwrap();
        let slept = at.duration_since(self.now).as_secs();
        self.now = at;
        (slept, self.tell(Input::Wake))
    }

    fn after(&mut self, seconds: i64) -> &mut Self {
        self.now += SignedDuration::from_secs(seconds);
        self
    }
}

fn short(output: Output) -> String {
    match output {
        Output::Ask(request) => {
            assert!(request.headers()["authorization"].is_sensitive());
            format!("ask {}", show(&request).trim())
        }
        Output::Open(LinkId::MAIN, dial) => format!("open {dial:?}"),
        Output::Told(body) => format!("told {}", String::from_utf8_lossy(&body)),
        Output::Confirm(LinkId::MAIN, body) => format!("confirm {}", String::from_utf8_lossy(&body)),
        Output::State(AccountState::Ok) => "Ok".to_owned(),
        Output::State(AccountState::Trouble(why)) => format!("Trouble: {why}"),
        Output::State(AccountState::NeedsOwner(why)) => format!("NeedsOwner: {why}"),
        Output::Close(LinkId::MAIN) => "close".to_owned(),
        Output::Stopped => "stopped".to_owned(),
        other => {
            let mut shown = String::new();
            write!(shown, "{other:?}").unwrap();
            shown
        }
    }
}

#[test]
fn events_are_handed_on_and_confirmed() {
    let mut world = World::up();
    let envelope = r#"{"type":"events_api","envelope_id":"e-1","payload":{"type":"event_callback","event_id":"Ev1"},"accepts_response_payload":false,"retry_attempt":0,"retry_reason":""}"#;
    assert_eq!(
        world.says(envelope),
        r#"told {"event_id":"Ev1","type":"event_callback"}; confirm {"envelope_id":"e-1"}"#
    );
    // Buttons and commands are none of ours, but Slack waits for an answer.
    assert_eq!(
        world.says(r#"{"type":"interactive","envelope_id":"e-2","payload":{}}"#),
        r#"confirm {"envelope_id":"e-2"}"#
    );
    assert_eq!(world.says("garbage"), "");
    assert_eq!(world.says(r#"{"type":7}"#), "");
}

#[test]
fn what_is_told_over_a_socket_is_read_like_a_webhook() {
    let body = Bytes::from_static(FIXTURES[0].1.as_bytes());
    assert_eq!(Slack.overhear(&account(), &body, now()).unwrap().events.len(), 1);
}

#[test]
fn a_refresh_is_followed_at_once() {
    for reason in ["warning", "refresh_requested", "too_many_websockets"] {
        let mut world = World::up();
        let disconnect = format!(r#"{{"type":"disconnect","reason":"{reason}","debug_info":{{}}}}"#);
        assert_eq!(world.after(3600).says(&disconnect), "close; ask apps.connections.open");
        assert_eq!(world.answer(ADDRESS), "open wss://wss-primary.slack.com");
        assert_eq!(world.tell(Input::Opened(LinkId::MAIN)), "");
        // A server that only sends us away is not asked without a pause.
        assert!(world.says(&disconnect).starts_with("close; Trouble"));
        assert!(world.sleeps().0 >= 1);
    }
}

#[test]
fn a_lost_connection_is_made_anew_at_growing_distances() {
    let mut world = World::up();
    assert_eq!(world.after(60).tell(Input::Closed(LinkId::MAIN, "reset")), "Trouble: reset; connecting again");
    let (slept, said) = world.sleeps();
    assert!((1..=2).contains(&slept), "{slept}");
    assert_eq!(said, "ask apps.connections.open");
    let mut longest = 0;
    for _ in 0..40 {
        assert!(
            ["", "Trouble: nobody there; connecting again"]
                .contains(&world.tell(Input::Answered(Err("nobody there"))).as_str())
        );
        let (slept, said) = world.sleeps();
        assert_eq!(said, "ask apps.connections.open");
        longest = longest.max(slept);
    }
    assert!((60..=300).contains(&longest), "{longest}");
    assert_eq!(world.answer(ADDRESS), "open wss://wss-primary.slack.com");
    assert_eq!(world.tell(Input::Opened(LinkId::MAIN)), "");
    assert_eq!(world.says(HELLO), "Ok");
}

#[test]
fn silence_ends_a_connection() {
    let mut world = World::of(&account());
    world.rooms();
    world.answer(ADDRESS);
    assert_eq!(world.sleeps(), (60, "close; Trouble: Slack fell silent; connecting again".to_owned()), "while dialing");
    world.sleeps();
    world.answer(ADDRESS);
    world.tell(Input::Opened(LinkId::MAIN));
    assert_eq!(world.sleeps(), (60, "close".to_owned()), "without a hello");
    let mut world = World::up();
    assert_eq!(world.sleeps().0, 12 * 3600);
}

#[test]
fn what_the_owner_must_mend_is_told_and_tried_again_in_hours() {
    let mut world = World::up();
    let off = world.says(r#"{"type":"disconnect","reason":"link_disabled"}"#);
    assert!(off.starts_with("close; NeedsOwner: Socket Mode is switched off"), "{off}");
    assert_eq!(world.sleeps(), (3600, "ask apps.connections.open".to_owned()));
    assert!(world.answer(r#"{"ok":false,"error":"invalid_auth"}"#).starts_with("NeedsOwner: "));
    assert_eq!(world.sleeps().0, 3600);
    assert_eq!(world.tell(Input::Answered(Err("nobody there"))), "", "a network does not mend a setting");
    let response = Response::builder().status(429).header("retry-after", "90").body(Bytes::new()).unwrap();
    world.sleeps();
    world.tell(Input::Answered(Ok(&response)));
    assert_eq!(world.sleeps().0, 90);
}

#[test]
fn an_address_in_the_clear_is_not_dialed() {
    let mut world = World::of(&account());
    world.rooms();
    assert!(world.answer(r#"{"ok":true,"url":"ws://example.org/"}"#).starts_with("Trouble"));
    let mut local = account();
    local.account.endpoint = "http://127.0.0.1:8080/api/".to_owned();
    let mut world = World::of(&local);
    assert_eq!(world.rooms(), "ask http://127.0.0.1:8080/api/apps.connections.open");
    assert_eq!(world.answer(r#"{"ok":true,"url":"ws://127.0.0.1:8081/link"}"#), "open ws://127.0.0.1");
}

#[test]
fn a_bot_that_is_not_known_yet_is_asked_for() {
    let mut account = account();
    account.account.identity.key = None;
    let mut world = World::of(&account);
    assert_eq!(world.rooms(), "ask auth.test");
    let said = world.answer(r#"{"ok":true,"user_id":"U0KRQLJ9H","bot_id":"B0SAMEROOM"}"#);
    assert!(said.contains("UserKey(U0KRQLJ9H)") && said.ends_with("; ask apps.connections.open"), "{said}");
}

#[test]
fn deliveries_go_by_http() {
    let mut world = World::up();
    let (_, delivery) = deliveries(&fixture()).swap_remove(0);
    let Delivery { id, .. } = delivery.clone();
    let said = world.tell(Input::Deliver(Box::new(delivery)));
    assert!(said.contains(id.as_str()) && said.contains("Retry"), "{said}");
    assert_eq!(world.tell(Input::Stop), "close; stopped");
    assert_eq!(world.rooms(), "");
}

#[test]
fn an_installation_has_no_socket_of_its_own() {
    let mut installed = account();
    installed.account.place = Place::Installed { app: "app".into(), tenant: "T1".to_owned() };
    assert!(Slack.session(&installed, 1).is_none());
    assert!(Slack.session(&app(), 1).is_none(), "nor has an app without an app-level token");
    let mut app = app();
    app.secrets.set("app_token", "xapp-1");
    assert_eq!(World::of(&app).rooms(), "ask apps.connections.open");
}
